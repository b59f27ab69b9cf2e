#include "config.h"

#include "answer/verdict.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char verdict_broken[] = "configuration error, see the log";

static struct verdict verdict_say(int http, const char *status,
				  const char *error)
{
	struct verdict verdict = { .http = http,
				   .status = status,
				   .error = error };

	return verdict;
}

static bool verdict_came(const struct result *result)
{
	return result->ended_us != 0;
}

static void verdict_timeout(const struct verdict_input *input,
			    struct result *result)
{
	int64_t now_us = input->view->now_ms * 1000;
	int64_t waited_us;

	/* The view's time is rounded down, the question's is not. */
	if (now_us < input->asked_us)
		now_us = input->asked_us;
	waited_us = now_us - input->asked_us;
	memset(result, 0, sizeof(*result));
	result->code = RESULT_TIMEOUT;
	result->latency_us = waited_us < INT32_MAX ? (int32_t)waited_us
						   : INT32_MAX;
	result->ended_us = now_us;
	snprintf(result->error, sizeof(result->error),
		 "No result within %" PRId64 "ms",
		 input->plan->answer_within_ms);
}

static void verdict_unknown(struct result *result)
{
	memset(result, 0, sizeof(*result));
	result->code = RESULT_UNKNOWN;
	snprintf(result->error, sizeof(result->error), "not checked yet");
}

/* A background check was not run again in time: an old healthy result does not
 * count. */
static void verdict_stale(const struct verdict_input *input,
			  struct result *result)
{
	int64_t age_ms = input->view->now_ms - result->ended_us / 1000;
	bool seconds = age_ms >= 10000;

	result->code = RESULT_STALE;
	result->step[0] = '\0';
	snprintf(result->error, sizeof(result->error),
		 "last result is %" PRId64 "%s old",
		 seconds ? age_ms / 1000 : age_ms, seconds ? "s" : "ms");
}

/* Brings a result up to date; true when it is healthy. */
static bool verdict_judge(const struct verdict_input *input, size_t check)
{
	const struct check_policy *policy = &input->plan->checks[check].policy;
	struct result *result = &input->view->results[check];
	bool late = input->out_of_time && input->view->late[check];

	if (late && policy->interval_ms != 0 && verdict_came(result))
		verdict_stale(input, result);
	else if (late)
		verdict_timeout(input, result);
	else if (!verdict_came(result))
		verdict_unknown(result);
	return result_healthy(result);
}

/* Whether the results in the view may answer although there is no room to wait
 * for newer ones. */
static bool verdict_usable(const struct verdict_input *input, size_t first,
			   size_t end)
{
	size_t i;

	for (i = first; i < end; i++) {
		const struct result *result = &input->view->results[i];
		int64_t age_ms = input->view->now_ms - result->ended_us / 1000;

		if (!verdict_came(result) ||
		    age_ms > input->plan->checks[i].policy.max_age_ms +
				     input->plan->answer_within_ms)
			return false;
	}
	return true;
}

/*
 * Only what is known to be wrong: a check without a result may be one that
 * has just begun, and a restart would let it begin again.  A result that is
 * old (we were suspended, say) says the same as it did; that we ourselves
 * hang is what `stuck` is for.
 */
static struct verdict verdict_live(const struct verdict_input *input)
{
	struct verdict verdict = verdict_say(503, "not_alive", NULL);
	bool alive = true;
	size_t i;

	/* With a broken configuration no prober runs that could be stuck. */
	if (input->view->stuck && !input->plan->broken)
		return verdict_say(503, "stuck", NULL);
	for (i = 0; i < input->view->n; i++) {
		if (!input->plan->checks[i].policy.live)
			continue;
		if (verdict_came(&input->view->results[i]))
			alive = result_healthy(&input->view->results[i]) &&
				alive;
		else
			verdict_unknown(&input->view->results[i]);
	}
	if (alive) {
		verdict = verdict_say(200, "alive", NULL);
		verdict.show_service = true;
		return verdict;
	}
	verdict.show_checks = true;
	verdict.only_live = true;
	verdict.end = input->view->n;
	return verdict;
}

static struct verdict verdict_ready(const struct verdict_input *input)
{
	struct verdict verdict = verdict_say(200, "ready", NULL);
	size_t i, n = input->view->n;

	if (input->view->draining)
		return verdict_say(503, "draining", NULL);
	if (input->plan->broken)
		return verdict_say(503, "not_ready", verdict_broken);
	if (input->busy && !verdict_usable(input, 0, n))
		return verdict_say(503, "not_ready", "busy");
	verdict.show_checks = true;
	verdict.end = n;
	for (i = 0; i < n; i++) {
		if (verdict_judge(input, i))
			continue;
		if (input->plan->checks[i].policy.required) {
			verdict.http = 503;
			verdict.status = "not_ready";
		} else if (verdict.http == 200) {
			verdict.status = "degraded";
		}
	}
	return verdict;
}

/* Asked alone, a check stands for itself: whether it is required, and whether
 * we are draining, says nothing about it. */
static struct verdict verdict_one(const struct verdict_input *input)
{
	size_t check = input->route->check;
	struct verdict verdict;

	if (input->plan->broken)
		return verdict_say(503, "not_ready", verdict_broken);
	assert(check < input->view->n);
	if (input->busy && !verdict_usable(input, check, check + 1))
		return verdict_say(503, "not_ready", "busy");
	verdict = verdict_judge(input, check)
			  ? verdict_say(200, "ready", NULL)
			  : verdict_say(503, "not_ready", NULL);
	verdict.show_checks = true;
	verdict.first = check;
	verdict.end = check + 1;
	return verdict;
}

static struct verdict verdict_started(const struct verdict_input *input)
{
	struct verdict verdict;

	if (input->plan->broken)
		return verdict_say(503, "starting", verdict_broken);
	if (input->view->started)
		return verdict_say(200, "started", NULL);
	verdict = verdict_say(503, "starting", NULL);
	verdict.detail = "Service is still initialising";
	verdict.show_waiting = true;
	return verdict;
}

struct verdict verdict_make(const struct verdict_input *input)
{
	static struct verdict (*const judges[])(
		const struct verdict_input *) = {
		[PROBE_LIVE] = verdict_live,
		[PROBE_READY] = verdict_ready,
		[PROBE_CHECK] = verdict_one,
		[PROBE_STARTED] = verdict_started,
	};

	if (input->route->error)
		return verdict_say(input->route->error, NULL,
				   input->route->error == 405
					   ? "method not allowed"
					   : "not found");
	return judges[input->route->probe](input);
}

#include "config.h"

#include "answer/verdict.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static const char verdict_broken[] = "configuration error, see the log";

static struct verdict verdict_say(int http, const char *status,
				  const char *error)
{
	return (struct verdict){ .http = http,
				 .status = status,
				 .error = error };
}

static bool verdict_came(const struct result *result)
{
	return result->ended_us != 0;
}

static int64_t verdict_age_ms(const struct verdict_input *input,
			      const struct result *result)
{
	return input->view->now_ms - result->ended_us / 1000;
}

static void verdict_timeout(const struct verdict_input *input,
			    struct result *result)
{
	int64_t waited_us = input->view->now_ms * 1000 - input->asked_us;

	/* The view's time is rounded down, the question's is not. */
	if (waited_us < 0)
		waited_us = 0;
	*result = (struct result){
		.code = RESULT_TIMEOUT,
		.latency_us = waited_us < INT32_MAX ? (int32_t)waited_us
						    : INT32_MAX,
		.ended_us = input->asked_us + waited_us,
	};
	snprintf(result->error, sizeof(result->error),
		 "No result within %" PRId64 "ms",
		 input->plan->answer_within_ms);
}

static void verdict_unknown(struct result *result)
{
	*result = (struct result){ .code = RESULT_UNKNOWN,
				   .error = "not checked yet" };
}

/* A background check was not run again in time: an old healthy result does not
 * count. */
static void verdict_stale(const struct verdict_input *input,
			  struct result *result)
{
	int64_t age_ms = verdict_age_ms(input, result);
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

/* Whether the results in the view are recent enough to answer with when the
 * question cannot wait for newer ones. */
static bool verdict_usable(const struct verdict_input *input, size_t first,
			   size_t end)
{
	size_t i;

	for (i = first; i < end; i++) {
		const struct result *result = &input->view->results[i];

		if (!verdict_came(result) ||
		    verdict_age_ms(input, result) >
			    input->plan->checks[i].policy.max_age_ms +
				    input->plan->answer_within_ms)
			return false;
	}
	return true;
}

/*
 * Only known failures count: a check without a result may have just begun, and
 * a restart would make it begin again. An old result (after a suspension, for
 * example) still counts; checks that no process runs are reported as `stuck`.
 */
static struct verdict verdict_live(const struct verdict_input *input)
{
	struct verdict verdict = verdict_say(200, "alive", NULL);
	struct result *result = input->view->results;
	size_t i, n = input->view->n;

	/* With a broken configuration there is nothing to run. */
	if (input->view->stuck && !input->plan->broken)
		return verdict_say(503, "stuck", NULL);
	verdict.show_service = true;
	for (i = 0; i < n; i++, result++) {
		if (!input->plan->checks[i].policy.live)
			continue;
		if (!verdict_came(result))
			verdict_unknown(result);
		else if (!result_healthy(result))
			verdict = (struct verdict){ .http = 503,
						    .status = "not_alive",
						    .show_checks = true,
						    .only_live = true,
						    .end = n };
	}
	return verdict;
}

/* Asked alone, a check stands for itself: whether it is required, and whether
 * we are draining, says nothing about it. */
static struct verdict verdict_ready(const struct verdict_input *input)
{
	bool one = input->route->probe == PROBE_CHECK;
	struct verdict verdict = {
		.http = 200,
		.status = "ready",
		.show_checks = true,
		.first = one ? input->route->check : 0,
		.end = one ? input->route->check + 1 : input->view->n,
	};
	size_t i;

	if (input->view->draining && !one)
		return verdict_say(503, "draining", NULL);
	if (input->plan->broken)
		return verdict_say(503, "not_ready", verdict_broken);
	assert(verdict.end <= input->view->n);
	if (input->busy && !verdict_usable(input, verdict.first, verdict.end))
		return verdict_say(503, "not_ready", "busy");
	for (i = verdict.first; i < verdict.end; i++) {
		if (verdict_judge(input, i))
			continue;
		if (one || input->plan->checks[i].policy.required) {
			verdict.http = 503;
			verdict.status = "not_ready";
		} else if (verdict.http == 200) {
			verdict.status = "degraded";
		}
	}
	return verdict;
}

static struct verdict verdict_started(const struct verdict_input *input)
{
	if (input->plan->broken)
		return verdict_say(503, "starting", verdict_broken);
	if (input->view->started)
		return verdict_say(200, "started", NULL);
	return (struct verdict){ .http = 503,
				 .status = "starting",
				 .detail = "Service is still initialising",
				 .show_waiting = true };
}

struct verdict verdict_make(const struct verdict_input *input)
{
	if (input->route->error == 405)
		return verdict_say(405, NULL, "method not allowed");
	if (input->route->error)
		return verdict_say(input->route->error, NULL, "not found");
	switch (input->route->probe) {
	case PROBE_LIVE:
		return verdict_live(input);
	case PROBE_STARTED:
		return verdict_started(input);
	case PROBE_READY:
	case PROBE_CHECK:
		break;
	}
	return verdict_ready(input);
}

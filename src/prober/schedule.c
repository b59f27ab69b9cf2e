#include "config.h"

#include "prober/schedule.h"

#include "board/board.h"
#include "base/clock.h"
#include "base/log.h"
#include "board/share.h"

/* A check that startup waits for is tried again after the first, then after
 * twice as long each time, up to the last. */
#define KEEPER_RETRY_FIRST_MS 500
#define KEEPER_RETRY_LAST_MS 5000
/* What is run ahead of time is to be there this part of its max_age before
 * the last result is too old: seventeen questions instead of sixteen. */
#define KEEPER_AHEAD_PART 16
/* With a shorter max_age it would be run all the time. */
#define KEEPER_AHEAD_MIN_MS 50

/* ---- the log ---- */

static void keeper_log(const struct keeper *keeper, const struct record *before,
		       const struct result *result)
{
	bool changed = before->runs == 0 || before->result.code != result->code;
	const char *name = keeper->setup->name;
	double ms = result->latency_us / 1000.0;

	if (!result_healthy(result))
		log_masked(changed ? LOG_WARN : LOG_DEBUG,
			   "check=%s code=%s ms=%.1f: %s%s%s%s%s", name,
			   result_word(result->code), ms, result->error,
			   result->step[0] ? ", " : "", result->step,
			   result->detail[0] ? ": " : "", result->detail);
	else if (before->failing_since_us)
		log_masked(
			LOG_INFO,
			"check=%s code=ok ms=%.1f: healthy again after %.1fs",
			name, ms,
			(double)(result->ended_us - before->failing_since_us) /
				1e6);
	else
		log_masked(changed ? LOG_INFO : LOG_DEBUG,
			   "check=%s code=ok ms=%.1f", name, ms);
}

/* ---- runs ---- */

static struct board_state keeper_state(const struct keeper *keeper)
{
	struct board_state state;

	board_state(keeper->world->board, keeper->place, &state);
	return state;
}

/* When a run that goes on must have ended. */
static int64_t keeper_until_ms(const struct keeper *keeper)
{
	return clock_ms() + keeper->setup->policy.timeout_ms + SHARE_SLACK_MS;
}

static void keeper_plan(struct keeper *keeper);

/* The run, if there is one, is that of another process. */
static void keeper_leave_to_others(struct keeper *keeper)
{
	keeper->held = false;
	keeper_plan(keeper);
	keeper->waiting = keeper_state(keeper).pending;
	if (keeper->waiting)
		keeper->world->look_soon(keeper->world->arg);
}

/* Begins a run, unless another process runs the check.  renew: the last result
 * is still valid. */
static void keeper_run(struct keeper *keeper, bool renew)
{
	if (check_running(keeper->check))
		return;
	if (!share_take(keeper->world->share, keeper->place,
			keeper_until_ms(keeper), renew)) {
		keeper_leave_to_others(keeper);
		return;
	}
	keeper->held = true;
	keeper->waiting = false;
	check_start(keeper->check);
}

/* Another process has taken over the check. */
static void keeper_lose(struct keeper *keeper)
{
	keeper_leave_to_others(keeper);
	check_release(keeper->check);
	log_masked(LOG_DEBUG, "check=%s is run by another process",
		   keeper->setup->name);
}

/* ---- what runs without being wanted ---- */

/* When to begin so that the next result is there in time. */
static int64_t keeper_ahead_ms(const struct keeper *keeper,
			       const struct result *last)
{
	int64_t max_age_ms = keeper->setup->policy.max_age_ms;
	int64_t lead_ms = last->latency_us / 1000 +
			  max_age_ms / KEEPER_AHEAD_PART;

	if (lead_ms > max_age_ms / 2)
		lead_ms = max_age_ms / 2;
	return last->ended_us / 1000 + max_age_ms - lead_ms;
}

/* Backs off with each run that failed, not with each time that this is asked:
 * any news does. */
static int64_t keeper_retry_ms(struct keeper *keeper, const struct result *last)
{
	if (!last->ended_us)
		return clock_ms() + keeper->retry_ms;
	if (keeper->retried_us && last->ended_us != keeper->retried_us)
		keeper->retry_ms *= 2;
	if (keeper->retry_ms > KEEPER_RETRY_LAST_MS)
		keeper->retry_ms = KEEPER_RETRY_LAST_MS;
	keeper->retried_us = last->ended_us;
	return last->ended_us / 1000 + keeper->retry_ms;
}

static int64_t keeper_sooner_ms(int64_t a_ms, int64_t b_ms)
{
	return a_ms < b_ms ? a_ms : b_ms;
}

/* When the next run that nobody wants is due; INT64_MAX: never. */
static int64_t keeper_due_ms(struct keeper *keeper)
{
	const struct check_policy *common = &keeper->setup->policy;
	struct board_state state = keeper_state(keeper);

	if (common->interval_ms && keeper->held)
		return keeper_sooner_ms(
			(state.result.ended_us - state.result.latency_us) /
					1000 +
				common->interval_ms,
			state.latched ? INT64_MAX
				      : keeper_retry_ms(keeper, &state.result));
	/* Who does not run it looks then whether anybody does. */
	if (common->interval_ms)
		return keeper_until_ms(keeper) + common->interval_ms;
	if (!keeper->held)
		return INT64_MAX;
	if (!state.latched)
		return keeper_retry_ms(keeper, &state.result);
	if (keeper->world->share && keeper->world->ahead &&
	    common->max_age_ms >= KEEPER_AHEAD_MIN_MS)
		return keeper_ahead_ms(keeper, &state.result);
	return INT64_MAX;
}

/* Arms the next background run, when there is to be one. */
static void keeper_plan(struct keeper *keeper)
{
	int64_t due_ms = keeper_due_ms(keeper), now_ms = clock_ms();

	if (due_ms == INT64_MAX)
		loop_timer_clear(keeper->world->loop, &keeper->next);
	else
		loop_timer_set(keeper->world->loop, &keeper->next,
			       due_ms < now_ms ? now_ms : due_ms);
}

/* Whether it was of use lately, here or in another process. */
static bool keeper_is_used(const struct keeper *keeper)
{
	int64_t ago_ms = clock_ms() -
			 share_used_ms(keeper->world->share, keeper->place);

	/* Whatever lies in the file: a use in the future is none. */
	return ago_ms >= 0 && ago_ms <= 2 * keeper->setup->policy.max_age_ms;
}

static void keeper_on_next(void *arg)
{
	struct keeper *keeper = arg;

	/* It may have been run by another process just now. */
	if (board_catch_up(keeper->world->board, keeper->place)) {
		keeper_plan(keeper);
		return;
	}
	if (keeper->setup->policy.interval_ms || !keeper_state(keeper).latched)
		keeper_run(keeper, false);
	else if (keeper_is_used(keeper))
		keeper_run(keeper, true);
}

static void keeper_on_result(void *arg, const struct result *result)
{
	struct keeper *keeper = arg;
	struct record before;

	if (!board_publish(keeper->world->board, keeper->place, result,
			   &before)) {
		keeper_lose(keeper);
		return;
	}
	keeper_log(keeper, &before, result);
	keeper_plan(keeper);
}

/* ---- the prober's side ---- */

int keeper_begin(struct keeper *keeper, const struct keeper_world *world,
		 const struct check_setup *setup, size_t place,
		 const struct check_env *env)
{
	*keeper = (struct keeper){
		.world = world,
		.setup = setup,
		.place = place,
		.next = { .on_time = keeper_on_next, .arg = keeper },
		.retry_ms = KEEPER_RETRY_FIRST_MS,
		.held = !world->share,
	};
	keeper->check = check_create(setup, env, keeper_on_result, keeper);
	return keeper->check ? 0 : -1;
}

void keeper_end(struct keeper *keeper)
{
	if (!keeper->world)
		return;
	loop_timer_clear(keeper->world->loop, &keeper->next);
	check_destroy(keeper->check);
}

void keeper_warm_up(struct keeper *keeper)
{
	board_catch_up(keeper->world->board, keeper->place);
	if (share_theirs(keeper->world->share, keeper->place))
		keeper_plan(keeper);
	else
		keeper_run(keeper, false);
}

void keeper_want(struct keeper *keeper)
{
	keeper_run(keeper, false);
}

void keeper_attend(struct keeper *keeper)
{
	struct share *share = keeper->world->share;

	if (keeper->held && share_ours(share, keeper->place) == SHARE_FREE)
		keeper_lose(keeper);
	if (board_catch_up(keeper->world->board, keeper->place))
		keeper_plan(keeper);
	keeper->waiting = keeper->waiting && keeper_state(keeper).pending;
	/* A run that was lost at this very moment is found the next time. */
	if (check_running(keeper->check))
		(void)share_extend(share, keeper->place,
				   keeper_until_ms(keeper));
	else if (keeper->waiting ||
		 share_ours(share, keeper->place) == SHARE_CALLED)
		keeper_run(keeper, false);
}

void keeper_part(struct keeper *keeper)
{
	keeper->held = true;
	if (keeper->waiting)
		keeper_run(keeper, false);
	else
		keeper_plan(keeper);
}

void keeper_join(struct keeper *keeper)
{
	/* Whoever is the first has every connection already, and keeps it. */
	if (!share_take(keeper->world->share, keeper->place,
			keeper_until_ms(keeper), false))
		keeper_lose(keeper);
	else if (!check_running(keeper->check))
		check_start(keeper->check);
}

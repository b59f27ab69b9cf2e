#include "config.h"

#include "prober/schedule.h"

#include "board/board.h"
#include "base/clock.h"
#include "base/log.h"
#include "board/share.h"

/* A check that startup waits for is tried again after the first, then after
 * twice as long each time, up to the last. */
#define SCHEDULE_RETRY_FIRST_MS 500
#define SCHEDULE_RETRY_LAST_MS 5000
/* A run ahead of time ends this part of its max_age before the last result is
 * too old: 17 questions instead of 16. */
#define SCHEDULE_AHEAD_PART 16
/* With a shorter max_age it would be run all the time. */
#define SCHEDULE_AHEAD_MIN_MS 50

/* ---- the log ---- */

static void schedule_log(const struct schedule *schedule,
			 const struct record *before,
			 const struct result *result)
{
	bool changed = before->runs == 0 || before->result.code != result->code;
	const char *name = schedule->setup->name;
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

static struct board_state schedule_state(const struct schedule *schedule)
{
	return board_state(schedule->world->board, schedule->index);
}

/* When a run that goes on must have ended. */
static int64_t schedule_until_ms(const struct schedule *schedule)
{
	return clock_ms() + schedule->setup->policy.timeout_ms + SHARE_SLACK_MS;
}

static void schedule_plan(struct schedule *schedule);

/* What belongs to the check is done for it (loop.h). */
static uint32_t schedule_own(const struct schedule *schedule)
{
	return loop_own(schedule->world->loop, (uint32_t)schedule->index + 1);
}

void schedule_run(struct schedule *schedule, bool renew)
{
	const struct schedule_world *world = schedule->world;
	uint32_t before;

	if (check_running(schedule->check))
		return;
	schedule->held = !world->elsewhere(world->arg, schedule->index) &&
			 share_take(world->share, schedule->index,
				    schedule_until_ms(schedule), renew);
	if (!schedule->held) {
		schedule_plan(schedule);
		return;
	}
	before = schedule_own(schedule);
	check_start(schedule->check);
	loop_own(world->loop, before);
}

/* Another process has taken over the check. */
static void schedule_lose(struct schedule *schedule)
{
	uint32_t before = schedule_own(schedule);

	schedule->held = false;
	check_release(schedule->check);
	loop_own(schedule->world->loop, before);
	schedule_plan(schedule);
	log_masked(LOG_DEBUG, "check=%s is run by another process",
		   schedule->setup->name);
}

/* ---- what runs without being wanted ---- */

/* When to begin a run so that its result comes in time. */
static int64_t schedule_ahead_ms(const struct schedule *schedule,
				 const struct result *last)
{
	int64_t max_age_ms = schedule->setup->policy.max_age_ms;
	int64_t lead_ms = last->latency_us / 1000 +
			  max_age_ms / SCHEDULE_AHEAD_PART;

	if (lead_ms > max_age_ms / 2)
		lead_ms = max_age_ms / 2;
	return last->ended_us / 1000 + max_age_ms - lead_ms;
}

/* While startup waits for the check, each run that failed doubles the delay. */
static void schedule_back_off(struct schedule *schedule,
			      const struct result *last)
{
	if (schedule->retried_us && last->ended_us != schedule->retried_us)
		schedule->retry_ms *= 2;
	if (schedule->retry_ms > SCHEDULE_RETRY_LAST_MS)
		schedule->retry_ms = SCHEDULE_RETRY_LAST_MS;
	schedule->retried_us = last->ended_us;
}

static int64_t schedule_retry_at_ms(const struct schedule *schedule,
				    const struct result *last)
{
	return schedule->retry_ms +
	       (last->ended_us ? last->ended_us / 1000 : clock_ms());
}

/* When the next run that no question waits for is due; INT64_MAX: never. */
static int64_t schedule_due_ms(const struct schedule *schedule,
			       const struct board_state *state)
{
	const struct check_policy *policy = &schedule->setup->policy;
	const struct result *last = &state->result;
	int64_t next_ms = (last->ended_us - last->latency_us) / 1000 +
			  policy->interval_ms;
	int64_t retry_ms = state->latched
				   ? INT64_MAX
				   : schedule_retry_at_ms(schedule, last);

	if (policy->interval_ms && schedule->held)
		return next_ms < retry_ms ? next_ms : retry_ms;
	/* Without the lease: look then whether another process runs it. */
	if (policy->interval_ms)
		return schedule_until_ms(schedule) + policy->interval_ms;
	if (!schedule->held)
		return INT64_MAX;
	if (!state->latched)
		return retry_ms;
	if (schedule->world->ahead && !share_is_alone(schedule->world->share) &&
	    policy->max_age_ms >= SCHEDULE_AHEAD_MIN_MS)
		return schedule_ahead_ms(schedule, last);
	return INT64_MAX;
}

/* Arms the next background run, if there is one. */
static void schedule_plan(struct schedule *schedule)
{
	struct board_state state = schedule_state(schedule);
	int64_t due_ms, now_ms = clock_ms();

	if (schedule->held && !state.latched)
		schedule_back_off(schedule, &state.result);
	due_ms = schedule_due_ms(schedule, &state);
	if (due_ms == INT64_MAX)
		loop_timer_clear(schedule->world->loop, &schedule->next);
	else
		loop_timer_set(schedule->world->loop, &schedule->next,
			       due_ms < now_ms ? now_ms : due_ms);
}

/* Whether a question used its result lately, here or in another process. */
static bool schedule_is_used(const struct schedule *schedule)
{
	int64_t ago_ms = clock_ms() -
			 share_used_ms(schedule->world->share, schedule->index);

	/* Ignore times in the future: the shared file may be corrupt. */
	return ago_ms >= 0 && ago_ms <= 2 * schedule->setup->policy.max_age_ms;
}

static void schedule_on_next(void *arg)
{
	struct schedule *schedule = arg;

	/* It may have been run by another process just now. */
	if (board_catch_up_with(schedule->world->board, schedule->index)) {
		schedule_plan(schedule);
		return;
	}
	if (schedule->setup->policy.interval_ms ||
	    !schedule_state(schedule).latched)
		schedule_run(schedule, false);
	else if (schedule_is_used(schedule))
		schedule_run(schedule, true);
}

static void schedule_on_result(void *arg, const struct result *result)
{
	struct schedule *schedule = arg;
	struct record before;

	if (!board_publish(schedule->world->board, schedule->index, result,
			   &before)) {
		schedule_lose(schedule);
		return;
	}
	schedule_log(schedule, &before, result);
	schedule_plan(schedule);
}

/* ---- the prober's side ---- */

int schedule_begin(struct schedule *schedule,
		   const struct schedule_world *world,
		   const struct check_setup *setup, size_t index,
		   const struct check_env *env)
{
	*schedule = (struct schedule){
		.world = world,
		.setup = setup,
		.index = index,
		.next = { .on_time = schedule_on_next, .arg = schedule },
		.retry_ms = SCHEDULE_RETRY_FIRST_MS,
	};
	schedule->check = check_create(setup, env, schedule_on_result,
				       schedule);
	return schedule->check ? 0 : -1;
}

void schedule_end(struct schedule *schedule)
{
	if (!schedule->world)
		return;
	loop_timer_clear(schedule->world->loop, &schedule->next);
	check_destroy(schedule->check);
}

void schedule_warm_up(struct schedule *schedule)
{
	board_catch_up_with(schedule->world->board, schedule->index);
	if (share_theirs(schedule->world->share, schedule->index))
		schedule_plan(schedule);
	else
		schedule_run(schedule, false);
}

void schedule_attend(struct schedule *schedule)
{
	struct share *share = schedule->world->share;

	if (schedule->held && share_ours(share, schedule->index) == SHARE_FREE)
		schedule_lose(schedule);
	if (board_catch_up_with(schedule->world->board, schedule->index))
		schedule_plan(schedule);
	/* A run that was lost at this very moment is found the next time. */
	if (check_running(schedule->check))
		(void)share_extend(share, schedule->index,
				   schedule_until_ms(schedule));
	else if (share_ours(share, schedule->index) == SHARE_CALLED)
		schedule_run(schedule, false);
}

#include "config.h"

#include "prober.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "admit.h"
#include "board.h"
#include "check.h"
#include "clock.h"
#include "curlio.h"
#include "drain.h"
#include "ear.h"
#include "log.h"
#include "loop.h"
#include "offload.h"
#include "resolve.h"
#include "settings.h"
#include "share.h"

/* A check that startup waits for is tried again after the first, then after
 * twice as long each time, up to the last. */
#define PROBER_RETRY_FIRST_MS 500
#define PROBER_RETRY_LAST_MS 5000
/* How long prober_stop() waits for the thread. */
#define PROBER_STOP_MS 500
/* While another process is to bring a result: how often we look whether it
 * still can.  And how often otherwise. */
#define PROBER_LOOK_MS 50
#define PROBER_IDLE_LOOK_MS 1000
/* What is run ahead of time is to be there this part of its max_age before
 * the last result is too old: the seventeenth question in sixteen times. */
#define PROBER_AHEAD_PART 16
/* Shorter ones would be run all the time. */
#define PROBER_AHEAD_MIN_MS 50

/* One check and what the prober knows about it beyond the run under way. */
struct prober_item {
	struct prober *prober;
	const struct check_setup *setup;
	struct check *check;
	struct loop_timer next; /* the background run */
	int64_t retry_ms;	/* while startup waits for it */
	bool held;		/* its lease is ours */
	bool waiting;		/* for the result of another process */
};

struct prober {
	struct board *board;
	struct share *share; /* NULL: we are alone */
	struct ear *ear;
	uint32_t news;		/* of the share, as last looked at */
	struct loop_timer look; /* at it again */
	struct check_env env;
	struct drain *drain;
	bool warm;
	pthread_t thread;
	int ended_fd; /* readable when the thread has ended */
	size_t n;
	struct prober_item items[];
};

/* ---- the log ---- */

static void prober_log(const struct prober_item *item,
		       const struct record *before, const struct result *result)
{
	bool changed = before->runs == 0 || before->result.code != result->code;
	double ms = result->latency_us / 1000.0;

	if (!result_healthy(result))
		log_line(changed ? LOG_WARN : LOG_DEBUG,
			 "check=%s code=%s ms=%.1f: %s%s%s%s%s",
			 item->setup->name, result_word(result->code), ms,
			 result->error, result->step[0] ? ", " : "",
			 result->step, result->detail[0] ? ": " : "",
			 result->detail);
	else if (before->failing_since_us)
		log_info("check=%s code=ok ms=%.1f: healthy again after %.1fs",
			 item->setup->name, ms,
			 (double)(result->ended_us - before->failing_since_us) /
				 1e6);
	else
		log_line(changed ? LOG_INFO : LOG_DEBUG,
			 "check=%s code=ok ms=%.1f", item->setup->name, ms);
}

/* ---- runs ---- */

static size_t prober_place(const struct prober_item *item)
{
	return (size_t)(item - item->prober->items);
}

static bool prober_is_pending(const struct prober_item *item)
{
	struct board_state state;

	board_state(item->prober->board, prober_place(item), &state);
	return state.pending;
}

/* When a run that goes on must have ended. */
static int64_t prober_until_ms(const struct prober_item *item)
{
	return clock_ms() + item->setup->common.timeout_ms + SHARE_SLACK_MS;
}

static void prober_look_soon(struct prober *prober)
{
	loop_timer_set(prober->env.loop, &prober->look,
		       clock_ms() + PROBER_LOOK_MS);
	ear_listen(prober->ear, true);
}

/* Begins a run, unless another process runs the check. */
static void prober_begin(struct prober_item *item, bool renew)
{
	struct prober *prober = item->prober;
	bool ours;

	if (check_running(item->check))
		return;
	ours = share_take(prober->share, prober_place(item),
			  prober_until_ms(item), renew);
	item->held = ours;
	item->waiting = !ours && prober_is_pending(item);
	if (ours)
		check_start(item->check);
	else if (item->waiting)
		prober_look_soon(prober);
}

/* Another process has taken over the check. */
static void prober_lose(struct prober_item *item)
{
	item->held = false;
	item->waiting = prober_is_pending(item);
	if (item->waiting)
		prober_look_soon(item->prober);
	check_release(item->check);
	log_debug("check=%s is run by another process", item->setup->name);
}

/* ---- what runs without being asked ---- */

/* Nobody asks for it now: only when it was asked for lately. */
static bool prober_is_used(const struct prober_item *item)
{
	int64_t used_ms = share_used_ms(item->prober->share,
					prober_place(item));

	return clock_ms() - used_ms <= 2 * item->setup->common.max_age_ms;
}

/* When to begin so that the next result is there in time. */
static int64_t prober_ahead_ms(const struct prober_item *item,
			       const struct result *last)
{
	int64_t max_age_ms = item->setup->common.max_age_ms;
	int64_t lead_ms = last->latency_us / 1000 +
			  max_age_ms / PROBER_AHEAD_PART;

	if (lead_ms > max_age_ms / 2)
		lead_ms = max_age_ms / 2;
	return last->ended_us / 1000 + max_age_ms - lead_ms;
}

/* When the next background run is due; INT64_MAX: never. */
static int64_t prober_due_ms(struct prober_item *item)
{
	const struct check_common *common = &item->setup->common;
	struct prober *prober = item->prober;
	struct board_state state;

	board_state(prober->board, prober_place(item), &state);
	if (common->interval_ms && item->held)
		return (state.result.ended_us - state.result.latency_us) /
			       1000 +
		       common->interval_ms;
	/* Who does not run it looks whether it is run. */
	if (common->interval_ms)
		return prober_until_ms(item) + common->interval_ms;
	if (!item->held)
		return INT64_MAX;
	if (!state.latched) {
		int64_t at_ms = clock_ms() + item->retry_ms;

		item->retry_ms *= 2;
		if (item->retry_ms > PROBER_RETRY_LAST_MS)
			item->retry_ms = PROBER_RETRY_LAST_MS;
		return at_ms;
	}
	if (prober->share && prober->warm &&
	    common->max_age_ms >= PROBER_AHEAD_MIN_MS)
		return prober_ahead_ms(item, &state.result);
	return INT64_MAX;
}

/* Arms the next background run, when there is to be one. */
static void prober_plan(struct prober_item *item)
{
	int64_t due_ms = prober_due_ms(item), now_ms = clock_ms();

	if (due_ms == INT64_MAX)
		loop_timer_clear(item->prober->env.loop, &item->next);
	else
		loop_timer_set(item->prober->env.loop, &item->next,
			       due_ms < now_ms ? now_ms : due_ms);
}

static void prober_on_next(void *arg)
{
	struct prober_item *item = arg;
	struct board_state state;

	/* Maybe it was run by another process just now. */
	if (board_catch_up(item->prober->board, prober_place(item))) {
		prober_plan(item);
		return;
	}
	board_state(item->prober->board, prober_place(item), &state);
	if (item->setup->common.interval_ms || !state.latched)
		prober_begin(item, false);
	else if (prober_is_used(item))
		prober_begin(item, true);
	if (!item->held)
		prober_plan(item);
}

static void prober_on_result(void *arg, const struct result *result)
{
	struct prober_item *item = arg;
	struct record before;

	if (!board_publish(item->prober->board, prober_place(item), result,
			   &before)) {
		prober_lose(item);
		return;
	}
	prober_log(item, &before, result);
	prober_plan(item);
}

static void prober_want(void *arg, size_t place)
{
	struct prober *prober = arg;

	prober_begin(&prober->items[place], false);
}

/* ---- the other processes ---- */

/* Looks what they did to one check.  true: we wait for them. */
static bool prober_attend_item(struct prober_item *item)
{
	struct prober *prober = item->prober;
	size_t place = prober_place(item);
	enum share_lease lease = share_ours(prober->share, place);

	if (item->held && lease == SHARE_FREE) {
		prober_lose(item);
		prober_plan(item);
	}
	if (board_catch_up(prober->board, place))
		prober_plan(item);
	if (check_running(item->check))
		share_extend(prober->share, place, prober_until_ms(item));
	else if (lease == SHARE_CALLED)
		prober_begin(item, false);
	else if (item->waiting && !prober_is_pending(item))
		item->waiting = false;
	else if (item->waiting)
		prober_begin(item, false);
	return item->waiting;
}

static void prober_attend(void *arg)
{
	struct prober *prober = arg;
	bool waiting = false, held = false;
	size_t i;

	prober->news = share_news(prober->share);
	for (i = 0; i < prober->n; i++) {
		waiting = prober_attend_item(&prober->items[i]) || waiting;
		held = held || prober->items[i].held;
	}
	ear_listen(prober->ear, waiting || held);
	loop_timer_set(
		prober->env.loop, &prober->look,
		clock_ms() + (waiting ? PROBER_LOOK_MS : PROBER_IDLE_LOOK_MS));
}

/* Goes on alone when the file is no more what it was. */
static bool prober_share_holds(struct prober *prober)
{
	char reason[PATH_MAX + 64];
	size_t i;

	if (share_intact(prober->share, reason, sizeof(reason)))
		return true;
	log_warn("%s; this process shares no results any more", reason);
	ear_listen(prober->ear, false);
	board_part(prober->board);
	prober->share = NULL;
	loop_timer_clear(prober->env.loop, &prober->look);
	for (i = 0; i < prober->n; i++) {
		prober->items[i].held = true;
		if (prober->items[i].waiting)
			prober_begin(&prober->items[i], false);
		else
			prober_plan(&prober->items[i]);
	}
	return false;
}

static void prober_on_look(void *arg)
{
	struct prober *prober = arg;

	if (prober_share_holds(prober))
		prober_attend(prober);
}

static void prober_on_turn(void *arg)
{
	struct prober *prober = arg;

	board_beat(prober->board);
	if (prober->share && share_news(prober->share) != prober->news)
		prober_attend(prober);
	board_take_wanted(prober->board, prober_want, prober);
}

/* Runs a check before anybody asks, unless somebody else does so. */
static void prober_warm_up(struct prober_item *item)
{
	struct prober *prober = item->prober;
	size_t place = prober_place(item);

	board_catch_up(prober->board, place);
	if (share_theirs(prober->share, place))
		prober_plan(item);
	else
		prober_begin(item, false);
}

static void *prober_main(void *arg)
{
	struct prober *prober = arg;
	size_t i;

	for (i = 0; prober->warm && i < prober->n; i++)
		prober_warm_up(&prober->items[i]);
	if (prober->share)
		prober_attend(prober);
	loop_run(prober->env.loop, prober_on_turn, prober);
	eventfd_write(prober->ended_fd, 1);
	return NULL;
}

/* ---- start and stop ---- */

static void prober_wake(void *arg)
{
	loop_wake(arg);
}

static void prober_free(struct prober *prober)
{
	size_t i;

	for (i = 0; i < prober->n; i++) {
		if (prober->env.loop)
			loop_timer_clear(prober->env.loop,
					 &prober->items[i].next);
		check_destroy(prober->items[i].check);
	}
	ear_stop(prober->ear);
	drain_destroy(prober->drain);
	curlio_destroy(prober->env.curlio);
	offload_destroy(prober->env.offload);
	resolver_destroy(prober->env.resolver);
	admit_destroy(prober->env.admit);
	loop_destroy(prober->env.loop);
	if (prober->ended_fd >= 0)
		close(prober->ended_fd);
	free(prober);
}

static int prober_make_env(struct check_env *env, size_t checks)
{
	env->loop = loop_create();
	if (!env->loop)
		return -1;
	env->admit = admit_create(env->loop);
	env->resolver = resolver_create(env->loop);
	env->offload = offload_create(env->loop);
	/* A warm connection and a hedge for each. */
	env->curlio = curlio_create(env->loop, (long)checks * 2);
	if (!env->admit || !env->resolver || !env->offload || !env->curlio)
		return -1;
	return 0;
}

static int prober_make_items(struct prober *prober,
			     const struct settings *settings)
{
	size_t i;

	for (i = 0; i < settings->n; i++) {
		struct prober_item *item = &prober->items[i];

		item->prober = prober;
		item->setup = &settings->checks[i];
		item->held = !prober->share;
		item->retry_ms = PROBER_RETRY_FIRST_MS;
		item->next.on_time = prober_on_next;
		item->next.arg = item;
		item->check = check_create(item->setup, &prober->env,
					   prober_on_result, item);
		if (!item->check)
			return -1;
	}
	return 0;
}

static int prober_make(struct prober *prober, const struct settings *settings)
{
	const char *drain_file = settings->health.drain_file;

	prober->ended_fd = eventfd(0, EFD_CLOEXEC);
	if (prober->ended_fd < 0)
		return -1;
	if (prober_make_env(&prober->env, settings->n) ||
	    prober_make_items(prober, settings))
		return -1;
	if (drain_file[0]) {
		prober->drain = drain_create(drain_file, prober->board,
					     prober->env.loop,
					     prober->env.offload);
		if (!prober->drain)
			return -1;
	}
	if (prober->share) {
		prober->look.on_time = prober_on_look;
		prober->look.arg = prober;
		prober->ear = ear_start(prober->share, prober->env.loop);
		if (!prober->ear)
			return -1;
	}
	if (pthread_create(&prober->thread, NULL, prober_main, prober))
		return -1;
	/* Not before: responders would go on waking a loop that is gone.  What
	 * became wanted meanwhile is found by this wake. */
	board_on_wanted(prober->board, prober_wake, prober->env.loop);
	loop_wake(prober->env.loop);
	return 0;
}

struct prober *prober_start(const struct settings *settings,
			    struct board *board, struct share *share, bool warm)
{
	struct prober *prober;

	prober = calloc(1,
			sizeof(*prober) + settings->n * sizeof(*prober->items));
	if (!prober) {
		log_err("cannot start the prober: out of memory");
		return NULL;
	}
	prober->board = board;
	prober->share = share;
	prober->warm = warm;
	prober->n = settings->n;
	if (prober_make(prober, settings)) {
		log_err("cannot start the prober: "
			"out of memory, descriptors or threads");
		prober_free(prober);
		return NULL;
	}
	pthread_setname_np(prober->thread, "prober");
	return prober;
}

int prober_stop(struct prober *prober)
{
	struct pollfd ended = { .fd = prober->ended_fd, .events = POLLIN };
	int n;

	loop_stop(prober->env.loop);
	/* ThreadSanitizer does not know pthread_clockjoin_np(). */
	do
		n = poll(&ended, 1, PROBER_STOP_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		log_err("the prober does not come to an end");
		return -1;
	}
	pthread_join(prober->thread, NULL);
	prober_free(prober);
	return 0;
}

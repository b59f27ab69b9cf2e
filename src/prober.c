#include "config.h"

#include "prober.h"

#include <errno.h>
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
#include "log.h"
#include "loop.h"
#include "offload.h"
#include "resolve.h"
#include "settings.h"

/* A check that startup waits for is tried again after the first, then after
 * twice as long each time, up to the last. */
#define PROBER_RETRY_FIRST_MS 500
#define PROBER_RETRY_LAST_MS 5000
/* How long prober_stop() waits for the thread. */
#define PROBER_STOP_MS 500

/* One check and what the prober knows about it beyond the run under way. */
struct prober_item {
	struct prober *prober;
	const struct check_setup *setup;
	struct check *check;
	struct loop_timer next;	  /* the background run */
	int64_t retry_ms;	  /* while startup waits for it */
	int32_t code;		  /* of the last result */
	int64_t failing_since_us; /* 0: healthy, or nothing known */
};

struct prober {
	struct board *board;
	struct check_env env;
	struct drain *drain;
	bool warm;
	pthread_t thread;
	int ended_fd; /* readable when the thread has ended */
	size_t n;
	struct prober_item items[];
};

/* ---- the log ---- */

static void prober_log(struct prober_item *item, const struct result *result)
{
	bool changed = item->code != result->code;
	double ms = result->latency_us / 1000.0;

	if (!result_healthy(result)) {
		log_line(changed ? LOG_WARN : LOG_DEBUG,
			 "check=%s code=%s ms=%.1f: %s%s%s%s%s",
			 item->setup->name, result_word(result->code), ms,
			 result->error, result->step[0] ? ", " : "",
			 result->step, result->detail[0] ? ": " : "",
			 result->detail);
		if (!item->failing_since_us)
			item->failing_since_us = result->ended_us;
	} else if (item->failing_since_us) {
		log_info("check=%s code=ok ms=%.1f: healthy again after %.1fs",
			 item->setup->name, ms,
			 (double)(result->ended_us - item->failing_since_us) /
				 1e6);
		item->failing_since_us = 0;
	} else {
		log_line(changed ? LOG_INFO : LOG_DEBUG,
			 "check=%s code=ok ms=%.1f", item->setup->name, ms);
	}
	item->code = result->code;
}

/* ---- runs ---- */

static void prober_run_item(void *arg)
{
	struct prober_item *item = arg;

	check_start(item->check);
}

/* Arms the next background run, when there is to be one. */
static void prober_plan(struct prober_item *item, const struct result *result)
{
	struct prober *prober = item->prober;
	const struct check_common *common = &item->setup->common;
	size_t place = (size_t)(item - prober->items);
	int64_t now = clock_ms(), at_ms;

	if (common->interval_ms) {
		at_ms = (result->ended_us - result->latency_us) / 1000 +
			common->interval_ms;
	} else if (!board_latched(prober->board, place)) {
		at_ms = now + item->retry_ms;
		item->retry_ms *= 2;
		if (item->retry_ms > PROBER_RETRY_LAST_MS)
			item->retry_ms = PROBER_RETRY_LAST_MS;
	} else {
		return;
	}
	loop_timer_set(prober->env.loop, &item->next,
		       at_ms < now ? now : at_ms);
}

static void prober_on_result(void *arg, const struct result *result)
{
	struct prober_item *item = arg;
	struct prober *prober = item->prober;

	board_publish(prober->board, (size_t)(item - prober->items), result);
	prober_log(item, result);
	prober_plan(item, result);
}

static void prober_want(void *arg, size_t place)
{
	struct prober *prober = arg;

	check_start(prober->items[place].check);
}

static void prober_on_turn(void *arg)
{
	struct prober *prober = arg;

	board_beat(prober->board);
	board_take_wanted(prober->board, prober_want, prober);
}

static void *prober_main(void *arg)
{
	struct prober *prober = arg;
	size_t i;

	for (i = 0; prober->warm && i < prober->n; i++)
		check_start(prober->items[i].check);
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
		item->code = RESULT_UNKNOWN;
		item->retry_ms = PROBER_RETRY_FIRST_MS;
		item->next.on_time = prober_run_item;
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
	if (pthread_create(&prober->thread, NULL, prober_main, prober))
		return -1;
	/* Not before: responders would go on waking a loop that is gone.  What
	 * became wanted meanwhile is found by this wake. */
	board_on_wanted(prober->board, prober_wake, prober->env.loop);
	loop_wake(prober->env.loop);
	return 0;
}

struct prober *prober_start(const struct settings *settings,
			    struct board *board, bool warm)
{
	struct prober *prober;

	prober = calloc(1,
			sizeof(*prober) + settings->n * sizeof(*prober->items));
	if (!prober) {
		log_err("cannot start the prober: out of memory");
		return NULL;
	}
	prober->board = board;
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

/*
 * The board under a clock of our own, then under many threads.
 */
#include "config.h"

#include "fake_clock.h"

#include "board/board.c"
#include "board/share.c"
#include "board/share_file.c"

#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "fake_log.h"
#include "fake_plan.h"
#include "fake_share.h"
#include "unit.h"

/* ---- neighbours ---- */

#define MAX 8
#define NOW 5000000000

static struct board *board;
static struct result results[MAX];
static bool latched[MAX], late[MAX];
static struct board_view view = { .results = results,
				  .latched = latched,
				  .late = late };
static int wakes, heards;

static void on_wake(void *arg)
{
	CHECK(arg == &wakes);
	wakes++;
}

static void on_heard(void *arg)
{
	CHECK(arg == &heards);
	heards++;
}

static struct plan *plan;
static struct share *share;

static void world(size_t n, int64_t max_age_ms)
{
	size_t i;

	free(plan);
	plan = fake_plan(n);
	for (i = 0; i < n; i++) {
		plan->checks[i].policy.max_age_ms = max_age_ms;
		plan->checks[i].policy.startup = i != 2;
		plan->checks[i].policy.live = i == 1;
	}
	fake_us = NOW;
	wakes = heards = 0;
	memset(results, 0, sizeof(results));
	share = fake_share(n);
	board = board_create(plan, share);
	board_on_wanted(board, on_wake, &wakes);
	board_on_published(board, on_heard, &heards);
}

static void world_end(void)
{
	board_destroy(board);
	share_close(share);
}

static bool ask_at(enum probe probe, size_t check, int64_t asked_us)
{
	struct board_question question = { .probe = probe,
					   .check = check,
					   .asked_us = asked_us };

	return board_ask(board, &question, &view);
}

static bool ask(enum probe probe)
{
	return ask_at(probe, 0, fake_us);
}

static void publish_at(size_t check, enum result_code code, int64_t ended_us,
		       int32_t latency_us)
{
	struct result result = { .code = code,
				 .latency_us = latency_us,
				 .ended_us = ended_us };

	/* Its holder is the only one, so every result counts. */
	CHECK(fake_share_publish(share, board, check, &result));
}

static bool is_latched(size_t check)
{
	struct board_state state;

	state = board_state(board, check);
	return state.latched;
}

static void publish(size_t check, enum result_code code)
{
	publish_at(check, code, fake_us, 100);
}

static unsigned taken;

static void want(void *arg, size_t check, uint64_t seen)
{
	(void)seen;
	CHECK(arg == &taken);
	CHECK(!(taken & 1u << check));
	taken |= 1u << check;
}

/* Which checks are wanted and were not taken yet, as bits. */
static unsigned take(void)
{
	taken = 0;
	CHECK_INT(board_take_wanted(board, false, want, &taken), taken != 0);
	return taken;
}

/* ---- freshness ---- */

static void test_first(void)
{
	world(2, 1000);
	CHECK(!ask(PROBE_READY));
	CHECK_INT(wakes, 1);
	CHECK_INT(take(), 3);
	CHECK_INT(take(), 0);
	publish(0, RESULT_OK);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	publish(1, RESULT_TIMEOUT);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(view.n, 2);
	CHECK_INT(results[0].code, RESULT_OK);
	CHECK_INT(results[1].code, RESULT_TIMEOUT);
	CHECK_INT(view.now_ms, NOW / 1000);
	CHECK_INT(wakes, 1);
	CHECK_INT(take(), 0);
	world_end();
}

static void test_max_age(void)
{
	world(1, 1000);
	publish(0, RESULT_OK);
	fake_us += 1000000;
	CHECK(ask(PROBE_READY));
	fake_us += 1;
	CHECK(!ask(PROBE_READY));
	CHECK_INT(take(), 1);
	/* The question counts, not when it is looked at again. */
	CHECK(ask_at(PROBE_READY, 0, NOW + 1000000));
	fake_us += 600000000;
	CHECK(ask_at(PROBE_READY, 0, NOW + 1000000));
	world_end();
}

/* Nothing older than the question: to the microsecond. */
static void test_max_age_zero(void)
{
	world(1, 0);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	fake_us = NOW + 1;
	publish(0, RESULT_OK);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK(ask_at(PROBE_READY, 0, NOW + 1));
	CHECK(!ask_at(PROBE_READY, 0, NOW + 2));
	CHECK_INT(take(), 1);
	world_end();
}

/* A run under way is joined: one question to the dependency for all. */
static void test_join(void)
{
	int i;

	world(1, 0);
	for (i = 0; i < 1000; i++)
		CHECK(!ask_at(PROBE_READY, 0, NOW + i));
	CHECK_INT(wakes, 1);
	CHECK_INT(take(), 1);
	for (i = 0; i < 1000; i++)
		CHECK(!ask_at(PROBE_READY, 0, NOW + 1000 + i));
	CHECK_INT(wakes, 1);
	CHECK_INT(take(), 0);
	fake_us = NOW + 5000;
	publish(0, RESULT_OK);
	CHECK_INT(heards, 1);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK(ask_at(PROBE_READY, 0, NOW + 1999));
	CHECK_INT(take(), 0);
	world_end();
}

/*
 * A result that was made before the question and is published after it: it
 * answers no question, and the question must not be forgotten.
 */
static void test_crossing(void)
{
	world(1, 0);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(take(), 1);
	publish_at(0, RESULT_OK, NOW - 1, 100);
	CHECK_INT(heards, 1);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(wakes, 2);
	CHECK_INT(take(), 1);
	publish_at(0, RESULT_OK, NOW + 1, 100);
	CHECK_INT(heards, 2);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	world_end();

	/* Likewise when another one is waited for at the time. */
	world(2, 0);
	publish_at(0, RESULT_OK, NOW - 5000, 1000);
	publish_at(1, RESULT_OK, NOW - 5000, 10);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(take(), 3);
	publish_at(1, RESULT_OK, NOW - 1, 10);
	publish_at(0, RESULT_OK, NOW + 1000, 1000);
	CHECK_INT(heards, 1);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(take(), 2);
	publish_at(1, RESULT_OK, NOW + 2000, 10);
	CHECK_INT(heards, 2);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	world_end();
}

/* ---- scopes ---- */

static void test_one(void)
{
	world(3, 0);
	CHECK(!ask_at(PROBE_CHECK, 1, NOW));
	CHECK_INT(take(), 2);
	memset(results, 7, sizeof(results));
	publish(1, RESULT_OK);
	CHECK_INT(heards, 1);
	CHECK(ask_at(PROBE_CHECK, 1, NOW));
	CHECK_INT(results[1].code, RESULT_OK);
	CHECK_INT(results[0].code, 0x07070707); /* left as it was */
	CHECK_INT(take(), 0);
	world_end();
}

static void test_started(void)
{
	world(3, 1000);
	CHECK(!is_latched(0));
	CHECK(is_latched(2)); /* no startup check */
	CHECK(!ask(PROBE_STARTED));
	CHECK_INT(take(), 3);
	/* The first result is waited for, whatever it says. */
	publish(0, RESULT_REFUSED);
	publish(1, RESULT_OK);
	CHECK(ask(PROBE_STARTED));
	CHECK(!view.started);
	CHECK(!latched[0]);
	CHECK(latched[1]);
	/* The process that runs the check tries again by itself. */
	fake_us += BOARD_RETRY_MS * 1000;
	CHECK(ask(PROBE_STARTED));
	CHECK_INT(take(), 0);
	/* Unless it is gone. */
	fake_us += 1000;
	CHECK(!ask(PROBE_STARTED));
	CHECK_INT(take(), 1);
	publish(0, RESULT_OK);
	CHECK(is_latched(0));
	CHECK(ask(PROBE_STARTED));
	CHECK(view.started);
	/* Once and for all. */
	publish(0, RESULT_REFUSED);
	publish(1, RESULT_REFUSED);
	CHECK(ask(PROBE_STARTED));
	CHECK(view.started);
	world_end();
}

static void test_live(void)
{
	world(3, 0);
	CHECK(ask(PROBE_LIVE));
	publish(1, RESULT_MISSING);
	fake_us += 1000000000;
	CHECK(ask(PROBE_LIVE));
	CHECK_INT(results[1].code, RESULT_MISSING);
	CHECK_INT(take(), 0);
	CHECK_INT(wakes, 0);
	world_end();
}

static void test_look(void)
{
	struct board_question question = { .probe = PROBE_READY,
					   .asked_us = NOW };

	world(2, 0);
	board_look(board, &question, &view);
	CHECK_INT(results[0].ended_us, 0);
	CHECK_INT(take(), 0);
	CHECK_INT(wakes, 0);
	publish(0, RESULT_OK);
	board_look(board, &question, &view);
	CHECK_INT(results[0].ended_us, NOW);
	CHECK(!view.draining);
	/* A service that has no file for it never drains. */
	board_set_draining(board, true);
	board_look(board, &question, &view);
	CHECK(!view.draining);
	board->drain_expected = true;
	board_set_draining(board, true);
	board_look(board, &question, &view);
	CHECK(view.draining);
	/* While draining, readiness asks no check and does not wait; one check
	 * is asked. */
	CHECK(ask(PROBE_READY));
	CHECK_INT(take(), 0);
	CHECK(!ask(PROBE_STARTED));
	board_set_draining(board, false);
	board_look(board, &question, &view);
	CHECK(!view.draining);
	world_end();
}

static void test_nothing(void)
{
	world(0, 0);
	CHECK(ask(PROBE_READY));
	CHECK(ask(PROBE_STARTED));
	CHECK(view.started);
	CHECK(ask(PROBE_LIVE));
	CHECK_INT(take(), 0);
	world_end();
	board_destroy(NULL);
}

/* ---- notifications ---- */

static void test_heard(void)
{
	/* No waiter: no notification. */
	world(3, 0);
	publish(0, RESULT_OK);
	publish(1, RESULT_OK);
	CHECK_INT(heards, 0);

	/* For everything: told once, when the last one is there. */
	fake_us += 10;
	CHECK(!ask_at(PROBE_READY, 0, NOW + 10));
	CHECK(!ask_at(PROBE_READY, 0, NOW + 10));
	fake_us += 10;
	publish(2, RESULT_OK);
	CHECK_INT(heards, 0);
	publish(0, RESULT_OK);
	CHECK_INT(heards, 0);
	publish(1, RESULT_OK);
	CHECK_INT(heards, 1);
	CHECK(ask_at(PROBE_READY, 0, NOW + 10));
	publish(1, RESULT_OK);
	CHECK_INT(heards, 1);

	/* For one: told when it is there, whatever else is missing. */
	fake_us += 10;
	CHECK(!ask_at(PROBE_READY, 0, fake_us));
	CHECK(!ask_at(PROBE_CHECK, 0, fake_us));
	publish(0, RESULT_OK);
	CHECK_INT(heards, 2);
	/* All that waited ask again, and only what is missing is awaited. */
	CHECK(!ask_at(PROBE_READY, 0, fake_us));
	publish(2, RESULT_OK);
	publish(1, RESULT_OK);
	CHECK_INT(heards, 3);
	CHECK(ask_at(PROBE_READY, 0, fake_us));
	world_end();
}

/* Later questions need newer results than the first that waits. */
static void test_heard_later(void)
{
	world(2, 0);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(take(), 3);
	publish_at(0, RESULT_OK, NOW + 10, 10);
	CHECK(!ask_at(PROBE_READY, 0, NOW + 20));
	CHECK_INT(take(), 1);
	publish_at(1, RESULT_OK, NOW + 30, 10);
	/* The first has all it needs. */
	CHECK_INT(heards, 1);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK(!ask_at(PROBE_READY, 0, NOW + 20));
	publish_at(0, RESULT_OK, NOW + 40, 10);
	CHECK_INT(heards, 2);
	CHECK(ask_at(PROBE_READY, 0, NOW + 20));
	world_end();
}

static void test_no_ears(void)
{
	world(1, 0);
	board_on_wanted(board, NULL, NULL);
	board_on_published(board, NULL, NULL);
	CHECK(!ask(PROBE_READY));
	publish(0, RESULT_OK);
	fake_us++;
	/* A later question finds it. */
	CHECK(!ask(PROBE_READY));
	board_on_wanted(board, on_wake, &wakes);
	CHECK_INT(take(), 1);
	world_end();
}

static void want_and_publish(void *arg, size_t check, uint64_t seen)
{
	(void)seen;
	(void)arg;
	publish(check, RESULT_OK);
}

static void test_publish_inside(void)
{
	world(3, 0);
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK(board_take_wanted(board, false, want_and_publish, NULL));
	CHECK_INT(heards, 1);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(take(), 0);
	world_end();
}

/* What is missing is asked for again and again. */
static void test_again(void)
{
	world(2, 0);
	CHECK(!board_take_wanted(board, true, want, &taken));
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(take(), 3);
	taken = 0;
	CHECK(board_take_wanted(board, true, want, &taken));
	CHECK_INT(taken, 3);
	publish(0, RESULT_OK);
	CHECK_INT(take(), 0);
	taken = 0;
	CHECK(board_take_wanted(board, true, want, &taken));
	CHECK_INT(taken, 2);
	publish(1, RESULT_OK);
	CHECK(!board_take_wanted(board, true, want, &taken));
	world_end();
}

/* ---- another process ---- */

/* The worker has a board of its own, on the same share. */
static struct board *worker;

static void worker_world(size_t n)
{
	world(n, 0);
	plan->drains = true;
	board_destroy(board);
	board = board_create(plan, share);
	board_on_wanted(board, on_wake, &wakes);
	board_on_published(board, on_heard, &heards);
	worker = board_create(plan, share);
	board_set_draining(worker, false);
}

static void worker_world_end(void)
{
	board_destroy(worker);
	world_end();
}

static void worker_publish(size_t check, enum result_code code)
{
	struct result result = { .code = code, .ended_us = fake_us };

	CHECK(fake_share_publish(share, worker, check, &result));
}

static void test_catch_up(void)
{
	worker_world(2);
	CHECK(!board_catch_up(board));
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	worker_publish(0, RESULT_OK);
	/* It is still waiting for the other one. */
	CHECK(!board_catch_up(board));
	taken = 0;
	board_take_wanted(board, true, want, &taken);
	CHECK_INT(taken, 2);
	worker_publish(1, RESULT_REFUSED);
	CHECK(board_catch_up(board));
	CHECK(!board_catch_up(board));
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(results[1].code, RESULT_REFUSED);
	/* No question waits for this. */
	fake_us += 1000;
	worker_publish(1, RESULT_OK);
	CHECK(!board_catch_up(board));
	CHECK(ask(PROBE_LIVE));
	CHECK_INT(results[1].code, RESULT_OK);
	/* The caller wakes them, not the board. */
	CHECK_INT(heards, 0);

	/* One check. */
	fake_us += 1000;
	worker_publish(0, RESULT_REFUSED);
	CHECK(!board_catch_up_with(board, 1));
	CHECK(board_catch_up_with(board, 0));
	CHECK(!board_catch_up_with(board, 0));
	worker_world_end();
}

/* A question waits until a process has looked for the drain file. */
static void test_drain_wanted(void)
{
	uint32_t told;

	worker_world(1);
	worker_publish(0, RESULT_OK);
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(wakes, 0);
	CHECK(!board_wants_drain(board));

	fake_us = NOW + BOARD_DRAIN_MS * 1000;
	CHECK(ask_at(PROBE_READY, 0, NOW));
	fake_us += 1000;
	CHECK(!ask_at(PROBE_READY, 0, NOW));
	CHECK_INT(wakes, 1);
	CHECK(!board_take_wanted(board, true, want, &taken));
	CHECK(board_wants_drain(board));
	CHECK(!board_catch_up(board));
	/* Nothing else waits for it. */
	CHECK(ask_at(PROBE_CHECK, 0, NOW));
	CHECK(ask(PROBE_LIVE));
	told = share_news(share);
	board_set_draining(worker, false);
	CHECK(share_news(share) != told);
	CHECK(!board_wants_drain(board));
	CHECK(board_catch_up(board));
	CHECK(!board_catch_up(board));
	CHECK(ask_at(PROBE_READY, 0, NOW));
	CHECK(!view.draining);
	/* Nothing waits any more when it becomes old. */
	fake_us += (BOARD_DRAIN_MS + 1) * 1000;
	CHECK(!board_wants_drain(board));
	board_set_draining(worker, false);
	board_catch_up(board);

	/* A look that changes nothing is not news. */
	told = share_news(share);
	fake_us += BOARD_DRAIN_MS * 1000 / 2;
	board_set_draining(worker, true);
	CHECK_INT(share_news(share), told);
	/* While draining, no check is asked. */
	CHECK(ask(PROBE_READY));
	CHECK(view.draining);
	CHECK_INT(take(), 0);
	/* What could not be seen stays, for as long as it is looked for. */
	fake_us += BOARD_DRAIN_MS * 1000 / 2;
	CHECK(board_keep_draining(worker, false));
	fake_us += BOARD_DRAIN_MS * 1000;
	CHECK(ask(PROBE_READY));
	fake_us += 1000;
	CHECK(!ask(PROBE_READY));
	worker_world_end();
}

/* A time in the future does not count. */
static void test_drain_in_the_future(void)
{
	worker_world(0);
	share_set_draining(share, true, clock_ms() + 1);
	CHECK(!ask(PROBE_READY));
	CHECK(board_keep_draining(worker, true));
	CHECK(ask(PROBE_READY));
	CHECK(view.draining);
	share_set_draining(share, true, clock_ms() + 1);
	CHECK(!board_keep_draining(worker, false));
	CHECK(ask(PROBE_READY));
	CHECK(!view.draining);
	worker_world_end();
}

/* In another file a record may have the name that one had here. */
static void test_other_file(void)
{
	static char dir[] = "test_board.XXXXXX";
	struct share_options options = { .n = 1, .founder = true };
	struct board_question question = { .probe = PROBE_READY };
	char reason[512];

	CHECK(mkdtemp(dir) != NULL);
	options.dir = dir;
	worker_world(1);
	share_close(share);
	share = share_open(&options, reason, sizeof(reason));
	board->share = worker->share = share;
	worker_publish(0, RESULT_OK);
	board_catch_up(board);
	CHECK_INT(unlink(share_path(share)), 0);
	CHECK(!share_intact(share, reason, sizeof(reason)));
	CHECK(share_rejoin(share));
	CHECK(share_intact(share, reason, sizeof(reason)));
	fake_us += 1000;
	worker_publish(0, RESULT_REFUSED);
	board_forget_seen(board);
	board_catch_up(board);
	board_look(board, &question, &view);
	CHECK_INT(results[0].code, RESULT_REFUSED);
	/* A file to which it comes back may know less than it does. */
	fake_us -= 500;
	worker_publish(0, RESULT_OK);
	board_forget_seen(board);
	board_catch_up(board);
	board_look(board, &question, &view);
	CHECK_INT(results[0].code, RESULT_REFUSED);
	worker_world_end();
	CHECK_INT(rmdir(dir), 0);
}

/* ---- stuck ---- */

static bool stuck(void)
{
	CHECK(ask(PROBE_LIVE));
	return view.stuck;
}

static void test_stuck(void)
{
	world(1, 0);
	fake_us += (BOARD_STUCK_MS - 1) * 1000;
	CHECK(!stuck());
	board_beat(board);
	fake_us += BOARD_STUCK_MS * 1000;
	/* Only suspected: maybe we slept as well. */
	CHECK(!stuck());
	fake_us += 999000;
	CHECK(!stuck());
	fake_us += 1000;
	CHECK_INT(fake_log.lines, 0);
	CHECK(stuck());
	CHECK(stuck());
	CHECK_INT(fake_log.lines, 1);
	board_beat(board);
	CHECK(!stuck());
	/* Another time, another suspicion. */
	fake_us += BOARD_STUCK_MS * 1000;
	CHECK(!stuck());
	board_beat(board);
	fake_us += 3600000000;
	CHECK(!stuck());
	board_beat(board);
	CHECK(!stuck());
	/* Asked every ten seconds, it takes two of them. */
	fake_us += 10000000;
	CHECK(!stuck());
	fake_us += 10000000;
	CHECK(stuck());
	CHECK_INT(fake_log.level, LOG_ERR);
	CHECK(strstr(fake_log.last, "no process could run the checks"));
	CHECK_INT(fake_log.lines, 2);
	world_end();
}

/* ---- threads ---- */

#define ASKERS 6
#define ROUNDS 2000

static pthread_mutex_t ear_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t ear = PTHREAD_COND_INITIALIZER;
static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static int news, work_to_do, asking;
static long lost;

static void wake_prober(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&work_lock);
	work_to_do = 1;
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&work_lock);
}

static void wake_askers(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&ear_lock);
	news++;
	pthread_cond_broadcast(&ear);
	pthread_mutex_unlock(&ear_lock);
}

static void *asker(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	struct result mine[4];
	bool mine_latched[4], mine_late[4];
	struct board_view look = { .results = mine,
				   .latched = mine_latched,
				   .late = mine_late };
	int i;

	for (i = 0; i < ROUNDS; i++) {
		struct board_question question = {
			.probe = rand_r(&seed) % 3 ? PROBE_READY : PROBE_CHECK,
			.check = (size_t)rand_r(&seed) % 4,
			.asked_us = clock_us(),
		};
		struct timespec until;
		int seen, missed = 0;

		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_sec += 20;
		/* What is published after the board said "wait" is heard. */
		pthread_mutex_lock(&ear_lock);
		while (!missed && !board_ask(board, &question, &look)) {
			seen = news;
			while (!missed && news == seen)
				missed = pthread_cond_timedwait(&ear, &ear_lock,
								&until) != 0;
		}
		lost += missed;
		pthread_mutex_unlock(&ear_lock);
		if (missed)
			break;
	}
	pthread_mutex_lock(&work_lock);
	asking--;
	pthread_cond_signal(&work);
	pthread_mutex_unlock(&work_lock);
	return NULL;
}

static void want_slowly(void *arg, size_t check, uint64_t seen)
{
	unsigned *seed = arg;
	int64_t ended_us = clock_us();

	(void)seen;
	/* A moment between the end of a run and its publication. */
	fake_us += 1 + rand_r(seed) % 3;
	if (rand_r(seed) % 4 == 0)
		sched_yield();
	publish_at(check, RESULT_OK, ended_us, rand_r(seed) % 1000);
}

static void test_threads(void)
{
	pthread_t askers[ASKERS];
	unsigned seed = 1;
	intptr_t i;

	world(4, 0);
	board_on_wanted(board, wake_prober, NULL);
	board_on_published(board, wake_askers, NULL);
	asking = ASKERS;
	for (i = 0; i < ASKERS; i++)
		pthread_create(&askers[i], NULL, asker, (void *)(i + 1));
	pthread_mutex_lock(&work_lock);
	while (asking) {
		while (!work_to_do && asking)
			pthread_cond_wait(&work, &work_lock);
		work_to_do = 0;
		pthread_mutex_unlock(&work_lock);
		board_beat(board);
		board_take_wanted(board, false, want_slowly, &seed);
		pthread_mutex_lock(&work_lock);
	}
	pthread_mutex_unlock(&work_lock);
	for (i = 0; i < ASKERS; i++)
		pthread_join(askers[i], NULL);
	CHECK_INT(lost, 0);
	world_end();
}

int main(void)
{
	test_first();
	test_max_age();
	test_max_age_zero();
	test_join();
	test_crossing();
	test_one();
	test_started();
	test_live();
	test_look();
	test_nothing();
	test_heard();
	test_heard_later();
	test_no_ears();
	test_publish_inside();
	test_again();
	test_catch_up();
	test_drain_wanted();
	test_drain_in_the_future();
	test_other_file();
	test_stuck();
	test_threads();
	return unit_report();
}

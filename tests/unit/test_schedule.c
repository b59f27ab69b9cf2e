/*
 * Schedules of one check in two workers.  Each of them and its front have a
 * board and a share, all in this process: the file is real, what runs is a fake
 * check, and the clock stands until it is moved.
 */
#include "config.h"

#include "fake_clock.h"

#include "io/loop.c"
#include "board/share_file.c"
#include "board/share.c"
#include "board/board.c"
#include "prober/schedule.c"

#include <stdarg.h>

#include "fake_log.h"
#include "fake_plan.h"
#include "call_share.h"
#include "unit.h"

/* ---- neighbours ---- */

#define LOGGED(want)                           \
	do {                                   \
		CHECK_STR(fake_log.all, want); \
		fake_log_clear();              \
	} while (0)

/* A check that runs until it is told how it ended. */
struct check {
	check_on_result *on_result;
	void *arg;
	bool running;
	int64_t started_us;
	int runs, releases;
};

struct check *check_create(const struct check_setup *setup,
			   const struct check_env *env,
			   check_on_result *on_result, void *arg)
{
	struct check *check = calloc(1, sizeof(*check));

	(void)setup;
	(void)env;
	check->on_result = on_result;
	check->arg = arg;
	return check;
}

void check_destroy(struct check *check)
{
	free(check);
}

/* What is done for the check belongs to it. */
static void check_owner(const struct check *check)
{
	const struct schedule *schedule = check->arg;

	CHECK_INT(loop_owner(schedule->world->loop), schedule->index + 1);
}

void check_release(struct check *check)
{
	check_owner(check);
	check->running = false;
	check->releases++;
}

void check_start(struct check *check)
{
	check_owner(check);
	CHECK(!check->running);
	check->running = true;
	check->started_us = fake_us;
	check->runs++;
}

bool check_running(const struct check *check)
{
	return check->running;
}

/* ---- two processes ---- */

static char dir[] = "test_schedule.XXXXXX";
static struct check_setup setup;

struct process {
	struct share *front_share; /* of the process that answers */
	struct board *front_board;
	struct share *share; /* of its worker */
	struct board *board;
	struct loop *loop;
	struct schedule_world world;
	struct schedule schedule;
	bool elsewhere; /* its check is run by another worker */
};

static struct process one, two;
static struct plan *plan;

static bool is_elsewhere(void *arg, size_t index)
{
	CHECK_INT(index, 0);
	return ((struct process *)arg)->elsewhere;
}

static struct share *process_open_share(void)
{
	struct share_options options = { .dir = dir, .n = 1, .founder = true };
	char reason[256] = "";
	struct share *share = share_open(&options, reason, sizeof(reason));

	CHECK_STR(share ? "" : reason, "");
	return share;
}

static void process_start(struct process *process)
{
	process->elsewhere = false;
	process->front_share = process_open_share();
	process->front_board = board_create(plan, process->front_share);
	process->share = process_open_share();
	process->board = board_create(plan, process->share);
	process->loop = loop_create();
	process->world = (struct schedule_world){ .board = process->board,
						  .share = process->share,
						  .loop = process->loop,
						  .ahead = true,
						  .elsewhere = is_elsewhere,
						  .arg = process };
	CHECK_INT(schedule_begin(&process->schedule, &process->world, &setup, 0,
				 NULL),
		  0);
}

static void process_end(struct process *process)
{
	schedule_end(&process->schedule);
	loop_destroy(process->loop);
	board_destroy(process->board);
	share_close(process->share);
	board_destroy(process->front_board);
	share_close(process->front_share);
}

/* As SIGKILL: the kernel takes the lock, and nothing else is tidied up. */
static void kill_share(struct share **share)
{
	munmap((*share)->file.memory, (*share)->file.size);
	close((*share)->file.fd);
	free(*share);
	*share = NULL;
}

/* The front and its worker. */
static void process_kill(struct process *process)
{
	kill_share(&process->front_share);
	kill_share(&process->share);
	process->world.share = NULL;
}

static void world(void)
{
	fake_us = 1000000000;
	fake_log_clear();
	setup = (struct check_setup){
		.name = "database",
		.policy = { .timeout_ms = 2000,
			    .max_age_ms = 1000,
			    .startup = true },
	};
	free(plan);
	plan = fake_plan(1);
	plan->checks[0].policy = setup.policy;
	process_start(&one);
	process_start(&two);
}

static void world_end(void)
{
	process_end(&one);
	process_end(&two);
}

/* Time goes on for one process; the other one stands still. */
static void pass(struct process *process, int64_t ms)
{
	int64_t until_us = fake_us + ms * 1000;
	struct loop_timer *first;

	while ((first = process->loop->timers) &&
	       first->at_ms * 1000 <= until_us) {
		if (fake_us < first->at_ms * 1000)
			fake_us = first->at_ms * 1000;
		loop_fire_timers(process->loop);
	}
	fake_us = until_us;
}

static void finish(struct process *process, enum result_code code)
{
	struct check *check = process->schedule.check;
	struct result result = {
		.code = code,
		.latency_us = (int32_t)(fake_us - check->started_us),
		.ended_us = fake_us,
	};

	CHECK(check->running);
	check->running = false;
	if (code != RESULT_OK)
		snprintf(result.error, sizeof(result.error), "words");
	check->on_result(check->arg, &result);
}

static bool running(const struct process *process)
{
	return process->schedule.check->running;
}

/* As asker_call(), and the worker that it wakes. */
static void want(void *arg, size_t check, uint64_t seen)
{
	struct process *process = arg;

	CHECK_INT(check, 0);
	CHECK(called(process->front_share, check, seen,
		     share_token(process->share)));
	schedule_attend(&process->schedule);
}

/* The front calls for what is still missing. */
static void look_again(struct process *process)
{
	board_catch_up(process->front_board);
	board_take_wanted(process->front_board, true, want, process);
}

static struct result answer;
static bool seen_draining;

static bool ask_about(struct process *process, enum probe probe,
		      int64_t asked_us)
{
	struct board_question question = { .probe = probe,
					   .asked_us = asked_us };
	bool latched, late;
	struct board_view view = { .results = &answer,
				   .latched = &latched,
				   .late = &late };
	bool answered = board_ask(process->front_board, &question, &view);

	seen_draining = answered && view.draining;
	board_take_wanted(process->front_board, false, want, process);
	return answered;
}

/* A request that waited asks again, as of when it came. */
static bool ask_as_of(struct process *process, int64_t asked_us)
{
	return ask_about(process, PROBE_READY, asked_us);
}

static bool ask(struct process *process)
{
	return ask_as_of(process, fake_us);
}

/* The first process has run the check and holds it, the second has not. */
static void warm_world(void)
{
	world();
	schedule_warm_up(&one.schedule);
	schedule_warm_up(&two.schedule);
	CHECK(running(&one));
	CHECK(!running(&two));
	fake_us += 50000;
	finish(&one, RESULT_OK);
	LOGGED("check=database code=ok ms=50.0\n");
}

static void test_one_runs(void)
{
	warm_world();
	CHECK(ask(&one));
	CHECK(ask(&two));
	CHECK_INT(answer.code, RESULT_OK);
	CHECK_INT(two.schedule.check->runs, 0);
	world_end();
}

static void test_call(void)
{
	warm_world();
	fake_us += 30000000;
	/* A process that needs a result calls the one that has the connection.
	 */
	CHECK(!ask(&two));
	CHECK(!running(&two));
	schedule_attend(&one.schedule);
	CHECK(running(&one));
	schedule_attend(&two.schedule);
	CHECK(!running(&two));
	fake_us += 20000;
	finish(&one, RESULT_REFUSED);
	LOGGED("check=database code=refused ms=20.0: words\n");
	schedule_attend(&two.schedule);
	CHECK(ask(&two));
	CHECK_INT(answer.code, RESULT_REFUSED);
	CHECK_INT(two.schedule.check->runs, 0);
	LOGGED("");
	world_end();
}

static void test_take_over(void)
{
	warm_world();
	fake_us += 30000000;
	CHECK(!ask(&two));
	fake_us += 99000;
	look_again(&two);
	CHECK(!running(&two));
	/* Called, and not heard in time. */
	fake_us += 1000;
	look_again(&two);
	CHECK(running(&two));
	/* The first one comes back, and has no use for its connection. */
	schedule_attend(&one.schedule);
	CHECK_INT(one.schedule.check->releases, 1);
	CHECK(!one.schedule.held);
	fake_us += 20000;
	finish(&two, RESULT_OK);
	CHECK(ask(&one));
	CHECK_INT(answer.latency_us, 20000);
	LOGGED("");
	world_end();
}

static void test_killed(void)
{
	warm_world();
	fake_us += 30000000;
	process_kill(&one);
	CHECK(!ask(&two));
	CHECK(running(&two));
	world_end();
}

static void test_killed_while_running(void)
{
	world();
	schedule_warm_up(&one.schedule);
	CHECK(!ask(&two));
	CHECK(!running(&two));
	process_kill(&one);
	look_again(&two);
	CHECK(running(&two));
	world_end();
}

/* Stopped in the middle of a run; meanwhile another process has run it. */
static void test_stopped(void)
{
	world();
	schedule_warm_up(&one.schedule);
	CHECK(!ask(&two));
	fake_us += 2499000;
	look_again(&two);
	CHECK(!running(&two));
	fake_us += 1000;
	look_again(&two);
	CHECK(running(&two));
	finish(&two, RESULT_OK);
	LOGGED("check=database code=ok ms=0.0\n");
	finish(&one, RESULT_TIMEOUT);
	LOGGED("");
	CHECK_INT(one.schedule.check->releases, 1);
	CHECK(ask(&one));
	CHECK_INT(answer.code, RESULT_OK);
	CHECK(ask(&two));
	CHECK_INT(answer.code, RESULT_OK);
	world_end();
}

/* A holder that goes on running is not taken for a stopped one. */
static void test_long_run(void)
{
	int i;

	world();
	schedule_warm_up(&one.schedule);
	CHECK(!ask(&two));
	for (i = 0; i < 10; i++) {
		fake_us += 1000000;
		schedule_attend(&one.schedule);
		look_again(&two);
		CHECK(!running(&two));
	}
	finish(&one, RESULT_OK);
	world_end();
}

static void test_ahead(void)
{
	int i;

	warm_world();
	for (i = 0; i < 5; i++) {
		CHECK(ask(&two));
		/* 1000 ms, less the 50 it takes, less a sixteenth. */
		pass(&one, 887);
		CHECK(!running(&one));
		pass(&one, 1);
		CHECK(running(&one));
		/* No request waits meanwhile, although it takes too long. */
		fake_us += 1900000;
		CHECK(ask(&two));
		CHECK_INT(fake_us - answer.ended_us, 2788000);
		fake_us -= 1850000;
		finish(&one, RESULT_OK);
	}
	CHECK_INT(one.schedule.check->runs, 6);
	/* Requests stop. */
	pass(&one, 60000);
	while (running(&one)) {
		finish(&one, RESULT_OK);
		pass(&one, 60000);
	}
	CHECK(one.schedule.check->runs <= 8);
	CHECK(!loop_timer_armed(&one.schedule.next));
	world_end();
}

/* A use that had to wait does not cause another run. */
static void test_seldom(void)
{
	warm_world();
	fake_us += 10000000;
	CHECK(!ask(&one));
	CHECK(running(&one));
	fake_us += 50000;
	finish(&one, RESULT_OK);
	CHECK(ask_as_of(&one, fake_us - 50000));
	pass(&one, 60000);
	CHECK_INT(one.schedule.check->runs, 2);
	world_end();
}

/* Garbage in the file does not keep it running for ever. */
static void test_used_in_the_future(void)
{
	warm_world();
	share_use(two.share, 0, fake_us / 1000 + 3600000);
	pass(&one, 60000);
	CHECK(!running(&one));
	CHECK_INT(one.schedule.check->runs, 1);
	world_end();
}

/* When a run began too late, all requests wait for it. */
static void test_not_ahead(void)
{
	warm_world();
	fake_us += 1001000;
	CHECK(!ask(&one));
	CHECK(running(&one));
	CHECK(!ask(&two));
	world_end();
}

static void test_old_green_ends(void)
{
	warm_world();
	CHECK(ask(&two));
	pass(&one, 888);
	CHECK(running(&one));
	/* max_age + timeout after it ended, it says nothing any more. */
	fake_us += 2112000;
	CHECK(ask(&two));
	fake_us += 1;
	CHECK(!ask(&two));
	world_end();
}

static void test_outage(void)
{
	warm_world();
	fake_us += 5000000;
	CHECK(!ask(&one));
	finish(&one, RESULT_CONNECT);
	fake_us += 5000000;
	process_kill(&one);
	CHECK(!ask(&two));
	finish(&two, RESULT_CONNECT);
	fake_us += 5000000;
	CHECK(!ask(&two));
	finish(&two, RESULT_OK);
	LOGGED("check=database code=connect ms=0.0: words\n"
	       "check=database code=ok ms=0.0: healthy again after 10.0s\n");
	world_end();
}

static bool started(struct process *process)
{
	struct board_state state;

	board_catch_up_with(process->board, 0);
	state = board_state(process->board, 0);
	return state.latched;
}

/* All processes share the latch; a process that starts alone starts without. */
static void test_latch(void)
{
	warm_world();
	CHECK(started(&one));
	CHECK(started(&two));
	process_end(&one);
	fake_us += 1000000;
	process_start(&one);
	CHECK(started(&one));
	process_kill(&one);
	process_kill(&two);
	world_end();

	fake_us += 1000000;
	process_start(&one);
	CHECK(!started(&one));
	schedule_warm_up(&one.schedule);
	finish(&one, RESULT_REFUSED);
	CHECK(!started(&one));
	pass(&one, 500);
	CHECK(running(&one));
	finish(&one, RESULT_OK);
	CHECK(started(&one));
	process_end(&one);
}

static void test_interval(void)
{
	setup.policy.interval_ms = 0;
	world();
	setup.policy.interval_ms = 10000;
	setup.policy.max_age_ms = 12000;
	plan->checks[0].policy = setup.policy;
	schedule_warm_up(&one.schedule);
	schedule_warm_up(&two.schedule);
	finish(&one, RESULT_OK);
	pass(&one, 9999);
	CHECK(!running(&one));
	pass(&one, 1);
	CHECK(running(&one));
	finish(&one, RESULT_OK);
	/* The other one looks when it should have been run, and it was. */
	pass(&two, 12499);
	CHECK(!running(&two));
	process_kill(&one);
	/* And then it was not. */
	pass(&two, 12500);
	CHECK(running(&two));
	CHECK_INT(two.schedule.check->runs, 1);
	world_end();
}

/* A process that was stopped in a run, and lost the lease, goes on looking. */
static void test_interval_lost(void)
{
	world();
	setup.policy.interval_ms = 10000;
	setup.policy.max_age_ms = 12000;
	plan->checks[0].policy = setup.policy;
	schedule_warm_up(&one.schedule);
	fake_us += 2500000;
	schedule_run(&two.schedule, false);
	CHECK(running(&two));
	finish(&two, RESULT_OK);
	finish(&one, RESULT_TIMEOUT);
	CHECK(!one.schedule.held);
	process_kill(&two);
	pass(&one, 12500);
	CHECK(running(&one));
	world_end();
}

/* Startup does not wait for the interval. */
static void test_interval_startup(void)
{
	world();
	setup.policy.interval_ms = 3600000;
	setup.policy.max_age_ms = 3602000;
	plan->checks[0].policy = setup.policy;
	schedule_warm_up(&one.schedule);
	finish(&one, RESULT_REFUSED);
	pass(&one, 499);
	CHECK(!running(&one));
	pass(&one, 1);
	CHECK(running(&one));
	finish(&one, RESULT_OK);
	pass(&one, 3599999);
	CHECK(!running(&one));
	pass(&one, 1);
	CHECK(running(&one));
	world_end();
}

/* News of any kind make it plan again: the next try comes neither later nor
 * sooner by that. */
static void test_startup_news(void)
{
	static const int after_ms[] = { 500, 1000, 2000, 4000, 5000, 5000 };
	size_t i, news;

	world();
	schedule_warm_up(&one.schedule);
	for (i = 0; i < sizeof(after_ms) / sizeof(after_ms[0]); i++) {
		finish(&one, RESULT_REFUSED);
		for (news = 0; news < 9; news++) {
			pass(&one, after_ms[i] / 10);
			schedule_attend(&one.schedule);
			schedule_plan(&one.schedule);
			CHECK(!running(&one));
		}
		pass(&one, after_ms[i] - 9 * (after_ms[i] / 10) - 1);
		CHECK(!running(&one));
		pass(&one, 1);
		CHECK(running(&one));
	}
	world_end();
}

/* The process that ran the check which startup waits for has ended: another one
 * runs it when it is asked. */
static void test_startup_left_alone(void)
{
	world();
	schedule_warm_up(&one.schedule);
	schedule_warm_up(&two.schedule);
	finish(&one, RESULT_REFUSED);
	pass(&two, 8000);
	CHECK(ask_about(&two, PROBE_STARTED, fake_us));
	CHECK(!started(&two));
	process_kill(&one);
	pass(&two, 1);
	CHECK(!ask_about(&two, PROBE_STARTED, fake_us));
	CHECK(running(&two));
	finish(&two, RESULT_OK);
	CHECK(started(&two));
	world_end();
}

/* The asker kills a worker, or takes it for dead: what it still does counts for
 * nothing, and it lets go of its connection when it finds out. */
static void test_revoked(void)
{
	warm_world();
	fake_us += 30000000;
	CHECK(!ask(&one));
	CHECK(running(&one));
	share_revoke(one.front_share, share_token(one.share));
	/* Another one runs the check at once. */
	CHECK(!ask(&two));
	CHECK(running(&two));
	finish(&one, RESULT_OK);
	CHECK_INT(one.schedule.check->releases, 1);
	CHECK(!one.schedule.held);
	CHECK(!ask_as_of(&one, fake_us));
	finish(&two, RESULT_REFUSED);
	LOGGED("check=database code=refused ms=0.0: words\n");
	CHECK(ask_as_of(&one, fake_us));
	CHECK_INT(answer.code, RESULT_REFUSED);

	share_revoke(two.front_share, share_token(two.share));
	schedule_attend(&two.schedule);
	CHECK_INT(two.schedule.check->releases, 1);
	/* It lives, and may be called. */
	fake_us += 30000000;
	CHECK(!ask(&two));
	CHECK(running(&two));
	finish(&two, RESULT_REFUSED);
	world_end();
}

/* Another worker of the same front runs the check. */
static void test_elsewhere(void)
{
	world();
	one.elsewhere = true;
	schedule_warm_up(&one.schedule);
	CHECK(!running(&one));
	CHECK_INT(share_ours(one.share, 0), SHARE_FREE);
	CHECK(!ask(&one));
	CHECK(!running(&one));
	schedule_run(&one.schedule, false);
	CHECK(!running(&one));
	/* It comes back. */
	one.elsewhere = false;
	look_again(&one);
	CHECK(running(&one));
	finish(&one, RESULT_OK);
	/* A run that was due is left to the other one, too. */
	CHECK(ask(&one));
	one.elsewhere = true;
	pass(&one, 5000);
	CHECK(!running(&one));
	CHECK_INT(one.schedule.check->runs, 1);
	world_end();
}

/* A process that cannot look does not contradict one that could. */
static void test_drain(void)
{
	warm_world();
	one.front_board->drain_expected = two.front_board->drain_expected =
		one.board->drain_expected = two.board->drain_expected = true;
	CHECK(!ask(&two));
	board_set_draining(one.board, true);
	board_keep_draining(two.board, false);
	CHECK(ask(&two) && seen_draining);
	CHECK(ask(&one) && seen_draining);
	fake_us += 1000000;
	board_set_draining(one.board, false);
	CHECK(ask(&two) && !seen_draining);
	/* No process has ever looked: this does not delay anything. */
	world_end();
	warm_world();
	one.front_board->drain_expected = two.front_board->drain_expected =
		one.board->drain_expected = two.board->drain_expected = true;
	board_keep_draining(two.board, false);
	CHECK(ask(&two) && !seen_draining);
	world_end();
}

int main(void)
{
	CHECK(mkdtemp(dir) != NULL);
	test_one_runs();
	test_call();
	test_take_over();
	test_killed();
	test_killed_while_running();
	test_stopped();
	test_long_run();
	test_ahead();
	test_seldom();
	test_used_in_the_future();
	test_not_ahead();
	test_old_green_ends();
	test_outage();
	test_latch();
	test_interval();
	test_interval_lost();
	test_interval_startup();
	test_startup_news();
	test_startup_left_alone();
	test_revoked();
	test_elsewhere();
	test_drain();
	/* The last one has removed the file. */
	CHECK_INT(rmdir(dir), 0);
	return unit_report();
}

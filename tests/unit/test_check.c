/*
 * The engine of runs and connections, with the real loop and admission, a kind
 * that does what the test says, and a clock that stands until it is moved.
 */
#include "fake_clock.h"

#include <sys/random.h>
#include <sys/types.h>

/* 0: delays are as long as they may be; 255: about half of that. */
static uint32_t jitter;
static ssize_t test_getrandom(void *to, size_t size, unsigned flags);
#define getrandom test_getrandom

#include "io/loop.c"
#include "check/admit.c"
#include "check/check.c"

#include <stdio.h>

#include "fake_log.h"
#include "unit.h"

static ssize_t test_getrandom(void *to, size_t size, unsigned flags)
{
	(void)flags;
	memcpy(to, &jitter, size);
	return (ssize_t)size;
}

/* ---- neighbours ---- */

const char *result_word(int32_t code)
{
	return code == RESULT_OK ? "ok" : "failed";
}

/* Secrets are not read until renew_done() says what was found. */
static bool renews;
static int renewals, taken;
static void (*renew_done)(void *arg, bool news);
static void *renew_arg;

bool check_renew_start(struct check_renew *renew, struct offload *offload,
		       const struct check_setup *setup,
		       void (*on_done)(void *arg, bool news), void *arg)
{
	(void)renew, (void)offload, (void)setup;
	renewals++;
	renew_done = on_done;
	renew_arg = arg;
	return renews;
}

void check_renew_take(struct check_renew *renew)
{
	(void)renew;
	taken++;
}

void check_renew_end(struct check_renew *renew)
{
	(void)renew;
}

/* ---- the kind ---- */

enum { PENDING, GOOD, BAD, ANSWER };

struct fake {
	int serial; /* 0 before open() */
	char pad[24];
};

#define SERIALS 100000
static struct conn *conns[SERIALS]; /* open, by serial */
static int opened, live;	    /* how many were, how many are */
static int next_open, next_ask;	    /* what the next call does at once */
static char calls[512];

static void note(const char *what, int serial)
{
	size_t used = strlen(calls);

	snprintf(calls + used, sizeof(calls) - used, "%s%s%d", used ? " " : "",
		 what, serial);
}

#define CALLS(want)                     \
	do {                            \
		CHECK_STR(calls, want); \
		calls[0] = '\0';        \
	} while (0)

static int serial_of(const struct conn *conn)
{
	return ((const struct fake *)conn_state(conn))->serial;
}

static void fake_birth(struct conn *conn)
{
	static const struct fake zero;
	struct fake *fake = conn_state(conn);

	CHECK(memcmp(fake, &zero, sizeof(zero)) == 0);
	fake->serial = ++opened % SERIALS;
	conns[fake->serial] = conn;
	CHECK(++live <= 2 * 8);
}

static void fake_open(struct conn *conn)
{
	int what = next_open;

	fake_birth(conn);
	note("open", serial_of(conn));
	next_open = PENDING;
	if (what == GOOD)
		conn_ready(conn);
	else if (what == ANSWER)
		conn_answered(conn, RESULT_OK, " ");
	else if (what == BAD)
		conn_failed(conn, RESULT_REFUSED, "connection refused");
}

static void fake_ask(struct conn *conn)
{
	int what = next_ask;

	if (!serial_of(conn))
		fake_birth(conn);
	CHECK(conns[serial_of(conn)] == conn);
	note("ask", serial_of(conn));
	next_ask = PENDING;
	if (what == GOOD)
		conn_answered(conn, RESULT_OK, " ");
	else if (what == BAD)
		conn_failed(conn, RESULT_CONNECT, "connection closed by peer");
}

static void fake_on_io(struct conn *conn, short revents)
{
	(void)revents;
	note("io", serial_of(conn));
}

static void fake_close(struct conn *conn)
{
	struct fake *fake = conn_state(conn);

	if (!fake->serial)
		return;
	CHECK(conns[fake->serial] == conn);
	note("close", fake->serial);
	conns[fake->serial] = NULL;
	fake->serial = 0;
	live--;
}

static const char *fake_step(const struct conn *conn)
{
	return conn->phase == CONN_ASKING ? "waiting for the answer"
					  : "logging in";
}

static const struct check_kind networked = {
	.name = "networked",
	.conn_size = sizeof(struct fake),
	.open = fake_open,
	.ask = fake_ask,
	.on_io = fake_on_io,
	.close = fake_close,
	.step = fake_step,
};
static struct check_kind asking, local; /* variations */

/* ---- a world with one check ---- */

static struct check_env env;
static struct check_setup setup;
static struct check *check;
static struct result last;
static int results;

static void on_result(void *arg, const struct result *result)
{
	CHECK(!check_running(arg ? arg : check));
	last = *result;
	results++;
}

static void world(const struct check_kind *kind)
{
	memset(conns, 0, sizeof(conns));
	opened = live = results = 0;
	renews = false;
	renewals = taken = 0;
	next_open = next_ask = PENDING;
	calls[0] = '\0';
	jitter = 0;
	fake_us = 1000000000;
	memset(&last, 0, sizeof(last));
	env.loop = loop_create();
	env.admit = admit_create(env.loop);
	setup = (struct check_setup){
		.name = "database",
		.kind = kind,
		.policy = { .timeout_ms = 1000,
			    .renew_ms = 60000,
			    .keep = true },
	};
	check = check_create(&setup, &env, on_result, NULL);
	CHECK(check != NULL);
}

static void world_end(void)
{
	check_destroy(check);
	CHECK_INT(live, 0);
	CHECK(env.loop->n_watches == 0);
	admit_destroy(env.admit);
	CHECK(env.loop->timers == NULL);
	loop_destroy(env.loop);
}

/* Time goes on; every timer fires in its millisecond. */
static void pass(int64_t ms)
{
	int64_t until_us = fake_us + ms * 1000;

	while (env.loop->timers && env.loop->timers->at_ms * 1000 <= until_us) {
		if (fake_us < env.loop->timers->at_ms * 1000)
			fake_us = env.loop->timers->at_ms * 1000;
		loop_fire_timers(env.loop);
	}
	fake_us = until_us;
}

static void ready(int serial)
{
	conn_ready(conns[serial]);
}

static void answer(int serial)
{
	conn_answered(conns[serial], RESULT_OK, " ");
}

static void fail(int serial)
{
	conn_failed(conns[serial], RESULT_REFUSED, "connection refused");
}

/* The descriptor of a connection is ready. */
static void io(int serial)
{
	conn_on_io(conns[serial], POLLIN);
}

static void expect_result(int line, int n, enum result_code code,
			  const char *error, int64_t latency_us)
{
	if (results != n || last.code != (int32_t)code ||
	    last.latency_us != latency_us)
		printf("\tline %d\n", line);
	CHECK_INT(results, n);
	CHECK_INT(last.code, code);
	CHECK_STR(last.error, error);
	CHECK_INT(last.latency_us, latency_us);
	CHECK_INT(last.ended_us, fake_us);
	CHECK(!check_running(check));
}

#define RESULT(n, code, error, latency_us) \
	expect_result(__LINE__, n, RESULT_##code, error, latency_us)

/* Connection 1 is warm, nothing is under way. */
static void warm_world(void)
{
	world(&networked);
	check_start(check);
	ready(1);
	answer(1);
	CALLS("open1 ask1");
	RESULT(1, OK, "", 0);
	results = 0;
}

/* ---- refused by its configuration ---- */

static void test_refused(void)
{
	static const struct conf_refusal refusal = {
		.variable = "DATABASE_URL",
		.sentence = "DATABASE_URL: [database] url: names no server",
	};
	static const struct check_kind *const kinds[] = { &networked, &asking,
							  &local };
	size_t i;

	for (i = 0; i < 3; i++) {
		world(kinds[i]);
		setup.refusal = &refusal;
		check_start(check);
		RESULT(1, CONFIG, "DATABASE_URL cannot be used, see the log",
		       0);
		CHECK_STR(last.detail, refusal.sentence);
		pass(300000); /* nothing in the background, either */
		check_start(check);
		RESULT(2, CONFIG, "DATABASE_URL cannot be used, see the log",
		       0);
		CALLS("");
		CHECK_INT(opened, 0);
		world_end();
	}
}

/* ---- another secret ---- */

static void refuse_login(int serial)
{
	conn_failed(conns[serial], RESULT_AUTH, "authentication failed");
}

static void test_renew(void)
{
	world(&networked);
	renews = true;
	check_start(check);
	fake_us += 1000;
	refuse_login(1);
	CHECK_INT(results, 0); /* it is being looked for */
	fake_us += 1000;
	renew_done(renew_arg, true);
	CHECK_INT(taken, 1);
	fake_us += 1000;
	ready(2);
	answer(2);
	CALLS("open1 close1 open2 ask2");
	RESULT(1, OK, "", 3000);

	/* Once per run, and the deadline is the same. */
	check_start(check);
	conn_answered(conns[2], RESULT_AUTH, "HTTP 401");
	pass(900);
	renew_done(renew_arg, true);
	CALLS("ask2 close2 open3");
	refuse_login(3);
	RESULT(2, AUTH, "authentication failed", 900000);
	CHECK_INT(renewals, 2);
	check_start(check);
	refuse_login(4);
	pass(900);
	renew_done(renew_arg, true);
	pass(100);
	RESULT(3, TIMEOUT, "Timeout after 1000ms", 1000000);
	world_end();
}

static void test_renew_nothing(void)
{
	world(&networked);
	/* There is no file. */
	check_start(check);
	refuse_login(1);
	RESULT(1, AUTH, "authentication failed", 0);
	/* It holds what it held. */
	renews = true;
	check_start(check);
	refuse_login(2);
	fake_us += 1000;
	renew_done(renew_arg, false);
	RESULT(2, AUTH, "authentication failed", 1000);
	/* It cannot be read in time: what was said counts. */
	check_start(check);
	refuse_login(3);
	pass(1000);
	RESULT(3, AUTH, "authentication failed", 1000000);
	CHECK_INT(taken, 0);
	/* The run does not wait for it any more; the next run has it. */
	calls[0] = '\0';
	renew_done(renew_arg, true);
	CHECK_INT(taken, 1);
	check_start(check);
	ready(4);
	answer(4);
	CALLS("open4 ask4");
	RESULT(4, OK, "", 0);
	/* Or one that is under way with the old one. */
	check_start(check);
	renew_done(renew_arg, true);
	CALLS("ask4 close4 open5");
	ready(5);
	answer(5);
	RESULT(5, OK, "", 0);
	/* All other faults have nothing to do with it. */
	renewals = 0;
	calls[0] = '\0';
	check_start(check);
	conn_answered(conns[5], RESULT_BUSY, "busy");
	RESULT(6, BUSY, "busy", 0);
	CHECK_INT(renewals, 0);
	/* Nor is it waited for at the end. */
	check_start(check);
	conn_answered(conns[5], RESULT_AUTH, "no");
	CHECK_INT(renewals, 1);
	world_end();
}

/* ---- cold ---- */

static void test_cold(void)
{
	world(&networked);
	check_start(check);
	CHECK(check_running(check));
	check_start(check); /* joins */
	fake_us += 2500;
	ready(1);
	fake_us += 1000;
	CHECK_INT(results, 0);
	answer(1);
	CALLS("open1 ask1");
	RESULT(1, OK, "", 3500);
	pass(59990);
	CALLS("");
	world_end();
	CALLS("close1");
}

static void test_cold_at_once(void)
{
	world(&networked);
	next_open = next_ask = GOOD;
	check_start(check);
	CALLS("open1 ask1");
	RESULT(1, OK, "", 0);
	world_end();
}

static void test_cold_refused(void)
{
	world(&networked);
	next_open = BAD;
	check_start(check);
	CALLS("open1 close1");
	RESULT(1, REFUSED, "connection refused", 0);

	check_start(check);
	fake_us += 1500;
	fail(2);
	CALLS("open2 close2");
	RESULT(2, REFUSED, "connection refused", 1500);

	/* The question may fail, too. */
	check_start(check);
	ready(3);
	fail(3);
	CALLS("open3 ask3 close3");
	RESULT(3, REFUSED, "connection refused", 0);
	world_end();
}

static void test_cold_hangs(void)
{
	world(&networked);
	check_start(check);
	pass(999);
	CHECK_INT(results, 0);
	pass(1);
	CALLS("open1 close1"); /* no hedge: nothing was warm */
	RESULT(1, TIMEOUT, "Timeout after 1000ms", 1000000);
	CHECK_STR(last.step, "logging in");

	check_start(check);
	ready(2);
	pass(1000);
	CALLS("open2 ask2 close2");
	RESULT(2, TIMEOUT, "Timeout after 1000ms", 1000000);
	CHECK_STR(last.step, "waiting for the answer");
	world_end();
}

/* The detail names the peer, once. */
static void test_peer(void)
{
	world(&networked);
	check_start(check);
	conn_peer(conns[1], "db port 1");
	ready(1);
	conn_detail(conns[1], "LOADING data set");
	conn_answered(conns[1], RESULT_BUSY, "loading");
	CHECK_STR(last.detail, "db port 1: LOADING data set");
	check_start(check);
	conn_detail(conns[1], "db port 1 is loading");
	conn_answered(conns[1], RESULT_BUSY, "loading");
	CHECK_STR(last.detail, "db port 1 is loading");
	check_start(check);
	conn_answered(conns[1], RESULT_BUSY, "loading");
	CHECK_STR(last.detail, "db port 1");
	world_end();
}

static void test_answers_not_ok(void)
{
	world(&networked);
	check_start(check);
	ready(1);
	conn_detail(conns[1], "LOADING data set");
	conn_answered(conns[1], RESULT_BUSY, "loading %d", 7);
	RESULT(1, BUSY, "loading 7", 0);
	CHECK_STR(last.detail, "LOADING data set");
	/* It speaks, so it stays. */
	CALLS("open1 ask1");
	check_start(check);
	answer(1);
	RESULT(2, OK, "", 0);
	CHECK_STR(last.detail, "");
	world_end();
}

/* ---- warm ---- */

static void test_warm(void)
{
	int i;

	warm_world();
	for (i = 1; i < 5; i++) {
		check_start(check);
		fake_us += 30;
		answer(1);
		CALLS("ask1");
		RESULT(i, OK, "", 30);
	}
	world_end();
}

static void test_warm_dead(void)
{
	warm_world();
	next_ask = BAD;
	check_start(check);
	CALLS("ask1 close1 open2");
	ready(2);
	answer(2);
	CALLS("ask2");
	RESULT(1, OK, "", 0);

	/* Later, and the new one is refused: one result. */
	check_start(check);
	pass(100);
	fail(2);
	CALLS("ask2 close2 open3");
	fail(3);
	CALLS("close3");
	RESULT(2, REFUSED, "connection refused", 100000);
	world_end();

	/* All within the deadline that was set at the start. */
	warm_world();
	check_start(check);
	pass(300);
	fail(1);
	CALLS("ask1 close1 open2");
	ready(2);
	pass(699);
	CHECK_INT(results, 0);
	pass(1);
	RESULT(1, TIMEOUT, "Timeout after 1000ms", 1000000);
	world_end();
}

/* Read after the deadline: too late for another one. */
static void test_warm_dead_read_late(void)
{
	warm_world();
	check_start(check);
	fake_us += 1100000;
	fail(1);
	CALLS("ask1 close1");
	RESULT(1, REFUSED, "connection refused", 1100000);
	world_end();

	/* Suspended meanwhile: the run has its time once more. */
	warm_world();
	check_start(check);
	fake_us += 2000000;
	fail(1);
	CALLS("ask1 close1 open2");
	pass(999);
	CHECK_INT(results, 0);
	world_end();
}

/* The second connection of a run is its last. */
static void test_warm_dead_twice(void)
{
	warm_world();
	next_ask = BAD;
	check_start(check);
	ready(2);
	fail(2);
	CALLS("ask1 close1 open2 ask2 close2");
	CHECK_INT(results, 1);
	world_end();

	/* Nor is a fresh one hedged. */
	warm_world();
	next_ask = BAD;
	check_start(check);
	pass(999);
	CALLS("ask1 close1 open2");
	pass(1);
	CALLS("close2");
	RESULT(1, TIMEOUT, "Timeout after 1000ms", 1000000);
	world_end();
}

/* ---- the background ---- */

static void test_idle_death(void)
{
	warm_world();
	io(1);
	CALLS("close1");
	CHECK_INT(results, 0);
	pass(249);
	CALLS("");
	pass(1);
	CALLS("open2");
	ready(2);
	check_start(check);
	answer(2);
	CALLS("ask2");
	RESULT(1, OK, "", 0);

	jitter = 255;
	io(2);
	CALLS("close2");
	pass(125);
	CALLS("");
	pass(1);
	CALLS("open3");
	world_end();
}

/* A server that accepts connections only to close them is called less and less
 * often. */
static void test_back_off(void)
{
	static const int64_t wait_ms[] = { 250,	 500,	1000,  2000,  4000,
					   8000, 16000, 30000, 30000, 30000 };
	uint32_t spread;
	size_t i;

	for (spread = 0; spread < 256; spread += 255) {
		warm_world();
		jitter = spread;
		io(1);
		for (i = 0; i < sizeof(wait_ms) / sizeof(*wait_ms); i++) {
			int serial = opened + 1;
			int64_t ms = wait_ms[i] - jitter * wait_ms[i] / 512;

			CHECK(ms >= wait_ms[i] / 2);
			pass(ms - 1);
			CHECK_INT(opened, serial - 1);
			pass(1);
			CHECK_INT(opened, serial);
			if (i % 3 == 0) {
				ready(serial);
				io(serial);
			} else if (i % 3 == 1) {
				fail(serial);
			} else {
				pass(1000); /* it expires */
			}
			CHECK_INT(live, 0);
		}
		CHECK_INT(results, 0);
		/* An answer is what makes it good again. */
		calls[0] = '\0';
		check_start(check);
		ready(opened);
		answer(opened);
		io(opened);
		calls[0] = '\0';
		pass(250 - spread / 3);
		CHECK(strncmp(calls, "open", 4) == 0);
		world_end();
	}
}

/* On demand there is no back-off. */
static void test_demand(void)
{
	int i;

	world(&networked);
	for (i = 1; i < 50; i++) {
		next_open = BAD;
		check_start(check);
		CHECK_INT(results, i);
		CHECK_INT(opened, i);
	}
	/* And a run puts the background off. */
	pass(29999);
	CHECK_INT(opened, 49);
	pass(1);
	CHECK_INT(opened, 50);
	world_end();
}

static void test_background_hangs(void)
{
	warm_world();
	io(1);
	pass(250);
	CALLS("close1 open2");
	pass(999);
	CALLS("");
	pass(1);
	CALLS("close2");
	CHECK_INT(results, 0);
	pass(500);
	CALLS("open3");
	world_end();
}

static void test_join_opening(void)
{
	warm_world();
	io(1);
	pass(250);
	CALLS("close1 open2");
	pass(700);
	check_start(check);
	CALLS("");
	pass(10);
	ready(2);
	CALLS("ask2");
	answer(2);
	RESULT(1, OK, "", 10000);

	/* It fails: then the run tries by itself. */
	io(2);
	pass(250);
	CALLS("close2 open3");
	pass(500);
	check_start(check);
	fail(3);
	CALLS("close3 open4");
	fail(4);
	CALLS("close4");
	RESULT(2, REFUSED, "connection refused", 0);
	world_end();

	/* It expires long before the run does. */
	warm_world();
	io(1);
	pass(250);
	pass(900);
	check_start(check);
	CALLS("close1 open2");
	pass(100);
	CALLS("close2 open3");
	ready(3);
	answer(3);
	CALLS("ask3");
	RESULT(1, OK, "", 100000);
	world_end();

	/* It is hedged as a warm one is. */
	warm_world();
	io(1);
	pass(250);
	check_start(check);
	CALLS("close1 open2");
	pass(400);
	CALLS("open3");
	ready(3);
	CALLS("ask3");
	answer(3);
	CALLS("close2");
	RESULT(1, OK, "", 400000);
	world_end();
}

/* ---- the hedge ---- */

static void hedged_world(void)
{
	warm_world();
	check_start(check);
	CALLS("ask1");
	pass(399);
	CALLS("");
	pass(1);
	CALLS("open2");
	CHECK(conn_is_hedge(conns[2]));
	CHECK(!conn_is_hedge(conns[1]));
}

/* Connection 1 is idle, 2 is to replace it. */
static void renewing_world(void)
{
	warm_world();
	pass(59999);
	CALLS("");
	pass(1);
	CALLS("open2");
	CHECK(conn_is_hedge(conns[2]));
}

static void test_hedge(void)
{
	hedged_world();
	pass(10);
	ready(2);
	CALLS("ask2");
	answer(2);
	CALLS("close1");
	RESULT(1, OK, "", 410000);
	CHECK(!conn_is_hedge(conns[2]));
	check_start(check);
	answer(2);
	CALLS("ask2");
	world_end();

	/* The old one is the first after all. */
	hedged_world();
	answer(1);
	CALLS("close2");
	RESULT(1, OK, "", 400000);
	world_end();
	hedged_world();
	ready(2);
	answer(1);
	CALLS("ask2 close2");
	RESULT(1, OK, "", 400000);
	check_start(check);
	answer(1);
	world_end();
}

static void test_hedge_fails(void)
{
	hedged_world();
	fail(2);
	CALLS("close2");
	CHECK_INT(results, 0);
	pass(100);
	answer(1);
	RESULT(1, OK, "", 500000);
	world_end();

	/* The old one dies: the hedge is what is left. */
	hedged_world();
	fail(1);
	CALLS("close1");
	ready(2);
	answer(2);
	CALLS("ask2");
	RESULT(1, OK, "", 400000);
	check_start(check);
	answer(2);
	world_end();

	/* Both. */
	hedged_world();
	fail(1);
	fail(2);
	CALLS("close1 close2");
	RESULT(1, REFUSED, "connection refused", 400000);
	world_end();
	hedged_world();
	fail(2);
	fail(1);
	CALLS("close2 close1");
	RESULT(1, REFUSED, "connection refused", 400000);
	world_end();
}

static void test_both_hang(void)
{
	hedged_world();
	ready(2);
	CALLS("ask2");
	pass(599);
	CHECK_INT(results, 0);
	pass(1);
	CALLS("close1 close2");
	RESULT(1, TIMEOUT, "Timeout after 1000ms", 1000000);
	CHECK_STR(last.step, "waiting for the answer");
	world_end();

	hedged_world();
	conn_detail(conns[2], "no route");
	fail(2);
	pass(599);
	CHECK_INT(results, 0);
	pass(1);
	RESULT(1, REFUSED, "connection refused", 1000000);
	CHECK_STR(last.step, "");
	CHECK_STR(last.detail, "no route");
	world_end();

	/* A warm connection that was lost explains nothing. */
	hedged_world();
	fail(1);
	pass(600);
	CALLS("close1 close2");
	RESULT(1, TIMEOUT, "Timeout after 1000ms", 1000000);
	CHECK_STR(last.step, "logging in");
	world_end();
}

static void bad_answer(int serial, const char *words)
{
	conn_detail(conns[serial], words);
	conn_answered(conns[serial], RESULT_UPSTREAM, "%s", words);
}

/* A bad answer waits for what the other connection says. */
static void test_bad_answer_waits(void)
{
	/* of the hedge; the warm connection stays, the other one does not */
	hedged_world();
	ready(2);
	bad_answer(2, "HTTP 503");
	CALLS("ask2");
	CHECK_INT(results, 0);
	pass(100);
	answer(1);
	CALLS("close2");
	RESULT(1, OK, "", 500000);
	check_start(check);
	answer(1);
	CALLS("ask1");
	world_end();

	/* of the warm one, while the hedge opens */
	hedged_world();
	bad_answer(1, "read-only");
	CHECK_INT(results, 0);
	ready(2);
	pass(100);
	answer(2);
	CALLS("ask2 close1");
	RESULT(1, OK, "", 500000);
	world_end();

	/* The hedge cannot log in, or is refused. */
	hedged_world();
	conn_failed(conns[2], RESULT_AUTH, "authentication failed");
	CHECK_INT(results, 0);
	answer(1);
	RESULT(1, OK, "", 400000);
	world_end();

	/* Before the hedge is due there is nothing to wait for. */
	warm_world();
	check_start(check);
	pass(300);
	bad_answer(1, "HTTP 503");
	RESULT(1, UPSTREAM, "HTTP 503", 300000);
	CHECK_STR(last.detail, "HTTP 503");
	/* Nor does the next run know of it. */
	check_start(check);
	pass(1000);
	RESULT(2, TIMEOUT, "Timeout after 1000ms", 1000000);
	world_end();
}

/* The first bad answer is the result when no good one comes. */
static void test_bad_answer_stays(void)
{
	/* both answer */
	hedged_world();
	ready(2);
	bad_answer(2, "HTTP 503");
	pass(100);
	bad_answer(1, "HTTP 502");
	RESULT(1, UPSTREAM, "HTTP 503", 500000);
	CHECK_STR(last.detail, "HTTP 503");
	CHECK_INT(live, 1);
	world_end();

	/* The other one never does: no longer than until the deadline. */
	hedged_world();
	bad_answer(1, "HTTP 503");
	ready(2);
	pass(599);
	CHECK_INT(results, 0);
	pass(1);
	CALLS("ask2 close2");
	RESULT(1, UPSTREAM, "HTTP 503", 1000000);
	CHECK_STR(last.step, "");
	check_start(check);
	answer(1);
	RESULT(2, OK, "", 0);
	world_end();

	/* An answer says more than a failure, before or after it. */
	hedged_world();
	bad_answer(1, "HTTP 503");
	fail(2);
	CALLS("close2");
	RESULT(1, UPSTREAM, "HTTP 503", 400000);
	world_end();
	hedged_world();
	fail(2);
	bad_answer(1, "HTTP 503");
	RESULT(1, UPSTREAM, "HTTP 503", 400000);
	world_end();
	hedged_world();
	ready(2);
	bad_answer(2, "HTTP 503");
	fail(1);
	CALLS("ask2 close1");
	RESULT(1, UPSTREAM, "HTTP 503", 400000);
	check_start(check);
	answer(2);
	RESULT(2, OK, "", 0);
	world_end();

	/* A failed login says more than the connection that was lost. */
	hedged_world();
	conn_failed(conns[2], RESULT_AUTH, "authentication failed");
	fail(1);
	RESULT(1, AUTH, "authentication failed", 400000);
	world_end();

	/* The connection that answered is closed meanwhile: not asked again,
	 * and nothing else is tried. */
	hedged_world();
	bad_answer(1, "HTTP 503");
	io(1);
	CALLS("close1");
	fail(2);
	CALLS("close2");
	RESULT(1, UPSTREAM, "HTTP 503", 400000);
	world_end();

	/* The hedge is a renewal that was under way before. */
	renewing_world();
	check_start(check);
	pass(400);
	bad_answer(1, "HTTP 503");
	CHECK_INT(results, 0);
	fail(2);
	CALLS("ask1 close2");
	RESULT(1, UPSTREAM, "HTTP 503", 400000);
	world_end();
}

/* With a bad answer at hand, the queue for admission stops no clock. */
static void test_bad_answer_and_queue(void)
{
	struct check *many[ADMIT_SLOTS];
	int i;

	warm_world();
	for (i = 0; i < ADMIT_SLOTS; i++) {
		many[i] = check_create(&setup, &env, on_result, NULL);
		many[i]->arg = many[i];
	}
	check_start(check);
	pass(399);
	for (i = 0; i < ADMIT_SLOTS; i++)
		check_start(many[i]);
	pass(1);
	CALLS("ask1 open2 open3 open4 open5");
	bad_answer(1, "HTTP 503");
	io(1);
	CALLS("close1");
	for (i = 0; i < ADMIT_SLOTS; i++)
		admit_leave(&many[i]->conns[0].ticket);
	env.admit->held = ADMIT_SLOTS; /* they never end */
	pass(599);
	CHECK_INT(results, 0);
	pass(1);
	CHECK(!check_running(check));
	env.admit->held = 0;
	for (i = 0; i < ADMIT_SLOTS; i++)
		check_destroy(many[i]);
	world_end();
}

/* ---- the renewal ---- */

static void test_renewal(void)
{
	renewing_world();
	ready(2);
	CALLS("close1");
	check_start(check);
	answer(2);
	CALLS("ask2");
	pass(60000);
	CALLS("open3");
	CHECK_INT(results, 1);
	world_end();

	/* A warm green that proves nothing any more. */
	renewing_world();
	fail(2);
	CALLS("close2 close1");
	CHECK_INT(results, 0);
	next_open = BAD;
	check_start(check);
	RESULT(1, REFUSED, "connection refused", 0);
	world_end();

	renewing_world();
	pass(1000);
	CALLS("close2 close1");
	pass(250);
	CALLS("open3");
	world_end();
}

static void test_never_renewed(void)
{
	warm_world();
	setup.policy.renew_ms = 0;
	io(1);
	CALLS("close1");
	/* The run is faster than the background. */
	pass(100);
	check_start(check);
	ready(2);
	answer(2);
	CALLS("open2 ask2");
	pass(86400000);
	CALLS("");
	world_end();
}

static void test_run_during_renewal(void)
{
	/* The run is over first. */
	renewing_world();
	check_start(check);
	answer(1);
	CALLS("ask1");
	RESULT(1, OK, "", 0);
	ready(2);
	CALLS("close1");
	world_end();

	/* The renewal is ready first: the newer one is kept. */
	renewing_world();
	check_start(check);
	ready(2);
	CALLS("ask1");
	answer(1);
	CALLS("close1");
	RESULT(1, OK, "", 0);
	check_start(check);
	answer(2);
	CALLS("ask2");
	world_end();

	/* It is there when the hedge is due. */
	renewing_world();
	check_start(check);
	ready(2);
	pass(400);
	CALLS("ask1 ask2");
	answer(2);
	CALLS("close1");
	RESULT(1, OK, "", 400000);
	world_end();

	/* It is on its way when the hedge is due. */
	renewing_world();
	check_start(check);
	pass(400);
	CALLS("ask1");
	ready(2);
	CALLS("ask2");
	answer(1);
	CALLS("close2");
	RESULT(1, OK, "", 400000);
	world_end();

	/* The warm one dies meanwhile, before or after. */
	renewing_world();
	next_ask = BAD;
	check_start(check);
	CALLS("ask1 close1");
	ready(2);
	answer(2);
	CALLS("ask2");
	RESULT(1, OK, "", 0);
	world_end();
	renewing_world();
	check_start(check);
	ready(2);
	fail(1);
	CALLS("ask1 close1 ask2");
	answer(2);
	RESULT(1, OK, "", 0);
	world_end();

	/* The renewal fails during the run, which does not care. */
	renewing_world();
	check_start(check);
	fail(2);
	CALLS("ask1 close2");
	answer(1);
	RESULT(1, OK, "", 0);
	world_end();
	/* It does not count as part of a run that times out later. */
	renewing_world();
	check_start(check);
	fail(2);
	pass(1000);
	CALLS("ask1 close2 open3 close1 close3");
	RESULT(1, TIMEOUT, "Timeout after 1000ms", 1000000);
	world_end();

	/* Ready, idle, and closed by the peer. */
	renewing_world();
	check_start(check);
	ready(2);
	io(2);
	CALLS("ask1 close2");
	answer(1);
	RESULT(1, OK, "", 0);
	world_end();
}

/* The warm connection dies while its successor is opened: that is the one to
 * wait for, not a third. */
static void test_death_during_renewal(void)
{
	renewing_world();
	io(1);
	CALLS("close1");
	check_start(check);
	CALLS("");
	ready(2);
	CALLS("ask2");
	answer(2);
	RESULT(1, OK, "", 0);
	world_end();

	renewing_world();
	io(1);
	pass(250);
	CALLS("close1");
	ready(2);
	CALLS("");
	check_start(check);
	answer(2);
	CALLS("ask2");
	world_end();

	renewing_world();
	io(1);
	fail(2);
	CALLS("close1 close2");
	pass(500);
	CALLS("open3");
	world_end();
}

/* ---- admission ---- */

#define MANY 6

static void test_admission(void)
{
	struct check *many[MANY];
	int i;

	world(&networked);
	for (i = 0; i < MANY; i++) {
		many[i] = check_create(&setup, &env, on_result, NULL);
		many[i]->arg = many[i];
		check_start(many[i]);
	}
	CALLS("open1 open2 open3 open4");
	/* One is done: the next, in order, though not at once from inside. */
	pass(5);
	fail(2);
	CALLS("close2");
	pass(0);
	CALLS("open5");
	/* Those that only wait pass their slots on. */
	pass(ADMIT_HOLD_MS - 5);
	CALLS("open6");
	ready(6);
	CHECK_INT(env.admit->held, 1);
	CALLS("ask6");

	/* A deadline counts from the admission. */
	pass(1000 - ADMIT_HOLD_MS);
	CHECK_INT(results, 4);
	pass(4);
	CHECK_INT(results, 4);
	pass(1);
	CHECK_INT(results, 5);
	CHECK_INT(last.latency_us, 1000000);
	pass(20);
	CHECK_INT(results, MANY);
	CHECK_INT(last.latency_us, 1000000);
	for (i = 0; i < MANY; i++)
		check_destroy(many[i]);
	world_end();
}

/* A check may stop waiting for admission, be it the last or the first. */
static void test_queue(void)
{
	struct check *many[8];
	int i;

	world(&networked);
	for (i = 0; i < 8; i++) {
		many[i] = check_create(&setup, &env, on_result, NULL);
		many[i]->arg = many[i];
		check_start(many[i]);
	}
	check_destroy(many[7]);
	check_destroy(many[4]);
	check_destroy(many[0]);
	CALLS("open1 open2 open3 open4 close1");
	pass(0);
	CALLS("open5");
	check_start(check);
	CALLS("");
	pass(ADMIT_HOLD_MS);
	CALLS("open6 open7");
	CHECK_INT(results, 0);
	for (i = 0; i < 8; i++) {
		if (i != 7 && i != 4 && i != 0)
			check_destroy(many[i]);
	}
	CHECK_INT(results, 0);
	world_end();
}

/* A run joins a connection that still waits for its admission. */
static void test_join_queued(void)
{
	struct check *many[ADMIT_SLOTS];
	int i;

	warm_world();
	io(1);
	for (i = 0; i < ADMIT_SLOTS; i++) {
		many[i] = check_create(&setup, &env, on_result, NULL);
		many[i]->arg = many[i];
	}
	pass(249);
	for (i = 0; i < ADMIT_SLOTS; i++)
		check_start(many[i]);
	pass(1);
	CALLS("close1 open2 open3 open4 open5");
	check_start(check);
	pass(ADMIT_HOLD_MS - 1);
	CALLS("open6");
	pass(10);
	ready(6);
	answer(6);
	RESULT(1, OK, "", 10000);
	for (i = 0; i < ADMIT_SLOTS; i++)
		check_destroy(many[i]);
	world_end();
}

/* The time in the queue is not the peer's, for the second connection either. */
static void test_reconnect_queued(void)
{
	struct check *many[ADMIT_SLOTS];
	int i;

	warm_world();
	for (i = 0; i < ADMIT_SLOTS; i++) {
		many[i] = check_create(&setup, &env, on_result, NULL);
		many[i]->arg = many[i];
	}
	check_start(check);
	pass(100);
	for (i = 0; i < ADMIT_SLOTS; i++)
		check_start(many[i]);
	CALLS("ask1 open2 open3 open4 open5");
	fail(1);
	CALLS("close1");
	pass(ADMIT_HOLD_MS);
	CALLS("open6");
	for (i = 0; i < ADMIT_SLOTS; i++)
		check_destroy(many[i]);
	pass(899);
	CHECK_INT(results, 0);
	pass(1);
	CHECK_INT(results, 1);
	CHECK_INT(last.code, RESULT_TIMEOUT);
	CHECK_STR(last.step, "logging in");
	CHECK_INT(last.latency_us, 1000000);
	world_end();
}

/* ---- other kinds ---- */

static void test_local(void)
{
	local = networked;
	local.open = NULL;
	world(&local);
	next_ask = GOOD;
	check_start(check);
	CALLS("ask1");
	RESULT(1, OK, "", 0);
	check_start(check);
	fake_us += 2000;
	answer(1);
	RESULT(2, OK, "", 2000);
	CALLS("ask1");

	/* It fails: no second try, no hedge, nothing in the background. */
	next_ask = BAD;
	check_start(check);
	CALLS("ask1 close1");
	RESULT(3, CONNECT, "connection closed by peer", 0);
	pass(100000);
	CALLS("");
	check_start(check);
	pass(999);
	CALLS("ask2");
	pass(1);
	CALLS("close2");
	RESULT(4, TIMEOUT, "Timeout after 1000ms", 1000000);
	check_start(check);
	answer(3);
	CALLS("ask3");
	RESULT(5, OK, "", 0);
	pass(1000000);
	CALLS("");
	world_end();
}

static void test_open_asks(void)
{
	asking = networked;
	asking.open_asks = true;
	world(&asking);
	check_start(check);
	fake_us += 700;
	answer(1);
	CALLS("open1");
	RESULT(1, OK, "", 700);
	check_start(check);
	answer(1);
	CALLS("ask1");
	RESULT(2, OK, "", 0);

	/* Never in the background: neither renewed nor reconnected. */
	pass(1000000);
	CALLS("");
	io(1);
	CALLS("close1");
	pass(1000000);
	CALLS("");

	next_open = ANSWER;
	check_start(check);
	CALLS("open2");
	RESULT(3, OK, "", 0);
	check_start(check);
	pass(400);
	CALLS("ask2 open3");
	answer(3);
	CALLS("close2");
	RESULT(4, OK, "", 400000);
	check_start(check);
	pass(400);
	answer(3);
	CALLS("ask3 open4 close4");
	world_end();
}

/* ---- the end ---- */

static void test_destroy(void)
{
	world(&networked);
	world_end();
	CALLS("");

	world(&networked);
	check_start(check);
	world_end();
	CALLS("open1 close1");

	world(&networked);
	check_start(check);
	ready(1);
	world_end();
	CALLS("open1 ask1 close1");

	hedged_world();
	ready(2);
	world_end();
	CALLS("ask2 close1 close2");
	CHECK_INT(results, 0);

	renewing_world();
	world_end();
	CALLS("close1 close2");

	warm_world();
	io(1);
	world_end();
	CALLS("close1");
	check_destroy(NULL);
}

/* Released, a check is as new, and what ran ends without a result. */
static void test_release(void)
{
	hedged_world();
	ready(2);
	check_release(check);
	CALLS("ask2 close1 close2");
	CHECK(!check_running(check));
	CHECK_INT(results, 0);
	/* Nothing goes on in the background. */
	pass(120000);
	CALLS("");
	check_start(check);
	CALLS("open3");
	ready(3);
	answer(3);
	RESULT(1, OK, "", 0);
	CALLS("ask3");
	world_end();
}

/* With `keep = no` each run has a connection of its own. */
static void test_unkept(void)
{
	world(&networked);
	setup.policy.keep = false;
	check_start(check);
	ready(1);
	answer(1);
	CALLS("open1 ask1 close1");
	RESULT(1, OK, "", 0);
	CHECK_INT(live, 0);
	/* Nothing in the background, ever. */
	pass(86400000);
	CALLS("");
	check_start(check);
	ready(2);
	bad_answer(2, "HTTP 503");
	CALLS("open2 ask2 close2");
	RESULT(2, UPSTREAM, "HTTP 503", 0);
	check_start(check);
	fail(3);
	CALLS("open3 close3");
	RESULT(3, REFUSED, "connection refused", 0);
	/* Nor a second one that would need a second slot. */
	check_start(check);
	ready(4);
	pass(1000);
	CALLS("open4 ask4 close4");
	RESULT(4, TIMEOUT, "Timeout after 1000ms", 1000000);
	pass(86400000);
	CALLS("");
	world_end();

	world(&asking);
	setup.policy.keep = false;
	check_start(check);
	answer(1);
	CALLS("open1 close1");
	RESULT(1, OK, "", 0);
	world_end();

	/* Without a connection there is nothing to close. */
	world(&local);
	setup.policy.keep = false;
	check_start(check);
	answer(1);
	check_start(check);
	answer(1);
	CALLS("ask1 ask1");
	world_end();
}

static void test_deadline_of(void)
{
	hedged_world();
	CHECK_INT(conn_deadline_ms(conns[2]), clock_ms() + 600);
	world_end();
	renewing_world();
	CHECK_INT(conn_deadline_ms(conns[2]), clock_ms() + 1000);
	world_end();
}

/* We were stopped for an hour: no figure becomes negative. */
static void test_long_pause(void)
{
	world(&networked);
	check_start(check);
	fake_us += (int64_t)3600 * 1000000;
	/* We were stopped, not the peer; it has its time once more. */
	pass(999);
	CHECK_INT(results, 0);
	pass(1);
	CHECK_INT(results, 1);
	CHECK_INT(last.code, RESULT_TIMEOUT);
	CHECK_INT(last.latency_us, INT32_MAX);
	world_end();

	/* An answer from before we slept does not count as new. */
	warm_world();
	check_start(check);
	fake_us += 1501000;
	answer(1);
	CALLS("ask1 close1 open2");
	CHECK_INT(results, 0);
	ready(2);
	fake_us += 1000;
	answer(2);
	RESULT(1, OK, "", 1000);
	CALLS("ask2");
	/* One that is a little late is one that we were late to read. */
	check_start(check);
	fake_us += 1500000;
	answer(2);
	RESULT(2, OK, "", 1500000);
	world_end();
}

/* Each time that we look, we have slept again. */
static void sleep_through(int times)
{
	while (times--) {
		fake_us += 2000000;
		loop_fire_timers(env.loop);
	}
}

/* A run gets its time again once, however often we are suspended. */
static void test_suspended_again(void)
{
	world(&networked);
	check_start(check);
	sleep_through(1);
	CHECK_INT(results, 0);
	sleep_through(1);
	CHECK_INT(results, 1);
	CHECK_INT(last.code, RESULT_TIMEOUT);
	/* The next run has that right anew. */
	check_start(check);
	sleep_through(1);
	CHECK_INT(results, 1);
	ready(2);
	answer(2);
	CHECK_INT(results, 2);
	CHECK_INT(last.code, RESULT_OK);
	world_end();

	/* Late answers: the second is as old as the first, and no news. */
	warm_world();
	check_start(check);
	fake_us += 2000000;
	answer(1);
	CALLS("ask1 close1 open2");
	ready(2);
	fake_us += 2000000;
	answer(2);
	CALLS("ask2 close2");
	RESULT(1, TIMEOUT, "Timeout after 1000ms", 2000000);
	CHECK_STR(last.step, "waiting for the answer");
	world_end();

	/* The timer first, then an answer. */
	warm_world();
	check_start(check);
	sleep_through(1);
	fake_us += 2000000;
	answer(1);
	CHECK_INT(results, 1);
	CHECK_INT(last.code, RESULT_TIMEOUT);
	world_end();

	/* A connection that is lost after the second time is the end. */
	warm_world();
	check_start(check);
	sleep_through(1);
	CALLS("ask1 open2");
	fail(2);
	fake_us += 2000000;
	fail(1);
	CALLS("close2 close1");
	CHECK_INT(results, 1);
	world_end();

	/* Also without a hedge, which a joined opening has not yet. */
	warm_world();
	io(1);
	pass(250);
	CALLS("close1 open2");
	check_start(check);
	loop_timer_clear(env.loop, &check->hedge);
	sleep_through(1);
	CHECK_INT(results, 0);
	fake_us += 2000000;
	fail(2);
	CALLS("close2");
	RESULT(1, REFUSED, "connection refused", 4000000);
	world_end();

	/* Neither does an opening in the background go on for ever. */
	warm_world();
	io(1);
	pass(250);
	CALLS("close1 open2");
	sleep_through(1);
	CALLS("");
	sleep_through(1);
	CALLS("close2");
	world_end();
}

/* ---- whatever happens ---- */

static unsigned seed;

static int draw(int n)
{
	return rand_r(&seed) % n;
}

static void random_conn(struct conn *conn)
{
	switch (conn->phase) {
	case CONN_OPENING:
		if (conn->check->kind->open_asks || draw(4) == 0)
			conn_answered(conn, draw(2) ? RESULT_OK : RESULT_BUSY,
				      "x");
		else if (draw(2))
			conn_ready(conn);
		else
			conn_failed(conn, RESULT_REFUSED, "x");
		break;
	case CONN_ASKING:
		if (draw(3))
			conn_answered(conn, draw(3) ? RESULT_OK : RESULT_BUSY,
				      "x");
		else
			conn_failed(conn, RESULT_CONNECT, "x");
		break;
	case CONN_IDLE:
		if (conn->check->kind->open && draw(3) == 0)
			conn_on_io(conn, POLLIN);
		break;
	case CONN_CLOSED:
	case CONN_QUEUED:
		break;
	}
}

/* What holds whenever no call is under way. */
static void invariants(const struct check *c, int64_t started_ms)
{
	const struct conn *warm = c->warm, *other = &c->conns[0];
	bool busy;

	if (other == warm)
		other = &c->conns[1];
	busy = conn_busy(warm) || conn_busy(other);
	if (c->running) {
		CHECK(busy);
		CHECK(!loop_timer_armed(&c->deadline) ||
		      c->deadline.at_ms > clock_ms());
		CHECK(loop_timer_armed(&c->deadline) ||
		      warm->phase == CONN_QUEUED);
		/* With an empty queue, admission takes almost no time; the run
		 * then ends by its deadline. */
		CHECK(clock_ms() - started_ms < 1000 + 100);
		return;
	}
	CHECK(!loop_timer_armed(&c->deadline));
	CHECK(!loop_timer_armed(&c->hedge));
	CHECK(warm->phase != CONN_ASKING && other->phase != CONN_ASKING);
	/* The other one is a renewal or is not. */
	CHECK(other->phase != CONN_IDLE);
	CHECK(other->phase == CONN_CLOSED || warm->phase == CONN_IDLE);
	if (!c->kind->open || c->kind->open_asks) {
		CHECK(!busy);
		CHECK(!loop_timer_armed(&c->upkeep));
	} else {
		/* The background forgets nothing. */
		CHECK(busy || loop_timer_armed(&c->upkeep));
	}
}

static void random_run(const struct check_kind *kind, int64_t renew_ms)
{
	struct check *many[5];
	int64_t started[5] = { 0 };
	int starts = 0, step, i;

	world(kind);
	setup.policy.renew_ms = renew_ms;
	for (i = 0; i < 5; i++) {
		many[i] = check_create(&setup, &env, on_result, NULL);
		many[i]->arg = many[i];
		if (kind->open && !kind->open_asks) {
			check_start(many[i]);
			started[i] = clock_ms();
			starts++;
		}
	}
	for (step = 0; step < 400; step++) {
		struct check *c;

		i = draw(5);
		c = many[i];
		jitter = (uint32_t)draw(256);
		next_open = kind->open_asks ? PENDING : draw(3);
		next_ask = draw(3);
		switch (draw(4)) {
		case 0:
			if (!check_running(c)) {
				starts++;
				started[i] = clock_ms();
			}
			check_start(c);
			break;
		case 1:
		case 2:
			random_conn(&c->conns[draw(2)]);
			break;
		default:
			pass(draw(3) ? draw(50) : draw(2000));
		}
		CHECK(results <= starts);
		for (i = 0; i < 5; i++)
			invariants(many[i], started[i]);
		CHECK(live <= 10);
		calls[0] = '\0';
	}
	pass(1200);
	CHECK_INT(results, starts);
	for (i = 0; i < 5; i++)
		check_destroy(many[i]);
	CHECK_INT(results, starts);
	world_end();
}

static void test_random(void)
{
	for (seed = 1; seed < 100 && !unit_failed; seed++) {
		unsigned mine = seed;

		random_run(&networked, 300);
		random_run(&networked, 60000);
		random_run(&asking, 300);
		random_run(&local, 300);
		seed = mine;
		if (unit_failed)
			printf("\tseed %u\n", seed);
	}
}

int main(void)
{
	test_refused();
	test_renew();
	test_renew_nothing();
	test_cold();
	test_cold_at_once();
	test_cold_refused();
	test_cold_hangs();
	test_peer();
	test_answers_not_ok();
	test_warm();
	test_warm_dead();
	test_warm_dead_read_late();
	test_warm_dead_twice();
	test_idle_death();
	test_back_off();
	test_demand();
	test_background_hangs();
	test_join_opening();
	test_hedge();
	test_hedge_fails();
	test_both_hang();
	test_bad_answer_waits();
	test_bad_answer_stays();
	test_bad_answer_and_queue();
	test_renewal();
	test_never_renewed();
	test_run_during_renewal();
	test_death_during_renewal();
	test_admission();
	test_queue();
	test_join_queued();
	test_reconnect_queued();
	test_local();
	test_open_asks();
	test_destroy();
	test_release();
	test_unkept();
	test_deadline_of();
	test_long_pause();
	test_suspended_again();
	test_random();
	return unit_report();
}

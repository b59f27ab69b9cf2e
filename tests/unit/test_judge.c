#include "asker/judge.c"

#include "unit.h"

static struct judge judge;
static struct judge_look look;
static const int64_t look_ms = JUDGE_LATE_MS / 2;

/* Looks every look_ms, for so long, while the worker's time goes to these
 * parts (in percent; the rest is sleep).  The verdict that is not fine, or the
 * last one. */
static enum judge_verdict pass(int64_t ms, int cpu, int waiting)
{
	enum judge_verdict verdict = JUDGE_FINE;

	for (; ms > 0 && verdict == JUDGE_FINE; ms -= look_ms) {
		look.now_ms += look_ms;
		look.cpu_us += look_ms * 10 * cpu;
		look.waited_us += look_ms * 10 * waiting;
		verdict = judge_call(&judge, &look);
	}
	return verdict;
}

/* A call has just begun, and is seen at its start. */
static void call(void)
{
	judge = (struct judge){ .last_ms = 0 };
	look = (struct judge_look){ .now_ms = 1000000, .call = 7 };
	look.since_ms = look.now_ms;
	CHECK_INT(judge_call(&judge, &look), JUDGE_FINE);
}

static void test_computes(void)
{
	call();
	CHECK_INT(pass(400, 100, 0), JUDGE_FINE);
	CHECK_INT(pass(100, 100, 0), JUDGE_COMPUTES);
	CHECK_INT(look.now_ms - look.since_ms, JUDGE_CPU_MS);
}

static void test_sleeps(void)
{
	call();
	CHECK_INT(pass(900, 0, 0), JUDGE_FINE);
	CHECK_INT(pass(100, 0, 0), JUDGE_SLEEPS);
	/* First seen when it had lasted for long. */
	call();
	look.since_ms -= 5000;
	CHECK_INT(pass(400, 0, 0), JUDGE_FINE);
	CHECK_INT(pass(100, 0, 0), JUDGE_SLEEPS);
	/* What a wild write made of its beginning hides nothing. */
	call();
	look.since_ms = INT64_MAX;
	CHECK_INT(pass(400, 0, 0), JUDGE_FINE);
	CHECK_INT(pass(100, 0, 0), JUDGE_SLEEPS);
	call();
	look.since_ms = INT64_MIN;
	CHECK_INT(pass(500, 0, 0), JUDGE_SLEEPS);
	CHECK_INT(judge_age_ms(&look), JUDGE_SLEEP_MS);
}

/* A container with 5 % of a processor: logins take seconds. */
static void test_starves(void)
{
	call();
	CHECK_INT(pass(9000, 5, 95), JUDGE_FINE);
	CHECK_INT(pass(1100, 5, 95), JUDGE_COMPUTES);
}

/* The kernel counts the wait for a processor only when it is over. */
static void test_waits(void)
{
	call();
	look.runnable = true;
	CHECK_INT(pass(5000, 0, 0), JUDGE_FINE);
	look.waited_us += 5000000;
	look.runnable = false;
	CHECK_INT(pass(400, 0, 0), JUDGE_FINE);
	CHECK_INT(pass(100, 0, 0), JUDGE_SLEEPS);
}

static void test_other_calls(void)
{
	int i;

	call();
	for (i = 0; i < 100; i++) {
		CHECK_INT(pass(400, 100, 0), JUDGE_FINE);
		look.call++;
		look.since_ms = look.now_ms;
	}
	/* Between calls it waits for events. */
	look.call = 0;
	CHECK_INT(pass(60000, 0, 0), JUDGE_FINE);
}

/* A worker that is stopped in a call is as good as asleep. */
/* One owner's calls sleep, each for less than what counts as a hang. */
static void test_dozes(void)
{
	enum judge_verdict verdict = JUDGE_FINE;
	int i, bad = 0;

	call();
	look.owner = 3;
	for (i = 0; i < 4 && verdict == JUDGE_FINE; i++) {
		look.call = 10 + (uint64_t)i;
		look.since_ms = look.now_ms;
		verdict = pass(900, 0, 0);
		bad++;
		if (verdict != JUDGE_FINE)
			break;
		look.call = 0;
		CHECK_INT(pass(200, 0, 0), JUDGE_FINE);
	}
	CHECK_INT(verdict, JUDGE_SLEEPS);
	CHECK_INT(bad, 2);
	/* Different owners, now and then. */
	call();
	for (i = 0; i < 20; i++) {
		look.owner = (uint32_t)i % 5;
		look.call = 10 + (uint64_t)i;
		look.since_ms = look.now_ms;
		CHECK_INT(pass(200, 0, 0), JUDGE_FINE);
		look.call = 0;
		CHECK_INT(pass(1000, 0, 0), JUDGE_FINE);
	}
}

static void test_stopped(void)
{
	call();
	CHECK_INT(pass(400, 100, 0), JUDGE_FINE);
	CHECK_INT(pass(500, 0, 0), JUDGE_FINE);
	CHECK_INT(pass(100, 0, 0), JUDGE_SLEEPS);
	/* Between calls it may be stopped for as long as you like. */
	look.call = 0;
	CHECK_INT(pass(60000, 0, 0), JUDGE_FINE);
}

/* The asker and the worker were suspended together. */
static void test_suspended(void)
{
	call();
	CHECK_INT(pass(900, 0, 0), JUDGE_FINE);
	look.now_ms += 3600000;
	CHECK_INT(judge_call(&judge, &look), JUDGE_FINE);
	CHECK_INT(pass(400, 0, 0), JUDGE_FINE);
	CHECK_INT(pass(100, 0, 0), JUDGE_SLEEPS);
	/* The asker is as starved as the worker. */
	call();
	for (; look.now_ms < 1060000; look.now_ms += 250)
		CHECK_INT(judge_call(&judge, &look), JUDGE_FINE);
}

int main(void)
{
	test_computes();
	test_sleeps();
	test_starves();
	test_waits();
	test_other_calls();
	test_dozes();
	test_stopped();
	test_suspended();
	return unit_report();
}

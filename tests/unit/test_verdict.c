#include "answer/verdict.c"

#include "fake_plan.h"
#include "unit.h"

/* A little world of four checks, all healthy a moment ago, seen at NOW. */
#define NOW 1000000
#define ASKED (NOW - 100)
#define N 4

static struct result results[N];
static bool latched[N], late[N];
static struct plan *plan;
static struct plan_check *checks;
static struct board_view view;
static struct route route;
static struct verdict_input input;

static void set_result(size_t check, enum result_code code, int64_t ended_ms)
{
	memset(&results[check], 0, sizeof(results[check]));
	results[check].code = code;
	results[check].latency_us = 3210;
	results[check].ended_us = ended_ms * 1000;
	if (code != RESULT_OK)
		snprintf(results[check].error, sizeof(results[check].error),
			 "HTTP 503");
}

static void world(enum probe probe)
{
	static const char *const names[N] = { "database", "redis", "openai",
					      "model" };
	size_t i;

	free(plan);
	plan = fake_plan(N);
	checks = plan->checks;
	for (i = 0; i < N; i++) {
		fake_plan_check(plan, i, names[i],
				(struct check_policy){ .required = true,
						       .startup = true,
						       .max_age_ms = 1000 });
		latched[i] = true;
		set_result(i, RESULT_OK, NOW - 10);
	}
	checks[2].policy.required = false;
	checks[2].policy.startup = false;
	checks[3].policy.live = true;
	checks[3].policy.interval_ms = 10000;
	checks[3].policy.max_age_ms = 12000;
	view = (struct board_view){ .now_ms = NOW,
				    .started = true,
				    .n = N,
				    .results = results,
				    .latched = latched,
				    .late = late };
	route = (struct route){ .probe = probe };
	input = (struct verdict_input){ .route = &route,
					.plan = plan,
					.view = &view,
					.asked_us = (int64_t)ASKED * 1000 };
}

/* As the board does. */
static struct verdict make(void)
{
	size_t i;

	for (i = 0; i < N; i++)
		late[i] = results[i].ended_us == 0 ||
			  input.asked_us - results[i].ended_us >
				  checks[i].policy.max_age_ms * 1000;
	return verdict_make(&input);
}

static void expect(int line, int http, const char *status, const char *error)
{
	struct verdict got = make();

	if (got.http != http)
		printf("\tline %d: %d\n", line, got.http);
	CHECK_INT(got.http, http);
	CHECK_STR(got.status ? got.status : "", status);
	CHECK_STR(got.error ? got.error : "", error);
}

#define EXPECT(http, status, error) expect(__LINE__, http, status, error)

static size_t shown(const struct verdict *verdict)
{
	size_t i, n = 0;

	for (i = 0; i < N; i++)
		n += verdict_shows(verdict, plan, i);
	return n;
}

static void test_live(void)
{
	struct verdict verdict;

	world(PROBE_LIVE);
	EXPECT(200, "alive", "");
	CHECK(make().show_service);
	CHECK_INT(shown(&(struct verdict){ .end = N }), 0);

	/* Others' faults, drain and configuration do not matter. */
	set_result(0, RESULT_REFUSED, NOW - 10);
	set_result(1, RESULT_OK, NOW - 99999);
	view.draining = true;
	view.started = false;
	plan->broken = input.busy = true;
	EXPECT(200, "alive", "");
	CHECK_INT(results[0].code, RESULT_REFUSED);
	CHECK_INT(results[1].code, RESULT_OK);

	set_result(3, RESULT_OK, 0);
	EXPECT(200, "alive", "");
	input.out_of_time = true;
	EXPECT(200, "alive", "");
	CHECK_INT(results[3].code, RESULT_UNKNOWN);

	set_result(3, RESULT_MISSING, NOW - 10);
	verdict = make();
	CHECK_INT(verdict.http, 503);
	CHECK_STR(verdict.status, "not_alive");
	CHECK_INT(shown(&verdict), 1);
	CHECK(verdict_shows(&verdict, plan, 3));
	CHECK_STR(results[3].error, "HTTP 503");

	set_result(3, RESULT_OK, NOW - 12000);
	EXPECT(200, "alive", "");
}

static void test_live_several(void)
{
	struct verdict verdict;

	world(PROBE_LIVE);
	checks[0].policy.live = true;
	checks[0].policy.interval_ms = 10000;
	checks[0].policy.max_age_ms = 5000;
	set_result(0, RESULT_TIMEOUT, NOW - 5);
	set_result(3, RESULT_OK, 0);
	verdict = make();
	CHECK_STR(verdict.status, "not_alive");
	CHECK_INT(shown(&verdict), 2);
	CHECK(!verdict_shows(&verdict, plan, 1));
	CHECK_STR(results[3].error, "not checked yet");

	/* An old result says what it said: we may have been suspended. */
	set_result(0, RESULT_OK, NOW - 3600000);
	set_result(3, RESULT_OK, NOW - 20000);
	EXPECT(200, "alive", "");

	view.stuck = true;
	EXPECT(503, "stuck", "");
	CHECK(!make().show_checks);
	/* A broken configuration has nothing to run. */
	plan->broken = true;
	EXPECT(200, "alive", "");
}

static void test_ready(void)
{
	struct verdict verdict;

	world(PROBE_READY);
	EXPECT(200, "ready", "");
	verdict = make();
	CHECK_INT(shown(&verdict), N);
	CHECK(!verdict.show_waiting);
	CHECK(!verdict.show_service);

	set_result(2, RESULT_STATUS, NOW - 10);
	EXPECT(200, "degraded", "");
	set_result(1, RESULT_AUTH, NOW - 10);
	EXPECT(503, "not_ready", "");
	set_result(2, RESULT_OK, NOW - 10);
	EXPECT(503, "not_ready", "");
	/* An optional check behind a required one does not soften it. */
	set_result(2, RESULT_STATUS, NOW - 10);
	EXPECT(503, "not_ready", "");
	verdict = make();
	CHECK_INT(shown(&verdict), N);

	/* Neither the latch nor `stuck` changes readiness. */
	world(PROBE_READY);
	view.started = false;
	view.stuck = true;
	EXPECT(200, "ready", "");
}

static void test_ready_empty(void)
{
	struct verdict verdict;

	world(PROBE_READY);
	view.n = 0;
	EXPECT(200, "ready", "");
	verdict = make();
	CHECK(verdict.show_checks);
	CHECK_INT(shown(&verdict), 0);
	input.busy = input.out_of_time = true;
	EXPECT(200, "ready", "");
}

static void test_ready_refused(void)
{
	world(PROBE_READY);
	plan->broken = true;
	EXPECT(503, "not_ready", "configuration error, see the log");
	CHECK(!make().show_checks);
	view.draining = true;
	EXPECT(503, "draining", "");
	CHECK(!make().show_checks);
}

static void test_ages(void)
{
	world(PROBE_READY);
	/* The board's word counts for what runs on demand... */
	set_result(0, RESULT_OK, NOW - 5000);
	EXPECT(200, "ready", "");
	set_result(3, RESULT_OK, NOW - 35700);
	EXPECT(200, "ready", "");
	/* ...but a background check that did not come again in time has died.
	 */
	input.out_of_time = true;
	set_result(0, RESULT_OK, NOW);
	set_result(1, RESULT_OK, NOW);
	set_result(2, RESULT_OK, NOW);
	set_result(3, RESULT_OK, NOW - 35700);
	snprintf(results[3].step, sizeof(results[3].step), "reading");
	EXPECT(503, "not_ready", "");
	CHECK_INT(results[3].code, RESULT_STALE);
	CHECK_STR(results[3].error, "last result is 35s old");
	CHECK_STR(results[3].step, "");
	CHECK_INT(results[3].ended_us, (int64_t)(NOW - 35700) * 1000);

	world(PROBE_READY);
	checks[3].policy.max_age_ms = 700;
	input.out_of_time = true;
	set_result(0, RESULT_OK, NOW);
	set_result(1, RESULT_OK, NOW);
	set_result(2, RESULT_OK, NOW);
	set_result(3, RESULT_OK, NOW - 1500);
	EXPECT(503, "not_ready", "");
	CHECK_STR(results[3].error, "last result is 1500ms old");

	world(PROBE_READY);
	set_result(3, RESULT_OK, 0);
	EXPECT(503, "not_ready", "");
	CHECK_INT(results[3].code, RESULT_UNKNOWN);
	CHECK_STR(results[3].error, "not checked yet");
	CHECK_INT(results[3].latency_us, 0);
}

static void test_out_of_time(void)
{
	world(PROBE_READY);
	input.asked_us = (int64_t)(NOW - 4500) * 1000;
	input.out_of_time = true;
	/* Published for this question, fresh enough, and too old. */
	set_result(0, RESULT_OK, NOW - 4000);
	set_result(1, RESULT_OK, NOW - 5500);
	EXPECT(200, "ready", "");
	results[1].ended_us--;
	snprintf(results[1].detail, sizeof(results[1].detail),
		 "of another time");
	EXPECT(503, "not_ready", "");
	CHECK_INT(results[0].code, RESULT_OK);
	CHECK_INT(results[1].code, RESULT_TIMEOUT);
	CHECK_STR(results[1].error, "No result within 4500ms");
	CHECK_STR(results[1].detail, "");
	CHECK_INT(results[1].latency_us, 4500000);
	CHECK_INT(results[1].ended_us, (int64_t)NOW * 1000);

	/* A background check that was late again has an old result. */
	set_result(1, RESULT_OK, NOW - 1);
	set_result(3, RESULT_OK, NOW - 11000);
	EXPECT(200, "ready", "");
	set_result(3, RESULT_OK, NOW - 17500);
	EXPECT(503, "not_ready", "");
	CHECK_INT(results[3].code, RESULT_STALE);
	set_result(3, RESULT_OK, 0);
	EXPECT(503, "not_ready", "");
	CHECK_INT(results[3].code, RESULT_TIMEOUT);

	/* An optional one that is late only degrades. */
	world(PROBE_READY);
	input.out_of_time = true;
	set_result(2, RESULT_OK, 0);
	EXPECT(200, "degraded", "");
	CHECK_INT(results[2].latency_us, 100000);
}

/* Soon after boot the clock is smaller than an allowed age. */
static void test_out_of_time_early(void)
{
	world(PROBE_CHECK);
	checks[0].policy.max_age_ms = 60000;
	view.now_ms = 5000;
	input.asked_us = 5000999;
	input.out_of_time = true;
	set_result(0, RESULT_OK, 0);
	EXPECT(503, "not_ready", "");
	CHECK_INT(results[0].code, RESULT_TIMEOUT);
	CHECK_INT(results[0].latency_us, 0);
	CHECK_INT(results[0].ended_us, 5000999);

	set_result(0, RESULT_OK, 0);
	view.now_ms = 5000000000;
	input.asked_us = 1;
	EXPECT(503, "not_ready", "");
	CHECK_INT(results[0].latency_us, INT32_MAX);
}

static void test_busy(void)
{
	world(PROBE_READY);
	input.busy = true;
	EXPECT(200, "ready", "");
	set_result(0, RESULT_OK, NOW - 5500);
	EXPECT(200, "ready", "");
	set_result(0, RESULT_CONNECT, NOW - 5500);
	EXPECT(503, "not_ready", "");
	CHECK(make().show_checks);
	set_result(0, RESULT_OK, NOW - 5501);
	EXPECT(503, "not_ready", "busy");
	CHECK(!make().show_checks);
	set_result(0, RESULT_OK, 0);
	EXPECT(503, "not_ready", "busy");

	/* Others' age does not matter to a question about one. */
	route.probe = PROBE_CHECK;
	EXPECT(503, "not_ready", "busy");
	route.check = 1;
	EXPECT(200, "ready", "");

	/* Startup needs no request. */
	route.probe = PROBE_STARTED;
	EXPECT(200, "started", "");
	view.started = false;
	EXPECT(503, "starting", "");
}

static void test_one(void)
{
	struct verdict verdict;

	world(PROBE_CHECK);
	route.check = 2;
	set_result(0, RESULT_REFUSED, NOW - 10);
	set_result(3, RESULT_OK, NOW - 99999);
	view.draining = true;
	EXPECT(200, "ready", "");
	verdict = make();
	CHECK_INT(shown(&verdict), 1);
	CHECK(verdict_shows(&verdict, plan, 2));
	/* The board leaves the records of other checks undefined. */
	CHECK_INT(results[3].code, RESULT_OK);

	set_result(2, RESULT_THROTTLED, NOW - 10);
	EXPECT(503, "not_ready", "");
	verdict = make();
	CHECK_INT(shown(&verdict), 1);

	plan->broken = true;
	EXPECT(503, "not_ready", "configuration error, see the log");
}

static void test_started(void)
{
	struct verdict verdict;

	world(PROBE_STARTED);
	EXPECT(200, "started", "");
	/* A latch stays, whatever happens later. */
	set_result(0, RESULT_REFUSED, NOW - 10);
	view.draining = true;
	EXPECT(200, "started", "");

	view.started = false;
	latched[1] = false;
	input.out_of_time = true;
	EXPECT(503, "starting", "");
	verdict = make();
	CHECK_STR(verdict.detail, "Service is still initialising");
	CHECK(verdict.show_waiting);
	CHECK(!verdict.show_checks);

	plan->broken = true;
	view.started = true;
	EXPECT(503, "starting", "configuration error, see the log");
	CHECK(!make().show_waiting);
}

static void test_others(void)
{
	world(PROBE_LIVE);
	route.error = 404;
	view.draining = view.stuck = plan->broken = true;
	EXPECT(404, "", "not found");
	CHECK(make().status == NULL);
	route.error = 405;
	EXPECT(405, "", "method not allowed");
}

int main(void)
{
	test_live();
	test_live_several();
	test_ready();
	test_ready_empty();
	test_ready_refused();
	test_ages();
	test_out_of_time();
	test_out_of_time_early();
	test_busy();
	test_one();
	test_started();
	test_others();
	return unit_report();
}

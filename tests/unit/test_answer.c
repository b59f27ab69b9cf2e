/*
 * From a request to its bytes, with the real route, board, verdict and
 * rendering, and a clock that stands until it is moved.
 */
#include "config.h"

#include "fake_clock.h"

#include "answer/answer.c"
#include "board/board.c"
#include "board/share.c"
#include "board/share_file.c"

#include <stdio.h>

#include "fake_plan.h"
#include "fake_share.h"
#include "unit.h"

static const char *const networks[] = { "::1", "10.0.0.0/8", "127.0.0.1" };

static struct board *board;
static struct plan *plan;
static struct share *share;
static struct service service;
static struct board_view *view;
static struct pending pending;
static struct response response;

static void world(bool broken)
{
	plan = fake_plan(2);
	strcpy(plan->service, "tested");
	plan->broken = broken;
	for (; plan->n_trusted < 3; plan->n_trusted++)
		CHECK(cidr_parse(networks[plan->n_trusted],
				 &plan->trusted[plan->n_trusted]));
	fake_plan_check(plan, 0, "database",
			(struct check_policy){ .max_age_ms = 1000,
					       .required = true,
					       .startup = true });
	fake_plan_check(plan, 1, "cache",
			(struct check_policy){ .max_age_ms = 1000 });
	share = fake_share(plan->n);
	board = board_create(plan, share);
	service = (struct service){ plan, board };
	view = service_view(&service);
	CHECK(board && view);
}

static void world_end(void)
{
	free(view);
	board_destroy(board);
	share_close(share);
	free(plan);
}

static void begin(const char *method, const char *path)
{
	struct route_request request = { .method = method, .path_info = path };

	answer_begin(&service, &request, NULL, &pending);
}

static void publish(size_t check, enum result_code code)
{
	struct result result = { .code = code,
				 .latency_us = 1500,
				 .ended_us = fake_us };

	if (code != RESULT_OK)
		snprintf(result.error, sizeof(result.error), "HTTP 503");
	CHECK(fake_share_publish(share, board, check, &result));
}

/* Status and body of the answer; its length is what its head says. */
static void expect(int line, enum answer_how how, int http, const char *body)
{
	const char *length;

	if (!answer_ask(&service, &pending, how, view)) {
		printf("\tline %d\n", line);
		CHECK(!"must wait");
		return;
	}
	answer_render(&service, &pending, how, view, &response);
	CHECK(response.text != NULL);
	if (response.http != http ||
	    strcmp(response.text + response.head_len, body) != 0)
		printf("\tline %d\n", line);
	CHECK_INT(response.http, http);
	CHECK_STR(response.text + response.head_len, body);
	CHECK_INT(response.len, strlen(response.text));
	length = strstr(response.text, "Content-Length: ");
	CHECK(length && ((pending.route.head && !pending.route.options) ||
			 strtoul(length + 16, NULL, 10) == strlen(body)));
	if (pending.route.options)
		CHECK(strstr(response.text, "Allow: GET, HEAD, OPTIONS\r\n"));
	free(response.text);
}

#define EXPECT(how, http, body) expect(__LINE__, ANSWER_##how, http, body)

static bool waits(void)
{
	return !answer_ask(&service, &pending, ANSWER_IF_KNOWN, view);
}

static void test_live(void)
{
	world(false);
	begin("GET", "/health");
	EXPECT(IF_KNOWN, 200,
	       "{\"status\":\"alive\",\"service\":\"tested\"}\n");
	begin("HEAD", "/health");
	EXPECT(IF_KNOWN, 200, "");
	begin("OPTIONS", "/health");
	EXPECT(IF_KNOWN, 200, "");
	begin("OPTIONS", "/health/nothing");
	EXPECT(IF_KNOWN, 404, "");
	begin("GET", "/health/nothing");
	EXPECT(IF_KNOWN, 404, "{\"error\":\"not found\"}\n");
	begin("POST", "/health");
	EXPECT(IF_KNOWN, 405, "{\"error\":\"method not allowed\"}\n");
	world_end();
}

static void test_ready(void)
{
	world(false);
	begin("GET", "/health/ready");
	CHECK_INT(pending.until_ms, clock_ms() + 4500);
	CHECK(waits());
	fake_us += 2000;
	publish(0, RESULT_OK);
	CHECK(waits());
	publish(1, RESULT_OK);
	EXPECT(IF_KNOWN, 200,
	       "{\"status\":\"ready\",\"checks\":{"
	       "\"database\":{\"healthy\":true,\"latency_ms\":1.5},"
	       "\"cache\":{\"healthy\":true,\"latency_ms\":1.5}}}\n");
	publish(1, RESULT_STATUS);
	fake_us += 7000;
	begin("GET", "/health/ready/cache");
	EXPECT(IF_KNOWN, 503,
	       "{\"status\":\"not_ready\",\"checks\":{\"cache\":{"
	       "\"healthy\":false,\"error\":\"HTTP 503\",\"code\":\"status\","
	       "\"latency_ms\":1.5,\"age_ms\":7}}}\n");
	world_end();
}

/* What did not come in time is said to have failed, the rest is shown. */
static void test_out_of_time(void)
{
	world(false);
	begin("GET", "/health/ready");
	CHECK(waits());
	fake_us += 2000;
	publish(1, RESULT_OK);
	CHECK(waits());
	fake_us += 4498000;
	EXPECT(NOW, 503,
	       "{\"status\":\"not_ready\",\"checks\":{"
	       "\"database\":{\"healthy\":false,"
	       "\"error\":\"No result within 4500ms\",\"code\":\"timeout\","
	       "\"latency_ms\":4500.0},"
	       "\"cache\":{\"healthy\":true,\"latency_ms\":1.5}}}\n");
	world_end();
}

static void test_busy(void)
{
	world(false);
	begin("GET", "/health/ready");
	EXPECT(BUSY, 503, "{\"status\":\"not_ready\",\"error\":\"busy\"}\n");
	world_end();
}

/* No check runs, no request waits, and liveness is healthy. */
static void test_broken(void)
{
	static const char *const paths[] = { "/health/ready",
					     "/health/ready/database",
					     "/health/ready/misspelled" };
	size_t i;

	world(true);
	for (i = 0; i < sizeof(paths) / sizeof(*paths); i++) {
		begin("GET", paths[i]);
		EXPECT(IF_KNOWN, 503,
		       "{\"status\":\"not_ready\",\"error\":"
		       "\"configuration error, see the log\"}\n");
	}
	begin("GET", "/health/started");
	EXPECT(IF_KNOWN, 503,
	       "{\"status\":\"starting\",\"error\":"
	       "\"configuration error, see the log\"}\n");
	/* There is nothing to run, which is not `stuck`. */
	for (i = 0; i < 3; i++) {
		fake_us += 20000000;
		begin("GET", "/health");
		EXPECT(IF_KNOWN, 200,
		       "{\"status\":\"alive\",\"service\":\"tested\"}\n");
	}
	world_end();
}

static void test_no_memory(void)
{
	const char *text = response_no_memory();
	const char *length = strstr(text, "Content-Length: ");
	const char *body = strstr(text, "\r\n\r\n");

	CHECK(length && body);
	CHECK_INT(strtoul(length + 16, NULL, 10), strlen(body + 4));
}

static void test_trusted(void)
{
	static const struct {
		const char *remote_addr;
		bool trusted;
	} rows[] = {
		{ "127.0.0.1", true }, { "127.0.0.3", false },
		{ "10.2.3.4", true },  { "::1", true },
		{ "unix:", false },    { NULL, false },
	};
	struct route_request request = { .script_name = "/none" };
	size_t i;

	world(false);
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		answer_begin(&service, &request, rows[i].remote_addr, &pending);
		CHECK_INT(pending.trusted, rows[i].trusted);
	}
	world_end();
}

int main(void)
{
	test_trusted();
	test_live();
	test_ready();
	test_out_of_time();
	test_busy();
	test_broken();
	test_no_memory();
	return unit_report();
}

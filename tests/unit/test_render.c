#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BODY_BYTES (1024 * 1024)

/* Counts down; the allocation that finds it at zero fails. */
static long allocations_left = -1;
static long allocations_live;

static void *test_malloc(size_t size)
{
	void *memory;

	if (allocations_left == 0)
		return NULL;
	if (allocations_left > 0)
		allocations_left--;
	memory = (malloc)(size);
	allocations_live += memory != NULL;
	return memory;
}

static void test_free(void *memory)
{
	allocations_live -= memory != NULL;
	(free)(memory);
}

__attribute__((format(printf, 2, 3))) static int test_asprintf(char **to,
							       const char *fmt,
							       ...)
{
	va_list args;
	int len;

	*to = test_malloc(BODY_BYTES);
	if (!*to)
		return -1;
	va_start(args, fmt);
	len = vsnprintf(*to, BODY_BYTES, fmt, args);
	va_end(args);
	return len;
}

#define asprintf test_asprintf
#include "answer/render.c"
#undef asprintf

#include <locale.h>

#include "fake_plan.h"
#include "unit.h"

/* The neighbours. */
const char *result_word(int32_t code)
{
	static const char *const words[] = {
#define X(name, word, help) [RESULT_##name] = word,
		RESULT_CODES(X)
#undef X
	};

	return words[code];
}

void text_clean(char *to, size_t size, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < len && i + 1 < size; i++)
		to[i] = (unsigned char)from[i] < 0x80 ? from[i] : '?';
	to[i] = '\0';
}

#define MANY 1000
#define NOW 1000000
#define ASKED (NOW - 20)

static struct result results[MANY];
static bool latched[MANY];
static struct plan *plan;
static struct plan_check *checks;
static struct board_view view;
static struct verdict verdict;
static struct render_input input;

static void world(int http, const char *status, size_t n)
{
	static const char *const names[] = { "database", "redis", "openai" };
	size_t i;

	if (!plan)
		plan = fake_plan(MANY);
	checks = plan->checks;
	plan->service[0] = '\0';
	memset(results, 0, sizeof(results));
	for (i = 0; i < MANY; i++) {
		fake_plan_check(plan, i, names[i % 3],
				(struct check_policy){ .required = true });
		results[i].code = RESULT_OK;
		results[i].latency_us = 3210;
		results[i].ended_us = (int64_t)NOW * 1000;
		latched[i] = true;
	}
	view = (struct board_view){
		.now_ms = NOW, .n = n, .results = results, .latched = latched
	};
	verdict = (struct verdict){ .http = http, .status = status };
	verdict.end = n;
	verdict.show_checks = n > 0;
	input = (struct render_input){ .verdict = &verdict,
				       .plan = plan,
				       .view = &view,
				       .asked_us = (int64_t)ASKED * 1000 };
}

static void fail(size_t check, enum result_code code, const char *error)
{
	results[check].code = code;
	snprintf(results[check].error, sizeof(results[check].error), "%s",
		 error);
}

#define CHECK_BODY(want)                           \
	do {                                       \
		char *body_ = render_body(&input); \
		CHECK_STR(body_, want);            \
		test_free(body_);                  \
	} while (0)

static void test_without_checks(void)
{
	world(200, "alive", 0);
	CHECK_BODY("{\"status\":\"alive\"}\n");
	strcpy(plan->service, "ai-platform");
	CHECK_BODY("{\"status\":\"alive\"}\n");
	verdict.show_service = true;
	CHECK_BODY("{\"status\":\"alive\",\"service\":\"ai-platform\"}\n");
	strcpy(plan->service, "a \"b\" \\ \xff/");
	CHECK_BODY("{\"status\":\"alive\","
		   "\"service\":\"a \\\"b\\\" \\\\ ?/\"}\n");
	strcpy(plan->service, "");
	CHECK_BODY("{\"status\":\"alive\"}\n");

	world(503, "not_ready", 0);
	verdict.error = "configuration error, see the log";
	CHECK_BODY("{\"status\":\"not_ready\","
		   "\"error\":\"configuration error, see the log\"}\n");
	world(404, NULL, 0);
	verdict.error = "not found";
	CHECK_BODY("{\"error\":\"not found\"}\n");
	world(200, "ready", 0);
	verdict.show_checks = true;
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{}}\n");
}

static void test_checks(void)
{
	world(200, "ready", 2);
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"database\":{\"healthy\":true,\"latency_ms\":3.2},"
		   "\"redis\":{\"healthy\":true,\"latency_ms\":3.2}}}\n");

	world(503, "not_ready", 1);
	fail(0, RESULT_TIMEOUT, "Timeout after 2000ms");
	results[0].latency_us = 2000100;
	CHECK_BODY("{\"status\":\"not_ready\",\"checks\":{\"database\":"
		   "{\"healthy\":false,\"error\":\"Timeout after 2000ms\","
		   "\"code\":\"timeout\",\"latency_ms\":2000.1}}}\n");
	snprintf(results[0].step, sizeof(results[0].step), "logging in");
	results[0].ended_us = (int64_t)(NOW - 500) * 1000;
	CHECK_BODY("{\"status\":\"not_ready\",\"checks\":{\"database\":"
		   "{\"healthy\":false,\"error\":\"Timeout after 2000ms\","
		   "\"code\":\"timeout\",\"step\":\"logging in\","
		   "\"latency_ms\":2000.1,\"age_ms\":500}}}\n");
	/* A check that never ran has no times. */
	world(503, "not_ready", 1);
	fail(0, RESULT_UNKNOWN, "not checked yet");
	results[0].ended_us = 0;
	CHECK_BODY("{\"status\":\"not_ready\",\"checks\":{\"database\":"
		   "{\"healthy\":false,\"error\":\"not checked yet\","
		   "\"code\":\"unknown\"}}}\n");
}

static void test_detail(void)
{
	world(200, "ready", 1);
	snprintf(results[0].detail, sizeof(results[0].detail),
		 "FATAL: user \"app\"");
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"database\":{\"healthy\":true,\"latency_ms\":3.2}}}\n");
	input.trusted = true;
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"database\":{\"healthy\":true,\"latency_ms\":3.2,"
		   "\"detail\":\"FATAL: user \\\"app\\\"\"}}}\n");
	results[0].detail[0] = '\0';
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"database\":{\"healthy\":true,\"latency_ms\":3.2}}}\n");
}

/* Only those that the verdict shows, in order; names that are equal but for
 * case, or like one of our own words, are nothing special. */
static void test_choice_and_order(void)
{
	world(200, "ready", 3);
	strcpy(checks[0].name, "db");
	strcpy(checks[1].name, "DB");
	strcpy(checks[2].name, "status");
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"db\":{\"healthy\":true,\"latency_ms\":3.2},"
		   "\"DB\":{\"healthy\":true,\"latency_ms\":3.2},"
		   "\"status\":{\"healthy\":true,\"latency_ms\":3.2}}}\n");
	verdict.first = 1;
	verdict.end = 2;
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"DB\":{\"healthy\":true,\"latency_ms\":3.2}}}\n");
	verdict.first = 0;
	verdict.end = 3;
	verdict.only_live = true;
	checks[0].policy.live = checks[2].policy.live = true;
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"db\":{\"healthy\":true,\"latency_ms\":3.2},"
		   "\"status\":{\"healthy\":true,\"latency_ms\":3.2}}}\n");
}

static void test_waiting(void)
{
	world(503, "starting", 3);
	verdict.show_checks = false;
	verdict.show_waiting = true;
	verdict.detail = "Service is still initialising";
	CHECK_BODY("{\"status\":\"starting\","
		   "\"detail\":\"Service is still initialising\","
		   "\"waiting_for\":[]}\n");
	memset(latched, 0, sizeof(latched));
	latched[1] = true;
	checks[0].policy.startup = checks[1].policy.startup = true;
	CHECK_BODY("{\"status\":\"starting\","
		   "\"detail\":\"Service is still initialising\","
		   "\"waiting_for\":[\"database\"]}\n");
	checks[2].policy.startup = true;
	CHECK_BODY("{\"status\":\"starting\","
		   "\"detail\":\"Service is still initialising\","
		   "\"waiting_for\":[\"database\",\"openai\"]}\n");
}

static void test_numbers(void)
{
	static const struct {
		int32_t latency_us;
		const char *shown;
	} cases[] = {
		{ 0, "0.0" },	       { 49, "0.0" },
		{ 50, "0.1" },	       { 100, "0.1" },
		{ 149, "0.1" },	       { 999, "1.0" },
		{ 3249, "3.2" },       { 3250, "3.3" },
		{ 99950, "100.0" },    { 4500000, "4500.0" },
		{ 1234567, "1234.6" }, { INT32_MAX, "2147483.6" },
	};
	char want[200];
	size_t i;

	/* Where there is one, a locale with a decimal comma. */
	setlocale(LC_ALL, "de_DE.UTF-8");
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		world(200, "ready", 1);
		results[0].latency_us = cases[i].latency_us;
		snprintf(want, sizeof(want),
			 "{\"status\":\"ready\",\"checks\":{\"database\":"
			 "{\"healthy\":true,\"latency_ms\":%s}}}\n",
			 cases[i].shown);
		CHECK_BODY(want);
	}
	setlocale(LC_ALL, "C");

	/* A month is not a power of ten. */
	world(200, "ready", 1);
	view.now_ms = NOW + 2678400001;
	input.asked_us = view.now_ms * 1000;
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{\"database\":"
		   "{\"healthy\":true,\"latency_ms\":3.2,"
		   "\"age_ms\":2678400001}}}\n");
	/* Ended in the microsecond of the question: made for it. */
	world(200, "ready", 1);
	input.asked_us = results[0].ended_us;
	CHECK_BODY("{\"status\":\"ready\",\"checks\":{"
		   "\"database\":{\"healthy\":true,\"latency_ms\":3.2}}}\n");
}

/* The kubelet reads 10 KiB of a body and no more. */
static void test_small(void)
{
	char *body;
	size_t i;

	world(503, "not_ready", 10);
	input.trusted = true;
	for (i = 0; i < 10; i++) {
		strcpy(checks[i].name, "a-name-of-thirty-two-characters!");
		results[i].code = RESULT_THROTTLED;
		results[i].latency_us = INT32_MAX;
		results[i].ended_us = 1000;
		memset(results[i].error, 'e', RESULT_ERROR_BYTES - 1);
		memset(results[i].step, 's', RESULT_STEP_BYTES - 1);
		/* The worst that cJSON has to escape. */
		memset(results[i].detail, '"', RESULT_DETAIL_BYTES - 1);
	}
	body = render_body(&input);
	CHECK(strlen(body) < 8 * 1024);
	test_free(body);
}

static void test_many(void)
{
	char *body;
	cJSON *root;

	world(200, "ready", MANY);
	body = render_body(&input);
	root = cJSON_Parse(body);
	CHECK_INT(cJSON_GetArraySize(cJSON_GetObjectItem(root, "checks")),
		  MANY);
	cJSON_Delete(root);
	test_free(body);
}

/* Every allocation fails once: no body, no leak, no crash. */
static void check_no_memory(void)
{
	long failed = 0;
	char *body = NULL;

	while (body == NULL && failed < 1000) {
		allocations_live = 0;
		allocations_left = failed;
		body = render_body(&input);
		if (body != NULL)
			break;
		CHECK_INT(allocations_live, 0);
		failed++;
	}
	allocations_left = -1;
	CHECK(body != NULL);
	CHECK(failed > 0);
	CHECK_INT(allocations_live, 1);
	test_free(body);
}

static void test_no_memory(void)
{
	cJSON_Hooks hooks = { .malloc_fn = test_malloc, .free_fn = test_free };

	cJSON_InitHooks(&hooks);
	world(503, "not_ready", 2);
	input.trusted = true;
	fail(1, RESULT_TIMEOUT, "Timeout after 2000ms");
	snprintf(results[1].step, sizeof(results[1].step), "logging in");
	snprintf(results[1].detail, sizeof(results[1].detail), "said");
	results[1].ended_us = 1;
	check_no_memory();

	world(503, "starting", 2);
	verdict.show_checks = false;
	verdict.show_waiting = true;
	verdict.detail = "Service is still initialising";
	checks[0].policy.startup = checks[1].policy.startup = true;
	memset(latched, 0, sizeof(latched));
	check_no_memory();

	world(200, "alive", 0);
	verdict.show_service = true;
	strcpy(plan->service, "name");
	check_no_memory();

	world(503, "not_ready", 0);
	verdict.error = "busy";
	check_no_memory();

	cJSON_InitHooks(NULL);
}

static void test_head(void)
{
	/* clang-format off */
	static const struct {
		struct render_head head;
		const char *status, *length_line, *more;
	} cases[] = {
		{ { 200, 19, false }, "Status: 200 OK\r\n", "19", "" },
		{ { 200, 0, true }, "Status: 200 OK\r\n", "0",
		  "Allow: GET, HEAD, OPTIONS\r\n" },
		{ { 404, 22, false }, "Status: 404 Not Found\r\n", "22",
		  "" },
		{ { 405, 31, true }, "Status: 405 Method Not Allowed\r\n",
		  "31", "Allow: GET, HEAD, OPTIONS\r\n" },
		{ { 503, 1234, false },
		  "Status: 503 Service Unavailable\r\n", "1234",
		  "Retry-After: 5\r\n" },
		{ { 503, 0, true }, "Status: 503 Service Unavailable\r\n",
		  "0", "Allow: GET, HEAD, OPTIONS\r\nRetry-After: 5\r\n" },
	};
	/* clang-format on */
	char head[RENDER_HEAD_BYTES], want[RENDER_HEAD_BYTES];
	size_t i, len;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(want, sizeof(want),
			 "%sContent-Type: application/json\r\n"
			 "Content-Length: %s\r\n"
			 "Cache-Control: no-store\r\n%s\r\n",
			 cases[i].status, cases[i].length_line, cases[i].more);
		len = render_head(head, sizeof(head), &cases[i].head);
		CHECK_STR(head, want);
		CHECK_INT(len, strlen(want));
	}
	len = render_head(head, sizeof(head),
			  &(struct render_head){ 503, SIZE_MAX, true });
	CHECK(len < sizeof(head));
}

int main(void)
{
	test_without_checks();
	test_checks();
	test_detail();
	test_choice_and_order();
	test_waiting();
	test_numbers();
	test_small();
	test_many();
	test_no_memory();
	test_head();
	return unit_report();
}

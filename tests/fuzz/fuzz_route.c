/*
 * What a web server may say about a request: lines of the input are
 * REQUEST_METHOD, SCRIPT_NAME, PATH_INFO, REMOTE_ADDR, the configured mount,
 * a trusted network and REQUEST_URI; an empty line is an empty value, a missing
 * one means "not sent".
 */
#include "config.h"

#include "answer/route.h"
#include "board/plan.h"

#include <string.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/route"
#include "fuzz.h"

enum {
	METHOD,
	SCRIPT_NAME,
	PATH_INFO,
	REMOTE_ADDR,
	MOUNT,
	NETWORK,
	REQUEST_URI,
	FIELDS
};

/* Three checks, and what is said of them in each input. */
static struct plan *fuzz_plan(void)
{
	static const char *const names[] = { "database", "redis", "health" };
	static struct plan *plan;
	size_t i;

	if (plan)
		return plan;
	plan = calloc(1, plan_bytes(3));
	FUZZ_CHECK(plan);
	plan->n = 3;
	for (i = 0; i < 3; i++)
		strcpy(plan->checks[i].name, names[i]);
	return plan;
}

static void fuzz_split(char *text, const char *fields[FIELDS])
{
	size_t i;

	for (i = 0; i < FIELDS; i++)
		fields[i] = text ? strsep(&text, "\n") : NULL;
}

static const char *fuzz_or_empty(const char *field)
{
	return field ? field : "";
}

static bool fuzz_control(const char *text)
{
	for (; *text != '\0'; text++) {
		if ((unsigned char)*text < 0x20 || *text == 0x7f)
			return true;
	}
	return false;
}

static bool fuzz_same(const struct route *one, const struct route *other)
{
	return one->error == other->error && one->probe == other->probe &&
	       one->check == other->check;
}

static void fuzz_properties(const struct plan *plan,
			    const struct route_request *request,
			    const char *joined)
{
	struct route route = route_find(plan, request), other;
	struct route_request changed = *request;

	FUZZ_CHECK(route.error ? route.error == 404 || route.error == 405
			       : route.probe <= PROBE_STARTED);
	FUZZ_CHECK(route.check < plan->n);
	if (fuzz_control(joined) || strstr(joined, "/../") != NULL)
		FUZZ_CHECK(route.error == 404);

	/* Where the server cut the path does not matter. */
	changed.script_name = NULL;
	changed.path_info = joined;
	other = route_find(plan, &changed);
	FUZZ_CHECK(fuzz_same(&route, &other));

	/* The URI only ever takes the place of liveness. */
	changed.method = "GET";
	changed.request_uri = NULL;
	other = route_find(plan, &changed);
	changed.request_uri = request->request_uri;
	route = route_find(plan, &changed);
	FUZZ_CHECK(other.probe == PROBE_LIVE || fuzz_same(&route, &other));

	/* HEAD and OPTIONS have the answer of GET. */
	changed.method = "GET";
	route = route_find(plan, &changed);
	changed.method = "HEAD";
	other = route_find(plan, &changed);
	FUZZ_CHECK(fuzz_same(&route, &other) && other.head && !route.head);
	changed.method = "OPTIONS";
	other = route_find(plan, &changed);
	FUZZ_CHECK(fuzz_same(&route, &other) && other.head && other.options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *fields[FIELDS], *network, *address;
	char *text = malloc(size + 1), *joined = malloc(size + 1);
	struct route_request request = { .method = NULL };
	struct plan *plan = fuzz_plan();
	struct cidr cidr;

	if (text != NULL && joined != NULL) {
		memcpy(text, data, size);
		text[size] = '\0';
		fuzz_split(text, fields);
		request.method = fields[METHOD];
		request.script_name = fields[SCRIPT_NAME];
		request.path_info = fields[PATH_INFO];
		request.request_uri = fields[REQUEST_URI];
		snprintf(plan->mount, sizeof(plan->mount), "%s",
			 fuzz_or_empty(fields[MOUNT]));
		network = fuzz_or_empty(fields[NETWORK]);
		address = fuzz_or_empty(fields[REMOTE_ADDR]);
		if (cidr_parse(network, &cidr) && cidr_contains(&cidr, address))
			FUZZ_CHECK(cidr_parse(address, &cidr));
		snprintf(joined, size + 1, "%s%s",
			 fuzz_or_empty(request.script_name),
			 fuzz_or_empty(request.path_info));
		fuzz_properties(plan, &request, joined);
	}
	free(text);
	free(joined);
	return 0;
}

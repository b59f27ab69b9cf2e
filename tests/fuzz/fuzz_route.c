/*
 * What a web server may say about a request: lines of the input are
 * REQUEST_METHOD, SCRIPT_NAME, PATH_INFO, REMOTE_ADDR, the configured mount,
 * a trusted network and REQUEST_URI; an empty line is an empty value, a missing
 * one means "not sent".
 */
#include "config.h"

#include "answer/route.h"
#include "base/cidr.h"

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

static const char *const names[] = { "database", "redis", "health" };

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

static void fuzz_properties(const struct route_map *map,
			    const struct route_request *request,
			    const char *joined)
{
	struct route route = route_find(map, request), other;
	struct route_request changed = *request;

	FUZZ_CHECK(route.error ? route.error == 404 || route.error == 405
			       : route.probe <= PROBE_STARTED);
	FUZZ_CHECK(route.check < map->n);
	if (fuzz_control(joined) || strstr(joined, "/../") != NULL)
		FUZZ_CHECK(route.error == 404);

	/* Where the server cut the path does not matter. */
	changed.script_name = NULL;
	changed.path_info = joined;
	other = route_find(map, &changed);
	FUZZ_CHECK(fuzz_same(&route, &other));

	/* The URI only ever takes the place of liveness. */
	changed.method = "GET";
	changed.request_uri = NULL;
	other = route_find(map, &changed);
	changed.request_uri = request->request_uri;
	route = route_find(map, &changed);
	FUZZ_CHECK(other.probe == PROBE_LIVE || fuzz_same(&route, &other));

	/* HEAD and OPTIONS have the answer of GET. */
	changed.method = "GET";
	route = route_find(map, &changed);
	changed.method = "HEAD";
	other = route_find(map, &changed);
	FUZZ_CHECK(fuzz_same(&route, &other) && other.head && !route.head);
	changed.method = "OPTIONS";
	other = route_find(map, &changed);
	FUZZ_CHECK(fuzz_same(&route, &other) && other.head && other.options);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *fields[FIELDS], *network, *address;
	char *text = malloc(size + 1), *joined = malloc(size + 1);
	struct route_request request = { .method = NULL };
	struct route_map map = { .n = 3, .names = names };

	if (text != NULL && joined != NULL) {
		memcpy(text, data, size);
		text[size] = '\0';
		fuzz_split(text, fields);
		request.method = fields[METHOD];
		request.script_name = fields[SCRIPT_NAME];
		request.path_info = fields[PATH_INFO];
		request.request_uri = fields[REQUEST_URI];
		map.mount = fuzz_or_empty(fields[MOUNT]);
		network = fuzz_or_empty(fields[NETWORK]);
		address = fuzz_or_empty(fields[REMOTE_ADDR]);
		FUZZ_CHECK(!cidr_contains(network, address) ||
			   (cidr_valid(network) && cidr_valid(address)));
		snprintf(joined, size + 1, "%s%s",
			 fuzz_or_empty(request.script_name),
			 fuzz_or_empty(request.path_info));
		fuzz_properties(&map, &request, joined);
	}
	free(text);
	free(joined);
	return 0;
}

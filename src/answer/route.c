#include "config.h"

#include "answer/route.h"

#include "base/text.h"
#include "board/plan.h"

#include <string.h>

/*
 * Appends text to the path of len > 0 bytes, each run of slashes as one.
 * false when it does not fit or holds a control byte.
 */
static bool route_append(char path[ROUTE_PATH_BYTES + 1], size_t *len,
			 const char *text)
{
	for (; *text != '\0'; text++) {
		unsigned char byte = (unsigned char)*text;

		if (byte < 0x20 || byte == 0x7f)
			return false;
		if (byte == '/' && path[*len - 1] == '/')
			continue;
		if (*len == ROUTE_PATH_BYTES)
			return false;
		path[(*len)++] = *text;
	}
	return true;
}

/* HAProxy and servers that mount us at their root pass ".." on unchanged. */
static bool route_climbs(const char *path)
{
	const char *at = path;

	while ((at = strstr(at, "/.")) != NULL) {
		at += 2;
		if (*at == '.')
			at++;
		if (*at == '/' || *at == '\0')
			return true;
	}
	return false;
}

/*
 * "/a//b" and "/c/" become "/a/b/c"; nothing, or slashes only, become "".
 * The two are joined without a slash between them: Caddy's `split /health`
 * makes "/health" and "ready" of "/healthready", which is not one of our paths.
 */
static bool route_join(char path[ROUTE_PATH_BYTES + 1], const char *head,
		       const char *tail)
{
	size_t len = 1;

	path[0] = '/';
	if (!route_append(path, &len, head) || !route_append(path, &len, tail))
		return false;
	if (path[len - 1] == '/')
		len--;
	path[len] = '\0';
	return !route_climbs(path);
}

/* What follows the mount at the start of `path`, or NULL. */
static const char *route_after(const char *path, const char *mount)
{
	for (; *mount; path++, mount++)
		if (*path != *mount)
			return NULL;
	return *path == '/' || *path == '\0' ? path : NULL;
}

/*
 * What follows the first mount in the path, the longest one where several
 * begin at the same segment; NULL without one.  The first, so that a
 * check may be named like a mount ("/health/ready/health").
 */
static const char *route_rest(const char *path, const char *mount)
{
	const char *const mounts[] = { "/health", "/health.fcgi", mount };
	const char *at, *after, *rest = NULL;
	size_t i;

	for (at = path; at && !rest; at = *at ? strchr(at + 1, '/') : NULL)
		for (i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
			after = mounts[i] ? route_after(at, mounts[i]) : NULL;
			if (after && (!rest || after > rest))
				rest = after;
		}
	return rest;
}

static void route_to(struct route *route, enum probe probe)
{
	route->error = 0;
	route->probe = probe;
}

static void route_check(const struct plan *plan, const char *name,
			struct route *route)
{
	size_t i = 0;

	while (i < plan->n && strcmp(plan->checks[i].name, name) != 0)
		i++;
	/* No name can be called unknown then. */
	if (plan->broken) {
		route_to(route, PROBE_READY);
	} else if (i < plan->n) {
		route_to(route, PROBE_CHECK);
		route->check = i;
	}
}

enum route_place {
	ROUTE_ELSEWHERE, /* no mount in it */
	ROUTE_MOUNT,	 /* ends with it */
	ROUTE_BELOW
};

/* Leaves the route as it is when head and tail are not one of our paths. */
static enum route_place route_path(const struct plan *plan, const char *head,
				   const char *tail, struct route *route)
{
	char path[ROUTE_PATH_BYTES + 1], mount[ROUTE_PATH_BYTES + 1];
	const char *rest, *name;
	bool own;

	if (!route_join(path, head ? head : "", tail ? tail : ""))
		return ROUTE_ELSEWHERE;
	own = plan->mount[0] != '\0' && route_join(mount, plan->mount, "");
	rest = route_rest(path, own ? mount : NULL);
	if (rest == NULL)
		return ROUTE_ELSEWHERE;
	name = route_after(rest, "/ready");
	if (*rest == '\0' || strcmp(rest, "/live") == 0)
		route_to(route, PROBE_LIVE);
	else if (strcmp(rest, "/started") == 0)
		route_to(route, PROBE_STARTED);
	else if (name != NULL && *name == '\0')
		route_to(route, PROBE_READY);
	else if (name != NULL)
		route_check(plan, name + 1, route);
	return *rest == '\0' ? ROUTE_MOUNT : ROUTE_BELOW;
}

/*
 * What the path of the URI asks for, as the client wrote it.  When it is almost
 * one of ours, it is not found: names of the user's own lead to liveness, a
 * mistyped check must not.
 */
static void route_uri(const struct plan *plan, const char *uri,
		      struct route *route)
{
	struct route asked = { .error = 404 };
	char path[ROUTE_PATH_BYTES + 1];
	size_t len = strcspn(uri, "?#");
	bool ours;

	if (len >= sizeof(path))
		len = sizeof(path) - 1;
	/* An encoded NUL or a lone "%" stays, and is not one of our paths. */
	(void)text_unescape(path, uri, len);
	ours = route_path(plan, path, NULL, &asked) != ROUTE_ELSEWHERE;
	if (asked.error &&
	    !(ours && (strstr(path, "/ready") || strstr(path, "/started"))))
		return;
	*route = asked;
}

struct route route_find(const struct plan *plan,
			const struct route_request *request)
{
	const char *method = request->method ? request->method : "GET";
	struct route route = { .error = 404 };

	if (route_path(plan, request->script_name, request->path_info,
		       &route) == ROUTE_MOUNT &&
	    request->request_uri)
		route_uri(plan, request->request_uri, &route);
	/* HAProxy's `option httpchk` sends OPTIONS: it has GET's status. */
	route.options = strcmp(method, "OPTIONS") == 0;
	route.head = route.options || strcmp(method, "HEAD") == 0;
	if (!route.error && !route.head && strcmp(method, "GET") != 0)
		route.error = 405;
	return route;
}

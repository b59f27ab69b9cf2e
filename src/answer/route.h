/*
 * route: from the method and path of a request to what was asked.
 *
 * Pure: no I/O, no allocation, any thread.  No part of the path is echoed or
 * logged as it came: "%0d%0a" reaches us decoded from several servers.
 */
#ifndef HEALTH_ROUTE_H
#define HEALTH_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/probe.h"

/* The parameters of RFC 3875 that matter; borrowed; NULL when not sent. */
struct route_request {
	const char *method;	 /* REQUEST_METHOD; not sent counts as GET */
	const char *script_name; /* SCRIPT_NAME */
	const char *path_info;	 /* PATH_INFO */
	const char *request_uri; /* REQUEST_URI, not of the RFC */
};

struct route {
	int error;	  /* 0, 404 or 405 */
	enum probe probe; /* without an error */
	size_t check;	  /* PROBE_CHECK only: index of the check */
	bool head;	  /* headers only: HEAD and OPTIONS */
	bool options;	  /* OPTIONS */
};

struct plan;

/* Longer paths are not found. */
#define ROUTE_PATH_BYTES 1024

/*
 * SCRIPT_NAME and PATH_INFO are joined, since servers cut the URL at different
 * places; repeated slashes count as one and one at the end as none; everything
 * up to and with the first segment that is the mount ("health", "health.fcgi",
 * plan->mount) is dropped; the rest is matched exactly.  Without a rest,
 * that of REQUEST_URI counts, if it is a probe or almost one: a rewrite rule
 * that leads /health/ready to the program and drops the path would have
 * readiness answered with liveness.
 */
struct route route_find(const struct plan *plan,
			const struct route_request *request);

#endif

/*
 * route: from what the web server says about a request to what was asked.
 *
 * Pure: no I/O, no allocation, any thread.  Nothing of the path is ever
 * echoed or logged raw: "%0d%0a" reaches us decoded from several servers.
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
	const char *remote_addr; /* REMOTE_ADDR */
};

struct route {
	int error;	  /* 0, 404 or 405 */
	enum probe probe; /* without an error */
	size_t check;	  /* PROBE_CHECK only: index of the check */
	bool head;	  /* headers only: HEAD and OPTIONS */
	bool options;	  /* OPTIONS */
	bool trusted;	  /* the caller may be shown details */
};

/* What paths mean here; borrowed, read-only. */
struct route_map {
	const char *mount; /* one more mount path, or "" */
	bool broken;	   /* the configuration has mistakes, so no name can
			      be called unknown: all of them mean `ready` */
	size_t n;
	const char *const *names; /* of the n checks */
	size_t n_trusted;
	const char *const *trusted; /* "127.0.0.1", "10.0.0.0/8", "::1" */
};

/* Longer paths are not found. */
#define ROUTE_PATH_BYTES 1024

/*
 * SCRIPT_NAME and PATH_INFO are joined, since servers cut the URL at different
 * places; repeated slashes count as one and one at the end as none; everything
 * up to and with the first segment that is the mount ("health", "health.fcgi",
 * map->mount) is dropped; the rest is matched exactly.  When there is no rest,
 * that of REQUEST_URI counts, if it is a probe or almost one: a rewrite rule
 * that leads /health/ready to the program and drops the path would have
 * readiness answered with liveness.
 */
struct route route_find(const struct route_map *map,
			const struct route_request *request);

/* Whether text is an address or a network in CIDR notation (RFC 4632), as
 * map->trusted must be. */
bool route_network_valid(const char *text);

#endif

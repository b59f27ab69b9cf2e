/*
 * redis_url: where a Redis server is and how to log in, from a URL
 *
 *	redis://[[user]:password@]host[:port][/database]
 *	rediss://...			with TLS
 *	unix://[[user]:password@]/path[?db=database]
 *
 * or as Azure shows it and StackExchange.Redis reads it:
 *
 *	cache.example:6380,password=...,ssl=True,abortConnect=False
 *
 * valkey(s):// and redis+unix:// mean the same.  The query may also set
 * username and password.  Other parameters belong to client libraries that
 * share the URL; they are ignored.
 *
 * Pure; any thread.  All texts are cut in place: what is read points into them.
 */
#ifndef HEALTH_REDIS_URL_H
#define HEALTH_REDIS_URL_H

#include <stdbool.h>
#include <stdint.h>

struct redis_url {
	bool tls;
	const char *path; /* of a Unix socket; NULL: use host and port */
	const char *host; /* a name or numeric address, without brackets */
	uint16_t port;
	const char *user, *password; /* NULL: not given */
	int64_t database;
};

/* Whether a text is the second form. */
bool redis_url_has_options(const char *text);

/*
 * A URL; the host and port of the second form; and what follows its first
 * comma.  The first two overwrite *url.  Each returns NULL, or an error message
 * that shows no part of the text.
 */
const char *redis_url_parse(struct redis_url *url, char *text)
	__attribute__((warn_unused_result));
const char *redis_url_options_host(struct redis_url *url, char *text)
	__attribute__((warn_unused_result));
const char *redis_url_options(struct redis_url *url, char *options)
	__attribute__((warn_unused_result));

#endif

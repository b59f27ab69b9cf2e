/*
 * redis_url: where a Redis is and how to log in, from a URL.
 *
 *	redis://[[user]:password@]host[:port][/database]
 *	rediss://...			with TLS
 *	unix://[[user]:password@]/path[?db=database]
 *
 * valkey(s):// and redis+unix:// mean the same.  username and password may
 *stand in the query as well.  Other parameters are those of some client library
 *that shares the URL, and are passed over.
 *
 * Pure, but for memory; any thread.
 */
#ifndef HEALTH_REDIS_URL_H
#define HEALTH_REDIS_URL_H

#include <stdbool.h>
#include <stdint.h>

#define REDIS_DATABASE_MAX INT32_MAX

struct redis_url {
	bool tls;
	char *path; /* of a Unix socket; NULL: host and port count */
	char *host; /* a name or numeric address, without brackets */
	uint16_t port;
	char *user, *password; /* NULL: not given */
	int64_t database;
};

/*
 * NULL, or what is wrong in static words that show nothing of the text; *url
 * is to be freed in both cases.
 */
const char *redis_url_parse(struct redis_url *url, const char *text)
	__attribute__((warn_unused_result));

/* Overwrites the password. */
void redis_url_free(struct redis_url *url);

#endif

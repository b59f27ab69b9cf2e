/*
 * redis_options: where a Redis is and how to log in, as Azure shows it and
 * StackExchange.Redis takes it:
 *
 *	cache.example:6380,password=...,ssl=True,abortConnect=False
 *
 * Pure, but for memory; any thread.
 */
#ifndef HEALTH_REDIS_OPTIONS_H
#define HEALTH_REDIS_OPTIONS_H

#include "kinds/redis/redis_url.h"

/* Whether a text is such a one, and no URL. */
bool redis_options_fit(const char *text);

/*
 * The host and port of such a text; and what stands behind its first comma.
 * Each returns NULL, or what is wrong in static words; *url is to be freed in
 * all cases.
 */
const char *redis_options_host(struct redis_url *url, const char *text)
	__attribute__((warn_unused_result));
const char *redis_options_read(struct redis_url *url, const char *options)
	__attribute__((warn_unused_result));

#endif

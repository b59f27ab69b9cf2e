/*
 * ratelimit: what the log says once in RATELIMIT_MS, however often it happens,
 * so that nobody who can make it happen can fill the log.
 *
 * Any thread may call.
 */
#ifndef HEALTH_RATELIMIT_H
#define HEALTH_RATELIMIT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#define RATELIMIT_MS 10000

/* Zeroed means that it has never happened. */
struct ratelimit {
	_Atomic int64_t said_ms;
	atomic_size_t n; /* how often since */
};

/* Notes that it happened.  How often it has since it was last said, when that
 * is to be said now; 0: it is not. */
size_t ratelimit_note(struct ratelimit *limit);

#endif

/*
 * resolve_cache: the last answers for some hosts, and which of their addresses
 * proved good.
 *
 * Belongs to the prober thread.  Bounded; where there is no memory an answer
 * is not kept, which only costs time.
 */
#ifndef HEALTH_RESOLVE_CACHE_H
#define HEALTH_RESOLVE_CACHE_H

#include "io/resolve.h"

#define RESOLVE_HOST_BYTES 256

struct resolve_kept;

/* Embedded in its owner; zeroed means empty. */
struct resolve_cache {
	struct resolve_kept *kept; /* the latest used comes first */
};

/* NULL: no answer is kept, it is too old, or it led to no connection when it
 * was last handed out.  Borrowed until the next call of any function here. */
const struct resolve_answer *resolve_cache_find(struct resolve_cache *cache,
						const char *host);
/* The host has less than RESOLVE_HOST_BYTES; gives the answer the order that
 * proved good. */
void resolve_cache_keep(struct resolve_cache *cache, const char *host,
			struct resolve_answer *answer, int ttl_s);
/* This address comes first from now on, for as long as the host has it. */
void resolve_cache_prefer(struct resolve_cache *cache, const char *host,
			  const struct sockaddr *address);
void resolve_cache_clear(struct resolve_cache *cache);

#endif

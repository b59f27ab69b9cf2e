#include "config.h"

#include "resolve_cache.h"

#include "clock.h"
#include "resolve_addr.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RESOLVE_KEPT_MAX 64

struct resolve_kept {
	struct resolve_kept *next;
	char host[RESOLVE_HOST_BYTES];
	int64_t until_ms;
	struct sockaddr_storage preferred; /* ss_family 0: none */
	struct resolve_answer answer;
};

/* The record of a host, moved to the front; NULL when there is none. */
static struct resolve_kept *resolve_cache_record(struct resolve_cache *cache,
						 const char *host)
{
	struct resolve_kept **link, *kept;

	for (link = &cache->kept; *link; link = &(*link)->next) {
		kept = *link;
		if (strcasecmp(kept->host, host) != 0)
			continue;
		*link = kept->next;
		kept->next = cache->kept;
		cache->kept = kept;
		return kept;
	}
	return NULL;
}

/* Drops all records but the first RESOLVE_KEPT_MAX. */
static void resolve_cache_trim(struct resolve_cache *cache)
{
	struct resolve_kept **link = &cache->kept, *kept;
	size_t n = 0;

	while (*link && n < RESOLVE_KEPT_MAX) {
		link = &(*link)->next;
		n++;
	}
	while (*link) {
		kept = *link;
		*link = kept->next;
		free(kept);
	}
}

static void resolve_cache_order(struct resolve_kept *kept)
{
	struct resolve_answer *answer = &kept->answer;
	struct resolve_addr first;
	size_t i;

	for (i = 1; i < answer->n; i++) {
		if (!resolve_addr_same(&answer->addrs[i].sa,
				       (struct sockaddr *)&kept->preferred))
			continue;
		first = answer->addrs[i];
		memmove(&answer->addrs[1], &answer->addrs[0],
			i * sizeof(first));
		answer->addrs[0] = first;
	}
}

void resolve_cache_keep(struct resolve_cache *cache, const char *host,
			struct resolve_answer *answer, int ttl_s)
{
	struct resolve_kept *kept = resolve_cache_record(cache, host);

	if (!kept) {
		kept = calloc(1, sizeof(*kept));
		if (!kept)
			return;
		snprintf(kept->host, sizeof(kept->host), "%s", host);
		kept->next = cache->kept;
		cache->kept = kept;
		resolve_cache_trim(cache);
	}
	kept->answer = *answer;
	kept->until_ms = clock_ms() + ttl_s * 1000;
	resolve_cache_order(kept);
	*answer = kept->answer;
}

const struct resolve_answer *resolve_cache_find(struct resolve_cache *cache,
						const char *host)
{
	struct resolve_kept *kept = resolve_cache_record(cache, host);

	/* After its time an answer is never used, also when no name server
	 * answers: others could not find the host either. */
	return kept && kept->until_ms > clock_ms() ? &kept->answer : NULL;
}

void resolve_cache_prefer(struct resolve_cache *cache, const char *host,
			  const struct sockaddr *address)
{
	struct resolve_kept *kept = resolve_cache_record(cache, host);

	if (!kept)
		return;
	memset(&kept->preferred, 0, sizeof(kept->preferred));
	memcpy(&kept->preferred, address,
	       address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6));
	resolve_cache_order(kept);
}

void resolve_cache_clear(struct resolve_cache *cache)
{
	struct resolve_kept *kept;

	while ((kept = cache->kept)) {
		cache->kept = kept->next;
		free(kept);
	}
}

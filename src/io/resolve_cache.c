#include "config.h"

#include "io/resolve_cache.h"

#include "base/clock.h"
#include "io/resolve_dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RESOLVE_KEPT_MAX 64

/* How long an answer may be handed out without proof that it leads somewhere.
 * A service that moves is often found under its name long before the time is
 * over that the name server had given to the old answer. */
#define RESOLVE_TRIAL_MS 1000

struct resolve_kept {
	struct resolve_kept *next;
	char host[RESOLVE_HOST_BYTES];
	int64_t until_ms;
	int64_t doubted_at_ms; /* 0: not handed out since it proved good */
	struct sockaddr_storage preferred; /* ss_family 0: none */
	struct resolve_answer answer;
};

/* The record of a host, moved to the front; NULL: not kept. */
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
	kept->doubted_at_ms = clock_ms() + RESOLVE_TRIAL_MS;
	resolve_cache_order(kept);
	*answer = kept->answer;
}

const struct resolve_answer *resolve_cache_find(struct resolve_cache *cache,
						const char *host)
{
	struct resolve_kept *kept = resolve_cache_record(cache, host);
	int64_t now = clock_ms();

	/* After its time an answer is never used, also when no name server
	 * answers: others could not find the host either. */
	if (!kept || kept->until_ms <= now)
		return NULL;
	if (!kept->doubted_at_ms)
		kept->doubted_at_ms = now + RESOLVE_TRIAL_MS;
	return kept->doubted_at_ms > now ? &kept->answer : NULL;
}

static bool resolve_cache_has(const struct resolve_kept *kept,
			      const struct sockaddr *address)
{
	size_t i;

	for (i = 0; i < kept->answer.n; i++)
		if (resolve_addr_same(&kept->answer.addrs[i].sa, address))
			return true;
	return false;
}

void resolve_cache_prefer(struct resolve_cache *cache, const char *host,
			  const struct sockaddr *address)
{
	struct resolve_kept *kept = resolve_cache_record(cache, host);

	/* An old connection may lead to where the host is no more. */
	if (!kept || !resolve_cache_has(kept, address))
		return;
	kept->doubted_at_ms = 0;
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

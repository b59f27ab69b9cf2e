#include "config.h"

#include "io/resolve.h"

#include "base/clock.h"
#include "io/loop.h"
#include "io/resolve_dns.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* For how long new queries join a look-up: an older one may soon fail although
 * a name server is back. */
#define RESOLVE_JOIN_MS 400

/* The question is asked again this often, beside the first one, which c-ares
 * repeats at intervals that double: it could take 1.5 s to notice that a name
 * server is back.  An answer that takes longer than this reaches the first
 * one. */
#define RESOLVE_REPEAT_MS 400

#define RESOLVE_HOST_BYTES 256
#define RESOLVE_KEPT_MAX 64

/* How long an answer may be handed out without proof that it leads somewhere.
 * A service that moves is often found under its name long before the time is
 * over that the name server had given to the old answer. */
#define RESOLVE_TRIAL_MS 1000

/* The last answer for a host, and which of its addresses proved good. */
struct resolve_kept {
	struct resolve_kept *next;
	char host[RESOLVE_HOST_BYTES];
	int64_t until_ms;
	int64_t doubted_at_ms; /* 0: not handed out since it proved good */
	struct resolve_addr preferred; /* len 0: none */
	struct resolve_answer answer;
};

/* One look-up for one or more queries. */
struct resolve_lookup {
	struct resolve_lookup *next;
	struct resolver *resolver;
	struct resolve_query *queries;
	int64_t started_ms;
	char host[RESOLVE_HOST_BYTES];
	struct resolve_dns dns, again;
	struct loop_timer repeat;
	struct loop_timer ready; /* there is an answer without it */
	struct resolve_answer answer;
	bool ending; /* the queries are being told */
};

struct resolver {
	struct loop *loop;
	struct resolve_lookup *lookups;
	/* The latest used comes first.  Bounded; where there is no memory an
	 * answer is not kept. */
	struct resolve_kept *kept;
	struct resolve_answer known; /* lent by resolve_cached() */
	/* Serves the queries when out of memory. */
	struct resolve_lookup spare;
};

/* ---- what is known ---- */

/* The record of a host, moved to the front; NULL: not kept. */
static struct resolve_kept *resolve_cache_record(struct resolver *resolver,
						 const char *host)
{
	struct resolve_kept **link, *kept;

	for (link = &resolver->kept; *link; link = &(*link)->next) {
		kept = *link;
		if (strcasecmp(kept->host, host) != 0)
			continue;
		*link = kept->next;
		kept->next = resolver->kept;
		resolver->kept = kept;
		return kept;
	}
	return NULL;
}

/* Drops all records but the first n. */
static void resolve_cache_trim(struct resolver *resolver, size_t n)
{
	struct resolve_kept **link = &resolver->kept, *kept;

	while (*link && n--)
		link = &(*link)->next;
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
				       &kept->preferred.sa))
			continue;
		first = answer->addrs[i];
		memmove(&answer->addrs[1], &answer->addrs[0],
			i * sizeof(first));
		answer->addrs[0] = first;
	}
}

/* Keeps the answer, if there is memory, and gives it the order that proved
 * good. */
static void resolve_cache_keep(struct resolver *resolver, const char *host,
			       struct resolve_answer *answer, int ttl_s)
{
	struct resolve_kept *kept = resolve_cache_record(resolver, host);

	if (!kept) {
		kept = calloc(1, sizeof(*kept));
		if (!kept)
			return;
		snprintf(kept->host, sizeof(kept->host), "%s", host);
		kept->next = resolver->kept;
		resolver->kept = kept;
		resolve_cache_trim(resolver, RESOLVE_KEPT_MAX);
	}
	kept->answer = *answer;
	kept->until_ms = clock_ms() + ttl_s * 1000;
	kept->doubted_at_ms = clock_ms() + RESOLVE_TRIAL_MS;
	resolve_cache_order(kept);
	*answer = kept->answer;
}

const struct resolve_answer *resolve_cached(struct resolver *resolver,
					    const char *host)
{
	struct resolve_kept *kept;
	int64_t now = clock_ms();

	if (resolve_addr_known(host, &resolver->known))
		return &resolver->known;
	kept = resolve_cache_record(resolver, host);
	/* After its time an answer is never used, also when no name server
	 * answers: others could not find the host either. */
	if (!kept || kept->until_ms <= now)
		return NULL;
	if (!kept->doubted_at_ms)
		kept->doubted_at_ms = now + RESOLVE_TRIAL_MS;
	return kept->doubted_at_ms > now ? &kept->answer : NULL;
}

void resolve_prefer(struct resolver *resolver, const char *host,
		    const struct sockaddr *address)
{
	struct resolve_kept *kept = resolve_cache_record(resolver, host);
	size_t i = 0;

	while (kept && i < kept->answer.n &&
	       !resolve_addr_same(&kept->answer.addrs[i].sa, address))
		i++;
	/* An old connection may lead to where the host is no more. */
	if (!kept || i == kept->answer.n)
		return;
	kept->doubted_at_ms = 0;
	kept->preferred = kept->answer.addrs[i];
	resolve_cache_order(kept);
}

/* ---- look-ups ---- */

/* Takes the look-up off the list: a new query will start another. */
static void resolve_unlink(struct resolve_lookup *lookup)
{
	struct resolve_lookup **link = &lookup->resolver->lookups;

	while (*link && *link != lookup)
		link = &(*link)->next;
	if (*link)
		*link = lookup->next;
}

static void resolve_free(struct resolve_lookup *lookup)
{
	resolve_dns_stop(&lookup->dns);
	resolve_dns_stop(&lookup->again);
	loop_timer_clear(lookup->resolver->loop, &lookup->repeat);
	loop_timer_clear(lookup->resolver->loop, &lookup->ready);
	resolve_unlink(lookup);
	if (lookup != &lookup->resolver->spare)
		free(lookup);
}

/* Tells the queries, each of which may start or cancel others.  The look-up is
 * off the list before, so that a new query starts a new one. */
static void resolve_on_ready(void *arg)
{
	struct resolve_lookup *lookup = arg;
	struct resolve_query *query;

	resolve_unlink(lookup);
	lookup->ending = true;
	while ((query = lookup->queries)) {
		lookup->queries = query->next;
		query->next = NULL;
		query->lookup = NULL;
		loop_own(lookup->resolver->loop, query->owner);
		query->on_done(query->arg, &lookup->answer);
	}
	lookup->ending = false;
	resolve_free(lookup);
}

static void resolve_on_done(void *arg, struct resolve_answer *answer, int ttl_s)
{
	struct resolve_lookup *lookup = arg;

	if (ttl_s)
		resolve_cache_keep(lookup->resolver, lookup->host, answer,
				   ttl_s);
	lookup->answer = *answer;
	resolve_on_ready(lookup);
}

/* A repeated question that fails ends nothing: perhaps it only lacked a free
 * descriptor.  The first one decides. */
static void resolve_on_again(void *arg, struct resolve_answer *answer,
			     int ttl_s)
{
	if (answer->code == RESULT_OK)
		resolve_on_done(arg, answer, ttl_s);
}

static void resolve_on_repeat(void *arg)
{
	struct resolve_lookup *lookup = arg;

	resolve_dns_stop(&lookup->again);
	/* Without memory for it there is still the first one. */
	(void)!resolve_dns_start(&lookup->again, lookup->resolver->loop,
				 lookup->host);
	loop_timer_in(lookup->resolver->loop, &lookup->repeat,
		      RESOLVE_REPEAT_MS);
}

/* The queries are told from the loop, not from inside resolve_start(). */
static void resolve_fail(struct resolve_lookup *lookup, int status)
{
	resolve_judge_failure(&lookup->answer, status);
	loop_timer_in(lookup->resolver->loop, &lookup->ready, 0);
}

static void resolve_lookup_init(struct resolve_lookup *lookup,
				struct resolver *resolver, const char *host)
{
	*lookup = (struct resolve_lookup){
		.resolver = resolver,
		.started_ms = clock_ms(),
		.ready = { .on_time = resolve_on_ready, .arg = lookup },
		.dns = { .on_done = resolve_on_done, .arg = lookup },
		.again = { .on_done = resolve_on_again, .arg = lookup },
		.repeat = { .on_time = resolve_on_repeat, .arg = lookup },
	};
	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
}

static struct resolve_lookup *resolve_lookup_create(struct resolver *resolver,
						    const char *host)
{
	struct resolve_lookup *lookup = calloc(1, sizeof(*lookup));
	const struct resolve_answer *known = resolve_cached(resolver, host);
	int status = ARES_EBADNAME;

	if (!lookup) {
		resolve_fail(&resolver->spare, ARES_ENOMEM);
		return &resolver->spare;
	}
	resolve_lookup_init(lookup, resolver, host);
	lookup->next = resolver->lookups;
	resolver->lookups = lookup;
	if (known) {
		lookup->answer = *known;
		loop_timer_in(resolver->loop, &lookup->ready, 0);
		return lookup;
	}
	if (*host && strlen(host) < RESOLVE_HOST_BYTES)
		status = resolve_dns_start(&lookup->dns, resolver->loop, host);
	if (status != ARES_SUCCESS)
		resolve_fail(lookup, status);
	else
		loop_timer_in(resolver->loop, &lookup->repeat,
			      RESOLVE_REPEAT_MS);
	return lookup;
}

/* ---- queries ---- */

/* The look-up under way that a new query may join. */
static struct resolve_lookup *resolve_find(struct resolver *resolver,
					   const char *host)
{
	int64_t since_ms = clock_ms() - RESOLVE_JOIN_MS;
	struct resolve_lookup *lookup = resolver->lookups;

	while (lookup && (lookup->started_ms <= since_ms ||
			  strcasecmp(lookup->host, host) != 0))
		lookup = lookup->next;
	return lookup;
}

void resolve_start(struct resolver *resolver, struct resolve_query *query,
		   const char *host)
{
	struct resolve_lookup *lookup = resolve_find(resolver, host);

	assert(!query->lookup);
	if (!lookup)
		lookup = resolve_lookup_create(resolver, host);
	query->lookup = lookup;
	query->owner = loop_owner(resolver->loop);
	query->next = lookup->queries;
	lookup->queries = query;
}

void resolve_cancel(struct resolver *resolver, struct resolve_query *query)
{
	struct resolve_lookup *lookup = query->lookup;
	struct resolve_query **link;

	(void)resolver;
	if (!lookup)
		return;
	for (link = &lookup->queries; *link != query; link = &(*link)->next)
		;
	*link = query->next;
	query->next = NULL;
	query->lookup = NULL;
	if (!lookup->queries && !lookup->ending)
		resolve_free(lookup);
}

/* ---- the resolver ---- */

struct resolver *resolver_create(struct loop *loop)
{
	struct resolver *resolver;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return NULL;
	resolver = calloc(1, sizeof(*resolver));
	if (!resolver) {
		ares_library_cleanup();
		return NULL;
	}
	resolver->loop = loop;
	resolve_lookup_init(&resolver->spare, resolver, "");
	return resolver;
}

void resolver_destroy(struct resolver *resolver)
{
	if (!resolver)
		return;
	while (resolver->lookups)
		resolve_free(resolver->lookups);
	resolve_free(&resolver->spare);
	resolve_cache_trim(resolver, 0);
	free(resolver);
	ares_library_cleanup();
}

#include "config.h"

#include "io/resolve.h"

#include "base/clock.h"
#include "io/loop.h"
#include "io/resolve_cache.h"
#include "io/resolve_dns.h"

#include <assert.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* For how long a look-up is joined: one without an answer yet may soon end
 * without any, although a name server is back. */
#define RESOLVE_JOIN_MS 400

/* The question is asked anew this often, beside the first one, which c-ares
 * repeats at intervals that double: it would come after a second and a half
 * that a name server is back.  An answer that takes longer than this reaches
 * the first one. */
#define RESOLVE_REPEAT_MS 400

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
	struct resolve_cache cache;
	struct resolve_answer known; /* lent by resolve_cached() */
	/* Serves the queries for which there was no memory. */
	struct resolve_lookup spare;
};

/* ---- what is known ---- */

const struct resolve_answer *resolve_cached(struct resolver *resolver,
					    const char *host)
{
	if (resolve_addr_known(host, &resolver->known))
		return &resolver->known;
	return resolve_cache_find(&resolver->cache, host);
}

void resolve_prefer(struct resolver *resolver, const char *host,
		    const struct sockaddr *address)
{
	resolve_cache_prefer(&resolver->cache, host, address);
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

static void resolve_end(struct resolve_lookup *lookup)
{
	resolve_dns_stop(&lookup->dns);
	resolve_dns_stop(&lookup->again);
	loop_timer_clear(lookup->resolver->loop, &lookup->repeat);
	loop_timer_clear(lookup->resolver->loop, &lookup->ready);
	resolve_unlink(lookup);
}

static void resolve_free(struct resolve_lookup *lookup)
{
	resolve_end(lookup);
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
		query->on_done(query->arg, &lookup->answer);
	}
	lookup->ending = false;
	resolve_free(lookup);
}

static void resolve_on_done(void *arg, struct resolve_answer *answer, int ttl_s)
{
	struct resolve_lookup *lookup = arg;

	if (ttl_s)
		resolve_cache_keep(&lookup->resolver->cache, lookup->host,
				   answer, ttl_s);
	lookup->answer = *answer;
	resolve_on_ready(lookup);
}

/* Only the first query may fail: this one may have, without a free
 * descriptor. */
static void resolve_on_again(void *arg, struct resolve_answer *answer,
			     int ttl_s)
{
	if (answer->code == RESULT_OK)
		resolve_on_done(arg, answer, ttl_s);
}

static void resolve_plan_repeat(struct resolve_lookup *lookup)
{
	loop_timer_set(lookup->resolver->loop, &lookup->repeat,
		       clock_ms() + RESOLVE_REPEAT_MS);
}

static void resolve_on_repeat(void *arg)
{
	struct resolve_lookup *lookup = arg;

	resolve_dns_stop(&lookup->again);
	/* Without memory for it there is still the first one. */
	(void)!resolve_dns_start(&lookup->again, lookup->resolver->loop,
				 lookup->host);
	resolve_plan_repeat(lookup);
}

/* Not from inside resolve_start(). */
static void resolve_ready(struct resolve_lookup *lookup)
{
	loop_timer_set(lookup->resolver->loop, &lookup->ready, clock_ms());
}

static void resolve_fail(struct resolve_lookup *lookup, int status)
{
	resolve_judge_failure(&lookup->answer, status);
	resolve_ready(lookup);
}

static void resolve_lookup_init(struct resolve_lookup *lookup,
				struct resolver *resolver, const char *host)
{
	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	lookup->resolver = resolver;
	lookup->started_ms = clock_ms();
	lookup->ready.on_time = resolve_on_ready;
	lookup->ready.arg = lookup;
	lookup->dns.on_done = resolve_on_done;
	lookup->again.on_done = resolve_on_again;
	lookup->dns.arg = lookup->again.arg = lookup;
	lookup->repeat.on_time = resolve_on_repeat;
	lookup->repeat.arg = lookup;
}

static void resolve_lookup_start(struct resolve_lookup *lookup,
				 const char *host)
{
	const struct resolve_answer *known;
	int status = ARES_EBADNAME;

	known = resolve_cached(lookup->resolver, host);
	if (known) {
		lookup->answer = *known;
		resolve_ready(lookup);
		return;
	}
	if (*host && strlen(host) < RESOLVE_HOST_BYTES)
		status = resolve_dns_start(&lookup->dns, lookup->resolver->loop,
					   host);
	if (status != ARES_SUCCESS)
		resolve_fail(lookup, status);
	else
		resolve_plan_repeat(lookup);
}

static struct resolve_lookup *resolve_lookup_create(struct resolver *resolver,
						    const char *host)
{
	struct resolve_lookup *lookup = calloc(1, sizeof(*lookup));

	if (!lookup) {
		resolve_fail(&resolver->spare, ARES_ENOMEM);
		return &resolver->spare;
	}
	resolve_lookup_init(lookup, resolver, host);
	lookup->next = resolver->lookups;
	resolver->lookups = lookup;
	resolve_lookup_start(lookup, host);
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
	struct resolve_lookup *lookup;

	if (!resolver)
		return;
	while ((lookup = resolver->lookups)) {
		resolver->lookups = lookup->next;
		resolve_end(lookup);
		if (lookup != &resolver->spare)
			free(lookup);
	}
	resolve_end(&resolver->spare);
	resolve_cache_clear(&resolver->cache);
	free(resolver);
	ares_library_cleanup();
}

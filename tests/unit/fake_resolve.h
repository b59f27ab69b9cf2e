/*
 * fake_resolve: every host resolves to what the test says, at once or later.
 */
#ifndef HEALTH_FAKE_RESOLVE_H
#define HEALTH_FAKE_RESOLVE_H

#include <stdbool.h>

#include "io/resolve.h"
#include "unit.h"

static struct {
	struct resolve_answer answer; /* for every host */
	bool waits;		     /* it is not cached: queries wait for it */
	struct resolve_query *query; /* that waits */
	int asked, preferred;
	char host[256]; /* that was asked for or preferred last */
} fake_resolve;

/* Sets the answer to n addresses, from 127.0.0.1 on. */
static inline void fake_resolve_to(size_t n)
{
	size_t i;

	memset(&fake_resolve.answer, 0, sizeof(fake_resolve.answer));
	fake_resolve.answer.code = RESULT_OK;
	fake_resolve.answer.n = n;
	for (i = 0; i < n; i++) {
		struct resolve_addr *addr = &fake_resolve.answer.addrs[i];

		addr->in.sin_family = AF_INET;
		addr->in.sin_addr.s_addr = htonl(INADDR_LOOPBACK +
						 (in_addr_t)i);
		addr->len = sizeof(addr->in);
		snprintf(addr->text, sizeof(addr->text), "127.0.0.%zu", i + 1);
	}
}

/* Gives the answer to the query that waits. */
static inline void fake_resolve_done(void)
{
	struct resolve_query *query = fake_resolve.query;

	CHECK(query);
	fake_resolve.query = NULL;
	if (query)
		query->on_done(query->arg, &fake_resolve.answer);
}

/* ... or that there is no such host. */
static inline void fake_resolve_fail(void)
{
	fake_resolve.answer = (struct resolve_answer){
		.code = RESULT_RESOLVE, .words = "no such host"
	};
	fake_resolve_done();
}

const struct resolve_answer *resolve_cached(struct resolver *resolver,
					    const char *host)
{
	(void)resolver, (void)host;
	return fake_resolve.waits ? NULL : &fake_resolve.answer;
}

void resolve_start(struct resolver *resolver, struct resolve_query *query,
		   const char *host)
{
	(void)resolver;
	CHECK(!fake_resolve.query);
	fake_resolve.asked++;
	snprintf(fake_resolve.host, sizeof(fake_resolve.host), "%s", host);
	fake_resolve.query = query;
}

void resolve_cancel(struct resolver *resolver, struct resolve_query *query)
{
	(void)resolver;
	if (fake_resolve.query == query)
		fake_resolve.query = NULL;
}

void resolve_prefer(struct resolver *resolver, const char *host,
		    const struct sockaddr *address)
{
	(void)resolver;
	snprintf(fake_resolve.host, sizeof(fake_resolve.host), "%s", host);
	CHECK_INT(address->sa_family, AF_INET);
	fake_resolve.preferred++;
}

#endif

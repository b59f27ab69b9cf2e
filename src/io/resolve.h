/*
 * resolve: host names to addresses, with c-ares, cached.
 *
 * The only place in the program that looks a name up: getaddrinfo(3) blocks,
 * and so do the libraries that call it.  /etc/hosts, search domains and ndots
 * are honoured (resolv.conf(5), hosts(5)); A and AAAA are asked side by side
 * and a lost AAAA answer does not hold up the other.  Numeric addresses
 * and "localhost" need no look-up.  Answers are kept for their TTL, within
 * bounds, and never longer; an answer that was handed out but led to no
 * connection is kept for a second, so that a host that has moved is found
 * again.  Failures are not kept. Two queries for one host share one look-up,
 * unless it is late.  A changed resolv.conf counts from the next look-up on.
 *
 * Belongs to the main thread of a worker; never blocks on the network.
 */
#ifndef HEALTH_RESOLVE_H
#define HEALTH_RESOLVE_H

#include <netinet/in.h>
#include <stddef.h>

#include "base/result.h"

struct loop;
struct resolver;

#define RESOLVE_MAX 8

struct resolve_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	}; /* port 0 */
	socklen_t len;
	char text[INET6_ADDRSTRLEN]; /* numeric, without a scope */
};

/* The bytes of an IPv4 or IPv6 address; borrowed from it. */
static inline const void *resolve_addr_bits(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return &((const struct sockaddr_in *)(const void *)sa)
				->sin_addr;
	return &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
}

struct resolve_answer {
	enum result_code code; /* RESULT_OK, or RESULT_RESOLVE and so on */
	char words[RESULT_ERROR_BYTES]; /* ours, when not ok */
	size_t n;			/* 1..RESOLVE_MAX when ok, best first */
	struct resolve_addr addrs[RESOLVE_MAX];
};

/* Embedded in its owner; zeroed means idle. */
struct resolve_query {
	/* Called once, from the loop, never from inside resolve_start(); the
	 * answer is borrowed until it returns. */
	void (*on_done)(void *arg, const struct resolve_answer *answer);
	void *arg;
	/* private to resolve.c */
	struct resolve_lookup *lookup; /* NULL: idle */
	uint32_t owner;		       /* of the loop when it was started */
	struct resolve_query *next;
};

/* NULL when out of memory. */
struct resolver *resolver_create(struct loop *loop);
void resolver_destroy(struct resolver *resolver);

/*
 * An answer that needs no waiting (numeric, or cached), or NULL.  Borrowed
 * until the next call of any function here.
 */
const struct resolve_answer *resolve_cached(struct resolver *resolver,
					    const char *host);

/* Starts a look-up; set on_done and arg before.  Errors come as answers. */
void resolve_start(struct resolver *resolver, struct resolve_query *query,
		   const char *host);
/* Forgets the query; on_done will not be called.  Idle is allowed. */
void resolve_cancel(struct resolver *resolver, struct resolve_query *query);

/* Remembers that this address of the host answered: it comes first from now
 * on, for as long as the host has it.  An answer that is kept must prove good
 * in this way each time it is handed out. */
void resolve_prefer(struct resolver *resolver, const char *host,
		    const struct sockaddr *address);

#endif

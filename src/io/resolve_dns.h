/*
 * resolve_dns: one look-up of one host with c-ares: /etc/hosts, search
 * domains, A and AAAA side by side.
 *
 * Belongs to the main thread of a worker; never blocks on the network.
 */
#ifndef HEALTH_RESOLVE_DNS_H
#define HEALTH_RESOLVE_DNS_H

#include <ares.h>
#include <stdbool.h>

#include "io/loop.h"
#include "io/resolve.h"

#define RESOLVE_SOCKETS 16 /* UDP and TCP for eight name servers */

struct resolve_dns;

enum resolve_family { RESOLVE_V6, RESOLVE_V4, RESOLVE_FAMILIES };

/* The result of one family. */
struct resolve_part {
	struct resolve_dns *dns; /* that it is a part of */
	bool done;
	int status; /* ARES_..., not ARES_SUCCESS; with n 0 only */
	int ttl_s;  /* of the shortest; with n > 0 only */
	size_t n;
	struct resolve_addr addrs[RESOLVE_MAX];
};

struct resolve_socket {
	struct resolve_dns *dns;
	struct loop_watch watch;
	ares_socket_t fd; /* ARES_SOCKET_BAD: free */
};

/* Embedded in its owner; zeroed means idle. */
struct resolve_dns {
	/* Called once, from the loop, when nothing is under way any more: the
	 * record may be freed inside.  ttl_s: how long the answer may be kept,
	 * 0: not at all.  The answer is borrowed until it returns. */
	void (*on_done)(void *arg, struct resolve_answer *answer, int ttl_s);
	void *arg;
	/* private to resolve_dns.c */
	struct loop *loop;
	ares_channel channel;	  /* NULL: idle */
	struct loop_timer repeat; /* c-ares wants to be called */
	struct loop_timer end; /* the addresses known by then are the answer */
	struct resolve_socket sockets[RESOLVE_SOCKETS];
	struct resolve_part parts[RESOLVE_FAMILIES];
};

/* Set on_done and arg before.  The status of c-ares; when it is not
 * ARES_SUCCESS nothing has begun. */
int resolve_dns_start(struct resolve_dns *dns, struct loop *loop,
		      const char *host) __attribute__((warn_unused_result));
/* Without on_done(); idle is allowed. */
void resolve_dns_stop(struct resolve_dns *dns);

/* Fills an answer without addresses: a status of c-ares as code and words. */
void resolve_judge_failure(struct resolve_answer *answer, int status);

/* ---- addresses; pure, any thread ---- */

/* Whether both are the same address, whatever their ports. */
bool resolve_addr_same(const struct sockaddr *a, const struct sockaddr *b);

/* false: it has no text form and cannot be used. */
bool resolve_addr_set(struct resolve_addr *addr, int family, const void *bits);

/* Fills the answer for a numeric address or "localhost"; false: the host is
 * neither, and the answer holds nothing. */
bool resolve_addr_known(const char *host, struct resolve_answer *answer);

#endif

/*
 * resolve_dns: one look-up of one host with c-ares: /etc/hosts, search
 * domains, A and AAAA side by side.
 *
 * Belongs to the prober thread; never blocks on the network.
 */
#ifndef HEALTH_RESOLVE_DNS_H
#define HEALTH_RESOLVE_DNS_H

#include <ares.h>

#include "io/loop.h"
#include "io/resolve.h"
#include "io/resolve_judge.h"

#define RESOLVE_SOCKETS 16 /* UDP and TCP for eight name servers */

struct resolve_dns;

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
	struct loop_timer end;	  /* what there is by then is the answer */
	struct resolve_socket sockets[RESOLVE_SOCKETS];
	struct resolve_part parts[RESOLVE_FAMILIES];
};

/* Set on_done and arg before.  The status of c-ares; when it is not
 * ARES_SUCCESS nothing has begun. */
int resolve_dns_start(struct resolve_dns *dns, struct loop *loop,
		      const char *host) __attribute__((warn_unused_result));
/* Without on_done(); idle is allowed. */
void resolve_dns_stop(struct resolve_dns *dns);

#endif

/*
 * dial: from a host name and port, or the path of a Unix socket, to an open
 * stream: looks the name up, connects to the first of its addresses that
 * answers, does the TLS handshake, and remembers the address.
 *
 * Belongs to the main thread of a worker; never blocks.
 */
#ifndef HEALTH_DIAL_H
#define HEALTH_DIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/failure.h"
#include "io/loop.h"
#include "io/resolve.h"

struct offload;
struct stream;
struct stream_trust;

struct dial_target {
	const char *path; /* of a Unix socket, the rest is unused; or NULL */
	const char *host; /* to look up, and with TLS to verify */
	uint16_t port;
	struct stream_trust *trust; /* NULL: no TLS */
	bool turned;   /* begin with the second address: the first is silent */
	bool unproven; /* a connection does not prove the address: the caller
			  calls resolve_prefer() when it has an answer */
};

/* Embedded in its owner; zeroed means idle. */
struct dial {
	/* Set before dial_start(); borrowed. */
	struct loop *loop;
	struct resolver *resolver;
	struct offload *offload;
	/* Called once, from dial_start() or from the loop; the dial is idle by
	 * then.  The stream is the callee's; NULL: see the failure, borrowed
	 * during the call. */
	void (*on_done)(void *arg, struct stream *stream,
			const struct failure *failure);
	void *arg;
	/* private to dial.c */
	struct dial_target target;
	int64_t deadline_ms;
	bool busy;
	struct resolve_query query;
	struct stream *stream; /* NULL: the name is being looked up */
	struct loop_watch watch;
};

/* The texts of the target are borrowed until the end.  The addresses share the
 * time until deadline_ms (clock_ms()), which is not watched here. */
void dial_start(struct dial *dial, const struct dial_target *target,
		int64_t deadline_ms);
/* Drops what is under way, without on_done(); idle is allowed. */
void dial_end(struct dial *dial);

/* What is being waited for; NULL: idle. */
const char *dial_step(const struct dial *dial);

#endif

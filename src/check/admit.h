/*
 * admit: at most a few cold handshakes at once.
 *
 * A TLS or SCRAM login costs milliseconds of our own CPU.  When hundreds of
 * connections must be made at the same time, the deadlines of all would pass
 * while we compute, and a slow CPU of ours would look like their outage.  So
 * handshakes are let in a few at a time, in order, and a run's deadline counts
 * from its admission.
 *
 * A handshake that merely waits for a silent peer costs no CPU: a slot is
 * passed on after ADMIT_HOLD_MS, and the handshake goes on without it.
 *
 * Belongs to the main thread of a worker.
 */
#ifndef HEALTH_ADMIT_H
#define HEALTH_ADMIT_H

#include <stdbool.h>

#include "io/loop.h"

#define ADMIT_SLOTS 4
#define ADMIT_HOLD_MS 25

struct admit;

/* Embedded in its owner; zeroed means idle. */
struct admit_ticket {
	void (*on_admitted)(void *arg);
	void *arg;
	/* private to admit.c */
	enum { ADMIT_IDLE, ADMIT_QUEUED, ADMIT_HELD } state;
	struct admit_ticket *next;
	struct loop_timer hold;
	struct admit *admit;
	uint32_t owner; /* of the loop when it entered */
};

/* NULL when out of memory. */
struct admit *admit_create(struct loop *loop);
void admit_destroy(struct admit *admit);

/* Calls on_admitted(), at once (from inside) or later, once. */
void admit_enter(struct admit *admit, struct admit_ticket *ticket);

/* The handshake is over, or no longer wanted; idle is allowed. */
void admit_leave(struct admit_ticket *ticket);

#endif

/*
 * pg_tap: looks at what a PostgreSQL server sends before libpq does.
 *
 * libpq allocates whatever length a message announces, answers any number of
 * password requests, and computes as many SCRAM rounds as the server demands,
 * all within one call.  The tap follows the framing (PostgreSQL documentation,
 * "Message Formats") and ends the connection first.
 *
 * Embedded in its owner; zeroed means at the start of a connection.  Belongs to
 * the main thread of a worker; never blocks, allocates nothing.
 */
#ifndef HEALTH_PG_TAP_H
#define HEALTH_PG_TAP_H

#include <libpq-fe.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/wire.h"

/* libpq itself accepts no longer authentication request. */
#define PG_TAP_AUTH_BYTES 2000

struct pg_tap {
	struct wire_tap wire; /* the first member */
	PGconn *pg;
	uint64_t cookie;     /* of the socket, socket(7) */
	const char *refused; /* why it was ended, or NULL: RESULT_PROTOCOL */
	size_t bytes;	     /* from the socket since the owner set it to 0 */
	bool begun;	     /* the first message has begun */
	bool rows;	     /* were described, and have not ended */
	size_t head;	     /* bytes of the message's header so far */
	unsigned char header[5];
	size_t left;		/* bytes of its body that are still to come */
	unsigned auth_requests; /* so far */
	size_t auth_len;
	char auth[PG_TAP_AUTH_BYTES + 1];
};

/* Watches what libpq reads on pg, until pg_tap_leave().  Around each call of
 * libpq that may read. */
void pg_tap_enter(struct pg_tap *tap, PGconn *pg);
void pg_tap_leave(void);

#endif

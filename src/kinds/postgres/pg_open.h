/*
 * pg_open: from a plan to a connection that is logged in.
 *
 * libpq gets one numeric address per PGconn and never resolves a name.  The
 * next host and address are chosen here, since libpq's asynchronous interface
 * ignores connect_timeout and would never leave a silent host.  The time is
 * divided among the addresses: when one is silent for its share, the next is
 * tried in parallel, and the first that completes the login is used (as in RFC
 * 8305).
 *
 * Belongs to the main thread of a worker, except pg_open_prepare(); never
 * blocks.
 */
#ifndef HEALTH_PG_OPEN_H
#define HEALTH_PG_OPEN_H

#include <stdbool.h>

#include "base/failure.h"
#include "io/dial.h"
#include "kinds/postgres/pg_conninfo.h"
#include "kinds/postgres/pg_tap.h"

struct conn;

#define PG_ATTEMPTS_MAX 4

struct postgres_settings {
	char *url;
	char *password;
	char *query;
	char *expect;
	struct pg_plan *plan; /* made of url and password */
	bool limited;	      /* the query gets a statement_timeout */
};

/* One address that is being tried. */
struct pg_attempt {
	struct postgres *postgres;
	PGconn *pg; /* NULL: not in use */
	struct pg_tap tap;
	struct loop_watch watch;
	size_t target;
	struct resolve_addr addr; /* of a host that was resolved */
	const struct pg_role *role;
};

struct postgres {
	struct conn *conn;
	PGconn *pg;		    /* NULL: not yet ready */
	struct pg_tap tap;	    /* of what pg reads */
	const struct pg_role *role; /* required of its server */

	/* Opening: the walk over hosts and their addresses. */
	size_t begun;	  /* hosts of this pass, including the current one */
	size_t target;	  /* the current host */
	bool second_pass; /* any role is accepted */
	size_t address;	  /* the next one in found */
	bool finding; /* a name look-up or a connect to a socket is under way */
	struct resolve_query query;
	struct dial dial; /* to a Unix socket, for libpq */
	char path[256];	  /* of it */
	struct resolve_answer found;
	struct loop_timer patience; /* until the next one is tried as well */
	struct pg_attempt attempts[PG_ATTEMPTS_MAX]; /* a ring */
	size_t attempted;
	struct failure failure; /* the most specific one so far */

	/* The question. */
	struct failure verdict; /* what the server reported */
	bool heard;		/* there was a result */
	bool answered;		/* there was a row */
	bool matched;
	bool wants_role; /* its row comes before those of the query */
	bool role_lost;	 /* the server has another role now */
};

/* Call at least once, in the main thread, before there are others. */
void pg_open_prepare(void);

/* Starts; ends in conn_ready() or conn_failed(), now or later from the loop. */
void pg_open_begin(struct conn *conn);

/* Closes everything, at any step; may be called twice. */
void pg_open_drop(struct conn *conn);

/* Names the server, and what it or libpq said, in front of the detail. */
void pg_open_detail(struct failure *failure, PGconn *pg, const char *message);

/* Takes an error of the server that answered for the verdict, unless there is
 * one. */
void pg_open_heard(struct postgres *postgres, const PGresult *error);

/* What the oldest attempt waits for. */
const char *pg_open_step(const struct postgres *postgres);

#endif

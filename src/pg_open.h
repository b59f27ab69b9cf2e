/*
 * pg_open: from a plan to a connection that is logged in.
 *
 * libpq knows one numeric address per PGconn and never looks a name up; which
 * host and address come next, and how long each may take, is decided here,
 * since libpq's asynchronous interface ignores connect_timeout and would never
 * leave a host that is silent.
 *
 * Belongs to the prober thread; never blocks.
 */
#ifndef HEALTH_PG_OPEN_H
#define HEALTH_PG_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "loop.h"
#include "pg_conninfo.h"
#include "pg_words.h"
#include "resolve.h"

struct conn;

#define PG_DETAIL_BYTES 256

struct postgres_settings {
	char *url;
	char *password;
	char *query;
	char *expect;
	struct pg_plan *plan; /* made of url and password */
	bool limited;	      /* the query gets a statement_timeout */
};

struct postgres {
	PGconn *pg;
	bool ready;
	int64_t bytes; /* read since the opening or the question began */

	/* Opening: the walk over hosts and their addresses. */
	size_t begun;	  /* hosts of this pass, the present one included */
	size_t target;	  /* the present host */
	bool second_pass; /* any role will do */
	size_t address;	  /* the present one in found */
	bool resolving;
	struct resolve_query query;
	struct resolve_answer found;
	struct loop_timer patience; /* with the present address */
	void *tls;
	struct pg_failure failure; /* the most telling one so far */
	char detail[PG_DETAIL_BYTES];

	/* The question. */
	struct pg_failure verdict; /* what the server reported */
	bool answered;		   /* there was a row */
	bool matched;
};

/* Begins; ends in conn_ready() or conn_failed(), now or from pg_open_step(), a
 * timer or the resolver. */
void pg_open_begin(struct conn *conn);

/* The watched descriptor is ready; not after conn_ready(). */
void pg_open_step(struct conn *conn);

/* Drops whatever there is, at any step; also twice. */
void pg_open_drop(struct conn *conn);

/* The role that the present server has to play. */
const char *pg_open_attrs(struct conn *conn);

#endif

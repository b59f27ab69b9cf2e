/*
 * pg_words: maps errors of PostgreSQL, poolers and libpq to codes and messages.
 *
 * A server writes messages in the language of its lc_messages, so its errors
 * are recognised by SQLSTATE; libpq and PgBouncer write English (we never call
 * setlocale(3)), so theirs are recognised by phrases.
 *
 * Pure; any thread.  Nothing can fail.
 */
#ifndef HEALTH_PG_WORDS_H
#define HEALTH_PG_WORDS_H

#include "base/failure.h"

/*
 * A connection that was not made or broke: PQerrorMessage() at verbosity
 * PQERRORS_VERBOSE, the only way to a SQLSTATE while connecting.
 */
struct failure pg_words_connect(const char *message);

/* An error result; sqlstate and message may be NULL. */
struct failure pg_words_query(const char *sqlstate, const char *message);

/*
 * Puts a message of the server or libpq in front of the detail: without the
 * server's name, which comes from elsewhere, without the place in the server's
 * source that verbosity adds, and without hints.
 */
void pg_words_detail(struct failure *failure, const char *message);

#endif

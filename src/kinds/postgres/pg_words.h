/*
 * pg_words: what PostgreSQL, a pooler or libpq said, in our words.
 *
 * A server speaks the language of its lc_messages, so what comes from there is
 * judged by its SQLSTATE; libpq and PgBouncer speak English (we never call
 * setlocale(3)) and are judged by phrases.
 *
 * Pure; any thread.  Nothing can fail.
 */
#ifndef HEALTH_PG_WORDS_H
#define HEALTH_PG_WORDS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/failure.h"

/*
 * A connection that was not made or broke: PQerrorMessage() at verbosity
 * PQERRORS_VERBOSE, the only way to a SQLSTATE while connecting.
 */
struct failure pg_words_connect(const char *message);

/* An error result; sqlstate and message may be NULL. */
struct failure pg_words_query(const char *sqlstate, const char *message);

/* No server plays the role that target_session_attrs asks for. */
struct failure pg_words_role(const char *attrs);

/* Whether another host of the list may do better.  One that refuses the user
 * or the database speaks for all, as it does in libpq. */
bool pg_words_try_next(enum result_code code);

/* Whether the failure says more than that nobody was reached. */
bool pg_words_reached(enum result_code code);

/* The length of the part of PQerrorMessage() worth showing: verbosity adds a
 * place in the server's source. */
size_t pg_words_detail_len(const char *message);

#endif

/*
 * pg_parse: a libpq connection string to its options, with sentences for what
 * is wrong that never repeat a piece of it.
 *
 * Used by the main thread before there are others.
 */
#ifndef HEALTH_PG_PARSE_H
#define HEALTH_PG_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

/* A path at which there is nothing.  Not /dev/null, which libpq takes for a
 * file that can be read. */
#define PG_NOWHERE "/nonexistent"

/* Buffer for an error message; it continues after "url ". */
struct pg_reason {
	char *to;
	size_t size;
};

/* Writes the sentence; always false, to be returned. */
bool pg_refuse(struct pg_reason reason, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Clears what libpq and its GSS library would read behind our back: for the
 * whole process, so before there are threads and after ${} was expanded. */
void pg_environment(void);

/* Whether libpq has a parameter of this name. */
bool pg_is_known(const char *name);

/* Passwords are registered with text_secret().  PQconninfoFree() is the
 * caller's.  NULL: refused. */
PQconninfoOption *pg_parse(const char *conninfo, struct pg_reason reason);

#endif

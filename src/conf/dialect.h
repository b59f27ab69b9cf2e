/*
 * dialect: a URL or connection string that was written for another program.
 *
 * Variables such as DATABASE_URL belong to an application, whose driver has
 * parameters of its own.  A table of rows says what each of them means here.  A
 * parameter that no row names and our own driver does not know is left out,
 * with a line in the log; but when its name suggests that it chooses the
 * server, its security or the user, the check is refused.
 *
 * For prepare() of a kind: the main thread, later one of offload.
 */
#ifndef HEALTH_DIALECT_H
#define HEALTH_DIALECT_H

#include <stdbool.h>

#include "conf/conf.h"

#define DIALECT_REFUSED "!"

/* Lists are written "a|b"; an empty word is an empty value.  Letter case does
 * not matter. */
struct dialect_row {
	const char *names;
	const char *values;  /* NULL: any other */
	const char *becomes; /* "key=value"; "key=" keeps the value; NULL: it is
				left out; DIALECT_REFUSED: note says why */
	const char *note;    /* for the log, or NULL */
};
/* The first row that matches a parameter counts.  Parameters are written in the
 * order of the rows, and drivers use the last one of a name, so the strictest
 * row comes last. */

#define DIALECT_TABLES_MAX 2

struct dialect {
	const char *schemes; /* "postgres|pgsql", also "postgres+driver" unless
				another entry lists that; NULL: texts without a
				scheme */
	const char *scheme;  /* what they become */
	const char *host;    /* in place of an empty one; NULL: leave it */
	char separator;	     /* '&' in a query, ';', or ' ' as libpq does */
	bool judges_all;     /* also a typed text without a scheme, which the
				check's own reader would not refuse */
	/* Each ends in a row without names. */
	const struct dialect_row *tables[DIALECT_TABLES_MAX];
};

/* Ends in an entry without tables. */
extern const struct dialect dialect_postgres[];
extern const struct dialect dialect_redis[];
extern const struct dialect dialect_redis_options[]; /* after the host */
extern const struct dialect dialect_servicebus[];

/* Whether the text names a file (sqlite:), not a server. */
bool dialect_is_file(const char *text);

/*
 * The value `text` of a key as the check's own driver reads it.  Of a value
 * that was typed, only the scheme is translated.  known(): whether our driver
 * has a parameter of that name; NULL: it has none.  Warnings go to conf_warn().
 * The text belongs to conf; NULL: an error was collected.
 */
const char *dialect_read(struct conf *conf, const struct conf_section *section,
			 const char *key, const char *text,
			 const struct dialect *dialects,
			 bool (*known)(const char *name));

#endif

/*
 * dialect: a URL or connection string that was written for another program.
 *
 * Variables such as DATABASE_URL belong to an application, whose driver has
 * parameters of its own.  A table of rows says for each which ones mean
 * something here; what stands in no row and is not known to our own driver is
 * left out, with a line in the log, unless its name says that it decides who is
 * asked, how securely, or as whom: then the check is refused.
 *
 * Used by the main thread before there are others.
 */
#ifndef HEALTH_DIALECT_H
#define HEALTH_DIALECT_H

#include <stdbool.h>

#include "conf/conf.h"

#define DIALECT_REFUSED "!"

/* Lists are as "a|b"; an empty word in them is an empty value.  Capital and
 * small letters are the same. */
struct dialect_row {
	const char *names;
	const char *values;  /* NULL: any other */
	const char *becomes; /* "key=value"; "key=" keeps the value; NULL: it is
				left out; DIALECT_REFUSED: note says why */
	const char *note;    /* for the log; NULL: nothing to say */
};
/* The first row that fits a parameter counts.  Parameters are put into the
 * order of the rows, and drivers take the last of a name: the strictest row
 * stands last. */
#define DIALECT_ROWS_END      \
	{                     \
		.names = NULL \
	}

#define DIALECT_TABLES_MAX 2

struct dialect {
	const char *schemes; /* "postgres|pgsql", also as "postgres+driver"
				where that is not in a row itself; NULL: texts
				without a scheme */
	const char *scheme;  /* what they become */
	const char *host;    /* stands for an empty one; NULL: leave it */
	char separator;	     /* '&' in a query, ';', or ' ' as libpq does */
	const struct dialect_row *tables[DIALECT_TABLES_MAX];
};

/* Ends in an entry without tables. */
extern const struct dialect dialect_postgres[];
extern const struct dialect dialect_redis[];
extern const struct dialect dialect_redis_options[]; /* behind the host */
extern const struct dialect dialect_servicebus[];

/* Whether the text names a file and no server, as sqlite: does. */
bool dialect_is_file(const char *text);

/*
 * The value `text` of a key as the check's own driver takes it.  Of one that
 * was typed only the scheme is translated.  known(): whether our driver has a
 * parameter of that name; NULL: none.  Lines for the log are collected with
 * conf_warn().  The text belongs to conf; NULL: a mistake was collected.
 */
const char *dialect_read(struct conf *conf, const struct conf_section *section,
			 const char *key, const char *text,
			 const struct dialect *dialects,
			 bool (*known)(const char *name));

#endif

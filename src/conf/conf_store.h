/*
 * conf_store: what the parts of conf share: sections, their entries, and the
 * mistakes.  For conf*.c alone; everybody else uses conf.h.
 *
 * All memory is taken from the store, which overwrites and frees it at once in
 * conf_destroy().  Running out of it sets a mark, and conf_mistakes() says so:
 * callers only have to stop what they are doing.
 */
#ifndef HEALTH_CONF_STORE_H
#define HEALTH_CONF_STORE_H

#include "conf/conf.h"

#define CONF_FILE_BYTES 262144 /* longest configuration file */
#define CONF_LINE_BYTES 8192   /* longest line in it */
#define CONF_VALUE_BYTES 65536 /* longest value, expanded or from a file */
#define CONF_KEY_BYTES 64      /* longest name of a key */
#define CONF_SECTIONS_MAX 1001 /* [health] and 1,000 checks */
#define CONF_ENTRIES_MAX 1000  /* per section */
#define CONF_LIST_MAX 1000     /* items of a list */

/* One `key = value`. */
struct conf_entry {
	struct conf_entry *next;
	char *key;
	char *written; /* the value as it stands in the file */
	char *value;   /* with ${} expanded; NULL: there is a mistake in it */
	bool secret_file;	    /* conf_apply() read it from a file */
	const struct conf_key *row; /* what conf_apply() took it for */
	const char *origin;	    /* file or variable */
	int line;		    /* 0: origin is no file */
	const char *variable; /* the value is this variable, and no more */
	bool commented; /* there is a " ;" in its line, and no blank behind */
};

struct conf_section {
	struct conf_section *next;
	char *name;
	bool lenient;
	const char *origin;
	int line;
	struct conf_entry *entries, **entries_end;
	size_t n_entries;
};

/* Where a mistake is; what is unknown is NULL or 0. */
struct conf_place {
	const char *origin;
	int line;
	const struct conf_section *section;
	const char *key;   /* as the table calls it */
	const char *shown; /* as the file calls it */
	/* The value is this variable, and no more: a mistake in it refuses a
	 * lenient section.  NULL: what is wrong was typed. */
	const char *variable;
};

/* Zeroed; NULL when out of memory. */
void *conf_take(struct conf *conf, size_t size);
char *conf_keep_bytes(struct conf *conf, const char *text, size_t len);
void conf_out_of_memory(struct conf *conf);

/* NULL when out of memory. */
struct conf_section *conf_add_section(struct conf *conf, const char *name,
				      const char *origin, int line);
struct conf_entry *conf_add_entry(struct conf *conf,
				  struct conf_section *section, const char *key,
				  const char *written, const char *origin,
				  int line);
size_t conf_count_sections(const struct conf *conf);

void conf_collect(struct conf *conf, const struct conf_place *place,
		  const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Whether there is a mistake about this key already. */
bool conf_is_mistaken(const struct conf *conf,
		      const struct conf_section *section, const char *key);
/* Likewise a warning, see conf_warn(). */
void conf_collect_warning(struct conf *conf, const struct conf_place *place,
			  const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* About one entry, which stands for the key `key` of a table. */
struct conf_place conf_place_of(const struct conf_section *section,
				const struct conf_entry *entry,
				const char *key);

/* Replaces ${NAME} in a text; NULL: a mistake was collected. */
char *conf_expand(struct conf *conf, const struct conf_place *place,
		  const char *text);

/* The name in a text that is "${NAME}" and no more, kept with conf; NULL. */
const char *conf_expand_sole(struct conf *conf, const char *text);

/* Notes the variables of ${} in a text as secret. */
void conf_expand_was_secret(struct conf *conf, const char *text);
void conf_add_secret_variable(struct conf *conf, const char *name, size_t len);

#endif

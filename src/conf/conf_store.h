/*
 * conf_store: what the parts of conf share.  For conf*.c and dialect.c only;
 * everything else includes conf.h.
 *
 * All memory belongs to struct conf, which overwrites and frees it in
 * conf_destroy().  Running out of memory sets out_of_memory, and
 * conf_mistakes() reports it: callers only stop what they are doing.
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
#define CONF_WORDS_BYTES 200   /* what is wrong with a value, in words */

/* One `key = value`. */
struct conf_entry {
	struct conf_entry *next;
	const char *key;
	const char *shown; /* the key as the file has it */
	char *written;	   /* the value as the file has it */
	char *value;	   /* with ${} expanded; NULL: an error was collected */
	bool secret_file;  /* conf_apply() read it from a file */
	const struct conf_key *row; /* the table's key, set by conf_apply() */
	const char *origin;	    /* file or variable */
	int line;		    /* 0: origin is a variable */
	const char *variable; /* the whole value is this variable, or NULL */
	bool commented;	      /* " ;" in its line, without a blank after it */
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

enum conf_note_type { CONF_MISTAKE, CONF_WARNING, CONF_REFUSAL };

struct conf {
	struct conf_block *blocks;
	struct conf_section *sections, **sections_end;
	size_t n_sections;
	struct conf_note *notes; /* by line */
	size_t n_mistakes;
	struct conf_list secret_variables;
	bool out_of_memory;
};

/* What a sentence is about; unknown parts are NULL or 0. */
struct conf_place {
	const char *origin;
	int line;
	const struct conf_section *section;
	const char *key;   /* its name in the table */
	const char *shown; /* its name in the file */
	/* The whole value is this variable: an error in it refuses a lenient
	 * section.  NULL: the error was typed. */
	const char *variable;
};

/* ---- conf.c ---- */

/* Zeroed; NULL when out of memory. */
void *conf_take(struct conf *conf, size_t size);
char *conf_keep_bytes(struct conf *conf, const char *text, size_t len);
void conf_list_add(struct conf *conf, struct conf_list *list, const char *item,
		   size_t len);

/* NULL when out of memory. */
struct conf_section *conf_add_section(struct conf *conf, const char *name,
				      const char *origin, int line);
struct conf_entry *conf_add_entry(struct conf *conf,
				  struct conf_section *section, const char *key,
				  const char *written, const char *origin,
				  int line);

void conf_collect(struct conf *conf, enum conf_note_type type,
		  const struct conf_place *place, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* Whether an error about this key was collected. */
bool conf_is_mistaken(const struct conf *conf,
		      const struct conf_section *section, const char *key);
/* About an entry that sets `key` of a table. */
struct conf_place conf_place_of(const struct conf_section *section,
				const struct conf_entry *entry,
				const char *key);

/* ---- conf_read.c ---- */

/* The length of "${NAME}", 0 when the text does not begin with one. */
size_t conf_variable_len(const char *text);

/* ---- conf_value.c ---- */

/*
 * Reads a value of any type but CONF_STR and CONF_LIST and checks its limits.
 * -1 and words to be put after the value ("must be between 1 and 64") when it
 * is wrong.
 */
int conf_value_read(const struct conf_key *key, const char *text,
		    int64_t *value, char words[CONF_WORDS_BYTES])
	__attribute__((warn_unused_result));

/* As the user would write it. */
void conf_value_print(FILE *to, const struct conf_key *key, int64_t value);

/* A limit of a CONF_STR or CONF_LIST; `otherwise` if it is not set. */
size_t conf_value_length(const char *limit, size_t otherwise);

/* The field of a record as a number, and back. */
int64_t conf_value_load(const struct conf_key *key, const void *record);
void conf_value_store(const struct conf_key *key, void *record, int64_t value);

/* ---- conf_secret.c: which parts of a URL or connection string (CONF_URL) are
 * secret.  When in doubt, it hides more than necessary. ---- */

/* The length of the scheme before ":"; of "jdbc:postgresql://h" it is that of
 * "jdbc:postgresql".  0: no scheme. */
size_t conf_scheme_len(const char *text);

/* The length of a value in a connection string of libpq: in single quotes, or
 * up to white space; a backslash escapes the next character. */
size_t conf_conninfo_len(const char *value);

/* Whether "a|b" contains a word.  Letter case does not matter. */
bool conf_in(const char *list, const char *word, size_t len);

bool conf_secret_in_url(const char *url);

/* Writes the URL with asterisks for what is secret. */
void conf_secret_print_url(FILE *to, const char *url);

/* What is wrong with a secret that was typed, or with those in a URL, to be put
 * after "the value"; NULL: nothing. */
const char *conf_secret_wrong(const char *text);
const char *conf_secret_wrong_in_url(const char *url);

/* Calls text_secret() with each secret, decoded.  -1 when out of memory. */
int conf_secret_register_url(const char *url)
	__attribute__((warn_unused_result));

#endif

/*
 * conf: settings from an INI file or the environment into typed records.
 *
 * It knows no key.  Keys are in tables (struct conf_key), one for the program
 * and one for each kind of check.  A table says how a value is written, its
 * default as the user would write it, its limits, where it is stored, and gives
 * one line of help.
 *
 *	[section]
 *	key = value		; a comment, after a blank
 *	key_file = /path	; the value is the content of that file
 *	key = ${VARIABLE}	; from the environment; unset is an error
 *	key = $${not}		; stands for "${not}"
 *
 * A line never continues in the next one.  The content of a key_file, and of a
 * variable, loses one newline at its end; the path of the file may be relative
 * to the directory of the configuration file.
 *
 * All errors are collected, each as a sentence that names file, line and key;
 * nothing stops at the first.  Functions call them mistakes, to tell errors of
 * the user from errors of the program.
 *
 * A value that is only one variable was set outside the configuration file.  In
 * a lenient section, an error in it refuses the section and is not one of the
 * errors: the program can run without that section.
 *
 * Used by the main thread before it starts others; a conf_copy() by any one.
 *
 * conf_read.c reads the configuration file, conf_table.c turns sections into
 * records and prints them, conf_secret.c reads other files and knows what is
 * secret in a URL, conf.c keeps everything.  dialect.c translates URLs that
 * were written for other programs.
 *
 * conf/ is for configuration files and tables of keys.  It knows what a table
 * declares, and no check.
 */
#ifndef HEALTH_CONF_H
#define HEALTH_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum conf_type {
	CONF_STR,      /* char *, never NULL; min and max are lengths */
	CONF_BOOL,     /* bool; yes/no, on/off, true/false */
	CONF_INT,      /* int64_t */
	CONF_DURATION, /* int64_t milliseconds; 0, 500ms, 2s, 1m, 1h, 1d */
	CONF_SIZE,     /* int64_t bytes; 100, 4k, 10M, 1G (powers of 1024) */
	CONF_CHOICE,   /* int, index into max = "one|two|three" */
	CONF_LIST,     /* struct conf_list; the key may be repeated, and what
			  is given replaces the default; min and max are
			  lengths of a value, with CONF_WORDS max is that of
			  an item; at most 1000 items */
};

#define CONF_SECRET 1u	 /* never shown, masked everywhere */
#define CONF_URL 2u	 /* shown without its password and query */
#define CONF_REQUIRED 4u /* must be set, and not empty */
#define CONF_WORDS 8u	 /* a list: split at blanks and commas */
#define CONF_PATH 16u	 /* relative to the configuration file's directory */
#define CONF_MIXED 32u	 /* never shown; the kind registers its secrets */

struct conf_list {
	char **items; /* n strings */
	size_t n;
};

struct conf_key {
	const char *name;
	enum conf_type type;
	size_t offset;	  /* of the field in the settings record */
	const char *dflt; /* as the user would write it; NULL: zero, "" */
	const char *min;  /* likewise; NULL: no limit */
	const char *max;
	unsigned flags;
	const char *help; /* one line */
};

#define CONF_END             \
	{                    \
		.name = NULL \
	}

/* One `key = value`. */
struct conf_entry {
	struct conf_entry *next;
	const struct conf_section *section; /* NULL: it is in none */
	const char *key;
	const char *shown;    /* the key as the file has it */
	const char *written;  /* the value as the file has it */
	const char *value;    /* with ${} expanded; NULL: it has an error */
	const char *origin;   /* file or variable */
	int line;	      /* 0: origin is a variable */
	const char *variable; /* the whole value is this variable, by
				 `url = ${NAME}` or conf_set(); or NULL */
	bool commented;	      /* " ;" in its line, without a blank after it */
	/* By conf_apply(): */
	const struct conf_key *row; /* the table's key */
	void *record;
	bool from_file; /* `value` is the name of a file */
};

/* One [section]. */
struct conf_section {
	struct conf_section *next;
	const char *name;
	const char *origin;
	int line;
	struct conf_entry *entries,
		**entries_end; /* in the order of the file */
	size_t n_entries;
	bool lenient;	  /* set by the caller: an error in a value that is only
			     one variable refuses the section */
	bool secret_file; /* a secret or URL of it was read from a file */
};

enum conf_note_type { CONF_MISTAKE, CONF_WARNING, CONF_REFUSAL };

/* Everything that was read. */
struct conf {
	struct conf_block *blocks;
	struct conf_section *sections, **sections_end; /* likewise in order */
	size_t n_sections;
	struct conf_note *notes; /* by line */
	size_t n_mistakes;
	struct conf_list secret_variables; /* parts of secrets by ${NAME} */
	bool out_of_memory;
};

/* NULL when out of memory. */
struct conf *conf_create(void);

/* Overwrites secrets and frees all sections and the strings of records that
 * conf_apply() filled.  NULL is allowed. */
void conf_destroy(struct conf *conf);

/*
 * Reads a file, or a text under a name.  Errors of syntax are collected.
 * -1 when the file cannot be read (which is collected, too).
 */
int conf_read_file(struct conf *conf, const char *path);
void conf_read_text(struct conf *conf, const char *name, const char *text);

/*
 * Adds a value from the environment: sentences name `origin` ("DATABASE_URL")
 * in place of file and line.  Creates the section when it does not exist.  Does
 * not expand ${}.  -1 when out of memory.
 */
int conf_set(struct conf *conf, const char *section, const char *key,
	     const char *value, const char *origin);

/* NULL: no section has that name. */
struct conf_section *conf_section_find(struct conf *conf, const char *name);

/* The entry that sets a key, as `key` itself; NULL: none does. */
const struct conf_entry *conf_section_entry(const struct conf_section *section,
					    const char *key);
/* Whether the section sets the key, as `key` or as `key_file`. */
bool conf_section_has(const struct conf_section *section, const char *key);

/* The variable that is the whole value of a key; NULL: the value was typed, or
 * is not set. */
const char *conf_section_variable(const struct conf_section *section,
				  const char *key);

/* A key that was renamed: while the section sets only `old`, that stands for
 * `key`, with a warning. */
void conf_section_rename(struct conf *conf, struct conf_section *section,
			 const char *old, const char *key);

/* Why a section cannot be used. */
struct conf_refusal {
	const char *variable; /* its name */
	const char *sentence; /* like that of an error */
};
/* The first one of a section, or NULL; borrowed until conf_destroy(). */
const struct conf_refusal *conf_section_refusal(
	const struct conf *conf, const struct conf_section *section);

/* A section as it was read, for conf_apply() in another thread, which reads its
 * files again.  NULL when out of memory. */
struct conf *conf_copy(const struct conf_section *section);

struct conf_target {
	const struct conf_key *keys; /* ends in CONF_END */
	void *record;		     /* where their fields are stored */
};

/*
 * Fills all records from the section, defaults first.  A key in none of the
 * tables is an error that suggests the nearest known key, unless it has an
 * error already.  Of a key in two tables the later one is set; the other keeps
 * its default.  section NULL: defaults only.  Strings belong to conf.  A value
 * with an error leaves the default.  Secrets are registered with text_secret().
 */
void conf_apply(struct conf *conf, struct conf_section *section,
		const struct conf_target targets[], size_t n);

/*
 * Collects an error about a key of a section (key NULL: the section itself;
 * section NULL: the program).  The sentence says what to write instead and
 * shows no secrets.  Only the first error of a key is kept, and none after the
 * section was refused: later ones are consequences.
 */
void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* How many errors; having run out of memory is one. */
size_t conf_mistakes(const struct conf *conf);
/* "health.conf:12: [redis] timeout: ...", in the order of the file; NULL past
 * the end.  Borrowed until conf_destroy(). */
const char *conf_note_at(const struct conf *conf, enum conf_note_type type,
			 size_t index);

/* Collects a warning for the log, in the form of an error, about a setting that
 * is accepted but has little or no effect, or is deprecated. */
void conf_warn(struct conf *conf, const struct conf_section *section,
	       const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* A copy of a string, freed with conf.  NULL when out of memory. */
char *conf_keep(struct conf *conf, const char *text);

/*
 * Reads a whole regular file (a FIFO or device could block forever) of at most
 * max_bytes into *text, terminated, owned by the caller; its length to *len
 * when len is not NULL.  -1 and a reason for the operator otherwise.
 */
int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
	__attribute__((warn_unused_result));

/* Whether two records hold the same texts. */
bool conf_same_texts(const struct conf_key *keys, const void *one,
		     const void *other);

/*
 * Writes the keys of a table with their values in effect, as a configuration
 * file has them, each with its line of help.  Secrets, and values that do not
 * fit into a line, become comments.  hide_urls: URLs, too, since they could not
 * be read and any part of them may be secret.
 */
void conf_print(FILE *to, const struct conf_key *keys, const void *record,
		bool hide_urls);

/*
 * Passes names and values in effect, with secrets, to feed(), for a digest:
 * equal bytes for equal settings only.
 */
void conf_feed(const struct conf_key *keys, const void *record,
	       void (*feed)(void *arg, const void *bytes, size_t len),
	       void *arg);

#endif

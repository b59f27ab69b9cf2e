/*
 * conf: settings from an INI file or the environment into typed records.
 *
 * It knows no key: those stand in tables (struct conf_key), one for the
 * program and one for each kind of check.  A table says how a value is
 * written, its default as the user would write it, its limits, where it is
 * stored and what one line of the manual says about it.
 *
 *	[section]
 *	key = value		; a comment, after a blank
 *	key_file = /path	; the value is the content of that file
 *	key = ${VARIABLE}	; from the environment; unset is a mistake
 *	key = $${not}		; stands for "${not}"
 *
 * A line is a whole: none goes on in the next one.  The content of a key_file,
 * and of a variable, loses one newline at its end; the path of the file may be
 * relative to the folder of the configuration file.
 *
 * All mistakes are collected, each a sentence that names file, line and key;
 * nothing stops at the first.
 *
 * A value that is one variable and no more was written by someone else.  In a
 * lenient section a mistake in it is collected as the section's refusal and
 * not among the mistakes: the program can run without that section.
 *
 * Used by one thread, before there are others; a conf_copy() by any one.
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
			  lengths of one item; at most 1000 items */
};

#define CONF_SECRET 1u	 /* never shown, masked wherever it turns up */
#define CONF_URL 2u	 /* shown, but for the password and query in it */
#define CONF_REQUIRED 4u /* leaving it out or empty is a mistake */
#define CONF_WORDS 8u	 /* a list: cut at blanks and commas */
#define CONF_PATH 16u	 /* counts from the folder of the configuration file */
#define CONF_MIXED 32u	 /* never shown; its kind masks what is secret in it */

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

struct conf;	     /* everything that was read */
struct conf_section; /* one [section] */

/* NULL when out of memory. */
struct conf *conf_create(void);

/* Overwrites secrets, frees all sections and what conf_apply() allocated
 * (settings records point into it).  NULL is allowed. */
void conf_destroy(struct conf *conf);

/*
 * Reads a file, or a text under a name.  Mistakes of form are collected.
 * -1 when the file cannot be read at all (that is a collected mistake, too).
 */
int conf_read_file(struct conf *conf, const char *path);
void conf_read_text(struct conf *conf, const char *name, const char *text);

/*
 * Adds one value by program, from the environment: `origin` ("DATABASE_URL")
 * stands where file and line would stand in sentences.  The section is made
 * when there is none.  ${} is not expanded in it.  -1 when out of memory.
 */
int conf_set(struct conf *conf, const char *section, const char *key,
	     const char *value, const char *origin);

/* Sections in the order of the file; NULL past the end. */
struct conf_section *conf_section_at(struct conf *conf, size_t index);
struct conf_section *conf_section_find(struct conf *conf, const char *name);
const char *conf_section_name(const struct conf_section *section);

/* The text of a key with ${} expanded; NULL when the section does not set it
 * (as `key` itself) or a mistake was found in it. */
const char *conf_section_get(const struct conf_section *section,
			     const char *key);
/* The keys as the section writes them, in the order of the file; NULL past the
 * end. */
const char *conf_section_key_at(const struct conf_section *section,
				size_t index);
/* Whether the section sets the key, as `key` or as `key_file`. */
bool conf_section_has(const struct conf_section *section, const char *key);

/* The variable that the value of a key is, as `url = ${NAME}` in a file or by
 * conf_set(); NULL: the value was typed, or the key is not set. */
const char *conf_section_variable(const struct conf_section *section,
				  const char *key);

/* A key that was renamed: while the section sets only `old`, that stands for
 * `key`, with a warning. */
void conf_section_rename(struct conf *conf, struct conf_section *section,
			 const char *old, const char *key);

/* From now on a mistake in a value that is one variable refuses the section. */
void conf_section_lenient(struct conf_section *section);

/* Why a section cannot be used. */
struct conf_refusal {
	const char *variable; /* its name */
	const char *sentence; /* as a mistake's */
};
/* The first one about a section, or NULL; borrowed until
 * conf_destroy(). */
const struct conf_refusal *conf_section_refusal(
	const struct conf *conf, const struct conf_section *section);

struct conf_target {
	const struct conf_key *keys; /* ends in CONF_END */
	void *record;		     /* where their fields are stored */
};

/*
 * Fills all records from the section, defaults first; a key in none of the
 * tables is a mistake that names the nearest known key, unless there is a
 * mistake about it already.  A key in two tables means the later one; the other
 * keeps its default.  section may be NULL: defaults only.  Strings belong to
 * conf.  A value with a mistake leaves the default.  What is secret is
 * registered with text_secret().
 */
void conf_apply(struct conf *conf, struct conf_section *section,
		const struct conf_target targets[], size_t n);

/*
 * Collects a mistake about a key of a section (key NULL: the section itself;
 * section NULL: the program).  The sentence says what to write instead, and
 * does not show secrets.  Only the first one about a key counts, and none once
 * the section is refused: the others would be its consequences.
 */
void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* In the order of the file.  Having run out of memory is one of them. */
size_t conf_mistakes(const struct conf *conf);
/* "health.conf:12: [redis] timeout: ..."; borrowed until conf_destroy(). */
const char *conf_mistake_at(const struct conf *conf, size_t index);

/* Collects a line for the log about a key that is set, in the form of a
 * mistake, for what is understood in part or will lose its meaning. */
void conf_warn(struct conf *conf, const struct conf_section *section,
	       const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
/* NULL past the end; borrowed until conf_destroy(). */
const char *conf_warning_at(const struct conf *conf, size_t index);

/* Environment variables that went into secrets by ${}; NULL past the end. */
const char *conf_secret_variable_at(const struct conf *conf, size_t index);

/*
 * Reads a whole regular file (never a FIFO or device: those can block for
 * ever) of at most max_bytes into *text, terminated, owned by the caller; its
 * length to *len when len is not NULL.
 * -1 and a reason in words for the operator otherwise.
 */
int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
	__attribute__((warn_unused_result));

/* Keeps a string with conf: freed with it.  NULL when out of memory. */
char *conf_keep(struct conf *conf, const char *text);

/* Whether a secret of the section, or a URL, is the content of a file. */
bool conf_section_has_secret_file(const struct conf_section *section);

/* A section by itself, as it was read, for conf_apply() in another thread: what
 * it has in files is read anew.  NULL when out of memory. */
struct conf *conf_copy(const struct conf_section *section);

/* Whether two records hold the same texts. */
bool conf_same_texts(const struct conf_key *keys, const void *one,
		     const void *other);

/*
 * Writes the keys of a table with their values in effect as a configuration
 * file would have them, each with its line of help.  What is secret, and what
 * no line can hold, is written as a comment.
 */
/* hide_urls: they could not be read, so what is secret in them is not known. */
void conf_print(FILE *to, const struct conf_key *keys, const void *record,
		bool hide_urls);

/*
 * Gives names and values in effect, secrets as well, to feed(): the same bytes
 * for the same settings, others for others.  For a digest.
 */
void conf_feed(const struct conf_key *keys, const void *record,
	       void (*feed)(void *arg, const void *bytes, size_t len),
	       void *arg);

#endif

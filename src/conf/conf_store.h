/*
 * conf_store: what the parts of conf share.  For conf*.c and dialect.c only;
 * everything else includes conf.h.
 *
 * All memory belongs to struct conf; conf_destroy() overwrites and frees it.
 * Running out of memory sets out_of_memory, which conf_mistakes() reports:
 * callers only return.
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
/* Control characters, without the tab. */
#define CONF_CONTROLS                                      \
	"\1\2\3\4\5\6\7\b\n\v\f\r\16\17\20\21\22\23\24\25" \
	"\26\27\30\31\32\33\34\35\36\37\177"

/* ---- conf.c ---- */

/* Zeroed; NULL when out of memory. */
void *conf_take(struct conf *conf, size_t size);
char *conf_keep_bytes(struct conf *conf, const char *text, size_t len);
void conf_list_add(struct conf *conf, struct conf_list *list, const char *item,
		   size_t len);

/* NULL when out of memory. */
struct conf_section *conf_add_section(struct conf *conf, const char *name,
				      const char *origin, int line);
/* A copy of an entry, at the end of a section. */
struct conf_entry *conf_add_entry(struct conf *conf,
				  struct conf_section *section,
				  const struct conf_entry *from);

/*
 * About an entry, of which origin, line, section, key (that of its row counts),
 * shown and variable are used; unknown ones are NULL or 0.  With a variable,
 * an error refuses a lenient section.
 */
void conf_note(struct conf *conf, enum conf_note_type type,
	       const struct conf_entry *place, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
#define conf_wrong(conf, ...) conf_note(conf, CONF_MISTAKE, __VA_ARGS__)
/*
 * What stands before "=" may be a line of a secret that was broken into
 * several.  It is shown only when it looks like a key, without the digits that
 * base64 has.
 */
bool conf_showable(const char *key);
/* Whether an error about this key was collected. */
bool conf_is_mistaken(const struct conf *conf,
		      const struct conf_section *section, const char *key);

/* ---- conf_read.c ---- */

/* The length of "${NAME}", 0 when the text does not begin with one. */
size_t conf_variable_len(const char *text);

/* ---- conf_secret.c: which parts of a URL or connection string (CONF_URL) are
 * secret.  When in doubt, it hides more than necessary. ---- */

/* The length of the scheme before ":"; of "jdbc:postgresql://h" it is that of
 * "jdbc:postgresql".  0: no scheme. */
size_t conf_scheme_len(const char *text);

/* The length of a value in a connection string of libpq: in single quotes, or
 * up to white space; a backslash escapes the next character. */
size_t conf_conninfo_len(const char *value);

/* Which of "a|b" a word is, from 0; -1: it is another one.  Letter case does
 * not matter. */
int conf_which(const char *list, const char *word, size_t len);

static inline bool conf_in(const char *list, const char *word, size_t len)
{
	return conf_which(list, word, len) >= 0;
}

/* Writes the URL, when `to` is not NULL, with asterisks for what is secret;
 * false: nothing is. */
bool conf_secret_print_url(FILE *to, const char *url);

/* What is wrong with a secret that was typed, or with those in a URL, to be put
 * after "the value"; NULL: nothing. */
const char *conf_secret_wrong(const char *text);
const char *conf_secret_wrong_in_url(const char *url);

/* Calls text_secret() with each secret, decoded.  -1 when out of memory. */
int conf_secret_register_url(const char *url)
	__attribute__((warn_unused_result));

#endif

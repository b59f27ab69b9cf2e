#include "config.h"

#include "conf/conf_store.h"
#include "conf/dialect.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define DIALECT_PAIRS_MAX 64
#define DIALECT_NAME_BYTES 41
#define DIALECT_ADDED_BYTES 64 /* that one row may add */
#define DIALECT_SKIPPED_BYTES 240

/* `name=value` in the text. */
struct dialect_pair {
	char name[DIALECT_NAME_BYTES]; /* truncated when longer */
	const char *value;
	size_t value_len;
	bool done;
};

/* One call of dialect_read(). */
struct dialect_reader {
	struct conf *conf;
	const struct conf_section *section;
	const char *key;
	const struct dialect *dialect;
	bool (*known)(const char *name);
	bool hide_names; /* they may be pieces of a password */
	struct dialect_pair pairs[DIALECT_PAIRS_MAX];
	size_t n;
	FILE *out;
	size_t kept;
	char skipped[DIALECT_SKIPPED_BYTES];
};

/* ---- words ---- */

/* "ca" as a separate word: "ca_file", "rootCA", but not "cache". */
static bool dialect_has_ca(const char *name)
{
	const char *at = name;

	for (; (at = strcasestr(at, "ca")); at++)
		if ((at == name || !isalpha((unsigned char)at[-1]) ||
		     (islower((unsigned char)at[-1]) &&
		      isupper((unsigned char)at[0]))) &&
		    !islower((unsigned char)at[2]))
			return true;
	return false;
}

/* Whether a parameter may choose the server, its security, or the user. */
static bool dialect_matters(const char *name)
{
	static const char *const parts[] = {
		"ssl",	   "tls",     "cert",	  "cafile",   "capath", "auth",
		"gss",	   "crypt",   "verify",	  "channel",  "host",	"addr",
		"port",	   "server",  "endpoint", "user",     "pass",	"sock",
		"service", "options", "trust",	  "sentinel", "%",
	};
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcasestr(name, parts[i]))
			return true;
	return dialect_has_ca(name);
}

static bool dialect_may_show(const struct dialect_reader *reader,
			     const char *name)
{
	return !reader->hide_names && *name && conf_showable(name);
}

static bool dialect_refuse(const struct dialect_reader *reader,
			   const char *name, const char *why)
{
	conf_mistake(reader->conf, reader->section, reader->key, "has %s%s: %s",
		     name ? "the parameter "
			  : "a parameter whose name is not shown",
		     name ? name : "", why);
	return false;
}

/* ---- from text to pairs ---- */

/* The length of the pair in the text; 0: the text is not a pair. */
static size_t dialect_take_words(const char *text, struct dialect_pair *pair,
				 size_t *name_len)
{
	size_t at = strcspn(text, "= \t\r\n");

	*name_len = at;
	at += strspn(text + at, " \t\r\n");
	if (text[at] != '=')
		return 0;
	at++;
	pair->value = text + at + strspn(text + at, " \t\r\n");
	pair->value_len = conf_conninfo_len(pair->value);
	return (size_t)(pair->value + pair->value_len - text);
}

static size_t dialect_take_part(const char *text, char separator,
				struct dialect_pair *pair, size_t *name_len)
{
	const char ends[] = { separator, '\0' }, more[] = { separator, '=', 0 };
	size_t len = strcspn(text, ends);

	*name_len = strcspn(text, more);
	pair->value = text + *name_len + (text[*name_len] == '=');
	pair->value_len = (size_t)(text + len - pair->value);
	while (*name_len && isspace((unsigned char)text[*name_len - 1]))
		--*name_len;
	return len;
}

/* false: there are too many, or the text is not a list of pairs. */
static bool dialect_split(struct dialect_reader *reader, const char *text)
{
	char separator = reader->dialect->separator;
	const char blanks[] = { separator, ' ', '\t', '\r', '\n', '\0' };
	struct dialect_pair *pair;
	size_t len, name_len;

	while (*(text += strspn(text, blanks))) {
		if (reader->n == DIALECT_PAIRS_MAX)
			return false;
		pair = &reader->pairs[reader->n++];
		len = separator == ' '
			      ? dialect_take_words(text, pair, &name_len)
			      : dialect_take_part(text, separator, pair,
						  &name_len);
		if (len == 0)
			return false;
		snprintf(pair->name, sizeof(pair->name), "%.*s", (int)name_len,
			 text);
		text += len;
	}
	return true;
}

/* ---- from pairs to text ---- */

static void dialect_put(struct dialect_reader *reader, const char *becomes,
			const struct dialect_pair *pair)
{
	bool keeps = becomes[strlen(becomes) - 1] == '=';

	if (reader->kept++)
		fputc(reader->dialect->separator, reader->out);
	fprintf(reader->out, "%s%.*s", becomes,
		keeps ? (int)pair->value_len : 0, pair->value);
}

static void dialect_skip(struct dialect_reader *reader, const char *name)
{
	size_t len = strlen(reader->skipped);

	snprintf(reader->skipped + len, sizeof(reader->skipped) - len, "%s%.*s",
		 len ? ", " : "", DIALECT_NAME_BYTES - 1, name);
}

static bool dialect_fits(const struct dialect_row *row,
			 const struct dialect_pair *pair)
{
	const char *value = pair->value;
	size_t len = pair->value_len;

	if (!conf_in(row->names, pair->name, strlen(pair->name)))
		return false;
	if (len >= 2 && value[0] == '\'') {
		value++;
		len -= 2;
	}
	return !row->values || conf_in(row->values, value, len);
}

static bool dialect_translate(struct dialect_reader *reader,
			      const struct dialect_row *row,
			      struct dialect_pair *pair)
{
	pair->done = true;
	if (row->becomes && strcmp(row->becomes, DIALECT_REFUSED) == 0)
		return dialect_refuse(reader, pair->name, row->note);
	if (row->becomes)
		dialect_put(reader, row->becomes, pair);
	else if (!row->note)
		dialect_skip(reader, pair->name);
	if (row->note)
		conf_warn(reader->conf, reader->section, reader->key, "%s",
			  row->note);
	return true;
}

/* A parameter that no row names. */
static bool dialect_pass(struct dialect_reader *reader,
			 const struct dialect_pair *pair)
{
	char becomes[DIALECT_NAME_BYTES + 1];
	/* A word without a value may be the rest of a password. */
	const char *shown = pair->value[-1] == '=' &&
					    dialect_may_show(reader, pair->name)
				    ? pair->name
				    : NULL;

	if (reader->known && reader->known(pair->name)) {
		snprintf(becomes, sizeof(becomes),
			 "%.*s=", DIALECT_NAME_BYTES - 1, pair->name);
		dialect_put(reader, becomes, pair);
		return true;
	}
	if (dialect_matters(pair->name))
		return dialect_refuse(
			reader, shown,
			"it is not understood and must not be "
			"ignored; leave it out, or give the check "
			"a value of its own in health.conf");
	dialect_skip(reader, shown ? shown : "(not shown)");
	return true;
}

static bool dialect_pairs(struct dialect_reader *reader)
{
	struct dialect_pair *pair, *other, *end = reader->pairs + reader->n;
	const struct dialect_row *row;
	size_t table;

	/* Of two hosts only one would be checked. */
	for (pair = reader->pairs; pair < end; pair++)
		for (other = reader->pairs; other < pair; other++)
			if (strcasecmp(pair->name, other->name) == 0 &&
			    dialect_matters(pair->name))
				return dialect_refuse(
					reader,
					dialect_may_show(reader, pair->name)
						? pair->name
						: NULL,
					"it occurs twice; leave one of them "
					"out");
	for (table = 0; table < DIALECT_TABLES_MAX; table++)
		for (row = reader->dialect->tables[table]; row && row->names;
		     row++)
			for (pair = reader->pairs; pair < end; pair++)
				if (!pair->done && dialect_fits(row, pair) &&
				    !dialect_translate(reader, row, pair))
					return false;
	for (pair = reader->pairs; pair < end; pair++)
		if (!pair->done && !dialect_pass(reader, pair))
			return false;
	if (reader->skipped[0])
		conf_warn(reader->conf, reader->section, reader->key,
			  "parameters of another driver are ignored: %s",
			  reader->skipped);
	return true;
}

/* ---- the scheme ---- */

/* scheme 0: the dialect without one.  NULL: not found.  "redis+unix" is in the
 * table; of "postgres+asyncpg" only the part before "+" is. */
static const struct dialect *dialect_find(const struct dialect *dialects,
					  const char *text, size_t scheme)
{
	const char *driver = memchr(text, '+', scheme);
	const struct dialect *at;

	for (at = dialects; at->tables[0]; at++)
		if (scheme == 0
			    ? !at->schemes
			    : at->schemes && conf_in(at->schemes, text, scheme))
			return at;
	return driver ? dialect_find(dialects, text, (size_t)(driver - text))
		      : NULL;
}

bool dialect_is_file(const char *text)
{
	static const char schemes[] = "sqlite|sqlite2|sqlite3|spatialite|file|"
				      "duckdb|jdbc:sqlite|jdbc:duckdb";
	size_t len = conf_scheme_len(text);
	const char *driver = memchr(text, '+', len);

	if (driver)
		len = (size_t)(driver - text);
	return len ? conf_in(schemes, text, len)
		   : (strchr("/.", text[0]) && !strpbrk(text, " @") &&
		      strncmp(text, "//", 2) != 0) ||
			       strcmp(text, ":memory:") == 0;
}

/* Writes "scheme://host", up to the query, without the name of a driver in the
 * scheme. */
static bool dialect_put_address(struct dialect_reader *reader, const char *text,
				size_t scheme, size_t len)
{
	const struct dialect *dialect = reader->dialect;
	const char *rest = text + scheme + 1;
	const char *driver = memchr(text, '+', scheme);
	char name[DIALECT_NAME_BYTES];
	size_t slashes = strspn(rest, "/");

	if (conf_in(dialect->schemes, text, scheme))
		driver = NULL;
	snprintf(name, sizeof(name), "%.*s",
		 driver ? (int)(text + scheme - driver) : 0,
		 driver ? driver : "");
	if (driver && dialect_matters(name)) {
		conf_mistake(reader->conf, reader->section, reader->key,
			     "begins with %.*s://, and the part after + is not "
			     "understood; write %s://",
			     (int)scheme, text, dialect->scheme);
		return false;
	}
	fprintf(reader->out, "%s:", dialect->scheme);
	if (dialect->host && slashes != 2) {
		rest += slashes;
		fprintf(reader->out, "//%s/", dialect->host);
	}
	fprintf(reader->out, "%.*s", (int)(text + len - rest), rest);
	return true;
}

/* Where the query begins, or the text ends.  Drivers accept an unencoded "?" in
 * a password, but not "/". */
static size_t dialect_query(const char *text, size_t scheme)
{
	const char *rest = text + scheme + 1;
	const char *user = strpbrk(rest + strspn(rest, "/"), "@/");

	if (user && *user == '@')
		rest = user;
	return (size_t)(rest - text) + strcspn(rest, "?");
}

/* false: there is nothing to translate, or an error was collected. */
static bool dialect_write(struct dialect_reader *reader, const char *text,
			  bool typed)
{
	size_t scheme = conf_scheme_len(text);
	size_t len = scheme ? dialect_query(text, scheme) : 0;
	const char *at = memchr(text, '@', len);
	size_t start;

	if (scheme && !dialect_put_address(reader, text, scheme, len))
		return false;
	if (typed) {
		fputs(text + len, reader->out);
		return true;
	}
	start = len + (text[len] == '?');
	reader->hide_names = scheme ? !at && strchr(text + start, '@')
				    : reader->dialect->separator == ' ' &&
					      strcasestr(text, "pass");
	if (!dialect_split(reader, text + start))
		return false;
	if (scheme)
		fputc('?', reader->out);
	return dialect_pairs(reader) && (scheme || reader->kept);
}

/* A text that is not a URL may be anything, and is not shown. */
static void dialect_refuse_scheme(const struct dialect_reader *reader,
				  const char *text, size_t len,
				  const char *scheme)
{
	if (strncmp(text + len, "://", 3) == 0)
		conf_mistake(reader->conf, reader->section, reader->key,
			     "begins with %.*s://, but this kind of check "
			     "accepts only %s://",
			     (int)len, text, scheme);
	else
		conf_mistake(reader->conf, reader->section, reader->key,
			     "must begin with %s://", scheme);
}

const char *dialect_read(struct conf *conf, const struct conf_section *section,
			 const char *key, const char *text,
			 const struct dialect *dialects,
			 bool (*known)(const char *name))
{
	bool typed = !conf_section_variable(section, key), written;
	size_t scheme = conf_scheme_len(text);
	struct dialect_reader reader = {
		.conf = conf,
		.section = section,
		.key = key,
		.known = known,
		.dialect = dialect_find(dialects, text, scheme),
	};
	size_t size = strlen(text) + DIALECT_PAIRS_MAX * DIALECT_ADDED_BYTES;
	char *to;

	if (!reader.dialect && !typed && scheme)
		dialect_refuse_scheme(&reader, text, scheme, dialects->scheme);
	typed = typed && !(reader.dialect && reader.dialect->judges_all);
	if (!reader.dialect || (typed && !scheme))
		return conf_section_refusal(conf, section) ? NULL : text;
	to = calloc(1, size);
	reader.out = to ? fmemopen(to, size, "w") : NULL;
	if (!reader.out) {
		free(to);
		conf_mistake(conf, section, key, "out of memory");
		return NULL;
	}
	setvbuf(reader.out, NULL, _IONBF, 0);
	written = dialect_write(&reader, text, typed);
	fclose(reader.out);
	if (written)
		text = conf_keep(conf, to);
	explicit_bzero(to, size);
	free(to);
	return conf_section_refusal(conf, section) ? NULL : text;
}

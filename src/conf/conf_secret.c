#include "config.h"

#include "conf/conf_store.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONF_LETTERS                 \
	"abcdefghijklmnopqrstuvwxyz" \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define CONF_DIGITS "0123456789"

/* Names of secrets, in a query or a connection string. */
static const char *const conf_secret_names[] = {
	"*pass",   "*password*",   "*passwd*", "*pwd*",	      "*secret*",
	"*token*", "*api[-_]key*", "*apikey*", "*accesskey*", "sig",
	"key",	   "code",	   NULL,
};

/* What stands for a secret in the templates of shells, Python, Helm, Azure and
 * manuals, and was not replaced. */
static const char *const conf_placeholders[] = {
	"${*}",		"$(*)",		"%(*)s",     "{{*}}",
	"<*>",		"#{*}#",	"%[A-Z_]*%", "@Microsoft.KeyVault(*)",
	"\\[YOUR-*\\]", "\\[your-*\\]", NULL,
};

/* A part of a text. */
struct conf_span {
	const char *start;
	size_t len;
};

/* Hidden are, in a URL, the password and the whole query, whose parameters may
 * have any name; elsewhere in it, and in a connection string, the values of
 * secret names. */
#define CONF_SPANS_MAX 16

struct conf_spans {
	struct conf_span at[CONF_SPANS_MAX]; /* by their start; the longest
						of those that overlap first */
	size_t n;
	size_t query; /* which one it is; CONF_SPANS_MAX: none */
};

/* Whether a short text matches one of the patterns (fnmatch(3)). */
static bool conf_matches(const char *const patterns[], int flags,
			 const char *text, size_t len)
{
	char copy[256];

	if (len >= sizeof(copy))
		return false;
	snprintf(copy, sizeof(copy), "%.*s", (int)len, text);
	while (*patterns && fnmatch(*patterns, copy, flags) != 0)
		patterns++;
	return *patterns != NULL;
}

static bool conf_is_secret_name(const char *name, size_t len)
{
	return len >= 64 ||
	       conf_matches(conf_secret_names, FNM_CASEFOLD, name, len);
}

/* ---- schemes ---- */

int conf_which(const char *list, const char *word, size_t len)
{
	size_t part;
	int i;

	for (i = 0;; i++, list += part + 1) {
		part = strcspn(list, "|");
		if (part == len && strncasecmp(list, word, len) == 0)
			return i;
		if (!list[part])
			return -1;
	}
}

size_t conf_scheme_len(const char *text)
{
	size_t len, all = 0;

	for (;; all += len + 1) {
		len = strspn(text + all, CONF_LETTERS CONF_DIGITS "+-._");
		if (len == 0 || text[all + len] != ':')
			return 0;
		if (!conf_in("jdbc|r2dbc|pool", text + all, len))
			return all + len;
	}
}

/* After "scheme:/" or "scheme://", both of which libcurl accepts; NULL: it is
 * not a URL. */
static const char *conf_url_rest(const char *url)
{
	size_t len = conf_scheme_len(url);

	return len > 0 && url[len + 1] == '/'
		       ? url + len + 1 + strspn(url + len + 1, "/")
		       : NULL;
}

/* ---- what is secret ---- */

static void conf_add_span(struct conf_spans *spans, const char *start,
			  size_t len)
{
	struct conf_span *last = &spans->at[CONF_SPANS_MAX - 1];

	if (len > 0 && spans->n < CONF_SPANS_MAX)
		spans->at[spans->n++] = (struct conf_span){ start, len };
	else if (len > 0 && last->start + last->len < start + len)
		/* No room: everything up to here is one secret. */
		last->len = (size_t)(start + len - last->start);
}

/*
 * A user without a password is a token (HTTP) or a password in the wrong place
 * (Redis).  PostgreSQL has users without a password.
 */
static bool conf_user_is_secret(const char *url, const char *colon,
				const char *at)
{
	return (!colon || colon + 1 == at) && strncasecmp(url, "postg", 5) &&
	       strncasecmp(url, "pgsql", 5) && strncasecmp(url, "cockroach", 9);
}

/* The length of one of these characters at `at`, which may be percent-encoded,
 * even repeatedly; 0: it is another one. */
static size_t conf_one_of(const char *at, const char *characters)
{
	char hex[3] = "";
	size_t len = 1;
	int c = (unsigned char)*at;

	if (c == '%') {
		while (strncmp(at + len, "25", 2) == 0)
			len += 2;
		snprintf(hex, sizeof(hex), "%.2s", at + len);
		c = (int)strtol(hex, NULL, 16);
		len += strlen(hex);
	}
	return c && strchr(characters, c) ? len : 0;
}

/* The name that ends at `end`; the separator before it may be percent-encoded,
 * too. */
static const char *conf_pair_name(const char *from, const char *end)
{
	const char *name = end;

	while (name > from &&
	       (isalnum((unsigned char)name[-1]) || strchr("_-.", name[-1])))
		name--;
	if (name == from || name[-1] != '%')
		return name;
	while (strncmp(name, "25", 2) == 0)
		name += 2;
	return end - name < 2 ? end : name + 2;
}

/*
 * "/x%3Fcode=secret", "/x;code=secret", "#code=secret": in the path and the
 * fragment, the values of secret names, and those that look secret.  An encoded
 * separator ends the value or is a part of it: both are taken and overlap.
 */
static void conf_pair_spans(struct conf_spans *spans, const char *from,
			    const char *end)
{
	static const char separators[] = ";&?#";
	const char *at, *name, *value;
	size_t equals, len, whole;

	for (at = from; at < end; at++) {
		equals = conf_one_of(at, "=");
		if (!equals)
			continue;
		name = conf_pair_name(from, at);
		value = at + equals;
		whole = strcspn(value, separators);
		for (len = 0; len < whole; len++)
			if (conf_one_of(value + len, separators))
				break;
		if (!conf_is_secret_name(name, (size_t)(at - name)) &&
		    !text_looks_secret(value, len))
			continue;
		conf_add_span(spans, value, whole);
		if (len < whole)
			conf_add_span(spans, value, len);
	}
}

/*
 * A password may contain "/", "?", "#" and "@", although RFC 3986 wants them
 * encoded; so it ends at the last "@" of the URL.
 */
static void conf_url_spans(struct conf_spans *spans, const char *url,
			   const char *user)
{
	const char *at = strrchr(user, '@'), *colon = strchr(user, ':');
	const char *query, *fragment, *end = url + strlen(url);

	if (colon && at && colon > at)
		colon = NULL;
	/* The "@" is in the path or the query; there is no user. */
	if (!colon && at && strcspn(user, "/?#") < (size_t)(at - user))
		at = NULL;
	query = strchr(at ? at : user, '?');
	if (at && conf_user_is_secret(url, colon, at))
		conf_add_span(spans, user, (size_t)(at - user));
	else if (at && colon)
		conf_add_span(spans, colon + 1, (size_t)(at - colon - 1));
	conf_pair_spans(spans, at ? at : user, query ? query : end);
	if (!query)
		return;
	query++;
	fragment = query + strcspn(query, "#");
	conf_add_span(spans, query, (size_t)(fragment - query));
	if (fragment > query)
		spans->query = spans->n - 1;
	conf_pair_spans(spans, fragment, end);
}

size_t conf_conninfo_len(const char *value)
{
	bool quoted = value[0] == '\'';
	size_t len = quoted ? 1 : 0;

	for (; value[len]; len++) {
		if (value[len] == '\\' && value[len + 1])
			len++;
		else if (quoted ? value[len] == '\''
				: isspace((unsigned char)value[len]) != 0)
			return len + quoted;
	}
	return len;
}

/* "host=db password = 'a b' user=app" */
static void conf_conninfo_spans(struct conf_spans *spans, const char *text)
{
	static const char blanks[] = " \t\r\n\v\f";
	const char *at = text, *value;
	size_t name_len, len;

	for (;;) {
		at += strspn(at, blanks);
		name_len = strcspn(at, "= \t\r\n\v\f");
		value = at + name_len + strspn(at + name_len, blanks);
		if (*value != '=')
			return;
		value++;
		value += strspn(value, blanks);
		len = conf_conninfo_len(value);
		/* "HOST:6380,password=a,ssl=True", from Azure */
		if (memchr(at, ',', name_len) && strcspn(value, ",") < len)
			len = strcspn(value, ",");
		if (conf_is_secret_name(at, name_len))
			conf_add_span(spans, value, len);
		at = value + len;
	}
}

static struct conf_spans conf_find_spans(const char *url)
{
	struct conf_spans spans = { .query = CONF_SPANS_MAX };
	const char *rest = conf_url_rest(url);

	if (rest)
		conf_url_spans(&spans, url, rest);
	else
		conf_conninfo_spans(&spans, url);
	return spans;
}

bool conf_secret_print_url(FILE *to, const char *url)
{
	struct conf_spans spans = conf_find_spans(url);
	size_t i;

	for (i = 0; to && i < spans.n; i++) {
		if (spans.at[i].start < url)
			continue;
		fprintf(to, "%.*s********", (int)(spans.at[i].start - url),
			url);
		url = spans.at[i].start + spans.at[i].len;
	}
	if (to)
		fputs(url, to);
	return spans.n > 0;
}

/* ---- what a secret cannot be ---- */

static bool conf_is_placeholder(const char *text, size_t len)
{
	return len >= 2 &&
	       (conf_matches(conf_placeholders, 0, text, len) ||
		(text[0] == '$' && !isdigit((unsigned char)text[1]) &&
		 strspn(text + 1, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_" CONF_DIGITS) >=
			 len - 1));
}

const char *conf_secret_wrong(const char *text)
{
	size_t len = strlen(text);

	if (len == 0)
		return NULL;
	if (isspace((unsigned char)text[0]) ||
	    isspace((unsigned char)text[len - 1]))
		return "begins or ends with a space";
	if (len > 1 && strchr("\"'", text[0]) && text[len - 1] == text[0])
		return "is in quotes; write it without them";
	if (conf_is_placeholder(text, len))
		return "is a placeholder that was not replaced";
	return NULL;
}

const char *conf_secret_wrong_in_url(const char *url)
{
	struct conf_spans spans = conf_find_spans(url);
	size_t i;

	for (i = 0; i < spans.n; i++)
		if (i != spans.query &&
		    conf_is_placeholder(spans.at[i].start, spans.at[i].len))
			return "has a placeholder where a password belongs";
	return NULL;
}

/* ---- registering ---- */

/* Undoes the quoting of connection strings. */
static void conf_unquote(char *text)
{
	const char *from = text;

	do
		if (*from == '\\' && from[1])
			from++;
	while ((*text++ = *from++));
}

static int conf_register(const char *text, size_t len, bool percent)
{
	char *copy;
	int bad;

	if (!percent && len >= 2 && text[0] == '\'' && text[len - 1] == '\'') {
		text++;
		len -= 2;
	}
	copy = strndup(text, len);
	if (!copy)
		return -1;
	if (percent)
		(void)text_unescape(copy, copy, len);
	else
		conf_unquote(copy);
	bad = text_secret(copy);
	explicit_bzero(copy, len);
	free(copy);
	return bad;
}

/* Of a query, only values of secret names and values that look secret: hiding
 * each "verify-full" would garble the log. */
static int conf_register_query(const char *query, size_t len)
{
	const char *end = query + len, *equals;
	size_t part, value_len;
	int bad = 0;

	for (; query < end && !bad; query += part + 1) {
		part = strcspn(query, "&#");
		equals = memchr(query, '=', part);
		if (!equals)
			continue;
		value_len = (size_t)(query + part - equals - 1);
		if (conf_is_secret_name(query, (size_t)(equals - query)) ||
		    text_looks_secret(equals + 1, value_len))
			bad = conf_register(equals + 1, value_len, true);
	}
	return bad;
}

int conf_secret_register_url(const char *url)
{
	struct conf_spans spans = conf_find_spans(url);
	bool percent = conf_url_rest(url) != NULL;
	const struct conf_span *span;
	size_t i;
	int bad = 0;

	for (i = 0; i < spans.n && !bad; i++) {
		span = &spans.at[i];
		bad = i == spans.query
			      ? conf_register_query(span->start, span->len)
			      : conf_register(span->start, span->len, percent);
	}
	return bad;
}

/* ---- files ---- */

int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
{
	/* Without O_NONBLOCK, opening a FIFO waits for a writer. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat status;
	char *buffer = NULL;
	size_t got = 0;
	ssize_t n = -1;

	if (fd < 0) {
		snprintf(reason, reason_size, "cannot be opened: %m");
		return -1;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		snprintf(reason, reason_size, "is not a regular file");
		goto out;
	}
	/* The size in fstat(2) is 0 below /proc, and may grow. */
	buffer = calloc(1, max_bytes + 2);
	do {
		n = buffer ? read(fd, buffer + got, max_bytes + 1 - got) : -1;
		got += n > 0 ? (size_t)n : 0;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0)
		snprintf(reason, reason_size, "cannot be read: %m");
	else if (got > max_bytes)
		snprintf(reason, reason_size, "is larger than %zu bytes",
			 max_bytes);
out:
	close(fd);
	if (n < 0 || got > max_bytes) {
		free(buffer);
		return -1;
	}
	*text = buffer;
	if (len)
		*len = got;
	return 0;
}

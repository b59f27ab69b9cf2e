#include "config.h"

#include "pg_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "text.h"

#define PG_KNOWN_MAX 64
#define PG_WORD_BYTES 32

extern char **environ;

bool pg_refuse(struct pg_reason reason, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(reason.to, reason.size, fmt, args);
	va_end(args);
	return false;
}

void pg_environment(void)
{
	static bool done; /* other threads read it later */
	char name[64];
	size_t i = 0, len;

	if (done)
		return;
	done = true;

	/* PGSERVICE would open a file, PGHOSTADDR turn a socket into TCP,
	 * PGPASSWORD speak for a check that has none: no PG* is meant for us.
	 */
	while (environ && environ[i]) {
		len = strcspn(environ[i], "=");
		if (strncmp(environ[i], "PG", 2) != 0 || len >= sizeof(name)) {
			i++;
			continue;
		}
		memcpy(name, environ[i], len);
		name[len] = '\0';
		unsetenv(name); /* closes the gap at i */
	}
	/* A server may ask for GSS; with a keytab at hand and a silent KDC
	 * libgssapi blocked for 27 s in one call. */
	setenv("KRB5CCNAME", "FILE:" PG_NOWHERE, 1);
	setenv("KRB5_CLIENT_KTNAME", "FILE:" PG_NOWHERE, 1);
	setenv("KRB5_CONFIG", "/dev/null", 1);
	/* Without the hook OpenSSL asks the terminal for a key's password. */
	PQsetSSLKeyPassHook_OpenSSL(PQdefaultSSLKeyPassHook_OpenSSL);
}

/* "postgresql+asyncpg://" is how SQLAlchemy spells the same address. */
static char *pg_plain_scheme(const char *conninfo)
{
	size_t scheme = strcspn(conninfo, "+ :=/");
	const char *rest = strstr(conninfo, "://");
	char *plain = NULL;

	if (conninfo[scheme] != '+' || !rest ||
	    strcspn(conninfo, " =/") != (size_t)(rest - conninfo) + 1 ||
	    strncmp(conninfo, "postgres", sizeof("postgres") - 1) != 0)
		return strdup(conninfo);
	if (asprintf(&plain, "postgresql%s", rest) < 0)
		return NULL;
	return plain;
}

/* The known parameter that an unknown one was meant to be, or NULL. */
static const char *pg_nearest(const char *name, size_t len)
{
	const char *known[PG_KNOWN_MAX + 1];
	char word[PG_WORD_BYTES];
	PQconninfoOption *options;
	size_t n;

	options = len < sizeof(word) ? PQconndefaults() : NULL;
	if (!options)
		return NULL;
	memcpy(word, name, len);
	word[len] = '\0';
	for (n = 0; options[n].keyword && n < PG_KNOWN_MAX; n++)
		known[n] = options[n].keyword; /* static in libpq */
	known[n] = NULL;
	PQconninfoFree(options);
	return text_nearest(word, known);
}

/*
 * Why libpq could not parse the string, in words of ours: its own repeat what
 * stands at the mistake, which is often a piece of the password.
 */
static bool pg_parse_mistake(struct pg_reason reason, const char *error)
{
	/* clang-format off */
	static const struct { const char *sign, *words; } mistakes[] = {
		{ "missing \"=\"", "is neither a postgresql:// URI nor a list "
		  "of key=value pairs; put quotes ('') around values with "
		  "blanks" },
		{ "unterminated quoted", "has a quote (') that is not closed" },
		{ "percent-encoded", "has a % that is not followed by two hex "
		  "digits; write %25 for a % in a password" },
		{ "%00", "has a %00, which no value may hold" },
		{ "\"]\"", "has a [ without ] around an IPv6 address" },
		{ "unexpected character", "has an unexpected character; write "
		  "@ : / in user or password as %40 %3A %2F" },
		{ "key/value separator", "has a parameter after ? that is not "
		  "name=value" },
		{ "out of memory", "ran out of memory" },
	};
	/* clang-format on */
	const char *name = NULL;
	size_t i;

	for (i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++)
		if (strstr(error, mistakes[i].sign))
			return pg_refuse(reason, "%s", mistakes[i].words);
	if (strstr(error, "invalid connection option") ||
	    strstr(error, "invalid URI query parameter"))
		name = strchr(error, '"');
	if (!name)
		return pg_refuse(reason,
				 "is not understood by libpq; write "
				 "postgresql://user@host:port/database");
	name = pg_nearest(name + 1, strcspn(name + 1, "\""));
	return pg_refuse(reason,
			 "has a parameter that libpq %d does not know%s%s%s",
			 PQlibVersion() / 10000, name ? "; did you mean " : "",
			 name ? name : "", name ? "?" : "");
}

static bool pg_keep_secrets(const PQconninfoOption *option)
{
	bool good = true;

	for (; option->keyword; option++)
		if (option->val && strchr(option->dispchar, '*'))
			good &= text_secret(option->val) == 0;
	return good;
}

PQconninfoOption *pg_parse(const char *conninfo, struct pg_reason reason)
{
	char *plain = pg_plain_scheme(conninfo), *error = NULL;
	PQconninfoOption *options;

	if (!plain) {
		pg_refuse(reason, "ran out of memory");
		return NULL;
	}
	options = PQconninfoParse(plain, &error);
	explicit_bzero(plain, strlen(plain));
	free(plain);
	if (!options)
		pg_parse_mistake(reason, error ? error : "out of memory");
	if (error) {
		explicit_bzero(error, strlen(error));
		PQfreemem(error);
	}
	if (options && !pg_keep_secrets(options)) {
		pg_refuse(reason, "ran out of memory");
		PQconninfoFree(options);
		return NULL;
	}
	return options;
}

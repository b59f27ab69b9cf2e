#include "config.h"

#include "kinds/postgres/pg_parse.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

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

bool pg_is_known(const char *name)
{
	PQconninfoOption *options = PQconndefaults(), *option = options;
	bool found;

	while (option && option->keyword && strcmp(option->keyword, name) != 0)
		option++;
	found = option && option->keyword;
	PQconninfoFree(options);
	return found;
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

/* The part of a URI after user and password, as libpq finds them; NULL: not a
 * URI. */
static const char *pg_behind_user(const char *conninfo)
{
	const char *rest, *end;

	if (strncmp(conninfo, "postgres://", 11) != 0 &&
	    strncmp(conninfo, "postgresql://", 13) != 0)
		return NULL;
	rest = strstr(conninfo, "://") + 3;
	end = strpbrk(rest, "@/");
	return end && *end == '@' ? end + 1 : rest;
}

/* With an "@" in a password that is not encoded, the rest of it would be taken
 * for the host and asked of DNS. */
static bool pg_has_stray_at(const char *conninfo)
{
	const char *rest = pg_behind_user(conninfo);

	return rest && memchr(rest, '@', strcspn(rest, "?"));
}

/* Whether the name of a parameter cannot be a piece of a password with a "?",
 * "&" or blank in it. */
static bool pg_may_show(const char *conninfo, const char *name, size_t len)
{
	const char *rest = pg_behind_user(conninfo);

	if (len >= PG_WORD_BYTES ||
	    strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-."
			 "abcdefghijklmnopqrstuvwxyz") < len)
		return false;
	return rest ? !strchr(rest, '@') : !strcasestr(conninfo, "pass");
}

/*
 * Why libpq could not parse the string.  libpq's own message repeats the text
 * at the error, which is often part of the password.
 */
static bool pg_parse_mistake(const char *conninfo, struct pg_reason reason,
			     const char *error)
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
	const char *name = NULL, *nearest;
	int len;
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
	name++;
	len = (int)strcspn(name, "\"");
	nearest = pg_nearest(name, (size_t)len);
	if (!pg_may_show(conninfo, name, (size_t)len))
		len = 0;
	return pg_refuse(reason,
			 "has a parameter%s%.*s%s that libpq %d does not know"
			 "%s%s%s",
			 len ? " \"" : "", len, name, len ? "\"" : "",
			 PQlibVersion() / 10000,
			 nearest ? "; did you mean " : "",
			 nearest ? nearest : "", nearest ? "?" : "");
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
	PQconninfoOption *options;
	char *error = NULL;

	if (pg_has_stray_at(conninfo)) {
		pg_refuse(reason, "has an @ that does not end the user and "
				  "password; elsewhere, and in a password, "
				  "write @ / ? as %%40 %%2F %%3F");
		return NULL;
	}
	options = PQconninfoParse(conninfo, &error);
	if (!options)
		pg_parse_mistake(conninfo, reason,
				 error ? error : "out of memory");
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

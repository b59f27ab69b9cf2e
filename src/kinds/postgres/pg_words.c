#include "config.h"

#include "kinds/postgres/pg_words.h"

#include <string.h>

#define PG_STATE_LEN 5

struct pg_phrase {
	const char *sign; /* beginning of a SQLSTATE, or part of a message */
	enum result_code code;
	const char *words;
};

/* clang-format off */
static const struct pg_phrase pg_states[] = {
	{ "28",    RESULT_AUTH,    "authentication failed" },
	{ "3D000", RESULT_MISSING, "database does not exist" },
	{ "42501", RESULT_AUTH,    "permission denied" },
	{ "53300", RESULT_BUSY,    "too many connections" },
	{ "57014", RESULT_TIMEOUT, "query stopped by the server" },
	{ "57P01", RESULT_CONNECT, "connection terminated by the administrator" },
	{ "57P02", RESULT_CONNECT, "connection terminated: the server crashed" },
	{ "57P04", RESULT_MISSING, "database was dropped" },
	{ "57P05", RESULT_CONNECT, "connection terminated: idle for too long" },
};

/* 57P03 has no finer code; the default stands for a server that speaks
 * another language. */
static const struct pg_phrase pg_not_now[] = {
	{ "starting up",   RESULT_BUSY, "the database system is starting up" },
	{ "shutting down", RESULT_BUSY, "the database system is shutting down" },
	{ "recovery",      RESULT_BUSY, "the database system is in recovery" },
	{ "",              RESULT_BUSY,
	  "the database system does not accept connections" },
};

/* 28000 is also what a line of pg_hba.conf that is missing gets. */
static const struct pg_phrase pg_refused[] = {
	{ "SSL encryption", RESULT_AUTH, "no pg_hba.conf entry" },
	{ "SSL on",         RESULT_AUTH, "no pg_hba.conf entry" },
	{ "no encryption",  RESULT_AUTH,
	  "no pg_hba.conf entry without TLS; write sslmode=require" },
	{ "SSL off",        RESULT_AUTH,
	  "no pg_hba.conf entry without TLS; write sslmode=require" },
	{ "SSL connection is required", RESULT_TLS,
	  "TLS: required by the server; write sslmode=require" },
	{ "valid client certificate", RESULT_TLS,
	  "TLS: peer wants a client certificate" },
	{ "",               RESULT_AUTH, "authentication failed" },
};

/* PgBouncer gives almost everything the state 08P01, some releases 08006. */
static const struct pg_phrase pg_pooler[] = {
	{ "SSL required",         RESULT_TLS,
	  "TLS: required by the server; write sslmode=require" },
	{ "no more connections allowed", RESULT_BUSY, "too many connections" },
	{ "query_wait_timeout",   RESULT_BUSY, "pooler has no free connection" },
	{ "no such database",     RESULT_MISSING, "database does not exist" },
	{ "no such user",         RESULT_AUTH, "authentication failed" },
	{ "auth failed",          RESULT_AUTH, "authentication failed" },
	{ "authentication failed", RESULT_AUTH, "authentication failed" },
	{ "unsupported startup parameter", RESULT_CONFIG,
	  "pooler refuses a startup parameter" },
	{ "cannot connect to server", RESULT_CONNECT,
	  "pooler cannot reach the server" },
	{ "server login",         RESULT_CONNECT,
	  "pooler cannot log in to the server" },
	{ "login failed",         RESULT_CONNECT,
	  "pooler cannot log in to the server" },
	{ "shut",                 RESULT_BUSY, "pooler is shutting down" },
	{ "server conn crashed",  RESULT_CONNECT,
	  "pooler lost its connection to the server" },
	{ "terminating connection", RESULT_CONNECT,
	  "connection terminated by the administrator" },
};

/* libpq's own messages, the more specific first: most of them contain others.
 * RESULT_UNKNOWN: use the system error in the message, or these words. */
static const struct pg_phrase pg_client[] = {
	{ "session is read-only",     RESULT_MISMATCH, "server is read-only" },
	{ "session is not read-only", RESULT_MISMATCH, "server is not read-only" },
	{ "server is in hot standby", RESULT_MISMATCH, "server is a standby" },
	{ "server is not in hot standby", RESULT_MISMATCH,
	  "server is not a standby" },
	{ "no password supplied",     RESULT_AUTH, "no password given" },
	{ "invalid response to SSL",  RESULT_PROTOCOL, "not a PostgreSQL server" },
	{ "expected authentication request", RESULT_PROTOCOL,
	  "not a PostgreSQL server" },
	{ "SSL SYSCALL error: EOF",   RESULT_CONNECT,
	  "server closed the connection" },
	{ "SSL connection has been closed", RESULT_CONNECT,
	  "server closed the connection" },
	{ "does not support SSL",     RESULT_TLS,
	  "TLS: not supported by the server" },
	{ "not match host name",      RESULT_TLS,
	  "TLS: certificate is for another host" },
	{ "certificate verify failed", RESULT_TLS,
	  "TLS: certificate is not trusted" },
	{ "private key",              RESULT_CONFIG,
	  "TLS: client key cannot be used" },
	{ "root certificate",         RESULT_CONFIG, "TLS: CA file cannot be used" },
	{ "certificate file",         RESULT_CONFIG,
	  "TLS: client certificate cannot be used" },
	{ "SSL SYSCALL error: Connection reset", RESULT_CONNECT,
	  "server closed the connection" },
	{ "SSL SYSCALL error",        RESULT_UNKNOWN, "server closed the connection" },
	{ "SSL",                      RESULT_TLS, "TLS: handshake failed" },
	{ "uthentication",            RESULT_AUTH, "authentication failed" },
	{ "SCRAM",                    RESULT_AUTH, "authentication failed" },
	{ "channel binding",          RESULT_AUTH, "authentication failed" },
	{ "GSSAPI",                   RESULT_AUTH, "authentication failed" },
	{ "server closed the connection", RESULT_CONNECT,
	  "server closed the connection" },
	{ "Connection reset",         RESULT_CONNECT,
	  "server closed the connection" },
	{ "Broken pipe",              RESULT_CONNECT,
	  "server closed the connection" },
	{ "no connection to the server", RESULT_CONNECT,
	  "server closed the connection" },
	{ "out of memory",            RESULT_INTERNAL, "out of memory" },
	{ "lost synchronization",     RESULT_PROTOCOL, "answer not understood" },
	{ "message type",             RESULT_PROTOCOL, "answer not understood" },
	{ "message contents",         RESULT_PROTOCOL, "answer not understood" },
	{ "protocol",                 RESULT_PROTOCOL, "answer not understood" },
	{ "",                         RESULT_UNKNOWN, "connection failed" },
};
/* clang-format on */

#define PG_PHRASES(table) table, sizeof(table) / sizeof((table)[0])

static const struct pg_phrase *pg_find_state(const char *state)
{
	size_t i;

	for (i = 0; i < sizeof(pg_states) / sizeof(pg_states[0]); i++) {
		const char *sign = pg_states[i].sign;

		if (strncmp(state, sign, strlen(sign)) == 0)
			return &pg_states[i];
	}
	return NULL;
}

static const struct pg_phrase *pg_find(const struct pg_phrase *phrases,
				       size_t n, const char *message)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (strstr(message, phrases[i].sign))
			return &phrases[i];
	return NULL;
}

static bool pg_is_state(const char *text)
{
	return strspn(text, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") ==
	       PG_STATE_LEN;
}

/*
 * The last SQLSTATE in "FATAL:  28P01: password ..."; the word before it may
 * be in any language.  With sslmode=prefer there are two messages, the second
 * from the attempt that counted.
 */
static const char *pg_last_state(const char *message)
{
	const char *state = NULL;

	while ((message = strstr(message, ":  "))) {
		message += 3;
		if (pg_is_state(message) &&
		    strncmp(message + PG_STATE_LEN, ": ", 2) == 0)
			state = message;
	}
	return state;
}

static struct failure pg_failure_of(const struct pg_phrase *phrase)
{
	return failure_make(phrase->code, "%s", phrase->words);
}

/* what: the words for a state that is not in the table. */
static struct failure pg_words_of(const char *state, const char *message,
				  const char *what)
{
	const struct pg_phrase *phrase;

	if (strncmp(state, "57P03", PG_STATE_LEN) == 0)
		phrase = pg_find(PG_PHRASES(pg_not_now), message);
	else if (strncmp(state, "08", 2) == 0)
		phrase = pg_find(PG_PHRASES(pg_pooler), message);
	else
		phrase = pg_find_state(state);
	if (phrase)
		return pg_failure_of(phrase);
	return failure_make(RESULT_UPSTREAM, "%s (SQLSTATE %.*s)", what,
			    PG_STATE_LEN, state);
}

struct failure pg_words_connect(const char *message)
{
	const char *state = pg_last_state(message);
	const struct pg_phrase *phrase;
	struct failure failure;

	/* Of two attempts, with TLS and without, both may have been refused. */
	if (state && strncmp(state, "28000", PG_STATE_LEN) == 0)
		return pg_failure_of(pg_find(PG_PHRASES(pg_refused), message));
	if (state)
		return pg_words_of(state, state, "login refused");
	failure = failure_tls(message, NULL);
	if (failure.code != RESULT_UNKNOWN)
		return failure;
	phrase = pg_find(PG_PHRASES(pg_client), message);
	return phrase->code == RESULT_UNKNOWN
		       ? failure_errno_said(message, phrase->words)
		       : pg_failure_of(phrase);
}

struct failure pg_words_query(const char *sqlstate, const char *message)
{
	static const struct pg_phrase broken_tls = { "", RESULT_TLS,
						     "TLS: connection broken" };

	if (!message)
		message = "";
	/* A peer may send anything instead of a SQLSTATE. */
	if (sqlstate && pg_is_state(sqlstate))
		return pg_words_of(sqlstate, message, "query failed");
	/* "SSL SYSCALL error" is a connection that broke. */
	if (strstr(message, "SSL error:"))
		return pg_failure_of(&broken_tls);
	return pg_words_connect(message);
}

struct failure pg_words_role(const char *attrs)
{
	/* clang-format off */
	static const struct pg_phrase roles[] = {
		{ "read-write", RESULT_MISMATCH, "no server is writable" },
		{ "read-only",  RESULT_MISMATCH, "no server is read-only" },
		{ "primary",    RESULT_MISMATCH, "no server is a primary" },
		{ "standby",    RESULT_MISMATCH, "no server is a standby" },
		{ "",           RESULT_MISMATCH, "no server has the right role" },
	};
	/* clang-format on */

	return pg_failure_of(pg_find(PG_PHRASES(roles), attrs));
}

bool pg_words_try_next(enum result_code code)
{
	return code != RESULT_AUTH && code != RESULT_MISSING &&
	       code != RESULT_CONFIG && code != RESULT_INTERNAL;
}

bool pg_words_reached(enum result_code code)
{
	return code != RESULT_REFUSED && code != RESULT_CONNECT &&
	       code != RESULT_RESOLVE && code != RESULT_TIMEOUT;
}

size_t pg_words_detail_len(const char *message)
{
	const char *place = strstr(message, "\nLOCATION:");

	return place ? (size_t)(place - message) : strlen(message);
}

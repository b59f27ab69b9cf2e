#include "config.h"

#include "kinds/postgres/pg_words.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/text.h"

#define PG_STATE_LEN 5

static const char auth[] = "authentication failed";
static const char closed[] = "server closed the connection";
static const char garbled[] = "answer not understood";
static const char hba[] = "no pg_hba.conf entry";
static const char hba_tls[] =
	"no pg_hba.conf entry without TLS; write sslmode=require";
static const char killed[] = "connection terminated by the administrator";
static const char needs_tls[] =
	"TLS: required by the server; write sslmode=require";
static const char no_database[] = "database does not exist";
static const char no_login[] = "pooler cannot log in to the server";
static const char no_postgres[] = "not a PostgreSQL server";
static const char too_many[] = "too many connections";

/* clang-format off */
/* The first row whose two strings match. */
static const struct pg_phrase {
	const char *state; /* the SQLSTATE begins with it; "-": libpq said it */
	const char *sign;  /* part of the message */
	enum result_code code;
	const char *words;
} pg_phrases[] = {
	/* A missing line of pg_hba.conf has this state, too. */
	{ "28000", "SSL encryption", RESULT_AUTH, hba },
	{ "28000", "SSL on", RESULT_AUTH, hba },
	{ "28000", "no encryption", RESULT_AUTH, hba_tls },
	{ "28000", "SSL off", RESULT_AUTH, hba_tls },
	{ "28000", "SSL connection is required", RESULT_TLS, needs_tls },
	{ "28000", "valid client certificate", RESULT_TLS,
	  "TLS: peer wants a client certificate" },
	{ "28", "", RESULT_AUTH, auth },
	{ "3D000", "", RESULT_MISSING, no_database },
	{ "42501", "", RESULT_AUTH, "permission denied" },
	{ "53300", "", RESULT_BUSY, too_many },
	{ "57014", "", RESULT_TIMEOUT, "query stopped by the server" },
	{ "57P01", "", RESULT_CONNECT, killed },
	{ "57P02", "", RESULT_CONNECT,
	  "connection terminated: the server crashed" },
	{ "57P03", "starting up", RESULT_BUSY,
	  "the database system is starting up" },
	{ "57P03", "shutting down", RESULT_BUSY,
	  "the database system is shutting down" },
	{ "57P03", "recovery", RESULT_BUSY,
	  "the database system is in recovery" },
	/* In another language. */
	{ "57P03", "", RESULT_BUSY,
	  "the database system does not accept connections" },
	{ "57P04", "", RESULT_MISSING, "database was dropped" },
	{ "57P05", "", RESULT_CONNECT,
	  "connection terminated: idle for too long" },

	/* PgBouncer gives almost everything the state 08P01, some releases
	 * 08006. */
	{ "08", "SSL required", RESULT_TLS, needs_tls },
	{ "08", "no more connections allowed", RESULT_BUSY, too_many },
	{ "08", "query_wait_timeout", RESULT_BUSY,
	  "pooler has no free connection" },
	{ "08", "no such database", RESULT_MISSING, no_database },
	{ "08", "no such user", RESULT_AUTH, auth },
	{ "08", "auth failed", RESULT_AUTH, auth },
	{ "08", "authentication failed", RESULT_AUTH, auth },
	{ "08", "unsupported startup parameter", RESULT_CONFIG,
	  "pooler refuses a startup parameter" },
	{ "08", "cannot connect to server", RESULT_CONNECT,
	  "pooler cannot reach the server" },
	{ "08", "server login", RESULT_CONNECT, no_login },
	{ "08", "login failed", RESULT_CONNECT, no_login },
	{ "08", "shut", RESULT_BUSY, "pooler is shutting down" },
	{ "08", "server conn crashed", RESULT_CONNECT,
	  "pooler lost its connection to the server" },
	{ "08", "terminating connection", RESULT_CONNECT, killed },

	/* libpq's own messages, the more specific first: most of them contain
	 * others.  RESULT_UNKNOWN: use the system error in the message, or
	 * these words. */
	{ "-", "session is ", RESULT_MISMATCH, "server has another role" },
	{ "-", "in hot standby", RESULT_MISMATCH, "server has another role" },
	{ "-", "no password supplied", RESULT_AUTH, "no password given" },
	{ "-", "invalid response to SSL", RESULT_PROTOCOL, no_postgres },
	{ "-", "expected authentication request", RESULT_PROTOCOL,
	  no_postgres },
	{ "-", "SSL SYSCALL error: EOF", RESULT_CONNECT, closed },
	{ "-", "SSL connection has been closed", RESULT_CONNECT, closed },
	{ "-", "does not support SSL", RESULT_TLS,
	  "TLS: not supported by the server" },
	{ "-", "not match host name", RESULT_TLS, FAILURE_OTHER_HOST },
	{ "-", "certificate verify failed", RESULT_TLS,
	  "TLS: certificate is not trusted" },
	{ "-", "private key", RESULT_CONFIG, "TLS: client key cannot be used" },
	{ "-", "root certificate", RESULT_CONFIG,
	  "TLS: CA file cannot be used" },
	{ "-", "certificate file", RESULT_CONFIG,
	  "TLS: client certificate cannot be used" },
	{ "-", "SSL SYSCALL error: Connection reset", RESULT_CONNECT, closed },
	{ "-", "SSL SYSCALL error", RESULT_UNKNOWN, closed },
	{ "-", "SSL", RESULT_TLS, "TLS: handshake failed" },
	{ "-", "uthentication", RESULT_AUTH, auth },
	{ "-", "SCRAM", RESULT_AUTH, auth },
	{ "-", "channel binding", RESULT_AUTH, auth },
	{ "-", "GSSAPI", RESULT_AUTH, auth },
	{ "-", "server closed the connection", RESULT_CONNECT, closed },
	{ "-", "Connection reset", RESULT_CONNECT, closed },
	{ "-", "Broken pipe", RESULT_CONNECT, closed },
	{ "-", "no connection to the server", RESULT_CONNECT, closed },
	{ "-", "out of memory", RESULT_INTERNAL, "out of memory" },
	{ "-", "lost synchronization", RESULT_PROTOCOL, garbled },
	{ "-", "message type", RESULT_PROTOCOL, garbled },
	{ "-", "message contents", RESULT_PROTOCOL, garbled },
	{ "-", "protocol", RESULT_PROTOCOL, garbled },
	{ "-", "", RESULT_UNKNOWN, "connection failed" },
};
/* clang-format on */

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

/* what: the words for a state that is not in the table. */
static struct failure pg_words_of(const char *state, const char *message,
				  const char *what)
{
	const size_t n = sizeof(pg_phrases) / sizeof(*pg_phrases);
	const struct pg_phrase *phrase = pg_phrases;

	while (phrase < pg_phrases + n &&
	       (strncmp(state, phrase->state, strlen(phrase->state)) != 0 ||
		!strstr(message, phrase->sign)))
		phrase++;
	if (phrase == pg_phrases + n)
		return failure_make(RESULT_UPSTREAM, "%s (SQLSTATE %.*s)", what,
				    PG_STATE_LEN, state);
	if (phrase->code == RESULT_UNKNOWN)
		return failure_errno_said(message, phrase->words);
	return failure_make(phrase->code, "%s", phrase->words);
}

struct failure pg_words_connect(const char *message)
{
	const char *state = pg_last_state(message);
	struct failure failure;

	/* Of two attempts, with TLS and without, both may have been refused. */
	if (state)
		return pg_words_of(state,
				   strncmp(state, "28000", 5) ? state : message,
				   "login refused");
	failure = failure_tls(message, NULL);
	return failure.code == RESULT_UNKNOWN ? pg_words_of("-", message, "")
					      : failure;
}

struct failure pg_words_query(const char *sqlstate, const char *message)
{
	if (!message)
		message = "";
	/* A peer may send anything instead of a SQLSTATE. */
	if (sqlstate && pg_is_state(sqlstate))
		return pg_words_of(sqlstate, message, "query failed");
	/* "SSL SYSCALL error" is a connection that broke. */
	if (strstr(message, "SSL error:"))
		return failure_make(RESULT_TLS, "TLS: connection broken");
	return pg_words_connect(message);
}

void pg_words_detail(struct failure *failure, const char *message)
{
	static const char *const ends[] = { "\nLOCATION:", "\n\tIs the server",
					    "\n\tThis probably means" };
	char said[FAILURE_DETAIL_BYTES];
	const char *behind = strstr(message, " failed: ");
	char *end;
	size_t i;

	if (behind && strncmp(message, "connection to server ", 21) == 0)
		message = behind + 9;
	snprintf(said, sizeof(said), "%s", message);
	for (i = 0; i < sizeof(ends) / sizeof(*ends); i++)
		if ((end = strstr(said, ends[i])))
			*end = '\0';
	said[text_line_len(said, strlen(said))] = '\0';
	/* Not "connection refused: ...: Connection refused". */
	if (*said && strcasecmp(said, failure->words) != 0)
		failure_of_peer(failure, said);
}

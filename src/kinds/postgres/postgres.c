/*
 * postgres: sends a query to a PostgreSQL server or pooler, over libpq's
 * asynchronous interface.
 */
#include "config.h"

#include "check/check.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds/kinds.h"
#include "base/text.h"
#include "conf/dialect.h"
#include "kinds/postgres/pg_open.h"
#include "kinds/postgres/pg_words.h"

#define POSTGRES_QUERY "SELECT 1"
/* The server's limit comes after ours, whose message is clearer. */
#define POSTGRES_GRACE_MS 100

/* clang-format off */
static const struct conf_key postgres_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "url", CONF_STR, offsetof(struct postgres_settings, url),
	  NULL, NULL, "4096", CONF_URL | CONF_REQUIRED,
	  "the server: a postgresql:// URI or key=value pairs, as for libpq" },
	{ "password", CONF_STR, offsetof(struct postgres_settings, password),
	  NULL, NULL, "1024", CONF_SECRET,
	  "instead of a password in url" },
	{ "query", CONF_STR, offsetof(struct postgres_settings, query),
	  POSTGRES_QUERY, "1", "4096", 0,
	  "the question; it has to succeed" },
	{ "expect", CONF_STR, offsetof(struct postgres_settings, expect),
	  NULL, NULL, "1024", 0,
	  "what the first column of the first row must be (empty: anything)" },
	CONF_END
};
/* clang-format on */

/* ---- settings ---- */

static void postgres_prepare(struct conf *conf, struct conf_section *section,
			     void *record)
{
	struct postgres_settings *settings = record;
	char reason[PG_REASON_BYTES];
	const char *url;

	pg_environment();
	pg_open_prepare();
	if (!settings->url[0])
		return;
	url = dialect_read(conf, section, "url", settings->url,
			   dialect_postgres, pg_is_known);
	if (!url)
		return;
	settings->plan = pg_plan_create(url, settings->password, reason);
	if (!settings->plan) {
		conf_mistake(conf, section, "url", "%s", reason);
		return;
	}
	/* The console of PgBouncer knows no SET LOCAL. */
	settings->limited = strcmp(settings->query, POSTGRES_QUERY) != 0 &&
			    strcmp(pg_plan_value(settings->plan, "dbname"),
				   "pgbouncer");
}

static void postgres_dispose(void *record)
{
	struct postgres_settings *settings = record;

	pg_plan_destroy(settings->plan);
	settings->plan = NULL;
}

static bool postgres_secrets_differ(const void *before, const void *now)
{
	const struct postgres_settings *old = before, *new = now;

	return memcmp(old->plan->passwords, new->plan->passwords,
		      sizeof(old->plan->passwords)) != 0;
}

/* ---- asking ---- */

/* The connection broke; what the server said before comes first. */
static void postgres_broke(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const char *message = PQerrorMessage(postgres->pg);
	struct failure failure = postgres->verdict;

	if (postgres->tap.refused) {
		failure = failure_make(RESULT_PROTOCOL, "%s",
				       postgres->tap.refused);
	} else if (failure.code == RESULT_UNKNOWN) {
		failure = pg_words_connect(message);
		pg_open_detail(&failure, postgres->pg, message);
	}
	conn_failed_as(conn, &failure);
}

/* Calls PQflush() or PQconsumeInput(); PQflush() reads too, when the socket
 * accepts no more data. */
static int postgres_call(struct postgres *postgres, int (*call)(PGconn *pg))
{
	int result;

	pg_tap_enter(&postgres->tap, postgres->pg);
	result = call(postgres->pg);
	pg_tap_leave();
	return result;
}

/* Waits for the answer, and until the rest of the query can be sent. */
static void postgres_wait(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	int left = postgres_call(postgres, PQflush);

	if (left < 0)
		postgres_broke(conn);
	else
		conn_watch(conn, PQsocket(postgres->pg),
			   left ? POLLIN | POLLOUT : POLLIN);
}

/*
 * Sends the query, and before it what tells the role of the server.  The role
 * is asked for each time: a standby that is promoted keeps its connections,
 * before version 14 it reports no change, and a pooler may repeat what was true
 * before or turn to another server.
 *
 * The server cancels the user's query when we no longer wait for it; libpq's
 * cancel request would block.
 */
static void postgres_ask(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const struct postgres_settings *settings = conn_settings(conn);
	char limit[64] = "", *text;
	int sent = 0;

	postgres->tap.bytes = 0;
	postgres->heard = postgres->answered = postgres->matched = false;
	postgres->role_lost = false;
	postgres->wants_role = *postgres->role->wanted;
	if (settings->limited)
		snprintf(limit, sizeof(limit),
			 "SET LOCAL statement_timeout = %lld; ",
			 (long long)conn_left_ms(conn) + POSTGRES_GRACE_MS);
	if (asprintf(&text, "%s%s%s", limit, postgres->role->question,
		     settings->query) >= 0) {
		pg_tap_enter(&postgres->tap, postgres->pg);
		sent = PQsendQuery(postgres->pg, text);
		pg_tap_leave();
		free(text);
	}
	if (!sent) {
		postgres_broke(conn);
		return;
	}
	/* A flood of rows is seen row by row, not gathered. */
	PQsetSingleRowMode(postgres->pg);
	postgres_wait(conn);
}

static void postgres_judge_row(struct conn *conn, const PGresult *result)
{
	const struct postgres_settings *settings = conn_settings(conn);
	struct postgres *postgres = conn_state(conn);
	char shown[200], wanted[200];
	const char *value;

	if (postgres->answered || !PQntuples(result) || !PQnfields(result))
		return;
	value = PQgetvalue(result, 0, 0);
	if (postgres->wants_role) {
		postgres->wants_role = false;
		postgres->role_lost = strcmp(value, postgres->role->wanted);
		return;
	}
	postgres->answered = true;
	postgres->matched = !PQgetisnull(result, 0, 0) &&
			    strcmp(value, settings->expect) == 0;
	if (postgres->matched || !settings->expect[0])
		return;
	/* Masks them before they are cut. */
	text_show_ends(shown, sizeof(shown), value);
	text_show_ends(wanted, sizeof(wanted), settings->expect);
	if (postgres->verdict.code == RESULT_UNKNOWN)
		snprintf(postgres->verdict.detail,
			 sizeof(postgres->verdict.detail),
			 "the value is `%s`, expected `%s`", shown, wanted);
}

/* false: neither the result nor the connection can be used. */
static bool postgres_judge(struct conn *conn, const PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_SINGLE_TUPLE || status == PGRES_TUPLES_OK)
		postgres_judge_row(conn, result);
	else if (status == PGRES_FATAL_ERROR)
		pg_open_heard(conn_state(conn), result);
	else /* COPY would have to be served */
		return status == PGRES_COMMAND_OK ||
		       status == PGRES_EMPTY_QUERY;
	return true;
}

/* The server is ready for the next question. */
static void postgres_answered(struct conn *conn)
{
	const struct postgres_settings *settings = conn_settings(conn);
	struct postgres *postgres = conn_state(conn);
	struct failure verdict = postgres->verdict;

	if (PQstatus(postgres->pg) == CONNECTION_BAD) {
		postgres_broke(conn);
		return;
	}
	postgres->verdict = (struct failure){ .code = RESULT_UNKNOWN };
	conn_detail(conn, verdict.detail);
	/* The server is ready without an answer to this question. */
	if (!postgres->heard)
		conn_failed(conn, RESULT_PROTOCOL, "query got no answer");
	/* Fail, so that a server of the list that has the role is found. */
	else if (postgres->role_lost ||
		 (postgres->wants_role && verdict.code == RESULT_UNKNOWN))
		conn_failed(conn, RESULT_MISMATCH, "%s", postgres->role->words);
	else if (PQtransactionStatus(postgres->pg) != PQTRANS_IDLE)
		conn_failed(conn, RESULT_CONFIG,
			    "query leaves a transaction open");
	else if (verdict.code != RESULT_UNKNOWN)
		conn_answered(conn, verdict.code, "%s", verdict.words);
	else if (!settings->expect[0] || postgres->matched)
		conn_answered(conn, RESULT_OK, "%s", "");
	else
		conn_answered(conn, RESULT_MISMATCH, "%s",
			      postgres->answered ? "query gave another value"
						 : "query gave no row");
}

/* Reads what has arrived; true: the run has ended. */
static bool postgres_collect(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	PGresult *result;
	bool good;

	while (!PQisBusy(postgres->pg)) {
		result = PQgetResult(postgres->pg);
		if (!result) {
			conn_watch(conn, PQsocket(postgres->pg), POLLIN);
			postgres_answered(conn);
			return true;
		}
		postgres->heard = true;
		good = postgres_judge(conn, result);
		PQclear(result);
		if (!good) {
			conn_failed(conn, RESULT_CONFIG,
				    "query must not be a COPY");
			return true;
		}
	}
	return false;
}

static void postgres_on_io(struct conn *conn, short revents)
{
	struct postgres *postgres = conn_state(conn);
	/* A TLS record may hold more than libpq reads at once, and poll(2)
	 * does not see what OpenSSL keeps: 16 KiB against 8 KiB. */
	int reads = PQsslInUse(postgres->pg) ? 3 : 1;

	(void)revents;
	while (reads--) {
		if (!postgres_call(postgres, PQconsumeInput)) {
			postgres_broke(conn);
			return;
		}
		if (postgres_collect(conn))
			return;
	}
	postgres_wait(conn);
}

/* Notices, notifications and changed parameters are ignored. */
static void postgres_on_idle(struct conn *conn, short revents)
{
	struct postgres *postgres = conn_state(conn);
	PGnotify *notify;
	int good = postgres_call(postgres, PQconsumeInput);

	(void)revents;
	while (good && (notify = PQnotifies(postgres->pg)))
		PQfreemem(notify);
	if (!good || postgres->verdict.code != RESULT_UNKNOWN)
		postgres_broke(conn);
}

static const char *postgres_step(const struct conn *conn)
{
	const struct postgres *postgres = conn_state(conn);

	return postgres->pg ? "waiting for the answer" : pg_open_step(postgres);
}

const struct check_kind check_postgres = {
	.name = "postgres",
	.timeout = "2s",
	.help = "a PostgreSQL server, or a pooler before it, answers a query",
	.keys = postgres_keys,
	.settings_size = sizeof(struct postgres_settings),
	.conn_size = sizeof(struct postgres),
	.prepare = postgres_prepare,
	.secrets_differ = postgres_secrets_differ,
	.dispose = postgres_dispose,
	.open = pg_open_begin,
	.ask = postgres_ask,
	.on_io = postgres_on_io,
	.on_idle = postgres_on_idle,
	.close = pg_open_drop,
	.step = postgres_step,
};

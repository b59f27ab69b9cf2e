#include "config.h"

#include "pg_open.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "clock.h"
#include "pg_tls.h"

static struct pg_plan *pg_open_plan(const struct conn *conn)
{
	const struct postgres_settings *settings = conn_settings(conn);

	return settings->plan;
}

/* ---- where to ---- */

static void pg_open_advance(struct conn *conn);

const char *pg_open_attrs(struct conn *conn)
{
	const struct postgres *postgres = conn_state(conn);

	return postgres->second_pass ? "any" : pg_open_plan(conn)->attrs;
}

/* Keeps the failure that tells most: a server that said something counts more
 * than one that was not reached, else the first one. */
static void pg_open_note(struct conn *conn, struct pg_failure failure,
			 const char *message)
{
	struct postgres *postgres = conn_state(conn);

	if (failure.code == RESULT_MISMATCH)
		failure = pg_words_role(pg_open_attrs(conn));
	if (postgres->failure.code != RESULT_UNKNOWN &&
	    (pg_words_reached(postgres->failure.code) ||
	     !pg_words_reached(failure.code)))
		return;
	postgres->failure = failure;
	snprintf(postgres->detail, sizeof(postgres->detail), "%.*s",
		 (int)pg_words_detail_len(message), message);
}

static void pg_open_give_up(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	conn_detail(conn, postgres->detail);
	conn_failed(conn, postgres->failure.code, "%s",
		    postgres->failure.words);
}

void pg_open_drop(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	loop_timer_clear(conn_env(conn)->loop, &postgres->patience);
	resolve_cancel(conn_env(conn)->resolver, &postgres->query);
	conn_watch(conn, -1, 0);
	pg_tls_release(postgres->tls);
	PQfinish(postgres->pg); /* never waits, in whatever state */
	postgres->tls = NULL;
	postgres->pg = NULL;
	postgres->resolving = false;
}

/* The present attempt failed: the next one, unless its answer was final. */
static void pg_open_next(struct conn *conn, struct pg_failure failure,
			 const char *message)
{
	struct postgres *postgres = conn_state(conn);

	pg_open_note(conn, failure, message);
	pg_open_drop(conn);
	if (postgres->found.n)
		postgres->address++;
	if (pg_words_try_next(failure.code))
		pg_open_advance(conn);
	else
		pg_open_give_up(conn);
}

static void pg_open_on_patience(void *arg)
{
	static const struct pg_failure silent = { RESULT_TIMEOUT,
						  "no answer in time" };
	struct conn *conn = arg;

	pg_open_next(conn, silent, "");
}

/* Divides what is left of the time among the addresses that are left; the
 * last one may use it up, the deadline is the check's. */
static void pg_open_be_patient(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const struct pg_plan *plan = pg_open_plan(conn);
	int64_t now_ms = clock_ms();
	int64_t left_ms = conn_deadline_ms(conn) - now_ms;
	int64_t left = (int64_t)(plan->n - postgres->begun);

	left += postgres->resolving
			? 1
			: (int64_t)(postgres->found.n - postgres->address);
	if (plan->prefer && !postgres->second_pass)
		left += (int64_t)plan->n;
	if (left < 2)
		return;
	postgres->patience.on_time = pg_open_on_patience;
	postgres->patience.arg = conn;
	loop_timer_set(conn_env(conn)->loop, &postgres->patience,
		       now_ms + left_ms / left);
}

/* Turns to the next host; the one that answered last comes first. */
static bool pg_open_next_target(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const struct pg_plan *plan = pg_open_plan(conn);

	if (postgres->begun == plan->n) {
		if (!plan->prefer || postgres->second_pass)
			return false;
		postgres->second_pass = true;
		postgres->begun = 0;
	}
	postgres->target = (plan->first + postgres->begun++) % plan->n;
	postgres->address = 0;
	postgres->found.n = 0;
	return true;
}

static void pg_open_on_found(void *arg, const struct resolve_answer *answer)
{
	struct conn *conn = arg;
	struct postgres *postgres = conn_state(conn);
	struct pg_failure failure = { .code = answer->code };

	postgres->resolving = false;
	loop_timer_clear(conn_env(conn)->loop, &postgres->patience);
	if (answer->code == RESULT_OK) {
		postgres->found = *answer;
		pg_open_advance(conn);
		return;
	}
	snprintf(failure.words, sizeof(failure.words), "%s", answer->words);
	pg_open_next(conn, failure, "");
}

/* Finds the addresses of the present host; false: later. */
static bool pg_open_resolve(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const struct pg_target *target =
		&pg_open_plan(conn)->targets[postgres->target];
	struct resolver *resolver = conn_env(conn)->resolver;
	const struct resolve_answer *answer;

	if (target->hostaddr || pg_target_is_socket(target)) {
		postgres->found.n = 1;
		return true;
	}
	answer = resolve_cached(resolver, target->host);
	if (answer && answer->code == RESULT_OK) {
		postgres->found = *answer;
		return true;
	}
	postgres->resolving = true;
	pg_open_be_patient(conn);
	postgres->query.on_done = pg_open_on_found;
	postgres->query.arg = conn;
	resolve_start(resolver, &postgres->query, target->host);
	return false;
}

/* ---- one address ---- */

/* While idle, an error that ends the connection comes as a notice. */
static void pg_open_on_notice(void *arg, const PGresult *notice)
{
	struct postgres *postgres = arg;
	const char *severity = PQresultErrorField(
		notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (severity &&
	    (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		postgres->verdict = pg_words_query(
			PQresultErrorField(notice, PG_DIAG_SQLSTATE),
			PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY));
}

static const char *pg_open_hostaddr(struct conn *conn, char *text, size_t size)
{
	const struct postgres *postgres = conn_state(conn);
	const struct pg_target *target =
		&pg_open_plan(conn)->targets[postgres->target];
	const struct resolve_addr *addr =
		&postgres->found.addrs[postgres->address];

	if (target->hostaddr || pg_target_is_socket(target))
		return target->hostaddr;
	if (addr->sa.sa_family == AF_INET6 && addr->in6.sin6_scope_id)
		snprintf(text, size, "%s%%%u", addr->text,
			 (unsigned)addr->in6.sin6_scope_id);
	else
		snprintf(text, size, "%s", addr->text);
	return text;
}

static PGconn *pg_open_start(struct conn *conn)
{
	const struct postgres *postgres = conn_state(conn);
	const struct pg_plan *plan = pg_open_plan(conn);
	const struct pg_target *target = &plan->targets[postgres->target];
	const char *keywords[PG_PARAMS_MAX], *values[PG_PARAMS_MAX];
	char hostaddr[INET6_ADDRSTRLEN + 16];
	size_t n = plan->n_params;

	memcpy(keywords, plan->keywords, n * sizeof(*keywords));
	memcpy(values, plan->values, n * sizeof(*values));
	/* libpq takes a value of NULL as not given. */
	keywords[n] = "host"; /* for verification and the password file */
	values[n++] = target->host;
	keywords[n] = "hostaddr";
	values[n++] = pg_open_hostaddr(conn, hostaddr, sizeof(hostaddr));
	keywords[n] = "port";
	values[n++] = target->port;
	keywords[n] = "target_session_attrs";
	values[n++] = pg_open_attrs(conn);
	keywords[n] = NULL;
	return PQconnectStartParams(keywords, values, 0);
}

/* Dials the present address; false: it failed at once. */
static bool pg_open_dial(struct conn *conn)
{
	static const struct pg_failure memory = { RESULT_INTERNAL,
						  "out of memory" };
	struct postgres *postgres = conn_state(conn);
	const char *message;

	postgres->bytes = 0;
	postgres->pg = pg_open_start(conn);
	if (postgres->pg && PQstatus(postgres->pg) != CONNECTION_BAD) {
		/* Must be set before something fails. */
		PQsetErrorVerbosity(postgres->pg, PQERRORS_VERBOSE);
		PQsetNoticeReceiver(postgres->pg, pg_open_on_notice, postgres);
		conn_watch(conn, PQsocket(postgres->pg), POLLOUT);
		pg_open_be_patient(conn);
		return true;
	}
	message = PQerrorMessage(postgres->pg);
	pg_open_note(conn, postgres->pg ? pg_words_connect(message) : memory,
		     message);
	pg_open_drop(conn);
	postgres->address++;
	return false;
}

/* Goes on to what can be tried next, until something has to be waited for or
 * there is nothing left. */
static void pg_open_advance(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	for (;;) {
		if (postgres->address < postgres->found.n) {
			if (pg_open_dial(conn))
				return;
		} else if (!pg_open_next_target(conn)) {
			pg_open_give_up(conn);
			return;
		} else if (!pg_open_resolve(conn)) {
			return;
		}
	}
}

void pg_open_begin(struct conn *conn)
{
	pg_open_advance(conn);
}

static void pg_open_done(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	struct pg_plan *plan = pg_open_plan(conn);
	const struct pg_target *target = &plan->targets[postgres->target];

	plan->first = postgres->target;
	if (!target->hostaddr && !pg_target_is_socket(target))
		resolve_prefer(conn_env(conn)->resolver, target->host,
			       &postgres->found.addrs[postgres->address].sa);
	loop_timer_clear(conn_env(conn)->loop, &postgres->patience);
	pg_tls_release(postgres->tls);
	postgres->tls = NULL;
	postgres->ready = true;
	PQsetnonblocking(postgres->pg, 1);
	conn_watch(conn, PQsocket(postgres->pg), POLLIN);
	conn_ready(conn);
}

static void pg_open_failed(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const char *message = PQerrorMessage(postgres->pg);
	struct pg_failure failure = pg_words_connect(message);
	char kept[PG_DETAIL_BYTES];
	const char *reason;

	if (postgres->tls && strstr(message, "certificate verify failed")) {
		reason = pg_tls_reason(postgres->tls);
		if (reason)
			snprintf(failure.words, sizeof(failure.words),
				 "TLS: %s", reason);
	}
	/* The message ends with the connection. */
	snprintf(kept, sizeof(kept), "%s", message);
	pg_open_next(conn, failure, kept);
}

void pg_open_step(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	PostgresPollingStatusType state = PQconnectPoll(postgres->pg);
	void *ssl;

	/* With sslmode=prefer there may be a second attempt, without TLS. */
	ssl = postgres->tls ? NULL : PQsslStruct(postgres->pg, "OpenSSL");
	if (ssl)
		postgres->tls = pg_tls_hold(ssl);
	switch (state) {
	case PGRES_POLLING_READING:
		conn_watch(conn, PQsocket(postgres->pg), POLLIN);
		break;
	case PGRES_POLLING_WRITING:
		conn_watch(conn, PQsocket(postgres->pg), POLLOUT);
		break;
	case PGRES_POLLING_OK:
		pg_open_done(conn);
		break;
	default:
		pg_open_failed(conn);
		break;
	}
}

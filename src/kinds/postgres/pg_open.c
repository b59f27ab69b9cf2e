#include "config.h"

#include "kinds/postgres/pg_open.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "check/check.h"
#include "kinds/postgres/pg_tls.h"
#include "io/stream.h"
#include "io/wire.h"
#include "base/text.h"

/* A login with a chain of certificates is far below this. */
#define PG_MAX_BYTES (128 * 1024)

/* Within one call libpq reads on for as long as the peer keeps up: 100 MB in
 * 0.7 s with a buffer of 64 KiB, but 30 KB with this one.  The price: an
 * answer above 30 KB may wait for TCP's persist timer, 0.2 s. */
#define PG_RECEIVE_BYTES (16 * 1024)

static void pg_open_advance(struct conn *conn);

static struct pg_plan *pg_open_plan(const struct conn *conn)
{
	const struct postgres_settings *settings = conn_settings(conn);

	return settings->plan;
}

bool pg_overfed(PGconn *pg, int64_t *bytes)
{
	int waiting = 0;

	if (ioctl(PQsocket(pg), FIONREAD, &waiting) == 0)
		*bytes += waiting;
	return *bytes > PG_MAX_BYTES;
}

/* ---- what went wrong ---- */

/* Keeps the failure that tells most: a server that said something counts more
 * than one that was not reached, else the first one. */
static void pg_open_note(struct postgres *postgres,
			 const struct failure *failure)
{
	if (postgres->failure.code != RESULT_UNKNOWN &&
	    (pg_words_reached(postgres->failure.code) ||
	     !pg_words_reached(failure->code)))
		return;
	postgres->failure = *failure;
}

/* What libpq said names the server; what is known already comes after it. */
static void pg_open_detail(struct failure *failure, const char *message)
{
	char said[FAILURE_DETAIL_BYTES];

	snprintf(said, sizeof(said), "%.*s", (int)pg_words_detail_len(message),
		 message);
	failure_of_peer(failure, said);
}

static void pg_open_give_up(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	conn_failed_as(conn, &postgres->failure);
}

/* Something failed and was noted: the next, unless the answer was final. */
static void pg_open_next(struct conn *conn, enum result_code code)
{
	struct postgres *postgres = conn_state(conn);

	if (!pg_words_try_next(code))
		pg_open_give_up(conn);
	else if (!postgres->resolving)
		pg_open_advance(conn);
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

static bool pg_open_is_resolved(const struct pg_target *target)
{
	return !target->hostaddr && !pg_target_is_socket(target);
}

/* A path that libpq would connect to by itself, and wait for. */
static bool pg_open_is_path(const struct pg_target *target)
{
	return pg_target_is_socket(target) && target->host &&
	       target->host[0] == '/';
}

static PGconn *pg_open_connect(const struct pg_plan *plan,
			       const struct pg_attempt *attempt,
			       const char *hostaddr)
{
	const struct pg_target *target = &plan->targets[attempt->target];
	const char *keywords[PG_PARAMS_MAX], *values[PG_PARAMS_MAX];
	char name[256]; /* no host name is longer */
	size_t n = plan->n_params;

	memcpy(keywords, plan->keywords, n * sizeof(*keywords));
	memcpy(values, plan->values, n * sizeof(*values));
	/* libpq takes a value of NULL as not given. */
	keywords[n] = "host"; /* for verification and the password file */
	values[n++] = target->host;
	if (target->host && !pg_target_is_socket(target)) {
		snprintf(name, sizeof(name), "%.*s",
			 (int)text_undotted(target->host), target->host);
		values[n - 1] = name;
	}
	keywords[n] = "hostaddr";
	values[n++] = hostaddr;
	keywords[n] = "port";
	values[n++] = target->port;
	keywords[n] = "target_session_attrs";
	values[n++] = attempt->attrs;
	keywords[n] = NULL;
	return PQconnectStartParams(keywords, values, 0);
}

static void pg_open_end(struct pg_attempt *attempt)
{
	if (!attempt->pg)
		return;
	loop_watch_clear(conn_env(attempt->conn)->loop, &attempt->watch);
	PQfinish(attempt->pg); /* never waits, in whatever state */
	attempt->pg = NULL;
}

void pg_open_drop(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	size_t i;

	loop_timer_clear(conn_env(conn)->loop, &postgres->patience);
	resolve_cancel(conn_env(conn)->resolver, &postgres->query);
	postgres->resolving = false;
	stream_close(postgres->reached);
	postgres->reached = NULL;
	for (i = 0; i < PG_ATTEMPTS_MAX; i++)
		pg_open_end(&postgres->attempts[i]);
	conn_watch(conn, -1, 0);
	PQfinish(postgres->pg);
	postgres->pg = NULL;
}

static void pg_open_succeeded(struct pg_attempt *attempt)
{
	struct conn *conn = attempt->conn;
	struct postgres *postgres = conn_state(conn);
	struct pg_plan *plan = pg_open_plan(conn);
	const struct pg_target *target = &plan->targets[attempt->target];
	PGconn *pg = attempt->pg;

	plan->first = attempt->target;
	if (pg_open_is_resolved(target))
		resolve_prefer(conn_env(conn)->resolver, target->host,
			       (const struct sockaddr *)&attempt->addr);
	loop_watch_clear(conn_env(conn)->loop, &attempt->watch);
	attempt->pg = NULL;
	postgres->tap = attempt->tap;
	pg_open_drop(conn);
	postgres->pg = pg;
	postgres->attrs = attempt->attrs;
	conn_watch(conn, PQsocket(pg), POLLIN);
	conn_ready(conn);
}

static void pg_open_failed(struct pg_attempt *attempt)
{
	struct conn *conn = attempt->conn;
	const char *message = PQerrorMessage(attempt->pg);
	struct failure failure = pg_words_connect(message);
	const struct failure *reason = pg_tls_reason();

	if (reason->code != RESULT_UNKNOWN &&
	    strstr(message, "certificate verify failed"))
		failure = *reason;
	if (failure.code == RESULT_MISMATCH)
		failure = pg_words_role(attempt->attrs);
	if (attempt->tap.refused)
		failure = *attempt->tap.refused;
	pg_open_detail(&failure, message);
	pg_open_note(conn_state(conn), &failure);
	pg_open_end(attempt);
	pg_open_next(conn, failure.code);
}

static void pg_open_watch(struct pg_attempt *attempt, short events)
{
	static const int room = PG_RECEIVE_BYTES;

	setsockopt(PQsocket(attempt->pg), SOL_SOCKET, SO_RCVBUF, &room,
		   sizeof(room));
	/* Without memory for the watch, the deadline ends the attempt. */
	if (loop_watch_set(conn_env(attempt->conn)->loop, &attempt->watch,
			   PQsocket(attempt->pg), events))
		conn_detail(attempt->conn, "out of memory");
}

static void pg_open_on_io(void *arg, short revents)
{
	static const struct failure too_long = { .code = RESULT_PROTOCOL,
						 .words = "answer too long" };
	struct pg_attempt *attempt = arg;
	PostgresPollingStatusType state;

	(void)revents;
	if (pg_overfed(attempt->pg, &attempt->bytes)) {
		pg_open_note(conn_state(attempt->conn), &too_long);
		pg_open_end(attempt);
		pg_open_next(attempt->conn, too_long.code);
		return;
	}
	pg_tls_forget();
	pg_tap_enter(&attempt->tap, attempt->pg);
	state = PQconnectPoll(attempt->pg);
	pg_tap_leave();
	switch (state) {
	case PGRES_POLLING_READING: /* the socket may be another one now */
		pg_open_watch(attempt, POLLIN);
		break;
	case PGRES_POLLING_WRITING:
		pg_open_watch(attempt, POLLOUT);
		break;
	case PGRES_POLLING_OK:
		pg_open_succeeded(attempt);
		break;
	default:
		pg_open_failed(attempt);
		break;
	}
}

/* The numeric address for libpq; NULL for a socket. */
static const char *pg_open_hostaddr(const struct pg_target *target,
				    const struct resolve_addr *addr, char *text,
				    size_t size)
{
	if (!pg_open_is_resolved(target))
		return target->hostaddr;
	if (addr->sa.sa_family == AF_INET6 && addr->in6.sin6_scope_id)
		snprintf(text, size, "%s%%%u", addr->text,
			 (unsigned)addr->in6.sin6_scope_id);
	else
		snprintf(text, size, "%s", addr->text);
	return text;
}

/* Dials the next address; false: it failed at once. */
static bool pg_open_dial(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const struct pg_plan *plan = pg_open_plan(conn);
	struct pg_attempt *attempt =
		&postgres->attempts[postgres->attempted++ % PG_ATTEMPTS_MAX];
	const struct resolve_addr *addr =
		&postgres->found.addrs[postgres->address++];
	char text[INET6_ADDRSTRLEN + 16];
	struct failure failure;
	int fd;

	pg_open_end(attempt);
	memset(attempt, 0, sizeof(*attempt));
	attempt->conn = conn;
	attempt->watch.on_io = pg_open_on_io;
	attempt->watch.arg = attempt;
	attempt->target = postgres->target;
	memcpy(&attempt->addr, &addr->sa, addr->len);
	attempt->attrs = postgres->second_pass ? "any" : plan->attrs;
	fd = postgres->reached ? stream_release(postgres->reached) : -1;
	postgres->reached = NULL;
	wire_offer(fd);
	attempt->pg = pg_open_connect(
		plan, attempt,
		pg_open_hostaddr(&plan->targets[attempt->target], addr, text,
				 sizeof(text)));
	wire_offer(-1);
	if (attempt->pg && PQstatus(attempt->pg) != CONNECTION_BAD) {
		/* Otherwise libpq waits for room to send until the login is
		 * over; with it, a peer that reads nothing has failed. */
		PQsetnonblocking(attempt->pg, 1);
		/* Must be set before something fails. */
		PQsetErrorVerbosity(attempt->pg, PQERRORS_VERBOSE);
		PQsetNoticeReceiver(attempt->pg, pg_open_on_notice, postgres);
		pg_open_watch(attempt, POLLOUT);
		return true;
	}
	failure = attempt->pg ? pg_words_connect(PQerrorMessage(attempt->pg))
			      : failure_errno(ENOMEM);
	pg_open_detail(&failure, PQerrorMessage(attempt->pg));
	pg_open_note(postgres, &failure);
	pg_open_end(attempt);
	return false;
}

/* ---- where to ---- */

static void pg_open_unreach(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	if (!postgres->reached)
		return;
	conn_watch(conn, -1, 0);
	stream_close(postgres->reached);
	postgres->reached = NULL;
}

static void pg_open_on_patience(void *arg)
{
	static const struct failure silent = { .code = RESULT_TIMEOUT,
					       .words = "no answer in time" };
	struct conn *conn = arg;
	struct postgres *postgres = conn_state(conn);

	/* Attempts go on; a name is not looked up beside others. */
	if (postgres->resolving) {
		pg_open_note(postgres, &silent);
		resolve_cancel(conn_env(conn)->resolver, &postgres->query);
		pg_open_unreach(conn);
		postgres->resolving = false;
	}
	pg_open_advance(conn);
}

/* Divides what is left of the time among what was just begun and all that
 * could still be; the last may use it up: the deadline is the check's. */
static void pg_open_be_patient(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const struct pg_plan *plan = pg_open_plan(conn);
	struct loop *loop = conn_env(conn)->loop;
	size_t left = plan->n - postgres->begun;

	left += postgres->found.n - postgres->address;
	if (plan->prefer && !postgres->second_pass)
		left += plan->n;
	loop_timer_clear(loop, &postgres->patience);
	if (left == 0)
		return;
	postgres->patience.on_time = pg_open_on_patience;
	postgres->patience.arg = conn;
	loop_timer_in(loop, &postgres->patience,
		      conn_left_ms(conn) / (int64_t)(left + 1));
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
	struct failure failure;

	postgres->resolving = false;
	if (answer->code == RESULT_OK) {
		postgres->found = *answer;
		pg_open_advance(conn);
		return;
	}
	failure = failure_make(answer->code, "%s", answer->words);
	failure_of_peer(&failure,
			pg_open_plan(conn)->targets[postgres->target].host);
	pg_open_note(postgres, &failure);
	pg_open_next(conn, failure.code);
}

static void pg_open_note_stream(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	pg_open_note(postgres, stream_failure(postgres->reached));
	postgres->resolving = false;
	pg_open_unreach(conn);
}

/* Connects to the socket; what comes of it, pg_open_on_reached() sees.  true:
 * it failed at once. */
static bool pg_open_reach(struct conn *conn, const struct pg_target *target)
{
	struct postgres *postgres = conn_state(conn);
	char path[PATH_MAX];
	const struct stream_target to = { .unix_path = path,
					  .offload = conn_env(conn)->offload };

	snprintf(path, sizeof(path), "%s/.s.PGSQL.%s", target->host,
		 target->port);
	postgres->resolving = true;
	postgres->reached = stream_open(&to);
	/* Without memory, the deadline ends it. */
	if (!postgres->reached)
		return false;
	if (stream_failure(postgres->reached)->code == RESULT_UNKNOWN) {
		conn_watch(conn, stream_fd(postgres->reached), POLLIN);
		return false;
	}
	pg_open_note_stream(conn);
	return true;
}

void pg_open_on_reached(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	enum result_code code;

	switch (stream_advance(postgres->reached)) {
	case STREAM_PENDING:
		break;
	case STREAM_DONE:
		conn_watch(conn, -1, 0);
		postgres->resolving = false;
		postgres->found.n = 1;
		pg_open_advance(conn);
		break;
	default:
		code = stream_failure(postgres->reached)->code;
		pg_open_note_stream(conn);
		pg_open_next(conn, code);
	}
}

/* Finds the addresses of the present host; false: later. */
static bool pg_open_resolve(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	const struct pg_target *target =
		&pg_open_plan(conn)->targets[postgres->target];
	struct resolver *resolver = conn_env(conn)->resolver;
	const struct resolve_answer *answer;

	if (pg_open_is_path(target))
		return pg_open_reach(conn, target);
	if (!pg_open_is_resolved(target)) {
		postgres->found.n = 1;
		return true;
	}
	answer = resolve_cached(resolver, target->host);
	if (answer && answer->code == RESULT_OK) {
		postgres->found = *answer;
		return true;
	}
	postgres->resolving = true;
	postgres->query.on_done = pg_open_on_found;
	postgres->query.arg = conn;
	resolve_start(resolver, &postgres->query, target->host);
	return false;
}

static bool pg_open_is_trying(const struct postgres *postgres)
{
	size_t i;

	for (i = 0; i < PG_ATTEMPTS_MAX; i++)
		if (postgres->attempts[i].pg)
			return true;
	return false;
}

/* Begins what can be tried next, until something has to be waited for or there
 * is nothing left. */
static void pg_open_advance(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	for (;;) {
		if (postgres->address < postgres->found.n) {
			if (pg_open_dial(conn))
				break;
		} else if (!pg_open_next_target(conn)) {
			if (!pg_open_is_trying(postgres)) {
				pg_open_give_up(conn);
				return;
			}
			break;
		} else if (!pg_open_resolve(conn)) {
			break;
		}
	}
	pg_open_be_patient(conn);
}

void pg_open_begin(struct conn *conn)
{
	pg_open_advance(conn);
}

const char *pg_open_step(const struct postgres *postgres)
{
	PGconn *pg = NULL;
	size_t i;

	/* Before the first round of the ring all later places are empty. */
	for (i = 0; i < PG_ATTEMPTS_MAX && !pg; i++)
		pg = postgres->attempts[(postgres->attempted + i) %
					PG_ATTEMPTS_MAX]
			     .pg;
	if (postgres->reached)
		return "connecting";
	if (!pg)
		return "resolving the host name";
	switch (PQstatus(pg)) {
	case CONNECTION_NEEDED:
	case CONNECTION_STARTED:
		return "connecting";
	case CONNECTION_SSL_STARTUP:
		/* Begins with asking whether the server speaks TLS at all. */
		return PQsslInUse(pg) ? "in the TLS handshake" : "logging in";
	case CONNECTION_CHECK_WRITABLE:
	case CONNECTION_CHECK_TARGET:
	case CONNECTION_CHECK_STANDBY:
		return "asking for the role of the server";
	default:
		return "logging in";
	}
}

#include "config.h"

#include "kinds/postgres/pg_open.h"

#include <openssl/ssl.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "check/check.h"
#include "kinds/postgres/pg_words.h"
#include "io/stream.h"
#include "io/wire.h"
#include "base/text.h"

/* Within one call libpq reads on for as long as the peer keeps up: 100 MB in
 * 0.7 s with a buffer of 64 KiB, but 30 KB with this one.  The price: an
 * answer above 30 KB may wait for TCP's persist timer, 0.2 s. */
#define PG_RECEIVE_BYTES (16 * 1024)

/* For the name of a host, its address and its port. */
#define PG_PEER_BYTES 350

static void pg_open_advance(struct postgres *postgres);

static struct pg_plan *pg_open_plan(const struct postgres *postgres)
{
	const struct postgres_settings *settings = conn_settings(
		postgres->conn);

	return settings->plan;
}

/* A path that libpq would connect to by itself, and wait for. */
static bool pg_open_is_path(const struct pg_target *target)
{
	return pg_target_is_socket(target) && target->host &&
	       target->host[0] == '/';
}

/* The current host. */
static const struct pg_target *pg_open_target(const struct postgres *postgres)
{
	return &pg_open_plan(postgres)->targets[postgres->target];
}

/* The attempts under way, the oldest at 0; NULL: none at this place.  Before
 * the first round of the ring all later places are empty. */
static PGconn *pg_open_at(const struct postgres *postgres, size_t i)
{
	i += postgres->attempted;
	return postgres->attempts[i % PG_ATTEMPTS_MAX].pg;
}

static PGconn *pg_open_oldest(const struct postgres *postgres)
{
	PGconn *pg = NULL;
	size_t i;

	for (i = 0; i < PG_ATTEMPTS_MAX && !pg; i++)
		pg = pg_open_at(postgres, i);
	return pg;
}

/* ---- what went wrong ---- */

/*
 * Why a certificate was not accepted: libpq reports "certificate verify
 * failed" without the reason, and by the time we see the failure it has freed
 * the SSL object that knew, often one that was made in the same call.  OpenSSL
 * lets us look at each SSL object when it is freed.
 */
static _Thread_local struct failure pg_open_handshake;

static void pg_open_on_free(void *ssl, void *data, CRYPTO_EX_DATA *all,
			    int index, long number, void *pointer)
{
	(void)data, (void)all, (void)index, (void)number, (void)pointer;
	pg_open_handshake = failure_handshake(ssl);
}

void pg_open_prepare(void)
{
	static bool listening;

	/* If this fails for lack of memory, only the reason is missing. */
	if (!listening)
		listening = SSL_get_ex_new_index(0, NULL, NULL, NULL,
						 pg_open_on_free) >= 0;
}

static bool pg_open_reached(enum result_code code)
{
	return code != RESULT_REFUSED && code != RESULT_CONNECT &&
	       code != RESULT_RESOLVE && code != RESULT_TIMEOUT;
}

/* Keeps the most specific failure: one of a server that was reached counts more
 * than one of a server that was not; otherwise the first. */
static void pg_open_note(struct postgres *postgres,
			 const struct failure *failure)
{
	if (postgres->failure.code == RESULT_UNKNOWN ||
	    (!pg_open_reached(postgres->failure.code) &&
	     pg_open_reached(failure->code)))
		postgres->failure = *failure;
}

/* Tries the next address or host, unless the failure is final: as in libpq, a
 * refused user or a missing database is. */
static void pg_open_failed(struct postgres *postgres,
			   const struct failure *failure)
{
	pg_open_note(postgres, failure);
	if (failure->code == RESULT_AUTH || failure->code == RESULT_MISSING ||
	    failure->code == RESULT_CONFIG || failure->code == RESULT_INTERNAL)
		conn_failed_as(postgres->conn, &postgres->failure);
	else if (!postgres->finding)
		pg_open_advance(postgres);
}

/* "db1.internal (10.0.0.5) port 5432", or the path of a socket. */
static size_t pg_open_name(char to[PG_PEER_BYTES], PGconn *pg)
{
	const size_t size = PG_PEER_BYTES - 2; /* for a comma */
	const char *host = PQhost(pg), *addr = PQhostaddr(pg);
	const char *port = PQport(pg);

	if (host[0] == '/' || host[0] == '@')
		snprintf(to, size, "%s/.s.PGSQL.%s", host, port);
	else if (!addr[0] || strcmp(host, addr) == 0)
		snprintf(to, size, "%s port %s", host, port);
	else
		snprintf(to, size, "%s (%s) port %s", host, addr, port);
	return strlen(to);
}

void pg_open_detail(struct failure *failure, PGconn *pg, const char *message)
{
	char peer[PG_PEER_BYTES];

	pg_words_detail(failure, message);
	pg_open_name(peer, pg);
	failure_of_peer(failure, peer);
}

void pg_open_heard(struct postgres *postgres, const PGresult *error)
{
	const char *message = PQresultErrorField(error,
						 PG_DIAG_MESSAGE_PRIMARY);

	if (postgres->verdict.code != RESULT_UNKNOWN)
		return;
	if (!message)
		message = PQresultErrorMessage(error);
	postgres->verdict = pg_words_query(
		PQresultErrorField(error, PG_DIAG_SQLSTATE), message);
	pg_open_detail(&postgres->verdict, postgres->pg, message);
}

/* Names the servers whose answers are waited for, the oldest attempt first. */
static void pg_open_tell(struct postgres *postgres)
{
	const struct pg_target *target = pg_open_target(postgres);
	char peers[(PG_ATTEMPTS_MAX + 2) * PG_PEER_BYTES] = "";
	size_t i, len = 0;
	PGconn *pg;

	for (i = 0; i <= PG_ATTEMPTS_MAX; i++) {
		pg = i < PG_ATTEMPTS_MAX ? pg_open_at(postgres, i)
					 : postgres->pg;
		if (!pg)
			continue;
		len += pg_open_name(peers + len, pg);
		len += (size_t)snprintf(peers + len, 3, ", ");
	}
	if (postgres->finding)
		snprintf(peers + len, PG_PEER_BYTES,
			 pg_open_is_path(target) ? "%s/.s.PGSQL.%s"
						 : "%s port %s",
			 target->host, target->port);
	else if (len)
		peers[len - 2] = '\0';
	conn_peer(postgres->conn, peers);
}

/* ---- one address ---- */

/* On an idle connection, libpq reports an error that ends it as a notice. */
static void pg_open_on_notice(void *arg, const PGresult *notice)
{
	struct postgres *postgres = arg;
	const char *severity = PQresultErrorField(
		notice, PG_DIAG_SEVERITY_NONLOCALIZED);

	if (postgres->pg && severity &&
	    (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0))
		pg_open_heard(postgres, notice);
}

static bool pg_open_is_resolved(const struct pg_target *target)
{
	return !target->hostaddr && !pg_target_is_socket(target);
}

static PGconn *pg_open_connect(const struct pg_attempt *attempt)
{
	struct pg_plan plan = *pg_open_plan(attempt->postgres);
	const struct pg_target *target = &plan.targets[attempt->target];
	const struct resolve_addr *addr = &attempt->addr;
	char name[256]; /* no host name is longer */
	char numeric[INET6_ADDRSTRLEN + 16];
	const char *host = target->host, *hostaddr = target->hostaddr;

	if (host && !pg_target_is_socket(target)) {
		snprintf(name, sizeof(name), "%.*s", (int)text_undotted(host),
			 host);
		host = name;
	}
	if (pg_open_is_resolved(target)) {
		bool scoped = addr->sa.sa_family == AF_INET6 &&
			      addr->in6.sin6_scope_id;

		snprintf(numeric, sizeof(numeric), scoped ? "%s%%%u" : "%s",
			 addr->text, (unsigned)addr->in6.sin6_scope_id);
		hostaddr = numeric;
	}
	/* libpq takes a value of NULL as not given.  The host is for
	 * verification and the password file. */
	pg_plan_add(&plan, "host", host);
	pg_plan_add(&plan, "hostaddr", hostaddr);
	pg_plan_add(&plan, "port", target->port);
	pg_plan_add(&plan, "target_session_attrs", attempt->role->attrs);
	pg_plan_add(&plan, NULL, NULL);
	return PQconnectStartParams(plan.keywords, plan.values, 0);
}

static void pg_open_end(struct pg_attempt *attempt)
{
	if (!attempt->pg)
		return;
	loop_watch_clear(conn_env(attempt->postgres->conn)->loop,
			 &attempt->watch);
	PQfinish(attempt->pg); /* never waits, in whatever state */
	attempt->pg = NULL;
}

static void pg_open_stop_finding(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	resolve_cancel(conn_env(conn)->resolver, &postgres->query);
	dial_end(&postgres->dial);
	postgres->finding = false;
}

void pg_open_drop(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);
	size_t i;

	loop_timer_clear(conn_env(conn)->loop, &postgres->patience);
	pg_open_stop_finding(conn);
	for (i = 0; i < PG_ATTEMPTS_MAX; i++)
		pg_open_end(&postgres->attempts[i]);
	conn_watch(conn, -1, 0);
	PQfinish(postgres->pg);
	postgres->pg = NULL;
}

static void pg_open_succeeded(struct pg_attempt *attempt)
{
	struct postgres *postgres = attempt->postgres;
	struct conn *conn = postgres->conn;
	struct pg_plan *plan = pg_open_plan(postgres);
	const struct pg_target *target = &plan->targets[attempt->target];
	PGconn *pg = attempt->pg;

	plan->first = attempt->target;
	if (pg_open_is_resolved(target))
		resolve_prefer(conn_env(conn)->resolver, target->host,
			       &attempt->addr.sa);
	loop_watch_clear(conn_env(conn)->loop, &attempt->watch);
	attempt->pg = NULL;
	pg_open_drop(conn);
	postgres->pg = pg;
	postgres->tap = attempt->tap;
	postgres->role = attempt->role;
	pg_open_tell(postgres);
	conn_watch(conn, PQsocket(pg), POLLIN);
	conn_ready(conn);
}

/* Ends an attempt; says why it failed. */
static struct failure pg_open_judge(struct pg_attempt *attempt)
{
	const char *message = PQerrorMessage(attempt->pg);
	struct failure failure = pg_words_connect(message);

	if (!attempt->pg)
		return failure_errno(ENOMEM);
	if (pg_open_handshake.code != RESULT_UNKNOWN &&
	    strstr(message, "certificate verify failed"))
		failure = pg_open_handshake;
	if (failure.code == RESULT_MISMATCH)
		failure = failure_make(RESULT_MISMATCH, "%s",
				       attempt->role->words);
	if (attempt->tap.refused)
		failure = failure_make(RESULT_PROTOCOL, "%s",
				       attempt->tap.refused);
	pg_open_detail(&failure, attempt->pg,
		       attempt->tap.refused ? "" : message);
	pg_open_end(attempt);
	return failure;
}

static void pg_open_watch(struct pg_attempt *attempt, short events)
{
	static const int room = PG_RECEIVE_BYTES;
	struct conn *conn = attempt->postgres->conn;

	setsockopt(PQsocket(attempt->pg), SOL_SOCKET, SO_RCVBUF, &room,
		   sizeof(room));
	/* Without memory for the watch, the deadline ends the attempt. */
	if (loop_watch_set(conn_env(conn)->loop, &attempt->watch,
			   PQsocket(attempt->pg), events))
		conn_detail(conn, "out of memory");
}

static void pg_open_on_io(void *arg, short revents)
{
	struct pg_attempt *attempt = arg;
	PostgresPollingStatusType state;
	struct failure failure;

	(void)revents;
	pg_open_handshake.code = RESULT_UNKNOWN;
	pg_tap_enter(&attempt->tap, attempt->pg);
	state = PQconnectPoll(attempt->pg);
	pg_tap_leave();
	/* The socket may be another one now. */
	if (state == PGRES_POLLING_READING || state == PGRES_POLLING_WRITING) {
		pg_open_watch(attempt, state == PGRES_POLLING_READING
					       ? POLLIN
					       : POLLOUT);
	} else if (state == PGRES_POLLING_OK) {
		pg_open_succeeded(attempt);
	} else {
		failure = pg_open_judge(attempt);
		pg_open_failed(attempt->postgres, &failure);
	}
}

/* Tries the next address; false: it failed at once. */
static bool pg_open_try(struct postgres *postgres)
{
	struct pg_attempt *attempt =
		&postgres->attempts[postgres->attempted++ % PG_ATTEMPTS_MAX];
	struct failure failure;

	pg_open_end(attempt);
	*attempt = (struct pg_attempt){
		.postgres = postgres,
		.watch = { .on_io = pg_open_on_io, .arg = attempt },
		.target = postgres->target,
		.addr = postgres->found.addrs[postgres->address++],
		.role = postgres->second_pass ? &pg_role_any
					      : pg_open_plan(postgres)->role,
	};
	attempt->pg = pg_open_connect(attempt);
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
	pg_open_handshake.code = RESULT_UNKNOWN;
	failure = pg_open_judge(attempt);
	pg_open_note(postgres, &failure);
	return false;
}

/* ---- where to ---- */

static void pg_open_on_patience(void *arg)
{
	struct postgres *postgres = arg;
	struct failure silent;

	/* Attempts go on, but only one name is looked up at a time. */
	if (postgres->finding) {
		silent = failure_make(RESULT_TIMEOUT, "no answer in time");
		failure_of_peer(&silent, pg_open_target(postgres)->host);
		pg_open_note(postgres, &silent);
		pg_open_stop_finding(postgres->conn);
	}
	pg_open_advance(postgres);
}

/* Divides the time that is left among what was just begun and all that can
 * still follow.  The last one may use all of it: the deadline is the check's.
 */
static void pg_open_be_patient(struct postgres *postgres)
{
	const struct pg_plan *plan = pg_open_plan(postgres);
	struct loop *loop = conn_env(postgres->conn)->loop;
	size_t left = plan->n - postgres->begun;

	left += postgres->found.n - postgres->address;
	if (plan->prefer && !postgres->second_pass)
		left += plan->n;
	pg_open_tell(postgres);
	loop_timer_clear(loop, &postgres->patience);
	if (left == 0)
		return;
	postgres->patience.on_time = pg_open_on_patience;
	postgres->patience.arg = postgres;
	loop_timer_in(loop, &postgres->patience,
		      conn_left_ms(postgres->conn) / (int64_t)(left + 1));
}

/* Selects the next host; the one that answered last comes first. */
static bool pg_open_next_target(struct postgres *postgres)
{
	const struct pg_plan *plan = pg_open_plan(postgres);

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
	struct postgres *postgres = arg;
	struct failure failure;

	postgres->finding = false;
	if (answer->code == RESULT_OK) {
		postgres->found = *answer;
		pg_open_advance(postgres);
		return;
	}
	failure = failure_make(answer->code, "%s", answer->words);
	failure_of_peer(&failure, pg_open_target(postgres)->host);
	pg_open_failed(postgres, &failure);
}

static void pg_open_on_dialled(void *arg, struct stream *stream,
			       const struct failure *failure)
{
	struct postgres *postgres = arg;

	postgres->finding = false;
	if (failure) {
		pg_open_failed(postgres, failure);
		return;
	}
	wire_offer(stream_release(stream));
	postgres->found.n = 1;
	pg_open_advance(postgres);
}

/* Finds the addresses of the current host; false: they come later, or the
 * opening has ended already. */
static bool pg_open_find(struct postgres *postgres)
{
	const struct pg_target *target = pg_open_target(postgres);
	const struct check_env *env = conn_env(postgres->conn);
	static const struct resolve_answer itself = { .code = RESULT_OK,
						      .n = 1 };
	const struct resolve_answer *answer = NULL;

	if (pg_open_is_resolved(target))
		answer = resolve_cached(env->resolver, target->host);
	else if (!pg_open_is_path(target))
		answer = &itself;
	if (answer && answer->code == RESULT_OK) {
		postgres->found = *answer;
		return true;
	}
	postgres->finding = true;
	pg_open_be_patient(postgres);
	if (pg_open_is_path(target)) {
		snprintf(postgres->path, sizeof(postgres->path),
			 "%s/.s.PGSQL.%s", target->host, target->port);
		postgres->dial = (struct dial){
			.loop = env->loop,
			.resolver = env->resolver,
			.offload = env->offload,
			.on_done = pg_open_on_dialled,
			.arg = postgres,
		};
		dial_start(&postgres->dial,
			   &(struct dial_target){ .path = postgres->path }, 0);
		return false;
	}
	postgres->query.on_done = pg_open_on_found;
	postgres->query.arg = postgres;
	resolve_start(env->resolver, &postgres->query, target->host);
	return false;
}

/* Starts what can be tried next, until there is something to wait for or
 * nothing is left. */
static void pg_open_advance(struct postgres *postgres)
{
	for (;;) {
		if (postgres->address < postgres->found.n) {
			if (pg_open_try(postgres))
				break;
		} else if (pg_open_next_target(postgres)) {
			if (!pg_open_find(postgres))
				return;
		} else if (pg_open_oldest(postgres)) {
			break;
		} else {
			conn_failed_as(postgres->conn, &postgres->failure);
			return;
		}
	}
	pg_open_be_patient(postgres);
}

void pg_open_begin(struct conn *conn)
{
	struct postgres *postgres = conn_state(conn);

	postgres->conn = conn;
	pg_open_advance(postgres);
}

const char *pg_open_step(const struct postgres *postgres)
{
	PGconn *pg = pg_open_oldest(postgres);
	const char *step = dial_step(&postgres->dial);

	if (step || !pg)
		return step ? step : "resolving the host name";
	switch (PQstatus(pg)) {
	case CONNECTION_NEEDED:
	case CONNECTION_STARTED:
		return "connecting";
	case CONNECTION_SSL_STARTUP:
		/* First libpq asks whether the server speaks TLS at all. */
		return PQsslInUse(pg) ? "in the TLS handshake" : "logging in";
	case CONNECTION_CHECK_WRITABLE:
	case CONNECTION_CHECK_TARGET:
	case CONNECTION_CHECK_STANDBY:
		return "asking for the role of the server";
	default:
		return "logging in";
	}
}

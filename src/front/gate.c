#include "config.h"

#include "front/gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/closer.h"
#include "front/gate_pool.h"
#include "base/log.h"
#include "io/wire.h"

/* How long accepting pauses without room: when no connection can be closed, and
 * when one was, until it is gone. */
#define GATE_REST_MS 50
#define GATE_REST_SHORT_MS 1
/* A new connection has this long before it may be closed to make room. */
#define GATE_FRESH_MS 100
/* Descriptors kept for connections in case checks use all others. */
#define GATE_SPARES 8
/* A body is read this often before other connections: 192 KB. */
#define GATE_BODY_TURNS 4

/* The most that one sendfile(2) may send. */
#define GATE_REST_BYTES (1024 * 1024)

/* epoll data of the two descriptors that are not connections. */
#define GATE_LISTEN UINT64_MAX
#define GATE_WAKE (UINT64_MAX - 1)

struct gate {
	int epoll_fd, listen_fd, wake_fd;
	const char *allowed;
	pthread_mutex_t lock;
	struct gate_pool pool;
	size_t max;
	int spares[GATE_SPARES]; /* n_spares of them */
	size_t n_spares;
	struct gate_conn *ready; /* returned with an event, by next_ready */
	bool stopping;		 /* bodies are not waited for */
	bool resting;		 /* accepting pauses until rest_until_ms */
	int64_t rest_until_ms;
	struct log_limit full, refused, denied, broken, cut;
};

/* ---- peers ---- */

/* The address as inet_ntop(3) writes it, an IPv4-mapped one as IPv4; empty for
 * a Unix socket. */
static void gate_peer_address(const struct sockaddr_storage *peer, char *text,
			      size_t size)
{
	const struct sockaddr_in *in = (const void *)peer;
	const struct in6_addr *in6 =
		&((const struct sockaddr_in6 *)peer)->sin6_addr;
	socklen_t room = (socklen_t)size;

	text[0] = '\0';
	if (peer->ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, text, room);
	else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6))
		inet_ntop(AF_INET, &in6->s6_addr[12], text, room);
	else if (peer->ss_family == AF_INET6)
		inet_ntop(AF_INET6, in6, text, room);
}

/* Whether the address may connect; see gate_create(). */
static bool gate_peer_allowed(const char *allowed,
			      const struct sockaddr_storage *peer)
{
	char text[INET6_ADDRSTRLEN];
	const char *at = allowed;
	size_t len;

	/* Empty allows all, as in libfcgi; and a Unix socket has file
	 * permissions. */
	if (!at || !*at ||
	    (peer->ss_family != AF_INET && peer->ss_family != AF_INET6))
		return true;
	gate_peer_address(peer, text, sizeof(text));
	for (; *at; at += len + (at[len] == ',')) {
		len = strcspn(at, ",");
		if (len == strlen(text) && !strncmp(at, text, len))
			return true;
	}
	return false;
}

/* ---- accepting ---- */

static void gate_arm_listener(struct gate *gate)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT,
				     .data.u64 = GATE_LISTEN };

	epoll_ctl(gate->epoll_fd, EPOLL_CTL_MOD, gate->listen_fd, &event);
}

/* Leaves the connection, which stays busy, to the next thread that waits.  The
 * lock is held. */
static void gate_make_ready(struct gate *gate, struct gate_conn *conn)
{
	conn->again = false;
	conn->next_ready = gate->ready;
	gate->ready = conn;
}

/* Stops waiting for the oldest body, unless it began after that time: false.
 * The lock is held. */
static bool gate_give_up_body(struct gate *gate, int64_t waiting_since_ms)
{
	struct gate_conn *conn = gate_list_take(&gate->pool.bodies,
						waiting_since_ms);

	if (!conn)
		return false;
	conn->late = true;
	if (!conn->busy) {
		conn->busy = true;
		gate_make_ready(gate, conn);
	}
	return true;
}

/* No room: an idle connection must go. When none can, accepting pauses and the
 * peers wait in the backlog. */
static void gate_make_room(struct gate *gate)
{
	int64_t now = clock_ms();
	size_t open;
	bool sent;

	pthread_mutex_lock(&gate->lock);
	sent = gate_list_send_away(&gate->pool.partial, now - GATE_FRESH_MS) ||
	       gate_give_up_body(gate, now - GATE_FRESH_MS) ||
	       gate_list_send_away(&gate->pool.idle, now);
	gate->resting = true;
	gate->rest_until_ms = now + (sent ? GATE_REST_SHORT_MS : GATE_REST_MS);
	open = gate->pool.open;
	pthread_mutex_unlock(&gate->lock);
	if (log_limit_count(&gate->full))
		log_warn("no room for another connection: %zu are open (see "
			 "max_connections and the limit of open files)",
			 open);
}

static void gate_refuse(struct gate *gate, const struct sockaddr_storage *peer)
{
	char address[INET6_ADDRSTRLEN];
	size_t n = log_limit_count(&gate->refused);

	if (!n)
		return;
	gate_peer_address(peer, address, sizeof(address));
	log_warn("refused %zu connections: not from FCGI_WEB_SERVER_ADDRS, the "
		 "last from %s",
		 n, address);
}

static void gate_rest(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->resting = true;
	gate->rest_until_ms = clock_ms() + GATE_REST_MS;
	pthread_mutex_unlock(&gate->lock);
}

/* Takes spare descriptors while the system has some. The lock is held. */
static void gate_save(struct gate *gate)
{
	int fd;

	while (gate->n_spares < GATE_SPARES) {
		fd = fcntl(gate->wake_fd, F_DUPFD_CLOEXEC, 0);
		if (fd < 0)
			return;
		gate->spares[gate->n_spares++] = fd;
	}
}

/* Gives one back; false: none is left. */
static bool gate_spend(struct gate *gate)
{
	int fd = -1;

	pthread_mutex_lock(&gate->lock);
	if (gate->n_spares)
		fd = gate->spares[--gate->n_spares];
	pthread_mutex_unlock(&gate->lock);
	if (fd >= 0)
		close(fd);
	return fd >= 0;
}

/*
 * When 1,000 connections of checks hang, they use all descriptors; liveness
 * without an answer would then restart the whole service. A check may take a
 * freed spare descriptor, so there are several.
 */
static int gate_accept_fd(struct gate *gate, struct sockaddr_storage *peer)
{
	socklen_t len;
	int fd;

	do {
		len = sizeof(*peer);
		fd = accept4(gate->listen_fd, (struct sockaddr *)peer, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
	} while (fd < 0 &&
		 (errno == EINTR || errno == ECONNABORTED ||
		  ((errno == EMFILE || errno == ENFILE) && gate_spend(gate))));
	return fd;
}

/* accept4() has failed. */
static void gate_not_accepted(struct gate *gate, int error)
{
	if (error == EAGAIN)
		return;
	if (error == EMFILE || error == ENFILE || error == ENOBUFS ||
	    error == ENOMEM) {
		gate_make_room(gate);
		return;
	}
	gate_rest(gate);
	if (log_limit_count(&gate->denied))
		log_err("cannot accept connections: %s", strerror(error));
}

static bool gate_is_full(struct gate *gate)
{
	bool full;

	pthread_mutex_lock(&gate->lock);
	full = gate->pool.open + closer_waiting() >= gate->max;
	pthread_mutex_unlock(&gate->lock);
	return full;
}

/* Accepts one connection, held by the caller. NULL: none, but with *more others
 * may wait, since only this one was refused. */
static struct gate_conn *gate_accept(struct gate *gate, bool *more)
{
	struct sockaddr_storage peer = { .ss_family = AF_UNSPEC };
	struct gate_conn *conn = NULL;
	int fd, one = 1;

	*more = false;
	if (gate_is_full(gate)) {
		gate_make_room(gate);
		return NULL;
	}
	fd = gate_accept_fd(gate, &peer);
	if (fd < 0) {
		gate_not_accepted(gate, errno);
		return NULL;
	}
	*more = true;
	if (!gate_peer_allowed(gate->allowed, &peer)) {
		close(fd);
		gate_refuse(gate, &peer);
		return NULL;
	}
	if (peer.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	else /* or a look would pass over what comes out of band */
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
	pthread_mutex_lock(&gate->lock);
	conn = gate_pool_take(&gate->pool, fd);
	pthread_mutex_unlock(&gate->lock);
	if (!conn)
		close(fd);
	return conn;
}

/*
 * Watches a connection, once it turns out that it must be waited for: a new one
 * has mostly brought its request along, and is never watched unless it is kept.
 * Edge-triggered, so that a half-sent request is reported again only when more
 * of it came.  Without EPOLLONESHOT, so that a kept connection costs no system
 * call per request; `busy` keeps two threads off one connection.
 */
static int gate_watch(struct gate *gate, struct gate_conn *conn)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET |
			  (conn->rest_fd >= 0 ? EPOLLOUT : 0),
		.data.u64 = gate_pool_key(conn),
	};
	int change = conn->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

	if (conn->watched == event.events && !conn->rearm)
		return 0;
	conn->rearm = false;
	conn->watched = event.events;
	return epoll_ctl(gate->epoll_fd, change, conn->fd, &event);
}

/* ---- requests ---- */

/* The connection of an event, when no other thread has it. */
static struct gate_conn *gate_take(struct gate *gate, uint64_t key,
				   uint32_t events)
{
	struct gate_conn *conn;

	pthread_mutex_lock(&gate->lock);
	conn = gate_pool_find(&gate->pool, key);
	if (conn) {
		if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
			conn->ended = true;
		if (conn->busy) {
			conn->again = true;
			conn = NULL;
		} else {
			conn->busy = true;
		}
	}
	pthread_mutex_unlock(&gate->lock);
	return conn;
}

static struct gate_conn *gate_take_ready(struct gate *gate)
{
	struct gate_conn *conn;

	pthread_mutex_lock(&gate->lock);
	conn = gate->ready;
	if (conn)
		gate->ready = conn->next_ready;
	pthread_mutex_unlock(&gate->lock);
	return conn;
}

void gate_close(struct gate *gate, struct gate_conn *conn)
{
	int fd = conn->fd;

	if (conn->rest_fd >= 0)
		close(conn->rest_fd);
	conn->rest_fd = -1;
	/* This order matters: see gate_pool_free(). */
	pthread_mutex_lock(&gate->lock);
	gate_pool_free(&gate->pool, conn);
	pthread_mutex_unlock(&gate->lock);
	close(fd);
	pthread_mutex_lock(&gate->lock);
	gate_save(gate);
	pthread_mutex_unlock(&gate->lock);
}

/* What came of looking at a connection that the caller holds. */
enum gate_sight {
	GATE_WHOLE,	/* a whole request */
	GATE_NOTHING,	/* nothing, more must come */
	GATE_BEGINNING, /* the beginning of a request, more must come */
	GATE_CHANGED,	/* look again */
	GATE_YIELD,	/* look again, but others first */
	GATE_LEFT,	/* let go: another thread may have it */
	GATE_BROKEN,	/* not a request that we accept: close it */
	GATE_END	/* to be closed */
};

/*
 * Lets go of a connection without a whole request.  Its end is known from
 * events alone: while there are bytes, peeking shows these and never the end
 * of the stream behind them.
 */
static enum gate_sight gate_let_go(struct gate *gate, struct gate_conn *conn,
				   bool begun)
{
	enum gate_sight sight = GATE_LEFT;

	pthread_mutex_lock(&gate->lock);
	if (conn->again)
		sight = GATE_CHANGED;
	else if (conn->late || (conn->ended && conn->rest_fd < 0))
		sight = GATE_END;
	conn->again = false;
	conn->busy = sight != GATE_LEFT;
	/* The time for a request runs from its first byte. */
	if (begun && conn->list == &gate->pool.idle) {
		gate_list_remove(conn);
		gate_list_add(&gate->pool.partial, conn);
	}
	pthread_mutex_unlock(&gate->lock);
	return sight;
}

/* Lets others go first: epoll reports the connection once more. */
static enum gate_sight gate_yield(struct gate *gate, struct gate_conn *conn)
{
	enum gate_sight sight;

	pthread_mutex_lock(&gate->lock);
	/* Under the lock: otherwise the event could find it busy. */
	conn->rearm = true;
	sight = conn->late || gate_watch(gate, conn) ? GATE_END : GATE_LEFT;
	conn->again = false;
	conn->busy = sight != GATE_LEFT;
	pthread_mutex_unlock(&gate->lock);
	return sight;
}

/* Throws away bytes that were peeked at before. */
static bool gate_skip(struct gate_conn *conn, struct gate_buffer *buffer,
		      size_t length)
{
	conn->replied = 0;
	return recv(conn->fd, buffer->bytes, length, MSG_DONTWAIT) ==
	       (ssize_t)length;
}

/* Replies to a record that is not part of a request; false: the peer does not
 * even read that. */
static bool gate_reply(const struct gate *gate, struct gate_conn *conn,
		       struct gate_buffer *buffer, const struct fcgi_scan *scan)
{
	unsigned char reply[FCGI_REPLY_BYTES];
	size_t n = fcgi_reply(buffer->bytes + scan->record, gate->max, reply);

	if (!n ||
	    send(conn->fd, reply, n, MSG_DONTWAIT | MSG_NOSIGNAL) != (ssize_t)n)
		return false;
	if (scan->last) {
		shutdown(conn->fd, SHUT_WR);
		conn->lingering = true;
	}
	conn->replied = scan->replied;
	return !scan->length || gate_skip(conn, buffer, scan->length);
}

/* The request is whole, or complete but for the rest of its body. */
static enum gate_sight gate_see_request(struct gate_conn *conn,
					struct gate_buffer *buffer, size_t n,
					const struct fcgi_scan *scan,
					bool whole)
{
	bool more = whole && (n > scan->length || n == sizeof(buffer->bytes));

	/* A peer that sends requests without a pause must not block others. */
	if (whole)
		conn->pieces = more ? conn->pieces + 1 : 0;
	more = more && conn->pieces <= GATE_PIECES;
	conn->spent = !whole || conn->pieces > GATE_PIECES;
	/* What follows may be there already, and no event tells of it. */
	conn->more = more;
	conn->params = scan->params;
	if (!gate_skip(conn, buffer, scan->length))
		return GATE_BROKEN;
	conn->length = fcgi_scan_strip(buffer->bytes, scan->length);
	conn->body.id = 0;
	if (!whole)
		fcgi_body_begin(&conn->body, buffer->bytes);
	return GATE_WHOLE;
}

/* Goes on writing an answer; the file's own position is where. */
static enum gate_sight gate_write_rest(struct gate *gate,
				       struct gate_conn *conn)
{
	ssize_t n;

	do
		n = sendfile(conn->fd, conn->rest_fd, NULL, GATE_REST_BYTES);
	while (n > 0 || (n < 0 && errno == EINTR));
	if (n < 0 && errno == EAGAIN)
		return GATE_BEGINNING;
	if (n < 0) {
		gate_note_cut(gate);
		return GATE_END;
	}
	close(conn->rest_fd);
	conn->rest_fd = -1;
	if (conn->rest_last) {
		shutdown(conn->fd, SHUT_WR);
		conn->lingering = true;
		return GATE_CHANGED;
	}
	pthread_mutex_lock(&gate->lock);
	gate_list_remove(conn);
	gate_list_add(&gate->pool.idle, conn);
	pthread_mutex_unlock(&gate->lock);
	return GATE_CHANGED;
}

/* Throws away n bytes that come after an answer. */
static enum gate_sight gate_ignore(struct gate_conn *conn,
				   struct gate_buffer *buffer, size_t n)
{
	if (++conn->pieces > GATE_PIECES || !gate_skip(conn, buffer, n))
		return GATE_END;
	return GATE_CHANGED;
}

/* Goes on reading a body, of which n bytes are there. */
static enum gate_sight gate_see_body(struct gate_conn *conn,
				     struct gate_buffer *buffer, size_t n)
{
	size_t used = fcgi_body_read(&conn->body, buffer->bytes, n);

	if (used && !gate_skip(conn, buffer, used))
		return GATE_BROKEN;
	if (fcgi_body_ended(&conn->body)) {
		conn->more = n > used || n == sizeof(buffer->bytes);
		conn->pieces = conn->more ? conn->pieces + 1 : 0;
		conn->spent = conn->pieces > GATE_PIECES;
		return GATE_WHOLE;
	}
	if (conn->body.wrong || conn->body.read > GATE_BODY_BYTES)
		return GATE_END;
	if (!used)
		return GATE_BEGINNING;
	return ++conn->turns % GATE_BODY_TURNS ? GATE_CHANGED : GATE_YIELD;
}

static enum gate_sight gate_look(struct gate *gate, struct gate_conn *conn,
				 struct gate_buffer *buffer)
{
	struct fcgi_scan scan = { .replied = conn->replied };
	bool rights;
	ssize_t n;

	if (conn->rest_fd >= 0)
		return gate_write_rest(gate, conn);
	n = wire_peek(conn->fd, buffer->bytes, sizeof(buffer->bytes), &rights);
	if (n < 0 && errno == EAGAIN)
		return conn->lingering ? GATE_BEGINNING : GATE_NOTHING;
	if (n <= 0)
		return GATE_END;
	/* Reading on could drop the last reference to what it refers to, and
	 * wait for that; closing the connection is done elsewhere then. */
	if (rights)
		return GATE_BROKEN;
	if (conn->lingering)
		return gate_ignore(conn, buffer, (size_t)n);
	if (conn->kept)
		return gate_see_body(conn, buffer, (size_t)n);
	switch (fcgi_scan(buffer->bytes, (size_t)n, &scan)) {
	case FCGI_SCAN_WHOLE:
		return gate_see_request(conn, buffer, (size_t)n, &scan, true);
	case FCGI_SCAN_BODY:
		return gate_see_request(conn, buffer, (size_t)n, &scan, false);
	/* All others are counted: a peer that sends nothing else would keep
	 * us here. */
	case FCGI_SCAN_SKIP:
		if (++conn->pieces <= GATE_PIECES &&
		    gate_skip(conn, buffer, scan.length))
			return GATE_CHANGED;
		break;
	case FCGI_SCAN_REPLY:
		if (++conn->pieces <= GATE_PIECES &&
		    gate_reply(gate, conn, buffer, &scan))
			return GATE_CHANGED;
		break;
	case FCGI_SCAN_PARTIAL:
		if (++conn->pieces <= GATE_PIECES)
			return GATE_BEGINNING;
		break;
	case FCGI_SCAN_BAD:
		break;
	}
	return GATE_BROKEN;
}

static void gate_complain(struct gate *gate)
{
	size_t n = log_limit_count(&gate->broken);

	if (n)
		log_warn("closed %zu connections: not FastCGI, request too "
			 "large, or incomplete",
			 n);
}

/* True when the connection, held by the caller, has a whole request.  If not,
 * it was let go or closed. */
static bool gate_examine(struct gate *gate, struct gate_buffer *buffer,
			 struct gate_conn *conn)
{
	enum gate_sight sight;

	do {
		sight = gate_look(gate, conn, buffer);
		if ((sight == GATE_NOTHING || sight == GATE_BEGINNING) &&
		    gate_watch(gate, conn))
			sight = GATE_END;
		else if (sight == GATE_NOTHING || sight == GATE_BEGINNING)
			sight = gate_let_go(gate, conn,
					    sight == GATE_BEGINNING);
		else if (sight == GATE_YIELD)
			sight = gate_yield(gate, conn);
	} while (sight == GATE_CHANGED);
	if (sight == GATE_BROKEN)
		gate_complain(gate);
	/* The caller of gate_read_body() gets it back in any case. */
	if ((sight == GATE_END || sight == GATE_BROKEN) && conn->kept)
		sight = GATE_WHOLE;
	if (sight == GATE_END || sight == GATE_BROKEN) {
		gate_close(gate, conn);
	} else if (sight == GATE_WHOLE) {
		pthread_mutex_lock(&gate->lock);
		gate_list_remove(conn);
		conn->late = false;
		pthread_mutex_unlock(&gate->lock);
	}
	return sight == GATE_WHOLE;
}

/* ---- waiting ---- */

static int64_t gate_body_ms(const struct gate *gate)
{
	return gate->stopping ? 0 : GATE_BODY_MS;
}

/* Closes connections that were idle too long, and resumes accepting after a
 * pause. */
static void gate_expire(struct gate *gate)
{
	int64_t now = clock_ms();
	bool rested;

	pthread_mutex_lock(&gate->lock);
	while (gate_list_send_away(&gate->pool.partial, now - GATE_PARTIAL_MS))
		continue;
	while (gate_list_send_away(&gate->pool.idle, now - GATE_IDLE_MS))
		continue;
	while (gate_give_up_body(gate, now - gate_body_ms(gate)))
		continue;
	rested = gate->resting && now >= gate->rest_until_ms;
	if (rested)
		gate->resting = false;
	gate_save(gate);
	pthread_mutex_unlock(&gate->lock);
	if (rested)
		gate_arm_listener(gate);
}

/* How long epoll may wait until a time limit, or until until_ms; -1: for ever.
 */
static int gate_nap_ms(struct gate *gate, int64_t until_ms)
{
	int64_t now = clock_ms(), at_ms, nap;

	pthread_mutex_lock(&gate->lock);
	at_ms = gate_list_due(&gate->pool.partial, GATE_PARTIAL_MS, until_ms);
	at_ms = gate_list_due(&gate->pool.idle, GATE_IDLE_MS, at_ms);
	at_ms = gate_list_due(&gate->pool.bodies, gate_body_ms(gate), at_ms);
	if (gate->resting && gate->rest_until_ms < at_ms)
		at_ms = gate->rest_until_ms;
	pthread_mutex_unlock(&gate->lock);
	if (at_ms == INT64_MAX)
		return -1;
	nap = at_ms - now;
	if (nap <= 0)
		return 0;
	return nap < 60000 ? (int)nap : 60000;
}

/* The connection that an event is about, held by the caller, or NULL. */
static struct gate_conn *gate_on_event(struct gate *gate,
				       const struct epoll_event *event)
{
	struct gate_conn *conn;
	bool resting, more;

	if (event->data.u64 != GATE_LISTEN)
		return gate_take(gate, event->data.u64, event->events);
	conn = gate_accept(gate, &more);
	/* Another process that shares the listening socket has shut it down: it
	 * stays ready, though no connection can be accepted. */
	if (event->events & (EPOLLHUP | EPOLLERR))
		gate_rest(gate);
	pthread_mutex_lock(&gate->lock);
	resting = gate->resting;
	pthread_mutex_unlock(&gate->lock);
	if (!resting)
		gate_arm_listener(gate);
	return conn;
}

enum gate_event gate_wait(struct gate *gate, struct gate_buffer *buffer,
			  int timeout_ms, struct gate_request *request)
{
	int64_t until_ms = timeout_ms < 0 ? INT64_MAX : clock_ms() + timeout_ms;
	struct epoll_event event;
	struct gate_conn *conn;

	for (;;) {
		conn = gate_take_ready(gate);
		if (!conn) {
			int n = epoll_wait(gate->epoll_fd, &event, 1,
					   gate_nap_ms(gate, until_ms));

			gate_expire(gate);
			if (n > 0 && event.data.u64 == GATE_WAKE)
				return GATE_WOKEN;
			if (n > 0)
				conn = gate_on_event(gate, &event);
		}
		if (conn && gate_examine(gate, buffer, conn)) {
			*request = (struct gate_request){
				.conn = conn,
				.fd = conn->fd,
				.kept = conn->kept,
				.length = conn->length,
				.params = conn->params,
				.spent = conn->spent,
				.has_body = conn->body.id != 0,
			};
			conn->kept = NULL;
			return GATE_REQUEST;
		}
		/* Also when there are events without end: the caller has
		 * other things to do. */
		if (clock_ms() >= until_ms)
			return GATE_TIMEOUT;
	}
}

void gate_return(struct gate *gate, struct gate_conn *conn)
{
	/* A connection that is watched only now reports at once what is already
	 * there; one that was watched has noted it in `again`. */
	pthread_mutex_lock(&gate->lock);
	gate_list_add(&gate->pool.idle, conn);
	if (!conn->watched || conn->ended || conn->more)
		conn->again = true;
	if (conn->again)
		gate_make_ready(gate, conn);
	else
		conn->busy = false;
	pthread_mutex_unlock(&gate->lock);
}

void gate_read_body(struct gate *gate, struct gate_conn *conn, void *kept)
{
	conn->kept = kept;
	pthread_mutex_lock(&gate->lock);
	gate_list_add(&gate->pool.bodies, conn);
	gate_make_ready(gate, conn);
	pthread_mutex_unlock(&gate->lock);
}

void gate_linger(struct gate *gate, struct gate_conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
	conn->pieces = 0;
	pthread_mutex_lock(&gate->lock);
	conn->lingering = true;
	gate_list_add(&gate->pool.partial, conn);
	gate_make_ready(gate, conn);
	pthread_mutex_unlock(&gate->lock);
}

void gate_write(struct gate *gate, struct gate_conn *conn, int answer_fd,
		bool last)
{
	conn->pieces = 0;
	conn->rest_fd = answer_fd;
	conn->rest_last = last;
	pthread_mutex_lock(&gate->lock);
	gate_list_add(&gate->pool.partial, conn);
	gate_make_ready(gate, conn);
	pthread_mutex_unlock(&gate->lock);
}

void gate_note_cut(struct gate *gate)
{
	size_t n = log_limit_count(&gate->cut);

	if (n)
		log_warn("cut %zu answers: the web server did not read them "
			 "to the end",
			 n);
}

void gate_wake(struct gate *gate)
{
	uint64_t one = 1;

	/* Edge-triggered: each write wakes one waiting thread, and the counter
	 * need not be read. */
	while (write(gate->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

void gate_stop_accepting(struct gate *gate)
{
	struct gate_conn *conn;
	bool more;

	epoll_ctl(gate->epoll_fd, EPOLL_CTL_DEL, gate->listen_fd, NULL);
	pthread_mutex_lock(&gate->lock);
	gate->stopping = true;
	pthread_mutex_unlock(&gate->lock);
	do {
		conn = gate_accept(gate, &more);
		if (conn) {
			pthread_mutex_lock(&gate->lock);
			gate_make_ready(gate, conn);
			pthread_mutex_unlock(&gate->lock);
		}
	} while (more);
	gate_wake(gate);
}

size_t gate_connections(struct gate *gate)
{
	size_t open;

	pthread_mutex_lock(&gate->lock);
	open = gate->pool.open;
	pthread_mutex_unlock(&gate->lock);
	return open;
}

/* ---- life ---- */

int gate_watch_wake(struct gate *gate, int wake_fd)
{
	struct epoll_event wake = { .events = EPOLLIN | EPOLLET,
				    .data.u64 = GATE_WAKE };

	return epoll_ctl(gate->epoll_fd, EPOLL_CTL_ADD, wake_fd, &wake);
}

static int gate_watch_own(struct gate *gate)
{
	struct epoll_event listener = { .events = EPOLLIN | EPOLLONESHOT,
					.data.u64 = GATE_LISTEN };

	return epoll_ctl(gate->epoll_fd, EPOLL_CTL_ADD, gate->listen_fd,
			 &listener) ||
	       gate_watch_wake(gate, gate->wake_fd);
}

struct gate *gate_create(int listen_fd, size_t max_connections,
			 const char *allowed)
{
	struct gate *gate = calloc(1, sizeof(*gate));
	const int none = 0;

	if (!gate)
		return NULL;
	gate->listen_fd = listen_fd;
	gate->max = max_connections;
	gate->allowed = allowed;
	pthread_mutex_init(&gate->lock, NULL);
	/* systemd's PassCredentials= and the like: accepted connections inherit
	 * it, and what comes along looks like a passed descriptor. */
	setsockopt(listen_fd, SOL_SOCKET, SO_PASSCRED, &none, sizeof(none));
	setsockopt(listen_fd, SOL_SOCKET, SO_PASSSEC, &none, sizeof(none));
	gate->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	gate->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (gate->epoll_fd < 0 || gate->wake_fd < 0 || gate_watch_own(gate)) {
		gate_destroy(gate);
		return NULL;
	}
	gate_save(gate);
	return gate;
}

void gate_destroy(struct gate *gate)
{
	if (!gate)
		return;
	gate_pool_close(&gate->pool);
	while (gate_spend(gate))
		continue;
	if (gate->epoll_fd >= 0)
		close(gate->epoll_fd);
	if (gate->wake_fd >= 0)
		close(gate->wake_fd);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

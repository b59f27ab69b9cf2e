#include "config.h"

#include "gate.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* How long accepting rests when there is no room and nobody to send away, and
 * when there was somebody, until he is gone. */
#define GATE_REST_MS 50
#define GATE_REST_SHORT_MS 1
/* The request of a new connection may be under way for so long. */
#define GATE_FRESH_MS 100
/* How often the log says so. */
#define GATE_WARN_MS 10000

/* epoll data of the two descriptors that are not connections. */
#define GATE_LISTEN UINT64_MAX
#define GATE_WAKE (UINT64_MAX - 1)

/* Peers that owe us something, those waiting longest first. */
struct gate_list {
	struct gate_conn *first, *last;
};

struct gate_conn {
	int fd;
	uint32_t place;	     /* in gate->conns */
	uint32_t generation; /* of the place: tells old events from new */
	bool watched;	     /* epoll knows it */
	bool busy;	     /* some thread has it */
	bool again;	     /* an event came meanwhile */
	bool ended;	     /* no more will come: the peer or we ended it */
	bool spent;	     /* see gate_conn_spent() */
	bool lingering;	     /* answered; what comes is thrown away */
	unsigned pieces;     /* of the request that is not whole yet */
	int64_t since_ms;
	struct gate_list *list; /* NULL: none */
	struct gate_conn *prev, *next;
	struct gate_conn *next_ready;
};

struct gate {
	int epoll_fd, listen_fd, wake_fd;
	const char *allowed;
	pthread_mutex_t lock;
	/* Records are reused, never freed before the end: an event that was
	 * fetched before its connection went finds a record of another
	 * generation, not freed memory. */
	struct gate_conn **conns;
	size_t room, max, open;
	struct gate_conn *unused; /* linked by next */
	struct gate_conn *ready;  /* returned with an event, by next_ready */
	struct gate_list partial, idle;
	bool resting; /* accepting pauses until rest_until_ms */
	int64_t rest_until_ms, warned_ms;
};

/* ---- places ---- */

static void gate_unlist(struct gate_conn *conn)
{
	struct gate_list *list = conn->list;

	if (!list)
		return;
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		list->first = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	else
		list->last = conn->prev;
	conn->list = NULL;
}

static void gate_enlist(struct gate_conn *conn, struct gate_list *list)
{
	conn->since_ms = clock_ms();
	conn->list = list;
	conn->prev = list->last;
	conn->next = NULL;
	if (list->last)
		list->last->next = conn;
	else
		list->first = conn;
	list->last = conn;
}

static int gate_add_places(struct gate *gate)
{
	size_t room = gate->room ? gate->room * 2 : 16, i;
	struct gate_conn **conns, *block;

	conns = realloc(gate->conns, room * sizeof(*conns));
	if (!conns)
		return -1;
	gate->conns = conns;
	for (i = gate->room; i < room; i++) {
		block = calloc(1, sizeof(*block));
		if (!block)
			break;
		block->fd = -1;
		block->place = (uint32_t)i;
		block->next = gate->unused;
		gate->unused = block;
		conns[i] = block;
	}
	gate->room = i;
	return gate->unused ? 0 : -1;
}

static struct gate_conn *gate_take_place(struct gate *gate, int fd)
{
	struct gate_conn *conn;

	if (!gate->unused && gate_add_places(gate))
		return NULL;
	conn = gate->unused;
	gate->unused = conn->next;
	conn->fd = fd;
	conn->generation++;
	conn->watched = false;
	conn->busy = true;
	conn->again = false;
	conn->ended = false;
	conn->lingering = false;
	conn->pieces = 0;
	gate->open++;
	gate_enlist(conn, &gate->partial);
	return conn;
}

static void gate_free_place(struct gate *gate, struct gate_conn *conn)
{
	gate_unlist(conn);
	conn->fd = -1;
	conn->generation++;
	conn->next = gate->unused;
	gate->unused = conn;
	gate->open--;
}

static void gate_close(struct gate *gate, struct gate_conn *conn)
{
	int fd = conn->fd;

	/* The other way round, another thread could still find it in a list
	 * and shut down whoever got the same number meanwhile. */
	gate_drop(gate, conn);
	close(fd);
}

/* Ends the connection of a peer that owes us something.  The close is left to
 * the thread that gets the event: the connection may be in its hands. */
static bool gate_send_away(struct gate_list *list, int64_t waiting_since_ms)
{
	struct gate_conn *conn = list->first;

	if (!conn || conn->since_ms > waiting_since_ms)
		return false;
	gate_unlist(conn);
	shutdown(conn->fd, SHUT_RDWR);
	return true;
}

/* ---- accepting ---- */

static void gate_arm_listener(struct gate *gate)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT,
				     .data.u64 = GATE_LISTEN };

	epoll_ctl(gate->epoll_fd, EPOLL_CTL_MOD, gate->listen_fd, &event);
}

static bool gate_allowed(const struct gate *gate,
			 const struct sockaddr_storage *peer)
{
	char text[INET6_ADDRSTRLEN] = "";
	const struct sockaddr_in *in = (const void *)peer;
	const struct in6_addr *in6 =
		&((const struct sockaddr_in6 *)peer)->sin6_addr;
	const char *at = gate->allowed;
	size_t len;

	/* Empty means everybody, as it does to libfcgi; and a Unix socket has
	 * file permissions. */
	if (!at || !*at ||
	    (peer->ss_family != AF_INET && peer->ss_family != AF_INET6))
		return true;
	if (peer->ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, text, sizeof(text));
	else if (IN6_IS_ADDR_V4MAPPED(in6))
		inet_ntop(AF_INET, &in6->s6_addr[12], text, sizeof(text));
	else
		inet_ntop(AF_INET6, in6, text, sizeof(text));
	for (; *at; at += len + (at[len] == ',')) {
		len = strcspn(at, ",");
		if (len == strlen(text) && !strncmp(at, text, len))
			return true;
	}
	return false;
}

/* No room: somebody idle has to go.  When nobody can, accepting rests a
 * little; the peers wait in the backlog. */
static void gate_make_room(struct gate *gate)
{
	int64_t now = clock_ms();
	size_t open;
	bool warn, sent;

	pthread_mutex_lock(&gate->lock);
	sent = gate_send_away(&gate->partial, now - GATE_FRESH_MS) ||
	       gate_send_away(&gate->idle, now);
	gate->resting = true;
	gate->rest_until_ms = now + (sent ? GATE_REST_SHORT_MS : GATE_REST_MS);
	warn = now - gate->warned_ms >= GATE_WARN_MS;
	if (warn)
		gate->warned_ms = now;
	open = gate->open;
	pthread_mutex_unlock(&gate->lock);
	if (warn)
		log_warn("no room for another connection, %zu are open", open);
}

static void gate_rest(struct gate *gate)
{
	pthread_mutex_lock(&gate->lock);
	gate->resting = true;
	gate->rest_until_ms = clock_ms() + GATE_REST_MS;
	pthread_mutex_unlock(&gate->lock);
}

/* One connection off the backlog, held by the caller; NULL: none, and errno
 * is EACCES when there may be others. */
static struct gate_conn *gate_accept(struct gate *gate)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	struct gate_conn *conn = NULL;
	bool full;
	int fd, one = 1;

	pthread_mutex_lock(&gate->lock);
	full = gate->open >= gate->max;
	pthread_mutex_unlock(&gate->lock);
	if (full) {
		gate_make_room(gate);
		errno = ENFILE;
		return NULL;
	}
	do
		fd = accept4(gate->listen_fd, (struct sockaddr *)&peer, &len,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
	while (fd < 0 && (errno == EINTR || errno == ECONNABORTED));
	if (fd < 0) {
		int why = errno;

		if (why == EMFILE || why == ENFILE || why == ENOBUFS ||
		    why == ENOMEM)
			gate_make_room(gate);
		else if (why != EAGAIN)
			gate_rest(gate);
		errno = why;
		return NULL;
	}
	if (!gate_allowed(gate, &peer)) {
		close(fd);
		errno = EACCES;
		return NULL;
	}
	if (peer.ss_family != AF_UNIX)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	pthread_mutex_lock(&gate->lock);
	conn = gate_take_place(gate, fd);
	pthread_mutex_unlock(&gate->lock);
	if (!conn) {
		close(fd);
		errno = ENOMEM;
	}
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
		.events = EPOLLIN | EPOLLRDHUP | EPOLLET,
		.data.u64 = (uint64_t)conn->generation << 32 | conn->place,
	};

	if (conn->watched)
		return 0;
	conn->watched = true;
	return epoll_ctl(gate->epoll_fd, EPOLL_CTL_ADD, conn->fd, &event);
}

/* ---- requests ---- */

/* The connection of an event, when no other thread has it. */
static struct gate_conn *gate_take(struct gate *gate, uint64_t data,
				   uint32_t events)
{
	uint32_t place = (uint32_t)data, generation = (uint32_t)(data >> 32);
	struct gate_conn *conn = NULL;

	pthread_mutex_lock(&gate->lock);
	if (place < gate->room &&
	    gate->conns[place]->generation == generation) {
		conn = gate->conns[place];
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

/* What came of looking at a connection that the caller holds. */
enum gate_sight {
	GATE_WHOLE,	/* a whole request */
	GATE_NOTHING,	/* nothing, more must come */
	GATE_BEGINNING, /* the beginning of a request, more must come */
	GATE_CHANGED,	/* look again */
	GATE_LEFT,	/* let go of: it is no longer the caller's */
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
	else if (conn->ended)
		sight = GATE_END;
	conn->again = false;
	conn->busy = sight != GATE_LEFT;
	/* The time for a request runs from its first byte. */
	if (begun && conn->list == &gate->idle) {
		gate_unlist(conn);
		gate_enlist(conn, &gate->partial);
	}
	pthread_mutex_unlock(&gate->lock);
	return sight;
}

/* Throws away bytes that were peeked at before. */
static bool gate_skip(struct gate_conn *conn, struct gate_buffer *buffer,
		      size_t length)
{
	return recv(conn->fd, buffer->bytes, length, MSG_DONTWAIT) ==
	       (ssize_t)length;
}

static enum gate_sight gate_look(struct gate_conn *conn,
				 struct gate_buffer *buffer)
{
	size_t length = 0;
	ssize_t n;

	do
		n = recv(conn->fd, buffer->bytes, sizeof(buffer->bytes),
			 MSG_DONTWAIT | (conn->lingering ? 0 : MSG_PEEK));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return GATE_NOTHING;
	if (n <= 0)
		return GATE_END;
	if (conn->lingering)
		return ++conn->pieces > GATE_PIECES ? GATE_END : GATE_CHANGED;
	switch (fcgi_scan(buffer->bytes, (size_t)n, &length)) {
	case FCGI_SCAN_WHOLE:
		conn->spent = (size_t)n > length;
		return GATE_WHOLE;
	case FCGI_SCAN_BODY:
		conn->spent = true;
		return GATE_WHOLE;
	case FCGI_SCAN_SKIP:
		/* Counted: who sends nothing else would keep us here. */
		if (++conn->pieces <= GATE_PIECES &&
		    gate_skip(conn, buffer, length))
			return GATE_CHANGED;
		break;
	case FCGI_SCAN_PARTIAL:
		return ++conn->pieces > GATE_PIECES ? GATE_END : GATE_BEGINNING;
	case FCGI_SCAN_BAD:
		break;
	}
	return GATE_END;
}

/* True when the connection, held by the caller, has a whole request.  If not,
 * it was let go or closed. */
static bool gate_examine(struct gate *gate, struct gate_buffer *buffer,
			 struct gate_conn *conn)
{
	enum gate_sight sight;

	do {
		sight = gate_look(conn, buffer);
		if ((sight == GATE_NOTHING || sight == GATE_BEGINNING) &&
		    gate_watch(gate, conn))
			sight = GATE_END;
		else if (sight == GATE_NOTHING || sight == GATE_BEGINNING)
			sight = gate_let_go(gate, conn,
					    sight == GATE_BEGINNING);
	} while (sight == GATE_CHANGED);
	if (sight == GATE_END) {
		gate_close(gate, conn);
	} else if (sight == GATE_WHOLE) {
		pthread_mutex_lock(&gate->lock);
		gate_unlist(conn);
		pthread_mutex_unlock(&gate->lock);
	}
	return sight == GATE_WHOLE;
}

/* ---- waiting ---- */

/* Sends away who has kept us waiting too long, and goes on accepting after a
 * rest. */
static void gate_keep_house(struct gate *gate)
{
	int64_t now = clock_ms();
	bool rested;

	pthread_mutex_lock(&gate->lock);
	while (gate_send_away(&gate->partial, now - GATE_PARTIAL_MS))
		continue;
	while (gate_send_away(&gate->idle, now - GATE_IDLE_MS))
		continue;
	rested = gate->resting && now >= gate->rest_until_ms;
	if (rested)
		gate->resting = false;
	pthread_mutex_unlock(&gate->lock);
	if (rested)
		gate_arm_listener(gate);
}

/* How long epoll may wait until somebody has to keep house, or until until_ms;
 * -1: for ever. */
static int gate_nap_ms(struct gate *gate, int64_t until_ms)
{
	int64_t now = clock_ms(), at_ms = until_ms, nap;

	pthread_mutex_lock(&gate->lock);
	if (gate->partial.first &&
	    gate->partial.first->since_ms + GATE_PARTIAL_MS < at_ms)
		at_ms = gate->partial.first->since_ms + GATE_PARTIAL_MS;
	if (gate->idle.first &&
	    gate->idle.first->since_ms + GATE_IDLE_MS < at_ms)
		at_ms = gate->idle.first->since_ms + GATE_IDLE_MS;
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
	bool resting;

	if (event->data.u64 != GATE_LISTEN)
		return gate_take(gate, event->data.u64, event->events);
	conn = gate_accept(gate);
	/* Somebody who shares the listening socket has shut it down: it is
	 * ready for ever, though there is nothing to accept. */
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
			  int timeout_ms, struct gate_conn **conn)
{
	int64_t until_ms = timeout_ms < 0 ? INT64_MAX : clock_ms() + timeout_ms;
	struct epoll_event event;

	for (;;) {
		*conn = gate_take_ready(gate);
		if (!*conn) {
			int n = epoll_wait(gate->epoll_fd, &event, 1,
					   gate_nap_ms(gate, until_ms));

			gate_keep_house(gate);
			if (n > 0 && event.data.u64 == GATE_WAKE)
				return GATE_WOKEN;
			if (n > 0)
				*conn = gate_on_event(gate, &event);
		}
		if (*conn && gate_examine(gate, buffer, *conn))
			return GATE_REQUEST;
		/* Also when there are events without end: the caller has
		 * other things to do. */
		if (clock_ms() >= until_ms)
			return GATE_TIMEOUT;
	}
}

int gate_conn_fd(const struct gate_conn *conn)
{
	return conn->fd;
}

bool gate_conn_spent(const struct gate_conn *conn)
{
	return conn->spent;
}

/* Leaves the connection, which stays busy, to the next thread that waits. */
static void gate_make_ready(struct gate *gate, struct gate_conn *conn)
{
	conn->again = false;
	conn->next_ready = gate->ready;
	gate->ready = conn;
}

void gate_return(struct gate *gate, struct gate_conn *conn)
{
	conn->pieces = 0;
	/* A connection that is watched only now reports at once what is already
	 * there; one that was watched has noted it in `again`. */
	pthread_mutex_lock(&gate->lock);
	gate_enlist(conn, &gate->idle);
	if (!conn->watched || conn->ended)
		conn->again = true;
	if (conn->again)
		gate_make_ready(gate, conn);
	else
		conn->busy = false;
	pthread_mutex_unlock(&gate->lock);
}

void gate_linger(struct gate *gate, struct gate_conn *conn)
{
	shutdown(conn->fd, SHUT_WR);
	conn->pieces = 0;
	pthread_mutex_lock(&gate->lock);
	conn->lingering = true;
	gate_enlist(conn, &gate->partial);
	gate_make_ready(gate, conn);
	pthread_mutex_unlock(&gate->lock);
}

void gate_drop(struct gate *gate, struct gate_conn *conn)
{
	pthread_mutex_lock(&gate->lock);
	gate_free_place(gate, conn);
	pthread_mutex_unlock(&gate->lock);
}

void gate_wake(struct gate *gate)
{
	uint64_t one = 1;

	/* Edge-triggered: each write lets one waiting thread go, and nobody
	 * has to read the counter. */
	while (write(gate->wake_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

void gate_stop_accepting(struct gate *gate)
{
	struct gate_conn *conn;

	epoll_ctl(gate->epoll_fd, EPOLL_CTL_DEL, gate->listen_fd, NULL);
	do {
		conn = gate_accept(gate);
		if (conn) {
			pthread_mutex_lock(&gate->lock);
			gate_make_ready(gate, conn);
			pthread_mutex_unlock(&gate->lock);
		}
	} while (conn || errno == EACCES);
	gate_wake(gate);
}

size_t gate_connections(struct gate *gate)
{
	size_t open;

	pthread_mutex_lock(&gate->lock);
	open = gate->open;
	pthread_mutex_unlock(&gate->lock);
	return open;
}

/* ---- life ---- */

static int gate_watch_own(struct gate *gate)
{
	struct epoll_event listener = { .events = EPOLLIN | EPOLLONESHOT,
					.data.u64 = GATE_LISTEN };
	struct epoll_event wake = { .events = EPOLLIN | EPOLLET,
				    .data.u64 = GATE_WAKE };

	return epoll_ctl(gate->epoll_fd, EPOLL_CTL_ADD, gate->listen_fd,
			 &listener) ||
	       epoll_ctl(gate->epoll_fd, EPOLL_CTL_ADD, gate->wake_fd, &wake);
}

struct gate *gate_create(int listen_fd, size_t max_connections,
			 const char *allowed)
{
	struct gate *gate = calloc(1, sizeof(*gate));

	if (!gate)
		return NULL;
	gate->listen_fd = listen_fd;
	gate->max = max_connections;
	gate->allowed = allowed;
	gate->warned_ms = clock_ms() - GATE_WARN_MS;
	pthread_mutex_init(&gate->lock, NULL);
	gate->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	gate->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (gate->epoll_fd < 0 || gate->wake_fd < 0 || gate_watch_own(gate)) {
		gate_destroy(gate);
		return NULL;
	}
	return gate;
}

void gate_destroy(struct gate *gate)
{
	size_t i;

	if (!gate)
		return;
	for (i = 0; i < gate->room; i++) {
		if (gate->conns[i]->fd >= 0)
			close(gate->conns[i]->fd);
		free(gate->conns[i]);
	}
	free(gate->conns);
	if (gate->epoll_fd >= 0)
		close(gate->epoll_fd);
	if (gate->wake_fd >= 0)
		close(gate->wake_fd);
	pthread_mutex_destroy(&gate->lock);
	free(gate);
}

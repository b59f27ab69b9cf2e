#include "config.h"

#include "io/stream.h"

#include "io/stream_tls.h"
#include "io/offload.h"
#include "io/wire.h"
#include "base/text.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <unistd.h>

#define STREAM_TRY_MIN_MS 10
#define STREAM_TRY_MAX_MS 250 /* RFC 8305 section 8 */

struct stream_place {
	struct resolve_addr addr; /* with the port */
	int fd;			  /* -1: not under way */
};

/*
 * A connection to the first of several places that answers.  They are tried one
 * after another; one that is silent for its share of the time is not given up,
 * but the next one is tried beside it (RFC 8305), and the first that answers is
 * used.
 */
struct stream_race {
	struct stream_place places[RESOLVE_MAX];
	size_t n, next; /* places; the next one to try */
	int64_t try_ms;
	int set_fd, timer_fd; /* -1 with one place, or when it is over */
	const struct stream_place *winner; /* NULL: none yet */
	const struct stream_place *failed; /* the most telling try that failed,
					      NULL: none has */
	int error;			   /* ... and its error */
};

/*
 * The connection to a Unix socket.  connect(2) walks the path, and on a dead
 * mount it would never come back, although the socket does not block.  So it
 * runs in a thread of offload's.  Shared with that thread; freed by whichever
 * lets go of it last.
 */
struct stream_unix {
	atomic_int users;
	atomic_int error; /* EINPROGRESS until there is a result */
	int fd;		  /* -1: none; the caller's once it was taken */
	int event_fd;	  /* readable as soon as there is a result */
	struct sockaddr_un address;
};

struct stream {
	struct stream_race race;
	struct stream_unix *dial; /* instead of the race, until connected */
	struct stream_tls tls;
	int fd; /* -1 until connected */
	short events;
	/* The host without its last dot, or the path; for failures. */
	char name[256];
	uint16_t port;
	struct failure failure;
};

/* ---- places ---- */

/* What holds several tries at once. */
static int stream_race_set_open(struct stream_race *race)
{
	struct epoll_event wanted = { .events = EPOLLIN };

	race->set_fd = epoll_create1(EPOLL_CLOEXEC);
	race->timer_fd = timerfd_create(CLOCK_MONOTONIC,
					TFD_NONBLOCK | TFD_CLOEXEC);
	if (race->set_fd < 0 || race->timer_fd < 0 ||
	    epoll_ctl(race->set_fd, EPOLL_CTL_ADD, race->timer_fd, &wanted))
		return errno;
	return 0;
}

/* Begins: 0, or the number of the error that ended it before it began. */
static int stream_race_to_addrs(struct stream_race *race,
				const struct resolve_answer *addrs,
				uint16_t port, int64_t try_ms)
{
	size_t i;

	assert(addrs->n > 0 && addrs->n <= RESOLVE_MAX);
	for (i = 0; i < addrs->n; i++) {
		struct stream_place *place = &race->places[i];

		place->addr = addrs->addrs[i];
		place->fd = -1;
		if (place->addr.sa.sa_family == AF_INET)
			place->addr.in.sin_port = htons(port);
		else
			place->addr.in6.sin6_port = htons(port);
	}
	race->n = addrs->n;
	race->try_ms = try_ms > 0 ? try_ms : 1;
	return race->n > 1 ? stream_race_set_open(race) : 0;
}

/* ---- tries ---- */

/* Keeps the most telling error: an unreachable address is normal where a host
 * has both families. */
static void stream_race_note(struct stream_race *race,
			     const struct stream_place *place, int error)
{
	int old = race->error;

	if (!old || old == ENETUNREACH || old == EHOSTUNREACH ||
	    old == EADDRNOTAVAIL || old == EAFNOSUPPORT) {
		race->error = error;
		race->failed = place;
	}
}

static void stream_race_arm(struct stream_race *race)
{
	struct itimerspec in = { .it_value = { 0 } };

	if (race->timer_fd < 0)
		return;
	/* All zero disarms it: there is no other place to try. */
	if (race->next < race->n) {
		in.it_value.tv_sec = race->try_ms / 1000;
		in.it_value.tv_nsec = race->try_ms % 1000 * 1000000;
	}
	timerfd_settime(race->timer_fd, 0, &in, NULL);
}

static bool stream_race_timer_expired(const struct stream_race *race)
{
	uint64_t expired;

	return race->timer_fd >= 0 &&
	       read(race->timer_fd, &expired, sizeof(expired)) > 0;
}

/* Starts with one place: 0, or the error number that ends it at once. */
static int stream_race_try(struct stream_race *race, struct stream_place *place)
{
	struct epoll_event wanted = { .events = EPOLLOUT };
	int error, on = 1;

	place->fd = socket(place->addr.sa.sa_family,
			   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (place->fd < 0)
		return errno;
	setsockopt(place->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(place->fd, &place->addr.sa, place->addr.len) == 0) {
		race->winner = place;
		return 0;
	}
	error = errno;
	if (error == EINPROGRESS) {
		if (race->set_fd < 0 || epoll_ctl(race->set_fd, EPOLL_CTL_ADD,
						  place->fd, &wanted) == 0)
			return 0;
		error = ENOMEM;
	}
	close(place->fd);
	place->fd = -1;
	return error;
}

/* Starts with the next place that does not fail at once. */
static void stream_race_try_next(struct stream_race *race)
{
	struct stream_place *place;
	int error = -1;

	while (error && race->next < race->n) {
		place = &race->places[race->next++];
		error = stream_race_try(race, place);
		if (error)
			stream_race_note(race, place, error);
	}
	stream_race_arm(race);
}

/* Looks at one place under way; whether its try has failed. */
static bool stream_race_look(struct stream_race *race,
			     struct stream_place *place)
{
	struct pollfd polled = { place->fd, POLLOUT, 0 };
	socklen_t len = sizeof(int);
	int error = 0;

	if (place->fd < 0 || poll(&polled, 1, 0) <= 0)
		return false;
	if (getsockopt(place->fd, SOL_SOCKET, SO_ERROR, &error, &len))
		error = errno;
	if (!error) {
		race->winner = place;
		return false;
	}
	stream_race_note(race, place, error);
	close(place->fd); /* and leaves the epoll set by that */
	place->fd = -1;
	return true;
}

/* ---- the race ---- */

static bool stream_race_waits(const struct stream_race *race)
{
	size_t i;

	for (i = 0; i < race->n; i++)
		if (race->places[i].fd >= 0)
			return true;
	return false;
}

/* Drops what is under way, but not the winner; at any time, also twice. */
static void stream_race_end(struct stream_race *race)
{
	size_t i;

	for (i = 0; i < race->n; i++) {
		struct stream_place *place = &race->places[i];

		if (place == race->winner || place->fd < 0)
			continue;
		close(place->fd);
		place->fd = -1;
	}
	if (race->set_fd >= 0)
		close(race->set_fd);
	if (race->timer_fd >= 0)
		close(race->timer_fd);
	race->set_fd = race->timer_fd = -1;
}

/* One step: 0 when there is a winner; EINPROGRESS: wait; any other: no address
 * is left, and this is the reason. */
static int stream_race_step(struct stream_race *race)
{
	bool failed = false;
	size_t i;

	for (i = 0; i < race->n && !race->winner; i++)
		failed |= stream_race_look(race, &race->places[i]);
	if (!race->winner &&
	    (failed || race->next == 0 || stream_race_timer_expired(race)))
		stream_race_try_next(race);
	if (race->winner) {
		stream_race_end(race);
		return 0;
	}
	return stream_race_waits(race) ? EINPROGRESS : race->error;
}

/* ---- Unix sockets ---- */

static void stream_unix_release(struct stream_unix *dial)
{
	if (!dial || atomic_fetch_sub(&dial->users, 1) > 1)
		return;
	if (dial->fd >= 0)
		close(dial->fd);
	if (dial->event_fd >= 0)
		close(dial->event_fd);
	free(dial);
}

static void stream_unix_work(void *copy)
{
	struct stream_unix *dial = *(struct stream_unix **)copy;
	int error = 0;

	dial->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			  0);
	if (dial->fd < 0 ||
	    connect(dial->fd, (const struct sockaddr *)&dial->address,
		    sizeof(dial->address)))
		error = errno;
	atomic_store(&dial->error, error);
	eventfd_write(dial->event_fd, 1);
}

static void stream_unix_discard(void *copy)
{
	stream_unix_release(*(struct stream_unix **)copy);
}

static void stream_unix_done(void *arg, const void *copy)
{
	(void)copy;
	stream_unix_release(arg);
}

/* 0, or an error number. */
static int stream_unix_start(struct stream *stream, struct offload *offload,
			     const char *path)
{
	struct stream_unix *dial = calloc(1, sizeof(*dial));
	struct {
		struct stream_unix *dial;
		char path[sizeof(dial->address.sun_path)];
	} data = { .dial = dial };
	const struct offload_order order = { .data = &data,
					     .size = sizeof(data),
					     .path = data.path,
					     .work = stream_unix_work,
					     .discard = stream_unix_discard };
	size_t len = strlen(path);

	if (!dial)
		return ENOMEM;
	stream->dial = dial;
	atomic_init(&dial->users, 1);
	atomic_init(&dial->error, EINPROGRESS);
	dial->fd = -1;
	dial->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (dial->event_fd < 0)
		return errno;
	if (len >= sizeof(data.path))
		return ENAMETOOLONG;
	memcpy(data.path, path, len + 1);
	dial->address.sun_family = AF_UNIX;
	memcpy(dial->address.sun_path, path, len + 1);
	atomic_store(&dial->users, 2);
	if (offload_start(offload, &order, stream_unix_done, dial))
		return 0;
	atomic_store(&dial->users, 1);
	return ENOMEM; /* or no thread: EAGAIN would speak of the peer */
}

/* 0: the stream has the descriptor; EINPROGRESS; or the error of connect(2). */
static int stream_unix_step(struct stream *stream)
{
	int error = atomic_load(&stream->dial->error);

	if (!error) {
		stream->fd = stream->dial->fd;
		stream->dial->fd = -1;
	}
	return error;
}

/* ---- streams ---- */

static bool stream_failed(const struct stream *stream)
{
	return stream->failure.code != RESULT_UNKNOWN;
}

/* Where it is connected to, or could not connect to; NULL: nowhere. */
static const struct stream_place *stream_place(const struct stream *stream)
{
	const struct stream_race *race = &stream->race;

	return race->winner ? race->winner : race->failed;
}

/* Adds the peer to the failure that ends the stream. */
static enum stream_state stream_fail(struct stream *stream)
{
	char peer[sizeof(stream->name) + 80];
	const struct stream_place *at = stream_place(stream);
	const char *address = at ? at->addr.text : "";

	if (!*stream->name || strcmp(stream->name, address) == 0)
		snprintf(peer, sizeof(peer), "%s port %u", address,
			 stream->port);
	else
		snprintf(peer, sizeof(peer), at ? "%s (%s) port %u" : "%s",
			 stream->name, address, stream->port);
	failure_of_peer(&stream->failure, peer);
	return STREAM_ERROR;
}

static enum stream_state stream_fail_errno(struct stream *stream, int error)
{
	stream->failure = failure_errno(error);
	return stream_fail(stream);
}

int64_t stream_try_ms(int64_t left_ms, size_t n)
{
	int64_t ms = left_ms / (int64_t)(n + 1);

	if (ms < STREAM_TRY_MIN_MS)
		return STREAM_TRY_MIN_MS;
	return ms < STREAM_TRY_MAX_MS ? ms : STREAM_TRY_MAX_MS;
}

struct stream *stream_open(const struct stream_target *target)
{
	struct stream *stream = calloc(1, sizeof(*stream));
	int error;

	if (!stream)
		return NULL;
	stream->fd = -1;
	stream->race.set_fd = stream->race.timer_fd = -1;
	stream->race.places[0].fd = -1;
	stream->port = target->port;
	if (target->unix_path) {
		snprintf(stream->name, sizeof(stream->name), "%s",
			 target->unix_path);
		error = stream_unix_start(stream, target->offload,
					  target->unix_path);
	} else {
		error = stream_race_to_addrs(&stream->race, target->addrs,
					     target->port, target->try_ms);
		if (target->host)
			snprintf(stream->name, sizeof(stream->name), "%.*s",
				 (int)text_undotted(target->host),
				 target->host);
		stream->tls.trust = target->trust;
		stream->tls.host = stream->name;
		stream->tls.events = POLLIN;
	}
	if (error)
		stream_fail_errno(stream, error);
	return stream;
}

void stream_close(struct stream *stream)
{
	if (!stream)
		return;
	stream_tls_close(&stream->tls, stream_failed(stream));
	stream_race_end(&stream->race);
	stream_unix_release(stream->dial);
	if (stream->fd >= 0)
		close(stream->fd);
	free(stream);
}

int stream_release(struct stream *stream)
{
	int fd = stream->fd;

	assert(fd >= 0 && !stream->tls.trust);
	stream->fd = -1;
	stream_close(stream);
	return fd;
}

static enum stream_state stream_connect(struct stream *stream)
{
	int error = stream->dial ? stream_unix_step(stream)
				 : stream_race_step(&stream->race);

	if (error == EINPROGRESS)
		return STREAM_PENDING;
	if (error)
		return stream_fail_errno(stream, error);
	if (!stream->dial)
		stream->fd = stream->race.winner->fd;
	stream->events = POLLIN;
	return STREAM_DONE;
}

enum stream_state stream_advance(struct stream *stream)
{
	enum stream_state state;

	if (stream_failed(stream))
		return STREAM_ERROR;
	if (stream->fd < 0) {
		state = stream_connect(stream);
		if (state != STREAM_DONE)
			return state;
	}
	if (!stream->tls.trust || stream->tls.secured)
		return STREAM_DONE;
	state = stream_tls_secure(&stream->tls, stream->fd, &stream->failure);
	return state == STREAM_ERROR ? stream_fail(stream) : state;
}

/* What a system call that moved nothing means. */
static enum stream_state stream_judge(struct stream *stream, short events)
{
	if (errno != EAGAIN && errno != EINTR)
		return stream_fail_errno(stream, errno);
	stream->events = events;
	return STREAM_PENDING;
}

enum stream_state stream_read(struct stream *stream, void *to, size_t size,
			      size_t *moved)
{
	enum stream_state state;
	ssize_t got;

	/* When a write has failed there may still be something to read. */
	if (stream_failed(stream) && (stream->fd < 0 || stream->tls.trust))
		return STREAM_ERROR;
	assert(stream->fd >= 0 && size > 0);
	if (stream->tls.trust) {
		state = stream_tls_read(&stream->tls, to, size, moved,
					&stream->failure);
		return state == STREAM_ERROR ? stream_fail(stream) : state;
	}
	got = wire_recv(stream->fd, to, size, 0);
	if (got == 0)
		return stream_fail_errno(stream, EPIPE);
	if (got < 0)
		return stream_judge(stream, POLLIN);
	*moved = (size_t)got;
	return STREAM_DONE;
}

enum stream_state stream_write(struct stream *stream, const void *from,
			       size_t size, size_t *moved)
{
	enum stream_state state;
	ssize_t sent;

	if (stream_failed(stream))
		return STREAM_ERROR;
	assert(stream->fd >= 0 && size > 0);
	if (stream->tls.trust) {
		state = stream_tls_write(&stream->tls, from, size, moved,
					 &stream->failure);
		return state == STREAM_ERROR ? stream_fail(stream) : state;
	}
	sent = send(stream->fd, from, size, MSG_NOSIGNAL);
	if (sent < 0)
		return stream_judge(stream, POLLOUT);
	*moved = (size_t)sent;
	return STREAM_DONE;
}

int stream_fd(const struct stream *stream)
{
	if (stream->fd >= 0)
		return stream->fd;
	if (stream->dial)
		return stream->dial->event_fd;
	/* A set holds what is under way; without one there is one place. */
	return stream->race.set_fd >= 0 ? stream->race.set_fd
					: stream->race.places[0].fd;
}

short stream_events(const struct stream *stream)
{
	if (stream->fd < 0)
		return stream->dial || stream->race.set_fd >= 0 ? POLLIN
								: POLLOUT;
	return stream->tls.trust ? stream->tls.events : stream->events;
}

const char *stream_step(const struct stream *stream)
{
	if (stream->fd < 0)
		return "connecting";
	return stream->tls.trust && !stream->tls.secured
		       ? "in the TLS handshake; is it a TLS port?"
		       : "connected";
}

const struct failure *stream_failure(const struct stream *stream)
{
	return &stream->failure;
}

const struct sockaddr *stream_peer(const struct stream *stream)
{
	const struct stream_place *place = stream_place(stream);

	return place ? &place->addr.sa : NULL;
}

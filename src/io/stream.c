#include "config.h"

#include "io/stream.h"

#include "io/stream_race.h"
#include "io/stream_tls.h"
#include "io/offload.h"
#include "io/wire.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define STREAM_TRY_MIN_MS 10
#define STREAM_TRY_MAX_MS 250 /* RFC 8305 section 8 */

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
		return EMFILE;
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

/* Adds the peer to the failure that ends the stream. */
static enum stream_state stream_fail(struct stream *stream)
{
	char peer[sizeof(stream->name) + 80], address[INET6_ADDRSTRLEN] = "";
	const struct sockaddr *at = stream_peer(stream);

	if (stream->dial) {
		failure_of_peer(&stream->failure, stream->name);
		return STREAM_ERROR;
	}
	if (at)
		inet_ntop(at->sa_family, resolve_addr_bits(at), address,
			  sizeof(address));
	if (!*stream->name || strcmp(stream->name, address) == 0)
		snprintf(peer, sizeof(peer), "%s port %u", address,
			 stream->port);
	else
		snprintf(peer, sizeof(peer), at ? "%s (%s) port %u" : "%s%s",
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
	return stream->dial ? stream->dial->event_fd
			    : stream_race_fd(&stream->race);
}

short stream_events(const struct stream *stream)
{
	if (stream->fd < 0)
		return stream->dial ? POLLIN
				    : stream_race_events(&stream->race);
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
	const struct stream_race *race = &stream->race;
	const struct stream_place *place = race->winner ? race->winner
							: race->failed;

	return place ? &place->sa : NULL;
}

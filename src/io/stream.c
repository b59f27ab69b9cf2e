#include "config.h"

#include "io/stream.h"

#include "io/stream_race.h"
#include "io/stream_tls.h"
#include "io/stream_unix.h"
#include "io/wire.h"
#include "base/text.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define STREAM_TRY_MIN_MS 10
#define STREAM_TRY_MAX_MS 250 /* RFC 8305 section 8 */

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

static enum stream_state stream_tls_state(struct stream *stream,
					  enum stream_state state)
{
	return state == STREAM_ERROR ? stream_fail(stream) : state;
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
		stream->dial = stream_unix_start(target->offload,
						 target->unix_path);
		error = stream->dial ? 0 : errno;
	} else {
		error = stream_race_to_addrs(&stream->race, target->addrs,
					     target->port, target->try_ms);
		if (target->host)
			snprintf(stream->name, sizeof(stream->name), "%.*s",
				 (int)text_undotted(target->host),
				 target->host);
		if (target->trust)
			stream_tls_init(&stream->tls, target->trust,
					stream->name);
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
	stream_unix_end(stream->dial);
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
	int error = stream->dial ? stream_unix_result(stream->dial, &stream->fd)
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
	return stream_tls_state(
		stream,
		stream_tls_secure(&stream->tls, stream->fd, &stream->failure));
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
	ssize_t got;

	/* When a write has failed there may still be something to read. */
	if (stream_failed(stream) && (stream->fd < 0 || stream->tls.trust))
		return STREAM_ERROR;
	assert(stream->fd >= 0 && size > 0);
	if (stream->tls.trust)
		return stream_tls_state(
			stream, stream_tls_read(&stream->tls, to, size, moved,
						&stream->failure));
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
	ssize_t sent;

	if (stream_failed(stream))
		return STREAM_ERROR;
	assert(stream->fd >= 0 && size > 0);
	if (stream->tls.trust)
		return stream_tls_state(
			stream, stream_tls_write(&stream->tls, from, size,
						 moved, &stream->failure));
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
	return stream->dial ? stream_unix_fd(stream->dial)
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

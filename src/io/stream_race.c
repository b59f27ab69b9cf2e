#include "config.h"

#include "io/stream_race.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- places ---- */

static void stream_race_init(struct stream_race *race)
{
	size_t i;

	memset(race, 0, sizeof(*race));
	race->set_fd = race->timer_fd = -1;
	for (i = 0; i < RESOLVE_MAX; i++)
		race->places[i].fd = -1;
}

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

int stream_race_to_addrs(struct stream_race *race,
			 const struct resolve_answer *addrs, uint16_t port,
			 int64_t try_ms)
{
	size_t i;

	assert(addrs->n > 0 && addrs->n <= RESOLVE_MAX);
	stream_race_init(race);
	for (i = 0; i < addrs->n; i++) {
		struct stream_place *place = &race->places[i];

		memcpy(&place->sa, &addrs->addrs[i].sa, addrs->addrs[i].len);
		place->len = addrs->addrs[i].len;
		if (place->sa.sa_family == AF_INET)
			place->in.sin_port = htons(port);
		else
			place->in6.sin6_port = htons(port);
	}
	race->n = addrs->n;
	race->try_ms = try_ms > 0 ? try_ms : 1;
	return race->n > 1 ? stream_race_set_open(race) : 0;
}

/* ---- tries ---- */

/* Keeps the error that tells most: that there is no way to some address is
 * usual where a host has both families. */
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

	place->fd = socket(place->sa.sa_family,
			   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (place->fd < 0)
		return errno;
	setsockopt(place->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(place->fd, &place->sa, place->len) == 0) {
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

int stream_race_step(struct stream_race *race)
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

int stream_race_fd(const struct stream_race *race)
{
	/* A set holds what is under way; without one there is one place. */
	return race->set_fd >= 0 ? race->set_fd : race->places[0].fd;
}

short stream_race_events(const struct stream_race *race)
{
	return race->set_fd >= 0 ? POLLIN : POLLOUT;
}

void stream_race_end(struct stream_race *race)
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

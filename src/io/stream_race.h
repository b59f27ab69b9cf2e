/*
 * stream_race: a connection to the first of several places that answers.
 *
 * They are tried one after another; one that is silent for its share of the
 * time is not given up, but the next one is tried beside it (RFC 8305), and
 * the first that answers is used.
 *
 * Belongs to the prober thread; never blocks.  Errors are error numbers; no
 * memory is allocated.
 */
#ifndef HEALTH_STREAM_RACE_H
#define HEALTH_STREAM_RACE_H

#include <netinet/in.h>
#include <stddef.h>
#include <stdint.h>

#include "io/resolve.h"

struct stream_place {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	};
	socklen_t len;
	int fd; /* -1: not under way */
};

/* Embedded in its owner. */
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

/* Begins: 0, or the number of the error that ended it before it began. */
int stream_race_to_addrs(struct stream_race *race,
			 const struct resolve_answer *addrs, uint16_t port,
			 int64_t try_ms) __attribute__((warn_unused_result));

/* One step: 0 when there is a winner, whose descriptor is the caller's from
 * now on; EINPROGRESS: wait; any other: no address is left, and this is the
 * reason. */
int stream_race_step(struct stream_race *race)
	__attribute__((warn_unused_result));

/* While it is under way; -1: nothing to wait for. */
int stream_race_fd(const struct stream_race *race);
short stream_race_events(const struct stream_race *race);

/* Drops what is under way, but not the winner; at any time, also twice. */
void stream_race_end(struct stream_race *race);

#endif

/*
 * worker: a process that runs checks, and may be killed at any instruction.
 *
 * It is forked from the front, whose memory has the configuration and the
 * certificates, so it is there in a millisecond; libcurl, OpenSSL and the
 * others do their work in the worker only.  It closes every descriptor but a
 * few, has nothing to do with the front's threads, and dies with it.
 *
 * Redis forks from a process with threads for each of its snapshots, too: glibc
 * gives the child a working malloc(3) and stdio (its fork(2) locks them), and
 * the few locks of our own that the child needs are made anew.
 *
 * Belongs to the main thread of the front.
 */
#ifndef HEALTH_WORKER_H
#define HEALTH_WORKER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "io/loop.h"

struct board;
struct check_list;
struct plan;
struct share;

/* What a worker and the front have in common beside the share.  The worker may
 * write anything into it. */
struct worker_page {
	struct loop_beat beat;
	_Atomic uint64_t token; /* in the share; 0: it cannot be called yet */
	atomic_bool ending;	/* it is to end */
};

/* What workers are made of; borrowed. */
struct worker_plan {
	const struct check_list *checks;
	const char *drain_file; /* "": none */
	const struct plan *plan;
	struct share *share;
	bool warm;
	int heard_fd; /* told when there is something new in the share */
	int ready_fd; /* told when the worker can be called */
	/* n: the place of the worker that runs a check; in pages of its own,
	 * which a worker can only read */
	_Atomic uint8_t *places;
	size_t places_bytes;
	/* Descriptors below this may belong to settings, if they are files in
	 * memory (memfd_create(2)). */
	int first_fd;
};

struct worker {
	uint8_t place; /* it runs the checks of this place */
	int wake_fd; /* eventfd(2): look at what is new in the share; kept from
			the first start on; -1 before */
	struct worker_page *page;
	pid_t pid;   /* 0: does not run */
	int life_fd; /* readable when it has ended, where the kernel can tell;
			-1 otherwise */
};

/* One more than the highest open descriptor. */
int worker_first_fd(void);

/* -1 with errno: no process could be made. */
int worker_start(struct worker *worker, const struct worker_plan *plan);

/* Asks it to end. */
void worker_end(struct worker *worker);

/* It has ended, or will: forgets it. */
void worker_forget(struct worker *worker);

#endif

/*
 * prober: what a worker does: it asks the dependencies.
 *
 * It owns the loop, every connection and every library handle but libfcgi's.
 * With `warm` it runs every check once at its start, so that connections are
 * warm before the first probe, and goes on trying those that startup waits for.
 * After that it runs what it is called for (share.h) and what has an interval.
 *
 * It runs a check only while it holds its lease, and has no connection
 * otherwise.  What it runs and is asked for again and again it runs ahead of
 * time, so that no question waits.
 *
 * It alone logs what checks say: a change of state once, a repeat at debug
 * level, a recovery with the length of the outage.
 *
 * prober/ is for deciding when checks run.  It knows checks and the board, and
 * no request.
 */
#ifndef HEALTH_PROBER_H
#define HEALTH_PROBER_H

#include <stdbool.h>
#include <stddef.h>

struct board;
struct check_list;
struct loop_beat;
struct share;

/* Everything is borrowed. */
struct prober_options {
	const struct check_list *checks;
	const char *drain_file; /* "": none */
	struct board *board;
	struct share *share;
	bool warm;
	int wake_fd; /* an eventfd(2): look at what is new in the share */
	struct loop_beat *beat;
	/* Whether a check is left to another process; may change. */
	bool (*elsewhere)(void *arg, size_t check);
	/* Called once, when the checks can be called for. */
	void (*ready)(void *arg);
	/* Whether to end; asked at every turn. */
	bool (*ending)(void *arg);
	void *arg;
};

/*
 * Asks, in the main thread of a worker, until it is to end: runs under way end
 * without a result then, and connections are closed.  -1, and a line in the
 * log, when memory, descriptors or threads ran out.
 */
int prober_run(const struct prober_options *options)
	__attribute__((warn_unused_result));

#endif

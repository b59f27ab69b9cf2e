/*
 * prober: the thread that asks the dependencies.
 *
 * It owns the loop, every connection and every library handle but libfcgi's.
 * With `warm` it runs every check once at its start, so that connections are
 * warm before the first probe, and goes on trying those that startup waits for.
 * After that it runs what is wanted (board) and what has an interval.
 *
 * With a share it runs a check only while it holds its lease, and has no
 * connection otherwise.  What it runs and is asked for again and again it runs
 * ahead of time, so that no question waits.
 *
 * It alone logs what checks say: a change of state once, a repeat at debug
 * level, a recovery with the length of the outage.
 *
 * prober_start() and prober_stop() belong to the main thread.
 *
 * prober/ is for deciding when checks run.  It knows checks and the board, and
 * no request.
 */
#ifndef HEALTH_PROBER_H
#define HEALTH_PROBER_H

#include <stdbool.h>

struct board;
struct check_list;
struct prober;
struct share;

/* checks, drain_file ("": none), board and share (which may be NULL) are
 * borrowed until prober_stop().  NULL, and a line in the log, when memory,
 * descriptors or threads ran out. */
struct prober *prober_start(const struct check_list *checks,
			    const char *drain_file, struct board *board,
			    struct share *share, bool warm);

/* Runs under way end without a result.  -1 when the thread does not stop in
 * time: it and what it holds are left behind then. */
int prober_stop(struct prober *prober) __attribute__((warn_unused_result));

#endif

/*
 * schedule: decides when one check runs, and whether this process runs it.
 *
 * A check runs when this process is called to, when its interval is over, while
 * startup waits for it, and ahead of time while it is asked for again and
 * again. It runs here only while this process holds its lease; without one the
 * check has no connection here, and results come from the process that has it.
 *
 * Schedules log what checks say: a change of state once, a repeat at debug
 * level, a recovery with the length of the outage.
 *
 * Belongs to the main thread of a worker.
 */
#ifndef HEALTH_SCHEDULE_H
#define HEALTH_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "check/check.h"
#include "io/loop.h"

struct board;
struct share;

/* What all schedules of a prober have in common; borrowed. */
struct schedule_world {
	struct board *board;
	struct share *share;
	struct loop *loop;
	bool ahead; /* run checks ahead of time, and until they started */
	/* Whether a check is left to another process. */
	bool (*elsewhere)(void *arg, size_t index);
	void *arg;
};

struct schedule {
	const struct schedule_world *world;
	const struct check_setup *setup;
	struct check *check;
	size_t index; /* of the check on the board */
	struct loop_timer next;
	int64_t retry_ms;
	int64_t retried_us; /* the end of the run that it counts from */
	bool held;	    /* the lease is ours */
};

/* -1 when out of memory; schedule_end() in both cases. */
int schedule_begin(struct schedule *schedule,
		   const struct schedule_world *world,
		   const struct check_setup *setup, size_t index,
		   const struct check_env *env)
	__attribute__((warn_unused_result));
void schedule_end(struct schedule *schedule);

/* Runs the check before the first question, unless another process does. */
void schedule_warm_up(struct schedule *schedule);

/* Begins a run, unless another process runs the check.  renew: no question
 * waits, and the last result is still valid. */
void schedule_run(struct schedule *schedule, bool renew);

/* Looks what the other processes did; to be called when there is news in the
 * share. */
void schedule_attend(struct schedule *schedule);

#endif

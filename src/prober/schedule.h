/*
 * schedule: decides when one check runs, and whether this process runs it.
 *
 * A check runs when it is wanted, when its interval is over, while startup
 * waits for it, and, in a share, ahead of time while it is asked for again and
 * again.  In a share it runs here only while this process holds its lease;
 * without one the check has no connection here, and results come from
 * the process that has it.
 *
 * Schedules log what checks say: a change of state once, a repeat at debug
 * level, a recovery with the length of the outage.
 *
 * Belongs to the prober thread.
 */
#ifndef HEALTH_SCHEDULE_H
#define HEALTH_SCHEDULE_H

#include <stdbool.h>
#include <stddef.h>

#include "check/check.h"
#include "io/loop.h"

struct board;
struct share;

/* While another process is to bring a result: how often to look whether it
 * still can. */
#define SCHEDULE_LOOK_MS 50

/* What all schedules of a prober have in common; borrowed. */
struct schedule_world {
	struct board *board;
	struct share *share; /* NULL: this process is alone */
	struct loop *loop;
	bool ahead; /* run checks ahead of time, and until they started */
	/* A schedule waits for another process: it has to attend in
	 * SCHEDULE_LOOK_MS at the latest. */
	void (*look_soon)(void *arg);
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
	bool waiting;	    /* for the result of another process */
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
 * share, and when a schedule wants to look soon. */
void schedule_attend(struct schedule *schedule);

/* world->share has become NULL: this process is alone.  And it is set again. */
void schedule_part(struct schedule *schedule);
void schedule_join(struct schedule *schedule);

#endif

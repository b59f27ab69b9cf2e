/*
 * keeper: decides when one check runs, and whether this process runs it.
 *
 * A check runs when it is wanted, when its interval is over, while startup
 * waits for it, and, in a share, ahead of time while it is asked for again and
 * again.  In a share it runs here only while this process holds its lease;
 * without one the check has no connection here, and results come from
 * whoever has it.
 *
 * Keepers log what checks say: a change of state once, a repeat at debug
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
#define KEEPER_LOOK_MS 50

/* What all keepers of a prober have in common; borrowed. */
struct keeper_world {
	struct board *board;
	struct share *share; /* NULL: this process is alone */
	struct loop *loop;
	bool ahead; /* run checks ahead of time, and until they started */
	/* A keeper waits for another process: it has to attend in
	 * KEEPER_LOOK_MS at the latest. */
	void (*look_soon)(void *arg);
	void *arg;
};

struct keeper {
	const struct keeper_world *world;
	const struct check_setup *setup;
	struct check *check;
	size_t place; /* on the board */
	struct loop_timer next;
	int64_t retry_ms;
	int64_t retried_us; /* the end of the run that it counts from */
	bool held;	    /* the lease is ours */
	bool waiting;	    /* for the result of another process */
};

/* -1 when out of memory; keeper_end() in both cases. */
int keeper_begin(struct keeper *keeper, const struct keeper_world *world,
		 const struct check_setup *setup, size_t place,
		 const struct check_env *env)
	__attribute__((warn_unused_result));
void keeper_end(struct keeper *keeper);

/* Runs the check before anybody asks, unless another process does. */
void keeper_warm_up(struct keeper *keeper);

/* Somebody waits for a result. */
void keeper_want(struct keeper *keeper);

/* Looks what the other processes did; to be called when there are news in the
 * share, and when a keeper wants to look soon. */
void keeper_attend(struct keeper *keeper);

/* world->share has become NULL: there are no others any more.  And has come
 * back. */
void keeper_part(struct keeper *keeper);
void keeper_join(struct keeper *keeper);

#endif

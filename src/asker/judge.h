/*
 * judge: whether a worker hangs in one call of a library or a kind.
 *
 * A worker tells which call it is in (struct loop_beat).  The asker looks at
 * that now and then, and at what the kernel says of the time since its last
 * look: on a processor, waiting for one, or asleep.  A call that computes for
 * JUDGE_CPU_MS or sleeps for JUDGE_SLEEP_MS hangs, and so does an owner whose
 * calls sleep most of the time.  One that waits for a
 * processor does not, nor does one that lasted while the asker itself could not
 * look in time: the whole machine or container is slow then, or was suspended.
 *
 * Pure; belongs to the main thread.
 */
#ifndef HEALTH_JUDGE_H
#define HEALTH_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

#define JUDGE_CPU_MS 500
#define JUDGE_SLEEP_MS 1000
/* Calls of one owner that sleep, together.  What passes otherwise takes a
 * quarter of it off. */
#define JUDGE_DOZE_MS 1500
/* As long of it must be seen: how a call spent the time before the first look
 * at it is unknown. */
#define JUDGE_SEEN_MS 500
/* A look that comes so long after the last one does not count. */
#define JUDGE_LATE_MS 200

enum judge_verdict {
	JUDGE_FINE,
	JUDGE_COMPUTES, /* one call has used the processor for too long */
	JUDGE_SLEEPS
};

/* What is seen at one time. */
struct judge_look {
	int64_t now_ms;
	uint64_t call;	   /* its number; 0: between calls */
	uint32_t owner;	   /* of the call */
	int64_t since_ms;  /* of the call */
	int64_t cpu_us;	   /* of the worker's thread, since its start */
	int64_t waited_us; /* likewise, for a processor, until it got one */
	bool runnable;	   /* it has one or waits for it */
};

/* Zeroed: nothing was seen yet. */
struct judge {
	struct judge_look first; /* at this call */
	int64_t last_ms;	 /* the last look ... */
	int64_t last_us;	 /* ... saw so much time awake */
	uint32_t dozer;		 /* whose calls slept */
	int64_t dozed_ms;	 /* how long, for JUDGE_DOZE_MS */
};

/* How long the call has lasted.  The worker may have written anything: a time
 * that cannot be counts as JUDGE_SLEEP_MS ago, so that it hides no hang. */
int64_t judge_age_ms(const struct judge_look *look);

enum judge_verdict judge_call(struct judge *judge,
			      const struct judge_look *look);

#endif

/*
 * loop: poll(2) over watched descriptors, timers, and a wake from outside.
 *
 * Only the thread that owns a loop may call these functions, except loop_wake()
 * and loop_stop(), which any thread may call.  Watches and timers are embedded
 * in their owner's record; the loop only borrows them, from the call that sets
 * them to the call that clears them.  They may be set and cleared from inside
 * any callback, their own included.
 *
 * Each watch and timer belongs to what was the owner when it was set, and its
 * callback runs for that owner.  So a process that looks at the loop's beat
 * from outside knows for what it is busy, also inside a library.
 *
 * poll(2) and not epoll(7): a library may close a descriptor and open another
 * with the same number between two of our calls (libpq does, with
 * sslmode=prefer); poll(2) keeps nothing in the kernel that could go stale.
 *
 * Order within one turn: poll, input, one more look without waiting when a
 * timer is due (what arrived while we were busy counts as in time), then the
 * timers that are due.
 *
 * io/ is for waiting without blocking.  It knows descriptors, addresses and
 * TLS, and no protocol of a dependency.
 */
#ifndef HEALTH_LOOP_H
#define HEALTH_LOOP_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"

struct loop;

#define LOOP_STEP_BYTES 48

/* What the loop is doing, for another process to look at. */
struct loop_beat {
	_Atomic uint64_t calls;	    /* begun so far */
	_Atomic uint64_t call;	    /* the number of the one under way, or 0 */
	_Atomic int64_t since_ms;   /* when it began */
	_Atomic uint32_t owner;	    /* of it; 0: none */
	char step[LOOP_STEP_BYTES]; /* what the owner is doing; "": unknown */
};

struct loop_watch {
	void (*on_io)(void *arg, short revents);
	void *arg;
	/* private to loop.c */
	int fd;
	short events;
	uint32_t owner;
	size_t index; /* 1 + that in the loop's list; 0: not watched */
};

struct loop_timer {
	void (*on_time)(void *arg);
	void *arg;
	int64_t at_ms; /* when it fires, while it is armed */
	/* private to loop.c: a pairing heap of the timers themselves, so that
	 * arming needs no memory and cannot fail */
	uint64_t order; /* of arming, for equal times */
	uint32_t owner;
	struct loop_timer **link;	 /* what points here; NULL: not armed */
	struct loop_timer *next, *child; /* sibling, and first of its own */
};

/* NULL when out of memory or descriptors. */
struct loop *loop_create(void);
/* Likewise; wake_fd, which an eventfd_write(3) makes readable, wakes it, too,
 * and beat tells what it does.  Both are borrowed. */
struct loop *loop_create_for(int wake_fd, struct loop_beat *beat);
void loop_destroy(struct loop *loop);

/*
 * Watches fd for events (POLLIN, POLLOUT); POLLERR, POLLHUP and POLLNVAL are
 * always reported.  Replaces what the watch had.  With fd < 0 the watch ends.
 * A zeroed record is a valid watch that watches nothing.
 * -1 when out of memory, only possible when the watch was idle.
 */
int loop_watch_set(struct loop *loop, struct loop_watch *watch, int fd,
		   short events) __attribute__((warn_unused_result));
void loop_watch_clear(struct loop *loop, struct loop_watch *watch);
/* The watch was set while something else is done than what it is for. */
static inline void loop_watch_own(struct loop_watch *watch, uint32_t owner)
{
	watch->owner = owner;
}

/*
 * Arms the timer for at_ms on clock_ms(); replaces what it had; fires once.
 * Timers for the same time fire in the order in which they were armed.
 * A zeroed record is a valid timer that is not armed.
 */
void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms);
/* ... for so many milliseconds from now. */
static inline void loop_timer_in(struct loop *loop, struct loop_timer *timer,
				 int64_t ms)
{
	loop_timer_set(loop, timer, clock_ms() + ms);
}
void loop_timer_clear(struct loop *loop, struct loop_timer *timer);
static inline bool loop_timer_armed(const struct loop_timer *timer)
{
	return timer->link != NULL;
}

/* Makes something the owner of what is done from now on, until it is set
 * again or the callback ends; returns the owner before. */
uint32_t loop_own(struct loop *loop, uint32_t owner);
/* The owner of what is done now. */
uint32_t loop_owner(const struct loop *loop);
/* ... and what it is doing, for the beat. */
void loop_say(struct loop *loop, const char *step);

/* Turns until loop_stop().  on_turn(arg) is called at the start of every turn.
 */
void loop_run(struct loop *loop, void (*on_turn)(void *arg), void *arg);

/* Makes the loop turn at once.  Any thread, also a signal handler. */
void loop_wake(struct loop *loop);

/* Makes loop_run() return after the turn under way.  Any thread. */
void loop_stop(struct loop *loop);

#endif

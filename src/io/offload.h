/*
 * offload: runs what can only block in a few threads beside the loop's.
 *
 * A stat(2) on a dead network mount may never come back and cannot be
 * interrupted.  The job owns everything that its thread touches, so its
 * starter may forget it at any time.  The number of threads is bounded, and a
 * mount that is dead cannot take all of them: jobs for other mounts go on.
 *
 * Belongs to the main thread of a worker, except that work() runs in another
 * thread.
 */
#ifndef HEALTH_OFFLOAD_H
#define HEALTH_OFFLOAD_H

#include <stddef.h>

struct loop;
struct offload;
struct offload_job;

/* NULL when out of memory. */
struct offload *offload_create(struct loop *loop);
/* Does not wait for jobs that are stuck: they are left behind. */
void offload_destroy(struct offload *offload);

enum offload_room {
	OFFLOAD_SHARED,	 /* waits for a thread when all are busy */
	OFFLOAD_RESERVED /* never waits behind the others; one at a time */
};

struct offload_order {
	const void *data; /* plain data, copied */
	size_t size;
	const char *path; /* what it may block on: points into data, or NULL */
	enum offload_room room;
	void (*work)(void *copy); /* in the other thread */
	/* Instead of done(), in any thread, also when work() was never called;
	 * NULL: nothing to do. */
	void (*discard)(void *copy);
};

/*
 * Begins a job.  After work(copy), done(arg, copy) is called from the loop,
 * unless the job was forgotten.  NULL when no thread can be created.  The job
 * is gone when done() is called, and with offload_destroy().
 */
struct offload_job *offload_start(struct offload *offload,
				  const struct offload_order *order,
				  void (*done)(void *arg, const void *copy),
				  void *arg);
/* done() will not be called; NULL is allowed. */
void offload_forget(struct offload_job *job);

#endif

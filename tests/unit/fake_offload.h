/*
 * fake_offload: jobs are done at once, or later, in the same thread.
 */
#ifndef HEALTH_FAKE_OFFLOAD_H
#define HEALTH_FAKE_OFFLOAD_H

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "io/offload.h"
#include "unit.h"

static struct offload {
	bool none;  /* no thread can be created */
	bool hangs; /* the job is not done */
	bool later; /* it is done in fake_offload_finish(); one at a time */
	int started;
	void *left; /* what a job that hangs works on */
} fake_offload;

struct offload_job {
	void *copy; /* of malloc(3); NULL: it is not under way */
	void (*work)(void *copy);
	void (*done)(void *arg, const void *copy);
	void *arg;
};

static struct offload_job fake_offload_job;

/* Also what the end of a job has begun. */
static inline void fake_offload_finish(void)
{
	while (fake_offload_job.copy) {
		struct offload_job job = fake_offload_job;

		fake_offload_job.copy = NULL;
		job.work(job.copy);
		job.done(job.arg, job.copy);
		free(job.copy);
	}
}

struct offload_job *offload_start(struct offload *offload,
				  const struct offload_order *order,
				  void (*done)(void *arg, const void *copy),
				  void *arg)
{
	struct offload_job *job = &fake_offload_job;
	max_align_t copy[32];

	(void)offload;
	if (fake_offload.none)
		return NULL;
	CHECK(!order->path ||
	      (size_t)(order->path - (const char *)order->data) < order->size);
	fake_offload.started++;
	if (fake_offload.later) {
		CHECK(!job->copy);
		*job = (struct offload_job){ malloc(order->size), order->work,
					     done, arg };
		if (job->copy)
			memcpy(job->copy, order->data, order->size);
		return job->copy ? job : NULL;
	}
	if (order->size > sizeof(copy))
		return NULL;
	memcpy(copy, order->data, order->size);
	if (fake_offload.hangs) {
		memcpy(&fake_offload.left, copy, sizeof(fake_offload.left));
		return job;
	}
	order->work(copy);
	done(arg, copy);
	return job;
}

#endif

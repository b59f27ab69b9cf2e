#include "config.h"

#include "offload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "loop.h"

/* Room for a few frames and libc's own use of the stack. */
#define OFFLOAD_STACK_BYTES (128 * 1024)

/* What the threads see.  Freed by whoever is last. */
struct offload_shared {
	pthread_mutex_t lock;
	size_t users; /* the prober, and each thread */
	int fd;	      /* tells the loop that something is finished */
	bool closed;  /* nobody will fetch what is finished */
	struct offload_job *first, **last; /* finished, oldest first */
};

struct offload {
	struct loop *loop;
	struct offload_shared *shared;
	struct loop_watch watch;
};

struct offload_job {
	struct offload_shared *shared;
	struct offload_job *next;
	void (*work)(void *copy);
	void (*done)(void *arg, const void *copy);
	void *arg;
	bool finished, forgotten;
	_Alignas(max_align_t) unsigned char data[];
};

/* Unlocks, too. */
static void offload_release(struct offload_shared *shared)
{
	bool last = --shared->users == 0;

	pthread_mutex_unlock(&shared->lock);
	if (!last)
		return;
	pthread_mutex_destroy(&shared->lock);
	free(shared);
}

static void offload_tell(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

static void *offload_thread(void *arg)
{
	struct offload_job *job = arg;
	struct offload_shared *shared = job->shared;

	job->work(job->data);
	pthread_mutex_lock(&shared->lock);
	if (job->forgotten || shared->closed) {
		free(job);
	} else {
		job->finished = true;
		*shared->last = job;
		shared->last = &job->next;
		offload_tell(shared->fd);
	}
	offload_release(shared);
	return NULL;
}

/* Takes a finished job out of the list; the lock is held. */
static void offload_unlink(struct offload_shared *shared,
			   struct offload_job *job)
{
	struct offload_job **at = &shared->first;

	while (*at != job)
		at = &(*at)->next;
	*at = job->next;
	if (!job->next)
		shared->last = at;
}

static struct offload_job *offload_take(struct offload_shared *shared)
{
	struct offload_job *job;

	pthread_mutex_lock(&shared->lock);
	job = shared->first;
	if (job)
		offload_unlink(shared, job);
	pthread_mutex_unlock(&shared->lock);
	return job;
}

static void offload_on_finished(void *arg, short revents)
{
	struct offload *offload = arg;
	struct offload_job *job;
	uint64_t count;

	(void)revents;
	while (read(offload->shared->fd, &count, sizeof(count)) < 0 &&
	       errno == EINTR)
		continue;
	/* One at a time: done() may forget one of the others. */
	while ((job = offload_take(offload->shared))) {
		job->done(job->arg, job->data);
		free(job);
	}
}

static struct offload_shared *offload_shared_create(void)
{
	struct offload_shared *shared = calloc(1, sizeof(*shared));

	if (!shared)
		return NULL;
	shared->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (shared->fd < 0 || pthread_mutex_init(&shared->lock, NULL)) {
		if (shared->fd >= 0)
			close(shared->fd);
		free(shared);
		return NULL;
	}
	shared->users = 1;
	shared->last = &shared->first;
	return shared;
}

struct offload *offload_create(struct loop *loop)
{
	struct offload *offload = calloc(1, sizeof(*offload));

	if (!offload)
		return NULL;
	offload->loop = loop;
	offload->watch.on_io = offload_on_finished;
	offload->watch.arg = offload;
	offload->shared = offload_shared_create();
	if (!offload->shared || loop_watch_set(loop, &offload->watch,
					       offload->shared->fd, POLLIN)) {
		offload_destroy(offload);
		return NULL;
	}
	return offload;
}

void offload_destroy(struct offload *offload)
{
	struct offload_shared *shared;
	struct offload_job *job;

	if (!offload)
		return;
	shared = offload->shared;
	if (shared) {
		loop_watch_clear(offload->loop, &offload->watch);
		pthread_mutex_lock(&shared->lock);
		shared->closed = true;
		while ((job = shared->first)) {
			shared->first = job->next;
			free(job);
		}
		close(shared->fd);
		offload_release(shared);
	}
	free(offload);
}

/* Begins the detached thread of a job.  It takes no signals: those belong to
 * the main thread. */
static int offload_spawn(struct offload_job *job)
{
	sigset_t all, before;
	pthread_attr_t attr;
	pthread_t thread;
	int error;

	if (pthread_attr_init(&attr))
		return -1;
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attr, OFFLOAD_STACK_BYTES);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	error = pthread_create(&thread, &attr, offload_thread, job);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	pthread_attr_destroy(&attr);
	return error ? -1 : 0;
}

struct offload_job *offload_start(struct offload *offload, const void *data,
				  size_t size, void (*work)(void *copy),
				  void (*done)(void *arg, const void *copy),
				  void *arg)
{
	struct offload_shared *shared = offload->shared;
	struct offload_job *job = calloc(1, sizeof(*job) + size);

	if (!job)
		return NULL;
	job->shared = shared;
	job->work = work;
	job->done = done;
	job->arg = arg;
	memcpy(job->data, data, size);
	pthread_mutex_lock(&shared->lock);
	shared->users++;
	pthread_mutex_unlock(&shared->lock);
	if (offload_spawn(job)) {
		pthread_mutex_lock(&shared->lock);
		offload_release(shared);
		free(job);
		return NULL;
	}
	return job;
}

void offload_forget(struct offload_job *job)
{
	struct offload_shared *shared;
	bool finished;

	if (!job)
		return;
	shared = job->shared;
	pthread_mutex_lock(&shared->lock);
	finished = job->finished;
	if (finished)
		offload_unlink(shared, job);
	else
		job->forgotten = true; /* its thread frees it */
	pthread_mutex_unlock(&shared->lock);
	if (finished)
		free(job);
}

/* ---- lanes ---- */

static void offload_lane_on_done(void *arg, const void *copy)
{
	struct offload_lane *lane = arg;
	void (*done)(void *, const void *) = lane->done;

	lane->job = NULL;
	lane->done = NULL;
	if (done)
		done(lane->arg, lane->joined ? NULL : copy);
}

int offload_lane_ask(struct offload *offload, struct offload_lane *lane,
		     const void *data, size_t size, void (*work)(void *copy),
		     void (*done)(void *arg, const void *copy), void *arg)
{
	lane->joined = lane->job != NULL;
	if (!lane->job)
		lane->job = offload_start(offload, data, size, work,
					  offload_lane_on_done, lane);
	if (!lane->job)
		return -1;
	lane->done = done;
	lane->arg = arg;
	return 0;
}

void offload_lane_leave(struct offload_lane *lane, const void *arg)
{
	if (lane->arg == arg)
		lane->done = NULL;
}

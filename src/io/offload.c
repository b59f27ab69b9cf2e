#include "config.h"

#include "io/offload.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/helper.h"
#include "io/loop.h"
#include "io/offload_mount.h"

/* Threads that take any job. */
#define OFFLOAD_FREE_THREADS 8
/* Beyond these, two for each mount: one that is dead takes no more, and what
 * is mounted elsewhere is still looked at. */
#define OFFLOAD_THREADS 24
#define OFFLOAD_PER_MOUNT 2

/* What the threads see.  Freed by whichever user is last. */
struct offload_shared {
	pthread_mutex_t lock;
	pthread_cond_t work;
	size_t users;	 /* the prober, and each thread */
	size_t idle;	 /* threads that wait for work */
	size_t wakes;	 /* of these, how many have been told of some */
	size_t starting; /* threads that do not yet look for work */
	int fd;		 /* tells the loop that something is finished */
	bool closed;	 /* finished jobs are no longer fetched */
	struct offload_job *queued;   /* oldest first */
	struct offload_job *running;  /* in any order */
	struct offload_job *finished; /* oldest first */
};

struct offload {
	struct loop *loop;
	struct offload_shared *shared;
	struct loop_watch watch;
};

struct offload_job {
	struct offload_shared *shared;
	struct offload_job *next;
	enum offload_room room;
	const char *path; /* NULL: none; in data */
	uint64_t mount;	  /* of path; 0: not looked up yet */
	void (*work)(void *copy);
	void (*discard)(void *copy);
	void (*done)(void *arg, const void *copy);
	void *arg;
	bool forgotten;
	_Alignas(max_align_t) unsigned char data[];
};

static void offload_drop(struct offload_job *job)
{
	if (job->discard)
		job->discard(job->data);
	free(job);
}

/* Unlocks, too. */
static void offload_release(struct offload_shared *shared)
{
	bool last = --shared->users == 0;

	pthread_mutex_unlock(&shared->lock);
	if (!last)
		return;
	pthread_cond_destroy(&shared->work);
	pthread_mutex_destroy(&shared->lock);
	free(shared);
}

static void offload_tell(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

/* ---- lists; the lock is held ---- */

static void offload_append(struct offload_job **list, struct offload_job *job)
{
	while (*list)
		list = &(*list)->next;
	job->next = NULL;
	*list = job;
}

/* false: it is not in the list. */
static bool offload_unlink(struct offload_job **list, struct offload_job *job)
{
	while (*list && *list != job)
		list = &(*list)->next;
	if (!*list)
		return false;
	*list = job->next;
	return true;
}

static size_t offload_count(const struct offload_shared *shared, uint64_t mount)
{
	const struct offload_job *job;
	size_t n = 0;

	for (job = shared->running; job; job = job->next)
		n += !mount || job->mount == mount;
	return n;
}

/* ---- which job is next; the lock is held ---- */

static void offload_find_mount(struct offload_job *job)
{
	if (!job->mount)
		job->mount = offload_mount(job->path);
}

/* coming: threads that are about to take a job. */
static bool offload_may_run(struct offload_shared *shared,
			    struct offload_job *job, size_t coming)
{
	struct offload_job *other;
	size_t n = offload_count(shared, 0) + coming;

	if (n < OFFLOAD_FREE_THREADS || job->room == OFFLOAD_RESERVED)
		return true;
	if (n >= OFFLOAD_THREADS)
		return false;
	offload_find_mount(job);
	for (other = shared->running; other; other = other->next)
		offload_find_mount(other);
	return offload_count(shared, job->mount) < OFFLOAD_PER_MOUNT;
}

/* Moves the oldest job that may run to those that run; NULL: none. */
static struct offload_job *offload_begin_next(struct offload_shared *shared)
{
	struct offload_job *job = shared->queued;

	while (job && !offload_may_run(shared, job, 0))
		job = job->next;
	if (job) {
		offload_unlink(&shared->queued, job);
		offload_append(&shared->running, job);
	}
	return job;
}

/* ---- threads ---- */

/* The lock is held, and released meanwhile. */
static void offload_do(struct offload_shared *shared, struct offload_job *job)
{
	pthread_mutex_unlock(&shared->lock);
	job->work(job->data);
	pthread_mutex_lock(&shared->lock);
	offload_unlink(&shared->running, job);
	if (job->forgotten || shared->closed) {
		offload_drop(job);
		return;
	}
	offload_append(&shared->finished, job);
	offload_tell(shared->fd);
}

static void *offload_thread(void *arg)
{
	struct offload_shared *shared = arg;
	struct offload_job *job;

	pthread_mutex_lock(&shared->lock);
	shared->starting--;
	while (!shared->closed) {
		job = offload_begin_next(shared);
		if (job) {
			offload_do(shared, job);
			continue;
		}
		shared->idle++;
		while (!shared->wakes && !shared->closed)
			pthread_cond_wait(&shared->work, &shared->lock);
		shared->idle--;
		if (shared->wakes)
			shared->wakes--;
	}
	offload_release(shared);
	return NULL;
}

/* The lock is held. */
static int offload_spawn(struct offload_shared *shared)
{
	if (helper_start(offload_thread, shared))
		return -1;
	shared->users++;
	shared->starting++;
	return 0;
}

/*
 * Has the queued job taken by an idle thread, or a new one if it may run now.
 * If no thread can be created, the job waits for one of the running threads;
 * false: there are none.  The lock is held.
 */
static bool offload_hand_over(struct offload_shared *shared,
			      struct offload_job *job)
{
	if (shared->idle > shared->wakes) {
		shared->wakes++;
		pthread_cond_signal(&shared->work);
		return true;
	}
	if (!offload_may_run(shared, job, shared->wakes + shared->starting))
		return true;
	return offload_spawn(shared) == 0 || shared->users > 1;
}

/* ---- in the prober's thread ---- */

static struct offload_job *offload_take(struct offload_shared *shared)
{
	struct offload_job *job;

	pthread_mutex_lock(&shared->lock);
	job = shared->finished;
	if (job)
		shared->finished = job->next;
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
	if (shared->fd < 0) {
		free(shared);
		return NULL;
	}
	pthread_mutex_init(&shared->lock, NULL);
	pthread_cond_init(&shared->work, NULL);
	shared->users = 1;
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

static void offload_free_all(struct offload_job **list)
{
	struct offload_job *job;

	while ((job = *list)) {
		*list = job->next;
		offload_drop(job);
	}
}

void offload_destroy(struct offload *offload)
{
	struct offload_shared *shared;

	if (!offload)
		return;
	shared = offload->shared;
	if (shared) {
		loop_watch_clear(offload->loop, &offload->watch);
		pthread_mutex_lock(&shared->lock);
		shared->closed = true;
		offload_free_all(&shared->queued);
		offload_free_all(&shared->finished);
		pthread_cond_broadcast(&shared->work);
		close(shared->fd);
		offload_release(shared);
	}
	free(offload);
}

struct offload_job *offload_start(struct offload *offload,
				  const struct offload_order *order,
				  void (*done)(void *arg, const void *copy),
				  void *arg)
{
	struct offload_shared *shared = offload->shared;
	struct offload_job *job = calloc(1, sizeof(*job) + order->size);
	bool taken;

	if (!job)
		return NULL;
	job->shared = shared;
	job->room = order->room;
	job->work = order->work;
	job->discard = order->discard;
	job->done = done;
	job->arg = arg;
	memcpy(job->data, order->data, order->size);
	if (order->path)
		job->path = (const char *)job->data +
			    (order->path - (const char *)order->data);
	pthread_mutex_lock(&shared->lock);
	offload_append(&shared->queued, job);
	taken = offload_hand_over(shared, job);
	if (!taken)
		offload_unlink(&shared->queued, job);
	pthread_mutex_unlock(&shared->lock);
	if (taken)
		return job;
	free(job);
	return NULL;
}

void offload_forget(struct offload_job *job)
{
	struct offload_shared *shared;
	bool ours;

	if (!job)
		return;
	shared = job->shared;
	pthread_mutex_lock(&shared->lock);
	ours = offload_unlink(&shared->queued, job) ||
	       offload_unlink(&shared->finished, job);
	if (!ours)
		job->forgotten = true; /* its thread frees it */
	pthread_mutex_unlock(&shared->lock);
	if (ours)
		offload_drop(job);
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
		     const struct offload_order *order,
		     void (*done)(void *arg, const void *copy), void *arg)
{
	lane->joined = lane->job != NULL;
	if (!lane->job)
		lane->job = offload_start(offload, order, offload_lane_on_done,
					  lane);
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

#include "config.h"

#include "io/offload.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/helper.h"
#include "io/loop.h"

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
	size_t users;	 /* the loop's, and each thread */
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
	uint32_t owner; /* of the loop when it was started */
	_Alignas(max_align_t) unsigned char data[];
};

/* ---- mounts ---- */

#define OFFLOAD_MOUNT_UNKNOWN 1

/* proc_pid_mountinfo(5); the kernel tells when it changes.  The lock of the
 * jobs is held. */
static struct {
	FILE *file;
	char **points; /* n of them */
	size_t n;
} offload_mounts;

/* The kernel writes blank, tab, newline and backslash as \040 and so on. */
static void offload_mount_unescape(char *text)
{
	char *to = text;
	unsigned code;

	while (*text) {
		if (text[0] == '\\' && sscanf(text + 1, "%3o", &code) == 1) {
			*to++ = (char)code;
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

static void offload_mount_add(const char *line)
{
	size_t n = offload_mounts.n;
	char *point = NULL, **points;

	/* ID, parent, device, root, mount point */
	if (sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1)
		return;
	points = reallocarray(offload_mounts.points, n + 1, sizeof(*points));
	if (!points) {
		free(point);
		return;
	}
	offload_mount_unescape(point);
	points[n] = point;
	offload_mounts.points = points;
	offload_mounts.n++;
}

static void offload_mount_read(void)
{
	char *line = NULL;
	size_t room = 0;

	while (offload_mounts.n)
		free(offload_mounts.points[--offload_mounts.n]);
	rewind(offload_mounts.file);
	while (getline(&line, &room, offload_mounts.file) > 0)
		offload_mount_add(line);
	free(line);
}

static void offload_mount_refresh(void)
{
	struct pollfd change = { .events = POLLPRI };

	if (offload_mounts.file) {
		change.fd = fileno(offload_mounts.file);
		if (poll(&change, 1, 0) <= 0)
			return;
	} else {
		offload_mounts.file = fopen("/proc/self/mountinfo", "re");
		if (!offload_mounts.file)
			return;
	}
	offload_mount_read();
}

static bool offload_mount_holds(const char *point, const char *path)
{
	size_t len = strlen(point);

	return strncmp(point, path, len) == 0 &&
	       (point[len - 1] == '/' || path[len] == '/' || !path[len]);
}

/* FNV-1a */
static uint64_t offload_mount_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash ? hash : OFFLOAD_MOUNT_UNKNOWN;
}

/*
 * A number for the mount that holds the path, as far as the text of the path
 * tells (links are not followed, the path is not touched); never 0.  All paths
 * have the same one when /proc/self/mountinfo cannot be read, or path is NULL.
 */
static uint64_t offload_mount(const char *path)
{
	const char *best = NULL;
	size_t i;

	if (!path)
		return OFFLOAD_MOUNT_UNKNOWN;
	offload_mount_refresh();
	/* Of two on the same place, the later one hides the other. */
	for (i = 0; i < offload_mounts.n; i++)
		if (offload_mount_holds(offload_mounts.points[i], path) &&
		    (!best || strlen(offload_mounts.points[i]) >= strlen(best)))
			best = offload_mounts.points[i];
	return best ? offload_mount_hash(best) : OFFLOAD_MOUNT_UNKNOWN;
}

/* ---- jobs ---- */

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
	eventfd_write(shared->fd, 1);
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
	if (helper_start(offload_thread, shared))
		return shared->users > 1;
	shared->users++;
	shared->starting++;
	return true;
}

/* ---- in the main thread ---- */

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
	eventfd_t count;

	(void)revents;
	eventfd_read(offload->shared->fd, &count);
	/* One at a time: done() may forget one of the others. */
	while ((job = offload_take(offload->shared))) {
		loop_own(offload->loop, job->owner);
		job->done(job->arg, job->data);
		free(job);
	}
}

struct offload *offload_create(struct loop *loop)
{
	struct offload *offload = calloc(1, sizeof(*offload));
	struct offload_shared *shared = calloc(1, sizeof(*shared));

	if (offload && shared) {
		*offload = (struct offload){ loop,
					     shared,
					     { .on_io = offload_on_finished,
					       .arg = offload } };
		shared->users = 1;
		pthread_mutex_init(&shared->lock, NULL);
		pthread_cond_init(&shared->work, NULL);
		shared->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		if (shared->fd >= 0 && loop_watch_set(loop, &offload->watch,
						      shared->fd, POLLIN) == 0)
			return offload;
		offload_destroy(offload);
		return NULL;
	}
	free(offload);
	free(shared);
	return NULL;
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
	loop_watch_clear(offload->loop, &offload->watch);
	pthread_mutex_lock(&shared->lock);
	shared->closed = true;
	offload_free_all(&shared->queued);
	offload_free_all(&shared->finished);
	pthread_cond_broadcast(&shared->work);
	if (shared->fd >= 0)
		close(shared->fd);
	offload_release(shared);
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
	*job = (struct offload_job){ .shared = shared,
				     .room = order->room,
				     .work = order->work,
				     .discard = order->discard,
				     .done = done,
				     .arg = arg,
				     .owner = loop_owner(offload->loop) };
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

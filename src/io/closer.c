#include "config.h"

#include "io/closer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/helper.h"

/* Descriptors that one child process closes. */
#define CLOSER_BATCH 64

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	bool runs;
	int *fds; /* in any order; n of them */
	size_t n;
	atomic_size_t waiting; /* those, and the ones being closed */
} closer = { .lock = PTHREAD_MUTEX_INITIALIZER,
	     .more = PTHREAD_COND_INITIALIZER };

static int closer_compare(const void *a, const void *b)
{
	int one = *(const int *)a, other = *(const int *)b;

	return (one > other) - (one < other);
}

/* In the child: closes all from first to the one before end.  Where a filter or
 * an old kernel denies that, the child exits: it would hold descriptors that
 * are not its own. */
static void closer_drop(unsigned first, unsigned end)
{
	if (first < end && close_range(first, end - 1, 0))
		_exit(0);
}

/* In the child: keeps n descriptors, in order, until the pipe has no writer any
 * more.  Other threads may hold any lock, so nothing but system calls here. */
static void closer_hold(const int *fds, size_t n, int pipe_fd)
{
	unsigned next = 0;
	char none;
	size_t i;

	for (i = 0; i < n; i++) {
		closer_drop(next, (unsigned)fds[i]);
		next = (unsigned)fds[i] + 1;
	}
	closer_drop(next, ~0U);
	syscall(SYS_read, pipe_fd, &none, 1);
	_exit(0);
}

static void closer_close(const int *fds, size_t n)
{
	int kept[CLOSER_BATCH + 1], ends[2] = { -1, -1 };
	size_t i;

	memcpy(kept, fds, n * sizeof(*fds));
	if (pipe2(ends, O_CLOEXEC) == 0) {
		kept[n] = ends[0];
		qsort(kept, n + 1, sizeof(*kept), closer_compare);
		if (_Fork() == 0)
			closer_hold(kept, n + 1, ends[0]);
	}
	/* By system call: close() would lead here again (wire.c). */
	for (i = 0; i < n; i++)
		syscall(SYS_close, fds[i]);
	/* Now the child has the last references. */
	if (ends[0] >= 0) {
		close(ends[0]);
		close(ends[1]);
	}
	atomic_fetch_sub(&closer.waiting, n);
}

static void *closer_main(void *arg)
{
	int fds[CLOSER_BATCH];
	size_t n;

	pthread_mutex_lock(&closer.lock);
	for (;;) {
		while (!closer.n)
			pthread_cond_wait(&closer.more, &closer.lock);
		for (n = 0; n < CLOSER_BATCH && closer.n; n++)
			fds[n] = closer.fds[--closer.n];
		pthread_mutex_unlock(&closer.lock);
		closer_close(fds, n);
		pthread_mutex_lock(&closer.lock);
	}
	return arg;
}

/* The lock is held. */
static bool closer_start(void)
{
	if (!closer.runs)
		closer.runs = helper_start(closer_main, NULL) == 0;
	return closer.runs;
}

void closer_forked(void)
{
	pthread_mutex_init(&closer.lock, NULL);
	pthread_cond_init(&closer.more, NULL);
	closer.runs = false;
	closer.n = 0;
	atomic_store(&closer.waiting, 0);
}

void closer_take(int fd)
{
	bool taken;
	int *fds;

	atomic_fetch_add(&closer.waiting, 1);
	pthread_mutex_lock(&closer.lock);
	fds = reallocarray(closer.fds, closer.n + 1, sizeof(*fds));
	if (fds)
		closer.fds = fds;
	taken = fds && closer_start();
	if (taken) {
		fds[closer.n++] = fd;
		pthread_cond_signal(&closer.more);
	}
	pthread_mutex_unlock(&closer.lock);
	if (!taken)
		closer_close(&fd, 1);
}

size_t closer_waiting(void)
{
	return atomic_load(&closer.waiting);
}

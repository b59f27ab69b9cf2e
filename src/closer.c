#include "config.h"

#include "closer.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "helper.h"

/* timer_create(2) has this name; glibc 2.36 has not. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

#define CLOSER_SIGNAL SIGALRM
#define CLOSER_SIGNAL_US 50

static struct {
	pthread_mutex_t lock;
	pthread_cond_t more;
	bool runs;
	int *fds; /* in any order; n of them */
	size_t n, room;
	atomic_size_t waiting; /* those, and the one being closed */
} closer = { .lock = PTHREAD_MUTEX_INITIALIZER,
	     .more = PTHREAD_COND_INITIALIZER };

static void closer_on_signal(int number)
{
	(void)number;
}

static void closer_close(int fd)
{
	const long period_ns = CLOSER_SIGNAL_US * 1000L;
	const struct itimerspec period = { { 0, period_ns }, { 0, period_ns } };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = CLOSER_SIGNAL };
	sigset_t set, before;
	timer_t timer;
	bool timed;

	event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
	timed = timer_create(CLOCK_MONOTONIC, &event, &timer) == 0 &&
		timer_settime(timer, 0, &period, NULL) == 0;
	sigemptyset(&set);
	sigaddset(&set, CLOSER_SIGNAL);
	pthread_sigmask(SIG_UNBLOCK, &set, &before);
	/* By its number: close() would lead here again. */
	syscall(SYS_close, fd);
	if (timed)
		timer_delete(timer);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static void *closer_main(void *arg)
{
	pthread_mutex_lock(&closer.lock);
	for (;;) {
		int fd;

		while (!closer.n)
			pthread_cond_wait(&closer.more, &closer.lock);
		fd = closer.fds[--closer.n];
		pthread_mutex_unlock(&closer.lock);
		closer_close(fd);
		atomic_fetch_sub(&closer.waiting, 1);
		pthread_mutex_lock(&closer.lock);
	}
	return arg;
}

/* The lock is held. */
static bool closer_start(void)
{
	struct sigaction action = { .sa_handler = closer_on_signal };

	if (!closer.runs) {
		sigaction(CLOSER_SIGNAL, &action, NULL);
		closer.runs = helper_start(closer_main, NULL) == 0;
	}
	return closer.runs;
}

static bool closer_has_room(void)
{
	size_t room = closer.room ? 2 * closer.room : 16;
	int *fds;

	if (closer.n < closer.room)
		return true;
	fds = realloc(closer.fds, room * sizeof(*fds));
	if (!fds)
		return false;
	closer.fds = fds;
	closer.room = room;
	return true;
}

void closer_take(int fd)
{
	bool taken;

	pthread_mutex_lock(&closer.lock);
	taken = closer_has_room() && closer_start();
	if (taken) {
		closer.fds[closer.n++] = fd;
		atomic_fetch_add(&closer.waiting, 1);
		pthread_cond_signal(&closer.more);
	}
	pthread_mutex_unlock(&closer.lock);
	if (!taken)
		closer_close(fd);
}

size_t closer_waiting(void)
{
	return atomic_load(&closer.waiting);
}

/*
 * The parent's end, seen by its child.  Three processes: this one looks on, one
 * is the parent, and one is the program.
 */
#include "config.h"

#include <poll.h>

#include "front/listen.h"
/* How long a parent must run to be watched. */
#define SETTLED_MS 200
#undef LISTEN_SETTLED_MS
#define LISTEN_SETTLED_MS SETTLED_MS
#include "front/listen.c"

#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>

#include "unit.h"

static sigset_t signals;

static int chore_fd = -1, chore_wait_ms, chore_turns;

static int turn(void *arg)
{
	eventfd_t times;

	CHECK(arg == &chore_turns);
	if (chore_fd >= 0)
		eventfd_read(chore_fd, &times);
	chore_turns++;
	return chore_wait_ms;
}

static int wait_with_chore(pid_t parent)
{
	const struct listen_chore chore = { chore_fd, turn, &chore_turns };

	return listen_wait(parent, &signals, &chore);
}

static long long now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static bool interrupted; /* poll(2), while the parent is given its time */

static void on_alarm(int number)
{
	(void)number;
}

static void interrupt(void)
{
	struct sigaction action = { .sa_handler = on_alarm };
	struct itimerval soon = { .it_value = { .tv_usec = 20000 } };

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &soon, NULL);
}

/* The program: exits with what it was told. */
static pid_t program(bool watches)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0 && interrupted)
		interrupt();
	if (pid == 0)
		_exit(wait_with_chore(watches ? parent : 0));
	return pid;
}

/* Starts the program by a parent that ends after so many milliseconds, and
 * waits for its end; it gets SIGTERM when it has lived for limit_ms. */
static int orphaned_after(int lives_ms, bool watches, int limit_ms)
{
	long long end_ms = now_ms() + limit_ms;
	int status = -1, told[2];
	pid_t parent, pid = -1;

	CHECK(pipe(told) == 0);
	fflush(stdout);
	parent = fork();
	if (parent == 0) {
		pid = program(watches);
		if (write(told[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		poll(NULL, 0, lives_ms);
		_exit(0);
	}
	CHECK(read(told[0], &pid, sizeof(pid)) == sizeof(pid));
	close(told[0]);
	close(told[1]);
	CHECK(waitpid(parent, &status, 0) == parent);
	/* An orphan is ours, since we are the reaper. */
	while (waitpid(pid, &status, WNOHANG) == 0) {
		if (now_ms() >= end_ms)
			kill(pid, SIGTERM);
		poll(NULL, 0, 5);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_signal(void)
{
	int status = -1;
	pid_t pid;

	kill(getpid(), SIGUSR1);
	kill(getpid(), SIGTERM);
	CHECK_INT(wait_with_chore(0), SIGUSR1);
	CHECK_INT(wait_with_chore(getppid()), SIGTERM);
	/* While it watches. */
	fflush(stdout);
	pid = program(true);
	poll(NULL, 0, 2 * SETTLED_MS);
	kill(pid, SIGHUP);
	CHECK(waitpid(pid, &status, 0) == pid);
	CHECK_INT(WEXITSTATUS(status), SIGHUP);
}

/* Only SIGTERM ends a program that was just started, or that does not watch its
 * parent. */
static void test_left_alone(void)
{
	CHECK_INT(orphaned_after(0, true, 4 * SETTLED_MS), SIGTERM);
	CHECK_INT(orphaned_after(3 * SETTLED_MS, false, 5 * SETTLED_MS),
		  SIGTERM);
	/* A number that is no longer that of the parent. */
	CHECK_INT(listen_watch_parent(getpid()), -1);
}

static void test_orphaned(void)
{
	long long began_ms = now_ms();

	CHECK_INT(orphaned_after(4 * SETTLED_MS, true, 20000), 0);
	CHECK(now_ms() - began_ms < 10000);
	/* Nor does an interruption keep it from watching. */
	began_ms = now_ms();
	interrupted = true;
	CHECK_INT(orphaned_after(4 * SETTLED_MS, true, 20000), 0);
	CHECK(now_ms() - began_ms < 10000);
	interrupted = false;
}

static void *say_twice(void *arg)
{
	int told = *(int *)arg;

	/* Each wakes it, and then the signal. */
	eventfd_write(told, 1);
	poll(NULL, 0, 100);
	eventfd_write(told, 1);
	poll(NULL, 0, 100);
	kill(getpid(), SIGUSR1);
	return NULL;
}

/* The chore has its turn first, when it is due, and when its descriptor says
 * so; never in a busy loop. */
static void test_chore(void)
{
	pthread_t thread;

	chore_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	chore_turns = 0;
	chore_wait_ms = 10000;
	CHECK_INT(pthread_create(&thread, NULL, say_twice, &chore_fd), 0);
	CHECK_INT(wait_with_chore(0), SIGUSR1);
	pthread_join(thread, NULL);
	CHECK_INT(chore_turns, 3);

	chore_turns = 0;
	chore_wait_ms = 10;
	CHECK_INT(pthread_create(&thread, NULL, say_twice, &chore_fd), 0);
	CHECK_INT(wait_with_chore(0), SIGUSR1);
	pthread_join(thread, NULL);
	CHECK(chore_turns > 5 && chore_turns <= 24);
	close(chore_fd);
	chore_fd = -1;
	chore_wait_ms = 20;
}

int main(void)
{
	int fd = pidfd_open(getpid(), 0);

	if (fd < 0)
		return 77;
	close(fd);
	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGHUP);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	chore_wait_ms = 20;
	test_signal();
	test_chore();
	test_left_alone();
	test_orphaned();
	return unit_report();
}

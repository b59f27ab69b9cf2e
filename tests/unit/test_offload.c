#include "config.h"

#include "io/loop.c"
#include "io/offload.c"

#include <signal.h>

#include "unit.h"

#include "base/clock.h"

struct numbers {
	int in, out;
	int gate; /* work() reads a byte from it first; -1: it does not */
	bool signals_blocked;
	char path[16];
};

static struct loop *loop;
static struct offload *offload;
static int called, last_out;
static bool last_blocked;
static void *last_arg;
static struct offload_job *to_forget;

static void work(void *copy)
{
	struct numbers *numbers = copy;
	sigset_t blocked;
	char byte;

	if (numbers->gate >= 0 && read(numbers->gate, &byte, 1) < 0)
		return;
	pthread_sigmask(SIG_SETMASK, NULL, &blocked);
	numbers->signals_blocked = sigismember(&blocked, SIGTERM) == 1 &&
				   sigismember(&blocked, SIGCHLD) == 1;
	numbers->out = numbers->in + 1;
}

static void done(void *arg, const void *copy)
{
	const struct numbers *numbers = copy;

	called++;
	last_out = numbers ? numbers->out : -1;
	last_blocked = numbers && numbers->signals_blocked;
	last_arg = arg;
	offload_forget(to_forget);
	to_forget = NULL;
	loop_stop(loop);
}

static void nothing(void *arg)
{
	(void)arg;
}

static void on_time(void *arg)
{
	bool *late = arg;

	*late = true;
	loop_stop(loop);
}

/* Turns until a done() or so many ms; true: it was a done(). */
static bool turn(int within_ms)
{
	bool late = false;
	struct loop_timer timer = { .on_time = on_time, .arg = &late };

	loop_timer_set(loop, &timer, clock_ms() + within_ms);
	atomic_store(&loop->stopped, false);
	loop_run(loop, nothing, NULL);
	loop_timer_clear(loop, &timer);
	return !late;
}

static struct offload_job *start_at(const char *path, enum offload_room room,
				    int in, int gate)
{
	struct numbers numbers = { .in = in, .gate = gate };
	struct offload_order order = { .data = &numbers,
				       .size = sizeof(numbers),
				       .path = numbers.path,
				       .room = room,
				       .work = work };
	struct offload_job *job;

	snprintf(numbers.path, sizeof(numbers.path), "%s", path);
	job = offload_start(offload, &order, done, &called);
	/* What the job works on is its own copy. */
	memset(&numbers, 0, sizeof(numbers));
	CHECK(job);
	return job;
}

static struct offload_job *start(int in, int gate)
{
	return start_at("/", OFFLOAD_SHARED, in, gate);
}

static void begin(void)
{
	loop = loop_create();
	offload = offload_create(loop);
	called = 0;
}

static void end(void)
{
	offload_destroy(offload);
	loop_destroy(loop);
}

static void test_job(void)
{
	begin();
	start(41, -1);
	CHECK(turn(10000));
	CHECK_INT(called, 1);
	CHECK_INT(last_out, 42);
	CHECK(last_arg == &called);
	CHECK(last_blocked);
	end();
}

static void test_many(void)
{
	int i;

	begin();
	for (i = 0; i < 50; i++)
		start(i, -1);
	while (called < 50 && turn(10000))
		continue;
	CHECK_INT(called, 50);
	end();
}

static void open_gate(int gate)
{
	CHECK(write(gate, "x", 1) == 1);
}

/* Waits until all threads but so many users are gone. */
static void wait_users(struct offload_shared *shared, size_t n)
{
	pthread_mutex_lock(&shared->lock);
	while (shared->users > n) {
		pthread_mutex_unlock(&shared->lock);
		sched_yield();
		pthread_mutex_lock(&shared->lock);
	}
	pthread_mutex_unlock(&shared->lock);
}

static size_t count_running(void)
{
	size_t n;

	pthread_mutex_lock(&offload->shared->lock);
	n = offload_count(offload->shared, 0);
	pthread_mutex_unlock(&offload->shared->lock);
	return n;
}

static void wait_running(size_t n)
{
	while (count_running() != n)
		sched_yield();
}

static void test_forget(void)
{
	int gate[2];
	struct offload_job *job;

	begin();
	offload_forget(NULL);
	CHECK(!pipe(gate));
	job = start(1, gate[0]); /* forgotten while it works */
	offload_forget(job);
	open_gate(gate[1]);
	wait_running(0);
	CHECK(!turn(20));
	CHECK_INT(called, 0);
	close(gate[0]);
	close(gate[1]);
	end();
}

/* Waits until so many jobs are finished and not yet handed out. */
static void wait_finished(size_t n)
{
	struct pollfd ready = { offload->shared->fd, POLLIN, 0 };
	size_t finished = 0;

	while (finished < n) {
		struct offload_job *job;

		CHECK(poll(&ready, 1, 10000) == 1);
		finished = 0;
		pthread_mutex_lock(&offload->shared->lock);
		for (job = offload->shared->finished; job; job = job->next)
			finished++;
		pthread_mutex_unlock(&offload->shared->lock);
	}
}

static void test_forget_finished(void)
{
	struct offload_job *job;

	begin();
	job = start(1, -1);
	wait_finished(1);
	offload_forget(job);
	CHECK(!turn(20));
	CHECK_INT(called, 0);
	/* The list is whole: the next job is handed out. */
	start(2, -1);
	CHECK(turn(10000));
	CHECK_INT(last_out, 3);
	end();
}

/* Two are finished, and the first one's done() forgets the second. */
static void test_forget_from_done(void)
{
	begin();
	start(1, -1);
	wait_finished(1);
	to_forget = start(2, -1);
	wait_finished(2);
	CHECK(turn(10000));
	CHECK(!turn(20));
	CHECK_INT(called, 1);
	CHECK_INT(last_out, 2);
	end();
}

static void test_destroy(void)
{
	struct offload_shared *shared;
	int gate[2];

	/* With one finished and one stuck: neither is waited for. */
	begin();
	CHECK(!pipe(gate));
	start(1, -1);
	wait_finished(1);
	start(2, gate[0]);
	shared = offload->shared;
	pthread_mutex_lock(&shared->lock);
	shared->users++; /* to see the stuck one end */
	pthread_mutex_unlock(&shared->lock);
	end();
	CHECK_INT(called, 0);
	open_gate(gate[1]);
	wait_users(shared, 1);
	pthread_mutex_lock(&shared->lock);
	CHECK(!shared->finished);
	offload_release(shared);
	CHECK_INT(called, 0);
	close(gate[0]);
	close(gate[1]);
}

static size_t count_threads(void)
{
	size_t n;

	pthread_mutex_lock(&offload->shared->lock);
	n = offload->shared->users - 1;
	pthread_mutex_unlock(&offload->shared->lock);
	return n;
}

/* A hundred looks at one dead mount, and looks elsewhere beside them. */
static void test_dead_mount(void)
{
	int gate[2], i, dead = 100;

	begin();
	CHECK(!pipe(gate));
	for (i = 0; i < 100; i++)
		start_at("/proc/dead", OFFLOAD_SHARED, 0, gate[0]);
	wait_running(OFFLOAD_FREE_THREADS);
	CHECK(!turn(20));
	start_at("/alive", OFFLOAD_SHARED, 1, -1);
	CHECK(turn(10000));
	CHECK_INT(last_out, 2);
	/* A second dead one takes two threads; where it is not mounted, it
	 * cannot be told from what is alive. */
	if (offload_mount("/sys") != offload_mount("/")) {
		for (i = 0; i < 20; i++)
			start_at("/sys/dead", OFFLOAD_SHARED, 0, gate[0]);
		dead += 20;
		wait_running(OFFLOAD_FREE_THREADS + OFFLOAD_PER_MOUNT);
	}
	start_at("/alive", OFFLOAD_SHARED, 2, -1);
	CHECK(turn(10000));
	CHECK_INT(last_out, 3);
	CHECK(count_threads() <= OFFLOAD_THREADS);
	/* It comes back: all are done, in few threads. */
	called = 0;
	for (i = 0; i < dead; i++)
		open_gate(gate[1]);
	while (called < dead && turn(10000))
		continue;
	CHECK_INT(called, dead);
	CHECK(count_threads() <= OFFLOAD_THREADS);
	close(gate[0]);
	close(gate[1]);
	end();
}

/* Whatever hangs, one thread is left for what must not wait. */
static void test_reserved(void)
{
	int gate[2], i;

	begin();
	CHECK(!pipe(gate));
	for (i = 0; i < 2 * OFFLOAD_THREADS; i++)
		start(0, gate[0]);
	wait_running(OFFLOAD_FREE_THREADS);
	start_at("/", OFFLOAD_RESERVED, 5, -1);
	CHECK(turn(10000));
	CHECK_INT(last_out, 6);
	for (i = 0; i < 2 * OFFLOAD_THREADS; i++)
		open_gate(gate[1]);
	while (called < 2 * OFFLOAD_THREADS + 1 && turn(10000))
		continue;
	close(gate[0]);
	close(gate[1]);
	end();
}

static void test_mount(void)
{
	uint64_t root = offload_mount("/"), proc = offload_mount("/proc");

	CHECK(root != proc);
	CHECK(offload_mount("/proc/self/stat") == proc);
	CHECK(offload_mount("/procedures") == root);
	CHECK(offload_mount("/proc") == proc);
	CHECK(offload_mount("relative") == OFFLOAD_MOUNT_UNKNOWN);
	CHECK(offload_mount(NULL) == OFFLOAD_MOUNT_UNKNOWN);
}

int main(void)
{
	test_job();
	test_many();
	test_forget();
	test_forget_finished();
	test_forget_from_done();
	test_destroy();
	test_dead_mount();
	test_reserved();
	test_mount();
	return unit_report();
}

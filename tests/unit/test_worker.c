/*
 * A real child process, with a prober that tells what it finds instead of one
 * that asks.
 */
#include "config.h"

#include "asker/worker.c"

#include <limits.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "fake_plan.h"
#include "unit.h"

static char dir[] = "test_worker.XXXXXX";
static struct check_list checks = { .n = 1 };
static struct share *share;
static struct worker_plan plan;
static struct worker worker;
static int others[2]; /* descriptors of the front */

/* What the worker finds, in memory that it shares with us. */
static struct found {
	uint64_t token;
	bool others_open, wake_open, signals_blocked, alone, leader;
	bool elsewhere, reads_after_cut;
	int turns;
} * found;

static void (*then)(void);

/* ---- neighbours ---- */

int prober_run(const struct prober_options *options)
{
	struct pollfd wake = { .fd = options->wake_fd, .events = POLLIN };
	sigset_t blocked;

	sigprocmask(SIG_SETMASK, NULL, &blocked);
	found->token = share_token(options->share);
	found->others_open = fcntl(others[0], F_GETFD) >= 0 ||
			     fcntl(others[1], F_GETFD) >= 0;
	found->wake_open = fcntl(options->wake_fd, F_GETFD) >= 0;
	found->signals_blocked = sigismember(&blocked, SIGTERM) == 1;
	found->leader = getsid(0) == getpid();
	found->elsewhere = options->elsewhere(options->arg, 0);
	CHECK(share_take(options->share, 0, clock_ms() + 1000, false));
	options->ready(options->arg);
	if (then)
		then();
	while (!options->ending(options->arg)) {
		found->turns++;
		poll(&wake, 1, -1);
	}
	return 0;
}

/* ---- tests ---- */

static void world(void)
{
	struct share_options options = { .dir = dir, .n = 1, .founder = true };
	char reason[PATH_MAX + 128];
	static _Atomic uint8_t places[1];
	uint64_t before;

	share = share_open(&options, reason, sizeof(reason));
	if (!share) {
		printf("%s\n", reason);
		exit(1);
	}
	memset(found, 0, sizeof(*found));
	plan = (struct worker_plan){
		.checks = &checks,
		.drain_file = "",
		.plan = fake_plan(1),
		.share = share,
		.heard_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.ready_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
		.places = places,
	};
	worker.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	CHECK_INT(pipe(others), 0);
	fflush(stdout);
	/* Its start is a call. */
	before = atomic_load(&worker.page->beat.calls);
	CHECK_INT(worker_start(&worker, &plan), 0);
	CHECK_INT(atomic_load(&worker.page->beat.call), before + 1);
	CHECK_INT(atomic_load(&worker.page->beat.owner), 0);
}

static bool readable(int fd, int ms)
{
	struct pollfd some = { .fd = fd, .events = POLLIN };

	return poll(&some, 1, ms) == 1;
}

/* The status with which it ends. */
static int end_status(void)
{
	int status = -1;

	CHECK(waitpid(worker.pid, &status, 0) == worker.pid);
	return status;
}

static void world_end(void)
{
	worker_forget(&worker);
	CHECK_INT(worker.pid, 0);
	CHECK_INT(worker.life_fd, -1);
	free((void *)plan.plan);
	close(plan.heard_fd);
	close(plan.ready_fd);
	close(worker.wake_fd);
	close(others[0]);
	close(others[1]);
	share_close(share);
}

static void wait_for_run(void)
{
	int tries;

	for (tries = 0; tries < 1000 && !found->turns; tries++)
		poll(NULL, 0, 10);
	CHECK(found->turns > 0);
}

static void test_life(void)
{
	uint64_t token;

	world();
	CHECK(worker.pid > 0);
	CHECK(readable(plan.ready_fd, 10000));
	token = atomic_load(&worker.page->token);
	CHECK(token != 0 && token != share_token(share));
	wait_for_run();
	CHECK_INT(found->token, token);
	CHECK(!found->others_open);
	CHECK(found->wake_open);
	CHECK(found->signals_blocked);
	CHECK(found->leader);
	CHECK(!found->elsewhere);
	CHECK(share_holds(share, 0, token));
	CHECK(share_theirs(share, 0));
	CHECK(worker.life_fd < 0 || !readable(worker.life_fd, 0));
	kill(worker.pid, SIGTERM);
	worker_end(&worker);
	CHECK_INT(end_status(), 0);
	CHECK(worker.life_fd < 0 || readable(worker.life_fd, 0));
	/* It gave back what it held, and told us. */
	CHECK(!share_holds(share, 0, token));
	CHECK(readable(plan.heard_fd, 0));
	world_end();
}

static void test_killed(void)
{
	world();
	wait_for_run();
	CHECK(share_theirs(share, 0));
	kill(worker.pid, SIGKILL);
	CHECK(WIFSIGNALED(end_status()));
	CHECK(!share_theirs(share, 0));
	world_end();
}

/* Its check is in another place. */
static void test_elsewhere(void)
{
	worker.place = 3;
	world();
	wait_for_run();
	CHECK(found->elsewhere);
	worker_end(&worker);
	CHECK_INT(end_status(), 0);
	world_end();
	worker.place = 0;
}

static void cut_and_read(void)
{
	char reason[PATH_MAX + 128];

	CHECK_INT(ftruncate(share_fd(plan.share), 0), 0);
	found->reads_after_cut = share_news(plan.share) == 0 &&
				 !share_intact(plan.share, reason,
					       sizeof(reason));
}

/* Another program cuts the file: as in the front, that ends nothing. */
static void test_cut(void)
{
	then = cut_and_read;
	world();
	wait_for_run();
	CHECK(found->reads_after_cut);
	worker_end(&worker);
	CHECK_INT(end_status(), 0);
	then = NULL;
	world_end();
}

int main(void)
{
	void *memory = mmap(NULL, sizeof(*found) + sizeof(*worker.page),
			    PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			    -1, 0);

	if (memory == MAP_FAILED || !mkdtemp(dir)) {
		perror("cannot begin");
		return 1;
	}
	worker.page = memory;
	found = (void *)(worker.page + 1);
	worker.life_fd = -1;
	test_life();
	test_killed();
	test_elsewhere();
	test_cut();
	CHECK_INT(rmdir(dir), 0);
	return unit_report();
}

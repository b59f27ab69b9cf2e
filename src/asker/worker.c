#include "config.h"

#include "asker/worker.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "board/board.h"
#include "board/plan.h"
#include "board/share.h"
#include "check/check.h"
#include "io/closer.h"
#include "prober/prober.h"

/* What a worker may allocate, in bytes: far more than it needs, far less than
 * what a machine has. */
#define WORKER_DATA_BYTES ((rlim_t)256 * 1024 * 1024)
#define WORKER_CHECK_DATA_BYTES ((rlim_t)4 * 1024 * 1024)
/* When memory runs out, the kernel is to end the worker, not the front
 * (proc_pid_oom_score_adj(5)). */
#define WORKER_OOM_SCORE 500
/* So many descriptors are looked at where /proc does not tell which are open.
 */
#define WORKER_DESCRIPTORS 1024

int worker_first_fd(void)
{
	DIR *listing = opendir("/proc/self/fd");
	struct dirent *entry;
	int fd, most = listing ? STDERR_FILENO : WORKER_DESCRIPTORS - 1;

	while (listing && (entry = readdir(listing))) {
		fd = (int)strtol(entry->d_name, NULL, 10);
		most = fd > most ? fd : most;
	}
	if (listing)
		closedir(listing);
	return most + 1;
}

/* ---- in the child ---- */

static int worker_compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* By system call: close() of a Unix socket may lead to closer (wire.c).  Some
 * filters deny close_range(2). */
static void worker_close_range(unsigned first, unsigned last)
{
	unsigned most;

	if (first > last || close_range(first, last, 0) == 0)
		return;
	most = (unsigned)worker_first_fd() - 1;
	for (; first <= last && first <= most; first++)
		syscall(SYS_close, first);
}

/* Passwords and certificates that kinds keep in memory, as a file that a
 * library is to read. */
static bool worker_needs(int fd)
{
	struct stat status;

	return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
	       status.st_nlink == 0;
}

/*
 * Closes all descriptors but these, standard error, and what settings need: a
 * connection of the front must end when the front ends it.  Standard input may
 * be the listening socket, standard output the answer of a CGI program.
 */
static void worker_close_others(int *kept, size_t n, int first_fd)
{
	int fd = STDERR_FILENO + 1;
	size_t i;

	/* They free two numbers for what takes their place. */
	syscall(SYS_close, STDIN_FILENO);
	syscall(SYS_close, STDOUT_FILENO);
	(void)!open("/dev/null", O_RDWR);
	(void)!open("/dev/null", O_RDWR);
	qsort(kept, n, sizeof(*kept), worker_compare);
	for (i = 0; i <= n; i++) {
		int end = i < n ? kept[i] : INT_MAX;

		for (; fd < end && fd < first_fd; fd++)
			if (!worker_needs(fd))
				syscall(SYS_close, fd);
		worker_close_range((unsigned)fd, (unsigned)end - 1);
		fd = end + (i < n);
	}
}

/* Memory that the process has got so far, in bytes; 0: unknown. */
static rlim_t worker_data(void)
{
	FILE *file = fopen("/proc/self/statm", "re");
	unsigned long pages = 0;

	if (!file)
		return 0;
	if (fscanf(file, "%*u %*u %*u %*u %*u %lu", &pages) != 1)
		pages = 0;
	fclose(file);
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE);
}

static void worker_limit_memory(size_t checks)
{
	struct rlimit limit;
	rlim_t most = worker_data() + WORKER_DATA_BYTES +
		      checks * WORKER_CHECK_DATA_BYTES;
	FILE *score = fopen("/proc/self/oom_score_adj", "r+e");
	int own = WORKER_OOM_SCORE;

	/* Where it is denied, the kernel chooses. */
	if (score && fscanf(score, "%d", &own) == 1 && own < WORKER_OOM_SCORE) {
		rewind(score);
		fprintf(score, "%d", WORKER_OOM_SCORE);
	}
	if (score)
		fclose(score);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
	if (getrlimit(RLIMIT_DATA, &limit) == 0 && most < limit.rlim_cur) {
		limit.rlim_cur = most;
		setrlimit(RLIMIT_DATA, &limit);
	}
#else
	(void)most;
	(void)limit;
#endif
}

struct worker_self {
	const struct worker_plan *plan;
	const struct worker *worker;
};

static bool worker_elsewhere(void *arg, size_t check)
{
	const struct worker_self *self = arg;

	return atomic_load(&self->plan->places[check]) != self->worker->place;
}

static void worker_ready(void *arg)
{
	const struct worker_self *self = arg;

	atomic_store(&self->worker->page->token,
		     share_token(self->plan->share));
	eventfd_write(self->plan->ready_fd, 1);
}

static bool worker_ending(void *arg)
{
	const struct worker_self *self = arg;

	return atomic_load(&self->worker->page->ending);
}

/* Signals are for the front; SIGKILL comes when the thread that forked us, its
 * main thread, ends. */
static void worker_settle(pid_t front)
{
	static const int ours[] = { SIGTERM, SIGINT, SIGHUP, SIGUSR1 };
	sigset_t most;
	size_t i;

	sigfillset(&most);
	sigdelset(&most, SIGBUS); /* share_file has a handler for it */
	sigprocmask(SIG_SETMASK, &most, NULL);
	for (i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		signal(ours[i], SIG_DFL);
	signal(SIGPIPE, SIG_IGN);
	/* So that the kernel reaps the children of closer. */
	signal(SIGCHLD, SIG_IGN);
	prctl(PR_SET_NAME, "health-worker"); /* for ps(1) */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != front)
		_exit(0);
	setsid();
}

static int worker_run(const struct worker *worker,
		      const struct worker_plan *plan)
{
	struct worker_self self = { plan, worker };
	struct prober_options options = {
		.checks = plan->checks,
		.drain_file = worker->place ? "" : plan->drain_file,
		.share = plan->share,
		.warm = plan->warm,
		.wake_fd = worker->wake_fd,
		.beat = &worker->page->beat,
		.elsewhere = worker_elsewhere,
		.ready = worker_ready,
		.ending = worker_ending,
		.arg = &self,
	};
	int status;

	if (share_adopt(plan->share)) {
		log_err("a worker cannot share results: %s", strerror(errno));
		return EXIT_FAILURE;
	}
	share_set_bell(plan->share, plan->heard_fd);
	options.board = board_create(plan->plan, plan->share);
	if (!options.board) {
		log_err("a worker cannot start: out of memory");
		return EXIT_FAILURE;
	}
	status = prober_run(&options) ? EXIT_FAILURE : EXIT_SUCCESS;
	share_leave_all(plan->share);
	return status;
}

static void worker_main(const struct worker *worker,
			const struct worker_plan *plan, pid_t front)
{
	int kept[] = { worker->wake_fd, plan->heard_fd, plan->ready_fd,
		       share_fd(plan->share) };
	int status;

	worker_settle(front);
	closer_forked();
	worker_close_others(kept, sizeof(kept) / sizeof(*kept), plan->first_fd);
	mprotect(plan->places, plan->places_bytes, PROT_READ);
	worker_limit_memory(plan->checks->n);
	status = worker_run(worker, plan);
	log_end();
	_exit(status);
}

/* ---- in the front ---- */

int worker_start(struct worker *worker, const struct worker_plan *plan)
{
	struct worker_page *page = worker->page;
	uint64_t call = atomic_load(&page->beat.calls) + 1;
	pid_t front = getpid(), pid;

	if (worker->wake_fd < 0)
		worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->wake_fd < 0)
		return -1;
	atomic_store(&page->token, 0);
	atomic_store(&page->ending, false);
	/* Its start counts as a call. */
	atomic_store(&page->beat.owner, 0);
	atomic_store(&page->beat.since_ms, clock_ms());
	atomic_store(&page->beat.calls, call);
	atomic_store(&page->beat.call, call);
	pid = log_fork();
	if (pid < 0)
		return -1;
	if (pid == 0)
		worker_main(worker, plan, front);
	worker->pid = pid;
	worker->life_fd = pidfd_open(pid, 0);
	return 0;
}

void worker_end(struct worker *worker)
{
	atomic_store(&worker->page->ending, true);
	eventfd_write(worker->wake_fd, 1);
}

void worker_forget(struct worker *worker)
{
	worker->pid = 0;
	if (worker->life_fd >= 0)
		close(worker->life_fd);
	worker->life_fd = -1;
}

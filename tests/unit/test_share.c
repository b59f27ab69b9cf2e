/*
 * Two processes and one check in a share: what one of them leaves behind when
 * it is killed, or stopped, at each single step.  The clock is one for both and
 * stands until it is moved.
 *
 * A step is an atomic operation of share.c; the other process ends, or stops,
 * right before it.
 */
#include "config.h"

#include <stdint.h>

static int64_t *fake_us; /* in memory that both have */

#define FAKE_CLOCK_US (*fake_us)
#include "fake_clock.h"

#include "base/result.c"
#include "base/text.c"
#include "board/share_file.c"

#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

static int step_left; /* until the signal; 0: there is none */
static int step_signal;

static void step(void)
{
	if (step_left && --step_left == 0)
		raise(step_signal);
}

/* The words of a copy, one by one, and what is stored alike. */
static void step_store(_Atomic uint64_t *object, uint64_t value)
{
	step();
	atomic_store_explicit(object, value, memory_order_relaxed);
}

#define SEQ_CST memory_order_seq_cst
#undef atomic_load
#undef atomic_store
#undef atomic_store_explicit
#undef atomic_fetch_add
#undef atomic_compare_exchange_strong
#define atomic_load(object) (step(), atomic_load_explicit(object, SEQ_CST))
#define atomic_store(object, value) \
	(step(), (void)atomic_exchange(object, value))
#define atomic_store_explicit(object, value, order) \
	step_store((_Atomic uint64_t *)(object), (uint64_t)(value))
#define atomic_fetch_add(object, value) \
	(step(), atomic_fetch_add_explicit(object, value, SEQ_CST))
#define atomic_compare_exchange_strong(object, expected, value) \
	(step(), atomic_compare_exchange_strong_explicit(       \
			 object, expected, value, SEQ_CST, SEQ_CST))

/* What goes on in other processes during a pause */
static void (*on_pause)(void);

static void pass_pause(void)
{
	if (on_pause)
		on_pause();
}
#define nanosleep(time, left) ((void)(time), pass_pause())

#include "board/share.c"

#include "call_share.h"
#include "unit.h"

#define RUN_MS 1000

static char dir[] = "/tmp/health-share.XXXXXX";
static char reason[PATH_MAX + 128];

static struct share *open_share(void)
{
	const struct share_options options = { .dir = dir, .n = 2 };
	struct share *share = share_open(&options, reason, sizeof(reason));

	if (!share) {
		printf("%s\n", reason);
		exit(1);
	}
	return share;
}

/* Removes what is left of all of them. */
static void end_share(void)
{
	struct share *share = open_share();

	CHECK_INT(unlink(share_path(share)), 0);
	share_close(share);
	CHECK_INT(rmdir(dir), 0);
}

/* A record that says so in each of its parts. */
static struct record make_record(int number)
{
	struct record record = { .result = { .code = RESULT_MISMATCH,
					     .latency_us = number,
					     .ended_us = 1000 + number },
				 .runs = number,
				 .failures = number };

	memset(record.result.error, 'a' + number % 26,
	       sizeof(record.result.error) - 1);
	memset(record.result.detail, 'a' + number % 26,
	       sizeof(record.result.detail) - 1);
	return record;
}

/* Its number; 0: there is nothing to read. */
static int read_record(const struct share *share)
{
	struct record record, want;
	uint64_t seen = 0;

	if (!share_read(share, 0, &seen, &record))
		return 0;
	want = make_record((int)record.runs);
	CHECK_INT(memcmp(&record, &want, sizeof(record)), 0);
	return (int)record.runs;
}

static bool take(struct share *share)
{
	return share_take(share, 0, clock_ms() + RUN_MS, false);
}

static bool publish(struct share *share, int number)
{
	const struct record record = make_record(number);

	if (!share_publish(share, 0, &record))
		return false;
	share_tell(share);
	return true;
}

static void pass_ms(int64_t ms)
{
	*fake_us += ms * 1000;
}

/* ---- the other process ---- */

/* What it ended with. */
enum { SAID_PUBLISHED = 1, SAID_LOST, SAID_NOT_TAKEN };

static void other_run(struct share *share)
{
	const struct record record = make_record(2);
	bool published;

	if (!take(share))
		_exit(SAID_NOT_TAKEN);
	share_extend(share, 0, clock_ms() + RUN_MS);
	published = share_publish(share, 0, &record);
	if (published)
		share_tell(share);
	share_close(share);
	_exit(published ? SAID_PUBLISHED : SAID_LOST);
}

/* Starts it, and waits until it has ended or stopped. */
static pid_t other_start(int signal, int steps, int *status)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct share *share = open_share();

		step_signal = signal;
		step_left = steps;
		other_run(share);
	}
	if (pid < 0 || waitpid(pid, status, WUNTRACED) != pid) {
		perror("the other process");
		exit(1);
	}
	return pid;
}

/* ---- tests ---- */

/* Memory that only this process and its children have. */
static void test_alone(void)
{
	const struct share_options options = {
		.alone = true, .dir = dir, .n = 2, .founder = true
	};
	struct share *a = share_open(&options, reason, sizeof(reason));
	struct share *b = share_open(&options, reason, sizeof(reason));
	struct share *named = open_share();

	CHECK(a && b);
	CHECK(share_is_alone(a));
	CHECK(!share_is_alone(named));
	CHECK(share_fd(a) >= 0);
	CHECK(share_token(a) != 0);
	CHECK_STR(share_path(a), "memory");
	CHECK(share_intact(a, reason, sizeof(reason)));
	CHECK(take(a));
	CHECK(publish(a, 1));
	CHECK_INT(read_record(a), 1);
	CHECK_INT(share_ours(a, 0), SHARE_IDLE);
	/* Another one is another. */
	CHECK_INT(read_record(b), 0);
	CHECK_INT(read_record(named), 0);
	CHECK(!share_theirs(b, 0));
	share_close(a);
	share_close(b);
	share_close(named);
	share_close(NULL);
}

static void test_two(void)
{
	struct share *a = open_share(), *b = open_share();
	uint64_t seen = 0;
	uint32_t news;
	struct record record;

	CHECK_INT(read_record(a), 0);
	CHECK(take(a));
	CHECK(!take(b));
	CHECK(share_theirs(b, 0));
	CHECK(!share_theirs(a, 0));
	CHECK_INT(share_ours(a, 0), SHARE_RUN);
	CHECK_INT(share_ours(b, 0), SHARE_FREE);
	CHECK(!publish(b, 7));
	CHECK(!share_extend(b, 0, clock_ms() + RUN_MS));
	CHECK(publish(a, 1));
	CHECK_INT(share_ours(a, 0), SHARE_IDLE);
	CHECK_INT(read_record(b), 1);
	CHECK(share_read(b, 0, &seen, &record));
	CHECK(!share_read(b, 0, &seen, &record));

	/* The other check is another. */
	CHECK(share_take(b, 1, clock_ms() + RUN_MS, true));
	CHECK(share_renewing(a, 1, clock_ms()));
	CHECK(!share_renewing(a, 0, clock_ms()));
	pass_ms(RUN_MS);
	CHECK(!share_renewing(a, 1, clock_ms()));

	/* The holder is called once, and is notified. */
	news = share_news(a);
	CHECK(!take(b));
	CHECK(share_news(a) != news);
	news = share_news(a);
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	CHECK(!take(b));
	CHECK_INT(share_news(a), news);
	CHECK(take(a));
	CHECK(publish(a, 3));

	/* And loses the lease when nothing comes of it. */
	CHECK(!take(b));
	pass_ms(SHARE_CALL_MS - 1);
	CHECK(!take(b));
	pass_ms(1);
	CHECK(take(b));
	CHECK_INT(share_ours(a, 0), SHARE_FREE);
	share_leave(a, 0);
	CHECK_INT(share_ours(b, 0), SHARE_RUN);

	/* So does a holder that runs for too long; its result is not used. */
	pass_ms(RUN_MS - 1);
	CHECK(!take(a));
	CHECK(share_extend(b, 0, clock_ms() + RUN_MS));
	pass_ms(RUN_MS - 1);
	CHECK(!take(a));
	pass_ms(1);
	CHECK(take(a));
	CHECK(!share_extend(b, 0, clock_ms() + RUN_MS));
	CHECK(!publish(b, 4));
	CHECK_INT(read_record(b), 3);
	CHECK(publish(a, 5));
	CHECK_INT(read_record(b), 5);

	share_leave(a, 0);
	CHECK(take(b));
	share_close(a);
	share_close(b);
}

/* Killed anywhere: the next one goes on at once, from the old record or the
 * new one. */
static void test_killed(void)
{
	int status, steps, was;

	for (steps = 1; steps < 1000; steps++) {
		struct share *share = open_share();

		CHECK(take(share));
		CHECK(publish(share, 1));
		share_leave(share, 0);

		other_start(SIGKILL, steps, &status);
		if (WIFEXITED(status)) {
			CHECK_INT(WEXITSTATUS(status), SAID_PUBLISHED);
			share_close(share);
			break;
		}
		CHECK_INT(WTERMSIG(status), SIGKILL);
		was = read_record(share);
		CHECK(was == 1 || was == 2);
		CHECK(!share_theirs(share, 0));
		CHECK(!share_renewing(share, 0, clock_ms()));
		CHECK(take(share));
		CHECK_INT(read_record(share), was);
		CHECK(publish(share, 3));
		CHECK_INT(read_record(share), 3);
		share_close(share);
	}
	/* It was killed between any two words, too. */
	CHECK(steps > (int)SHARE_WORDS && steps < 1000);
}

/* Stopped anywhere, and not missed: it goes on where it was. */
static void test_stopped_for_a_moment(void)
{
	int status, steps;
	pid_t pid;

	for (steps = 1; steps < 1000; steps++) {
		struct share *share = open_share();

		pid = other_start(SIGSTOP, steps, &status);
		if (WIFEXITED(status)) {
			share_close(share);
			break;
		}
		pass_ms(RUN_MS - 1);
		if (share_theirs(share, 0))
			CHECK(!take(share));
		kill(pid, SIGCONT);
		waitpid(pid, &status, 0);
		CHECK(WIFEXITED(status));
		if (WEXITSTATUS(status) == SAID_NOT_TAKEN) {
			/* We were there before its first step. */
			CHECK(publish(share, 2));
		}
		CHECK_INT(read_record(share), 2);
		CHECK(take(share));
		share_close(share);
	}
	CHECK(steps > (int)SHARE_WORDS && steps < 1000);
}

/* What it has when it goes on is older than what was published meanwhile. */
static void check_late(struct share *share, pid_t pid)
{
	int status, now;

	kill(pid, SIGCONT);
	waitpid(pid, &status, 0);
	CHECK(WIFEXITED(status));
	now = read_record(share);
	if (WEXITSTATUS(status) == SAID_PUBLISHED) {
		/* It had published before it was stopped, or it took the
		 * lease only now. */
		CHECK(now == 2 || now == 3);
	} else {
		/* Whole, or spoilt, and then there is nothing to read. */
		CHECK(now == 3 || now == 0);
	}
	CHECK(take(share));
	CHECK(publish(share, 4));
	CHECK_INT(read_record(share), 4);
}

/* Stopped anywhere, for longer than it has time: another one takes over. */
static void test_stopped_for_long(void)
{
	int status, steps, spoilt = 0;
	pid_t pid;

	for (steps = 1; steps < 1000; steps++) {
		struct share *share = open_share();

		CHECK(take(share));
		CHECK(publish(share, 1));
		share_leave(share, 0);
		pid = other_start(SIGSTOP, steps, &status);
		if (WIFEXITED(status)) {
			share_close(share);
			break;
		}
		pass_ms(RUN_MS);
		/* Called, if it has nothing to do. */
		if (!take(share)) {
			pass_ms(SHARE_CALL_MS);
			CHECK(take(share));
		}
		CHECK(publish(share, 3));
		CHECK_INT(read_record(share), 3);
		check_late(share, pid);
		spoilt++;
		share_close(share);
	}
	CHECK(spoilt > (int)SHARE_WORDS && steps < 1000);
}

/*
 * Stopped anywhere until another one runs the check, which has not published:
 * whichever of the two is first, the one that has the lease publishes.
 */
static void test_late_before_the_holder(void)
{
	int status, steps, slipped_in = 0;
	pid_t pid;

	for (steps = 1; steps < 1000; steps++) {
		struct share *share = open_share();

		pid = other_start(SIGSTOP, steps, &status);
		if (WIFEXITED(status)) {
			share_close(share);
			break;
		}
		pass_ms(RUN_MS);
		if (!take(share)) {
			pass_ms(SHARE_CALL_MS);
			CHECK(take(share));
		}
		kill(pid, SIGCONT);
		waitpid(pid, &status, 0);
		CHECK(WIFEXITED(status));
		slipped_in += WEXITSTATUS(status) == SAID_PUBLISHED;
		CHECK_INT(share_ours(share, 0), SHARE_RUN);
		CHECK(publish(share, 3));
		CHECK_INT(read_record(share), 3);
		CHECK_INT(share_ours(share, 0), SHARE_IDLE);
		share_close(share);
	}
	CHECK(slipped_in > 0 && steps < 1000);
}

/* A lease is that of its process, not of its pid or number. */
static void test_dead_holder(void)
{
	/* Not let go of, and yet not lost: valgrind looks for it. */
	static struct share *volatile own;
	struct share *share = open_share();
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		own = open_share();
		_exit(share_take(own, 0, INT64_C(1) << 38, true) ? 0 : 1);
	}
	waitpid(pid, &status, 0);
	CHECK_INT(WEXITSTATUS(status), 0);
	CHECK(!share_theirs(share, 0));
	CHECK(take(share));
	share_close(share);
}

/* ---- a front and its workers ---- */

/* A worker's lock goes, as if it was killed. */
static void kill_share(struct share *share)
{
	munmap(share->file.memory, share->file.size);
	close(share->file.fd);
	free(share);
}

/* The front holds nothing, and calls whichever worker is to run the check. */
static void test_calls(void)
{
	struct share *front = open_share(), *a = open_share();
	struct share *b = open_share();
	uint32_t news = share_news(front);

	/* Free. */
	CHECK(!called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK_INT(share_news(front), news);
	CHECK(!share_holds(front, 0, 0));
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(a)));
	CHECK(share_news(front) != news);
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	CHECK(share_holds(front, 0, share_token(a)));
	CHECK(!share_holds(front, 0, share_token(b)));
	CHECK(!share_holds(front, 1, share_token(a)));
	/* Called already: by whichever token. */
	news = share_news(front);
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(b)));
	CHECK(called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	/* It runs. */
	CHECK(take(a));
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(b)));
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(a)));
	CHECK(called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK_INT(share_ours(a, 0), SHARE_RUN);
	CHECK_INT(share_news(front), news);
	/* It has a connection: it is called, not the other one. */
	CHECK(publish(a, 1));
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(b)));
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	CHECK(take(a));
	CHECK(publish(a, 2));
	CHECK(called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	/* It does not begin. */
	pass_ms(SHARE_CALL_MS - 1);
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(b)));
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	pass_ms(1);
	CHECK(!called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(b)));
	CHECK_INT(share_ours(b, 0), SHARE_CALLED);
	CHECK_INT(share_ours(a, 0), SHARE_FREE);
	/* A run that has lasted for too long. */
	CHECK(take(b));
	pass_ms(RUN_MS);
	CHECK(!called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(a)));
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	CHECK(!publish(b, 7));
	/* Its own worker is called again, too. */
	pass_ms(SHARE_CALL_MS);
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(a)));
	CHECK(take(a));
	/* Dead, in a run. */
	kill_share(a);
	CHECK(!called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(b)));
	CHECK(take(b));
	CHECK(publish(b, 3));
	/* Dead, and idle. */
	kill_share(b);
	CHECK(!called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK_INT(read_record(front), 3);
	share_close(front);
}

/* A result that the front has not seen yet is the one that it wants. */
static void test_call_for_news(void)
{
	struct share *front = open_share(), *a = open_share();
	struct record record;
	uint64_t seen = 0;

	CHECK(take(a));
	CHECK(publish(a, 1));
	CHECK(called(front, 0, seen, 0));
	CHECK_INT(share_ours(a, 0), SHARE_IDLE);
	CHECK(share_read(front, 0, &seen, &record));
	CHECK(called(front, 0, seen, 0));
	CHECK_INT(share_ours(a, 0), SHARE_CALLED);
	/* It has died since. */
	CHECK(take(a));
	CHECK(publish(a, 2));
	kill_share(a);
	CHECK(called(front, 0, seen, 0));
	CHECK(share_read(front, 0, &seen, &record));
	CHECK(!called(front, 0, seen, 0));
	share_close(front);
}

static void test_revoke(void)
{
	struct share *front = open_share(), *a = open_share();
	struct share *b = open_share();
	uint32_t news;

	CHECK(take(a));
	CHECK(publish(a, 1));
	CHECK(take(a));
	CHECK(share_take(b, 1, clock_ms() + RUN_MS, false));
	share_revoke(front, 0);
	CHECK_INT(share_ours(a, 0), SHARE_RUN);
	news = share_news(front);
	share_revoke(front, share_token(a));
	CHECK(share_news(front) != news);
	CHECK_INT(share_ours(a, 0), SHARE_FREE);
	CHECK_INT(share_ours(b, 1), SHARE_RUN);
	CHECK(!share_holds(front, 0, share_token(a)));
	/* Nothing that it still does counts. */
	CHECK(!share_extend(a, 0, clock_ms() + RUN_MS));
	CHECK(!publish(a, 7));
	CHECK_INT(read_record(front), 1);
	/* The front tells what became of it. */
	CHECK(take(front));
	CHECK(publish(front, 2));
	share_leave(front, 0);
	CHECK_INT(read_record(b), 2);
	/* Idle, called: likewise. */
	CHECK(take(a));
	CHECK(publish(a, 3));
	share_revoke(front, share_token(a));
	CHECK_INT(share_ours(a, 0), SHARE_FREE);
	CHECK(called(front, 0, SHARE_SEEN_ANY, share_token(a)));
	share_revoke(front, share_token(a));
	CHECK_INT(share_ours(a, 0), SHARE_FREE);
	CHECK_INT(share_ours(b, 1), SHARE_RUN);
	share_close(a);
	share_close(b);
	share_close(front);
}

/* A worker is stopped anywhere, taken for dead, and goes on: as when SIGKILL
 * does not end it. */
static void test_revoked_anywhere(void)
{
	int status, steps;
	pid_t pid;

	for (steps = 1; steps < 1000; steps++) {
		struct share *share = open_share();

		pid = other_start(SIGSTOP, steps, &status);
		if (WIFEXITED(status)) {
			share_close(share);
			break;
		}
		/* At once: its time is not over. */
		share_revoke(share, atomic_load(&share->header->last_token));
		CHECK(!share_theirs(share, 0));
		CHECK(take(share));
		CHECK(publish(share, 3));
		CHECK_INT(read_record(share), 3);
		check_late(share, pid);
		share_close(share);
	}
	CHECK(steps > (int)SHARE_WORDS && steps < 1000);
}

/* What a worker tells the front. */
struct worker_says {
	uint64_t token;
	bool sees_other;
};

/* A child that has taken a check, and waits to be killed. */
static pid_t worker_start(struct share *share, size_t check,
			  struct worker_says *says)
{
	int told[2];
	pid_t pid;

	CHECK_INT(pipe(told), 0);
	pid = fork();
	if (pid == 0) {
		if (share_adopt(share))
			_exit(1);
		says->token = share_token(share);
		says->sees_other = share_theirs(share, !check);
		if (!share_take(share, check, clock_ms() + RUN_MS, false) ||
		    write(told[1], says, sizeof(*says)) != sizeof(*says))
			_exit(1);
		for (;;)
			pause();
	}
	close(told[1]);
	CHECK(read(told[0], says, sizeof(*says)) == sizeof(*says));
	close(told[0]);
	return pid;
}

static void worker_kill(pid_t pid)
{
	int status;

	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	CHECK(WIFSIGNALED(status));
}

/* A child has the descriptor of its parent, and yet a lock of its own. */
static void check_adopt(struct share *front, struct share *other)
{
	struct worker_says first, second;
	pid_t a, b;

	a = worker_start(front, 0, &first);
	CHECK(first.token != 0 && first.token != share_token(front));
	CHECK(!first.sees_other);
	CHECK(share_theirs(front, 0));
	CHECK(share_holds(front, 0, first.token));
	CHECK_INT(share_holder(front, 0).pid, a);
	CHECK(!take(front));
	CHECK(!other || share_theirs(other, 0));
	/* The two children see each other. */
	b = worker_start(front, 1, &second);
	CHECK(second.token != first.token);
	CHECK(second.sees_other);
	CHECK(share_theirs(front, 1));

	worker_kill(a);
	CHECK(!share_theirs(front, 0));
	CHECK(!other || !share_theirs(other, 0));
	CHECK(share_theirs(front, 1));
	CHECK(called(front, 1, SHARE_SEEN_ANY, 0));
	CHECK(!called(front, 0, SHARE_SEEN_ANY, 0));
	CHECK(take(front));
	share_leave(front, 0);

	worker_kill(b);
	CHECK(!share_theirs(front, 1));
	CHECK(!other || !share_theirs(other, 1));
	/* The parent's own lock is still there. */
	CHECK(!other || !share_is_dead(other, share_token(front)));
}

static void test_adopt(void)
{
	const struct share_options options = { .alone = true, .n = 2 };
	struct share *front = open_share(), *other = open_share();

	check_adopt(front, other);
	share_close(other);
	share_close(front);
	front = share_open(&options, reason, sizeof(reason));
	check_adopt(front, NULL);
	share_close(front);
}

/* ---- a file that is lost ---- */

static void hide_directory(bool hide)
{
	static char hidden[] = "/tmp/health-share.hidden.XXXXXX";

	if (hide) {
		CHECK(mkdtemp(hidden) != NULL);
		CHECK_INT(rename(dir, hidden), 0);
		CHECK_INT(symlink(hidden, dir), 0);
	} else {
		CHECK_INT(unlink(dir), 0);
		CHECK_INT(rename(hidden, dir), 0);
	}
}

/* Memory takes its place, and then a file again. */
static void test_rejoin(void)
{
	struct share_options options = { .dir = dir, .n = 2, .founder = true };
	struct share *share = share_open(&options, reason, sizeof(reason));
	struct share *other;

	CHECK(take(share));
	CHECK(publish(share, 1));
	CHECK_INT(unlink(share_path(share)), 0);
	CHECK(!share_intact(share, reason, sizeof(reason)));
	hide_directory(true);
	CHECK(share_rejoin(share));
	CHECK(share_is_alone(share));
	CHECK(share_token(share) != 0);
	CHECK_INT(read_record(share), 0);
	CHECK_INT(share_ours(share, 0), SHARE_FREE);
	CHECK(take(share));
	CHECK(publish(share, 2));
	/* Again, without success: everything is as it was. */
	CHECK(!share_rejoin(share));
	CHECK(share_is_alone(share));
	CHECK_INT(read_record(share), 2);
	CHECK_INT(share_ours(share, 0), SHARE_IDLE);
	CHECK_STR(share_path(share), "memory");
	CHECK(share_intact(share, reason, sizeof(reason)));

	hide_directory(false);
	CHECK(share_rejoin(share));
	CHECK(!share_is_alone(share));
	CHECK(share_intact(share, reason, sizeof(reason)));
	CHECK_INT(read_record(share), 0);
	other = open_share();
	CHECK(take(share));
	CHECK(share_theirs(other, 0));
	CHECK(publish(share, 3));
	CHECK_INT(read_record(other), 3);
	share_close(other);
	share_close(share);
}

static struct share *leaving;
static int pauses;

static void leave_at_last(void)
{
	if (++pauses < 5)
		return;
	share_file_remove(&leaving->file);
	share_file_close(&leaving->file);
	on_pause = NULL;
}

/* The last process is about to remove the file, and is not scheduled: a new
 * process waits for that, and gets a new file. */
static void test_a_slow_end(void)
{
	struct share *share;
	struct flock lock;
	struct record record = make_record(1);
	uint64_t seen = 0;

	leaving = open_share();
	CHECK(take(leaving));
	CHECK(publish(leaving, 1));
	CHECK_INT(share_lock(leaving, F_OFD_SETLK, 0, SHARE_TOKENS, &lock), 0);
	on_pause = leave_at_last;
	share = open_share();
	CHECK_INT(pauses, 5);
	CHECK(!share_file_is_gone(&share->file));
	CHECK(!share_read(share, 0, &seen, &record));
	CHECK(take(share));
	share_close(share);
	free(leaving);
}

/* Of the processes that start at the same moment, with a file that a dead one
 * has left, exactly one is the first; a process that finds a live one is not.
 */
static void check_first(uint64_t last_token)
{
	struct share *left = open_share(), *first, *second;

	atomic_exchange(&left->header->last_token, last_token);
	share_close(left);
	first = open_share();
	second = open_share();
	CHECK(first->token != second->token);
	CHECK(share_is_first(first));
	CHECK(!share_is_first(second));
	share_close(first);
	CHECK(share_is_first(second));
	/* Long after it. */
	atomic_exchange(&second->header->last_token, last_token + 2000);
	first = open_share();
	CHECK(!share_is_first(first));
	share_close(second);
	share_close(first);
}

static void test_first(void)
{
	check_first(5);
	check_first(500);
	check_first(SHARE_TOKENS - 2500);
	check_first(SHARE_TOKENS - 500);
	check_first(SHARE_TOKENS - 2);
	check_first(SHARE_TOKENS - 1);
}

/* A lease that no run has made, of a process that lives. */
static void test_endless(void)
{
	struct share *holder = open_share(), *share = open_share();
	struct share_slot *slot = share_slot(share, 0);

	CHECK(share_take(holder, 0, clock_ms() + SHARE_RUN_MAX_MS, true));
	CHECK(!take(share));
	CHECK(share_renewing(share, 0, clock_ms()));
	atomic_exchange(&slot->lease,
			lease_make(holder->token, SHARE_RENEW,
				   clock_ms() + SHARE_RUN_MAX_MS + 1));
	CHECK(!share_renewing(share, 0, clock_ms()));
	CHECK(take(share));
	share_close(holder);
	share_close(share);
}

/* What no run has made is not read, whatever sum it has. */
static void test_insane(void)
{
	struct share *share = open_share();
	struct record wrong[9];
	uint64_t seen = 0;
	size_t i;

	for (i = 0; i < 9; i++)
		wrong[i] = make_record(1);
	wrong[0].result.ended_us = *fake_us + 1;
	wrong[1].result.latency_us = -1;
	wrong[2].result.code = RESULT_CODE_COUNT;
	wrong[3].first_ok_us = *fake_us + 1;
	wrong[4].first_ok_us = -1;
	wrong[5].failing_since_us = INT64_MIN;
	wrong[6].runs = wrong[6].failures = INT64_MAX;
	wrong[7].runs = wrong[7].failures = INT64_MIN;
	wrong[8].failures = wrong[8].runs + 1;
	for (i = 0; i < 9; i++) {
		CHECK(take(share));
		CHECK(share_publish(share, 0, &wrong[i]));
		CHECK(!share_read(share, 0, &seen, &wrong[i]));
	}
	CHECK(take(share));
	CHECK(publish(share, 1));
	CHECK_INT(read_record(share), 1);
	share_close(share);
}

int main(void)
{
	fake_us = mmap(NULL, sizeof(*fake_us), PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fake_us == MAP_FAILED || !mkdtemp(dir)) {
		perror("cannot begin");
		return 1;
	}
	*fake_us = 1000000000;
	test_alone();
	test_two();
	test_killed();
	test_stopped_for_a_moment();
	test_stopped_for_long();
	test_late_before_the_holder();
	test_dead_holder();
	test_calls();
	test_call_for_news();
	test_revoke();
	test_revoked_anywhere();
	test_adopt();
	test_rejoin();
	test_first();
	test_insane();
	test_endless();
	test_a_slow_end();
	end_share();
	return unit_report();
}

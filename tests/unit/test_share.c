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

static void test_alone(void)
{
	struct record record = make_record(1);
	uint64_t seen = 0;

	CHECK(share_take(NULL, 0, 0, false));
	CHECK(share_extend(NULL, 0, 0));
	CHECK(share_publish(NULL, 0, &record));
	CHECK(!share_read(NULL, 0, &seen, &record));
	CHECK(!share_theirs(NULL, 0));
	share_leave(NULL, 0);
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
	test_first();
	test_insane();
	test_endless();
	test_a_slow_end();
	end_share();
	return unit_report();
}

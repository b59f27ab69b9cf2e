#include "config.h"

/* Only limits go by it. */
#include "fake_clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>

static int test_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
			  const struct timespec *until);
#define pthread_cond_timedwait test_timedwait
#include "base/log.c"
#undef pthread_cond_timedwait
#include "base/result.c"

#include "unit.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <termios.h>

/* ---- the neighbours ---- */

/* Hides and cuts as the real one does, and shows that it was called. */
void text_show(char *to, size_t size, const char *from)
{
	const char *secret = strstr(from, "hunter2");
	size_t i;

	for (i = 0; from[i] && i + 1 < size; i++) {
		to[i] = from[i] == '\n' ? '|' : from[i];
		if (secret && from + i >= secret && from + i < secret + 7)
			to[i] = '*';
	}
	to[i] = '\0';
}

void text_clean(char *to, size_t size, const char *from, size_t len)
{
	size_t i;

	for (i = 0; i < len && i + 1 < size; i++)
		to[i] = from[i] == '\n' ? '|' : from[i];
	to[i] = '\0';
}

/* The time is over, and what is waited for has come by then. */
static bool just_in_time;

static int test_timedwait(pthread_cond_t *cond, pthread_mutex_t *lock,
			  const struct timespec *until)
{
	if (!just_in_time)
		return pthread_cond_timedwait(cond, lock, until);
	pthread_cond_wait(cond, lock);
	return ETIMEDOUT;
}

/* ---- descriptor 2 as a pipe ---- */

static int saved_stderr;
static int out[2];

static void pipe_open(void)
{
	saved_stderr = dup(STDERR_FILENO);
	CHECK_INT(pipe2(out, O_NONBLOCK), 0);
	/* our own end blocks, as that of a web server does */
	CHECK_INT(fcntl(out[1], F_SETFL, 0), 0);
	dup2(out[1], STDERR_FILENO);
	close(out[1]);
}

static void pipe_close(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	if (out[0] >= 0)
		close(out[0]);
}

static bool writer_idle(void)
{
	bool idle;

	pthread_mutex_lock(&log_writer.lock);
	idle = log_writer.put == log_writer.wrote &&
	       (!log_writer.lost || log_writer.failing) && !log_writer.stuck;
	pthread_mutex_unlock(&log_writer.lock);
	return idle;
}

static const char *said(void)
{
	static char text[8192];
	ssize_t len;

	/* The writer may need longer than callers wait for it. */
	while (!writer_idle())
		poll(NULL, 0, 1);
	len = read(out[0], text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	return text;
}

/* The line after its time and process, or NULL when that is not as it
 * should be. */
static const char *message(const char *line)
{
	char head[64];

	snprintf(head, sizeof(head), "Z health.fcgi[%d] ", (int)getpid());
	if (strlen(line) < 23 || line[4] != '-' || line[10] != 'T' ||
	    line[19] != '.' || strncmp(line + 23, head, strlen(head)) != 0)
		return NULL;
	return line + 23 + strlen(head);
}

static void test_lines(void)
{
	log_warn("check=%s code=%s", "redis", "timeout");
	CHECK_STR(message(said()), "warn: check=redis code=timeout\n");
	log_err("one\ntwo");
	CHECK_STR(message(said()), "error: one|two\n");
	log_info("password hunter2");
	CHECK_STR(message(said()), "info: password *******\n");
	errno = ENOENT;
	log_info("%m");
	CHECK_STR(message(said()), "info: No such file or directory\n");
	CHECK_INT(errno, ENOENT);
}

/* A line that was written in time is not stuck, even if that was noticed late.
 */
static void test_just_in_time(void)
{
	just_in_time = true;
	log_info("in time");
	just_in_time = false;
	CHECK(writer_idle());
	CHECK_STR(message(said()), "info: in time\n");
}

static void test_levels(void)
{
	log_debug("not shown");
	CHECK_STR(said(), "");
	log_set_level(LOG_DEBUG);
	log_debug("shown");
	CHECK_STR(message(said()), "debug: shown\n");
	log_set_level(LOG_ERR);
	log_warn("not shown");
	CHECK_STR(said(), "");
	log_err("shown");
	CHECK_STR(message(said()), "error: shown\n");
	log_set_level(LOG_INFO);
}

static void test_long(void)
{
	char text[3000];
	const char *line;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text + LOG_LINE_BYTES - 70, "hunter2", 7);
	log_info("%s", text);
	line = said();
	CHECK(strlen(line) < LOG_LINE_BYTES);
	CHECK(line[strlen(line) - 1] == '\n');
	/* the cut goes through the secret, and shows no part of it */
	CHECK(strstr(line, "xhun") == NULL);
}

/* Our own words are left alone, also when a password is one of them. */
static void test_masked_before(void)
{
	log_masked(LOG_WARN, "check=hunter2 code=%s: *******\n", "refused");
	CHECK(strstr(said(), " warn: check=hunter2 code=refused: *******|"));
}

static void check_head(const char *stream, const char *warn, const char *info)
{
	const char *line;

	if (stream)
		setenv("JOURNAL_STREAM", stream, 1);
	else
		unsetenv("JOURNAL_STREAM");
	log_found = (pthread_once_t)PTHREAD_ONCE_INIT;
	log_warn("one");
	line = said();
	CHECK(strncmp(line, warn, strlen(warn)) == 0);
	log_info("two");
	line = said();
	CHECK(strncmp(line, info, strlen(info)) == 0);
}

/* systemd.exec(5): device and inode of what we write to; otherwise the variable
 * is for another process, such as a web server that systemd has started. */
static void test_journal(void)
{
	struct stat status;
	char stream[64];

	CHECK_INT(fstat(STDERR_FILENO, &status), 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev,
		 (uintmax_t)status.st_ino);
	check_head(stream, "<4>2", "<6>2");
	log_err("three");
	CHECK(strncmp(said(), "<3>2", 4) == 0);
	snprintf(stream, sizeof(stream), "%ju:%ju", (uintmax_t)status.st_dev,
		 (uintmax_t)status.st_ino + 1);
	check_head(stream, "2", "2");
	snprintf(stream, sizeof(stream), "%ju:%ju",
		 (uintmax_t)status.st_dev + 1, (uintmax_t)status.st_ino);
	check_head(stream, "2", "2");
	check_head("", "2", "2");
	check_head("12", "2", "2");
	check_head("x:y", "2", "2");
	check_head(NULL, "2", "2");
}

/* ---- the log has no reader ---- */

/* Reads all that is still to come; how many lines of text there were, and how
 * many are said to be lost. */
static void drain(int fd, const char *text, size_t *lines, size_t *lost)
{
	static char all[16 * LOG_ROOM_BYTES];
	struct pollfd more = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	const char *at;
	bool idle;
	ssize_t n;

	do {
		/* First this: what it wrote before is then read. */
		idle = writer_idle();
		poll(&more, 1, idle ? 0 : 10);
		while ((n = read(fd, all + len, sizeof(all) - 1 - len)) > 0)
			len += (size_t)n;
	} while (!idle);
	all[len] = '\0';
	*lines = *lost = 0;
	for (at = all; (at = strstr(at, text)); at++)
		++*lines;
	for (at = all; (at = strstr(at, " warn: ")); at++)
		*lost += strtoul(at + strlen(" warn: "), NULL, 10);
}

/* A web server that does not read must not stop us. */
static void test_full(void)
{
	size_t i, lines, lost;

	for (i = 0; i < 5000; i++)
		log_info("filling the pipe, line %zu of many", i);
	CHECK(!writer_idle());
	drain(out[0], "filling the pipe", &lines, &lost);
	CHECK(lines > 500);
	CHECK(lost > 0);
	CHECK_INT(lines + lost, 5000);
	log_info("room again");
	CHECK_STR(message(said()), "info: room again\n");
	/* counters that have wrapped */
	for (i = 0; i < 5000; i++) {
		log_info("one after the other, line %zu", i);
		if (!strstr(said(), "one after the other"))
			break;
	}
	CHECK_INT(i, 5000);
}

static void *drain_pipe(void *arg)
{
	size_t lines, lost;

	(void)arg;
	drain(out[0], "before the end", &lines, &lost);
	return NULL;
}

/* Before the process ends, late lines are waited for, but not for ever. */
static void test_end(void)
{
	pthread_t reader;
	size_t i;

	for (i = 0; i < 2000; i++)
		log_info("before the end, line %zu of many", i);
	log_end();
	CHECK(!writer_idle());
	CHECK_INT(pthread_create(&reader, NULL, drain_pipe, NULL), 0);
	log_end();
	CHECK(writer_idle());
	pthread_join(reader, NULL);
	log_end();
}

/* A terminal that is stopped, or whose other side is not read. */
static void test_terminal(void)
{
	int pipe_end = dup(STDERR_FILENO);
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), slave = -1;
	size_t i, lines, lost;
	char text[8192];

	if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0)
		slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0) {
		printf("no terminal: not tested\n");
		return;
	}
	dup2(slave, STDERR_FILENO);
	CHECK_INT(tcflow(slave, TCOOFF), 0);
	log_info("to a stopped terminal");
	CHECK_INT(read(master, text, sizeof(text)), -1);
	CHECK_INT(tcflow(slave, TCOON), 0);
	for (i = 0; i < 5000; i++)
		log_info("filling the terminal, line %zu of many", i);
	drain(master, " terminal", &lines, &lost);
	CHECK(lost > 0);
	CHECK_INT(lines + lost, 5001);
	/* what others write there waits as before */
	CHECK_INT(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
	dup2(pipe_end, STDERR_FILENO);
	close(pipe_end);
	close(slave);
	close(master);
}

/* Another process has the same file description open. */
static void test_non_blocking(void)
{
	size_t i, lines, lost;

	CHECK_INT(fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK), 0);
	for (i = 0; i < 5000; i++)
		log_info("filling the pipe, line %zu of many", i);
	drain(out[0], "filling the pipe", &lines, &lost);
	CHECK_INT(lines + lost, 5000);
	CHECK_INT(fcntl(STDERR_FILENO, F_SETFL, 0), 0);
}

static void test_nobody_reads(void)
{
	signal(SIGPIPE, SIG_DFL);
	close(out[0]);
	out[0] = -1;
	log_info("to no reader");
	CHECK(writer_idle());
	close(STDERR_FILENO);
	log_info("to nothing");
	CHECK(writer_idle());
}

/* No thread could be had. */
static void test_without(void)
{
	log_writer.state = LOG_WITHOUT;
	log_info("written here");
	CHECK_STR(message(said()), "info: written here\n");
	log_writer.state = LOG_RUNNING;
}

static void test_result(void)
{
	int32_t code;

	CHECK_STR(result_word(RESULT_OK), "ok");
	CHECK_STR(result_word(RESULT_TIMEOUT), "timeout");
	CHECK_STR(result_word(-1), "unknown");
	CHECK_STR(result_word(RESULT_CODE_COUNT), "unknown");
	CHECK_STR(result_word(INT32_MIN), "unknown");
	for (code = 0; code < RESULT_CODE_COUNT; code++) {
		CHECK(result_word(code)[0] != '\0');
	}
}

/* What could not be written is counted, and said when there is room again. */
static void test_disk_full(void)
{
	int full = open("/dev/full", O_WRONLY), pipe_end = dup(STDERR_FILENO);
	size_t i, lines, lost;

	drain(out[0], "x", &lines, &lost);
	CHECK(full >= 0 && dup2(full, STDERR_FILENO) >= 0);
	for (i = 0; i < 7; i++)
		log_warn("no room for this");
	log_end();
	CHECK(!log_writer.stuck);
	dup2(pipe_end, STDERR_FILENO);
	log_info("room for that");
	log_end();
	drain(out[0], "room for that", &lines, &lost);
	CHECK_INT(lines, 1);
	CHECK_INT(lost, 7);
	log_info("as ever");
	drain(out[0], "as ever", &lines, &lost);
	CHECK_INT(lines, 1);
	CHECK_INT(lost, 0);
	close(full);
	close(pipe_end);
}

/* ---- limits ---- */

static void test_limit(void)
{
	struct log_limit limit = { 0 };
	int i;

	/* At once, also soon after the machine has started. */
	CHECK_INT(log_limit_count(&limit), 1);
	for (i = 0; i < 99; i++)
		CHECK_INT(log_limit_count(&limit), 0);
	fake_us += (LOG_LIMIT_MS - 1) * 1000;
	CHECK_INT(log_limit_count(&limit), 0);
	fake_us += 1000;
	CHECK_INT(log_limit_count(&limit), 101);
	CHECK_INT(log_limit_count(&limit), 0);
	fake_us += 2 * LOG_LIMIT_MS * 1000;
	CHECK_INT(log_limit_count(&limit), 2);
}

#define THREADS 4
#define NOTES 20000

static struct log_limit many;
static atomic_size_t times_told, told;

static void *note_often(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < NOTES; i++) {
		size_t n = log_limit_count(&many);

		times_told += n != 0;
		told += n;
	}
	return NULL;
}

/* One of them says it, and none is lost. */
static void test_limit_threads(void)
{
	pthread_t threads[THREADS];
	int i;

	for (i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, note_often, NULL),
			  0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(times_told, 1);
	fake_us += LOG_LIMIT_MS * 1000;
	told += log_limit_count(&many);
	CHECK_INT(told, THREADS * NOTES + 1);
}

/* ---- a child ---- */

#define FORKS 200

static atomic_bool logging, reading;

static void *log_always(void *arg)
{
	(void)arg;
	while (atomic_load(&logging))
		log_warn("from a thread");
	return NULL;
}

static void *read_always(void *arg)
{
	struct pollfd some = { .fd = out[0], .events = POLLIN };
	char text[4096];
	int *children = arg;
	size_t len = 0;
	ssize_t n;

	while (atomic_load(&reading) || poll(&some, 1, 0) == 1) {
		poll(&some, 1, 100);
		n = read(out[0], text + len, sizeof(text) - 1 - len);
		if (n <= 0)
			continue;
		len += (size_t)n;
		text[len] = '\0';
		for (char *end; (end = strchr(text, '\n'));) {
			*end = '\0';
			*children += strstr(text, "warn: from a child") != NULL;
			len -= (size_t)(end + 1 - text);
			memmove(text, end + 1, len + 1);
		}
	}
	return NULL;
}

/* In the middle of the lines of other threads; each child logs a line of its
 * own, and no line of its parent a second time. */
static void test_fork(void)
{
	pthread_t threads[2], reader;
	int i, status, children = 0, failed = 0;
	pid_t pid;

	atomic_store(&logging, true);
	atomic_store(&reading, true);
	pthread_create(&reader, NULL, read_always, &children);
	for (i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, log_always, NULL);
	for (i = 0; i < FORKS && !failed; i++) {
		pid = log_fork();
		if (pid == 0) {
			/* What hangs is ended. */
			alarm(20);
			CHECK_INT(log_writer.put, log_writer.wrote);
			log_warn("from a child");
			log_end();
			_exit(log_writer.lost || log_writer.stuck);
		}
		CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
		failed += !WIFEXITED(status) || WEXITSTATUS(status) != 0;
	}
	atomic_store(&logging, false);
	for (i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&reading, false);
	pthread_join(reader, NULL);
	CHECK_INT(failed, 0);
	CHECK_INT(children, FORKS);
	CHECK_INT(writer_idle(), true);
}

int main(void)
{
	pipe_open();
	test_lines();
	test_fork();
	test_just_in_time();
	test_levels();
	test_long();
	test_masked_before();
	test_journal();
	test_without();
	test_full();
	test_end();
	test_terminal();
	test_non_blocking();
	test_disk_full();
	test_nobody_reads();
	pipe_close();
	test_result();
	test_limit();
	test_limit_threads();
	return unit_report();
}

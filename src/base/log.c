#include "config.h"

#include "base/log.h"

#include "base/helper.h"
#include "base/text.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/*
 * Longer lines are cut.  Well below PIPE_BUF (4096 on Linux), up to which a
 * write to a pipe is atomic: lines of several processes do not mix.
 */
#define LOG_LINE_BYTES 1000

/* Longer than a line, so that a secret is masked before a cut can split it. */
#define LOG_RAW_BYTES 4096

/* Lines that wait for the writer; a power of two, since counters wrap. */
#define LOG_ROOM_BYTES (64 * 1024)
/* A writer that takes longer than this for a line counts as stuck. */
#define LOG_PATIENCE_MS 20

static const struct {
	const char *word, *priority;
} log_levels[] = {
	[LOG_ERR] = { "error", "<3>" },
	[LOG_WARN] = { "warn", "<4>" },
	[LOG_INFO] = { "info", "<6>" },
	[LOG_DEBUG] = { "debug", "<7>" },
};

static atomic_int log_level = LOG_INFO;
static pthread_once_t log_found = PTHREAD_ONCE_INIT;
static bool log_journal;

/*
 * The reader of descriptor 2 may stop, or the disk below it may hang, and a
 * write(2) then does not return: poll(2) calls every regular file ready, a
 * terminal when it has room for one byte, and a pipe that others share may be
 * full a moment later. O_NONBLOCK does not help: it belongs to the open file
 * description, and so to the web server as well. Therefore one thread does
 * nothing but write. A thread that logs waits for it only while it is not known
 * to be stuck: normally a line is written when log_line() returns.
 */
static pthread_mutex_t log_time = PTHREAD_MUTEX_INITIALIZER;
static struct log_writer {
	pthread_mutex_t lock;
	pthread_cond_t put_some, wrote_some; /* on CLOCK_MONOTONIC */
	enum { LOG_NEW, LOG_RUNNING, LOG_WITHOUT } state;
	bool stuck;	   /* did not return in time; threads do not wait */
	size_t put, wrote; /* bytes so far */
	size_t lost;	   /* lines for which there was no room, or that could
			      not be written */
	bool failing;	   /* the last write failed */
	char room[LOG_ROOM_BYTES];
} log_writer = { .lock = PTHREAD_MUTEX_INITIALIZER };

void log_set_level(enum log_level level)
{
	atomic_store(&log_level, (int)level);
}

/* Whether descriptor 2 is the stream of the journal that systemd has opened for
 * us (systemd.exec(5)), and not, say, the web server's log. */
static void log_find_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	uintmax_t dev, ino;
	struct stat status;

	log_journal = stream &&
		      sscanf(stream, "%" SCNuMAX ":%" SCNuMAX, &dev, &ino) ==
			      2 &&
		      fstat(STDERR_FILENO, &status) == 0 &&
		      status.st_dev == dev && status.st_ino == ino;
}

/* The journal takes the priority of a line from its beginning (sd-daemon(3)).
 */
static size_t log_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm utc;

	pthread_once(&log_found, log_find_journal);
	clock_gettime(CLOCK_REALTIME, &now);
	pthread_mutex_lock(&log_time);
	gmtime_r(&now.tv_sec, &utc);
	pthread_mutex_unlock(&log_time);
	return (size_t)snprintf(
		line, size,
		"%s%04d-%02d-%02dT%02d:%02d:%02d.%03dZ health.fcgi[%d] %s: ",
		log_journal ? log_levels[level].priority : "",
		utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
		utc.tm_min, utc.tm_sec, (int)(now.tv_nsec / 1000000),
		(int)getpid(), log_levels[level].word);
}

/* ---- the thread that writes ---- */

/* False: the disk is full, or the reader is gone. */
static bool log_write(const char *line, size_t len)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
	ssize_t n;

	while (len) {
		n = write(STDERR_FILENO, line, len);
		if (n > 0) {
			line += n;
			len -= (size_t)n;
		} else if (n < 0 && errno == EAGAIN) {
			/* another process has set O_NONBLOCK */
			poll(&room, 1, -1);
		} else if (n == 0 || errno != EINTR) {
			return false;
		}
	}
	return true;
}

/* Takes the oldest line out, or makes one that reports *told lost lines; waits
 * for either. The lock is held. */
static size_t log_take(struct log_writer *writer, char line[LOG_LINE_BYTES],
		       size_t *told)
{
	size_t len = 0;

	*told = 0;
	/* Lost lines are reported once another line was written. */
	while (writer->put == writer->wrote &&
	       (!writer->lost || writer->failing))
		pthread_cond_wait(&writer->put_some, &writer->lock);
	if (writer->put == writer->wrote) {
		len = log_head(line, LOG_LINE_BYTES, LOG_WARN);
		len += (size_t)snprintf(
			line + len, LOG_LINE_BYTES - len,
			"%zu log lines were lost: they could not be "
			"written\n",
			writer->lost);
		*told = writer->lost;
		return len;
	}
	do
		line[len] =
			writer->room[(writer->wrote + len) % LOG_ROOM_BYTES];
	while (line[len++] != '\n');
	return len;
}

static void *log_thread(void *arg)
{
	struct log_writer *writer = arg;
	char line[LOG_LINE_BYTES];
	size_t len, told;
	bool queued, written;

	pthread_mutex_lock(&writer->lock);
	for (;;) {
		len = log_take(writer, line, &told);
		queued = writer->put != writer->wrote;
		pthread_mutex_unlock(&writer->lock);
		written = log_write(line, len);
		pthread_mutex_lock(&writer->lock);
		writer->wrote += queued ? len : 0;
		if (written)
			writer->lost -= told;
		else if (queued)
			writer->lost++;
		writer->failing = !written;
		if (writer->put == writer->wrote)
			writer->stuck = false;
		pthread_cond_broadcast(&writer->wrote_some);
	}
	return NULL;
}

/* With the first line.  The lock is held. */
static void log_start(struct log_writer *writer)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&writer->put_some, &attr);
	pthread_cond_init(&writer->wrote_some, &attr);
	pthread_condattr_destroy(&attr);
	writer->state = helper_start(log_thread, writer) ? LOG_WITHOUT
							 : LOG_RUNNING;
}

/* ---- the other threads ---- */

/* Whether a part of what was put up to here is not written yet. */
static bool log_is_unwritten(const struct log_writer *writer, size_t put)
{
	return (ssize_t)(put - writer->wrote) > 0;
}

static struct timespec log_in_ms(int ms)
{
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_nsec += ms * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_nsec -= 1000000000;
		until.tv_sec++;
	}
	return until;
}

/* Until what was put up to here is written, or the writer is late. */
static void log_wait(struct log_writer *writer, size_t put)
{
	struct timespec until = log_in_ms(LOG_PATIENCE_MS);

	while (!writer->stuck && log_is_unwritten(writer, put))
		if (pthread_cond_timedwait(&writer->wrote_some, &writer->lock,
					   &until) == ETIMEDOUT)
			/* It may have been written before we had the lock
			 * again. */
			writer->stuck = log_is_unwritten(writer, put);
}

static void log_put(struct log_writer *writer, const char *line, size_t len)
{
	struct pollfd room = { .fd = STDERR_FILENO, .events = POLLOUT };
	size_t i;

	pthread_mutex_lock(&writer->lock);
	if (writer->state == LOG_NEW)
		log_start(writer);
	if (writer->state == LOG_WITHOUT) {
		/* Only if it will probably not block. */
		if (poll(&room, 1, 0) == 1 && room.revents == POLLOUT)
			log_write(line, len);
	} else if (writer->put + len - writer->wrote > LOG_ROOM_BYTES) {
		writer->lost++;
	} else {
		for (i = 0; i < len; i++)
			writer->room[writer->put++ % LOG_ROOM_BYTES] = line[i];
		pthread_cond_signal(&writer->put_some);
		log_wait(writer, writer->put);
	}
	pthread_mutex_unlock(&writer->lock);
}

__attribute__((format(printf, 3, 0))) static void log_print(
	enum log_level level, bool masked, const char *fmt, va_list args)
{
	int saved = errno;
	char line[LOG_LINE_BYTES];
	char raw[LOG_RAW_BYTES];
	size_t len;

	if ((int)level > atomic_load(&log_level))
		return;
	if (vsnprintf(raw, sizeof(raw), fmt, args) < 0)
		raw[0] = '\0';
	len = log_head(line, sizeof(line), level);
	if (masked)
		text_clean(line + len, sizeof(line) - len - 1, raw,
			   strlen(raw));
	else
		text_show(line + len, sizeof(line) - len - 1, raw);
	len += strlen(line + len);
	line[len++] = '\n';
	log_put(&log_writer, line, len);
	errno = saved;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_print(level, false, fmt, args);
	va_end(args);
}

void log_masked(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	log_print(level, true, fmt, args);
	va_end(args);
}

/* What another thread has locked stays so in the child: also the lock that the
 * C library has for gmtime_r(3). */
pid_t log_fork(void)
{
	struct log_writer *writer = &log_writer;
	pid_t pid;

	pthread_mutex_lock(&log_time);
	pthread_mutex_lock(&writer->lock);
	pid = fork();
	if (pid == 0) {
		writer->state = LOG_NEW;
		writer->stuck = writer->failing = false;
		writer->put = writer->wrote = writer->lost = 0;
	}
	pthread_mutex_unlock(&writer->lock);
	pthread_mutex_unlock(&log_time);
	return pid;
}

void log_end(void)
{
	struct log_writer *writer = &log_writer;
	struct timespec until = log_in_ms(LOG_END_MS);

	pthread_mutex_lock(&writer->lock);
	while (writer->state == LOG_RUNNING &&
	       (writer->put != writer->wrote ||
		(writer->lost && !writer->failing)))
		if (pthread_cond_timedwait(&writer->wrote_some, &writer->lock,
					   &until) == ETIMEDOUT)
			break;
	pthread_mutex_unlock(&writer->lock);
}

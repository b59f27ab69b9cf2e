#include "config.h"

#include "log.h"

#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * Longer lines are cut.  Well below PIPE_BUF (4096 on Linux), up to which a
 * write to a pipe is atomic: lines of several processes do not mix.
 */
#define LOG_LINE_BYTES 1000

/* More than a line shows: a secret that the cut would halve is still whole
 * when it is masked. */
#define LOG_RAW_BYTES 4096

static const char *const log_words[] = {
	[LOG_ERR] = "error",
	[LOG_WARN] = "warn",
	[LOG_INFO] = "info",
	[LOG_DEBUG] = "debug",
};

static atomic_int log_level = LOG_INFO;

/* Between poll(2) and write(2) no other thread may fill the pipe. */
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

void log_set_level(enum log_level level)
{
	atomic_store(&log_level, (int)level);
}

static size_t log_head(char *line, size_t size, enum log_level level)
{
	struct timespec now;
	struct tm utc;

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &utc);
	return (size_t)snprintf(
		line, size,
		"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ health.fcgi[%d] %s: ",
		utc.tm_year + 1900, utc.tm_mon + 1, utc.tm_mday, utc.tm_hour,
		utc.tm_min, utc.tm_sec, (int)(now.tv_nsec / 1000000),
		(int)getpid(), log_words[level]);
}

/*
 * Descriptor 2 is often shared with the web server and all its other programs.
 * O_NONBLOCK belongs to the open file description, hence to all of them, and
 * must not be set.  A pipe for which poll(2) reports POLLOUT takes PIPE_BUF
 * bytes at once (pipe(7)); POLLERR is a pipe without a reader: writing would
 * raise SIGPIPE.
 */
static bool log_has_room(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLOUT };

	return poll(&ready, 1, 0) == 1 && ready.revents == POLLOUT;
}

/*
 * A terminal reports POLLOUT when there is room for one byte, and the rest of
 * the line waits for whoever reads the other side (a container's log driver
 * that hangs).  Opened once more it has a description of our own.
 */
static int log_open_terminal(void)
{
	if (!isatty(STDERR_FILENO))
		return -1;
	return open("/proc/self/fd/2",
		    O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

static void log_write(const char *line, size_t len)
{
	ssize_t ignored;
	int terminal;

	pthread_mutex_lock(&log_lock);
	if (log_has_room(STDERR_FILENO)) {
		terminal = log_open_terminal();
		ignored = write(terminal >= 0 ? terminal : STDERR_FILENO, line,
				len);
		(void)ignored;
		if (terminal >= 0)
			close(terminal);
	}
	pthread_mutex_unlock(&log_lock);
}

void log_line(enum log_level level, const char *fmt, ...)
{
	int saved = errno;
	char line[LOG_LINE_BYTES];
	char raw[LOG_RAW_BYTES];
	size_t len;
	va_list args;

	if ((int)level > atomic_load(&log_level))
		return;
	va_start(args, fmt);
	if (vsnprintf(raw, sizeof(raw), fmt, args) < 0)
		raw[0] = '\0';
	va_end(args);
	len = log_head(line, sizeof(line), level);
	text_show(line + len, sizeof(line) - len - 1, raw);
	len += strlen(line + len);
	line[len++] = '\n';
	log_write(line, len);
	errno = saved;
}

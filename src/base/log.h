/*
 * log: one line per event on standard error.
 *
 *	2026-01-31T12:00:00.123Z health.fcgi[812] warn: check=redis code=timeout
 *
 * File descriptor 2 is where every web server collects what a FastCGI program
 * has to say (Apache and lighttpd: their error log; a supervisor: its own).
 * The line is written by one write(2), of a thread that does nothing else: when
 * descriptor 2 or the disk below it is full or stuck, lines are kept while
 * there is room, then dropped and counted; the program goes on.  Registered
 * secrets are masked and control bytes escaped here, in one place.  When
 * descriptor 2 is the journal's, a line begins with its priority ("<4>").
 *
 * Any thread may call.  Nothing can fail.
 */
#ifndef HEALTH_LOG_H
#define HEALTH_LOG_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/clock.h"

enum log_level { LOG_ERR, LOG_WARN, LOG_INFO, LOG_DEBUG };

/* Lines above this level are dropped; the default is LOG_INFO. */
void log_set_level(enum log_level level);

void log_line(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * The same without masking: for our own words, and parts that text_show() has
 * masked.  Otherwise a password that is one of our words ("redis", "refused")
 * would be hidden in the log but not in the answer; the two would reveal it.
 */
void log_masked(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* fork(2), for a child that is to log, too.  Any thread. */
pid_t log_fork(void);

/* Call it before the process ends: waits, for LOG_END_MS at most, until all
 * lines are written. */
#define LOG_END_MS 500
void log_end(void);

/*
 * What a peer can cause as often as it likes is logged once in LOG_LIMIT_MS, so
 * that it cannot fill the log.  Zeroed: it has never happened.
 */
#define LOG_LIMIT_MS 10000
struct log_limit {
	_Atomic int64_t said_ms;
	atomic_size_t n; /* how often since */
};

/* Counts one event.  Returns how many to report now; 0: report nothing. */
static inline size_t log_limit_count(struct log_limit *limit)
{
	int64_t said_ms = atomic_load(&limit->said_ms), now = clock_ms();

	atomic_fetch_add(&limit->n, 1);
	if (said_ms && now - said_ms < LOG_LIMIT_MS)
		return 0;
	/* Of several threads one reports. */
	if (!atomic_compare_exchange_strong(&limit->said_ms, &said_ms, now))
		return 0;
	return atomic_exchange(&limit->n, 0);
}

#define log_err(...) log_line(LOG_ERR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif

/*
 * fake_log: what the tested module logs, instead of base/log.c.
 *
 * Levels down to LOG_INFO are kept, as by default.
 */
#ifndef HEALTH_FAKE_LOG_H
#define HEALTH_FAKE_LOG_H

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"

static struct {
	int lines;	      /* since fake_log_clear() */
	enum log_level level; /* of the last line */
	char last[400];
	char all[4096]; /* each line ends in '\n' */
} fake_log;

static inline void fake_log_clear(void)
{
	memset(&fake_log, 0, sizeof(fake_log));
}

__attribute__((format(printf, 2, 0))) static void fake_log_add(
	enum log_level level, const char *fmt, va_list args)
{
	size_t len = strlen(fake_log.all);

	if (level > LOG_INFO)
		return;
	vsnprintf(fake_log.last, sizeof(fake_log.last), fmt, args);
	snprintf(fake_log.all + len, sizeof(fake_log.all) - len, "%s\n",
		 fake_log.last);
	fake_log.level = level;
	fake_log.lines++;
}

void log_line(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fake_log_add(level, fmt, args);
	va_end(args);
}

void log_masked(enum log_level level, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	fake_log_add(level, fmt, args);
	va_end(args);
}

#endif

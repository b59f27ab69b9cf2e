/*
 * clock: monotonic time.
 *
 * Every deadline, age and latency in the program is taken from
 * CLOCK_MONOTONIC (clock_gettime(2)), so stepping the wall clock by hours
 * changes nothing.  Milliseconds are for deadlines, microseconds for latency.
 *
 * Any thread may call.  Nothing can fail.
 */
#ifndef HEALTH_CLOCK_H
#define HEALTH_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline int64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static inline int64_t clock_ms(void)
{
	return clock_us() / 1000;
}

#endif

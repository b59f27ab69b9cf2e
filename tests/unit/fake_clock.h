/*
 * fake_clock: a clock that stands until the test moves it.
 *
 * Include it before everything that includes base/clock.h.  Several threads may
 * read and move it.  A test that needs another source of time defines
 * FAKE_CLOCK_US, an expression in microseconds, before.
 */
#ifndef HEALTH_FAKE_CLOCK_H
#define HEALTH_FAKE_CLOCK_H

/* base/clock.h is empty from now on. */
#define HEALTH_CLOCK_H

#include <stdint.h>
#include <time.h>

#ifndef FAKE_CLOCK_US
static _Atomic int64_t fake_us = 5000000000;
#define FAKE_CLOCK_US fake_us
#endif

static inline int64_t clock_us(void)
{
	return FAKE_CLOCK_US;
}

static inline int64_t clock_ms(void)
{
	return clock_us() / 1000;
}

#endif

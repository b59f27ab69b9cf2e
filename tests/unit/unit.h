/*
 * unit: what a unit test needs.  A test program includes the .c file it tests,
 * fakes its neighbours and ends in `return unit_report();`.  Every failed
 * expectation is printed with its place and values; the program goes on.
 */
#ifndef HEALTH_UNIT_H
#define HEALTH_UNIT_H

#include <stdio.h>
#include <string.h>

static int unit_passed, unit_failed;

static inline void unit_note(int good, const char *file, int line,
			     const char *what)
{
	if (good) {
		unit_passed++;
		return;
	}
	unit_failed++;
	printf("%s:%d: failed: %s\n", file, line, what);
}

#define CHECK(fact) unit_note(!!(fact), __FILE__, __LINE__, #fact)

#define CHECK_INT(got, want)                                                  \
	do {                                                                  \
		long long got_ = (long long)(got), want_ = (long long)(want); \
		unit_note(got_ == want_, __FILE__, __LINE__,                  \
			  #got " == " #want);                                 \
		if (got_ != want_)                                            \
			printf("\tgot %lld, want %lld\n", got_, want_);       \
	} while (0)

#define CHECK_STR(got, want)                                             \
	do {                                                             \
		const char *got_ = (got), *want_ = (want);               \
		int same_ = got_ && want_ && strcmp(got_, want_) == 0;   \
		unit_note(same_, __FILE__, __LINE__, #got " is " #want); \
		if (!same_)                                              \
			printf("\tgot \"%s\"\n\twant \"%s\"\n",          \
			       got_ ? got_ : "(null)",                   \
			       want_ ? want_ : "(null)");                \
	} while (0)

static inline int unit_report(void)
{
	printf("%d passed, %d failed\n", unit_passed, unit_failed);
	return unit_failed != 0;
}

#endif

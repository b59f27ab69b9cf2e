/*
 * record: what is kept of one check: the result of its last run, and its past.
 *
 * Plain data without pointers, so that it can lie in a mapped file.  Pure
 * functions; any thread.
 */
#ifndef HEALTH_RECORD_H
#define HEALTH_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/result.h"

struct record {
	struct result result;
	int64_t first_ok_us;	  /* end of the first healthy run; 0: none */
	int64_t failing_since_us; /* end of the first run of this outage; 0:
				     healthy, or nothing known */
	int64_t runs;
	int64_t failures;
};

/* Adds the result of another run. */
void record_add(struct record *record, const struct result *result);

/*
 * Makes a record from outside one that is safe to use: texts end and are
 * clean, latencies are not negative, and counters do not overflow.  false: it
 * cannot be meant, its code is none, or it was made after now_us.
 */
bool record_sane(struct record *record, int64_t now_us);

#endif

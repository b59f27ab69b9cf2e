/*
 * policy: how a check is run and how its result counts.
 *
 * Plain data without pointers; read-only once it is made.
 */
#ifndef HEALTH_POLICY_H
#define HEALTH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

/* What every check has (check_common_keys). */
struct check_policy {
	int64_t timeout_ms;
	int64_t max_age_ms;  /* how old a result may be and still answer; with
				an interval: interval + timeout */
	int64_t interval_ms; /* 0: only when asked */
	int64_t renew_ms;    /* 0: never */
	bool keep;	     /* connections stay open between runs */
	bool required;
	bool startup;
	bool live;
};

#endif

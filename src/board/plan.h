/*
 * plan: what answering a probe takes of the configuration.
 *
 * Made by the side that reads the configuration (app/settings), used by the
 * side that answers, which knows nothing else of it and holds no secret.  Plain
 * data without pointers; read-only once it is made.
 */
#ifndef HEALTH_PLAN_H
#define HEALTH_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/cidr.h"
#include "check/policy.h"

/* With the end of the text. */
#define PLAN_NAME_BYTES 65
#define PLAN_SERVICE_BYTES 129
#define PLAN_MOUNT_BYTES 256

#define PLAN_TRUSTED_MAX 1000

struct plan_check {
	char name[PLAN_NAME_BYTES];
	struct check_policy policy;
};

struct plan {
	bool broken; /* the configuration has errors: liveness answers,
			everything else says so */
	bool drains; /* a file may say that the service drains */
	int64_t answer_within_ms;	  /* for the whole answer */
	char service[PLAN_SERVICE_BYTES]; /* its name, or "" */
	char mount[PLAN_MOUNT_BYTES];	  /* "" or one more mount path */
	size_t n_trusted;
	struct cidr trusted[PLAN_TRUSTED_MAX]; /* are shown details */
	size_t n;
	struct plan_check checks[]; /* in the order of the configuration */
};

static inline size_t plan_bytes(size_t n)
{
	return sizeof(struct plan) + n * sizeof(struct plan_check);
}

#endif

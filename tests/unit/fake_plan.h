/* A plan of n checks without names, whose policies are zero; never freed. */
#ifndef FAKE_PLAN_H
#define FAKE_PLAN_H

#include <stdlib.h>
#include <string.h>

#include "board/plan.h"

static inline struct plan *fake_plan(size_t n)
{
	struct plan *plan = calloc(1, plan_bytes(n));

	if (!plan)
		abort();
	plan->n = n;
	plan->answer_within_ms = 4500;
	return plan;
}

static inline void fake_plan_check(struct plan *plan, size_t check,
				   const char *name, struct check_policy policy)
{
	strcpy(plan->checks[check].name, name);
	plan->checks[check].policy = policy;
}

#endif

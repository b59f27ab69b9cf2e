/*
 * resolve_judge: what c-ares found for either family of addresses, as one
 * answer.
 *
 * Pure; any thread.
 */
#ifndef HEALTH_RESOLVE_JUDGE_H
#define HEALTH_RESOLVE_JUDGE_H

#include <stdbool.h>

#include "io/resolve.h"

struct resolve_dns;

enum resolve_family { RESOLVE_V6, RESOLVE_V4, RESOLVE_FAMILIES };

/* What one family came to. */
struct resolve_part {
	struct resolve_dns *dns; /* that it is a part of */
	bool done;
	int status; /* ARES_..., not ARES_SUCCESS; with n 0 only */
	int ttl_s;  /* of the shortest; with n > 0 only */
	size_t n;
	struct resolve_addr addrs[RESOLVE_MAX];
};

/* Fills a zeroed answer; how many seconds it may be kept, 0: not at all. */
int resolve_judge(struct resolve_answer *answer,
		  const struct resolve_part parts[RESOLVE_FAMILIES]);

/* Fills an answer without addresses: a status of c-ares as code and words. */
void resolve_judge_failure(struct resolve_answer *answer, int status);

#endif

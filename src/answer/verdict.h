/*
 * verdict: results in, one overall status and HTTP code out.
 *
 * Pure: no I/O, no clock (the view carries its time), any thread.
 */
#ifndef HEALTH_VERDICT_H
#define HEALTH_VERDICT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "answer/route.h"
#include "board/board.h"
#include "board/plan.h"

struct verdict {
	int http;	    /* 200, 404, 405 or 503 */
	const char *status; /* "ready", "not_ready", ...; static; NULL: none */
	const char *error;  /* static words for "error"; NULL: none */
	const char *detail; /* static words for "detail"; NULL: none */
	bool show_service;  /* the body has "service" */
	bool show_checks;   /* the body has "checks" */
	bool show_waiting;  /* the body has "waiting_for" */
	bool only_live;	    /* of these, only `live` checks */
	size_t first, end;  /* checks to show are among first..end-1 */
};

/*
 * Judges an answered (or, with out_of_time, an unfinished) question.  Results
 * that were asked for are brought up to date in place: one that is too old
 * becomes `stale`, one that did not come in time `timeout`.  Others are neither
 * read nor shown: in a view of the board they may hold anything.
 *
 * asked_us: when it was asked (clock_us()).
 * busy: there was no room to let the question wait; what the view has is used
 * if it is not much older than allowed.
 */
struct verdict_input {
	const struct route *route;
	const struct plan *plan;
	struct board_view *view;
	int64_t asked_us;
	bool out_of_time;
	bool busy;
};
struct verdict verdict_make(const struct verdict_input *input);

/* Whether the body shows a check. */
static inline bool verdict_shows(const struct verdict *verdict,
				 const struct plan *plan, size_t check)
{
	return verdict->show_checks && check >= verdict->first &&
	       check < verdict->end &&
	       (!verdict->only_live || plan->checks[check].policy.live);
}

#endif

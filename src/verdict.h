/*
 * verdict: results in, one overall status and HTTP code out.
 *
 * Pure: no I/O, no clock (the view carries its time), any thread.
 */
#ifndef HEALTH_VERDICT_H
#define HEALTH_VERDICT_H

#include <stdbool.h>
#include <stddef.h>

#include "board.h"
#include "route.h"

/* What the verdict has to know of a check; read-only, shared by all. */
struct verdict_rule {
	const char *name;
	bool required;
	bool startup;
	bool live;
	bool background;    /* has an interval */
	int64_t max_age_ms; /* with background: interval + timeout */
};

struct verdict {
	int http;	    /* 200, 404, 405 or 503 */
	const char *status; /* "ready", "not_ready", ...; static; NULL: error */
	const char *error;  /* static words for "error"; NULL: none */
	bool show_checks;   /* "checks" belongs into the body */
	bool show_waiting;  /* "waiting_for" belongs into the body */
	size_t first, end;  /* checks to show are first..end-1 */
};

/*
 * Judges an answered (or, with out_of_time, an unfinished) question.  Results
 * in the view are brought up to date in place: one that is too old becomes
 * `stale`, one that did not come in time `timeout`.
 *
 * asked_ms and answer_within_ms are what the question was asked with.
 * broken: the configuration has mistakes, everything but liveness is 503.
 * busy: there was no room to let the question wait.
 */
struct verdict_input {
	const struct route *route;
	const struct verdict_rule *rules; /* view->n of them */
	struct board_view *view;
	int64_t asked_ms;
	int64_t answer_within_ms;
	bool out_of_time;
	bool busy;
	bool broken;
};
struct verdict verdict_make(const struct verdict_input *input);

#endif

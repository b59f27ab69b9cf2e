/*
 * board: the last result of every check; the only thing that responders and
 * the prober share.
 *
 * Records are plain and are copied in and out under one lock, which is never
 * held over a system call.  A responder asks one question and gets one copied
 * answer, or is told to wait; the prober takes what is wanted and publishes.
 *
 * With a share (share.h) the board knows what other processes published, too.
 *
 * board/ is for results, shared by threads and processes.  It knows results and
 * policies, and not how a result came about.
 */
#ifndef HEALTH_BOARD_H
#define HEALTH_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/probe.h"
#include "base/result.h"

struct board;
struct plan;
struct share;

struct board_question {
	enum probe probe;
	size_t check;	  /* PROBE_CHECK only */
	int64_t asked_us; /* clock_us() */
};

/*
 * A consistent copy of what a question is about: the records of checks outside
 * its scope (PROBE_LIVE: those that are not `live`) are left as they were.
 */
struct board_view {
	int64_t now_ms; /* when the copy was made */
	bool started;	/* the latch */
	bool draining;
	bool stuck; /* the prober has not turned for BOARD_STUCK_MS */
	size_t n;
	struct result *results; /* n records, room provided by the caller */
	bool *latched;		/* n: was healthy once; room likewise */
	bool *late; /* n: missing, or older than allowed; room likewise */
};

#define BOARD_STUCK_MS 10000

/* The plan and the share, which may be NULL, are borrowed.  With plan->drains,
 * readiness waits until a process has looked whether the service drains.  NULL
 * when out of memory. */
struct board *board_create(const struct plan *plan, struct share *share);
void board_destroy(struct board *board);

/*
 * Sets what is called: wake(arg) when something became wanted, heard(arg) when
 * a result came for which a question waits.  Both must be safe in any thread.
 * What is wanted before there is a wake() is found by board_take_wanted().
 */
void board_on_wanted(struct board *board, void (*wake)(void *), void *arg);
void board_on_published(struct board *board, void (*heard)(void *), void *arg);

/* ---- responders; any thread ---- */

/*
 * true: the question can be answered now, and view holds the answer.
 * false: it must wait; what is missing is marked wanted and the prober is
 * woken; ask again, with the same asked_us, when heard() was called.
 */
bool board_ask(struct board *board, const struct board_question *question,
	       struct board_view *view);

/* The answer as it stands, without waiting or wanting anything. */
void board_look(struct board *board, const struct board_question *question,
		struct board_view *view);

/* ---- the prober ---- */

/* Notes that the prober lives; call once a turn. */
void board_beat(struct board *board);

/* Calls want(arg, check) for each check that is wanted and clears the mark.
 * want() may call board_publish(). */
void board_take_wanted(struct board *board,
		       void (*want)(void *arg, size_t check), void *arg);

/*
 * Publishes the result of a run; *before is what was known until then.  false:
 * it does not count, since another process has taken over the check.
 */
bool board_publish(struct board *board, size_t check,
		   const struct result *result, struct record *before);

/* Takes in what another process published; true when there was something. */
bool board_catch_up(struct board *board, size_t check);

/* Uses this share from now on; NULL: this process is alone. */
void board_use_share(struct board *board, struct share *share);

/* Publishes what was seen just now; call it every BOARD_DRAIN_MS / 2. */
#define BOARD_DRAIN_MS 2000
void board_set_draining(struct board *board, bool draining);
/* Likewise, when nothing could be seen: the last state seen, here or by another
 * process, stays, or `otherwise` when no process has looked yet.  Returns that
 * state. */
bool board_keep_draining(struct board *board, bool otherwise);

/* What the prober has to know of a check to plan its next run. */
struct board_state {
	struct result result; /* ended_us is 0 before the first */
	bool latched;	      /* was healthy once, or not for startup */
	bool pending;	      /* a question waits for another result */
};
struct board_state board_state(struct board *board, size_t check);

#endif

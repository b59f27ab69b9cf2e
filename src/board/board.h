/*
 * board: the last result of every check, as this process knows it.
 *
 * A front and its worker have a board each; the share (share.h) is what they
 * have in common.  Records are plain and are copied in and out under one lock,
 * which is never held over a system call.  A responder asks one question and
 * gets one copied answer, or is told to wait; the asker takes what is wanted,
 * and its worker publishes.
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
	bool stuck; /* nothing has run the checks for BOARD_STUCK_MS */
	size_t n;
	struct result *results; /* n records, room provided by the caller */
	bool *latched;		/* n: was healthy once; room likewise */
	bool *late; /* n: missing, or older than allowed; room likewise */
};

#define BOARD_STUCK_MS 10000

/* The plan and the share are borrowed.  With plan->drains,
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
 * false: it must wait; what is missing is marked wanted and the asker is
 * woken; ask again, with the same asked_us, when heard() was called.
 */
bool board_ask(struct board *board, const struct board_question *question,
	       struct board_view *view);

/* The answer as it stands, without waiting or wanting anything. */
void board_look(struct board *board, const struct board_question *question,
		struct board_view *view);

/*
 * Takes in what other processes published; true: questions that wait are to ask
 * again.  To be called when there is news in the share.
 */
bool board_catch_up(struct board *board);

/* ---- the asker; any thread ---- */

/* Notes that the checks can be run; call at least once a second. */
void board_beat(struct board *board);

/*
 * Calls want(arg, check, seen) for each check that became wanted, or with
 * `again` for each whose result is still missing, with what was seen of it
 * (share_read()).  Whether there was one.
 */
bool board_take_wanted(struct board *board, bool again,
		       void (*want)(void *arg, size_t check, uint64_t seen),
		       void *arg);

/* Whether a question waits until a process has looked whether the service
 * drains, and none does. */
bool board_wants_drain(struct board *board);

/* What was seen in another file does not count for this one: to be called after
 * share_rejoin(). */
void board_forget_seen(struct board *board);

/* ---- the worker ---- */

/*
 * Publishes the result of a run; *before is what was known until then.  false:
 * it does not count, since another process has taken over the check.
 */
bool board_publish(struct board *board, size_t check,
		   const struct result *result, struct record *before);

/* Takes in what another process published; true when there was something. */
bool board_catch_up_with(struct board *board, size_t check);

/* Publishes what was seen just now; call it every BOARD_DRAIN_MS / 2. */
#define BOARD_DRAIN_MS 2000
void board_set_draining(struct board *board, bool draining);
/* Likewise, when nothing could be seen: the last state seen, here or by another
 * process, stays, or `otherwise` when no process has looked yet.  Returns that
 * state. */
bool board_keep_draining(struct board *board, bool otherwise);
/* The last state that a process has seen. */
bool board_is_draining(struct board *board);

/* What is to be known of a check to plan its next run. */
struct board_state {
	struct result result; /* ended_us is 0 before the first */
	bool latched;	      /* was healthy once, or not for startup */
};
struct board_state board_state(struct board *board, size_t check);

#endif

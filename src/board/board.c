#include "config.h"

#include "board/board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "board/plan.h"
#include "board/share.h"

/* A check that startup waits for is tried again in less (schedule.c), unless
 * the process that did so has ended, as every CGI program has. */
#define BOARD_RETRY_MS 6000

struct board_slot {
	const struct check_policy *policy;
	struct record record;
	uint64_t seen;		  /* of the share */
	bool pending;		  /* wanted since the last publication */
	bool taken;		  /* and the asker knows */
	bool awaited;		  /* a question waits for this result */
	bool awaited_alone;	  /* ... and may need no other one */
	int64_t awaited_since_us; /* when the first of them was asked */
	bool latched;		  /* healthy once */
};

struct board_hook {
	void (*call)(void *arg); /* NULL: none */
	void *arg;
};

struct board {
	pthread_mutex_t lock;
	struct share *share;
	bool drain_expected;
	bool drain_wanted;  /* a question waits for it */
	atomic_bool wanted; /* some slot is pending and not taken */
	_Atomic int64_t beat_ms;

	/* Since when this very beat looks overdue; see board_judge_beat(). */
	int64_t suspect_beat_ms, suspect_since_ms;
	int64_t told_beat_ms; /* that was logged last */

	struct board_hook wake, heard;

	size_t n;
	struct board_slot slots[];
};

struct board *board_create(const struct plan *plan, struct share *share)
{
	size_t i, n = plan->n;
	struct board *board = calloc(1, sizeof(*board) +
						n * sizeof(*board->slots));

	if (!board)
		return NULL;
	pthread_mutex_init(&board->lock, NULL);
	board->n = n;
	board->share = share;
	board->drain_expected = plan->drains;
	for (i = 0; i < n; i++) {
		board->slots[i].policy = &plan->checks[i].policy;
		board->slots[i].latched = !board->slots[i].policy->startup;
	}
	board_beat(board);
	return board;
}

void board_destroy(struct board *board)
{
	if (!board)
		return;
	pthread_mutex_destroy(&board->lock);
	free(board);
}

static void board_set_hook(struct board *board, struct board_hook *hook,
			   void (*call)(void *arg), void *arg)
{
	pthread_mutex_lock(&board->lock);
	*hook = (struct board_hook){ call, arg };
	pthread_mutex_unlock(&board->lock);
}

void board_on_wanted(struct board *board, void (*wake)(void *), void *arg)
{
	board_set_hook(board, &board->wake, wake, arg);
}

void board_on_published(struct board *board, void (*heard)(void *), void *arg)
{
	board_set_hook(board, &board->heard, heard, arg);
}

/* What to call once the lock is released. */
struct board_calls {
	bool wake, hear, tell, complain;
};

static void board_unlock(struct board *board, const struct board_calls *calls)
{
	struct board_hook wake = board->wake, heard = board->heard;

	pthread_mutex_unlock(&board->lock);
	if (calls->wake && wake.call)
		wake.call(wake.arg);
	if (calls->hear && heard.call)
		heard.call(heard.arg);
	if (calls->tell)
		share_tell(board->share);
	if (calls->complain)
		log_err("no process could run the checks for %d s: liveness "
			"answers \"stuck\", so that the program is restarted",
			BOARD_STUCK_MS / 1000);
}

static bool board_in_scope(const struct board_slot *slot, size_t check,
			   const struct board_question *question)
{
	switch (question->probe) {
	case PROBE_READY:
		return true;
	case PROBE_CHECK:
		return check == question->check;
	case PROBE_STARTED:
		return slot->policy->startup;
	case PROBE_LIVE:
		return slot->policy->live;
	}
	return false;
}

/*
 * A result answers until it is max_age old. While a run that began before makes
 * its successor, it goes on answering until that run must have ended: so no
 * question waits for a check that is asked for again and again.
 */
static bool board_fresh(const struct board *board,
			const struct board_slot *slot, int64_t asked_us)
{
	const struct check_policy *policy = slot->policy;
	int64_t age_us = asked_us - slot->record.result.ended_us;
	size_t check = (size_t)(slot - board->slots);

	if (age_us <= policy->max_age_ms * 1000)
		return true;
	return age_us <= (policy->max_age_ms + policy->timeout_ms) * 1000 &&
	       share_renewing(board->share, check, clock_ms());
}

/* Whether a process in the share may still retry a failed check. */
static bool board_retried(const struct board_slot *slot, int64_t asked_us)
{
	int64_t age_us = asked_us - slot->record.result.ended_us;

	return age_us <= (BOARD_RETRY_MS + slot->policy->timeout_ms) * 1000;
}

static bool board_answered(const struct board *board,
			   const struct board_slot *slot,
			   const struct board_question *question)
{
	const struct result *result = &slot->record.result;

	switch (question->probe) {
	case PROBE_LIVE:
		return true;
	case PROBE_STARTED:
		return slot->latched ||
		       (result->ended_us != 0 &&
			board_retried(slot, question->asked_us));
	case PROBE_READY:
	case PROBE_CHECK:
		break;
	}
	return result->ended_us != 0 &&
	       board_fresh(board, slot, question->asked_us);
}

/* Lets the question wait for the result of this very check. */
static void board_await(struct board_slot *slot,
			const struct board_question *question)
{
	if (!slot->awaited || question->asked_us < slot->awaited_since_us)
		slot->awaited_since_us = question->asked_us;
	slot->awaited = true;
	if (question->probe != PROBE_READY)
		slot->awaited_alone = true;
}

/*
 * Marks what is missing as wanted; true when nothing is missing.  The question
 * then waits for one result, that of the check which took longest last time:
 * when it comes, the others are mostly there, and the waiting question is
 * looked at once and not once for each check.
 */
static bool board_want(struct board *board,
		       const struct board_question *question, bool *wanted)
{
	struct board_slot *slowest = NULL;
	size_t i;

	for (i = 0; i < board->n; i++) {
		struct board_slot *slot = &board->slots[i];

		if (!board_in_scope(slot, i, question) ||
		    board_answered(board, slot, question))
			continue;
		if (!slot->pending) {
			slot->pending = true;
			slot->taken = false;
			*wanted = true;
		}
		if (!slowest || slot->record.result.latency_us >=
					slowest->record.result.latency_us)
			slowest = slot;
	}
	if (slowest)
		board_await(slowest, question);
	return slowest == NULL;
}

/*
 * Whether to wake the questions that wait for this slot, whose result has just
 * come. Questions about all checks need not wake while another result is
 * missing: they wait for that one from now on. What is missing for the first
 * question is missing for all later ones. A result made just before a question
 * may be published just after it: it does not answer the question, but clears
 * the mark. No other run is under way then, so the waiting questions must ask
 * again.
 */
static bool board_hear(struct board *board, struct board_slot *slot)
{
	const struct board_question first = {
		.probe = PROBE_READY, .asked_us = slot->awaited_since_us
	};
	bool awaited = slot->awaited, alone = slot->awaited_alone;
	size_t i;

	slot->awaited = slot->awaited_alone = false;
	if (!awaited || alone)
		return awaited;
	for (i = 0; i < board->n; i++) {
		if (!board_answered(board, &board->slots[i], &first)) {
			if (!board->slots[i].pending)
				return true;
			board_await(&board->slots[i], &first);
			return false;
		}
	}
	return true;
}

/* Takes in a record; true: wake the questions that wait. */
static bool board_take_in(struct board *board, struct board_slot *slot,
			  const struct record *record)
{
	slot->record = *record;
	slot->pending = false;
	slot->latched = slot->latched ||
			(record->first_ok_us != 0 &&
			 record->first_ok_us >= share_began_us(board->share));
	return board_hear(board, slot);
}

/* Takes in what another process published; true when there was something. */
static bool board_pull(struct board *board, size_t check, bool *hear)
{
	struct board_slot *slot = &board->slots[check];
	struct record record;

	/* A result that is not newer is our own. */
	if (!share_read(board->share, check, &slot->seen, &record) ||
	    record.result.ended_us <= slot->record.result.ended_us)
		return false;
	if (board_take_in(board, slot, &record))
		*hear = true;
	return true;
}

/* Before a question is judged: takes in the results of other processes. */
static void board_pull_for(struct board *board,
			   const struct board_question *question, bool *hear)
{
	size_t i;

	for (i = 0; i < board->n; i++)
		if (board_in_scope(&board->slots[i], i, question))
			board_pull(board, i, hear);
}

/* A check that is asked for soon after its last result is worth running ahead
 * of the next question. One that answers a question which waited for it does
 * not count. */
static void board_note_use(struct board *board,
			   const struct board_question *question)
{
	size_t i;

	if (question->probe != PROBE_READY && question->probe != PROBE_CHECK)
		return;
	for (i = 0; i < board->n; i++) {
		const struct board_slot *slot = &board->slots[i];
		int64_t age_us = question->asked_us -
				 slot->record.result.ended_us;

		if (board_in_scope(slot, i, question) && age_us >= 0 &&
		    age_us <= 2 * slot->policy->max_age_ms * 1000)
			share_use(board->share, i, question->asked_us / 1000);
	}
}

/* The shared file may be corrupt: ignore times in the future, and what no
 * process says. */
static bool board_draining(const struct board *board, int64_t *looked_ms)
{
	bool draining = share_draining(board->share, looked_ms);

	if (board->drain_expected && *looked_ms <= clock_ms())
		return draining;
	*looked_ms = 0;
	return false;
}

/* Whether the question must wait until a process has looked. */
static bool board_drain_unknown(const struct board *board, int64_t looked_ms)
{
	return board->drain_expected && clock_ms() - looked_ms > BOARD_DRAIN_MS;
}

/*
 * The asker beats every second; it is stuck when it has not for
 * BOARD_STUCK_MS.  A process that was itself suspended and has just resumed
 * sees an old beat, too: only a beat that is still the same a second after it
 * was first found overdue counts.
 */
static bool board_judge_beat(struct board *board, int64_t now_ms)
{
	int64_t beat_ms = atomic_load(&board->beat_ms);

	if (now_ms - beat_ms < BOARD_STUCK_MS)
		return false;
	if (board->suspect_beat_ms != beat_ms) {
		board->suspect_beat_ms = beat_ms;
		board->suspect_since_ms = now_ms;
	}
	return now_ms - board->suspect_since_ms >= 1000;
}

static void board_copy(struct board *board,
		       const struct board_question *question,
		       struct board_view *view, struct board_calls *calls)
{
	int64_t looked_ms;
	size_t i;

	view->now_ms = clock_ms();
	view->draining = board_draining(board, &looked_ms);
	view->stuck = board_judge_beat(board, view->now_ms);
	if (view->stuck && board->told_beat_ms != board->suspect_beat_ms) {
		board->told_beat_ms = board->suspect_beat_ms;
		calls->complain = true;
	}
	view->started = true;
	view->n = board->n;
	for (i = 0; i < board->n; i++) {
		const struct board_slot *slot = &board->slots[i];

		view->latched[i] = slot->latched;
		view->started = view->started && slot->latched;
		if (!board_in_scope(slot, i, question))
			continue;
		view->results[i] = slot->record.result;
		view->late[i] = !board_answered(board, slot, question);
	}
}

bool board_ask(struct board *board, const struct board_question *question,
	       struct board_view *view)
{
	struct board_calls calls = { .wake = false };
	bool answered, draining;
	int64_t looked_ms = 0;

	pthread_mutex_lock(&board->lock);
	board_pull_for(board, question, &calls.hear);
	draining = question->probe == PROBE_READY &&
		   board_draining(board, &looked_ms);
	/* A draining service needs no results, so it asks nothing. */
	answered = draining || board_want(board, question, &calls.wake);
	if (!draining)
		board_note_use(board, question);
	if (question->probe == PROBE_READY &&
	    board_drain_unknown(board, looked_ms)) {
		answered = false;
		board->drain_wanted = calls.wake = true;
	}
	if (answered)
		board_copy(board, question, view, &calls);
	if (calls.wake)
		atomic_store(&board->wanted, true);
	board_unlock(board, &calls);
	return answered;
}

void board_look(struct board *board, const struct board_question *question,
		struct board_view *view)
{
	struct board_calls calls = { .wake = false };

	pthread_mutex_lock(&board->lock);
	board_pull_for(board, question, &calls.hear);
	board_copy(board, question, view, &calls);
	board_unlock(board, &calls);
}

bool board_catch_up(struct board *board)
{
	bool hear = false;
	int64_t looked_ms;
	size_t i;

	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->n; i++)
		board_pull(board, i, &hear);
	board_draining(board, &looked_ms);
	if (board->drain_wanted && !board_drain_unknown(board, looked_ms)) {
		board->drain_wanted = false;
		hear = true;
	}
	pthread_mutex_unlock(&board->lock);
	return hear;
}

/* ---- the asker ---- */

void board_beat(struct board *board)
{
	atomic_store(&board->beat_ms, clock_ms());
}

bool board_take_wanted(struct board *board, bool again,
		       void (*want)(void *arg, size_t check, uint64_t seen),
		       void *arg)
{
	bool wanted, any = false;
	uint64_t seen;
	size_t i;

	if (!atomic_exchange(&board->wanted, false) && !again)
		return false;
	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->n; i++) {
		struct board_slot *slot = &board->slots[i];

		wanted = slot->pending && (again || !slot->taken);
		slot->taken = slot->pending;
		if (!wanted)
			continue;
		any = true;
		seen = slot->seen;
		pthread_mutex_unlock(&board->lock);
		want(arg, i, seen);
		pthread_mutex_lock(&board->lock);
	}
	pthread_mutex_unlock(&board->lock);
	return any;
}

bool board_wants_drain(struct board *board)
{
	int64_t looked_ms;
	bool wanted;

	pthread_mutex_lock(&board->lock);
	board_draining(board, &looked_ms);
	wanted = board->drain_wanted && board_drain_unknown(board, looked_ms);
	pthread_mutex_unlock(&board->lock);
	return wanted;
}

void board_forget_seen(struct board *board)
{
	size_t i;

	pthread_mutex_lock(&board->lock);
	for (i = 0; i < board->n; i++)
		board->slots[i].seen = 0;
	pthread_mutex_unlock(&board->lock);
}

/* ---- the worker ---- */

bool board_publish(struct board *board, size_t check,
		   const struct result *result, struct record *before)
{
	struct board_slot *slot = &board->slots[check];
	struct board_calls calls = { .wake = false };
	struct record record;
	bool counts;

	pthread_mutex_lock(&board->lock);
	board_pull(board, check, &calls.hear);
	*before = record = slot->record;
	/* What was before the service began anew does not count. */
	if (record.first_ok_us < share_began_us(board->share))
		record.first_ok_us = 0;
	record_add(&record, result);
	counts = share_publish(board->share, check, &record);
	if (counts && board_take_in(board, slot, &record))
		calls.hear = true;
	calls.tell = counts;
	board_unlock(board, &calls);
	return counts;
}

bool board_catch_up_with(struct board *board, size_t check)
{
	struct board_calls calls = { .wake = false };
	bool news;

	pthread_mutex_lock(&board->lock);
	news = board_pull(board, check, &calls.hear);
	board_unlock(board, &calls);
	return news;
}

void board_set_draining(struct board *board, bool draining)
{
	int64_t looked_ms;

	board_draining(board, &looked_ms);
	share_set_draining(board->share, draining, clock_ms());
	/* Questions may wait for this alone. */
	if (board_drain_unknown(board, looked_ms))
		share_tell(board->share);
}

bool board_keep_draining(struct board *board, bool otherwise)
{
	int64_t looked_ms;
	bool draining = board_draining(board, &looked_ms);

	if (!looked_ms)
		draining = otherwise;
	board_set_draining(board, draining);
	return draining;
}

bool board_is_draining(struct board *board)
{
	int64_t looked_ms;

	return board_draining(board, &looked_ms);
}

struct board_state board_state(struct board *board, size_t check)
{
	const struct board_slot *slot = &board->slots[check];
	struct board_state state;

	pthread_mutex_lock(&board->lock);
	state = (struct board_state){ slot->record.result, slot->latched };
	pthread_mutex_unlock(&board->lock);
	return state;
}

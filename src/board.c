#include "config.h"

#include "board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "clock.h"

struct board_slot {
	struct board_policy policy;
	struct result result;
	bool pending;		  /* wanted since the last publication */
	bool taken;		  /* and the prober knows */
	bool awaited;		  /* a question waits for this very result: */
	bool awaited_alone;	  /* one that may need no other */
	int64_t awaited_since_us; /* when the first of them was asked */
	bool latched;		  /* healthy once */
};

struct board {
	pthread_mutex_t lock;
	struct board_slot *slots;
	size_t n;
	bool draining;
	atomic_bool wanted; /* some slot is pending and not taken */
	_Atomic int64_t beat_ms;

	/* Since when this very beat looks overdue; see board_stuck(). */
	int64_t suspect_beat_ms, suspect_since_ms;

	void (*wake)(void *arg);
	void *wake_arg;
	void (*heard)(void *arg);
	void *heard_arg;
};

struct board *board_create(size_t n, const struct board_policy policies[])
{
	struct board *board = calloc(1, sizeof(*board));
	size_t i;

	if (!board)
		return NULL;
	board->slots = calloc(n ? n : 1, sizeof(*board->slots));
	if (!board->slots || pthread_mutex_init(&board->lock, NULL)) {
		free(board->slots);
		free(board);
		return NULL;
	}
	board->n = n;
	for (i = 0; i < n; i++) {
		board->slots[i].policy = policies[i];
		board->slots[i].latched = !policies[i].startup;
	}
	board_beat(board);
	return board;
}

void board_destroy(struct board *board)
{
	if (!board)
		return;
	pthread_mutex_destroy(&board->lock);
	free(board->slots);
	free(board);
}

void board_on_wanted(struct board *board, void (*wake)(void *), void *arg)
{
	pthread_mutex_lock(&board->lock);
	board->wake = wake;
	board->wake_arg = arg;
	pthread_mutex_unlock(&board->lock);
}

void board_on_published(struct board *board, void (*heard)(void *), void *arg)
{
	pthread_mutex_lock(&board->lock);
	board->heard = heard;
	board->heard_arg = arg;
	pthread_mutex_unlock(&board->lock);
}

static bool board_in_scope(const struct board_slot *slot, size_t place,
			   const struct board_question *question)
{
	switch (question->scope) {
	case BOARD_READY:
		return true;
	case BOARD_ONE:
		return place == question->check;
	case BOARD_STARTED:
		return slot->policy.startup;
	case BOARD_LIVE:
		return slot->policy.live;
	}
	return false;
}

static bool board_answered(const struct board_slot *slot,
			   const struct board_question *question)
{
	const struct result *result = &slot->result;

	switch (question->scope) {
	case BOARD_LIVE:
		return true;
	case BOARD_STARTED:
		return slot->latched || result->ended_us != 0;
	case BOARD_READY:
	case BOARD_ONE:
		break;
	}
	return result->ended_us != 0 && question->asked_us - result->ended_us <=
						slot->policy.max_age_ms * 1000;
}

/* Lets the question wait for the result of this very check. */
static void board_await(struct board_slot *slot,
			const struct board_question *question)
{
	if (!slot->awaited || question->asked_us < slot->awaited_since_us)
		slot->awaited_since_us = question->asked_us;
	slot->awaited = true;
	if (question->scope != BOARD_READY)
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
		    board_answered(slot, question))
			continue;
		if (!slot->pending) {
			slot->pending = true;
			slot->taken = false;
			*wanted = true;
		}
		if (!slowest ||
		    slot->result.latency_us >= slowest->result.latency_us)
			slowest = slot;
	}
	if (slowest)
		board_await(slowest, question);
	return slowest == NULL;
}

/*
 * The prober turns at least every LOOP_BEAT_MS; it is stuck when it has not
 * for BOARD_STUCK_MS.  But a process that was itself suspended and has just
 * come back sees an old beat, too: only a beat that is still the same a second
 * after it was first found overdue counts.
 */
static bool board_stuck(struct board *board, int64_t now_ms)
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
		       struct board_view *view)
{
	size_t i;

	view->now_ms = clock_ms();
	view->draining = board->draining;
	view->stuck = board_stuck(board, view->now_ms);
	view->started = true;
	view->n = board->n;
	for (i = 0; i < board->n; i++) {
		const struct board_slot *slot = &board->slots[i];

		view->latched[i] = slot->latched;
		view->started = view->started && slot->latched;
		if (board_in_scope(slot, i, question))
			view->results[i] = slot->result;
	}
}

bool board_ask(struct board *board, const struct board_question *question,
	       struct board_view *view)
{
	bool wanted = false, answered;
	void (*wake)(void *arg);
	void *arg;

	pthread_mutex_lock(&board->lock);
	/* Who drains needs no results, and costs nobody a question. */
	answered = (board->draining && question->scope == BOARD_READY) ||
		   board_want(board, question, &wanted);
	if (answered)
		board_copy(board, question, view);
	if (wanted)
		atomic_store(&board->wanted, true);
	wake = board->wake;
	arg = board->wake_arg;
	pthread_mutex_unlock(&board->lock);
	if (wanted && wake)
		wake(arg);
	return answered;
}

void board_look(struct board *board, const struct board_question *question,
		struct board_view *view)
{
	pthread_mutex_lock(&board->lock);
	board_copy(board, question, view);
	pthread_mutex_unlock(&board->lock);
}

void board_beat(struct board *board)
{
	atomic_store(&board->beat_ms, clock_ms());
}

void board_take_wanted(struct board *board,
		       void (*want)(void *arg, size_t check), void *arg)
{
	size_t i;

	if (!atomic_exchange(&board->wanted, false))
		return;
	for (i = 0; i < board->n; i++) {
		struct board_slot *slot = &board->slots[i];
		bool wanted;

		pthread_mutex_lock(&board->lock);
		wanted = slot->pending && !slot->taken;
		slot->taken = slot->pending;
		pthread_mutex_unlock(&board->lock);
		if (wanted)
			want(arg, i);
	}
}

/*
 * Whether those who wait for this slot, whose result has come, are to hear of
 * it.  Those who asked for everything need not while another result is
 * missing: they wait for that one from now on.  What is missing for the first
 * who asked is missing for all who asked later.
 *
 * A result made just before a question may be published just after it: it does
 * not answer the question, yet it took the mark.  Nobody works on another one
 * then, and those who wait have to ask again.
 */
static bool board_hear(struct board *board, struct board_slot *slot)
{
	const struct board_question first = {
		.scope = BOARD_READY, .asked_us = slot->awaited_since_us
	};
	bool awaited = slot->awaited, alone = slot->awaited_alone;
	size_t i;

	slot->awaited = slot->awaited_alone = false;
	if (!awaited || alone)
		return awaited;
	for (i = 0; i < board->n; i++) {
		if (!board_answered(&board->slots[i], &first)) {
			if (!board->slots[i].pending)
				return true;
			board_await(&board->slots[i], &first);
			return false;
		}
	}
	return true;
}

void board_publish(struct board *board, size_t check,
		   const struct result *result)
{
	struct board_slot *slot = &board->slots[check];
	void (*heard)(void *arg) = NULL;
	void *arg;

	pthread_mutex_lock(&board->lock);
	slot->result = *result;
	slot->pending = false;
	slot->latched = slot->latched || result_healthy(result);
	if (board_hear(board, slot))
		heard = board->heard;
	arg = board->heard_arg;
	pthread_mutex_unlock(&board->lock);
	if (heard)
		heard(arg);
}

void board_set_draining(struct board *board, bool draining)
{
	pthread_mutex_lock(&board->lock);
	board->draining = draining;
	pthread_mutex_unlock(&board->lock);
}

bool board_latched(struct board *board, size_t check)
{
	bool latched;

	pthread_mutex_lock(&board->lock);
	latched = board->slots[check].latched;
	pthread_mutex_unlock(&board->lock);
	return latched;
}

#include "config.h"

#include "check/admit.h"

#include <stdlib.h>

#include "base/clock.h"

struct admit {
	struct loop *loop;
	struct admit_ticket *first, **end; /* queued, in order */
	struct loop_timer next;		   /* admits from the queue */
	unsigned held;
};

static void admit_next(void *arg);

struct admit *admit_create(struct loop *loop)
{
	struct admit *admit = calloc(1, sizeof(*admit));

	if (!admit)
		return NULL;
	admit->loop = loop;
	admit->end = &admit->first;
	admit->next.on_time = admit_next;
	admit->next.arg = admit;
	return admit;
}

void admit_destroy(struct admit *admit)
{
	if (!admit)
		return;
	loop_timer_clear(admit->loop, &admit->next);
	free(admit);
}

static void admit_release(struct admit_ticket *ticket)
{
	struct admit *admit = ticket->admit;

	loop_timer_clear(admit->loop, &ticket->hold);
	ticket->state = ADMIT_IDLE;
	admit->held--;
	/* From the loop, so that a long queue of handshakes which fail at once
	 * does not become a recursion. */
	if (admit->first && !loop_timer_armed(&admit->next))
		loop_timer_set(admit->loop, &admit->next, clock_ms());
}

static void admit_hold_over(void *arg)
{
	admit_release(arg);
}

static void admit_hold(struct admit *admit, struct admit_ticket *ticket)
{
	admit->held++;
	ticket->state = ADMIT_HELD;
	ticket->hold.on_time = admit_hold_over;
	ticket->hold.arg = ticket;
	loop_own(admit->loop, ticket->owner);
	loop_timer_set(admit->loop, &ticket->hold, clock_ms() + ADMIT_HOLD_MS);
	ticket->on_admitted(ticket->arg);
}

static void admit_unlink(struct admit *admit, struct admit_ticket *ticket)
{
	struct admit_ticket **link = &admit->first;

	while (*link != ticket)
		link = &(*link)->next;
	*link = ticket->next;
	if (admit->end == &ticket->next)
		admit->end = link;
}

static void admit_next(void *arg)
{
	struct admit *admit = arg;

	while (admit->first && admit->held < ADMIT_SLOTS) {
		struct admit_ticket *ticket = admit->first;

		admit_unlink(admit, ticket);
		admit_hold(admit, ticket);
	}
}

void admit_enter(struct admit *admit, struct admit_ticket *ticket)
{
	ticket->admit = admit;
	ticket->owner = loop_owner(admit->loop);
	if (!admit->first && admit->held < ADMIT_SLOTS) {
		admit_hold(admit, ticket);
		return;
	}
	ticket->state = ADMIT_QUEUED;
	ticket->next = NULL;
	*admit->end = ticket;
	admit->end = &ticket->next;
}

void admit_leave(struct admit_ticket *ticket)
{
	if (ticket->state == ADMIT_HELD) {
		admit_release(ticket);
	} else if (ticket->state == ADMIT_QUEUED) {
		admit_unlink(ticket->admit, ticket);
		ticket->state = ADMIT_IDLE;
	}
}

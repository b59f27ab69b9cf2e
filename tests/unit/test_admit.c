#include "fake_clock.h"

#include "io/loop.c"
#include "check/admit.c"

#include <stdio.h>

#include "unit.h"

#define TICKETS 10

static struct loop *loop;
static struct admit *admit;
static struct admit_ticket tickets[TICKETS];
static char order[64];
static int leave_at_once; /* as many, from inside */

static void on_admitted(void *arg)
{
	struct admit_ticket *ticket = arg;
	size_t used = strlen(order);

	CHECK(admit->held <= ADMIT_SLOTS);
	snprintf(order + used, sizeof(order) - used, "%d",
		 (int)(ticket - tickets));
	if (leave_at_once) {
		leave_at_once--;
		admit_leave(ticket);
	}
}

static void world(void)
{
	int i;

	loop = loop_create();
	admit = admit_create(loop);
	order[0] = '\0';
	for (i = 0; i < TICKETS; i++)
		tickets[i] = (struct admit_ticket){ .on_admitted = on_admitted,
						    .arg = &tickets[i] };
}

static void world_end(void)
{
	int i;

	for (i = 0; i < TICKETS; i++)
		admit_leave(&tickets[i]);
	CHECK_INT(admit->held, 0);
	CHECK(!admit->first && admit->end == &admit->first);
	admit_destroy(admit);
	CHECK(!loop->timers);
	loop_destroy(loop);
}

static void enter(int from, int end)
{
	for (; from < end; from++)
		admit_enter(admit, &tickets[from]);
}

static void pass(int64_t ms)
{
	int64_t until = clock_ms() + ms;

	while (loop->timers && loop->timers->at_ms <= until) {
		if (clock_ms() < loop->timers->at_ms)
			fake_us = loop->timers->at_ms * 1000;
		loop_fire_timers(loop);
	}
	fake_us = until * 1000;
}

static void test_slots(void)
{
	world();
	enter(0, 7);
	CHECK_STR(order, "0123");
	admit_leave(&tickets[2]);
	admit_leave(&tickets[2]);
	CHECK_STR(order, "0123"); /* not from inside */
	pass(0);
	CHECK_STR(order, "01234");
	/* Behind the others, also when a slot is free. */
	admit_leave(&tickets[0]);
	admit_leave(&tickets[1]);
	enter(7, 8);
	CHECK_STR(order, "01234");
	pass(0);
	CHECK_STR(order, "0123456");
	admit_leave(&tickets[3]);
	pass(0);
	CHECK_STR(order, "01234567");
	world_end();
}

static void test_hold(void)
{
	world();
	enter(0, 10);
	pass(ADMIT_HOLD_MS - 1);
	CHECK_STR(order, "0123");
	pass(1);
	CHECK_STR(order, "01234567");
	/* Whose slot was passed on leaves without harm. */
	admit_leave(&tickets[0]);
	pass(ADMIT_HOLD_MS - 1);
	CHECK_STR(order, "01234567");
	pass(1);
	CHECK_STR(order, "0123456789");
	pass(ADMIT_HOLD_MS);
	CHECK_INT(admit->held, 0);
	world_end();
}

/* Handshakes that fail at once. */
static void test_leave_inside(void)
{
	world();
	leave_at_once = 3;
	enter(0, 3);
	CHECK_INT(admit->held, 0);
	enter(3, 10);
	CHECK_STR(order, "0123456");
	leave_at_once = 3;
	admit_leave(&tickets[3]);
	pass(0);
	CHECK_STR(order, "0123456789");
	world_end();
}

static void test_leave_queue(void)
{
	world();
	enter(0, 9);
	admit_leave(&tickets[8]); /* the last */
	admit_leave(&tickets[4]); /* the first */
	admit_leave(&tickets[6]);
	enter(9, 10);
	pass(ADMIT_HOLD_MS);
	CHECK_STR(order, "0123579");
	/* Idle ones, and again. */
	enter(4, 5);
	pass(ADMIT_HOLD_MS);
	CHECK_STR(order, "01235794");
	world_end();
	admit_destroy(NULL);
}

int main(void)
{
	test_slots();
	test_hold();
	test_leave_inside();
	test_leave_queue();
	return unit_report();
}

#include "config.h"

#include "io/loop.h"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "io/wire.h"

struct loop {
	struct loop_watch **watches; /* n_watches, in the order of `polled` */
	size_t n_watches, room;
	struct pollfd *polled;	   /* [0] is wake_fd; watch i is [i + 1] */
	struct loop_timer *timers; /* the one that fires next, or NULL */
	uint64_t armed;		   /* timers so far */
	int wake_fd;
	bool borrowed;		/* wake_fd */
	struct loop_beat *beat; /* own_beat, when no other process looks */
	struct loop_beat own_beat;
	atomic_bool woken; /* a wake was sent and not yet taken */
	atomic_bool stopped;
};

static int loop_grow(struct loop *loop)
{
	size_t room = loop->room ? loop->room * 2 : 16;
	struct loop_watch **watches;
	struct pollfd *polled;

	watches = realloc(loop->watches, room * sizeof(*watches));
	if (!watches)
		return -1;
	loop->watches = watches;
	polled = realloc(loop->polled, (room + 1) * sizeof(*polled));
	if (!polled)
		return -1;
	loop->polled = polled;
	loop->room = room;
	return 0;
}

struct loop *loop_create_for(int wake_fd, struct loop_beat *beat)
{
	struct loop *loop = calloc(1, sizeof(*loop));

	if (!loop)
		return NULL;
	loop->beat = beat ? beat : &loop->own_beat;
	loop->borrowed = wake_fd >= 0;
	loop->wake_fd = wake_fd;
	if (!loop->borrowed)
		loop->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->wake_fd < 0 || loop_grow(loop)) {
		loop_destroy(loop);
		return NULL;
	}
	loop->polled[0] = (struct pollfd){ loop->wake_fd, POLLIN, 0 };
	return loop;
}

struct loop *loop_create(void)
{
	return loop_create_for(-1, NULL);
}

void loop_destroy(struct loop *loop)
{
	if (!loop)
		return;
	if (loop->wake_fd >= 0 && !loop->borrowed)
		close(loop->wake_fd);
	free(loop->watches);
	free(loop->polled);
	free(loop);
}

/* ---- the beat ---- */

/* Relaxed: the other process sees it some time later anyway. */
static void loop_begin(struct loop *loop, uint32_t owner)
{
	struct loop_beat *beat = loop->beat;
	uint64_t call = atomic_load_explicit(&beat->calls,
					     memory_order_relaxed) +
			1;

	wire_refill();
	beat->step[0] = '\0';
	atomic_store_explicit(&beat->owner, owner, memory_order_relaxed);
	atomic_store_explicit(&beat->since_ms, clock_ms(),
			      memory_order_relaxed);
	atomic_store_explicit(&beat->calls, call, memory_order_relaxed);
	atomic_store_explicit(&beat->call, call, memory_order_release);
}

static void loop_end(struct loop *loop)
{
	atomic_store_explicit(&loop->beat->call, 0, memory_order_release);
}

uint32_t loop_owner(const struct loop *loop)
{
	return atomic_load_explicit(&loop->beat->owner, memory_order_relaxed);
}

void loop_say(struct loop *loop, const char *step)
{
	snprintf(loop->beat->step, LOOP_STEP_BYTES, "%s", step);
}

uint32_t loop_own(struct loop *loop, uint32_t owner)
{
	uint32_t before = loop_owner(loop);

	if (owner != before)
		loop_begin(loop, owner);
	return before;
}

/* ---- watches ---- */

int loop_watch_set(struct loop *loop, struct loop_watch *watch, int fd,
		   short events)
{
	if (fd < 0) {
		loop_watch_clear(loop, watch);
		return 0;
	}
	if (!watch->index) {
		if (loop->n_watches == loop->room && loop_grow(loop))
			return -1;
		loop->watches[loop->n_watches++] = watch;
		watch->index = loop->n_watches;
	}
	watch->fd = fd;
	watch->events = events;
	watch->owner = loop_owner(loop);
	/* Nothing that an earlier poll said holds for the new interest. */
	loop->polled[watch->index] = (struct pollfd){ fd, events, 0 };
	return 0;
}

void loop_watch_clear(struct loop *loop, struct loop_watch *watch)
{
	struct loop_watch *moved;

	if (!watch->index)
		return;
	/* The last watch takes the free place, with what poll said of it. */
	moved = loop->watches[loop->n_watches - 1];
	loop->polled[watch->index] = loop->polled[loop->n_watches];
	loop->watches[watch->index - 1] = moved;
	moved->index = watch->index;
	watch->index = 0;
	loop->n_watches--;
}

static bool loop_earlier(const struct loop_timer *a, const struct loop_timer *b)
{
	return a->at_ms < b->at_ms ||
	       (a->at_ms == b->at_ms && a->order < b->order);
}

/* Joins two heaps: the later top becomes the first child of the other. */
static struct loop_timer *loop_join(struct loop_timer *a, struct loop_timer *b)
{
	if (!a || !b)
		return a ? a : b;
	if (loop_earlier(b, a))
		return loop_join(b, a);
	b->next = a->child;
	if (b->next)
		b->next->link = &b->next;
	b->link = &a->child;
	a->child = b;
	return a;
}

/* Joins siblings in pairs and then the pairs: both passes are what makes the
 * cost O(log n), amortised (Fredman et al., The pairing heap, 1986). */
static struct loop_timer *loop_join_all(struct loop_timer *timer)
{
	struct loop_timer *pairs = NULL, *heap = NULL, *second, *next;

	for (; timer; timer = next) {
		second = timer->next;
		next = second ? second->next : NULL;
		timer = loop_join(timer, second);
		timer->next = pairs;
		pairs = timer;
	}
	for (; pairs; pairs = next) {
		next = pairs->next;
		heap = loop_join(heap, pairs);
	}
	return heap;
}

static void loop_add(struct loop *loop, struct loop_timer *heap)
{
	loop->timers = loop_join(loop->timers, heap);
	if (!loop->timers)
		return;
	loop->timers->link = &loop->timers;
	loop->timers->next = NULL;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms)
{
	loop_timer_clear(loop, timer);
	timer->at_ms = at_ms;
	timer->order = loop->armed++;
	timer->owner = loop_owner(loop);
	timer->child = NULL;
	loop_add(loop, timer);
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	if (!timer->link)
		return;
	*timer->link = timer->next;
	if (timer->next)
		timer->next->link = timer->link;
	timer->link = NULL;
	loop_add(loop, loop_join_all(timer->child));
}

void loop_wake(struct loop *loop)
{
	/* Only the first of many wakes costs a system call. */
	if (!atomic_exchange(&loop->woken, true))
		eventfd_write(loop->wake_fd, 1);
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopped, true);
	loop_wake(loop);
}

/* Polls once and hands out input; a callback may set and clear any watch. */
static void loop_poll(struct loop *loop, int timeout_ms)
{
	eventfd_t wakes;
	size_t i;

	/* After an error, the events are those of an earlier poll(2). */
	if (poll(loop->polled, loop->n_watches + 1, timeout_ms) <= 0)
		return;
	if (loop->polled[0].revents) {
		eventfd_read(loop->wake_fd, &wakes);
		/* Cleared before on_turn() looks at what the loop was woken
		 * for, so that no later wake is lost. */
		atomic_store(&loop->woken, false);
	}
	/*
	 * A callback that clears its watch puts the last one, not yet served,
	 * into its place: stay there.  One that was moved before our place
	 * waits for the next turn, where poll(2) reports it again.
	 */
	for (i = 0; i < loop->n_watches;) {
		struct loop_watch *watch = loop->watches[i];
		short revents = loop->polled[i + 1].revents;

		loop->polled[i + 1].revents = 0;
		if (revents) {
			loop_begin(loop, watch->owner);
			watch->on_io(watch->arg, revents);
		}
		if (i < loop->n_watches && loop->watches[i] == watch)
			i++;
	}
}

static int loop_wait_ms(const struct loop *loop)
{
	int64_t left;

	if (!loop->timers)
		return -1;
	left = loop->timers->at_ms - clock_ms();
	if (left < 0)
		return 0;
	return left < INT_MAX ? (int)left : INT_MAX;
}

static void loop_fire_timers(struct loop *loop)
{
	int64_t now = clock_ms();

	if (!loop->timers || loop->timers->at_ms > now)
		return;
	/* What arrived while we were busy was in time. */
	loop_poll(loop, 0);
	while (loop->timers && loop->timers->at_ms <= now) {
		struct loop_timer *timer = loop->timers;

		loop_timer_clear(loop, timer);
		loop_begin(loop, timer->owner);
		timer->on_time(timer->arg);
	}
}

void loop_run(struct loop *loop, void (*on_turn)(void *arg), void *arg)
{
	while (!atomic_load(&loop->stopped)) {
		loop_begin(loop, 0);
		on_turn(arg);
		loop_end(loop);
		loop_poll(loop, loop_wait_ms(loop));
		loop_fire_timers(loop);
		loop_end(loop);
	}
}

/*
 * The loop with real descriptors and a clock of our own.
 */
#include "fake_clock.h"

#include "io/loop.c"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>

#include "unit.h"

#define PEERS 8

static struct loop *loop;

/* A watched descriptor with its other end, and what happened. */
struct peer {
	struct loop_watch watch;
	int fd, far;
	int calls;
	short revents;
	void (*then)(struct peer *peer);
};

static struct peer peers[PEERS];

static void on_io(void *arg, short revents)
{
	struct peer *peer = arg;

	peer->calls++;
	peer->revents = revents;
	if (peer->then)
		peer->then(peer);
}

static void watch(struct peer *peer, short events)
{
	CHECK(loop_watch_set(loop, &peer->watch, peer->fd, events) == 0);
}

static void world(int n)
{
	int i, pair[2];

	loop = loop_create();
	for (i = 0; i < n; i++) {
		CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
		peers[i] = (struct peer){ .fd = pair[0], .far = pair[1] };
		peers[i].watch.on_io = on_io;
		peers[i].watch.arg = &peers[i];
		watch(&peers[i], POLLIN);
	}
}

static void world_end(int n)
{
	int i;

	for (i = 0; i < n; i++) {
		loop_watch_clear(loop, &peers[i].watch);
		close(peers[i].fd);
		close(peers[i].far);
	}
	CHECK(loop->n_watches == 0);
	loop_destroy(loop);
}

static void tell(struct peer *peer)
{
	CHECK(send(peer->far, "x", 1, 0) == 1);
}

static int calls(int n)
{
	int i, sum = 0;

	for (i = 0; i < n; i++)
		sum += peers[i].calls;
	return sum;
}

static void turn(void)
{
	loop_poll(loop, 0);
	loop_fire_timers(loop);
}

/* ---- watches ---- */

static void test_watch(void)
{
	world(2);
	turn();
	CHECK_INT(calls(2), 0);
	tell(&peers[1]);
	turn();
	CHECK_INT(peers[0].calls, 0);
	CHECK_INT(peers[1].calls, 1);
	CHECK_INT(peers[1].revents, POLLIN);
	/* It was not read: reported again. */
	turn();
	CHECK_INT(peers[1].calls, 2);
	watch(&peers[1], POLLOUT);
	turn();
	CHECK_INT(peers[1].revents, POLLOUT);
	watch(&peers[1], 0);
	turn();
	CHECK_INT(peers[1].calls, 3);
	/* The end is reported whatever was asked for. */
	close(peers[1].far);
	turn();
	CHECK_INT(peers[1].calls, 4);
	CHECK(peers[1].revents & POLLHUP);
	CHECK(loop_watch_set(loop, &peers[1].watch, -1, POLLIN) == 0);
	CHECK(loop_watch_set(loop, &peers[1].watch, -1, POLLIN) == 0);
	turn();
	CHECK_INT(peers[1].calls, 4);
	peers[1].far = socket(AF_UNIX, SOCK_STREAM, 0);
	world_end(2);
}

/* A descriptor was closed behind our back: told, not passed over. */
static void test_closed_fd(void)
{
	world(1);
	close(peers[0].fd);
	turn();
	CHECK_INT(peers[0].revents, POLLNVAL);
	peers[0].fd = socket(AF_UNIX, SOCK_STREAM, 0);
	world_end(1);
}

static void clear_self(struct peer *peer)
{
	loop_watch_clear(loop, &peer->watch);
}

static void clear_all(struct peer *peer)
{
	int i;

	(void)peer;
	for (i = 0; i < PEERS; i++)
		loop_watch_clear(loop, &peers[i].watch);
}

static void clear_next(struct peer *peer)
{
	loop_watch_clear(loop, &peers[(peer - peers + 1) % PEERS].watch);
}

static void clear_first(struct peer *peer)
{
	(void)peer;
	loop_watch_clear(loop, &peers[0].watch);
}

static void set_again(struct peer *peer)
{
	loop_watch_clear(loop, &peer->watch);
	watch(peer, POLLIN);
}

static void all_ready(void (*then)(struct peer *peer))
{
	int i;

	world(PEERS);
	for (i = 0; i < PEERS; i++) {
		peers[i].then = then;
		tell(&peers[i]);
	}
}

static void test_changes_inside(void)
{
	int i;

	/* Each ends its watch: all are served, once. */
	all_ready(clear_self);
	turn();
	CHECK_INT(calls(PEERS), PEERS);
	for (i = 0; i < PEERS; i++)
		CHECK_INT(peers[i].calls, 1);
	world_end(PEERS);

	/* What was cleared is not called any more. */
	all_ready(clear_all);
	turn();
	CHECK_INT(calls(PEERS), 1);
	world_end(PEERS);

	all_ready(clear_next);
	turn();
	for (i = 0; i < PEERS; i++)
		CHECK(peers[i].calls <= 1);
	CHECK(calls(PEERS) >= 1 && calls(PEERS) < PEERS);
	world_end(PEERS);

	/* The last one moves to a place that was passed: next turn. */
	all_ready(clear_first);
	turn();
	turn();
	CHECK_INT(peers[0].calls, 1);
	for (i = 1; i < PEERS; i++)
		CHECK(peers[i].calls >= 1);
	world_end(PEERS);

	all_ready(set_again);
	turn();
	for (i = 0; i < PEERS; i++)
		CHECK_INT(peers[i].calls, 1);
	turn();
	CHECK_INT(calls(PEERS), 2 * PEERS);
	world_end(PEERS);
}

/* What poll said of a former interest does not hold for the new one. */
static void other_interest(struct peer *peer)
{
	peer->then = NULL;
	watch(&peers[1], POLLOUT);
}

static void test_replaced(void)
{
	world(2);
	peers[0].then = other_interest;
	tell(&peers[0]);
	tell(&peers[1]);
	loop_poll(loop, 0);
	CHECK_INT(peers[1].calls, 0);
	loop_poll(loop, 0);
	CHECK_INT(peers[1].calls, 1);
	CHECK_INT(peers[1].revents, POLLOUT);
	world_end(2);
}

static void test_many(void)
{
	struct loop_watch many[100];
	int i;

	world(1);
	for (i = 0; i < 100; i++) {
		many[i] = (struct loop_watch){ .on_io = on_io,
					       .arg = &peers[0] };
		CHECK(loop_watch_set(loop, &many[i], peers[0].fd, POLLIN) == 0);
	}
	tell(&peers[0]);
	turn();
	CHECK_INT(peers[0].calls, 101);
	for (i = 0; i < 100; i += 2)
		loop_watch_clear(loop, &many[i]);
	turn();
	CHECK_INT(peers[0].calls, 152);
	for (i = 1; i < 100; i += 2)
		loop_watch_clear(loop, &many[i]);
	world_end(1);
}

/* ---- timers ---- */

static char fired[64];
static struct loop_timer timers[6];

static void on_time(void *arg)
{
	size_t used = strlen(fired);

	snprintf(fired + used, sizeof(fired) - used, "%d",
		 (int)((struct loop_timer *)arg - timers));
}

static void on_time_clear_rest(void *arg)
{
	int i;

	on_time(arg);
	for (i = 0; i < 6; i++)
		loop_timer_clear(loop, &timers[i]);
}

static void on_time_again(void *arg)
{
	on_time(arg);
	loop_timer_set(loop, arg, clock_ms() + 10);
}

static void timer_world(void)
{
	int i;

	world(1);
	fired[0] = '\0';
	for (i = 0; i < 6; i++)
		timers[i] = (struct loop_timer){ .on_time = on_time,
						 .arg = &timers[i] };
}

static void test_timers(void)
{
	timer_world();
	loop_timer_set(loop, &timers[0], clock_ms() + 30);
	loop_timer_set(loop, &timers[1], clock_ms() + 10);
	loop_timer_set(loop, &timers[2], clock_ms() + 20);
	loop_timer_set(loop, &timers[3], clock_ms() + 10); /* after 1 */
	loop_timer_set(loop, &timers[4], clock_ms() + 25);
	loop_timer_set(loop, &timers[4], clock_ms() + 5); /* replaced */
	CHECK_INT(loop_wait_ms(loop), 5);
	turn();
	CHECK_STR(fired, "");
	fake_us += 10 * 1000;
	turn();
	CHECK_STR(fired, "413");
	CHECK(!loop_timer_armed(&timers[1]));
	CHECK(loop_timer_armed(&timers[2]));
	loop_timer_clear(loop, &timers[2]);
	loop_timer_clear(loop, &timers[2]);
	fake_us += 100 * 1000;
	CHECK_INT(loop_wait_ms(loop), 0);
	turn();
	CHECK_STR(fired, "4130");
	turn();
	CHECK_STR(fired, "4130");
	/* For ever. */
	CHECK_INT(loop_wait_ms(loop), -1);
	loop_timer_set(loop, &timers[0], clock_ms() + 100000);
	CHECK_INT(loop_wait_ms(loop), 100000);
	loop_timer_set(loop, &timers[0], INT64_MAX);
	CHECK_INT(loop_wait_ms(loop), INT_MAX);
	loop_timer_clear(loop, &timers[0]);
	CHECK(!loop->timers);
	world_end(1);

	timer_world();
	timers[1].on_time = on_time_clear_rest;
	loop_timer_set(loop, &timers[0], clock_ms() + 1);
	loop_timer_set(loop, &timers[1], clock_ms() + 2);
	loop_timer_set(loop, &timers[2], clock_ms() + 3);
	fake_us += 5 * 1000;
	turn();
	CHECK_STR(fired, "01");
	CHECK(!loop->timers);

	fired[0] = '\0';
	timers[0].on_time = on_time_again;
	loop_timer_set(loop, &timers[0], clock_ms());
	turn();
	turn();
	CHECK_STR(fired, "0");
	fake_us += 10 * 1000;
	turn();
	CHECK_STR(fired, "00");
	loop_timer_clear(loop, &timers[0]);
	world_end(1);
}

#define MANY 1000

static struct loop_timer many_timers[MANY];
static int many_fired, many_disorder;
static int64_t many_last_ms;
static size_t many_last_order;

static void on_many(void *arg)
{
	const struct loop_timer *timer = arg;

	many_disorder += timer->at_ms < many_last_ms ||
			 (timer->at_ms == many_last_ms &&
			  timer->order < many_last_order);
	many_disorder += timer->at_ms > clock_ms();
	many_last_ms = timer->at_ms;
	many_last_order = timer->order;
	many_fired++;
}

static unsigned many_random(void)
{
	static unsigned state = 1;

	state = state * 1103515245 + 12345;
	return state >> 16;
}

/* Many timers, many of them for the same time: they fire by time and then by
 * the order of arming, whatever was cleared and armed again between. */
static void test_many_timers(void)
{
	int i, step, left = 0;

	world(0);
	for (i = 0; i < MANY; i++) {
		many_timers[i] = (struct loop_timer){ .on_time = on_many,
						      .arg = &many_timers[i] };
		loop_timer_set(loop, &many_timers[i],
			       clock_ms() + 1 + many_random() % 100);
	}
	/* From the middle, and the earliest ones. */
	for (step = 0; step < 20 * MANY; step++) {
		i = (int)(many_random() % MANY);
		if (step % 7 == 0)
			i = (int)((struct loop_timer *)loop->timers->arg -
				  many_timers);
		if (step % 3)
			loop_timer_set(loop, &many_timers[i],
				       clock_ms() + 1 + many_random() % 100);
		else
			loop_timer_clear(loop, &many_timers[i]);
	}
	for (i = 0; i < MANY; i++)
		left += loop_timer_armed(&many_timers[i]);
	CHECK(left > MANY / 2 && left < MANY);
	many_last_ms = 0;
	for (step = 0; step < 100; step++) {
		CHECK_INT(loop_wait_ms(loop),
			  loop->timers ? loop->timers->at_ms - clock_ms() : -1);
		fake_us += 1000;
		turn();
	}
	CHECK_INT(many_fired, left);
	CHECK_INT(many_disorder, 0);
	CHECK(!loop->timers);
	world_end(0);
}

static void stop_timer(struct peer *peer)
{
	char byte;

	CHECK(recv(peer->fd, &byte, 1, 0) == 1);
	loop_timer_clear(loop, &timers[0]);
}

/* What came while we were busy came in time. */
static void test_input_before_deadline(void)
{
	timer_world();
	peers[0].then = stop_timer;
	loop_timer_set(loop, &timers[0], clock_ms() + 10);
	tell(&peers[0]);
	fake_us += 20 * 1000;
	loop_fire_timers(loop);
	CHECK_INT(peers[0].calls, 1);
	CHECK_STR(fired, "");
	world_end(1);
}

/* ---- wake and stop ---- */

static int turns;

static void on_turn(void *arg)
{
	CHECK(arg == &turns);
	if (++turns == 3)
		loop_stop(loop);
	else
		loop_wake(loop);
}

static void test_run(void)
{
	world(0);
	turns = 0;
	loop_run(loop, on_turn, &turns);
	CHECK_INT(turns, 3);
	/* Stopped for good. */
	loop_run(loop, on_turn, &turns);
	CHECK_INT(turns, 3);
	world_end(0);
}

static atomic_int wanted, seen;

static void *waker(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 20000; i++) {
		atomic_fetch_add(&wanted, 1);
		loop_wake(loop);
		/* Lost, it would come with the next one or not at all. */
		while (i % 100 == 0 && atomic_load(&seen) < i)
			continue;
	}
	loop_stop(loop);
	return NULL;
}

static void look(void *arg)
{
	(void)arg;
	atomic_store(&seen, atomic_load(&wanted));
}

/* No wake is lost between the look at what is wanted and the poll. */
static void test_wakes(void)
{
	pthread_t thread;

	world(0);
	pthread_create(&thread, NULL, waker, NULL);
	loop_run(loop, look, NULL);
	pthread_join(thread, NULL);
	CHECK(seen > 19000);
	world_end(0);
}

static int own_fd;
static struct loop_beat shown;

static void stop_on_second_turn(void *arg)
{
	(void)arg;
	if (++turns == 2)
		loop_stop(loop);
}

/* Another process wakes it by the descriptor alone. */
static void test_wake_from_outside(void)
{
	eventfd_t left;

	own_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	loop = loop_create_for(own_fd, &shown);
	turns = 0;
	eventfd_write(own_fd, 1);
	loop_run(loop, stop_on_second_turn, NULL);
	CHECK_INT(turns, 2);
	loop_destroy(loop);
	/* Borrowed, so still open; what was written was taken. */
	CHECK(eventfd_read(own_fd, &left) < 0 && errno == EAGAIN);
	CHECK_INT(close(own_fd), 0);
}

/* ---- the beat ---- */

/* What the beat showed in the last callback. */
static struct {
	uint64_t call;
	int64_t since_ms;
	uint32_t owner;
} in_callback;

static void note_beat(void)
{
	in_callback.call = shown.call;
	in_callback.since_ms = shown.since_ms;
	in_callback.owner = shown.owner;
}

static void beat_on_io(struct peer *peer)
{
	char byte;

	CHECK(recv(peer->fd, &byte, 1, 0) == 1);
	note_beat();
}

static void beat_on_time(void *arg)
{
	(void)arg;
	note_beat();
}

static void beat_world(void)
{
	memset(&shown, 0, sizeof(shown));
	world(0);
	loop_destroy(loop);
	loop = loop_create_for(-1, &shown);
	memset(&in_callback, 0, sizeof(in_callback));
}

static void beat_peer(struct peer *peer)
{
	int pair[2];

	CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
	*peer = (struct peer){ .fd = pair[0],
			       .far = pair[1],
			       .then = beat_on_io };
	peer->watch.on_io = on_io;
	peer->watch.arg = peer;
}

static void test_owners(void)
{
	beat_world();
	beat_peer(&peers[0]);
	beat_peer(&peers[1]);
	timers[0] = (struct loop_timer){ .on_time = beat_on_time };
	CHECK_INT(loop_owner(loop), 0);
	CHECK_INT(loop_own(loop, 7), 0);
	CHECK_INT(loop_owner(loop), 7);
	watch(&peers[0], POLLIN);
	loop_timer_set(loop, &timers[0], clock_ms() + 1);
	CHECK_INT(loop_own(loop, 8), 7);
	watch(&peers[1], POLLIN);
	CHECK_INT(loop_own(loop, 0), 8);

	/* Each callback is for the owner of what calls it. */
	tell(&peers[0]);
	turn();
	CHECK_INT(in_callback.owner, 7);
	tell(&peers[1]);
	turn();
	CHECK_INT(in_callback.owner, 8);
	fake_us += 1000;
	turn();
	CHECK_INT(in_callback.owner, 7);
	/* What is set again belongs to the new owner. */
	loop_own(loop, 9);
	watch(&peers[0], POLLIN);
	loop_own(loop, 0);
	tell(&peers[0]);
	turn();
	CHECK_INT(in_callback.owner, 9);
	world_end(2);
}

static struct loop_timer child_timer;

static void beat_on_time_arm(void *arg)
{
	loop_timer_set(loop, arg, clock_ms() + 1);
}

/* What a callback sets belongs to its owner. */
static void test_inherited(void)
{
	beat_world();
	child_timer = (struct loop_timer){ .on_time = beat_on_time };
	timers[0] = (struct loop_timer){ .on_time = beat_on_time_arm,
					 .arg = &child_timer };
	loop_own(loop, 5);
	loop_timer_set(loop, &timers[0], clock_ms());
	loop_own(loop, 0);
	turn();
	CHECK(loop_timer_armed(&child_timer));
	loop_own(loop, 0);
	fake_us += 1000;
	turn();
	CHECK_INT(in_callback.owner, 5);
	world_end(0);
}

static void beat_turn(void *arg)
{
	(void)arg;
	note_beat();
	if (++turns == 2)
		loop_stop(loop);
	else
		loop_wake(loop);
}

/* Each callback, and each change of the owner, is a call of its own. */
static void test_beat(void)
{
	uint64_t call;

	beat_world();
	CHECK_INT(shown.call, 0);
	turns = 0;
	loop_own(loop, 3);
	loop_run(loop, beat_turn, NULL);
	/* A turn belongs to no owner. */
	CHECK_INT(in_callback.owner, 0);
	CHECK(in_callback.call != 0);
	CHECK_INT(in_callback.since_ms, clock_ms());
	CHECK_INT(shown.call, 0);

	timers[0] = (struct loop_timer){ .on_time = beat_on_time };
	call = in_callback.call;
	loop_own(loop, 4);
	CHECK_INT(shown.call, call + 1);
	/* The same owner again is the same call. */
	loop_own(loop, 4);
	CHECK_INT(shown.call, call + 1);
	loop_timer_set(loop, &timers[0], clock_ms() + 10);
	fake_us += 10000;
	turn();
	CHECK_INT(in_callback.call, call + 2);
	CHECK_INT(in_callback.since_ms, clock_ms());
	CHECK_INT(in_callback.owner, 4);
	world_end(0);
}

static atomic_bool waiting_seen;

/* Looks at the beat until the loop waits, which it does for ever. */
static void *beat_looker(void *arg)
{
	(void)arg;
	while (atomic_load(&shown.calls) == 0 || atomic_load(&shown.call) != 0)
		continue;
	atomic_store(&waiting_seen, true);
	loop_stop(loop);
	return NULL;
}

static void beat_nothing(void *arg)
{
	(void)arg;
}

static void test_beat_waiting(void)
{
	pthread_t thread;

	beat_world();
	pthread_create(&thread, NULL, beat_looker, NULL);
	loop_run(loop, beat_nothing, NULL);
	pthread_join(thread, NULL);
	CHECK(waiting_seen);
	world_end(0);
}

int main(void)
{
	test_watch();
	test_closed_fd();
	test_changes_inside();
	test_replaced();
	test_many();
	test_timers();
	test_many_timers();
	test_input_before_deadline();
	test_run();
	test_wakes();
	test_wake_from_outside();
	test_owners();
	test_inherited();
	test_beat();
	test_beat_waiting();
	loop_destroy(NULL);
	return unit_report();
}

/*
 * From a name or a path to an open stream, with a fake resolver, and a fake
 * stream that goes through the steps which the test says.
 */
#include "fake_clock.h"

#include "io/dial.c"

#include <poll.h>

#include "fake_resolve.h"
#include "unit.h"

/* ---- neighbours ---- */

struct stream {
	struct failure failure;
	bool open;
};

static struct stream stream;
static struct stream_target target; /* of the last stream_open() */
static struct resolve_answer addrs; /* its addresses */
static bool no_memory;
/* What stream_advance() returns, in order, and the descriptor after each. */
static const enum stream_state *steps;
static int stream_descriptor;

struct stream *stream_open(const struct stream_target *wanted)
{
	CHECK(!stream.open);
	target = *wanted;
	if (wanted->addrs)
		addrs = *wanted->addrs;
	stream_descriptor = 10;
	stream.open = !no_memory;
	return no_memory ? NULL : &stream;
}

void stream_close(struct stream *closed)
{
	if (closed)
		closed->open = false;
}

enum stream_state stream_advance(struct stream *advanced)
{
	CHECK(advanced->open);
	stream_descriptor++;
	return *steps++;
}

int64_t stream_try_ms(int64_t left_ms, size_t n)
{
	return left_ms / (int64_t)(n + 1);
}

int stream_fd(const struct stream *asked)
{
	(void)asked;
	return stream_descriptor;
}

short stream_events(const struct stream *asked)
{
	(void)asked;
	return POLLOUT;
}

const char *stream_step(const struct stream *asked)
{
	(void)asked;
	return "connecting";
}

const struct failure *stream_failure(const struct stream *asked)
{
	return &asked->failure;
}

const struct sockaddr *stream_peer(const struct stream *asked)
{
	(void)asked;
	return target.addrs ? &addrs.addrs[0].sa : NULL;
}

static struct loop_watch *watched;
static bool no_watch;

int loop_watch_set(struct loop *loop, struct loop_watch *watch, int fd,
		   short events)
{
	(void)loop;
	if (no_watch)
		return -1;
	watch->fd = fd;
	watch->events = events;
	watched = watch;
	return 0;
}

void loop_watch_clear(struct loop *loop, struct loop_watch *watch)
{
	(void)loop;
	if (watched == watch)
		watched = NULL;
}

/* ---- dials ---- */

static struct dial dial;
static int done;
static struct stream *opened;
static struct failure failed;

static void on_done(void *arg, struct stream *got,
		    const struct failure *failure)
{
	CHECK(arg == &done);
	CHECK(!dial_step(&dial));
	CHECK(!watched);
	CHECK(!got == !!failure);
	/* It may still be asked for its address, for the caller's log. */
	CHECK(!failure || !stream.failure.code || stream.open);
	done++;
	opened = got;
	if (failure)
		failed = *failure;
}

static void start(const struct dial_target *to, const enum stream_state *states)
{
	CHECK(!watched && !fake_resolve.query && !stream.open);
	memset(&dial, 0, sizeof(dial));
	memset(&stream, 0, sizeof(stream));
	memset(&target, 0, sizeof(target));
	fake_resolve.asked = fake_resolve.preferred = done = 0;
	opened = NULL;
	dial.on_done = on_done;
	dial.arg = &done;
	steps = states;
	dial_start(&dial, to, clock_ms() + 900);
}

/* The descriptor is ready. */
static void turn(void)
{
	CHECK(watched == &dial.watch);
	if (watched)
		watched->on_io(watched->arg, POLLOUT);
}

static void check_open(void)
{
	CHECK_INT(done, 1);
	CHECK(opened == &stream && stream.open);
	stream_close(opened);
}

static void check_failed(enum result_code code, const char *words)
{
	CHECK_INT(done, 1);
	CHECK(!opened && !stream.open);
	CHECK_INT(failed.code, code);
	CHECK_STR(failed.words, words);
}

static const struct dial_target tcp = { .host = "db.test", .port = 5432 };
static const enum stream_state at_once[] = { STREAM_DONE };
static const enum stream_state later[] = { STREAM_PENDING, STREAM_PENDING,
					   STREAM_DONE };

static void test_name(void)
{
	fake_resolve_to(2);
	start(&tcp, later);
	CHECK_INT(fake_resolve.asked, 0); /* it was cached */
	CHECK_STR(target.host, "db.test");
	CHECK_INT(target.port, 5432);
	CHECK_INT(addrs.n, 2);
	CHECK_STR(addrs.addrs[0].text, "127.0.0.1");
	CHECK_INT(target.try_ms, 300);
	CHECK(!target.unix_path && !target.trust);
	CHECK_STR(dial_step(&dial), "connecting");
	CHECK_INT(watched->fd, 11);
	CHECK_INT(watched->events, POLLOUT);
	turn();
	CHECK_INT(watched->fd, 12); /* it may be another after each step */
	CHECK_INT(done, 0);
	turn();
	check_open();
	CHECK_INT(fake_resolve.preferred, 1);
	CHECK_STR(fake_resolve.host, "db.test");

	/* Inside dial_start(). */
	start(&tcp, at_once);
	check_open();

	fake_resolve.waits = true;
	start(&tcp, at_once);
	CHECK_INT(fake_resolve.asked, 1);
	CHECK_STR(fake_resolve.host, "db.test");
	CHECK_STR(dial_step(&dial), "resolving the host name");
	CHECK_INT(done, 0);
	fake_us += 600 * 1000; /* the look-up takes its part of the time */
	fake_resolve_done();
	CHECK_INT(target.try_ms, 100);
	check_open();

	start(&tcp, at_once);
	fake_resolve_fail();
	check_failed(RESULT_RESOLVE, "no such host");
	CHECK(strstr(failed.detail, "db.test"));
	CHECK_INT(fake_resolve.preferred, 0);
	fake_resolve.waits = false;
}

/* The first address is known to be silent. */
static void test_turned(void)
{
	struct dial_target turned = tcp;

	turned.turned = true;
	fake_resolve_to(3);
	start(&turned, at_once);
	CHECK_INT(addrs.n, 3);
	CHECK_STR(addrs.addrs[0].text, "127.0.0.2");
	CHECK_STR(addrs.addrs[1].text, "127.0.0.3");
	CHECK_STR(addrs.addrs[2].text, "127.0.0.1");
	check_open();
	fake_resolve_to(1);
	start(&turned, at_once);
	CHECK_STR(addrs.addrs[0].text, "127.0.0.1");
	check_open();
}

/* No name, no TLS, and nothing to prefer. */
static void test_unix(void)
{
	const struct dial_target path = {
		.path = "/run/s",
		.host = "ignored",
		.trust = (struct stream_trust *)&done,
	};

	fake_resolve.waits = true;
	start(&path, later);
	CHECK_INT(fake_resolve.asked, 0);
	CHECK_STR(target.unix_path, "/run/s");
	CHECK(!target.trust && !target.addrs);
	turn();
	turn();
	check_open();
	CHECK_INT(fake_resolve.preferred, 0);
	fake_resolve.waits = false;
}

static void test_refused(void)
{
	static const enum stream_state refused[] = { STREAM_PENDING,
						     STREAM_ERROR };

	fake_resolve_to(1);
	start(&tcp, refused);
	stream.failure = failure_errno(ECONNREFUSED);
	turn();
	check_failed(RESULT_REFUSED, "connection refused");
	CHECK_INT(fake_resolve.preferred, 0);

	start(&tcp, later);
	no_watch = true;
	turn();
	check_failed(RESULT_INTERNAL, failure_errno(ENOMEM).words);
	no_watch = false;

	no_memory = true;
	start(&tcp, refused);
	check_failed(RESULT_INTERNAL, failure_errno(ENOMEM).words);
	no_memory = false;
}

/* An address is preferred when the handshake is over, or not here. */
static void test_preference(void)
{
	struct dial_target tls = tcp;

	tls.trust = (struct stream_trust *)&done;
	fake_resolve_to(2);
	start(&tls, later);
	CHECK(target.trust == tls.trust);
	turn();
	CHECK_INT(fake_resolve.preferred, 0);
	turn();
	CHECK_INT(fake_resolve.preferred, 1);
	check_open();

	tls.unproven = true;
	start(&tls, at_once);
	CHECK_INT(fake_resolve.preferred, 0);
	check_open();
}

static void test_cancel(void)
{
	fake_resolve_to(1);
	start(&tcp, later);
	dial_end(&dial);
	CHECK(!watched && !stream.open);
	CHECK(!dial_step(&dial));
	dial_end(&dial);

	fake_resolve.waits = true;
	start(&tcp, later);
	CHECK(fake_resolve.query == &dial.query);
	dial_end(&dial);
	CHECK(!fake_resolve.query);
	CHECK(!dial_step(&dial));
	CHECK_INT(done, 0);
	fake_resolve.waits = false;

	/* Idle again, with a stream that is the caller's. */
	start(&tcp, at_once);
	dial_end(&dial);
	check_open();
}

int main(void)
{
	test_name();
	test_turned();
	test_unix();
	test_refused();
	test_preference();
	test_cancel();
	return unit_report();
}

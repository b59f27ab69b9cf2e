/*
 * kind_bad: a kind of check that misbehaves on purpose, for the tests alone.
 *
 * health_bad is health.fcgi with this kind in addition:
 *
 *	[bad]
 *	kind = bad
 *	at = ask		; the function of the kind that misbehaves
 *	does = spin		; what it does there
 *	while_file = /tmp/bad	; only while this file exists
 *
 * Each deed first appends a line to while_file, so that a test can count them.
 * Without the file a check is healthy within a millisecond.  One timerfd per
 * connection leads to on_io() right after ask(), and to on_idle() BAD_IDLE_MS
 * after the answer.
 */
#include "config.h"

#include "check/check.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* The list of kinds under other names; the one below has one row more.  kinds.o
 * stays in the archive, since this file defines all of its symbols. */
#define check_kind_at shipped_kind_at
#define check_kind_find shipped_kind_find
#include "kinds/kinds.c"
#undef check_kind_at
#undef check_kind_find

/* The name of the child that outlives its parent, and how long it lives. */
#define BAD_CHILD "bad-child"
#define BAD_CHILD_S 5
#define BAD_IDLE_MS 50
/* `allocate` grows up to this and goes on with what it has, so that a machine
 * without other limits survives it. */
#define BAD_MEMORY_BYTES ((size_t)512 * 1024 * 1024)
#define BAD_CHUNK_BYTES ((size_t)256 * 1024)
/* `write` destroys so much of the heap. */
#define BAD_NEAR_BYTES ((size_t)64 * 1024)

enum bad_at {
	BAD_PREPARE,
	BAD_OPEN,
	BAD_ASK,
	BAD_ON_IO,
	BAD_ON_IDLE,
	BAD_CLOSE,
};

struct bad_settings {
	int at; /* enum bad_at */
	int does;
	char *while_file;
};

/* One connection; zeroed before each open(). */
struct bad {
	bool open;
	int timer;
};

#define FIELD(name) offsetof(struct bad_settings, name)

/* clang-format off */
static const struct conf_key bad_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "at", CONF_CHOICE, FIELD(at), "ask", NULL,
	  "prepare|open|ask|on_io|on_idle|close", 0,
	  "the function that misbehaves" },
	{ "does", CONF_CHOICE, FIELD(does), "spin", NULL,
	  "spin|sleep|allocate|read|write|abort|exit|stop|fork", 0,
	  "what it does" },
	{ "while_file", CONF_STR, FIELD(while_file), "", "1", "4095",
	  CONF_REQUIRED | CONF_PATH,
	  "it misbehaves while this file exists" },
	CONF_END
};
/* clang-format on */

/* ---- the deeds, in the order of `does`; none of them returns ---- */

static void bad_spin(void)
{
	volatile unsigned turns = 0;

	for (;;)
		turns++;
}

static void bad_sleep(void)
{
	for (;;)
		pause();
}

/* Through a volatile pointer, or the compiler drops what no code reads. */
static void bad_fill(volatile char *to, size_t size)
{
	size_t i;

	for (i = 0; i < size; i++)
		to[i] = 0x5a;
}

static void bad_allocate(void)
{
	char *chunk = NULL;
	size_t size = 0;

	for (;;) {
		if (size < BAD_MEMORY_BYTES) {
			chunk = malloc(BAD_CHUNK_BYTES);
			size += chunk ? BAD_CHUNK_BYTES : 0;
		}
		if (chunk)
			bad_fill(chunk, BAD_CHUNK_BYTES);
	}
}

/* The end that writes is open and silent. */
static void bad_read(void)
{
	int ends[2];
	char byte;

	if (pipe(ends))
		abort();
	for (;;)
		(void)!read(ends[0], &byte, 1);
}

/* Behind its block first, and then at address 0. */
static void bad_write(void)
{
	volatile size_t size = BAD_NEAR_BYTES;
	volatile char *volatile nothing = NULL;
	char *block = malloc(1);

	if (block)
		bad_fill(block, size);
	for (;;)
		*nothing = 1;
}

static void bad_exit(void)
{
	exit(3);
}

static void bad_stop(void)
{
	for (;;)
		raise(SIGSTOP);
}

/* The child holds all descriptors of its parent, which has ended. */
static void bad_fork(void)
{
	if (fork() == 0) {
		prctl(PR_SET_NAME, BAD_CHILD);
		sleep(BAD_CHILD_S);
	}
	_exit(3);
}

static void (*const bad_deeds[])(void) = {
	bad_spin, bad_sleep, bad_allocate, bad_read, bad_write,
	abort,	  bad_exit,  bad_stop,	   bad_fork,
};

static void bad_here(const struct bad_settings *settings, enum bad_at at)
{
	int fd;

	if (settings->at != (int)at)
		return;
	fd = open(settings->while_file, O_WRONLY | O_APPEND | O_CLOEXEC);
	if (fd < 0)
		return;
	(void)!write(fd, "deed\n", 5);
	close(fd);
	bad_deeds[settings->does]();
}

/* ---- the kind ---- */

static void bad_prepare(struct conf *conf, struct conf_section *section,
			void *settings)
{
	(void)conf;
	(void)section;
	/* With an error in its section it has no file. */
	if (((struct bad_settings *)settings)->while_file)
		bad_here(settings, BAD_PREPARE);
}

/* Watches the timer, which is ready after so many milliseconds. */
static bool bad_wait(struct conn *conn, int ms)
{
	const struct bad *bad = conn_state(conn);
	const struct itimerspec in = {
		.it_value = { .tv_nsec = ms ? ms * 1000000L : 1 }
	};

	conn_watch(conn, bad->timer, POLLIN);
	return timerfd_settime(bad->timer, 0, &in, NULL) == 0;
}

static void bad_open(struct conn *conn)
{
	struct bad *bad = conn_state(conn);

	bad_here(conn_settings(conn), BAD_OPEN);
	bad->timer = timerfd_create(CLOCK_MONOTONIC,
				    TFD_NONBLOCK | TFD_CLOEXEC);
	bad->open = bad->timer >= 0;
	if (bad->open)
		conn_ready(conn);
	else
		conn_failed(conn, RESULT_INTERNAL, "no timer");
}

static void bad_ask(struct conn *conn)
{
	bad_here(conn_settings(conn), BAD_ASK);
	if (!bad_wait(conn, 0))
		conn_failed(conn, RESULT_INTERNAL, "timer cannot be set");
}

/* Whether the timer was ready; from then on it is not. */
static bool bad_was_ready(const struct conn *conn)
{
	const struct bad *bad = conn_state(conn);
	uint64_t times;

	return read(bad->timer, &times, sizeof(times)) == sizeof(times);
}

static void bad_on_io(struct conn *conn, short revents)
{
	(void)revents;
	bad_here(conn_settings(conn), BAD_ON_IO);
	if (!bad_was_ready(conn))
		return;
	if (bad_wait(conn, BAD_IDLE_MS))
		conn_answered(conn, RESULT_OK, "%s", "");
	else
		conn_failed(conn, RESULT_INTERNAL, "timer cannot be set");
}

static void bad_on_idle(struct conn *conn, short revents)
{
	(void)revents;
	bad_here(conn_settings(conn), BAD_ON_IDLE);
	bad_was_ready(conn);
}

static void bad_close(struct conn *conn)
{
	struct bad *bad = conn_state(conn);

	bad_here(conn_settings(conn), BAD_CLOSE);
	if (bad->open)
		close(bad->timer);
	bad->open = false;
}

static const char *bad_step(const struct conn *conn)
{
	(void)conn;
	return "misbehaving";
}

static const struct check_kind check_bad = {
	.name = "bad",
	.timeout = "500ms",
	.help = "misbehaves on purpose",
	.keys = bad_keys,
	.settings_size = sizeof(struct bad_settings),
	.conn_size = sizeof(struct bad),
	.prepare = bad_prepare,
	.open = bad_open,
	.ask = bad_ask,
	.on_io = bad_on_io,
	.on_idle = bad_on_idle,
	.close = bad_close,
	.step = bad_step,
};

/* ---- the list of kinds ---- */

const struct check_kind *check_kind_at(size_t index);
const struct check_kind *check_kind_find(const char *name);

const struct check_kind *check_kind_at(size_t index)
{
	if (index == sizeof(check_kinds) / sizeof(check_kinds[0]))
		return &check_bad;
	return shipped_kind_at(index);
}

const struct check_kind *check_kind_find(const char *name)
{
	return strcmp(name, check_bad.name) ? shipped_kind_find(name)
					    : &check_bad;
}

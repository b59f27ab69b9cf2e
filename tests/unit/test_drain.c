/*
 * The operator's switch, with a file system that answers as we like: an error
 * that says nothing about the file changes nothing.
 */
#include "config.h"

#include <unistd.h>

static int access_error;

static int test_access(const char *path, int mode);
#define access(path, mode) test_access(path, mode)
#include "prober/drain.c"
#undef access

#include <stdarg.h>

#include "fake_log.h"
#include "unit.h"

static int test_access(const char *path, int mode)
{
	CHECK_STR(path, "/run/drain");
	CHECK_INT(mode, F_OK);
	errno = access_error;
	return access_error ? -1 : 0;
}

/* ---- neighbours ---- */

static bool known, board_draining; /* known: there was an observation */

void board_set_draining(struct board *board, bool draining)
{
	(void)board;
	known = true;
	board_draining = draining;
}

static bool was_draining;

bool board_is_draining(struct board *board)
{
	(void)board;
	return was_draining;
}

bool board_keep_draining(struct board *board, bool otherwise)
{
	(void)board;
	if (!known)
		board_draining = otherwise;
	known = true;
	return board_draining;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms)
{
	(void)loop;
	(void)timer;
	(void)at_ms;
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	(void)loop;
	(void)timer;
}

static bool hangs;

/* The job is done within this call; drain_start() must have its result. */
struct offload_job *offload_start(struct offload *offload,
				  const struct offload_order *order,
				  void (*done)(void *arg, const void *copy),
				  void *arg)
{
	static char copy[sizeof(struct drain_look)];

	(void)offload;
	CHECK_INT(order->size, sizeof(copy));
	CHECK(order->room == OFFLOAD_RESERVED);
	if (hangs)
		return (struct offload_job *)copy;
	memcpy(copy, order->data, order->size);
	order->work(copy);
	done(arg, copy);
	return NULL;
}

void offload_forget(struct offload_job *job)
{
	(void)job;
}

/* ---- tests ---- */

static struct drain *drain;

static void begin(int error)
{
	known = board_draining = hangs = false;
	fake_log.lines = 0;
	access_error = error;
	drain = drain_create("/run/drain", NULL, NULL, NULL);
	CHECK(drain != NULL);
}

/* One look; how many lines it was worth, and the state after it. */
static void look(int error, int said, bool draining)
{
	fake_log.lines = 0;
	access_error = error;
	drain_start(drain);
	if (fake_log.lines != said || board_draining != draining)
		printf("\terror %d: \"%s\"\n", error, fake_log.last);
	CHECK_INT(fake_log.lines, said);
	CHECK_INT(board_draining, draining);
}

/* Another worker goes on where the last one was. */
static void test_another_worker(void)
{
	was_draining = true;
	begin(0);
	CHECK_INT(fake_log.lines, 0);
	CHECK(board_draining);
	look(ENOENT, 1, false);
	drain_destroy(drain);
	begin(ENOENT);
	CHECK_INT(fake_log.lines, 1);
	was_draining = false;
	drain_destroy(drain);
}

static void test_comes_and_goes(void)
{
	begin(ENOENT);
	CHECK(known);
	CHECK_INT(fake_log.lines, 0);
	look(0, 1, true);
	CHECK_STR(fake_log.last, "draining: /run/drain");
	look(0, 0, true);
	look(ENOENT, 1, false);
	CHECK_STR(fake_log.last, "draining ended: /run/drain");
	drain_destroy(drain);
}

static void test_errors_change_nothing(void)
{
	static const int errors[] = { EACCES, EIO,    ESTALE,	ENOTDIR,
				      ELOOP,  ENOMEM, ETIMEDOUT };
	size_t i;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		begin(ENOENT);
		look(errors[i], 1, false);
		CHECK(strstr(fake_log.last, "/run/drain") &&
		      strstr(fake_log.last, strerror(errors[i])));
		look(errors[i], 0, false);
		look(0, 1, true);
		look(errors[i], 1, true);
		look(errors[i], 0, true);
		/* Another reason is another line. */
		look(errors[i] == EIO ? EPERM : EIO, 1, true);
		look(0, 0, true);
		look(errors[i], 1, true);
		look(ENOENT, 1, false);
		drain_destroy(drain);
	}
}

/* With no state to keep, the safe side; and another process may know. */
static void test_errors_at_the_start(void)
{
	begin(EACCES);
	CHECK(board_draining);
	CHECK_INT(fake_log.lines, 1);
	CHECK_STR(fake_log.last,
		  "drain_file: cannot look for /run/drain: Permission "
		  "denied; until this is fixed, readiness is "
		  "\"draining\"");
	look(EACCES, 0, true);
	look(ENOENT, 1, false);
	drain_destroy(drain);

	begin(ENOENT);
	drain_destroy(drain);
	access_error = EIO;
	drain = drain_create("/run/drain", NULL, NULL, NULL);
	CHECK(!board_draining);
	drain_destroy(drain);
}

/* A look that hangs keeps the state, too. */
static void test_hangs(void)
{
	begin(0);
	hangs = true;
	look(ENOENT, 0, true);
	look(ENOENT, 0, true);
	drain_done(drain, &(struct drain_look){ .error = ENOENT });
	CHECK(!board_draining);
	drain_destroy(drain);
}

int main(void)
{
	test_another_worker();
	test_comes_and_goes();
	test_errors_change_nothing();
	test_errors_at_the_start();
	test_hangs();
	return unit_report();
}

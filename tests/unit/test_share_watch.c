/*
 * The thread that rings when another process has news, on a real file and with
 * the real futex(2).
 */
#include "config.h"

#include "board/share_watch.c"

#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

static char dir[] = "test_share_watch.XXXXXX";
static int bell;

static struct share *open_share(void)
{
	const struct share_options options = { .dir = dir,
					       .n = 1,
					       .founder = true };
	char reason[PATH_MAX + 128];
	struct share *share = share_open(&options, reason, sizeof(reason));

	if (!share) {
		printf("%s\n", reason);
		exit(1);
	}
	return share;
}

/* Whether it rings within that time. */
static bool rings(int ms)
{
	struct pollfd fd = { .fd = bell, .events = POLLIN };
	eventfd_t times;

	return poll(&fd, 1, ms) == 1 && eventfd_read(bell, &times) == 0;
}

static void test_watch(void)
{
	struct share *share = open_share(), *other = open_share();
	struct share_watch *watch = share_watch_create(share, bell);
	int64_t began_ms;
	int i;

	CHECK(watch != NULL);
	/* It is off. */
	share_tell(other);
	CHECK(!rings(50));
	/* What was told before is rung for, once. */
	share_watch_set(watch, true);
	CHECK(rings(5000));
	share_watch_set(watch, true);
	for (i = 0; i < 20; i++) {
		share_tell(other);
		CHECK(rings(5000));
		poll(NULL, 0, i);
		rings(0);
	}
	/* Rings at once, and not when it looks by itself, a second later. */
	poll(NULL, 0, 50);
	rings(0);
	began_ms = clock_ms();
	share_tell(other);
	CHECK(rings(5000));
	CHECK(clock_ms() - began_ms < 500);
	/* Off: it may ring once for what it was waiting for. */
	share_watch_set(watch, false);
	share_tell(other);
	rings(50);
	share_tell(other);
	CHECK(!rings(50));
	share_watch_set(watch, true);
	CHECK(rings(5000));

	/* Its end does not wait for news, whether it is on or off. */
	poll(NULL, 0, 50);
	began_ms = clock_ms();
	share_watch_destroy(watch);
	CHECK(clock_ms() - began_ms < 500);
	rings(0);
	watch = share_watch_create(share, bell);
	began_ms = clock_ms();
	share_watch_destroy(watch);
	CHECK(clock_ms() - began_ms < 500);
	CHECK(!rings(0));
	share_watch_destroy(NULL);
	share_close(other);
	share_close(share);
}

/* share_tell() rings the bell of its own process by itself. */
static void test_bell(void)
{
	struct share *share = open_share();

	share_tell(share);
	CHECK(!rings(0));
	share_set_bell(share, bell);
	share_tell(share);
	CHECK(rings(0));
	share_close(share);
}

int main(void)
{
	bell = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (bell < 0 || !mkdtemp(dir)) {
		perror("cannot begin");
		return 1;
	}
	test_watch();
	test_bell();
	/* The last one has removed the file. */
	CHECK_INT(rmdir(dir), 0);
	return unit_report();
}

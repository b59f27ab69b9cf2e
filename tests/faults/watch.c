/*
 * watch: asks as a prober does, one question after another, each on a new
 * connection, over FastCGI on a Unix socket.
 *
 *	watch SOCKET PATH MS	so often, until SIGTERM.  At each SIGUSR1 it
 *				says how many questions there were since the
 *				last one, how many of them were not answered
 *				200, and how long the slowest of 99 % and of
 *				all took: "n=93 failed=0 p99_us=180 max_us=310"
 *	watch SOCKET PATH MS each	the same, with a line for each question:
 *				when it was asked (ms since 1970) and, after
 *				the answer, how long that took (us), its
 *				status (000: none came) and its body
 *	watch SOCKET PATH	until the answer is 200; prints the milliseconds
 *				that it took, or fails after 30 s
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define WATCH_UNTIL_US 30000000
#define WATCH_PAUSE_MS 2
#define WATCH_ANSWER_MS 20000
#define WATCH_SAMPLES 65536
#define WATCH_HEAD 8

static volatile sig_atomic_t watch_report;

static struct {
	int32_t took_us[WATCH_SAMPLES];
	size_t n, failed;
} watch;

static unsigned char watch_request[512];
static size_t watch_request_len;

/* What came; of a longer answer its beginning, as a string. */
static char watch_answer[4097];

static void watch_on_report(int number)
{
	(void)number;
	watch_report = 1;
}

static int64_t watch_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void watch_record(unsigned char type, const char *content, size_t len)
{
	const unsigned char head[8] = { 1, type, 0, 1, 0, (unsigned char)len };

	memcpy(watch_request + watch_request_len, head, sizeof(head));
	watch_request_len += sizeof(head);
	memcpy(watch_request + watch_request_len, content, len);
	watch_request_len += len;
}

/* BEGIN_REQUEST as a responder, PARAMS, STDIN. */
static void watch_make_request(const char *path)
{
	char params[256];
	size_t path_len = strlen(path);
	int len;

	if (path_len > 127) {
		fprintf(stderr, "watch: too long: %s\n", path);
		exit(2);
	}
	len = snprintf(params, sizeof(params),
		       "\016\003REQUEST_METHODGET\013%cSCRIPT_NAME",
		       (int)path_len);
	memcpy(params + len, path, path_len);
	watch_record(1, "\0\1\0\0\0\0\0\0", 8);
	watch_record(4, params, (size_t)len + path_len);
	watch_record(4, "", 0);
	watch_record(5, "", 0);
}

/* The status stands at the beginning; there is more to come than fits here. */
static bool watch_is_ok(int fd)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };
	char drop[4096];
	size_t len = 0, room = sizeof(watch_answer) - 1;
	ssize_t n = 1;

	while (n > 0 && poll(&in, 1, WATCH_ANSWER_MS) > 0) {
		if (len == room) {
			n = read(fd, drop, sizeof(drop));
			continue;
		}
		n = read(fd, watch_answer + len, room - len);
		len += n > 0 ? (size_t)n : 0;
	}
	/* Behind the head of the first record, which may have zeros. */
	if (n || len <= WATCH_HEAD)
		len = WATCH_HEAD;
	watch_answer[len] = '\0';
	return !strncmp(watch_answer + WATCH_HEAD, "Status: 200 ", 12);
}

static bool watch_ask(const char *where)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	bool ok;

	watch_answer[WATCH_HEAD] = '\0';
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", where);
	ok = fd >= 0 &&
	     connect(fd, (const struct sockaddr *)&un, sizeof(un)) == 0 &&
	     send(fd, watch_request, watch_request_len, MSG_NOSIGNAL) ==
		     (ssize_t)watch_request_len &&
	     watch_is_ok(fd);
	if (fd >= 0)
		close(fd);
	return ok;
}

static int watch_compare(const void *a, const void *b)
{
	const int32_t *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

static void watch_say(void)
{
	size_t n = watch.n;

	qsort(watch.took_us, n, sizeof(*watch.took_us), watch_compare);
	printf("n=%zu failed=%zu p99_us=%d max_us=%d\n", n, watch.failed,
	       n ? watch.took_us[(n * 99 + 99) / 100 - 1] : 0,
	       n ? watch.took_us[n - 1] : 0);
	fflush(stdout);
	watch.n = watch.failed = 0;
	watch_report = 0;
}

static void watch_say_asked(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	printf("%lld", (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
	fflush(stdout);
}

/* The body is JSON in one line; the record after it begins with a 1. */
static void watch_say_answered(int64_t took_us)
{
	const char *text = watch_answer + WATCH_HEAD;
	const char *body = strstr(text, "\r\n\r\n");

	body = body ? body + 4 : "";
	printf(" %lld %.3s %.*s\n", (long long)took_us,
	       strncmp(text, "Status: ", 8) ? "000" : text + 8,
	       (int)strcspn(body, "\1\r\n"), body);
	fflush(stdout);
}

static void watch_pace(const char *where, int ms, bool each)
{
	struct sigaction report = { .sa_handler = watch_on_report };
	sigset_t blocked, waiting;
	struct timespec pause = { ms / 1000, ms % 1000 * 1000000L };

	sigaction(SIGUSR1, &report, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGUSR1);
	sigprocmask(SIG_BLOCK, &blocked, &waiting);
	for (;;) {
		int64_t from_us = watch_now_us(), took_us;

		if (each)
			watch_say_asked();
		if (watch.n == WATCH_SAMPLES)
			watch.n = 0;
		watch.failed += !watch_ask(where);
		took_us = watch_now_us() - from_us;
		watch.took_us[watch.n++] = (int32_t)took_us;
		if (each)
			watch_say_answered(took_us);
		ppoll(NULL, 0, &pause, &waiting);
		if (watch_report)
			watch_say();
	}
}

static int watch_until(const char *where)
{
	int64_t from_us = watch_now_us(), took_us;

	while (!watch_ask(where)) {
		if (watch_now_us() - from_us > WATCH_UNTIL_US)
			return 1;
		poll(NULL, 0, WATCH_PAUSE_MS);
	}
	took_us = watch_now_us() - from_us;
	printf("%d.%d\n", (int)(took_us / 1000), (int)(took_us / 100 % 10));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc < 3 || argc > 5 || (argc == 5 && strcmp(argv[4], "each"))) {
		fprintf(stderr, "usage: watch SOCKET PATH [MS [each]]\n");
		return 2;
	}
	watch_make_request(argv[2]);
	if (argc == 3)
		return watch_until(argv[1]);
	watch_pace(argv[1], (int)strtol(argv[3], NULL, 10), argc == 5);
}

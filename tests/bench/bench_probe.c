/*
 * bench_probe: asks as probers do, each time on a new connection, over HTTP on
 * 127.0.0.1.
 *
 *	bench_probe paced PORT PATH N GAP_MS
 *		one after another; prints median, 99th percentile and longest
 *		in microseconds, and how many were not 200
 *	bench_probe together PORT PATH N
 *		all at once; prints the quickest, the median and the slowest in
 *		milliseconds, and how many were 200, 503 and something else
 *	bench_probe until PORT PATH
 *		until the answer is 200; prints milliseconds and attempts
 *	bench_probe first PORT LIVE READY PROGRAM [ARGUMENT...]
 *		starts the program and ends it again; prints the milliseconds
 *		from there to the first 200 of each path
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 20000
#define MOST_PROBES 1000

struct probe {
	int64_t took_ns;
	int status; /* 0: no HTTP answer */
	bool asked;
	size_t len;
	char head[13]; /* "HTTP/1.1 200" */
};

struct target {
	struct sockaddr_in address;
	char request[512];
	size_t request_len;
};

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static double as_ms(int64_t ns)
{
	return (double)ns / 1e6;
}

static void rest_us(long us)
{
	struct timespec rest = { us / 1000000, us % 1000000 * 1000 };

	nanosleep(&rest, NULL);
}

static struct target target_make(const char *port, const char *path)
{
	struct target target = { .address = {
					 .sin_family = AF_INET,
					 .sin_port = htons((uint16_t)strtoul(
						 port, NULL, 10)),
					 .sin_addr.s_addr = htonl(
						 INADDR_LOOPBACK),
				 } };

	target.request_len = (size_t)snprintf(
		target.request, sizeof(target.request),
		"GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n"
		"Connection: close\r\n\r\n",
		path);
	return target;
}

/* ---- probes ---- */

static int probe_open(const struct target *target)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	/* Refused or under way: poll(2) tells. */
	if (fd >= 0 &&
	    connect(fd, (const struct sockaddr *)&target->address,
		    sizeof(target->address)) &&
	    errno != EINPROGRESS) {
		close(fd);
		return -1;
	}
	return fd;
}

/* true: this probe has its answer, or will never have one. */
static bool probe_step(struct probe *probe, struct pollfd *polled,
		       const struct target *target)
{
	char bytes[4096];
	size_t room = sizeof(probe->head) - 1 - probe->len;
	ssize_t n;

	if (!probe->asked) {
		probe->asked = true;
		polled->events = POLLIN;
		n = send(polled->fd, target->request, target->request_len,
			 MSG_NOSIGNAL);
		return n != (ssize_t)target->request_len;
	}
	n = recv(polled->fd, bytes, sizeof(bytes), 0);
	if (n < 0)
		return errno != EAGAIN;
	if ((size_t)n < room)
		room = (size_t)n;
	memcpy(probe->head + probe->len, bytes, room);
	probe->len += room;
	if (n > 0)
		return false;
	if (probe->len == sizeof(probe->head) - 1)
		probe->status = (int)strtol(probe->head + 9, NULL, 10);
	return true;
}

/* Asks n times at once and waits for the end of every answer. */
static void probes_ask(struct probe *probes, nfds_t n,
		       const struct target *target)
{
	struct pollfd polled[MOST_PROBES];
	int64_t start = now_ns();
	nfds_t i, left = n;

	memset(probes, 0, n * sizeof(*probes));
	for (i = 0; i < n; i++) {
		polled[i] = (struct pollfd){ probe_open(target), POLLOUT, 0 };
		left -= polled[i].fd < 0;
	}
	while (left && poll(polled, n, LIMIT_MS) > 0) {
		for (i = 0; i < n; i++) {
			if (polled[i].fd < 0 || !polled[i].revents ||
			    !probe_step(&probes[i], &polled[i], target))
				continue;
			probes[i].took_ns = now_ns() - start;
			close(polled[i].fd);
			polled[i].fd = -1;
			left--;
		}
	}
}

static int by_time(const void *a, const void *b)
{
	int64_t x = ((const struct probe *)a)->took_ns;
	int64_t y = ((const struct probe *)b)->took_ns;

	return (x > y) - (x < y);
}

static size_t probes_with(const struct probe *probes, size_t n, int status)
{
	size_t i, found = 0;

	for (i = 0; i < n; i++)
		found += probes[i].status == status;
	return found;
}

/* ---- commands ---- */

static int run_paced(const struct target *target, size_t n, long gap_ms)
{
	static struct probe probes[MOST_PROBES];
	size_t i;

	for (i = 0; i < n; i++) {
		probes_ask(&probes[i], 1, target);
		rest_us(gap_ms * 1000);
	}
	qsort(probes, n, sizeof(*probes), by_time);
	printf("%.1f %.1f %.1f %zu\n", as_ms(probes[n / 2].took_ns) * 1e3,
	       as_ms(probes[n * 99 / 100].took_ns) * 1e3,
	       as_ms(probes[n - 1].took_ns) * 1e3,
	       n - probes_with(probes, n, 200));
	return 0;
}

static int run_together(const struct target *target, size_t n)
{
	static struct probe probes[MOST_PROBES];
	size_t good, unready;

	probes_ask(probes, n, target);
	qsort(probes, n, sizeof(*probes), by_time);
	good = probes_with(probes, n, 200);
	unready = probes_with(probes, n, 503);
	printf("%.2f %.2f %.2f %zu %zu %zu\n", as_ms(probes[0].took_ns),
	       as_ms(probes[n / 2].took_ns), as_ms(probes[n - 1].took_ns), good,
	       unready, n - good - unready);
	return 0;
}

/* Attempts until the answer is 200; 0: it never was. */
static unsigned long ask_until_good(const struct target *target)
{
	int64_t end = now_ns() + LIMIT_MS * INT64_C(1000000);
	unsigned long attempts;
	struct probe probe;

	for (attempts = 1; now_ns() < end; attempts++) {
		probes_ask(&probe, 1, target);
		if (probe.status == 200)
			return attempts;
		rest_us(200);
	}
	return 0;
}

static int run_until(const struct target *target)
{
	int64_t start = now_ns();
	unsigned long attempts = ask_until_good(target);

	printf("%.2f %lu\n", as_ms(now_ns() - start), attempts);
	return attempts ? 0 : 1;
}

static int run_first(const struct target *live, const struct target *ready,
		     char **program)
{
	int64_t start = now_ns(), alive, answered;
	pid_t pid = fork();
	bool good;

	if (pid == 0) {
		execv(program[0], program);
		_exit(127);
	}
	good = pid > 0 && ask_until_good(live);
	alive = now_ns() - start;
	good = good && ask_until_good(ready);
	answered = now_ns() - start;
	if (pid > 0) {
		kill(pid, SIGTERM);
		waitpid(pid, NULL, 0);
	}
	if (!good)
		return 1;
	printf("%.2f %.2f\n", as_ms(alive), as_ms(answered));
	return 0;
}

int main(int argc, char **argv)
{
	const char *command = argc > 3 ? argv[1] : "";
	struct target target = target_make(argc > 3 ? argv[2] : "0",
					   argc > 3 ? argv[3] : "/");
	size_t n = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;

	if (!strcmp(command, "until"))
		return run_until(&target);
	if (!strcmp(command, "first") && argc > 5) {
		struct target ready = target_make(argv[2], argv[4]);

		return run_first(&target, &ready, argv + 5);
	}
	if (n > 0 && n <= MOST_PROBES) {
		if (!strcmp(command, "together"))
			return run_together(&target, n);
		if (!strcmp(command, "paced") && argc > 5)
			return run_paced(&target, n, strtol(argv[5], NULL, 10));
	}
	fprintf(stderr, "bench_probe: see the head of its source\n");
	return 2;
}

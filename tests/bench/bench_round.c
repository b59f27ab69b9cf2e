/*
 * bench_round: what three dependencies cost without us.
 *
 *	bench_round ROUNDS POSTGRES_PORT REDIS_PORT HTTP_PORT
 *
 * Over one warm connection to each, SELECT 1, PING and GET are sent all at
 * once and all answers awaited, again and again.  Prints the median and the
 * 99th percentile of a round in microseconds, and rounds per second.
 *
 * PostgreSQL must trust the role "bare" (database postgres); the password of
 * Redis is taken from the variable REDIS_PASSWORD.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WARM_UP 100
#define PEERS 3

struct peer {
	const char *name;
	const char *question;
	size_t question_len;
	/* Whether what has come so far is a whole answer. */
	bool (*whole)(const char *answer, size_t len);
	int fd;
	size_t len;
	char answer[8192];
};

static void fail(const char *name, const char *what)
{
	fprintf(stderr, "bench_round: %s: %s\n", name, what);
	exit(1);
}

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static void peer_connect(struct peer *peer, const char *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int one = 1;

	peer->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (peer->fd < 0 ||
	    connect(peer->fd, (struct sockaddr *)&address, sizeof(address)))
		fail(peer->name, strerror(errno));
	setsockopt(peer->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static void peer_send(struct peer *peer, const char *bytes, size_t len)
{
	peer->len = 0;
	if (send(peer->fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
		fail(peer->name, "cannot send");
}

static bool peer_read(struct peer *peer)
{
	ssize_t n = recv(peer->fd, peer->answer + peer->len,
			 sizeof(peer->answer) - 1 - peer->len, 0);

	if (n <= 0)
		fail(peer->name, "closed the connection");
	peer->len += (size_t)n;
	peer->answer[peer->len] = '\0';
	return peer->whole(peer->answer, peer->len);
}

/* ---- what a whole answer looks like ---- */

/* Ends in ReadyForQuery: 'Z', its length, and the state of the session. */
static bool postgres_whole(const char *answer, size_t len)
{
	return len >= 6 && !memcmp(answer + len - 6, "Z\0\0\0\5", 5);
}

static bool redis_whole(const char *answer, size_t len)
{
	return len >= 2 && !memcmp(answer + len - 2, "\r\n", 2);
}

static bool http_whole(const char *answer, size_t len)
{
	const char *end = strstr(answer, "\r\n\r\n");
	const char *length = strstr(answer, "Content-Length: ");

	if (!end || !length)
		return false;
	return len >=
	       (size_t)(end + 4 - answer) +
		       strtoul(length + strlen("Content-Length: "), NULL, 10);
}

/* ---- logging in ---- */

static void postgres_log_in(struct peer *peer)
{
	/* StartupMessage: length, version 3.0, pairs, an empty name. */
	static const char message[] = "\0\0\0\45\0\3\0\0"
				      "user\0bare\0"
				      "database\0postgres\0";

	_Static_assert(sizeof(message) == 045, "its own length");
	peer_send(peer, message, sizeof(message));
	while (!peer_read(peer)) {
		if (peer->answer[0] == 'E')
			fail(peer->name, "refuses the role \"bare\"");
	}
}

static void redis_log_in(struct peer *peer)
{
	const char *password = getenv("REDIS_PASSWORD");
	char message[256];
	int len;

	if (!password)
		return;
	len = snprintf(message, sizeof(message), "AUTH %s\r\n", password);
	peer_send(peer, message, (size_t)len);
	while (!peer_read(peer))
		continue;
	if (peer->answer[0] != '+')
		fail(peer->name, peer->answer);
}

/* ---- rounds ---- */

static int64_t round_ns(struct peer peers[PEERS])
{
	struct pollfd polled[PEERS];
	int64_t start = now_ns();
	int i, left = PEERS;

	for (i = 0; i < PEERS; i++) {
		peer_send(&peers[i], peers[i].question, peers[i].question_len);
		polled[i] = (struct pollfd){ peers[i].fd, POLLIN, 0 };
	}
	while (left) {
		if (poll(polled, PEERS, 10000) <= 0)
			fail("poll", "no answer");
		for (i = 0; i < PEERS; i++) {
			if (polled[i].fd < 0 || !polled[i].revents ||
			    !peer_read(&peers[i]))
				continue;
			polled[i].fd = -1;
			left--;
		}
	}
	return now_ns() - start;
}

static int by_size(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

	return (x > y) - (x < y);
}

static void measure(struct peer peers[PEERS], size_t rounds)
{
	int64_t *took = calloc(rounds, sizeof(*took)), sum = 0;
	size_t i;

	if (!took)
		fail("bench_round", "out of memory");
	for (i = 0; i < WARM_UP; i++)
		round_ns(peers);
	for (i = 0; i < rounds; i++) {
		took[i] = round_ns(peers);
		sum += took[i];
	}
	qsort(took, rounds, sizeof(*took), by_size);
	printf("%.1f %.1f %.0f\n", (double)took[rounds / 2] / 1e3,
	       (double)took[rounds * 99 / 100] / 1e3,
	       (double)rounds / ((double)sum / 1e9));
	free(took);
}

int main(int argc, char **argv)
{
	static const char select_1[] = "Q\0\0\0\15SELECT 1";
	static const char ping[] = "*1\r\n$4\r\nPING\r\n";
	static const char get[] = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
	static struct peer peers[PEERS] = {
		{ .name = "PostgreSQL",
		  .question = select_1,
		  .question_len = sizeof(select_1),
		  .whole = postgres_whole },
		{ .name = "Redis",
		  .question = ping,
		  .question_len = sizeof(ping) - 1,
		  .whole = redis_whole },
		{ .name = "HTTP",
		  .question = get,
		  .question_len = sizeof(get) - 1,
		  .whole = http_whole },
	};
	size_t rounds;
	int i;

	if (argc != 2 + PEERS || !(rounds = strtoul(argv[1], NULL, 10)))
		fail("usage", "ROUNDS POSTGRES_PORT REDIS_PORT HTTP_PORT");
	for (i = 0; i < PEERS; i++)
		peer_connect(&peers[i], argv[2 + i]);
	postgres_log_in(&peers[0]);
	redis_log_in(&peers[1]);
	measure(peers, rounds);
	return 0;
}

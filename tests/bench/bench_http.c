/*
 * bench_http: an HTTP server that answers as late as it is told, and counts.
 *
 *	bench_http PORT
 *
 *	GET /delay/50	from now on every other answer takes 50 ms
 *	GET /count	requests and connections so far, these two not counted
 *
 * Everything else is answered 200 with a list of models.  One thread, kept
 * connections, one request at a time on each.
 */
#include "config.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define ROOM 256

struct client {
	size_t len;
	int64_t due_ns; /* of the answer; 0: none is owed */
	char request[4096];
};

/* [0] is the listening socket; client i belongs to polled[i]. */
static struct pollfd polled[ROOM];
static struct client *clients[ROOM];
static nfds_t open_places = 1;
static int64_t delay_ns;
static unsigned long requests, connections;

static int64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

static int listen_on(const char *port)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)strtoul(port, NULL, 10)),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, 128)) {
		fprintf(stderr, "bench_http: port %s: %s\n", port,
			strerror(errno));
		exit(1);
	}
	return fd;
}

static void client_accept(void)
{
	int fd = accept4(polled[0].fd, NULL, NULL, SOCK_NONBLOCK), one = 1;
	struct client *client;

	if (fd < 0)
		return;
	client = open_places < ROOM ? calloc(1, sizeof(*client)) : NULL;
	if (!client) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	polled[open_places] = (struct pollfd){ fd, POLLIN, 0 };
	clients[open_places++] = client;
	connections++;
}

static void client_close(nfds_t place)
{
	close(polled[place].fd);
	free(clients[place]);
	open_places--;
	polled[place] = polled[open_places];
	clients[place] = clients[open_places];
}

static void client_answer(nfds_t place, const char *body)
{
	char answer[1024];
	int len = snprintf(answer, sizeof(answer),
			   "HTTP/1.1 200 OK\r\n"
			   "Content-Type: application/json\r\n"
			   "Content-Length: %zu\r\n\r\n%s",
			   strlen(body), body);

	clients[place]->len = 0;
	clients[place]->due_ns = 0;
	/* A peer that has gone is found by the next poll. */
	send(polled[place].fd, answer, (size_t)len, MSG_NOSIGNAL);
}

static void client_answer_models(nfds_t place)
{
	client_answer(place, "{\"object\":\"list\",\"data\":["
			     "{\"id\":\"gpt-4o\",\"object\":\"model\"},"
			     "{\"id\":\"gpt-4o-mini\",\"object\":\"model\"},"
			     "{\"id\":\"text-embedding-3-large\","
			     "\"object\":\"model\"}]}");
}

static void client_serve(nfds_t place)
{
	const char *request = clients[place]->request;
	char counts[64];

	if (!strncmp(request, "GET /delay/", 11)) {
		delay_ns = strtol(request + 11, NULL, 10) * INT64_C(1000000);
		connections--;
		client_answer(place, "{}\n");
	} else if (!strncmp(request, "GET /count", 10)) {
		connections--;
		snprintf(counts, sizeof(counts), "%lu %lu\n", requests,
			 connections);
		client_answer(place, counts);
	} else {
		requests++;
		if (delay_ns)
			clients[place]->due_ns = now_ns() + delay_ns;
		else
			client_answer_models(place);
	}
}

/* -1: the connection has ended. */
static int client_read(nfds_t place)
{
	struct client *client = clients[place];
	ssize_t n = recv(polled[place].fd, client->request + client->len,
			 sizeof(client->request) - 1 - client->len, 0);

	if (n <= 0)
		return n < 0 && errno == EAGAIN ? 0 : -1;
	client->len += (size_t)n;
	client->request[client->len] = '\0';
	if (!client->due_ns && strstr(client->request, "\r\n\r\n"))
		client_serve(place);
	return 0;
}

/* Gives the answers that are due; *wait is the time until the next, NULL when
 * there is none. */
static struct timespec *answer_due(struct timespec *wait)
{
	int64_t now = now_ns(), next = INT64_MAX;
	nfds_t i;

	for (i = 1; i < open_places; i++) {
		if (!clients[i]->due_ns)
			continue;
		if (clients[i]->due_ns <= now)
			client_answer_models(i);
		else if (clients[i]->due_ns < next)
			next = clients[i]->due_ns;
	}
	if (next == INT64_MAX)
		return NULL;
	wait->tv_sec = (next - now) / 1000000000;
	wait->tv_nsec = (next - now) % 1000000000;
	return wait;
}

int main(int argc, char **argv)
{
	struct timespec wait;
	nfds_t i;

	if (argc != 2) {
		fprintf(stderr, "usage: bench_http PORT\n");
		return 2;
	}
	polled[0] = (struct pollfd){ listen_on(argv[1]), POLLIN, 0 };
	for (;;) {
		if (ppoll(polled, open_places, answer_due(&wait), NULL) <= 0)
			continue;
		/* From the end, so that a place that is filled anew by
		 * client_close() was served already. */
		for (i = open_places - 1; i > 0; i--) {
			if (polled[i].revents && client_read(i))
				client_close(i);
		}
		if (polled[0].revents)
			client_accept();
	}
}

/*
 * peer: a server that misbehaves on order, for what no real server can be
 * brought to do at the right moment: accept and say nothing, stop in the
 * middle of a byte stream, answer late or never to the end.
 *
 *	peer PORT FILE		(PORT of 127.0.0.1, or the path of a socket)
 *	peer PORT		takes no connection: packets are dropped
 *
 * FILE says what happens on a connection, one step a line, and is read again
 * for each new connection, so that a test can change its mind:
 *
 *	read			until something came
 *	request			until an empty line came (an HTTP request)
 *	send TEXT		with \r, \n, \xHH
 *	drip TEXT		likewise, one byte a second
 *	flood TEXT		likewise, again and again, for ever
 *	wait MS
 *	relay PORT BYTES	to a real server, until it has sent so many
 *				bytes; 0: for ever
 *	loop			begins again at the first step
 *	silent			nothing more, for ever
 *	reset			closes with RST
 *
 * The connection is closed behind the last step.  One line per connection and
 * request goes to standard output: "connection", "request GET / HTTP/1.1".
 * The header lines of a request follow, each behind "header ".
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PEER_STEPS_MAX 32
#define PEER_REQUEST_BYTES 16384

static void peer_die(const char *what)
{
	perror(what);
	exit(2);
}

static int peer_socket(const char *where, bool listening)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	bool is_unix = strchr(where, '/');
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0), one = 1;
	struct sockaddr *address = is_unix ? (struct sockaddr *)&un
					   : (struct sockaddr *)&in;
	socklen_t len = is_unix ? sizeof(un) : sizeof(in);

	if (fd < 0)
		peer_die("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", where);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)strtoul(where, NULL, 10));
	if (listening ? bind(fd, address, len) || listen(fd, 128)
		      : connect(fd, address, len))
		peer_die(where);
	return fd;
}

/* One write a line, so that those of several processes do not mix. */
static void peer_say(const char *what, const char *text)
{
	char line[1024];
	int len = snprintf(line, sizeof(line), "%s%.900s\n", what, text);

	if (write(STDOUT_FILENO, line, (size_t)len) < 0)
		exit(2);
}

/* ---- steps; all end the process when the other side has gone ---- */

static void peer_wait(int fd, int ms)
{
	/* The other side's end is of interest, its bytes are not. */
	struct pollfd gone = { .fd = fd, .events = POLLRDHUP };

	if (poll(&gone, 1, ms) > 0)
		exit(0);
}

static void peer_read(int fd)
{
	char bytes[4096];

	if (read(fd, bytes, sizeof(bytes)) <= 0)
		exit(0);
}

static void peer_request(int fd)
{
	char request[PEER_REQUEST_BYTES] = "", *line, *rest;
	size_t len = 0;
	ssize_t n;

	while (!strstr(request, "\r\n\r\n")) {
		n = read(fd, request + len, sizeof(request) - 1 - len);
		if (n <= 0)
			exit(0);
		len += (size_t)n;
		request[len] = '\0';
	}
	line = strtok_r(request, "\r\n", &rest);
	peer_say("request ", line ? line : "");
	while ((line = strtok_r(NULL, "\r\n", &rest)))
		peer_say("header ", line);
}

static void peer_write(int fd, const char *bytes, size_t len)
{
	while (len) {
		ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);

		if (n <= 0)
			exit(0);
		bytes += n;
		len -= (size_t)n;
	}
}

static size_t peer_unescape(char *text)
{
	char *from = text, *to = text;

	while (*from) {
		char byte = *from++;

		if (byte == '\\' && *from == 'r') {
			byte = '\r';
			from++;
		} else if (byte == '\\' && *from == 'n') {
			byte = '\n';
			from++;
		} else if (byte == '\\' && *from == 'x' && from[1] && from[2]) {
			char hex[3] = { from[1], from[2], '\0' };

			byte = (char)strtoul(hex, NULL, 16);
			from += 3;
		}
		*to++ = byte;
	}
	return (size_t)(to - text);
}

static void peer_drip(int fd, const char *bytes, size_t len)
{
	for (; len; len--) {
		peer_write(fd, bytes++, 1);
		peer_wait(fd, 1000);
	}
}

static void peer_relay(int client, const char *arguments)
{
	char *rest;
	unsigned long port = strtoul(arguments, &rest, 10);
	size_t left = strtoul(rest, NULL, 10);
	bool endless = left == 0;
	char where[16], bytes[4096];
	struct pollfd fds[2];
	ssize_t n;

	snprintf(where, sizeof(where), "%lu", port);
	fds[0] = (struct pollfd){ .fd = client, .events = POLLIN };
	fds[1] = (struct pollfd){ .fd = peer_socket(where, false),
				  .events = POLLIN };
	while (endless || left) {
		poll(fds, 2, -1);
		if (fds[0].revents) {
			n = read(client, bytes, sizeof(bytes));
			if (n <= 0)
				exit(0);
			peer_write(fds[1].fd, bytes, (size_t)n);
		}
		if (!fds[1].revents)
			continue;
		n = read(fds[1].fd, bytes,
			 endless || left > sizeof(bytes) ? sizeof(bytes)
							 : left);
		if (n <= 0)
			exit(0);
		peer_write(client, bytes, (size_t)n);
		left -= endless ? 0 : (size_t)n;
	}
	/* The server's side stays open as long as this process. */
}

static void peer_reset(int fd)
{
	const struct linger now = { .l_onoff = 1 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	exit(0);
}

/* ---- one connection ---- */

static char *peer_steps[PEER_STEPS_MAX];

static void peer_load(const char *path)
{
	FILE *file = fopen(path, "r");
	size_t n = 0, room = 0;
	ssize_t len;

	if (!file)
		peer_die(path);
	while (n < PEER_STEPS_MAX - 1 &&
	       (len = getline(&peer_steps[n], &room, file)) >= 0) {
		if (len && peer_steps[n][len - 1] == '\n')
			peer_steps[n][len - 1] = '\0';
		n++;
		room = 0;
	}
	fclose(file);
	/* getline() allocates even at the end */
	free(peer_steps[n]);
	peer_steps[n] = NULL;
}

static void peer_step(int fd, char *step)
{
	char *argument = step + strcspn(step, " ");
	size_t len;

	if (*argument)
		*argument++ = '\0';
	if (!strcmp(step, "read")) {
		peer_read(fd);
	} else if (!strcmp(step, "request")) {
		peer_request(fd);
	} else if (!strcmp(step, "wait")) {
		peer_wait(fd, (int)strtol(argument, NULL, 10));
	} else if (!strcmp(step, "relay")) {
		peer_relay(fd, argument);
	} else if (!strcmp(step, "silent")) {
		peer_wait(fd, -1);
	} else if (!strcmp(step, "reset")) {
		peer_reset(fd);
	} else if (!strcmp(step, "send")) {
		len = peer_unescape(argument);
		peer_write(fd, argument, len);
	} else if (!strcmp(step, "drip")) {
		len = peer_unescape(argument);
		peer_drip(fd, argument, len);
	} else if (!strcmp(step, "flood")) {
		len = peer_unescape(argument);
		for (;;)
			peer_write(fd, argument, len);
	} else {
		fprintf(stderr, "peer: unknown step: %s\n", step);
		exit(2);
	}
}

static void peer_serve(int fd, const char *path)
{
	size_t i = 0;

	peer_say("connection", "");
	peer_load(path);
	while (peer_steps[i]) {
		char *step;

		if (!strcmp(peer_steps[i], "loop")) {
			i = 0;
			continue;
		}
		step = strdup(peer_steps[i++]);
		if (!step)
			peer_die("memory");
		peer_step(fd, step);
		free(step);
	}
	exit(0);
}

/* Linux drops what would begin one more connection when the backlog is full.
 * One of 0 is full with one connection. */
static void peer_fill(int listener, const char *where)
{
	if (listen(listener, 0))
		peer_die("listen");
	peer_socket(where, false);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	pid_t parent = getpid();
	int listener, fd;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: peer PORT|PATH [FILE]\n");
		return 2;
	}
	signal(SIGCHLD, SIG_IGN);
	listener = peer_socket(argv[1], true);
	if (argc == 2)
		peer_fill(listener, argv[1]);
	for (;;) {
		fd = accept(listener, NULL, NULL);
		if (fd < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			peer_die("accept");
		}
		switch (fork()) {
		case -1:
			peer_die("fork");
			break;
		case 0:
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != parent)
				return 0;
			close(listener);
			peer_serve(fd, argv[2]);
			break;
		default:
			close(fd);
		}
	}
}

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
 *	turn PORT N BYTES	likewise, until so many bytes of its Nth answer
 *				have been sent, and it has more to say
 *	trickle			what that server says next, one byte a second
 *	loop			begins again at the first step
 *	silent			nothing more, for ever
 *	reset			closes with RST
 *	close			as behind the last step
 *
 * The connection is closed behind the last step.  One line per connection and
 * request goes to standard output: "connection", "request GET / HTTP/1.1".
 * The header lines of a request follow, each behind "header ".
 *
 * SIGHUP says that FILE has changed: open connections now take the steps after
 * the line "then", and new connections those before it.  If the first step is
 * "refuse", new connections are refused; if it is "hole", they are not
 * accepted.  The line "changed" is written when this is in effect.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <setjmp.h>
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
#define PEER_BACKLOG 128

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
	/* A relay must not delay; accepted sockets inherit this. */
	if (!is_unix)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	if (listening ? bind(fd, address, len) || listen(fd, PEER_BACKLOG)
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

/* ---- FILE has changed ---- */

static volatile sig_atomic_t peer_changed;
static sigset_t peer_waiting; /* the signals that are blocked in a wait */
static jmp_buf peer_then;     /* where a connection goes on */
/* Each connection that has not yet turned to what is behind "then" holds the
 * end that is written to: the other one says when there is none left. */
static int peer_old[2] = { -1, -1 };
static bool peer_turned; /* this connection has, and is about to wait */

static void peer_on_change(int number)
{
	(void)number;
	peer_changed = 1;
}

/* poll(2); the only place where a connection waits. */
static int peer_poll(struct pollfd *fds, nfds_t n, int ms)
{
	struct timespec limit = { ms / 1000, ms % 1000 * 1000000L };
	int ready;

	if (peer_turned && peer_old[1] >= 0) {
		close(peer_old[1]);
		peer_old[1] = -1;
	}
	do {
		ready = ppoll(fds, n, ms < 0 ? NULL : &limit, &peer_waiting);
		if (peer_changed) {
			peer_changed = 0;
			longjmp(peer_then, 1);
		}
	} while (ready < 0 && errno == EINTR);
	return ready;
}

/* ---- steps; all end the process when the other side has gone ---- */

static void peer_wait(int fd, int ms)
{
	/* The other side's end is of interest, its bytes are not. */
	struct pollfd gone = { .fd = fd, .events = POLLRDHUP };

	if (peer_poll(&gone, 1, ms) > 0)
		exit(0);
}

/* Waits for bytes; as read(2), but there is no end. */
static size_t peer_take(int fd, void *to, size_t size)
{
	struct pollfd in = { .fd = fd, .events = POLLIN };
	ssize_t n;

	peer_poll(&in, 1, -1);
	n = read(fd, to, size);
	if (n <= 0)
		exit(0);
	return (size_t)n;
}

static void peer_read(int fd)
{
	char bytes[4096];

	peer_take(fd, bytes, sizeof(bytes));
}

static void peer_request(int fd)
{
	char request[PEER_REQUEST_BYTES] = "", *line, *rest;
	size_t len = 0;

	while (!strstr(request, "\r\n\r\n")) {
		len += peer_take(fd, request + len, sizeof(request) - 1 - len);
		request[len] = '\0';
	}
	line = strtok_r(request, "\r\n", &rest);
	peer_say("request ", line ? line : "");
	while ((line = strtok_r(NULL, "\r\n", &rest)))
		peer_say("header ", line);
}

static void peer_write(int fd, const char *bytes, size_t len)
{
	struct pollfd out = { .fd = fd, .events = POLLOUT };

	while (len) {
		ssize_t n;

		peer_poll(&out, 1, -1);
		n = send(fd, bytes, len, MSG_NOSIGNAL | MSG_DONTWAIT);
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

static int peer_server = -1; /* the other end of a relay */

/*
 * Until so many bytes (0: no end) of the server have been passed on.  Those
 * before its answer number `turn` do not count, and with a turn it must have
 * more to say: so the question is there, of which the answer is cut.
 */
static void peer_relay(int client, char *where, size_t turn, size_t left)
{
	bool endless = !turn && !left, asked = false, counts;
	struct pollfd fds[2] = { { .fd = client, .events = POLLIN } };
	char bytes[4096];
	size_t turns = 0, n;

	peer_server = peer_socket(where, false);
	fds[1] = (struct pollfd){ .fd = peer_server, .events = POLLIN };
	for (;;) {
		peer_poll(fds, 2, -1);
		if (fds[0].revents) {
			n = peer_take(client, bytes, sizeof(bytes));
			turns += !asked;
			asked = true;
			peer_write(peer_server, bytes, n);
		}
		if (!fds[1].revents)
			continue;
		counts = !endless && turns >= turn;
		if (counts && !left)
			return;
		n = peer_take(peer_server, bytes,
			      counts && left < sizeof(bytes) ? left
							     : sizeof(bytes));
		asked = false;
		peer_write(client, bytes, n);
		left -= counts ? n : 0;
		if (counts && !left && !turn)
			return;
	}
	/* The server's side stays open as long as this process. */
}

static void peer_trickle(int fd)
{
	char byte;

	for (;;) {
		peer_take(peer_server, &byte, 1);
		peer_write(fd, &byte, 1);
		peer_wait(fd, 1000);
	}
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
	size_t n, room = 0;
	ssize_t len;

	if (!file)
		peer_die(path);
	for (n = 0; peer_steps[n]; n++) {
		free(peer_steps[n]);
		peer_steps[n] = NULL;
	}
	n = 0;
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

static bool peer_is(const char *step, const char *name)
{
	return step && strcmp(step, name) == 0;
}

static void peer_step(int fd, char *step)
{
	char *argument = step + strcspn(step, " "), *rest;
	size_t len;

	if (*argument)
		*argument++ = '\0';
	if (peer_is(step, "read")) {
		peer_read(fd);
	} else if (peer_is(step, "request")) {
		peer_request(fd);
	} else if (peer_is(step, "wait")) {
		peer_wait(fd, (int)strtol(argument, NULL, 10));
	} else if (peer_is(step, "relay")) {
		strtoul(argument, &rest, 10);
		peer_relay(fd, argument, 0, strtoul(rest, NULL, 10));
	} else if (peer_is(step, "turn")) {
		strtoul(argument, &rest, 10);
		len = strtoul(rest, &rest, 10);
		peer_relay(fd, argument, len, strtoul(rest, NULL, 10));
	} else if (peer_is(step, "trickle")) {
		peer_trickle(fd);
	} else if (peer_is(step, "silent")) {
		peer_wait(fd, -1);
	} else if (peer_is(step, "reset")) {
		peer_reset(fd);
	} else if (peer_is(step, "close")) {
		exit(0);
	} else if (peer_is(step, "send")) {
		len = peer_unescape(argument);
		peer_write(fd, argument, len);
	} else if (peer_is(step, "drip")) {
		len = peer_unescape(argument);
		peer_drip(fd, argument, len);
	} else if (peer_is(step, "flood")) {
		len = peer_unescape(argument);
		for (;;)
			peer_write(fd, argument, len);
	} else {
		fprintf(stderr, "peer: unknown step: %s\n", step);
		exit(2);
	}
}

/* Takes the steps before "then", or those behind it, and ends. */
static void peer_run(int fd, const char *path, bool then)
{
	size_t first = 0, i;

	peer_load(path);
	while (then && peer_steps[first] && !peer_is(peer_steps[first], "then"))
		first++;
	if (then && peer_steps[first])
		first++;
	for (i = first; peer_steps[i] && !peer_is(peer_steps[i], "then"); i++) {
		/* Within a step all may end. */
		static char *step;

		if (peer_is(peer_steps[i], "loop"))
			i = first;
		free(step);
		step = strdup(peer_steps[i]);
		if (!step)
			peer_die("memory");
		peer_step(fd, step);
	}
	exit(0);
}

static void peer_serve(int fd, const char *path)
{
	peer_say("connection", "");
	sigaddset(&peer_waiting, SIGHUP);
	sigdelset(&peer_waiting, SIGUSR1);
	if (setjmp(peer_then)) {
		peer_turned = true;
		peer_run(fd, path, true);
	}
	peer_run(fd, path, false);
}

/* ---- all of them ---- */

/* Linux drops what would begin one more connection when the backlog is full.
 * One of 0 is full with one connection. */
static int peer_fill(int listener, const char *where)
{
	if (listen(listener, 0))
		peer_die("listen");
	return peer_socket(where, false);
}

/* FILE has changed; the listening socket, -1 when there is to be none. */
static int peer_change(int listener, const char *where, const char *path)
{
	static int fill = -1;
	char none;

	peer_load(path);
	if (fill >= 0)
		close(fill);
	fill = -1;
	if (listener < 0)
		listener = peer_socket(where, true);
	if (peer_is(peer_steps[0], "refuse")) {
		close(listener);
		listener = -1;
	} else if (peer_is(peer_steps[0], "hole")) {
		fill = peer_fill(listener, where);
	} else if (listen(listener, PEER_BACKLOG)) {
		peer_die("listen");
	}
	if (peer_old[1] >= 0) {
		kill(0, SIGUSR1); /* blocked here */
		close(peer_old[1]);
		while (read(peer_old[0], &none, 1) < 0 && errno == EINTR)
			;
		close(peer_old[0]);
	}
	if (pipe(peer_old))
		peer_die("pipe");
	peer_say("changed", "");
	return listener;
}

static void peer_accept(int listener, const char *path)
{
	pid_t parent = getpid();
	int fd = accept(listener, NULL, NULL);

	if (fd < 0) {
		if (errno == EINTR || errno == ECONNABORTED)
			return;
		peer_die("accept");
	}
	switch (fork()) {
	case -1:
		peer_die("fork");
		break;
	case 0:
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			exit(0);
		close(listener);
		close(peer_old[0]);
		peer_serve(fd, path);
		break;
	default:
		close(fd);
	}
}

/* In a group of its own, so that all connections can be told at once. */
static void peer_prepare(void)
{
	struct sigaction change = { .sa_handler = peer_on_change };
	sigset_t told;

	setpgid(0, 0);
	signal(SIGCHLD, SIG_IGN);
	sigaction(SIGHUP, &change, NULL);
	sigaction(SIGUSR1, &change, NULL);
	sigemptyset(&told);
	sigaddset(&told, SIGHUP);
	sigaddset(&told, SIGUSR1);
	sigprocmask(SIG_BLOCK, &told, &peer_waiting);
	sigaddset(&peer_waiting, SIGUSR1);
	sigdelset(&peer_waiting, SIGHUP);
}

int main(int argc, char **argv)
{
	struct pollfd in = { .events = POLLIN };
	int listener;

	if (argc < 2 || argc > 3) {
		fprintf(stderr, "usage: peer PORT|PATH [FILE]\n");
		return 2;
	}
	listener = peer_socket(argv[1], true);
	if (argc == 2) {
		peer_fill(listener, argv[1]);
		for (;;)
			pause();
	}
	peer_prepare();
	listener = peer_change(listener, argv[1], argv[2]);
	for (;;) {
		/* A hole accepts no connection. */
		in.fd = peer_is(peer_steps[0], "hole") ? -1 : listener;
		if (ppoll(&in, 1, NULL, &peer_waiting) > 0)
			peer_accept(listener, argv[2]);
		if (peer_changed) {
			peer_changed = 0;
			listener = peer_change(listener, argv[1], argv[2]);
		}
	}
}

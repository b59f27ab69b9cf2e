/*
 * bench_fcgi: the least that a FastCGI program can do: the same answer to
 * whatever comes, without libfcgi, threads or a look at the request.  What it
 * reaches behind a web server is the most that any program can.
 *
 *	bench_fcgi SOCKET BODY
 *
 * For web servers that send a request in one piece and keep the connection, as
 * nginx does.
 */
#include "config.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define EVENTS 64

/* Records of the FastCGI Specification, 3.3: version, type, id, length of the
 * content, padding, reserved. */
#define STDOUT_HEAD "\1\6\0\1"
#define STDOUT_END "\1\6\0\1\0\0\0\0"
#define REQUEST_END         \
	"\1\3\0\1\0\10\0\0" \
	"\0\0\0\0\0\0\0\0"
#define STDIN_END "\1\5\0\1\0\0\0\0"

static char answer[1024];
static size_t answer_len;

static void fail(const char *what)
{
	fprintf(stderr, "bench_fcgi: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void answer_make(const char *body)
{
	char text[512];
	int len = snprintf(text, sizeof(text),
			   "Status: 200 OK\r\n"
			   "Content-Type: application/json\r\n"
			   "Cache-Control: no-store\r\n"
			   "Content-Length: %zu\r\n\r\n%s",
			   strlen(body), body);
	const char end[] = STDOUT_END REQUEST_END;
	char *at = answer;

	memcpy(at, STDOUT_HEAD, 4);
	at[4] = (char)(len >> 8);
	at[5] = (char)len;
	at += 8;
	memcpy(at, text, (size_t)len);
	at += len;
	memcpy(at, end, sizeof(end) - 1);
	answer_len = (size_t)(at - answer) + sizeof(end) - 1;
}

static int listen_on(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    chmod(path, 0666) || listen(fd, 512))
		fail(path);
	return fd;
}

static void watch(int epoll_fd, int fd)
{
	struct epoll_event event = { .events = EPOLLIN, .data.fd = fd };

	if (fd >= 0 && epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event))
		fail("epoll_ctl");
}

static void serve(int fd)
{
	char request[8192];
	ssize_t n = recv(fd, request, sizeof(request), 0);

	if (n < 8 || memcmp(request + n - 8, STDIN_END, 8) ||
	    send(fd, answer, answer_len, MSG_NOSIGNAL) != (ssize_t)answer_len)
		close(fd);
}

int main(int argc, char **argv)
{
	struct epoll_event events[EVENTS];
	int epoll_fd = epoll_create1(0), listen_fd, i, n;

	if (argc != 3) {
		fprintf(stderr, "usage: bench_fcgi SOCKET BODY\n");
		return 2;
	}
	answer_make(argv[2]);
	listen_fd = listen_on(argv[1]);
	watch(epoll_fd, listen_fd);
	for (;;) {
		n = epoll_wait(epoll_fd, events, EVENTS, -1);
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == listen_fd)
				watch(epoll_fd, accept4(listen_fd, NULL, NULL,
							SOCK_NONBLOCK));
			else
				serve(events[i].data.fd);
		}
	}
}

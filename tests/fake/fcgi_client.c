/*
 * fcgi_client: the web server's side of FastCGI, for tests that count and
 * measure, where a real web server would be in the way.
 *
 *	fcgi_client [-n COUNT] [-m METHOD] [-a ADDRESS] [-t SECONDS]
 *		    [-b BYTES] SOCKET PATH
 *
 * SOCKET is the path of a Unix socket or a port of 127.0.0.1.  COUNT requests
 * are sent at once, each over a connection of its own.  The first answer goes
 * to standard output as the program gave it (CGI header and body), one line of
 * counts to standard error:
 *
 *	answers=1000 s200=0 s503=1000 failed=0 first_ms=512 last_ms=530
 *
 * With -b only that many bytes of each request are sent, and nothing is
 * expected: the connections are held open until SECONDS have passed, or the
 * other side has closed all of them.
 */
#include "config.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { FCGI_BEGIN = 1, FCGI_END = 3, FCGI_PARAMS, FCGI_STDIN, FCGI_STDOUT };

struct client {
	int fd;
	bool ended; /* the whole answer is there */
	int64_t sent_us, ended_us;
	unsigned char *in; /* records as they came */
	size_t len, room;
	char *out; /* what stood in FCGI_STDOUT */
	size_t out_len;
};

static struct {
	size_t count;
	const char *method, *address, *where, *path;
	int64_t limit_ms;
	size_t part; /* bytes of a request to send; SIZE_MAX: all */
} options = { 1, "GET", "127.0.0.1", NULL, NULL, 20000, SIZE_MAX };

static void client_die(const char *what)
{
	perror(what);
	exit(2);
}

static int64_t client_now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* ---- the request ---- */

static unsigned char request[4096];
static size_t request_len;

static void request_record(int type, const void *content, size_t len)
{
	unsigned char head[8] = {
		1, (unsigned char)type,	      0,
		1, (unsigned char)(len >> 8), (unsigned char)len
	};

	memcpy(request + request_len, head, sizeof(head));
	request_len += sizeof(head);
	memcpy(request + request_len, content, len);
	request_len += len;
}

static size_t request_pair(char *to, size_t room, const char *name,
			   const char *value)
{
	/* Lengths below 128 take one byte. */
	if (strlen(name) > 127 || strlen(value) > 127) {
		fprintf(stderr, "fcgi_client: too long: %s\n", value);
		exit(2);
	}
	return (size_t)snprintf(to, room, "%c%c%s%s", (int)strlen(name),
				(int)strlen(value), name, value);
}

static void request_make(void)
{
	const unsigned char begin[8] = { 0, 1 /* responder */ };
	char params[1024];
	size_t len = 0;

	len += request_pair(params + len, sizeof(params) - len,
			    "REQUEST_METHOD", options.method);
	len += request_pair(params + len, sizeof(params) - len, "SCRIPT_NAME",
			    options.path);
	len += request_pair(params + len, sizeof(params) - len, "REMOTE_ADDR",
			    options.address);
	len += request_pair(params + len, sizeof(params) - len,
			    "SERVER_PROTOCOL", "HTTP/1.1");
	request_record(FCGI_BEGIN, begin, sizeof(begin));
	request_record(FCGI_PARAMS, params, len);
	request_record(FCGI_PARAMS, "", 0);
	request_record(FCGI_STDIN, "", 0);
}

/* ---- connections ---- */

static int client_connect(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	bool is_unix = strchr(options.where, '/');
	int fd = socket(is_unix ? AF_UNIX : AF_INET, SOCK_STREAM, 0);

	if (fd < 0)
		client_die("socket");
	snprintf(un.sun_path, sizeof(un.sun_path), "%s", options.where);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	in.sin_port = htons((uint16_t)strtoul(options.where, NULL, 10));
	if (connect(fd,
		    is_unix ? (struct sockaddr *)&un : (struct sockaddr *)&in,
		    is_unix ? sizeof(un) : sizeof(in)))
		client_die(options.where);
	return fd;
}

/* A request is smaller than any socket's buffer. */
static void client_send(struct client *client)
{
	size_t len = options.part < request_len ? options.part : request_len;

	client->sent_us = client_now_us();
	if (len && send(client->fd, request, len, MSG_NOSIGNAL) < 0) {
		close(client->fd);
		client->fd = -1;
	}
}

static void client_take(struct client *client)
{
	unsigned char *at = client->in, *end = client->in + client->len;
	size_t content, whole;

	while (end - at >= 8) {
		content = (size_t)at[4] << 8 | at[5];
		whole = 8 + content + at[6];
		if ((size_t)(end - at) < whole)
			break;
		if (at[1] == FCGI_STDOUT && content) {
			client->out = realloc(client->out,
					      client->out_len + content + 1);
			if (!client->out)
				client_die("memory");
			memcpy(client->out + client->out_len, at + 8, content);
			client->out_len += content;
			client->out[client->out_len] = '\0';
		}
		if (at[1] == FCGI_END) {
			client->ended = true;
			client->ended_us = client_now_us();
		}
		at += whole;
	}
	client->len = (size_t)(end - at);
	memmove(client->in, at, client->len);
}

static void client_read(struct client *client)
{
	ssize_t n;

	if (client->room - client->len < 4096) {
		client->room += 8192;
		client->in = realloc(client->in, client->room);
		if (!client->in)
			client_die("memory");
	}
	n = recv(client->fd, client->in + client->len,
		 client->room - client->len, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n > 0) {
		client->len += (size_t)n;
		client_take(client);
	}
	if (n <= 0 || client->ended) {
		close(client->fd);
		client->fd = -1;
	}
}

/* Until all have ended or the time is up. */
static void client_wait(struct client *clients)
{
	int64_t end_us = client_now_us() + options.limit_ms * 1000;
	struct pollfd *fds = calloc(options.count, sizeof(*fds));
	size_t i, open;

	if (!fds)
		client_die("memory");
	for (;;) {
		int64_t left_us = end_us - client_now_us();

		for (i = open = 0; i < options.count; i++) {
			fds[i].fd = clients[i].fd;
			fds[i].events = POLLIN;
			open += clients[i].fd >= 0;
		}
		if (!open || left_us <= 0)
			break;
		poll(fds, options.count, (int)(left_us / 1000) + 1);
		for (i = 0; i < options.count; i++)
			if (fds[i].fd >= 0 && fds[i].revents)
				client_read(&clients[i]);
	}
	free(fds);
}

/* ---- what came ---- */

/* 200 may be left out (RFC 3875, 6.3.3). */
static int client_status(const struct client *client)
{
	if (!client->ended || !client->out)
		return 0;
	if (strncmp(client->out, "Status: ", 8) == 0)
		return (int)strtol(client->out + 8, NULL, 10);
	return 200;
}

static int client_report(const struct client *clients)
{
	size_t i, answers = 0, ok = 0, unavailable = 0;
	int64_t first_us = INT64_MAX, last_us = 0;

	for (i = 0; i < options.count; i++) {
		int64_t us = clients[i].ended_us - clients[i].sent_us;
		int status = client_status(&clients[i]);

		if (!status)
			continue;
		answers++;
		ok += status == 200;
		unavailable += status == 503;
		first_us = us < first_us ? us : first_us;
		last_us = us > last_us ? us : last_us;
	}
	if (clients[0].out)
		fwrite(clients[0].out, 1, clients[0].out_len, stdout);
	fprintf(stderr,
		"answers=%zu s200=%zu s503=%zu failed=%zu first_ms=%lld "
		"last_ms=%lld\n",
		answers, ok, unavailable, options.count - answers,
		answers ? (long long)(first_us / 1000) : -1,
		answers ? (long long)(last_us / 1000) : -1);
	return answers == options.count ? 0 : 1;
}

static void options_parse(int argc, char **argv)
{
	int option;

	while ((option = getopt(argc, argv, "n:m:a:t:b:")) != -1) {
		switch (option) {
		case 'n':
			options.count = strtoul(optarg, NULL, 10);
			break;
		case 'm':
			options.method = optarg;
			break;
		case 'a':
			options.address = optarg;
			break;
		case 't':
			options.limit_ms = strtol(optarg, NULL, 10) * 1000;
			break;
		case 'b':
			options.part = strtoul(optarg, NULL, 10);
			break;
		default:
			exit(2);
		}
	}
	if (argc - optind != 2 || !options.count) {
		fprintf(stderr, "usage: fcgi_client [-n COUNT] [-m METHOD] "
				"[-a ADDRESS] [-t SECONDS] [-b BYTES] "
				"SOCKET PATH\n");
		exit(2);
	}
	options.where = argv[optind];
	options.path = argv[optind + 1];
}

int main(int argc, char **argv)
{
	struct rlimit limit;
	struct client *clients;
	size_t i;
	int status;

	options_parse(argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	request_make();
	clients = calloc(options.count, sizeof(*clients));
	if (!clients)
		client_die("memory");
	for (i = 0; i < options.count; i++)
		clients[i].fd = client_connect();
	for (i = 0; i < options.count; i++)
		client_send(&clients[i]);
	client_wait(clients);
	status = client_report(clients);
	for (i = 0; i < options.count; i++) {
		free(clients[i].in);
		free(clients[i].out);
	}
	free(clients);
	return status;
}

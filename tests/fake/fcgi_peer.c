/*
 * fcgi_peer: a FastCGI client that misbehaves, for what no real web server
 * can be brought to do.
 *
 *	fcgi_peer [-p PATH] [-t MS] unix:PATH|ADDRESS:PORT ATTACK [N]
 *
 *	valid		N requests, one after the other, on one kept connection
 *	late		a request for /health, and N ms after its answer one for
 *			PATH on the same connection
 *	pipelined	N requests at once on one kept connection
 *	flood		N connections, each with a request, in turn
 *	keep-idle	N connections, each with one answered request, kept
 *	silent		N connections that send nothing
 *	half		the first N bytes of a request
 *	half-and-gone	the same N times, from 1 byte to all but one, each
 *			followed by the end of the connection
 *	every-byte	a connection for each byte of a request, which stops
 *			there
 *	resume		the same; the rest follows after N ms
 *	trickle		a request byte by byte, one each N ms
 *	abort		N times a request and its abort on one connection
 *	abort-flood	nothing but aborts, as many as are taken
 *	gone		N requests whose sender is gone before the answer
 *	reset		N connections, each with a request, held until they are
 *			reset all at once, unread
 *	slow-reader	requests without end, whose answers are never read
 *	sip		N requests at once, whose answers are read byte by byte,
 *			one each ms
 *	late-reader	five requests at once, whose answers are read after N ms
 *	stdin		what stands on standard input
 *	getvalues	FCGI_GET_VALUES with more names than libfcgi can take
 *	hidden		the same, in the padding of N: 1, 4 or 5 (BEGIN, PARAMS
 *			or STDIN)
 *	lengths		a name whose length overflows an int
 *	unknown-type	a record of a type that does not exist
 *	authorizer	a request in another role than that of a responder
 *
 * N is 1 unless given.  Requests ask for PATH (/health).  Connections that the
 * other side keeps are closed after MS milliseconds (2000).  What came is said
 * in one line:
 *
 *	answers=3 s200=3 closed=1 open=0
 *
 * `closed` counts the connections that the program has closed, `open` the
 * others; an answer is complete with its FCGI_END_REQUEST.
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
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
	FCGI_BEGIN = 1,
	FCGI_ABORT,
	FCGI_END,
	FCGI_PARAMS,
	FCGI_STDIN,
	FCGI_STDOUT,
	FCGI_GET_VALUES = 9
};

static struct {
	const char *where, *path;
	int64_t limit_ms;
	int n;
} options = { NULL, "/health", 2000, 1 };

static struct {
	int answers, good, closed, open;
} seen;

static void peer_die(const char *what)
{
	perror(what);
	exit(2);
}

static int64_t peer_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- messages ---- */

static unsigned char message[8192];
static size_t message_len;

static void put(const void *bytes, size_t n)
{
	if (message_len + n > sizeof(message)) {
		fprintf(stderr, "fcgi_peer: too long\n");
		exit(2);
	}
	memcpy(message + message_len, bytes, n);
	message_len += n;
}

static void put_record(int type, int id, const void *content, size_t n,
		       size_t padding)
{
	unsigned char head[8] = { 1,
				  (unsigned char)type,
				  0,
				  (unsigned char)id,
				  (unsigned char)(n >> 8),
				  (unsigned char)n,
				  (unsigned char)padding,
				  0 };

	put(head, sizeof(head));
	put(content, n);
}

static void put_begin(unsigned char role, size_t padding)
{
	unsigned char body[8] = { 0, role, 1 /* keep the connection */ };

	put_record(FCGI_BEGIN, 1, body, sizeof(body), padding);
}

static void put_params(void)
{
	char pairs[1024];
	int n = snprintf(pairs, sizeof(pairs),
			 "%c%cREQUEST_METHODGET%c%cSCRIPT_NAME%s", 14, 3, 11,
			 (int)strlen(options.path), options.path);

	put_record(FCGI_PARAMS, 1, pairs, (size_t)n, 0);
}

static void put_request(void)
{
	put_begin(1, 0);
	put_params();
	put_record(FCGI_PARAMS, 1, "", 0, 0);
	put_record(FCGI_STDIN, 1, "", 0, 0);
}

static void put_get_values(void)
{
	static const char pair[] = "\16\0FCGI_MAX_CONNS";
	char pairs[6 * (sizeof(pair) - 1)];
	size_t i;

	for (i = 0; i < sizeof(pairs); i += sizeof(pair) - 1)
		memcpy(pairs + i, pair, sizeof(pair) - 1);
	put_record(FCGI_GET_VALUES, 0, pairs, sizeof(pairs), 0);
	put("\1", 1);
}

/* ---- connections ---- */

struct line {
	int fd;
	unsigned char in[65536];
	size_t len;
};

static int line_connect(const struct sockaddr *address, socklen_t len)
{
	int fd = socket(address->sa_family, SOCK_STREAM, 0);

	if (fd < 0 || connect(fd, address, len))
		peer_die(options.where);
	return fd;
}

static int line_open(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct sockaddr_in in = { .sin_family = AF_INET };
	const char *colon = strrchr(options.where, ':');
	char host[64];

	if (strncmp(options.where, "unix:", 5) == 0) {
		snprintf(un.sun_path, sizeof(un.sun_path), "%s",
			 options.where + 5);
		return line_connect((struct sockaddr *)&un, sizeof(un));
	}
	snprintf(host, sizeof(host), "%.*s",
		 colon ? (int)(colon - options.where) : 0, options.where);
	if (inet_pton(AF_INET, host, &in.sin_addr) != 1) {
		fprintf(stderr, "fcgi_peer: not unix:PATH or ADDRESS:PORT\n");
		exit(2);
	}
	in.sin_port = htons((uint16_t)strtoul(colon + 1, NULL, 10));
	return line_connect((struct sockaddr *)&in, sizeof(in));
}

/* Opens N connections at most; NULL when there was no memory. */
static struct line *lines_open(int n)
{
	struct line *lines = calloc((size_t)n, sizeof(*lines));
	int i;

	if (!lines)
		peer_die("memory");
	for (i = 0; i < n; i++)
		lines[i].fd = line_open();
	return lines;
}

/* False: the other side takes no more. */
static bool line_send(struct line *line, const void *bytes, size_t n)
{
	return send(line->fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n;
}

/* Counts the complete answers among what came, and drops what was looked at. */
static int line_take(struct line *line)
{
	unsigned char *at = line->in, *end = line->in + line->len;
	int ended = 0;

	while (end - at >= 8) {
		size_t content = (size_t)at[4] << 8 | at[5];
		size_t whole = 8 + content + at[6];

		if ((size_t)(end - at) < whole)
			break;
		/* 200 may be left out (RFC 3875, 6.3.3). */
		if (at[1] == FCGI_STDOUT && content > 11 &&
		    (memcmp(at + 8, "Status:", 7) != 0 ||
		     memcmp(at + 8, "Status: 200", 11) == 0))
			seen.good++;
		ended += at[1] == FCGI_END;
		at += whole;
	}
	line->len = (size_t)(end - at);
	memmove(line->in, at, line->len);
	seen.answers += ended;
	return ended;
}

/* Waits for so many answers, the end or until_ms; true when they came. */
static bool line_wait(struct line *line, int answers, int64_t until_ms)
{
	struct pollfd watched = { .fd = line->fd, .events = POLLIN };

	while (answers > 0) {
		int64_t left = until_ms - peer_now_ms();
		ssize_t n;

		if (left <= 0 || poll(&watched, 1, (int)left) <= 0)
			return false;
		n = recv(line->fd, line->in + line->len,
			 sizeof(line->in) - line->len, 0);
		if (n <= 0)
			return false;
		line->len += (size_t)n;
		answers -= line_take(line);
	}
	return true;
}

/* Closes it, and notes whether the other side had. */
static void line_end(struct line *line, int64_t until_ms)
{
	struct pollfd watched = { .fd = line->fd, .events = POLLIN };
	int64_t left;
	ssize_t n = -1;

	for (;;) {
		left = until_ms - peer_now_ms();
		if (poll(&watched, 1, left > 0 ? (int)left : 0) <= 0)
			break;
		n = recv(line->fd, line->in + line->len,
			 sizeof(line->in) - line->len, 0);
		if (n <= 0)
			break;
		line->len += (size_t)n;
		line_take(line);
		n = -1;
	}
	if (n == 0 || (watched.revents & (POLLERR | POLLHUP)))
		seen.closed++;
	else
		seen.open++;
	close(line->fd);
}

static void lines_end(struct line *lines, int n)
{
	int64_t until_ms = peer_now_ms() + options.limit_ms;
	int i;

	for (i = 0; i < n; i++)
		line_end(&lines[i], until_ms);
	free(lines);
}

static int64_t until(void)
{
	return peer_now_ms() + options.limit_ms;
}

/* ---- attacks ---- */

static void attack_valid(void)
{
	struct line *line = lines_open(1);
	int i;

	put_request();
	for (i = 0; i < options.n; i++) {
		if (!line_send(line, message, message_len) ||
		    !line_wait(line, 1, until()))
			break;
	}
	line_end(line, 0);
	free(line);
}

static void attack_late(void)
{
	struct line *line = lines_open(1);
	const char *path = options.path;

	options.path = "/health";
	put_request();
	line_send(line, message, message_len);
	line_wait(line, 1, until());
	poll(NULL, 0, options.n);
	options.path = path;
	message_len = 0;
	put_request();
	line_send(line, message, message_len);
	line_wait(line, 1, until());
	line_end(line, 0);
	free(line);
}

static void attack_pipelined(void)
{
	struct line *line = lines_open(1);
	int i;

	put_request();
	for (i = 0; i < options.n; i++)
		line_send(line, message, message_len);
	line_wait(line, options.n, until());
	lines_end(line, 1);
}

static void attack_flood(void)
{
	struct line *line;
	int i;

	put_request();
	for (i = 0; i < options.n; i++) {
		line = lines_open(1);
		line_send(line, message, message_len);
		line_wait(line, 1, until());
		line_end(line, 0);
		free(line);
	}
}

static void attack_keep_idle(void)
{
	struct line *lines = lines_open(options.n);
	int i;

	put_request();
	for (i = 0; i < options.n; i++) {
		line_send(&lines[i], message, message_len);
		line_wait(&lines[i], 1, until());
	}
	lines_end(lines, options.n);
}

static void attack_silent(void)
{
	lines_end(lines_open(options.n), options.n);
}

static void attack_half(void)
{
	struct line *line = lines_open(1);
	size_t n = (size_t)options.n;

	put_request();
	line_send(line, message, n < message_len ? n : message_len);
	lines_end(line, 1);
}

static void attack_half_and_gone(void)
{
	int i;

	put_request();
	for (i = 0; i < options.n; i++) {
		struct line *line = lines_open(1);

		line_send(line, message, 1 + (size_t)i % (message_len - 1));
		shutdown(line->fd, SHUT_WR);
		lines_end(line, 1);
	}
}

/* One connection for each byte of the request, which stops there. */
static struct line *every_byte(int *n)
{
	struct line *lines;
	int i;

	put_request();
	*n = (int)message_len - 1;
	lines = lines_open(*n);
	for (i = 0; i < *n; i++)
		line_send(&lines[i], message, (size_t)i + 1);
	return lines;
}

static void attack_every_byte(void)
{
	int n;
	struct line *lines = every_byte(&n);

	lines_end(lines, n);
}

static void attack_resume(void)
{
	int n, i;
	struct line *lines = every_byte(&n);

	poll(NULL, 0, options.n);
	for (i = 0; i < n; i++)
		line_send(&lines[i], message + i + 1,
			  message_len - (size_t)i - 1);
	for (i = 0; i < n; i++)
		line_wait(&lines[i], 1, until());
	for (i = 0; i < n; i++)
		line_end(&lines[i], 0);
	free(lines);
}

static void attack_trickle(void)
{
	struct line *line = lines_open(1);
	size_t i;

	put_request();
	for (i = 0; i < message_len; i++) {
		if (!line_send(line, message + i, 1))
			break;
		poll(NULL, 0, options.n);
	}
	line_wait(line, 1, until());
	lines_end(line, 1);
}

static void attack_abort(void)
{
	struct line *line = lines_open(1);
	size_t len;
	int i;

	put_request();
	len = message_len;
	put_record(FCGI_ABORT, 1, "", 0, 0);
	for (i = 0; i < options.n; i++) {
		if (!line_send(line, message, len))
			break;
		/* Not in one piece: the abort follows the request. */
		poll(NULL, 0, 2);
		line_send(line, message + len, message_len - len);
		if (!line_wait(line, 1, until()))
			break;
	}
	lines_end(line, 1);
}

/* Sends again and again, reading nothing, while it is taken. */
static void attack_without_end(struct line *line)
{
	struct timeval patience = { .tv_usec = 100000 };
	int64_t end_ms = until();

	setsockopt(line->fd, SOL_SOCKET, SO_SNDTIMEO, &patience,
		   sizeof(patience));
	while (peer_now_ms() < end_ms) {
		if (!line_send(line, message, message_len) && errno != EAGAIN)
			break;
	}
	lines_end(line, 1);
}

static void attack_abort_flood(void)
{
	int i;

	for (i = 0; i < 512; i++)
		put_record(FCGI_ABORT, 1, "", 0, 0);
	attack_without_end(lines_open(1));
}

static void attack_slow_reader(void)
{
	put_request();
	attack_without_end(lines_open(1));
}

static void attack_gone(void)
{
	int i;

	put_request();
	for (i = 0; i < options.n; i++) {
		int fd = line_open();

		send(fd, message, message_len, MSG_NOSIGNAL);
		close(fd);
	}
}

static void attack_reset(void)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
	struct line *lines = lines_open(options.n);
	int i;

	put_request();
	for (i = 0; i < options.n; i++)
		line_send(&lines[i], message, message_len);
	poll(NULL, 0, (int)options.limit_ms);
	for (i = 0; i < options.n; i++) {
		setsockopt(lines[i].fd, SOL_SOCKET, SO_LINGER, &at_once,
			   sizeof(at_once));
		close(lines[i].fd);
	}
	free(lines);
}

static void attack_late_reader(void)
{
	struct line *line = lines_open(1);
	int i;

	put_request();
	for (i = 0; i < 5; i++)
		line_send(line, message, message_len);
	poll(NULL, 0, options.n);
	line_wait(line, 5, until());
	line_end(line, 0);
	free(line);
}

static void attack_sip(void)
{
	struct line *line = lines_open(1);
	int64_t end_ms = until();
	int i;

	put_request();
	for (i = 0; i < options.n; i++)
		line_send(line, message, message_len);
	while (peer_now_ms() < end_ms &&
	       recv(line->fd, line->in + line->len, 1, 0) == 1) {
		line->len++;
		line_take(line);
		poll(NULL, 0, 1);
	}
	line_end(line, 0);
	free(line);
}

static void attack_stdin(void)
{
	struct line *line = lines_open(1);
	ssize_t n;

	while ((n = read(STDIN_FILENO, message, sizeof(message))) > 0)
		if (!line_send(line, message, (size_t)n))
			break;
	lines_end(line, 1);
}

static void attack_message(void)
{
	struct line *line = lines_open(1);

	line_send(line, message, message_len);
	lines_end(line, 1);
}

static void attack_getvalues(void)
{
	put_get_values();
	put_request();
	attack_message();
}

/* libfcgi reads the padding of these records as records of the next stream. */
static void attack_hidden(void)
{
	enum { HIDDEN_BYTES = 8 + 6 * 16 + 1 };

	put_begin(1, options.n == FCGI_BEGIN ? HIDDEN_BYTES : 0);
	if (options.n == FCGI_BEGIN)
		put_get_values();
	put_params();
	put_record(FCGI_PARAMS, 1, "", 0,
		   options.n == FCGI_PARAMS ? HIDDEN_BYTES : 0);
	if (options.n == FCGI_PARAMS)
		put_get_values();
	put_record(FCGI_STDIN, 1, "", 0,
		   options.n == FCGI_STDIN ? HIDDEN_BYTES : 0);
	if (options.n == FCGI_STDIN)
		put_get_values();
	attack_message();
}

static void attack_lengths(void)
{
	put_begin(1, 0);
	put_record(FCGI_PARAMS, 1, "\xff\xff\xff\xfe\2ab", 7, 0);
	put_record(FCGI_PARAMS, 1, "", 0, 0);
	put_record(FCGI_STDIN, 1, "", 0, 0);
	attack_message();
}

static void attack_unknown_type(void)
{
	put_record(99, 0, "12345678", 8, 0);
	attack_message();
}

static void attack_authorizer(void)
{
	put_begin(2, 0);
	put_params();
	put_record(FCGI_PARAMS, 1, "", 0, 0);
	put_record(FCGI_STDIN, 1, "", 0, 0);
	attack_message();
}

static const struct {
	const char *name;
	void (*run)(void);
} attacks[] = {
	{ "valid", attack_valid },
	{ "late", attack_late },
	{ "pipelined", attack_pipelined },
	{ "flood", attack_flood },
	{ "keep-idle", attack_keep_idle },
	{ "silent", attack_silent },
	{ "half", attack_half },
	{ "half-and-gone", attack_half_and_gone },
	{ "every-byte", attack_every_byte },
	{ "resume", attack_resume },
	{ "trickle", attack_trickle },
	{ "abort", attack_abort },
	{ "abort-flood", attack_abort_flood },
	{ "gone", attack_gone },
	{ "reset", attack_reset },
	{ "slow-reader", attack_slow_reader },
	{ "sip", attack_sip },
	{ "late-reader", attack_late_reader },
	{ "stdin", attack_stdin },
	{ "getvalues", attack_getvalues },
	{ "hidden", attack_hidden },
	{ "lengths", attack_lengths },
	{ "unknown-type", attack_unknown_type },
	{ "authorizer", attack_authorizer },
};

static void peer_usage(void)
{
	fprintf(stderr, "usage: fcgi_peer [-p PATH] [-t MS] "
			"unix:PATH|ADDRESS:PORT ATTACK [N]\n");
	exit(2);
}

int main(int argc, char **argv)
{
	size_t i, n = sizeof(attacks) / sizeof(*attacks);
	struct rlimit limit;
	int option;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	while ((option = getopt(argc, argv, "p:t:")) != -1) {
		if (option == 'p')
			options.path = optarg;
		else if (option == 't')
			options.limit_ms = strtol(optarg, NULL, 10);
		else
			peer_usage();
	}
	if (argc - optind < 2 || argc - optind > 3 ||
	    strlen(options.path) > 127)
		peer_usage();
	options.where = argv[optind];
	if (argc - optind == 3)
		options.n = (int)strtol(argv[optind + 2], NULL, 10);
	signal(SIGPIPE, SIG_IGN);
	for (i = 0; i < n && strcmp(attacks[i].name, argv[optind + 1]); i++)
		continue;
	if (i == n || options.n < 1)
		peer_usage();
	attacks[i].run();
	printf("answers=%d s200=%d closed=%d open=%d\n", seen.answers,
	       seen.good, seen.closed, seen.open);
	return 0;
}

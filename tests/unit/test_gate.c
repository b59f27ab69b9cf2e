/*
 * The gate over real sockets and epoll, with a clock of our own: the tests
 * never wait in real time.
 */
#include "config.h"

#include <stdbool.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

static int64_t now_ms = 1000000;
static bool now_runs; /* where threads wait for each other */

static int64_t now_us(void)
{
	struct timespec now = { 0, 0 };

	if (now_runs)
		clock_gettime(CLOCK_MONOTONIC, &now);
	return now_ms * 1000 + (int64_t)now.tv_sec * 1000000 +
	       now.tv_nsec / 1000;
}

#define FAKE_CLOCK_US now_us()
#include "fake_clock.h"

#include <sys/socket.h>

static int test_close(int fd);
static int test_accept4(int fd, struct sockaddr *peer, socklen_t *len,
			int flags);
#define close(fd) test_close(fd)
#define accept4(fd, peer, len, flags) test_accept4(fd, peer, len, flags)
#include "front/gate_pool.c"
#include "front/gate.c"
#undef close
#undef accept4

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "front/fcgi_scan.c"
#include "fake_log.h"
#include "unit.h"

/* ---- a listener, a gate and clients ---- */

static struct sockaddr_storage address;
static socklen_t address_len;
static int listener;
static struct gate *gate;
static struct gate_buffer buffer;

/* A connection that may still be shut down must not be closed: by then, the
 * number may be that of another descriptor. */
static int test_close(int fd)
{
	size_t i;

	if (!gate)
		return close(fd);
	pthread_mutex_lock(&gate->lock);
	for (i = 0; i < gate->pool.room; i++)
		CHECK(gate->pool.conns[i]->fd != fd ||
		      !gate->pool.conns[i]->list);
	pthread_mutex_unlock(&gate->lock);
	return close(fd);
}

static void open_listener(int family)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&address;

	memset(&address, 0, sizeof(address));
	address.ss_family = (sa_family_t)family;
	/* A Unix socket without a path gets an abstract name (unix(7)). */
	address_len = sizeof(sa_family_t);
	if (family == AF_INET) {
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		address_len = sizeof(*in);
	}
	listener = socket(family, SOCK_STREAM | SOCK_NONBLOCK, 0);
	CHECK(bind(listener, (struct sockaddr *)&address, address_len) == 0);
	CHECK(listen(listener, 128) == 0);
	address_len = sizeof(address);
	getsockname(listener, (struct sockaddr *)&address, &address_len);
}

static void open_gate(int family, size_t max, const char *allowed)
{
	/* What the last test has left counts. */
	while (closer_waiting())
		poll(NULL, 0, 1);
	open_listener(family);
	gate = gate_create(listener, max, allowed);
	CHECK(gate != NULL);
}

static void close_gate(void)
{
	struct gate *closed = gate;

	gate = NULL;
	gate_destroy(closed);
	close(listener);
}

static int client(void)
{
	int fd = socket(address.ss_family, SOCK_STREAM, 0);

	if (connect(fd, (struct sockaddr *)&address, address_len)) {
		close(fd);
		return -1;
	}
	return fd;
}

static const char request[] = "\1\1\0\1\0\x08\0\0\0\1\1\0\0\0\0\0"
			      "\1\4\0\1\0\x04\0\0\1\1ab"
			      "\1\4\0\1\0\0\0\0"
			      "\1\5\0\1\0\0\0\0";
#define REQUEST_BYTES (sizeof(request) - 1)
static const char aborted[] = "\1\2\0\1\0\0\0\0";
#define ABORTED_BYTES (sizeof(aborted) - 1)

static void tell(int fd, const char *bytes, size_t n)
{
	CHECK(send(fd, bytes, n, MSG_NOSIGNAL) == (ssize_t)n);
}

/* Whether the gate has ended the connection. */
static bool ended(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);

	return n == 0 || (n < 0 && errno != EAGAIN);
}

/* The same, in a moment: what is closed with something unread is closed in
 * another thread. */
static bool ends(int fd)
{
	struct pollfd event = { .fd = fd, .events = POLLIN };

	return poll(&event, 1, 5000) == 1 && ended(fd);
}

static struct gate_request got; /* the last one that came out */

/* Lets the gate do all that can be done without waiting; the connection with
 * a request, or NULL. */
static struct gate_conn *turn(void)
{
	int i;

	for (i = 0; i < 100; i++) {
		if (gate_wait(gate, &buffer, 0, &got) == GATE_REQUEST)
			return got.conn;
	}
	return NULL;
}

/* Over loopback TCP, what was sent may be a moment under way. */
static struct gate_conn *wait_request(void)
{
	struct gate_conn *conn = NULL;
	int i;

	for (i = 0; i < 1000 && !conn; i++) {
		conn = turn();
		if (!conn)
			poll(NULL, 0, 1);
	}
	return conn;
}

static void take_request(struct gate_conn *conn)
{
	CHECK(conn && got.length == REQUEST_BYTES &&
	      memcmp(buffer.bytes, request, REQUEST_BYTES) == 0);
}

static void drop(struct gate_conn *conn)
{
	gate_close(gate, conn);
}

/* ---- requests ---- */

static void test_request(void)
{
	struct gate_conn *conn;
	int fd, i;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 1);
	for (i = 0; i < 5; i++) {
		tell(fd, request, REQUEST_BYTES);
		conn = turn();
		CHECK(conn && !got.spent);
		take_request(conn);
		/* We hold it: no other thread gets it. */
		CHECK(turn() == NULL);
		gate_return(gate, conn);
		CHECK(turn() == NULL);
	}
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	drop(conn);
	CHECK(ends(fd));
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	close_gate();
}

/* The next request comes before the connection is given back. */
static void test_next_while_busy(void)
{
	struct gate_conn *conn;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	take_request(conn);
	tell(fd, request, REQUEST_BYTES);
	CHECK(turn() == NULL);
	gate_return(gate, conn);
	conn = turn();
	take_request(conn);
	gate_return(gate, conn);
	/* Now it is watched; the same once more. */
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	take_request(conn);
	tell(fd, request, REQUEST_BYTES);
	CHECK(turn() == NULL);
	gate_return(gate, conn);
	take_request(turn());
	close(fd);
	close_gate();
}

/* Requests one after the other in one piece: libfcgi is given one of them. */
static void test_overrun(void)
{
	struct gate_conn *conn;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	/* It is watched before: no further event tells of what is there. */
	CHECK(turn() == NULL);
	tell(fd, request, REQUEST_BYTES);
	tell(fd, request, REQUEST_BYTES);
	tell(fd, request, 1);
	conn = turn();
	CHECK(conn && !got.spent);
	take_request(conn);
	gate_return(gate, conn);
	conn = turn();
	take_request(conn);
	gate_return(gate, conn);
	CHECK(turn() == NULL);
	tell(fd, request + 1, REQUEST_BYTES - 1);
	conn = turn();
	CHECK(conn);
	take_request(conn);
	drop(conn);
	close(fd);
	close_gate();
}

/* What the gate itself has replied. */
static void hear(int fd, const char *bytes, size_t n)
{
	char reply[1024];

	CHECK_INT(recv(fd, reply, sizeof(reply), MSG_DONTWAIT), n);
	CHECK(memcmp(reply, bytes, n) == 0);
}

#define HEAR(fd, bytes) hear(fd, bytes, sizeof(bytes) - 1)

static const char values[] = "\1\11\0\0\0\21\0\0\17\0FCGI_MPXS_CONNS"
			     "\1\11\0\0\0\20\0\0\16\0FCGI_MAX_CONNS";
#define VALUES_BYTES (sizeof(values) - 1)
#define VALUES_REPLY                              \
	"\1\12\0\0\0\22\0\0\17\1FCGI_MPXS_CONNS0" \
	"\1\12\0\0\0\22\0\0\16\2FCGI_MAX_CONNS10"

/* In pieces, in one piece, and with the request behind it. */
static void test_values(int family)
{
	struct gate_conn *conn;
	int fd;

	open_gate(family, 10, NULL);
	fd = client();
	tell(fd, values, 20);
	CHECK(turn() == NULL);
	tell(fd, values + 20, VALUES_BYTES - 20);
	tell(fd, request, REQUEST_BYTES);
	conn = wait_request();
	CHECK(conn);
	HEAR(fd, VALUES_REPLY);
	take_request(conn);
	gate_return(gate, conn);
	CHECK(turn() == NULL);
	/* Within a request: replied to at once, and not again. */
	tell(fd, request, 16);
	tell(fd, values, VALUES_BYTES);
	while (!ended(fd) &&
	       recv(fd, (char[1]){ 0 }, 1, MSG_DONTWAIT | MSG_PEEK) != 1)
		CHECK(turn() == NULL);
	CHECK(turn() == NULL);
	HEAR(fd, VALUES_REPLY);
	tell(fd, request + 16, REQUEST_BYTES - 16);
	conn = wait_request();
	CHECK(conn);
	CHECK_INT(got.length, REQUEST_BYTES);
	CHECK(memcmp(buffer.bytes, request, REQUEST_BYTES) == 0);
	CHECK_INT(recv(fd, (char[1]){ 0 }, 1, MSG_DONTWAIT), -1);
	gate_return(gate, conn);
	CHECK(turn() == NULL);
	CHECK(!ended(fd));
	close(fd);
	close_gate();
}

static void test_second_request(void)
{
	struct gate_conn *conn;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	tell(fd, request, 16);
	tell(fd, "\1\1\0\2\0\10\0\0\0\1\1\0\0\0\0\0", 16);
	CHECK(turn() == NULL);
	HEAR(fd, "\1\3\0\2\0\10\0\0\0\0\0\0\1\0\0\0");
	tell(fd, request + 16, REQUEST_BYTES - 16);
	tell(fd, "\1\4\0\2\0\0\0\0\1\5\0\2\0\0\0\0", 16);
	conn = turn();
	CHECK(conn);
	CHECK(memcmp(buffer.bytes, request, REQUEST_BYTES) == 0);
	gate_return(gate, conn);
	/* What is left of the second one is thrown away. */
	CHECK(turn() == NULL);
	tell(fd, request, REQUEST_BYTES);
	take_request(turn());
	close(fd);
	close_gate();
}

/* An authorizer's request, on a connection that is kept and on one that is
 * not. */
static void test_unknown_role(void)
{
	char other[REQUEST_BYTES];
	struct gate_conn *conn;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	memcpy(other, request, sizeof(other));
	other[9] = 2;
	fd = client();
	tell(fd, other, sizeof(other));
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	HEAR(fd, "\1\3\0\1\0\10\0\0\0\0\0\0\3\0\0\0");
	take_request(conn);
	gate_return(gate, conn);
	other[10] = 0;
	tell(fd, other, sizeof(other));
	CHECK(turn() == NULL);
	HEAR(fd, "\1\3\0\1\0\10\0\0\0\0\0\0\3\0\0\0");
	CHECK(ends(fd));
	/* Not before the peer has read it. */
	CHECK_INT(gate_connections(gate), 1);
	close(fd);
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	close_gate();
}

/* A peer that asks for values without end, or does not read the replies. */
static void test_values_flood(void)
{
	static char flood[40 * VALUES_BYTES];
	int fd;
	size_t i;

	for (i = 0; i < sizeof(flood); i += VALUES_BYTES)
		memcpy(flood + i, values, VALUES_BYTES);
	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	tell(fd, flood, sizeof(flood));
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	/* The same within a request. */
	fd = client();
	tell(fd, request, 16);
	tell(fd, flood, sizeof(flood));
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	/* Pairs that do not add up. */
	fd = client();
	tell(fd, "\1\11\0\0\0\2\0\0\1\1", 10);
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	close_gate();
}

static char aside[1]; /* stands for a request */

/* A record of a body, in pieces that the gate reads one by one; the connection
 * as soon as it comes out. */
static struct gate_conn *pour(int fd)
{
	static const char record[] = "\1\5\0\1\x7f\xf8\2";
	static const char body[32762]; /* and its padding */
	struct gate_conn *conn;
	size_t i;

	tell(fd, record, 3);
	conn = turn();
	tell(fd, record + 3, 5);
	for (i = 0; i < 2 && !conn; i++) {
		tell(fd, body, sizeof(body) / 2);
		conn = turn();
	}
	return conn;
}

/* A connection with a request whose body comes, and is waited for. */
static struct gate_conn *wait_for_body(int fd)
{
	struct gate_conn *conn;

	tell(fd, request, 28);
	tell(fd, "\1\4\0\1\0\0\0\0\1\5\0\1\0\1\0\0x", 17);
	conn = wait_request();
	CHECK(conn && got.spent && got.has_body && !got.kept);
	gate_read_body(gate, conn, aside);
	return conn;
}

/* The body comes in pieces, with records of another request between, and the
 * connection goes on. */
static void test_body_read(int family)
{
	struct gate_conn *conn;
	int fd, round;

	open_gate(family, 10, NULL);
	fd = client();
	for (round = 0; round < 3; round++) {
		wait_for_body(fd);
		CHECK(pour(fd) == NULL);
		CHECK(pour(fd) == NULL);
		tell(fd, "\1\5\0\2\0\1\0\0x", 9);
		CHECK(turn() == NULL);
		/* The end has padding, too. */
		tell(fd, "\1\5\0\1\0\0\1\0", 8);
		CHECK(turn() == NULL);
		tell(fd, "", 1);
		if (round == 1)
			tell(fd, request, REQUEST_BYTES);
		conn = wait_request();
		CHECK(conn && !got.spent && got.kept == aside);
		gate_return(gate, conn);
		if (round != 1)
			continue;
		conn = wait_request();
		CHECK(conn && !got.kept && !got.has_body);
		take_request(conn);
		gate_return(gate, conn);
	}
	close(fd);
	close_gate();
}

/* A peer that always has the next request there, and its body to come, does not
 * keep others out. */
static void test_bodies_without_a_pause(void)
{
	char next[53] = "\1\5\0\1\0\0\0\0";
	struct gate_conn *conn;
	int fd, i;

	memcpy(next + 8, request, 28);
	memcpy(next + 36, "\1\4\0\1\0\0\0\0\1\5\0\1\0\1\0\0x", 17);
	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	wait_for_body(fd);
	for (i = 0; i < GATE_PIECES; i++) {
		tell(fd, next, sizeof(next));
		conn = turn();
		CHECK(conn && !got.spent && got.kept == aside);
		gate_return(gate, conn);
		conn = turn();
		CHECK(conn && got.has_body);
		gate_read_body(gate, conn, aside);
	}
	tell(fd, next, sizeof(next));
	conn = turn();
	CHECK(conn && got.spent && got.kept == aside);
	gate_close(gate, conn);
	close(fd);
	close_gate();
}

/* What is there fills the buffer to its end, and the next request is behind. */
static void test_full_buffer(void)
{
	enum { BODY = FCGI_SCAN_MAX_BYTES - 28 - 3 * 8 };
	static char bytes[FCGI_SCAN_MAX_BYTES];
	struct gate_conn *conn;
	int fd;

	memcpy(bytes, request, 28);
	memcpy(bytes + 28, "\1\4\0\1\0\0\0\0\1\5\0\1", 12);
	bytes[40] = (char)(BODY >> 8);
	bytes[41] = (char)(BODY & 0xff);
	memcpy(bytes + sizeof(bytes) - 8, "\1\5\0\1\0\0\0\0", 8);
	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	/* It is watched before: no further event tells of what is there. */
	CHECK(turn() == NULL);
	tell(fd, bytes, sizeof(bytes));
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	CHECK(conn && got.length == sizeof(bytes));
	gate_return(gate, conn);
	take_request(turn());
	close(fd);
	close_gate();
}

/* Bodies that come slowly fill all places: the oldest is given up. */
static void test_bodies_everywhere(void)
{
	struct gate_conn *conn;
	int fds[3], other, i;

	open_gate(AF_UNIX, 3, NULL);
	for (i = 0; i < 3; i++) {
		fds[i] = client();
		wait_for_body(fds[i]);
		CHECK(turn() == NULL);
		now_ms++;
	}
	now_ms += GATE_FRESH_MS - 4;
	other = client();
	tell(other, request, REQUEST_BYTES);
	CHECK(turn() == NULL);
	now_ms += GATE_REST_MS;
	conn = turn();
	CHECK(conn && got.spent && got.kept == aside);
	gate_close(gate, conn);
	CHECK(ends(fds[0]));
	now_ms += GATE_REST_MS;
	take_request(turn());
	for (i = 0; i < 3; i++)
		close(fds[i]);
	close(other);
	close_gate();
}

/* The wait for the end of a body is bounded, and then the connection is handed
 * out again. */
static void test_body_given_up(int family)
{
	enum { LATE, ENDED, WRONG, LONG, STOPPING, WAYS };
	struct gate_conn *conn;
	int fd, way;
	size_t sent;

	for (way = 0; way < WAYS; way++) {
		open_gate(family, 10, NULL);
		fd = client();
		wait_for_body(fd);
		conn = turn();
		CHECK(conn == NULL);
		switch (way) {
		case LATE:
			now_ms += GATE_BODY_MS - 1;
			CHECK(turn() == NULL);
			now_ms++;
			break;
		case ENDED:
			close(fd);
			break;
		case WRONG:
			tell(fd, aborted, ABORTED_BYTES);
			break;
		case LONG:
			for (sent = 0; !conn && sent < GATE_BODY_BYTES;
			     sent += 32770)
				conn = pour(fd);
			CHECK(sent > GATE_BODY_BYTES - 65536);
			break;
		case STOPPING:
			gate_stop_accepting(gate);
			break;
		}
		if (!conn)
			conn = wait_request();
		CHECK(conn && got.spent && got.kept == aside);
		CHECK(turn() == NULL);
		gate_linger(gate, conn);
		if (way != ENDED)
			close(fd);
		CHECK(turn() == NULL);
		CHECK_INT(gate_connections(gate), 0);
		close_gate();
	}
}

/* It ends just after the wait was given up: the connection goes on. */
static void test_body_ends_late(void)
{
	struct gate_conn *conn;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	conn = wait_for_body(fd);
	CHECK(turn() == NULL);
	tell(fd, "\1\5\0\1\0\0\0\0", 8);
	now_ms += GATE_BODY_MS;
	gate_expire(gate);
	CHECK(conn->late && turn() == conn && !got.spent);
	CHECK(got.kept == aside);
	gate_return(gate, conn);
	tell(fd, request, 1);
	CHECK(turn() == NULL);
	tell(fd, request + 1, REQUEST_BYTES - 1);
	take_request(turn());
	close(fd);
	close_gate();
}

/* A body that does not end: answered without it, and the peer may go on
 * sending until it has read its answer. */
static void test_body(int family)
{
	static const char body[65528];
	char head[] = "\1\1\0\1\0\x08\0\0\0\1\1\0\0\0\0\0\1\4\0\1\0\0\0\0"
		      "\1\5\0\1\xff\xf8\0\0";
	struct gate_conn *conn;
	char answer[8] = "";
	int fd, i;

	open_gate(family, 10, NULL);
	fd = client();
	fcntl(fd, F_SETFL, O_NONBLOCK);
	tell(fd, head, sizeof(head) - 1);
	conn = wait_request();
	CHECK(conn && got.spent && got.has_body);
	CHECK_INT(send(got.fd, "answer", 6, MSG_NOSIGNAL), 6);
	gate_linger(gate, conn);
	for (i = 0; i < 16; i++) {
		CHECK(send(fd, body, sizeof(body), MSG_NOSIGNAL) > 0);
		CHECK(turn() == NULL);
	}
	CHECK_INT(recv(fd, answer, sizeof(answer), 0), 6);
	CHECK_STR(answer, "answer");
	CHECK(ends(fd));
	CHECK_INT(gate_connections(gate), 1);
	/* Not for ever. */
	for (i = 0; i < 2 * GATE_PIECES && gate_connections(gate); i++) {
		send(fd, body, sizeof(body), MSG_NOSIGNAL);
		CHECK(turn() == NULL);
	}
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	close_gate();
}

static void test_byte_by_byte(void)
{
	struct gate_conn *conn;
	size_t i;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	for (i = 0; i < REQUEST_BYTES; i++) {
		CHECK(turn() == NULL);
		tell(fd, request + i, 1);
	}
	conn = turn();
	take_request(conn);
	gate_return(gate, conn);
	/* The pieces of one request do not count for the next. */
	for (i = 0; i < REQUEST_BYTES; i++) {
		CHECK(turn() == NULL);
		tell(fd, request + i, 1);
	}
	CHECK(turn() != NULL);
	close(fd);
	close_gate();
}

static void test_trickle(void)
{
	char head[] = "\1\1\0\1\0\x08\0\0\0\1\1\0\0\0\0\0\1\4\0\1\x7f\0\0\0";
	int fd, i;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	tell(fd, head, sizeof(head) - 1);
	for (i = 0; i < 2 * GATE_PIECES && !ended(fd); i++) {
		CHECK(turn() == NULL);
		send(fd, "", 1, MSG_NOSIGNAL);
	}
	CHECK(ends(fd));
	CHECK(i > GATE_PIECES / 2);
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	close_gate();
}

static void test_garbage(void)
{
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	tell(fd, "GET /health HTTP/1.0\r\n\r\n", 24);
	CHECK(turn() == NULL);
	CHECK(ends(fd));
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	close_gate();
}

/* The largest size, in segments, while no thread reads it. */
static void test_large(int family)
{
	static char params[FCGI_SCAN_MAX_BYTES - 40];
	char head[] = "\1\1\0\1\0\x08\0\0\0\1\1\0\0\0\0\0\1\4\0\1\0\0\0\0";
	size_t value = sizeof(params) - 5;
	struct gate_conn *conn;
	int fd;

	/* A name of no length, and one long value. */
	params[1] = (char)0x80;
	params[3] = (char)(value >> 8);
	params[4] = (char)value;
	head[sizeof(head) - 5] = (char)(sizeof(params) >> 8);
	head[sizeof(head) - 4] = (char)sizeof(params);
	open_gate(family, 10, NULL);
	fd = client();
	fcntl(fd, F_SETFL, O_NONBLOCK);
	tell(fd, head, sizeof(head) - 1);
	CHECK(turn() == NULL);
	tell(fd, params, sizeof(params));
	tell(fd, "\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0", 16);
	conn = wait_request();
	CHECK(conn && !got.spent);
	close(fd);
	close_gate();
}

/* A web server takes back a request that was answered meanwhile. */
static void test_abort(void)
{
	struct gate_conn *conn;
	int fd, i;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	for (i = 0; i < 2 * GATE_PIECES; i++) {
		tell(fd, request, REQUEST_BYTES);
		conn = turn();
		take_request(conn);
		tell(fd, aborted, ABORTED_BYTES);
		gate_return(gate, conn);
		CHECK(turn() == NULL);
	}
	tell(fd, aborted, ABORTED_BYTES);
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	CHECK(conn && !got.spent);
	take_request(conn);
	close(fd);
	close_gate();
}

/* A peer that sends nothing else must not keep a thread busy. */
static void test_abort_flood(void)
{
	static char flood[32 * 1024];
	int fd;
	size_t i;

	for (i = 0; i < sizeof(flood); i += ABORTED_BYTES)
		memcpy(flood + i, aborted, ABORTED_BYTES);
	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	tell(fd, flood, sizeof(flood));
	CHECK(turn() == NULL);
	CHECK(ends(fd));
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	close_gate();
}

/* ---- answers that wait for their reader ---- */

#define LARGE_BYTES (8 * 1024 * 1024)

/* A request, and an answer to it that is larger than any buffer. */
static int write_large(bool last)
{
	int fd = client(), file = memfd_create("answer", MFD_CLOEXEC);
	struct gate_conn *conn;

	tell(fd, request, REQUEST_BYTES);
	conn = wait_request();
	take_request(conn);
	CHECK(ftruncate(file, LARGE_BYTES) == 0);
	gate_write(gate, conn, file, last);
	CHECK(turn() == NULL);
	CHECK(fcntl(file, F_GETFD) >= 0);
	return fd;
}

static size_t read_some(int fd)
{
	static char bytes[1024 * 1024];
	ssize_t n = recv(fd, bytes, sizeof(bytes), MSG_DONTWAIT);

	return n > 0 ? (size_t)n : 0;
}

/* Late, in pieces, and meanwhile it sends its next request or half-closes. */
static void test_write(int family, bool last, bool half)
{
	struct gate_conn *conn = NULL;
	size_t n = 0, i;
	int fd;

	open_gate(family, 10, NULL);
	fd = write_large(last);
	now_ms += GATE_PARTIAL_MS - 1;
	CHECK(turn() == NULL);
	CHECK(!ended(fd));
	if (half)
		shutdown(fd, SHUT_WR);
	else
		tell(fd, request, REQUEST_BYTES);
	for (i = 0; i < 100000 && n < LARGE_BYTES && !conn; i++) {
		n += read_some(fd);
		conn = turn();
	}
	/* The last bytes may be in the buffer when the request is seen. */
	for (i = 0; i < 1000 && n < LARGE_BYTES; i++) {
		n += read_some(fd);
		poll(NULL, 0, n < LARGE_BYTES);
	}
	CHECK_INT(n, LARGE_BYTES);
	CHECK_INT(fake_log.lines, 0);
	if (!last && !half) {
		if (!conn)
			conn = wait_request();
		take_request(conn);
		gate_return(gate, conn);
		/* As idle as any kept connection. */
		now_ms += GATE_PARTIAL_MS + 1;
		CHECK(turn() == NULL);
		CHECK(!ended(fd));
	} else {
		for (i = 0; i < 1000 && !ended(fd); i++) {
			turn();
			poll(NULL, 0, 1);
		}
		CHECK(ends(fd));
	}
	close(fd);
	for (i = 0; i < 1000 && gate_connections(gate); i++)
		turn();
	CHECK_INT(gate_connections(gate), 0);
	close_gate();
}

static void test_write_to_nobody(void)
{
	int fd, i;

	open_gate(AF_UNIX, 10, NULL);
	fd = write_large(false);
	now_ms += GATE_PARTIAL_MS + 1;
	fake_log.lines = 0;
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	CHECK_INT(fake_log.lines, 1);
	CHECK_STR(fake_log.last,
		  "cut 1 answers: the web server did not read them "
		  "to the end");
	close(fd);
	/* Gone: nothing is left of it. */
	fd = write_large(false);
	close(fd);
	for (i = 0; i < 1000 && gate_connections(gate); i++) {
		CHECK(turn() == NULL);
		poll(NULL, 0, 1);
	}
	CHECK_INT(gate_connections(gate), 0);
	fd = write_large(true);
	close_gate();
	close(fd);
}

/* ---- closed connections ---- */

static void test_end(void)
{
	int silent, half, late, family;
	struct gate_conn *conn;

	for (family = AF_UNIX; family;
	     family = family == AF_UNIX ? AF_INET : 0) {
		open_gate(family, 10, NULL);
		silent = client();
		half = client();
		late = client();
		tell(half, request, 20);
		tell(late, request, 20);
		CHECK(turn() == NULL);
		CHECK_INT(gate_connections(gate), 3);
		close(silent);
		close(half);
		/* This one only says that it will send no more. */
		tell(late, request + 20, REQUEST_BYTES - 20);
		shutdown(late, SHUT_WR);
		conn = wait_request();
		CHECK(conn != NULL);
		drop(conn);
		poll(NULL, 0, 10);
		CHECK(turn() == NULL);
		CHECK_INT(gate_connections(gate), 0);

		/* Half a request and the end, before we look at all. */
		half = client();
		tell(half, request, 20);
		close(half);
		poll(NULL, 0, 10);
		CHECK(turn() == NULL);
		CHECK_INT(gate_connections(gate), 0);
		close(late);
		close_gate();
	}
}

static void test_slow_peers(void)
{
	int silent, half, kept, family;
	struct gate_conn *conn;

	for (family = AF_UNIX; family;
	     family = family == AF_UNIX ? AF_INET : 0) {
		open_gate(family, 10, NULL);
		kept = client();
		tell(kept, request, REQUEST_BYTES);
		conn = wait_request();
		take_request(conn);
		gate_return(gate, conn);
		silent = client();
		half = client();
		tell(half, request, 20);
		CHECK(turn() == NULL);
		CHECK_INT(gate_connections(gate), 3);
		now_ms += GATE_PARTIAL_MS - 1;
		CHECK(turn() == NULL);
		CHECK_INT(gate_connections(gate), 3);
		now_ms += 1;
		CHECK(turn() == NULL);
		CHECK(ends(silent));
		CHECK(ends(half));
		CHECK_INT(gate_connections(gate), 1);

		/* The time of a request runs from its first byte. */
		now_ms += GATE_IDLE_MS - GATE_PARTIAL_MS - 1;
		tell(kept, request, 20);
		poll(NULL, 0, 5);
		CHECK(turn() == NULL);
		now_ms += GATE_PARTIAL_MS - 1;
		CHECK(turn() == NULL);
		CHECK(!ended(kept));
		now_ms += 1;
		CHECK(turn() == NULL);
		CHECK(ends(kept));
		CHECK_INT(gate_connections(gate), 0);
		close(kept);
		close(silent);
		close(half);
		close_gate();
	}
}

static void test_idle(void)
{
	struct gate_conn *conn;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	take_request(conn);
	/* While it is answered, time does not matter. */
	now_ms += 10 * GATE_IDLE_MS;
	CHECK(turn() == NULL);
	gate_return(gate, conn);
	CHECK(turn() == NULL);
	now_ms += GATE_IDLE_MS - 1;
	CHECK(turn() == NULL);
	CHECK(!ended(fd));
	now_ms += 1;
	CHECK(turn() == NULL);
	CHECK(ends(fd));
	CHECK_INT(gate_connections(gate), 0);
	close(fd);
	close_gate();
}

static int kept_client(void)
{
	int fd = client();
	struct gate_conn *conn;

	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	take_request(conn);
	gate_return(gate, conn);
	CHECK(turn() == NULL);
	return fd;
}

static void test_no_room(void)
{
	int old, young, fresh, late, i;
	struct gate_conn *conn;

	fake_log.lines = 0;
	open_gate(AF_UNIX, 3, NULL);
	old = kept_client();
	now_ms++;
	young = kept_client();
	now_ms++;
	/* Just here, its request is under way: not to be sent away for the
	 * next one while others idle. */
	fresh = client();
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 3);
	late = client();
	tell(late, request, REQUEST_BYTES);
	for (conn = NULL, i = 0; i < 10 && !conn; i++) {
		conn = turn();
		now_ms++;
	}
	CHECK(conn != NULL); /* and this within ten milliseconds */
	CHECK(ends(old));
	CHECK(!ended(young));
	CHECK(!ended(fresh));
	CHECK_INT(gate_connections(gate), 3);
	CHECK_INT(fake_log.lines, 1);
	take_request(conn);
	gate_return(gate, conn);

	/* A peer that has been silent for long is closed before idle ones. */
	now_ms += 1000;
	close(old);
	old = client();
	tell(old, request, REQUEST_BYTES);
	for (conn = NULL, i = 0; i < 10 && !conn; i++) {
		conn = turn();
		now_ms++;
	}
	CHECK(conn != NULL);
	CHECK(ends(fresh));
	CHECK(!ended(young));
	CHECK_INT(gate_connections(gate), 3);

	close(old);
	close(young);
	close(fresh);
	close(late);
	close_gate();
}

/* All are being answered: the next one waits in the backlog. */
static void test_all_busy(void)
{
	struct gate_conn *conn, *other;
	int fd, late;

	open_gate(AF_UNIX, 1, NULL);
	fd = client();
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	take_request(conn);
	late = client();
	tell(late, request, REQUEST_BYTES);
	CHECK(turn() == NULL);
	now_ms += 1000;
	CHECK(turn() == NULL);
	CHECK(!ended(late));
	CHECK(!ended(fd));
	drop(conn);
	now_ms += GATE_REST_MS;
	other = turn();
	CHECK(other != NULL);
	take_request(other);
	close(fd);
	close(late);
	close_gate();
}

/* From now on there are no other descriptors than those that are open. */
static void take_all_descriptors(void)
{
	struct rlimit limit = { 256, 256 };

	while (fcntl((int)limit.rlim_cur - 1, F_GETFD) < 0)
		limit.rlim_cur--;
	limit.rlim_max = limit.rlim_cur;
	setrlimit(RLIMIT_NOFILE, &limit);
	while (dup(0) >= 0)
		continue;
}

static int child_descriptors(void)
{
	struct gate_conn *conn = NULL;
	int kept, late, i;

	open_gate(AF_UNIX, 100, NULL);
	while (gate_spend(gate))
		continue;
	kept = kept_client();
	while (gate_spend(gate))
		continue;
	late = client();
	tell(late, request, REQUEST_BYTES);
	take_all_descriptors();
	for (i = 0; i < 10 && !conn; i++) {
		conn = turn();
		now_ms++;
	}
	CHECK(conn != NULL);
	CHECK(ends(kept));
	CHECK_INT(fake_log.lines, 1);
	return unit_failed;
}

/* Checks have taken all descriptors but the spare ones. */
static int child_spares(void)
{
	int clients[GATE_SPARES * 3], i;
	struct gate_conn *conn;

	open_gate(AF_UNIX, 100, NULL);
	CHECK_INT(gate->n_spares, GATE_SPARES);
	for (i = 0; i < GATE_SPARES * 3; i++) {
		clients[i] = client();
		tell(clients[i], request, REQUEST_BYTES);
	}
	take_all_descriptors();
	for (i = 0; i < GATE_SPARES * 3; i++) {
		conn = turn();
		CHECK_INT(gate->n_spares, GATE_SPARES - 1);
		take_request(conn);
		drop(conn);
		CHECK_INT(gate->n_spares, GATE_SPARES);
		/* so that the limit goes on to hold */
		CHECK(ends(clients[i]));
	}
	CHECK_INT(fake_log.lines, 0);
	return unit_failed;
}

static void test_no_descriptors(int (*body)(void))
{
	pid_t child;
	int status = -1;

	/* valgrind has a limit of its own, above which it closes what was
	 * accepted: the connection is lost. */
	if (getenv("HEALTH_VALGRIND"))
		return;
	fflush(stdout);
	/* The closer has no use for the ends of children. */
	signal(SIGCHLD, SIG_DFL);
	fake_log.lines = 0;
	child = fork();
	if (child == 0) {
		unit_failed = 0;
		status = body();
		fflush(stdout);
		_exit(status != 0);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_INT(status, 0);
}

/* ---- allowed peers ---- */

static bool lets_in(int family, const char *allowed)
{
	struct gate_conn *conn;
	int fd;

	open_gate(family, 10, allowed);
	fd = client();
	tell(fd, request, REQUEST_BYTES);
	conn = turn();
	close(fd);
	close_gate();
	return conn != NULL;
}

static void test_allowed(void)
{
	CHECK(lets_in(AF_INET, NULL));
	CHECK(lets_in(AF_INET, "")); /* as libfcgi takes it */
	CHECK(lets_in(AF_INET, "127.0.0.1"));
	CHECK(lets_in(AF_INET, "10.0.0.1,127.0.0.1"));
	CHECK(lets_in(AF_INET, "127.0.0.1,10.0.0.1"));
	CHECK(!lets_in(AF_INET, "10.0.0.1"));
	CHECK(!lets_in(AF_INET, "127.0.0.11"));
	CHECK(!lets_in(AF_INET, "127.0.0.1x,27.0.0.1"));
	CHECK(lets_in(AF_UNIX, "10.0.0.1"));
}

static void test_mapped(void)
{
	struct sockaddr_storage peer = { .ss_family = AF_INET6 };
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&peer;
	static const char allowed[] = "127.0.0.1,::1";

	/* What a socket that listens on [::] says of IPv4 (ipv6(7)). */
	inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6->sin6_addr);
	CHECK(gate_peer_allowed(allowed, &peer));
	inet_pton(AF_INET6, "::1", &in6->sin6_addr);
	CHECK(gate_peer_allowed(allowed, &peer));
	inet_pton(AF_INET6, "::2", &in6->sin6_addr);
	CHECK(!gate_peer_allowed(allowed, &peer));
}

/* A peer must not be able to fill the log, but the log must say why a peer is
 * refused by a wrong configuration. */
static void test_says_so_now_and_then(void)
{
	int fd, i;

	open_gate(AF_INET, 10, "10.0.0.1");
	fake_log.lines = 0;
	for (i = 0; i < 50; i++) {
		fd = client();
		CHECK(turn() == NULL);
		close(fd);
	}
	CHECK_INT(fake_log.lines, 1);
	CHECK_STR(fake_log.last, "refused 1 connections: not from "
				 "FCGI_WEB_SERVER_ADDRS, the last "
				 "from 127.0.0.1");
	now_ms += 10000;
	fd = client();
	CHECK(turn() == NULL);
	close(fd);
	CHECK_INT(fake_log.lines, 2);
	CHECK_STR(fake_log.last,
		  "refused 50 connections: not from FCGI_WEB_SERVER_ADDRS, the "
		  "last from 127.0.0.1");
	close_gate();

	open_gate(AF_UNIX, 10, NULL);
	fake_log.lines = 0;
	for (i = 0; i < 50; i++) {
		fd = client();
		tell(fd, "GET / HTTP/1.1\r\n\r\n", 18);
		CHECK(turn() == NULL);
		CHECK(ends(fd));
		close(fd);
	}
	CHECK_INT(fake_log.lines, 1);
	/* A peer that closes by itself, with half a request or none, is not
	 * reported. */
	now_ms += 10000;
	fd = client();
	CHECK(turn() == NULL);
	close(fd);
	CHECK(turn() == NULL);
	fd = client();
	tell(fd, request, 8);
	CHECK(turn() == NULL);
	close(fd);
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	CHECK_INT(fake_log.lines, 1);
	close_gate();
}

/* ---- stop, wake, time ---- */

static void test_stop_accepting(void)
{
	struct gate_conn *conn;
	int fds[5], i, after, received = 0;

	open_gate(AF_INET, 10, "127.0.0.1");
	for (i = 0; i < 5; i++) {
		fds[i] = client();
		tell(fds[i], request, REQUEST_BYTES);
	}
	gate_stop_accepting(gate);
	while (received < 5 && (conn = wait_request())) {
		take_request(conn);
		drop(conn);
		received++;
	}
	CHECK_INT(received, 5);
	after = client();
	tell(after, request, REQUEST_BYTES);
	CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	for (i = 0; i < 5; i++)
		close(fds[i]);
	close(after);
	close_gate();
}

/* One that may not come in stands before others in the backlog. */
static void test_stop_behind_stranger(void)
{
	struct sockaddr_in strange = { .sin_family = AF_INET };
	struct gate_conn *conn;
	int stranger, fd;

	open_gate(AF_INET, 10, "127.0.0.1");
	stranger = socket(AF_INET, SOCK_STREAM, 0);
	strange.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	CHECK(bind(stranger, (struct sockaddr *)&strange, sizeof(strange)) ==
	      0);
	CHECK(connect(stranger, (struct sockaddr *)&address, address_len) == 0);
	fd = client();
	tell(fd, request, REQUEST_BYTES);
	gate_stop_accepting(gate);
	conn = wait_request();
	CHECK(conn != NULL);
	close(stranger);
	close(fd);
	close_gate();
}

/* accept4() has failed so often since accept_error was set; 0: it works. */
static int accept_error, accept_calls;

static int test_accept4(int fd, struct sockaddr *peer, socklen_t *len,
			int flags)
{
	if (!accept_error)
		return accept4(fd, peer, len, flags);
	if (++accept_calls > 1000) {
		printf("accept4() is called without end: error %d\n",
		       accept_error);
		_exit(1);
	}
	errno = accept_error;
	return -1;
}

/* What a security module, a firewall or the machine has against accepting; it
 * is asked again, but not without a rest, and never while stopping. */
static void test_not_accepted(void)
{
	static const int errors[] = { EACCES,	  EPERM,  EIO,	  ENOBUFS,
				      ENOMEM,	  EMFILE, ENFILE, EPROTO,
				      EOPNOTSUPP, EINVAL, EBADF };
	struct gate_conn *conn;
	size_t i;
	int fd;

	for (i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		open_gate(AF_UNIX, 10, NULL);
		fd = client();
		tell(fd, request, REQUEST_BYTES);
		accept_error = errors[i];
		accept_calls = fake_log.lines = 0;
		CHECK(turn() == NULL);
		/* A spare descriptor is tried for each of EMFILE, ENFILE. */
		CHECK(accept_calls >= 1 && accept_calls <= 1 + GATE_SPARES);
		CHECK_INT(fake_log.lines, 1);
		CHECK(turn() == NULL);
		CHECK(accept_calls <= 1 + GATE_SPARES);
		now_ms += GATE_REST_MS;
		CHECK(turn() == NULL);
		CHECK_INT(fake_log.lines, 1);
		accept_error = 0;
		now_ms += GATE_REST_MS;
		conn = turn();
		take_request(conn);
		drop(conn);
		close(fd);
		fd = client();
		accept_error = errors[i];
		accept_calls = 0;
		gate_stop_accepting(gate);
		CHECK(accept_calls <= 1 + GATE_SPARES);
		accept_error = 0;
		close(fd);
		close_gate();
	}
}

static void test_wake(void)
{
	open_gate(AF_UNIX, 10, NULL);
	CHECK_INT(gate_wait(gate, &buffer, 0, &got), GATE_TIMEOUT);
	gate_wake(gate);
	gate_wake(gate);
	CHECK_INT(gate_wait(gate, &buffer, -1, &got), GATE_WOKEN);
	CHECK_INT(gate_wait(gate, &buffer, 0, &got), GATE_TIMEOUT);
	gate_wake(gate);
	CHECK_INT(gate_wait(gate, &buffer, -1, &got), GATE_WOKEN);
	CHECK_INT(gate_wait(gate, &buffer, 0, &got), GATE_TIMEOUT);
	close_gate();
}

/* However much comes that is worth nothing, time that is up is said. */
static void test_time_under_flood(void)
{
	int fds[20], i, gone = 0;

	open_gate(AF_UNIX, 100, NULL);
	for (i = 0; i < 20; i++) {
		fds[i] = client();
		tell(fds[i], "garbage!", 8);
	}
	CHECK_INT(gate_wait(gate, &buffer, 0, &got), GATE_TIMEOUT);
	for (i = 0; i < 20; i++)
		gone += ended(fds[i]);
	CHECK(gone <= 1);
	CHECK(turn() == NULL);
	for (i = 0; i < 20; i++) {
		CHECK(ends(fds[i]));
		close(fds[i]);
	}
	close_gate();
}

/* A listening socket that was shut down must not make us spin. */
static void test_listener_broken(int family)
{
	open_gate(family, 10, NULL);
	shutdown(listener, SHUT_RDWR);
	CHECK(turn() == NULL);
	CHECK(gate->resting);
	close_gate();
}

/* A record is used again: events for its former owner mean nothing. */
static void test_old_event(void)
{
	struct gate_conn *conn;
	uint64_t event;
	int fd;

	open_gate(AF_UNIX, 10, NULL);
	fd = client();
	CHECK(turn() == NULL);
	conn = gate->pool.partial.first;
	event = gate_pool_key(conn);
	CHECK(gate_take(gate, event, EPOLLIN) == conn);
	CHECK(gate_take(gate, event, EPOLLIN) == NULL);
	drop(conn);
	CHECK(gate_take(gate, event, EPOLLIN) == NULL);
	close(fd);
	fd = client();
	CHECK(turn() == NULL);
	CHECK(gate->pool.partial.first == conn);
	CHECK(gate_take(gate, event, EPOLLIN) == NULL);
	CHECK(gate_take(gate, 0xffff, EPOLLIN) == NULL);
	close(fd);
	close_gate();
}

/* ---- threads ---- */

#define CLIENTS 8
#define ROUNDS 300

static atomic_int served, stopping;

static void *serve(void *arg)
{
	struct gate_buffer *mine = malloc(sizeof(*mine));
	struct gate_request asked;

	(void)arg;
	while (!atomic_load(&stopping)) {
		if (gate_wait(gate, mine, 20, &asked) != GATE_REQUEST)
			continue;
		if (asked.length != REQUEST_BYTES ||
		    send(asked.fd, "y", 1, MSG_NOSIGNAL) != 1) {
			gate_close(gate, asked.conn);
			continue;
		}
		atomic_fetch_add(&served, 1);
		gate_return(gate, asked.conn);
	}
	free(mine);
	return NULL;
}

/* Asks in one piece or two, on a kept connection or a new one. */
static void *ask(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	intptr_t bad = 0;
	int fd = -1, i;
	char byte;

	for (i = 0; i < ROUNDS; i++) {
		size_t cut = (size_t)rand_r(&seed) % REQUEST_BYTES;

		if (fd < 0)
			fd = client();
		if (cut)
			send(fd, request, cut, MSG_NOSIGNAL);
		if (cut % 7 == 1) { /* and is gone */
			close(fd);
			fd = client();
			cut = 0;
		}
		send(fd, request + cut, REQUEST_BYTES - cut, MSG_NOSIGNAL);
		bad += recv(fd, &byte, 1, 0) != 1;
		if (cut % 3 == 0) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		close(fd);
	return (void *)bad;
}

static void test_threads(void)
{
	pthread_t servers[2], clients[CLIENTS];
	intptr_t i, bad = 0;
	void *result;

	now_runs = true;
	open_gate(AF_UNIX, 100, NULL);
	for (i = 0; i < 2; i++)
		pthread_create(&servers[i], NULL, serve, NULL);
	for (i = 0; i < CLIENTS; i++)
		pthread_create(&clients[i], NULL, ask, (void *)(i + 1));
	for (i = 0; i < CLIENTS; i++) {
		pthread_join(clients[i], &result);
		bad += (intptr_t)result;
	}
	atomic_store(&stopping, 1);
	for (i = 0; i < 2; i++)
		pthread_join(servers[i], NULL);
	CHECK_INT(bad, 0);
	CHECK_INT(served, CLIENTS * ROUNDS);
	/* Where the last client's end arrives late, more turns see it. */
	for (i = 0; i < 100 && (i == 0 || gate_connections(gate)); i++)
		CHECK(turn() == NULL);
	CHECK_INT(gate_connections(gate), 0);
	close_gate();
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_request();
	test_next_while_busy();
	test_overrun();
	test_values(AF_UNIX);
	test_values(AF_INET);
	test_second_request();
	test_unknown_role();
	test_values_flood();
	fake_log.lines = 0;
	test_write(AF_UNIX, false, false);
	test_write(AF_UNIX, false, true);
	test_write(AF_UNIX, true, false);
	test_write(AF_INET, false, false);
	test_write(AF_INET, true, true);
	test_write_to_nobody();
	test_body(AF_UNIX);
	test_body(AF_INET);
	test_body_read(AF_UNIX);
	test_body_read(AF_INET);
	test_bodies_without_a_pause();
	test_full_buffer();
	test_bodies_everywhere();
	test_body_ends_late();
	test_body_given_up(AF_UNIX);
	test_body_given_up(AF_INET);
	test_byte_by_byte();
	test_trickle();
	test_garbage();
	test_large(AF_UNIX);
	test_large(AF_INET);
	test_abort();
	test_abort_flood();
	test_end();
	test_slow_peers();
	test_idle();
	test_no_room();
	test_all_busy();
	test_no_descriptors(child_descriptors);
	test_no_descriptors(child_spares);
	test_allowed();
	test_mapped();
	test_says_so_now_and_then();
	test_stop_accepting();
	test_stop_behind_stranger();
	test_not_accepted();
	test_wake();
	test_time_under_flood();
	test_listener_broken(AF_UNIX);
	test_listener_broken(AF_INET);
	test_old_event();
	test_threads();
	return unit_report();
}

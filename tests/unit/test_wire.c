/*
 * Reading with an allowance, and without taking in descriptors.
 */
#include "io/wire.c"

#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "unit.h"

static int pair[2];

static void world(void)
{
	CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0);
}

static void world_end(void)
{
	close(pair[0]);
	close(pair[1]);
}

/* How many reads of one byte succeed. */
static int count_reads(void)
{
	char byte;
	int n = 0;

	while (recv(pair[0], &byte, 1, 0) == 1)
		n++;
	CHECK_INT(errno, EAGAIN);
	return n;
}

static void *count_elsewhere(void *n)
{
	*(int *)n = count_reads();
	return NULL;
}

static void test_reads(void)
{
	char flood[100] = "";
	pthread_t thread;
	int n = 0;

	world();
	CHECK(write(pair[1], flood, sizeof(flood)) == sizeof(flood));
	wire_refill();
	CHECK_INT(count_reads(), WIRE_READS);
	CHECK_INT(count_reads(), 0);
	wire_refill();
	CHECK_INT(count_reads(), WIRE_READS);
	/* Other threads have no allowance, and no limit. */
	pthread_create(&thread, NULL, count_elsewhere, &n);
	pthread_join(thread, NULL);
	CHECK_INT(n, 100 - 2 * WIRE_READS);
	world_end();
}

static void test_bytes(void)
{
	static char flood[4 * WIRE_BYTES], to[4 * WIRE_BYTES];
	ssize_t n;

	world();
	n = write(pair[1], flood, sizeof(flood));
	CHECK(n > 2 * WIRE_BYTES);
	wire_refill();
	CHECK_INT(recv(pair[0], to, WIRE_BYTES - 1, 0), WIRE_BYTES - 1);
	/* What is asked for is given, and then nothing more. */
	CHECK_INT(recv(pair[0], to, 100, 0), 100);
	CHECK_INT(recv(pair[0], to, 1, 0), -1);
	CHECK_INT(errno, EAGAIN);
	wire_refill();
	CHECK_INT(recv(pair[0], to, 1, 0), 1);
	world_end();
}

/* The same of datagrams, and whose they are. */
static void test_datagrams(void)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	}, from;
	socklen_t len = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0), i;
	char to[8];

	CHECK(bind(fd, (struct sockaddr *)&address, len) == 0 &&
	      getsockname(fd, (struct sockaddr *)&address, &len) == 0);
	for (i = 0; i < 2 * WIRE_READS; i++)
		CHECK(sendto(fd, "x", 1, 0, (struct sockaddr *)&address, len) ==
		      1);
	wire_refill();
	for (i = 0; i < WIRE_READS; i++) {
		memset(&from, 0, sizeof(from));
		len = sizeof(from);
		CHECK_INT(recvfrom(fd, to, sizeof(to), 0,
				   (struct sockaddr *)&from, &len),
			  1);
		CHECK(len == sizeof(from) && from.sin_port == address.sin_port);
	}
	CHECK_INT(recvfrom(fd, to, sizeof(to), 0, NULL, NULL), -1);
	CHECK_INT(errno, EAGAIN);
	wire_refill();
	CHECK_INT(recvfrom(fd, to, sizeof(to), 0, NULL, NULL), 1);
	close(fd);
}

static void send_descriptor(int fd)
{
	char byte = 'x', room[CMSG_SPACE(sizeof(int))] = "";
	struct iovec piece = { &byte, 1 };
	struct msghdr message = { .msg_iov = &piece,
				  .msg_iovlen = 1,
				  .msg_control = room,
				  .msg_controllen = sizeof(room) };
	struct cmsghdr *control = CMSG_FIRSTHDR(&message);

	control->cmsg_level = SOL_SOCKET;
	control->cmsg_type = SCM_RIGHTS;
	control->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(control), &fd, sizeof(fd));
	CHECK(sendmsg(pair[1], &message, 0) == 1);
}

/* A descriptor that is passed along stays where it is. */
static void test_rights(void)
{
	int passed[2];
	char to[8];

	world();
	wire_refill();
	CHECK(pipe(passed) == 0);
	CHECK(write(pair[1], "good", 4) == 4);
	CHECK_INT(recv(pair[0], to, sizeof(to), 0), 4);
	send_descriptor(passed[1]);
	close(passed[1]);
	CHECK_INT(recv(pair[0], to, sizeof(to), 0), -1);
	CHECK_INT(errno, EBADMSG);
	/* The write end of the pipe is still open. */
	CHECK(fcntl(passed[0], F_SETFL, O_NONBLOCK) == 0);
	CHECK_INT(read(passed[0], to, 1), -1);
	world_end();
	/* By the closer, in a moment. */
	CHECK_INT(poll(&(struct pollfd){ passed[0], POLLIN, 0 }, 1, 5000), 1);
	CHECK_INT(read(passed[0], to, 1), 0);
	close(passed[0]);
}

/* A TCP connection with so much unsent that its close waits, for an hour; *peer
 * is its other end, which reads nothing. */
static int lingering(int *peer)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
	const struct linger hour = { 1, 3600 };
	socklen_t len = sizeof(address);
	static char much[65536];
	int listener = socket(AF_INET, SOCK_STREAM, 0);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	CHECK(bind(listener, (struct sockaddr *)&address, len) == 0 &&
	      listen(listener, 1) == 0 &&
	      getsockname(listener, (struct sockaddr *)&address, &len) == 0 &&
	      connect(fd, (struct sockaddr *)&address, len) == 0);
	*peer = accept(listener, NULL, NULL);
	close(listener);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hour, sizeof(hour)) == 0);
	while (send(fd, much, sizeof(much), MSG_DONTWAIT) > 0)
		continue;
	return fd;
}

/* Reads all peers until each has seen the end: one close may wait for the next,
 * since a child that closes one may have inherited the other. */
static void read_to_the_end(struct pollfd *peers, nfds_t n)
{
	char to[65536];
	nfds_t i, open = n;

	while (open > 0 && poll(peers, n, -1) > 0) {
		for (i = 0; i < n; i++) {
			if (!peers[i].revents ||
			    read(peers[i].fd, to, sizeof(to)) > 0)
				continue;
			close(peers[i].fd);
			peers[i].fd = -1;
			open--;
		}
	}
}

/* Closing does not wait for what is passed along, however much of it there is
 * and however it lingers. */
static void test_close_lingering(void)
{
	struct timespec before, after;
	struct pollfd peers[8];
	int i, fd;

	clock_gettime(CLOCK_MONOTONIC, &before);
	for (i = 0; i < 8; i++) {
		world();
		peers[i].events = POLLIN;
		fd = lingering(&peers[i].fd);
		send_descriptor(fd);
		close(fd);
		world_end();
	}
	clock_gettime(CLOCK_MONOTONIC, &after);
	CHECK(after.tv_sec - before.tv_sec < 60);
	/* Each was closed: behind what was unread comes the end. */
	read_to_the_end(peers, 8);
}

/* What others use, too, is closed and not shut down. */
static void test_close_shared(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	socklen_t len = sizeof(sa_family_t);
	int listener = socket(AF_UNIX, SOCK_STREAM, 0), other, client;

	/* Without a path: an abstract name (unix(7)). */
	CHECK(bind(listener, (struct sockaddr *)&address, len) == 0 &&
	      listen(listener, 1) == 0);
	other = dup(listener);
	close(listener);
	len = sizeof(address);
	CHECK(getsockname(other, (struct sockaddr *)&address, &len) == 0);
	client = socket(AF_UNIX, SOCK_STREAM, 0);
	CHECK(connect(client, (struct sockaddr *)&address, len) == 0);
	errno = ESRCH;
	CHECK(close(client) == 0 && close(other) == 0);
	CHECK_INT(errno, ESRCH);
	CHECK(close(other) == -1 && errno == EBADF);
}

static void test_feed(void)
{
	char to[8] = "";

	wire_feed("abcdef", 6);
	CHECK_INT(read(WIRE_FED, to, 4), 4);
	CHECK_INT(read(WIRE_FED, to + 4, 4), 2);
	CHECK_STR(to, "abcdef");
	CHECK_INT(read(WIRE_FED, to, 4), 0);
	CHECK(close(WIRE_FED) == -1);
}

static void test_look(void)
{
	char to[8];

	world();
	wire_refill();
	CHECK(write(pair[1], "good", 4) == 4);
	CHECK_INT(recv(pair[0], to, 1, MSG_PEEK), 0);
	CHECK_INT(recv(pair[0], to, sizeof(to), 0), 4);
	CHECK_INT(recv(pair[0], to, 1, MSG_PEEK | MSG_DONTWAIT), -1);
	CHECK_INT(errno, EAGAIN);
	world_end();
}

static void test_end(void)
{
	char to[8];

	world();
	wire_refill();
	close(pair[1]);
	CHECK_INT(recv(pair[0], to, sizeof(to), 0), 0);
	close(pair[0]);
}

/* ---- taps ---- */

static char seen[16];

static bool see(struct wire_tap *tap, const unsigned char *bytes, size_t len,
		bool decrypted)
{
	(void)tap;
	CHECK(!decrypted);
	memcpy(seen, bytes, len);
	return bytes[0] != 'b';
}

static void test_tap(void)
{
	struct wire_tap tap = { see };
	char to[4];

	world();
	wire_refill();
	wire_tap_set(&tap);
	CHECK(write(pair[1], "goodbad.", 8) == 8);
	CHECK_INT(recv(pair[0], to, 4, 0), 4);
	CHECK_STR(seen, "good");
	CHECK_INT(recv(pair[0], to, 4, 0), -1);
	CHECK_INT(errno, ECONNRESET);
	wire_tap_set(NULL);
	CHECK(write(pair[1], "bad.", 4) == 4);
	CHECK_INT(recv(pair[0], to, 4, 0), 4);
	world_end();
}

/* Also what a library makes for itself offers no finite-field groups. */
static void test_offer(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
	STACK_OF(SSL_CIPHER) * ciphers;
	SSL *ssl = SSL_new(ctx);
	int i;

	ciphers = SSL_get1_supported_ciphers(ssl);
	CHECK(sk_SSL_CIPHER_num(ciphers) > 3);
	for (i = 0; i < sk_SSL_CIPHER_num(ciphers); i++)
		CHECK(SSL_CIPHER_get_kx_nid(sk_SSL_CIPHER_value(ciphers, i)) !=
		      NID_kx_dhe);
	sk_SSL_CIPHER_free(ciphers);
	SSL_free(ssl);
	SSL_CTX_free(ctx);
}

int main(void)
{
	test_reads();
	test_bytes();
	test_datagrams();
	test_rights();
	test_close_lingering();
	test_close_shared();
	test_feed();
	test_look();
	test_end();
	test_tap();
	test_offer();
	return unit_report();
}

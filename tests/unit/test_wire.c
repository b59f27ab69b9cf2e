/*
 * Reading with an allowance, and without taking in descriptors.
 */
#include "wire.c"

#include <fcntl.h>
#include <pthread.h>
#include <string.h>
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
	CHECK(pthread_create(&thread, NULL, count_elsewhere, &n) == 0);
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
	CHECK_INT(read(passed[0], to, 1), 0);
	close(passed[0]);
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
	test_rights();
	test_end();
	test_tap();
	test_offer();
	return unit_report();
}

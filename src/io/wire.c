/* The checked variants of the C library would conflict with our recv(). */
#undef _FORTIFY_SOURCE

#include "config.h"

#include "io/wire.h"

#include <openssl/ssl.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "io/closer.h"

/*
 * For one step.  A TLS record takes two reads and may hold 16 KiB, in which a
 * hostile peer packs hundreds of handshake messages.
 */
#define WIRE_READS 32
#define WIRE_BYTES (16 * 1024)

#define WIRE_VISIBLE __attribute__((visibility("default")))

static _Thread_local struct {
	bool limited;
	int reads;
	size_t bytes;
	struct wire_tap *tap;
	int offered; /* 1 + the descriptor; 0: none */
	const unsigned char *fed;
	size_t fed_left;
} wire;

void wire_refill(void)
{
	wire.limited = true;
	wire.reads = WIRE_READS;
	wire.bytes = WIRE_BYTES;
}

void wire_tap_set(struct wire_tap *tap)
{
	wire.tap = tap;
}

void wire_offer(int fd)
{
	if (wire.offered)
		close(wire.offered - 1);
	wire.offered = fd + 1;
}

void wire_feed(const void *bytes, size_t len)
{
	wire.fed = bytes;
	wire.fed_left = len;
}

static bool wire_is_unix(int fd)
{
	int domain;
	socklen_t len = sizeof(domain);

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) == 0 &&
	       domain == AF_UNIX;
}

/*
 * Without room for control data the kernel installs no descriptor but says that
 * there was one, also with the piece behind these bytes.
 */
ssize_t wire_peek(int fd, void *to, size_t size, bool *rights)
{
	struct iovec piece = { to, size };
	struct msghdr message = { .msg_iov = &piece, .msg_iovlen = 1 };
	ssize_t got;

	do
		got = recvmsg(fd, &message, MSG_PEEK | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	*rights = got >= 0 && (message.msg_flags & MSG_CTRUNC);
	return got;
}

static bool wire_allows(void)
{
	if (wire.reads == 0 || wire.bytes == 0) {
		errno = EAGAIN;
		return false;
	}
	wire.reads--;
	return true;
}

static void wire_spend(ssize_t got)
{
	if (got > 0)
		wire.bytes -= (size_t)got < wire.bytes ? (size_t)got
						       : wire.bytes;
}

static bool wire_show(const void *bytes, size_t len, bool decrypted)
{
	return !wire.tap || wire.tap->on_bytes(wire.tap, bytes, len, decrypted);
}

/* recvfrom(2) itself. */
static ssize_t wire_take(int fd, void *to, size_t size, int flags, void *from,
			 socklen_t *from_len)
{
	struct iovec piece = { to, size };
	struct msghdr message = { .msg_name = from,
				  .msg_namelen = from_len ? *from_len : 0,
				  .msg_iov = &piece,
				  .msg_iovlen = 1 };
	ssize_t got = recvmsg(fd, &message, flags);

	if (from_len)
		*from_len = message.msg_namelen;
	return got;
}

ssize_t wire_recv(int fd, void *to, size_t size, int flags)
{
	bool rights = false;
	int one = 1;
	ssize_t got;

	if (!wire.limited)
		return wire_take(fd, to, size, flags, NULL, NULL);
	if (flags & MSG_PEEK) {
		got = wire_take(fd, to, size, flags, NULL, NULL);
		return got > 0 ? 0 : got;
	}
	if (!wire_allows())
		return -1;
	if (wire_is_unix(fd)) {
		setsockopt(fd, SOL_SOCKET, SO_OOBINLINE, &one, sizeof(one));
		got = wire_peek(fd, to, size, &rights);
		if (rights) {
			errno = EBADMSG;
			return -1;
		}
		if (got <= 0)
			return got;
		/* Not beyond what was looked at. */
		size = (size_t)got;
	}
	got = wire_take(fd, to, size, flags, NULL, NULL);
	wire_spend(got);
	if (got > 0 && !wire_show(to, (size_t)got, false)) {
		errno = ECONNRESET;
		return -1;
	}
	return got;
}

/* ---- in place of the libraries' functions ---- */

WIRE_VISIBLE ssize_t recv(int fd, void *to, size_t size, int flags)
{
	return wire_recv(fd, to, size, flags);
}

/* c-ares reads datagrams until the socket has no more. */
WIRE_VISIBLE ssize_t recvfrom(int fd, void *to, size_t size, int flags,
			      __SOCKADDR_ARG from, socklen_t *len)
{
	if (wire.limited && !wire_allows())
		return -1;
	return wire_take(fd, to, size, flags, from.__sockaddr__, len);
}

/* The function of that name which the next library defines.  *known is the same
 * for each thread, whichever comes first. */
static void *wire_library(_Atomic(void *) *known, const char *name)
{
	void *function = atomic_load(known);

	if (!function) {
		function = dlsym(RTLD_NEXT, name);
		atomic_store(known, function);
	}
	return function;
}

WIRE_VISIBLE ssize_t read(int fd, void *to, size_t size)
{
	struct iovec piece = { to, size };

	if (fd != WIRE_FED)
		return readv(fd, &piece, 1);
	if (size > wire.fed_left)
		size = wire.fed_left;
	memcpy(to, wire.fed, size);
	wire.fed += size;
	wire.fed_left -= size;
	return (ssize_t)size;
}

/*
 * Whether a Unix socket has something unread, with which descriptors of others
 * may go.  Nothing can be added any more then.  A listening socket may be
 * shared with others, which go on accepting.
 */
static bool wire_holds(int fd)
{
	int listening = 0, unread = 0;
	socklen_t len = sizeof(listening);

	if (!wire_is_unix(fd) ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) ||
	    listening)
		return false;
	shutdown(fd, SHUT_RD);
	return ioctl(fd, FIONREAD, &unread) == 0 && unread > 0;
}

static int wire_close(int fd)
{
	static _Atomic(void *) known;
	int (*library)(int);

	*(void **)&library = wire_library(&known, "close");
	return library(fd);
}

WIRE_VISIBLE int close(int fd)
{
	/* Libraries read it behind a close that has succeeded. */
	int error = errno;
	bool holds = wire_holds(fd);

	errno = error;
	if (!holds)
		return wire_close(fd);
	closer_take(fd);
	errno = error;
	return 0;
}

/* Weak: fuzz targets have one of their own. */
WIRE_VISIBLE __attribute__((weak)) int connect(int fd,
					       __CONST_SOCKADDR_ARG address,
					       socklen_t len)
{
	static _Atomic(void *) known;
	int (*library)(int, __CONST_SOCKADDR_ARG, socklen_t);
	int result;

	if (wire.offered && address.__sockaddr__->sa_family == AF_UNIX) {
		if (dup3(wire.offered - 1, fd, O_CLOEXEC) < 0)
			return -1;
		/* The connection lives on: not as wire_holds() ends it. */
		wire_close(wire.offered - 1);
		wire.offered = 0;
		return 0;
	}
	*(void **)&library = wire_library(&known, "connect");
	result = library(fd, address, len);
	/* libcurl connects in some releases what it was given connected. */
	return result && errno == EISCONN ? 0 : result;
}

WIRE_VISIBLE int SSL_read(SSL *ssl, void *to, int size)
{
	static _Atomic(void *) known;
	int (*library)(SSL *, void *, int);
	int got;

	*(void **)&library = wire_library(&known, "SSL_read");
	got = library(ssl, to, size);
	if (got > 0 && !wire_show(to, (size_t)got, true)) {
		errno = ECONNRESET;
		return -1;
	}
	return got;
}

typedef int wire_judge(const SSL *, const SSL_CTX *, int, int, int, void *,
		       void *);

/* Groups of RFC 7919, by their number in TLS. */
static bool wire_is_ffdhe(const unsigned char group[2])
{
	return group[0] == 1;
}

/*
 * OpenSSL's own rules, and no finite-field Diffie-Hellman: the peer chooses
 * the group, and one of 10,000 bits costs us 3.6 s in one call.  Every server
 * that speaks TLS 1.2 has elliptic curves.
 */
static int wire_judge_offer(const SSL *ssl, const SSL_CTX *ctx, int operation,
			    int bits, int nid, void *what, void *library)
{
	wire_judge *judge;

	switch (operation & SSL_SECOP_OTHER_TYPE) {
	case SSL_SECOP_OTHER_CIPHER:
		if (SSL_CIPHER_get_kx_nid(what) == NID_kx_dhe)
			return 0;
		break;
	case SSL_SECOP_OTHER_CURVE:
		if (wire_is_ffdhe(what))
			return 0;
		break;
	}
	*(void **)&judge = library;
	return judge(ssl, ctx, operation, bits, nid, what, NULL);
}

WIRE_VISIBLE SSL_CTX *SSL_CTX_new(const SSL_METHOD *method)
{
	SSL_CTX *ctx = SSL_CTX_new_ex(NULL, NULL, method);
	wire_judge *judge;

	if (!ctx)
		return NULL;
	judge = SSL_CTX_get_security_callback(ctx);
	SSL_CTX_set_security_callback(ctx, wire_judge_offer);
	SSL_CTX_set0_security_ex_data(ctx, *(void **)&judge);
	return ctx;
}

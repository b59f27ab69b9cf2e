/*
 * wire: the calls by which libraries deal with peers.
 *
 * One call into libpq, libcurl or OpenSSL reads for as long as the peer keeps
 * up, and an endless handshake, a flood of session tickets or a body read byte
 * by byte would hold all checks, until the worker is killed (asker.h); so would
 * one of datagrams in c-ares.
 * These libraries read by recv(2) and recvfrom(2), decrypt by SSL_read(3) and
 * set up TLS by SSL_CTX_new(3).  This file defines
 * these, and read(2), connect(2) and close(2), for the whole program; the
 * dynamic linker finds them before those of the libraries (ld.so(8)).
 *
 * In a thread that has called wire_refill() once, these two answer EAGAIN when
 * the allowance is used up.  The loop refills it before each callback, and
 * poll(2) reports what is still unread in the next turn.  In other threads
 * they are the system's.
 *
 * There, a look (MSG_PEEK) by recv() sees the end of the connection in place of
 * bytes. libcurl looks so at an idle connection, and before version 8 takes
 * what came unasked for the answer to its next question.
 *
 * A descriptor that a peer passes along (SCM_RIGHTS, unix(7)) could be the last
 * reference to a file whose close blocks.  In such a thread, recv() on a Unix
 * socket never takes one in: it fails with EBADMSG and leaves it unread.
 * close() of a Unix socket with something unread is done by the closer; it ends
 * receiving, so a duplicate of the descriptor that is to live on must be closed
 * otherwise.
 */
#ifndef HEALTH_WIRE_H
#define HEALTH_WIRE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* What one read costs at least, in bytes, where the bytes from a peer are
 * limited: otherwise a peer that sends a few at a time may go on for long. */
#define WIRE_READ_MIN 64
static inline size_t wire_cost(size_t read_bytes)
{
	return read_bytes < WIRE_READ_MIN ? WIRE_READ_MIN : read_bytes;
}

/* Gives the calling thread a new allowance, enough for one step of one
 * connection. */
void wire_refill(void);

/* recv(2) with the rules above. */
ssize_t wire_recv(int fd, void *to, size_t size, int flags);

/*
 * recv(2) with MSG_PEEK and MSG_DONTWAIT.  *rights: descriptors were passed
 * with these bytes or right behind them; they stay in the socket, and so must
 * the bytes.  Any thread.
 */
ssize_t wire_peek(int fd, void *to, size_t size, bool *rights);

/*
 * What the calling thread reads by read(2) from WIRE_FED, a number that no
 * descriptor has: these bytes, then the end.  libfcgi takes bytes in no other
 * way, and would otherwise read bytes that the gate has not checked.  Borrowed
 * until the next call.
 */
#define WIRE_FED INT_MAX
void wire_feed(const void *bytes, size_t len);

/*
 * The calling thread's next connect(2) to a Unix socket succeeds at once, on
 * this connection: libpq connects by itself, and the path may lead to a dead
 * mount.  Takes the descriptor over, and closes it with the next offer unless
 * it was used; -1: no offer.
 */
void wire_offer(int fd);

/*
 * Shows a module what a library reads, before the library sees it.  While a
 * tap is set, on_bytes() is called in the same thread with each piece: as read
 * from the socket, or (decrypted) by SSL_read().  When it returns false the
 * library sees a broken connection.
 */
struct wire_tap {
	bool (*on_bytes)(struct wire_tap *tap, const unsigned char *bytes,
			 size_t len, bool decrypted);
};
/* Sets the calling thread's tap; NULL ends it.  Borrowed. */
void wire_tap_set(struct wire_tap *tap);

#endif

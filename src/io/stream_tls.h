/*
 * stream_tls: TLS on a connected socket, with OpenSSL.
 *
 * Belongs to the main thread of a worker; never blocks.  The socket and the
 * trust are borrowed until stream_tls_close().  A state of STREAM_ERROR comes
 * with the failure filled in; after it, only stream_tls_close() may be called.
 */
#ifndef HEALTH_STREAM_TLS_H
#define HEALTH_STREAM_TLS_H

#include <openssl/ssl.h>

#include <stdbool.h>
#include <stddef.h>

#include "base/failure.h"
#include "io/stream.h"

/*
 * OpenSSL's own socket BIO would call write(2), which raises SIGPIPE on a
 * connection that the peer has closed, and does not say which errno broke it.
 */
struct stream_bio {
	int fd;		/* borrowed, non-blocking */
	bool input_end; /* the peer closed its side */
	int error;	/* the errno that broke it; 0: none */
	size_t bytes;	/* read so far */
};

/* Embedded in its owner; zeroed means without TLS. */
struct stream_tls {
	/* Set by the owner before the handshake; borrowed. */
	struct stream_trust *trust; /* NULL: without TLS */
	const char *host;	    /* verified and sent as SNI */
	SSL *ssl;		    /* NULL: not begun */
	struct stream_bio bio;
	bool secured; /* the handshake is over */
	short events; /* what to poll(2) for after STREAM_PENDING */
};

/* One step of the handshake. */
enum stream_state stream_tls_secure(struct stream_tls *tls, int fd,
				    struct failure *failure);
/* As stream_read() and stream_write(); size > 0. */
enum stream_state stream_tls_read(struct stream_tls *tls, void *to, size_t size,
				  size_t *moved, struct failure *failure);
enum stream_state stream_tls_write(struct stream_tls *tls, const void *from,
				   size_t size, size_t *moved,
				   struct failure *failure);
/* Tells the peer, unless the connection is broken. */
void stream_tls_close(struct stream_tls *tls, bool broken);

#endif

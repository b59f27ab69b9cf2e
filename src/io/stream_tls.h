/*
 * stream_tls: TLS on a connected socket, with OpenSSL.
 *
 * Belongs to the prober thread; never blocks.  The socket and the trust are
 * borrowed until stream_tls_close().  A state of STREAM_ERROR comes with the
 * failure filled in; after it, only stream_tls_close() may be called.
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

/* For all streams, any thread; for BIO_meth_free().  NULL when out of memory.
 */
BIO_METHOD *stream_bio_method(void);

/* The CAs that a stream trusts, its client certificate, and the TLS settings
 * of all streams.  The main thread makes and frees it (stream.h); in between it
 * belongs to the prober thread. */
struct stream_trust {
	SSL_CTX *ctx;
	BIO_METHOD *io;
	bool of_system;	     /* trusts the system's CAs ... */
	bool has_system_cas; /* ... and has them already */
};

/* Before the first connection: loads the system's CAs, if these are to be
 * trusted.  false: they cannot be loaded. */
bool stream_trust_ready(struct stream_trust *trust);

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

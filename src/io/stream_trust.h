/*
 * stream_trust: the CAs that a TLS stream trusts, its client certificate,
 * and the TLS settings of all streams.
 *
 * The functions that make and free one are in stream.h: the main thread calls
 * them, at start and at the end.  In between it belongs to the prober thread.
 */
#ifndef HEALTH_STREAM_TRUST_H
#define HEALTH_STREAM_TRUST_H

#include <openssl/ssl.h>

#include <stdbool.h>

struct stream_trust {
	SSL_CTX *ctx;
	BIO_METHOD *io;
	bool of_system;	     /* trusts the system's CAs ... */
	bool has_system_cas; /* ... and has them already */
};

/* Before the first connection: loads the system's CAs, if these are to be
 * trusted.  false: they cannot be had. */
bool stream_trust_ready(struct stream_trust *trust);

#endif

/*
 * stream_bio: how OpenSSL reads from and writes to a socket of ours.
 *
 * Its own way is write(2), which raises SIGPIPE on a connection that the peer
 * has closed, and it leaves no trace of what broke.
 *
 * A method may be shared by all threads, a bio belongs to one.
 */
#ifndef HEALTH_STREAM_BIO_H
#define HEALTH_STREAM_BIO_H

#include <openssl/bio.h>

#include <stdbool.h>
#include <stddef.h>

/* Embedded in its owner, which outlives the BIO. */
struct stream_bio {
	int fd;		/* borrowed, non-blocking */
	bool input_end; /* the peer closed its side */
	int error;	/* the errno that broke it; 0: none */
	size_t bytes;	/* read so far */
};

/* For BIO_meth_free(); NULL when out of memory. */
BIO_METHOD *stream_bio_method(void);

/* Owned by the caller; NULL when out of memory. */
BIO *stream_bio_create(const BIO_METHOD *method, struct stream_bio *bio);

#endif

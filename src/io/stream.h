/*
 * stream: a non-blocking byte stream over TCP or a Unix socket, with or
 * without TLS (OpenSSL), to the first of several addresses that answers.
 *
 * The protocols that bring no I/O of their own (Redis) speak on it.  TLS
 * always verifies the chain and the host name or IP address (RFC 9525: by the
 * subject's alternative names, never by its common name).
 *
 * While several addresses are tried side by side, stream_fd() is an epoll(7)
 * descriptor that holds all of them and the timer for the next; so there is
 * always one descriptor to watch, but it may be another after each call.
 *
 * Belongs to the main thread of a worker; never blocks: addresses and CA file
 * content come in ready.
 */
#ifndef HEALTH_STREAM_H
#define HEALTH_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "io/resolve.h"
#include "base/failure.h"

#define STREAM_PEM_BYTES (1024 * 1024) /* of a file */

struct conf;
struct conf_section;
struct offload;
struct stream;
struct stream_trust; /* CA certificates and TLS settings, shared by streams */

/*
 * Trust in the CAs of a PEM text, or in the system's when pem is NULL (loaded
 * at the first use, once, shared by all).  NULL and words when the text holds
 * no usable certificate or memory ran out.  As prepare() in check.h: the main
 * thread, later one of offload.
 */
struct stream_trust *stream_trust_create(const char *pem, size_t len,
					 char *words, size_t words_size);
/* What keeps a PEM text from being CAs, in words; NULL: nothing.  For libraries
 * that read it again themselves.  Likewise. */
const char *stream_pem_wrong(const char *pem, size_t len);
/* As stream_trust_create(), for what a check has as `ca_file`, "" for the
 * system's; NULL: an error was collected. */
struct stream_trust *stream_trust_prepare(struct conf *conf,
					  const struct conf_section *section,
					  const char *ca_file);
/*
 * Adds a certificate (with its chain) and key to show to peers that ask for
 * one.  -1 and words when they are unusable; an encrypted key is.
 */
int stream_trust_identify(struct stream_trust *trust, const char *cert_pem,
			  size_t cert_len, const char *key_pem, size_t key_len,
			  char *words, size_t words_size)
	__attribute__((warn_unused_result));
/* After all its streams are closed; NULL is allowed. */
void stream_trust_destroy(struct stream_trust *trust);

struct stream_target {
	const char *unix_path; /* of a Unix socket, which a thread of `offload`
				  connects; the rest is unused; or NULL */
	struct offload *offload;
	const struct resolve_answer *addrs; /* borrowed during stream_open() */
	uint16_t port;
	struct stream_trust *trust; /* NULL: no TLS */
	const char *host; /* named in failures; with TLS also verified and
			     sent as SNI */
	int64_t try_ms;	  /* one address may take this long before the next
			     one is tried beside it */
};

/* How long one of n addresses may take when there are left_ms for all. */
int64_t stream_try_ms(int64_t left_ms, size_t n);

enum stream_state {
	STREAM_PENDING, /* wait for stream_fd() and stream_events() */
	STREAM_DONE,	/* open; or: the bytes were moved */
	STREAM_ERROR	/* see stream_failure(); also when the peer closed */
};

/* Begins to connect.  NULL only when out of memory. */
struct stream *stream_open(const struct stream_target *target);
void stream_close(struct stream *stream); /* NULL is allowed */

/* Ends a stream that is open, without TLS; its descriptor is the caller's. */
int stream_release(struct stream *stream) __attribute__((warn_unused_result));

/* One step towards open.  Call after stream_open() and whenever the
 * descriptor is ready, until not STREAM_PENDING. */
enum stream_state stream_advance(struct stream *stream);

/* *moved is set with STREAM_DONE only, and is > 0 then.  Without TLS, what the
 * peer said before it closed can be read although a write failed. */
enum stream_state stream_read(struct stream *stream, void *to, size_t size,
			      size_t *moved);
enum stream_state stream_write(struct stream *stream, const void *from,
			       size_t size, size_t *moved);

int stream_fd(const struct stream *stream);
short stream_events(const struct stream *stream);
const char *stream_step(const struct stream *stream); /* "connecting", ... */

/* After STREAM_ERROR: why; before, its code is RESULT_UNKNOWN. */
const struct failure *stream_failure(const struct stream *stream);

/* The address that the stream is connected to, or could not connect to; NULL:
 * none, or a Unix socket. */
const struct sockaddr *stream_peer(const struct stream *stream);

#endif

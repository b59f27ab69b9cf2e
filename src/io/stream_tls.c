#include "config.h"

#include "io/stream_tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "io/wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>

/* A long chain of certificates is below this. */
#define STREAM_HANDSHAKE_BYTES (128 * 1024)

/* ---- the socket, as OpenSSL uses it ---- */

static int stream_bio_write(BIO *library, const char *from, int size)
{
	struct stream_bio *bio = BIO_get_data(library);
	ssize_t sent = send(bio->fd, from, (size_t)size, MSG_NOSIGNAL);

	BIO_clear_retry_flags(library);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(library);
	else if (sent < 0)
		bio->error = errno;
	return (int)sent;
}

static int stream_bio_read(BIO *library, char *to, int size)
{
	struct stream_bio *bio = BIO_get_data(library);
	ssize_t got = wire_recv(bio->fd, to, (size_t)size, 0);

	BIO_clear_retry_flags(library);
	if (got > 0)
		bio->bytes += (size_t)got;
	else if (got == 0)
		bio->input_end = true;
	else if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_read(library);
	else
		bio->error = errno;
	return (int)got;
}

static long stream_bio_ctrl(BIO *library, int command, long number, void *arg)
{
	const struct stream_bio *bio = BIO_get_data(library);

	(void)number, (void)arg;
	if (command == BIO_CTRL_EOF)
		return bio->input_end;
	return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *stream_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (method && BIO_meth_set_write(method, stream_bio_write) &&
	    BIO_meth_set_read(method, stream_bio_read) &&
	    BIO_meth_set_ctrl(method, stream_bio_ctrl))
		return method;
	BIO_meth_free(method);
	return NULL;
}

/* ---- TLS ---- */

static bool stream_tls_expect_host(struct stream_tls *tls)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
	struct in6_addr bits;

	if (inet_pton(AF_INET, tls->host, &bits) == 1 ||
	    inet_pton(AF_INET6, tls->host, &bits) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(param, tls->host) == 1;
	/* SNI is for names only, RFC 6066 section 3. */
	return SSL_set_tlsext_host_name(tls->ssl, tls->host) == 1 &&
	       X509_VERIFY_PARAM_set1_host(param, tls->host, 0) == 1;
}

static bool stream_tls_begin(struct stream_tls *tls, int fd)
{
	BIO *bio;

	if (!stream_trust_ready(tls->trust))
		return false;
	tls->ssl = SSL_new(tls->trust->ctx);
	tls->bio.fd = fd;
	bio = tls->ssl ? BIO_new(tls->trust->io) : NULL;
	if (!bio)
		return false;
	BIO_set_data(bio, &tls->bio);
	BIO_set_init(bio, 1);
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_connect_state(tls->ssl);
	return stream_tls_expect_host(tls);
}

static struct failure stream_tls_failure(const struct stream_tls *tls)
{
	const char *said = ERR_reason_error_string(ERR_peek_error());
	struct failure failure = { .code = RESULT_UNKNOWN };

	if (tls->bio.error)
		return failure_errno(tls->bio.error);
	if (!tls->secured)
		failure = failure_handshake(tls->ssl);
	if (failure.code != RESULT_UNKNOWN)
		return failure;
	said = said ? said : "";
	failure = failure_tls(said, tls->secured ? "TLS: connection broken"
						 : "TLS: handshake failed");
	snprintf(failure.detail, sizeof(failure.detail), "%s", said);
	return failure;
}

/* What a call of the library that returned this means. */
static enum stream_state stream_tls_judge(struct stream_tls *tls, int returned,
					  struct failure *failure)
{
	switch (SSL_get_error(tls->ssl, returned)) {
	case SSL_ERROR_NONE:
		return STREAM_DONE;
	case SSL_ERROR_WANT_READ:
		tls->events = POLLIN;
		return STREAM_PENDING;
	case SSL_ERROR_WANT_WRITE:
		tls->events = POLLOUT;
		return STREAM_PENDING;
	case SSL_ERROR_ZERO_RETURN:
		*failure = tls->secured ? failure_errno(EPIPE)
					: failure_make(RESULT_TLS,
						       "TLS: peer closed in "
						       "the handshake");
		return STREAM_ERROR;
	default:
		*failure = stream_tls_failure(tls);
		return STREAM_ERROR;
	}
}

enum stream_state stream_tls_secure(struct stream_tls *tls, int fd,
				    struct failure *failure)
{
	int returned;

	ERR_clear_error();
	if (!tls->ssl && !stream_tls_begin(tls, fd)) {
		*failure = failure_make(RESULT_INTERNAL, "cannot set up TLS");
		return STREAM_ERROR;
	}
	returned = SSL_do_handshake(tls->ssl);
	if (returned != 1 && tls->bio.bytes > STREAM_HANDSHAKE_BYTES) {
		*failure = failure_make(RESULT_TLS, "TLS: handshake too long");
		return STREAM_ERROR;
	}
	if (returned != 1)
		return stream_tls_judge(tls, returned, failure);
	tls->secured = true;
	tls->events = POLLIN;
	return STREAM_DONE;
}

enum stream_state stream_tls_read(struct stream_tls *tls, void *to, size_t size,
				  size_t *moved, struct failure *failure)
{
	ERR_clear_error();
	return stream_tls_judge(tls, SSL_read_ex(tls->ssl, to, size, moved),
				failure);
}

enum stream_state stream_tls_write(struct stream_tls *tls, const void *from,
				   size_t size, size_t *moved,
				   struct failure *failure)
{
	ERR_clear_error();
	return stream_tls_judge(tls, SSL_write_ex(tls->ssl, from, size, moved),
				failure);
}

void stream_tls_close(struct stream_tls *tls, bool broken)
{
	if (tls->secured && !broken) {
		ERR_clear_error();
		SSL_shutdown(tls->ssl); /* says so, waits for nothing */
	}
	SSL_free(tls->ssl);
	ERR_clear_error();
}

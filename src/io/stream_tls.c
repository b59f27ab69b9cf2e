#include "config.h"

#include "io/stream_tls.h"

#include "io/stream_trust.h"
#include "base/text.h"
#include "base/tls_words.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

/* A long chain of certificates is below this. */
#define STREAM_HANDSHAKE_BYTES (128 * 1024)

void stream_tls_init(struct stream_tls *tls, struct stream_trust *trust,
		     const char *host)
{
	tls->trust = trust;
	tls->events = POLLIN;
	snprintf(tls->host, sizeof(tls->host), "%.*s", (int)text_undotted(host),
		 host);
}

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
	bio = tls->ssl ? stream_bio_create(tls->trust->io, &tls->bio) : NULL;
	if (!bio)
		return false;
	SSL_set_bio(tls->ssl, bio, bio);
	SSL_set_connect_state(tls->ssl);
	return stream_tls_expect_host(tls);
}

static struct stream_failure stream_tls_failure(const struct stream_tls *tls)
{
	const char *distrust = tls_words_handshake(tls->ssl);

	if (tls->bio.error)
		return stream_words_errno(tls->bio.error);
	if (tls->secured)
		return stream_words_library(ERR_peek_error(),
					    "TLS: connection broken");
	if (distrust)
		return stream_words_verify(distrust,
					   SSL_get_verify_result(tls->ssl));
	return stream_words_library(ERR_peek_error(), "TLS: handshake failed");
}

/* What a call of the library that did not do its work means. */
static enum stream_state stream_tls_judge(struct stream_tls *tls, int returned,
					  struct stream_failure *failure)
{
	switch (SSL_get_error(tls->ssl, returned)) {
	case SSL_ERROR_WANT_READ:
		tls->events = POLLIN;
		return STREAM_PENDING;
	case SSL_ERROR_WANT_WRITE:
		tls->events = POLLOUT;
		return STREAM_PENDING;
	case SSL_ERROR_ZERO_RETURN:
		if (tls->secured)
			return STREAM_EOF;
		*failure = stream_words_own(
			RESULT_TLS, "TLS: peer closed in the handshake");
		return STREAM_ERROR;
	default:
		*failure = stream_tls_failure(tls);
		return STREAM_ERROR;
	}
}

enum stream_state stream_tls_secure(struct stream_tls *tls, int fd,
				    struct stream_failure *failure)
{
	int returned;

	ERR_clear_error();
	if (!tls->ssl && !stream_tls_begin(tls, fd)) {
		*failure = stream_words_own(RESULT_INTERNAL,
					    "TLS cannot be set up");
		return STREAM_ERROR;
	}
	returned = SSL_do_handshake(tls->ssl);
	if (returned != 1 && tls->bio.bytes > STREAM_HANDSHAKE_BYTES) {
		*failure = stream_words_own(RESULT_TLS,
					    "TLS: handshake too long");
		return STREAM_ERROR;
	}
	if (returned != 1)
		return stream_tls_judge(tls, returned, failure);
	tls->secured = true;
	tls->events = POLLIN;
	return STREAM_DONE;
}

enum stream_state stream_tls_read(struct stream_tls *tls, void *to, size_t size,
				  size_t *moved, struct stream_failure *failure)
{
	int returned;

	ERR_clear_error();
	returned = SSL_read_ex(tls->ssl, to, size, moved);
	return returned == 1 ? STREAM_DONE
			     : stream_tls_judge(tls, returned, failure);
}

enum stream_state stream_tls_write(struct stream_tls *tls, const void *from,
				   size_t size, size_t *moved,
				   struct stream_failure *failure)
{
	int returned;

	ERR_clear_error();
	returned = SSL_write_ex(tls->ssl, from, size, moved);
	return returned == 1 ? STREAM_DONE
			     : stream_tls_judge(tls, returned, failure);
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

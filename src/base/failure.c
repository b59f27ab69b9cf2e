#include "config.h"

#include "base/failure.h"

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define FAILURE_COUNT(table) (sizeof(table) / sizeof(*(table)))

struct failure failure_make(enum result_code code, const char *fmt, ...)
{
	struct failure failure = { .code = code };
	va_list args;

	va_start(args, fmt);
	vsnprintf(failure.words, sizeof(failure.words), fmt, args);
	va_end(args);
	return failure;
}

void failure_of_peer(struct failure *failure, const char *peer)
{
	const size_t size = sizeof(failure->detail);
	struct failure was = *failure;
	size_t len;

	snprintf(failure->detail, size, "%s", peer);
	len = strlen(failure->detail);
	if (*was.detail && len + 3 < size)
		snprintf(failure->detail + len, size - len, ": %.*s",
			 (int)(size - len - 3), was.detail);
}

/* ---- the system ---- */

static const struct failure_errno_row {
	int error;
	enum result_code code;
	const char *words;
} failure_errnos[] = {
	{ ECONNREFUSED, RESULT_REFUSED, "connection refused" },
	{ ECONNRESET, RESULT_CONNECT, "connection reset" },
	{ EPIPE, RESULT_CONNECT, "connection closed by the peer" },
	{ ETIMEDOUT, RESULT_CONNECT, "connection timed out" },
	{ EHOSTUNREACH, RESULT_CONNECT, "host unreachable" },
	{ ENETUNREACH, RESULT_CONNECT, "network unreachable" },
	{ EADDRNOTAVAIL, RESULT_CONNECT, "no local address to use" },
	{ EAFNOSUPPORT, RESULT_CONNECT, "address family not supported" },
	{ EACCES, RESULT_CONNECT, "no permission to connect" },
	{ EPERM, RESULT_CONNECT, "no permission to connect" },
	{ ENOENT, RESULT_CONNECT, "no such socket" },
	{ ENOTDIR, RESULT_CONNECT, "no such socket" },
	{ ENOTSOCK, RESULT_CONNECT, "not a socket" },
	{ EPROTOTYPE, RESULT_CONNECT, "not a stream socket" },
	{ ENAMETOOLONG, RESULT_CONFIG, "socket path is too long" },
	/* A Unix socket with a full backlog. */
	{ EAGAIN, RESULT_BUSY, "peer accepts no more connections" },
	{ EMFILE, RESULT_INTERNAL, "out of file descriptors" },
	{ ENFILE, RESULT_INTERNAL, "out of file descriptors" },
	{ ENOMEM, RESULT_INTERNAL, "out of memory" },
	{ ENOBUFS, RESULT_INTERNAL, "out of memory" },
};

struct failure failure_errno(int error)
{
	struct failure failure;
	size_t i;

	for (i = 0; i < FAILURE_COUNT(failure_errnos); i++)
		if (failure_errnos[i].error == error)
			return failure_make(failure_errnos[i].code, "%s",
					    failure_errnos[i].words);
	failure = failure_make(RESULT_CONNECT, "connection failed");
	errno = error;
	snprintf(failure.detail, sizeof(failure.detail), "%m");
	return failure;
}

struct failure failure_errno_said(const char *message, const char *otherwise)
{
	char text[128];
	size_t i;

	for (i = 0; i < FAILURE_COUNT(failure_errnos); i++) {
		errno = failure_errnos[i].error;
		snprintf(text, sizeof(text), "%m");
		if (strstr(message, text))
			return failure_errno(failure_errnos[i].error);
	}
	return failure_make(RESULT_CONNECT, "%s", otherwise);
}

/* ---- TLS ---- */

struct failure failure_tls(const char *message, const char *otherwise)
{
	static const struct {
		const char *sign, *words;
	} table[] = {
		{ "wrong version number", "TLS: peer does not speak TLS" },
		{ "packet length too long", "TLS: peer does not speak TLS" },
		{ "http request", "TLS: peer does not speak TLS" },
		{ "unsupported protocol", "TLS: no common version" },
		{ "alert protocol version", "TLS: no common version" },
		/* Before TLS 1.3 also without a client certificate. */
		{ "alert handshake failure",
		  "TLS: handshake refused by the peer" },
		{ "alert certificate required",
		  "TLS: peer wants a client certificate" },
		{ "alert certificate expired",
		  "TLS: client certificate has expired" },
		{ "alert unknown ca", "TLS: client certificate refused" },
		{ "alert bad certificate", "TLS: client certificate refused" },
		{ "alert decrypt error", "TLS: client certificate refused" },
		{ "unrecognized name",
		  "TLS: peer does not know the host name" },
	};
	size_t i;

	for (i = 0; i < FAILURE_COUNT(table); i++)
		if (strstr(message, table[i].sign))
			return failure_make(RESULT_TLS, "%s", table[i].words);
	return failure_make(otherwise ? RESULT_TLS : RESULT_UNKNOWN, "%s",
			    otherwise ? otherwise : "");
}

const char *failure_verify(long result)
{
	static const char untrusted[] = "TLS: certificate is not trusted";
	static const char weak[] = "TLS: certificate is too weak";
	static const struct {
		long result;
		const char *words;
	} table[] = {
		{ X509_V_ERR_CERT_HAS_EXPIRED, "TLS: certificate has expired" },
		{ X509_V_ERR_CERT_NOT_YET_VALID,
		  "TLS: certificate is not valid yet" },
		{ X509_V_ERR_CERT_REVOKED, "TLS: certificate is revoked" },
		{ X509_V_ERR_HOSTNAME_MISMATCH, FAILURE_OTHER_HOST },
		{ X509_V_ERR_IP_ADDRESS_MISMATCH, FAILURE_OTHER_HOST },
		{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, untrusted },
		{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, untrusted },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, untrusted },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY, untrusted },
		{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE, untrusted },
		{ X509_V_ERR_INVALID_PURPOSE,
		  "TLS: certificate is not for a server" },
		{ X509_V_ERR_EE_KEY_TOO_SMALL, weak },
		{ X509_V_ERR_CA_KEY_TOO_SMALL, weak },
		{ X509_V_ERR_CA_MD_TOO_WEAK, weak },
	};
	size_t i;

	for (i = 0; i < FAILURE_COUNT(table); i++)
		if (table[i].result == result)
			return table[i].words;
	return "TLS: certificate is not valid";
}

static void failure_date(char *to, size_t size, const ASN1_TIME *time)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm) || !strftime(to, size, "%Y-%m-%d", &tm))
		snprintf(to, size, "?");
}

/* The certificate that the result is about: one of the chain whose time is
 * wrong, else the server's own. */
static X509 *failure_culprit(const STACK_OF(X509) * chain, long result)
{
	X509 *cert;
	int i;

	for (i = 0; i < sk_X509_num(chain); i++) {
		cert = sk_X509_value(chain, i);
		if ((result == X509_V_ERR_CERT_HAS_EXPIRED &&
		     X509_cmp_current_time(X509_get0_notAfter(cert)) < 0) ||
		    (result == X509_V_ERR_CERT_NOT_YET_VALID &&
		     X509_cmp_current_time(X509_get0_notBefore(cert)) > 0))
			return cert;
	}
	return i > 0 ? sk_X509_value(chain, 0) : NULL;
}

struct failure failure_certificate(long result,
				   const struct stack_st_X509 *chain)
{
	X509 *cert = failure_culprit(chain, result);
	char subject[200], from[16], until[16];
	const char *said = X509_verify_cert_error_string(result);
	struct failure failure;

	if (result == X509_V_OK)
		return failure_make(RESULT_UNKNOWN, "%s", "");
	failure = failure_make(RESULT_TLS, "%s", failure_verify(result));
	/* A server that sends one certificate alone has one of an unknown CA,
	 * or was set up without the intermediate. */
	if ((result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	     result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE) &&
	    sk_X509_num(chain) == 1)
		failure = failure_make(RESULT_TLS,
				       "TLS: certificate is not trusted: CA "
				       "unknown, or its intermediate not sent");
	snprintf(failure.detail, sizeof(failure.detail), "%s", said);
	if (!cert)
		return failure;
	X509_NAME_oneline(X509_get_subject_name(cert), subject,
			  (int)sizeof(subject));
	failure_date(from, sizeof(from), X509_get0_notBefore(cert));
	failure_date(until, sizeof(until), X509_get0_notAfter(cert));
	snprintf(failure.detail, sizeof(failure.detail),
		 "%s: certificate of %s, valid from %s to %s", said, subject,
		 from, until);
	return failure;
}

struct failure failure_handshake(const struct ssl_st *ssl)
{
	return failure_certificate(SSL_get_verify_result(ssl),
				   SSL_get_peer_cert_chain(ssl));
}

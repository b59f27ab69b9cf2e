#include "config.h"

#include "io/stream_words.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>

static struct stream_failure stream_words_make(enum result_code code,
					       const char *words,
					       const char *detail)
{
	struct stream_failure failure = { .code = code, .words = words };

	snprintf(failure.detail, sizeof(failure.detail), "%s", detail);
	return failure;
}

struct stream_failure stream_words_own(enum result_code code, const char *words)
{
	return stream_words_make(code, words, "");
}

struct stream_failure stream_words_errno(int error)
{
	static const struct {
		int error;
		enum result_code code;
		const char *words;
	} table[] = {
		{ ECONNREFUSED, RESULT_REFUSED, "connection refused" },
		{ ECONNRESET, RESULT_CONNECT, "connection reset" },
		{ EPIPE, RESULT_CONNECT, "connection closed by the peer" },
		{ ETIMEDOUT, RESULT_CONNECT, "connection timed out" },
		{ EHOSTUNREACH, RESULT_CONNECT, "host unreachable" },
		{ ENETUNREACH, RESULT_CONNECT, "network unreachable" },
		{ EADDRNOTAVAIL, RESULT_CONNECT, "no local address to use" },
		{ EAFNOSUPPORT, RESULT_CONNECT,
		  "address family not supported" },
		{ EACCES, RESULT_CONNECT, "no permission to connect" },
		{ EPERM, RESULT_CONNECT, "no permission to connect" },
		{ ENOENT, RESULT_CONNECT, "no such socket" },
		{ ENOTDIR, RESULT_CONNECT, "no such socket" },
		{ ENOTSOCK, RESULT_CONNECT, "not a socket" },
		{ EPROTOTYPE, RESULT_CONNECT, "not a stream socket" },
		{ ENAMETOOLONG, RESULT_CONFIG, "socket path is too long" },
		/* A Unix socket whose backlog is full says so at once. */
		{ EAGAIN, RESULT_BUSY, "peer accepts no more connections" },
		{ EMFILE, RESULT_INTERNAL, "out of file descriptors" },
		{ ENFILE, RESULT_INTERNAL, "out of file descriptors" },
		{ ENOMEM, RESULT_INTERNAL, "out of memory" },
		{ ENOBUFS, RESULT_INTERNAL, "out of memory" },
	};
	char said[RESULT_DETAIL_BYTES];
	size_t i;

	errno = error;
	snprintf(said, sizeof(said), "%m");
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].error == error)
			return stream_words_make(table[i].code, table[i].words,
						 said);
	return stream_words_make(RESULT_CONNECT, "connection failed", said);
}

struct stream_failure stream_words_verify(const char *words, long result)
{
	return stream_words_make(RESULT_TLS, words,
				 X509_verify_cert_error_string(result));
}

struct stream_failure stream_words_library(unsigned long error,
					   const char *otherwise)
{
	static const struct {
		int reason;
		const char *words;
	} table[] = {
		{ SSL_R_WRONG_VERSION_NUMBER, "TLS: peer does not speak TLS" },
		{ SSL_R_PACKET_LENGTH_TOO_LONG,
		  "TLS: peer does not speak TLS" },
		{ SSL_R_HTTP_REQUEST, "TLS: peer does not speak TLS" },
		{ SSL_R_UNSUPPORTED_PROTOCOL, "TLS: no common version" },
		{ SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
		  "TLS: no common version" },
		/* Before TLS 1.3 also for want of a client certificate. */
		{ SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
		  "TLS: handshake refused by the peer" },
		{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
		  "TLS: peer wants a client certificate" },
		{ SSL_R_TLSV1_ALERT_UNKNOWN_CA,
		  "TLS: peer does not accept our certificate" },
		{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
		  "TLS: peer does not accept our certificate" },
		{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
		  "TLS: peer does not accept our certificate" },
		{ SSL_R_TLSV1_UNRECOGNIZED_NAME,
		  "TLS: peer does not know the host name" },
	};
	const char *said = ERR_reason_error_string(error);
	size_t i;

	if (!said)
		said = "";
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (ERR_GET_LIB(error) == ERR_LIB_SSL &&
		    table[i].reason == ERR_GET_REASON(error))
			return stream_words_make(RESULT_TLS, table[i].words,
						 said);
	return stream_words_make(RESULT_TLS, otherwise, said);
}

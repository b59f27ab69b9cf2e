#include "config.h"

#include "kinds/http/http_words.h"

#include "base/tls_words.h"

#include <openssl/x509_vfy.h>

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

struct http_words_row {
	long number;
	enum result_code code;
	const char *words;
};

static struct http_failure http_words_make(enum result_code code,
					   const char *words)
{
	struct http_failure failure = { .code = code };

	snprintf(failure.words, sizeof(failure.words), "%s", words);
	return failure;
}

static struct http_failure http_words_not_connected(long os_errno)
{
	static const struct http_words_row table[] = {
		{ ECONNREFUSED, RESULT_REFUSED, "connection refused" },
		{ ENOENT, RESULT_CONNECT, "no such socket" },
		{ EACCES, RESULT_CONNECT, "no permission to connect" },
		{ EPERM, RESULT_CONNECT, "no permission to connect" },
		{ EHOSTUNREACH, RESULT_CONNECT, "host unreachable" },
		{ ENETUNREACH, RESULT_CONNECT, "host unreachable" },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].number == os_errno)
			return http_words_make(table[i].code, table[i].words);
	return http_words_make(RESULT_CONNECT, "cannot connect");
}

static struct http_failure http_words_not_trusted(long verified)
{
	/* libcurl looks at the name before it fetches what was found of the
	 * chain, and has "unspecified" there until then. */
	if (verified == X509_V_OK || verified == X509_V_ERR_UNSPECIFIED)
		return http_words_make(RESULT_TLS, TLS_WORDS_OTHER_HOST);
	return http_words_make(RESULT_TLS, tls_words_verify(verified));
}

/* OpenSSL's reason, which stands in libcurl's text only, in the same words as
 * of kinds that are on a stream (stream_words.c); NULL: there is none. */
static const char *http_words_tls(const char *said, const char *otherwise)
{
	static const struct {
		const char *sign, *words;
	} table[] = {
		{ "wrong version number", "TLS: peer does not speak TLS" },
		{ "packet length too long", "TLS: peer does not speak TLS" },
		{ "unsupported protocol", "TLS: no common version" },
		{ "alert protocol version", "TLS: no common version" },
		{ "alert handshake failure",
		  "TLS: handshake refused by the peer" },
		{ "alert certificate required",
		  "TLS: peer wants a client certificate" },
		{ "unrecognized name",
		  "TLS: peer does not know the host name" },
	};
	size_t i;

	/* Without close_notify; that it is the end matters more. */
	if (strstr(said, "unexpected eof"))
		return NULL;
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strstr(said, table[i].sign))
			return table[i].words;
	/* "SSL routines", "Provider routines" */
	return strstr(said, " routines:") ? otherwise : NULL;
}

struct http_failure http_words_transfer(CURLcode code, long os_errno,
					long verified, const char *said)
{
	static const char cut_off[] =
		"connection closed before the answer was complete";
	static const struct http_words_row table[] = {
		{ CURLE_OPERATION_TIMEDOUT, RESULT_CONNECT,
		  "no address answered" },
		{ CURLE_COULDNT_RESOLVE_HOST, RESULT_RESOLVE,
		  "host name not resolved" },
		{ CURLE_COULDNT_RESOLVE_PROXY, RESULT_RESOLVE,
		  "host name not resolved" },
		{ CURLE_SSL_CONNECT_ERROR, RESULT_TLS,
		  "TLS: handshake failed" },
		{ CURLE_SSL_CACERT_BADFILE, RESULT_TLS,
		  "TLS: CA certificates unusable" },
		{ CURLE_PARTIAL_FILE, RESULT_CONNECT, cut_off },
		{ CURLE_GOT_NOTHING, RESULT_CONNECT, cut_off },
		{ CURLE_RECV_ERROR, RESULT_CONNECT, cut_off },
		{ CURLE_SEND_ERROR, RESULT_CONNECT, cut_off },
		{ CURLE_WEIRD_SERVER_REPLY, RESULT_PROTOCOL,
		  "answer is not HTTP" },
		/* libcurl 7.88 says this of a header line that is none */
		{ CURLE_BAD_FUNCTION_ARGUMENT, RESULT_PROTOCOL,
		  "answer is not HTTP" },
		/* libcurl undoes a Transfer-Encoding that nobody asked for */
		{ CURLE_BAD_CONTENT_ENCODING, RESULT_PROTOCOL,
		  "answer cannot be decoded" },
		/* HTTP/0.9, that is: anything */
		{ CURLE_UNSUPPORTED_PROTOCOL, RESULT_PROTOCOL,
		  "answer is not HTTP" },
	};
	struct http_failure failure = { .code = RESULT_INTERNAL };
	const char *tls = NULL;
	size_t i;

	if (code == CURLE_SSL_CONNECT_ERROR)
		tls = http_words_tls(said, "TLS: handshake failed");
	else if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)
		tls = http_words_tls(said, "TLS: connection broken");
	if (tls)
		return http_words_make(RESULT_TLS, tls);
	if (code == CURLE_COULDNT_CONNECT)
		return http_words_not_connected(os_errno);
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return http_words_not_trusted(verified);
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].number == (long)code)
			return http_words_make(table[i].code, table[i].words);
	snprintf(failure.words, sizeof(failure.words), "libcurl error %d",
		 (int)code);
	return failure;
}

enum result_code http_words_status(long status)
{
	if (status == 401 || status == 403 || status == 407)
		return RESULT_AUTH;
	if (status == 429)
		return RESULT_THROTTLED;
	return status >= 500 ? RESULT_UPSTREAM : RESULT_STATUS;
}

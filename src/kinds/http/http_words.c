#include "config.h"

#include "kinds/http/http_words.h"

#include <openssl/x509_vfy.h>

#include <stddef.h>
#include <string.h>

static struct failure http_words_not_trusted(long verified)
{
	/* libcurl looks at the name before it fetches what was found of the
	 * chain, and has "unspecified" there until then. */
	if (verified == X509_V_OK || verified == X509_V_ERR_UNSPECIFIED)
		return failure_make(RESULT_TLS, "%s", FAILURE_OTHER_HOST);
	return failure_make(RESULT_TLS, "%s", failure_verify(verified));
}

/* OpenSSL's reason, which only libcurl's text contains; RESULT_UNKNOWN: it is
 * missing. */
static struct failure http_words_tls(const char *said, const char *otherwise)
{
	/* Without close_notify; that it is the end matters more. */
	if (strstr(said, "unexpected eof"))
		return failure_make(RESULT_UNKNOWN, "%s", "");
	/* "SSL routines", "Provider routines" */
	return failure_tls(said, strstr(said, " routines:") ? otherwise : NULL);
}

struct failure http_words_transfer(CURLcode code, long os_errno, long verified,
				   const char *said)
{
	static const char cut_off[] =
		"connection closed before the answer was complete";
	static const struct {
		long number;
		enum result_code code;
		const char *words;
	} table[] = {
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
		/* libcurl 7.88 reports this for an invalid header line */
		{ CURLE_BAD_FUNCTION_ARGUMENT, RESULT_PROTOCOL,
		  "answer is not HTTP" },
		/* libcurl decodes a Transfer-Encoding that was not requested */
		{ CURLE_BAD_CONTENT_ENCODING, RESULT_PROTOCOL,
		  "answer cannot be decoded" },
		/* HTTP/0.9, that is: anything */
		{ CURLE_UNSUPPORTED_PROTOCOL, RESULT_PROTOCOL,
		  "answer is not HTTP" },
	};
	struct failure tls = { .code = RESULT_UNKNOWN };
	size_t i;

	if (code == CURLE_SSL_CONNECT_ERROR)
		tls = http_words_tls(said, "TLS: handshake failed");
	else if (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR)
		tls = http_words_tls(said, "TLS: connection broken");
	if (tls.code != RESULT_UNKNOWN)
		return tls;
	if (code == CURLE_COULDNT_CONNECT)
		return failure_errno((int)os_errno);
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return http_words_not_trusted(verified);
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].number == (long)code)
			return failure_make(table[i].code, "%s",
					    table[i].words);
	return failure_make(RESULT_INTERNAL, "libcurl error %d", (int)code);
}

enum result_code http_words_status(long status)
{
	if (status == 401 || status == 403 || status == 407)
		return RESULT_AUTH;
	if (status == 429)
		return RESULT_THROTTLED;
	return status >= 500 ? RESULT_UPSTREAM : RESULT_STATUS;
}

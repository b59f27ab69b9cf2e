#include "config.h"

#include "base/tls_words.h"

#include <stddef.h>

#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

static const char tls_words_untrusted[] = "TLS: certificate is not trusted";
static const char tls_words_weak[] = "TLS: certificate is too weak";

const char *tls_words_verify(long result)
{
	static const struct {
		long result;
		const char *words;
	} table[] = {
		{ X509_V_ERR_CERT_HAS_EXPIRED, "TLS: certificate has expired" },
		{ X509_V_ERR_CERT_NOT_YET_VALID,
		  "TLS: certificate is not valid yet" },
		{ X509_V_ERR_CERT_REVOKED, "TLS: certificate is revoked" },
		{ X509_V_ERR_HOSTNAME_MISMATCH, TLS_WORDS_OTHER_HOST },
		{ X509_V_ERR_IP_ADDRESS_MISMATCH, TLS_WORDS_OTHER_HOST },
		{ X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, tls_words_untrusted },
		{ X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN, tls_words_untrusted },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT, tls_words_untrusted },
		{ X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY,
		  tls_words_untrusted },
		{ X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE,
		  tls_words_untrusted },
		{ X509_V_ERR_INVALID_PURPOSE,
		  "TLS: certificate is not for a server" },
		{ X509_V_ERR_EE_KEY_TOO_SMALL, tls_words_weak },
		{ X509_V_ERR_CA_KEY_TOO_SMALL, tls_words_weak },
		{ X509_V_ERR_CA_MD_TOO_WEAK, tls_words_weak },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (table[i].result == result)
			return table[i].words;
	return "TLS: certificate is not valid";
}

/* A server that sends its own certificate alone is either one of a CA that is
 * not known here, or it was set up without the intermediate. */
const char *tls_words_handshake(const struct ssl_st *ssl)
{
	long result = SSL_get_verify_result(ssl);

	if (result == X509_V_OK)
		return NULL;
	if ((result == X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY ||
	     result == X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE) &&
	    sk_X509_num(SSL_get_peer_cert_chain(ssl)) == 1)
		return "TLS: certificate is not trusted: CA unknown, or its "
		       "intermediate not sent";
	return tls_words_verify(result);
}

#include "config.h"

#include "tls_words.h"

#include <stddef.h>

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

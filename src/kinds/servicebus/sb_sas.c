#include "config.h"

#include "kinds/servicebus/sb_sas.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdio.h>
#include <string.h>

#define SB_AUDIENCE_BYTES 3072 /* percent-encoded */

/* Percent-encodes all but the unreserved characters of RFC 3986 section 2.3.
 * -1 when it does not fit. */
static int sb_sas_encode(char *to, size_t size, const char *from)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "abcdefghijklmnopqrstuvwxyz0123456789-_.~";
	size_t len = 0;

	for (; *from; from++) {
		if (size - len < 4)
			return -1;
		if (strchr(plain, *from))
			to[len++] = *from;
		else
			len += (size_t)snprintf(to + len, 4, "%%%02X",
						(unsigned char)*from);
	}
	to[len] = '\0';
	return 0;
}

/* The key is taken as the text that it is, although it looks like base64. */
static int sb_sas_sign(char *to, size_t size, const char *text, const char *key)
{
	unsigned char sum[EVP_MAX_MD_SIZE];
	unsigned char base64[4 * ((EVP_MAX_MD_SIZE + 2) / 3) + 1];
	unsigned len = 0;

	if (!HMAC(EVP_sha256(), key, (int)strlen(key),
		  (const unsigned char *)text, strlen(text), sum, &len)) {
		ERR_clear_error();
		return -1;
	}
	EVP_EncodeBlock(base64, sum, (int)len);
	return sb_sas_encode(to, size, (const char *)base64);
}

int sb_sas_token(char *to, size_t size, const char *audience,
		 const char *key_name, const char *key, int64_t expiry)
{
	char resource[SB_AUDIENCE_BYTES], signature[256], name[772];
	char text[SB_AUDIENCE_BYTES + 32];
	int len;

	if (sb_sas_encode(resource, sizeof(resource), audience) ||
	    sb_sas_encode(name, sizeof(name), key_name))
		return -1;
	snprintf(text, sizeof(text), "%s\n%lld", resource, (long long)expiry);
	if (sb_sas_sign(signature, sizeof(signature), text, key))
		return -1;
	len = snprintf(to, size,
		       "SharedAccessSignature sr=%s&sig=%s&se=%lld&skn=%s",
		       resource, signature, (long long)expiry, name);
	return len > 0 && (size_t)len < size ? 0 : -1;
}

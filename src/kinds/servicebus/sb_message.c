#include "config.h"

#include "kinds/servicebus/sb_message.h"

#include "kinds/servicebus/sb_conf.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SB_AUDIENCE_BYTES 3072 /* percent-encoded */

/* ---- the token ---- */

/* Percent-encodes all except the unreserved characters of RFC 3986 section 2.3.
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

/* The key is used as it is, although it looks like base64. */
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

/*
 * "SharedAccessSignature sr=...&sig=...&se=...&skn=...", valid for the audience
 * ("sb://host/queue") until `expiry` (seconds since 1970).  -1 when it does not
 * fit or cannot be signed.
 */
static int sb_sas_token(char *to, size_t size, const char *audience,
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

/* ---- the messages ---- */

static void sb_put_text(pn_data_t *data, const char *text)
{
	pn_data_put_string(data, pn_bytes(strlen(text), text));
}

/* Starts the map of properties, with the operation; still open. */
static pn_data_t *sb_message_begin(pn_message_t *message, const char *operation)
{
	pn_data_t *data;

	pn_message_clear(message);
	data = pn_message_properties(message);
	pn_data_put_map(data);
	pn_data_enter(data);
	sb_put_text(data, "operation");
	sb_put_text(data, operation);
	return data;
}

int sb_message_token(pn_message_t *message, const struct sb_conf *conf)
{
	int64_t expiry = time(NULL) + conf->token_life_ms / 1000;
	char token[SB_TOKEN_BYTES];
	pn_data_t *data;

	if (sb_sas_token(token, sizeof(token), conf->audience, conf->key_name,
			 conf->key, expiry))
		return -1;
	data = sb_message_begin(message, "put-token");
	sb_put_text(data, "type");
	sb_put_text(data, "servicebus.windows.net:sastoken");
	sb_put_text(data, "name");
	sb_put_text(data, conf->audience);
	pn_message_set_address(message, "$cbs");
	sb_put_text(pn_message_body(message), token);
	explicit_bzero(token, sizeof(token));
	return 0;
}

/*
 * One message, without its body: every official client refuses a peek at 0
 * messages, and the service has been seen to answer it with an internal error.
 * Peeking neither locks nor consumes.
 */
void sb_message_peek(pn_message_t *message, int64_t timeout_ms)
{
	pn_data_t *data;

	data = sb_message_begin(message, "com.microsoft:peek-message");
	sb_put_text(data, "com.microsoft:server-timeout");
	pn_data_put_uint(data, (uint32_t)timeout_ms);
	/* The service requires these types: long, int. */
	data = pn_message_body(message);
	pn_data_put_map(data);
	pn_data_enter(data);
	sb_put_text(data, "from-sequence-number");
	pn_data_put_long(data, 1);
	sb_put_text(data, "message-count");
	pn_data_put_int(data, 1);
	sb_put_text(data, "omit-message-body");
	pn_data_put_bool(data, true);
}

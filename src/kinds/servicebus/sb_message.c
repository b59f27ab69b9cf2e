#include "config.h"

#include "kinds/servicebus/sb_message.h"

#include "kinds/servicebus/sb_conf.h"

#include <proton/codec.h>

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <stdio.h>
#include <string.h>
#include <time.h>

#define SB_AUDIENCE_BYTES 3072 /* percent-encoded */

/* Sections of a message by the code that describes them. */
#define SB_SECTION_FIRST 0x70 /* header */
#define SB_SECTION_PROPERTIES 0x73
#define SB_SECTION_APPLICATION 0x74 /* the last one before the body */
#define SB_CORRELATION 5	    /* field of the properties */

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

/* ---- the questions ---- */

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

/* ---- reading answers ---- */

void sb_copy_text(char *to, size_t size, pn_data_t *data)
{
	pn_type_t type = pn_data_type(data);
	pn_bytes_t text = { 0, "" };

	if (type == PN_STRING || type == PN_SYMBOL)
		text = pn_data_get_bytes(data);
	snprintf(to, size, "%.*s",
		 (int)(text.size < size ? text.size : size - 1), text.start);
}

static void sb_read_properties(struct sb_answer *answer, pn_data_t *data)
{
	int field;

	if (pn_data_type(data) != PN_LIST)
		return;
	pn_data_enter(data);
	for (field = 0; field <= SB_CORRELATION; field++)
		if (!pn_data_next(data))
			return;
	sb_copy_text(answer->correlation, sizeof(answer->correlation), data);
}

static int sb_number(pn_data_t *data)
{
	switch (pn_data_type(data)) {
	case PN_INT:
		return pn_data_get_int(data);
	case PN_UINT:
		return (int)pn_data_get_uint(data);
	case PN_LONG:
		return (int)pn_data_get_long(data);
	case PN_ULONG:
		return (int)pn_data_get_ulong(data);
	case PN_USHORT:
		return pn_data_get_ushort(data);
	case PN_SHORT:
		return pn_data_get_short(data);
	default:
		return 0;
	}
}

/* Services use both spellings, even side by side. */
static bool sb_is(const char *name, const char *one, const char *other)
{
	return strcmp(name, one) == 0 || strcmp(name, other) == 0;
}

static void sb_read_application(struct sb_answer *answer, pn_data_t *data)
{
	char name[32];

	if (pn_data_type(data) != PN_MAP)
		return;
	pn_data_enter(data);
	while (pn_data_next(data)) {
		sb_copy_text(name, sizeof(name), data);
		if (!pn_data_next(data))
			return;
		if (sb_is(name, "statusCode", "status-code"))
			answer->status = sb_number(data);
		else if (sb_is(name, "errorCondition", "error-condition"))
			sb_copy_text(answer->condition,
				     sizeof(answer->condition), data);
		else if (sb_is(name, "statusDescription", "status-description"))
			sb_copy_text(answer->detail, sizeof(answer->detail),
				     data);
	}
}

/* The type of the section that begins at head, without decoding it: it may be
 * an incomplete body.  -1: not a section of a message. */
static int sb_section(const char *head, size_t len)
{
	static const char small[] = { 0x00, 0x53 };
	static const char large[] = { 0x00, (char)0x80, 0, 0, 0, 0, 0, 0, 0 };

	if (len > sizeof(small) && memcmp(head, small, sizeof(small)) == 0)
		return (unsigned char)head[sizeof(small)];
	if (len > sizeof(large) && memcmp(head, large, sizeof(large)) == 0)
		return (unsigned char)head[sizeof(large)];
	return -1;
}

/* Reads one section; returns its length, or 0 when it is malformed. */
static size_t sb_read_section(struct sb_answer *answer, pn_data_t *data,
			      int section, const char *head, size_t len)
{
	ssize_t used;

	pn_data_clear(data);
	used = pn_data_decode(data, head, len);
	if (used <= 0)
		return 0;
	pn_data_rewind(data);
	/* The descriptor is known already; the value follows it. */
	if (!pn_data_next(data) || pn_data_type(data) != PN_DESCRIBED ||
	    !pn_data_enter(data) || !pn_data_next(data) || !pn_data_next(data))
		return 0;
	if (section == SB_SECTION_PROPERTIES)
		sb_read_properties(answer, data);
	else if (section == SB_SECTION_APPLICATION)
		sb_read_application(answer, data);
	return (size_t)used;
}

bool sb_answer_read(struct sb_answer *answer, const char *head, size_t len)
{
	pn_data_t *data = pn_data(16);
	size_t used = data ? 1 : 0;
	int section;

	memset(answer, 0, sizeof(*answer));
	while (used > 0) {
		section = sb_section(head, len);
		if (section < SB_SECTION_FIRST ||
		    section > SB_SECTION_APPLICATION)
			break;
		used = sb_read_section(answer, data, section, head, len);
		head += used;
		len -= used;
	}
	pn_data_free(data);
	return answer->status > 0;
}

/* ---- judging ---- */

/* clang-format off */
static const struct {
	const char *name;
	enum result_code code;
	const char *words;
} sb_conditions[] = {
	/* AMQP 1.0 part 2 section 2.8, and Microsoft's own. */
	{ "amqp:unauthorized-access", RESULT_AUTH, "access refused" },
	{ "com.microsoft:auth-failed", RESULT_AUTH, "authentication failed" },
	{ "amqp:not-found", RESULT_MISSING, "no such queue, topic or subscription" },
	{ "com.microsoft:server-busy", RESULT_THROTTLED, "throttled" },
	{ "amqp:resource-limit-exceeded", RESULT_BUSY, "a limit of the service is exceeded" },
	{ "com.microsoft:entity-disabled", RESULT_BUSY, "the entity is disabled" },
	{ "amqp:connection:forced", RESULT_CONNECT, "connection closed by the peer" },
	{ "amqp:link:detach-forced", RESULT_CONNECT, "link closed by the peer" },
	{ "com.microsoft:timeout", RESULT_UPSTREAM, "the service reports a timeout" },
	{ "amqp:connection:framing-error", RESULT_PROTOCOL, "answer is not AMQP" },
	{ "amqp:decode-error", RESULT_PROTOCOL, "answer is not AMQP" },
	{ "amqp:invalid-field", RESULT_PROTOCOL, "answer is not AMQP" },
	{ "amqp:session:invalid-field", RESULT_PROTOCOL, "answer is not AMQP" },
};
/* clang-format on */

struct failure sb_failure(enum result_code code, const char *words,
			  const char *detail)
{
	struct failure failure = failure_make(code, "%s", words);

	if (detail && !strstr(detail, "sig="))
		snprintf(failure.detail, sizeof(failure.detail), "%s", detail);
	return failure;
}

struct failure sb_condition_judge(const char *condition, const char *detail)
{
	size_t i;

	if (!condition || !*condition)
		condition = "amqp:connection:forced";
	for (i = 0; i < sizeof(sb_conditions) / sizeof(*sb_conditions); i++)
		if (strcmp(condition, sb_conditions[i].name) == 0)
			return sb_failure(sb_conditions[i].code,
					  sb_conditions[i].words, detail);
	return sb_failure(RESULT_UPSTREAM, "the service reports an error",
			  detail);
}

struct failure sb_answer_judge(const struct sb_answer *answer)
{
	static const char busy[] = "com.microsoft:server-busy";
	const char *condition = *answer->condition ? answer->condition
						   : "amqp:internal-error";

	if (strcmp(condition, busy) == 0)
		return sb_condition_judge(busy, answer->detail);
	switch (answer->status) {
	case 404:
		/* An empty queue is healthy. */
		if (strcmp(condition, "com.microsoft:message-not-found") != 0)
			return sb_condition_judge("amqp:not-found",
						  answer->detail);
		/* fall through */
	case 200:
	case 202:
	case 204:
		return sb_failure(RESULT_OK, "", NULL);
	case 401:
	case 403:
		condition = "amqp:unauthorized-access";
		break;
	case 410:
		condition = "amqp:not-found";
		break;
	case 429:
		condition = busy;
		break;
	case 503:
		return sb_failure(RESULT_BUSY, "the service is busy",
				  answer->detail);
	}
	return sb_condition_judge(condition, answer->detail);
}

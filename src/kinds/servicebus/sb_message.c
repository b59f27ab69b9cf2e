#include "config.h"

#include "kinds/servicebus/sb_message.h"

#include "kinds/servicebus/sb_conf.h"
#include "kinds/servicebus/sb_sas.h"

#include <string.h>
#include <time.h>

static void sb_put_text(pn_data_t *data, const char *text)
{
	pn_data_put_string(data, pn_bytes(strlen(text), text));
}

/* The map that says what is to be done; still open. */
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
 * One message, without its body: a peek of none is refused by every official
 * client, and was seen to be answered with an error of the service's own.
 * What is peeked at is neither locked nor consumed.
 */
void sb_message_peek(pn_message_t *message, int64_t timeout_ms)
{
	pn_data_t *data;

	data = sb_message_begin(message, "com.microsoft:peek-message");
	sb_put_text(data, "com.microsoft:server-timeout");
	pn_data_put_uint(data, (uint32_t)timeout_ms);
	/* The types are as the service wants them: long, int. */
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

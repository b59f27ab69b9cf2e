/*
 * sb_message: the requests to Azure Service Bus: to accept a token, and to peek
 * at one message.
 *
 * Prober thread.  A message is overwritten, and then complete except for its
 * message-id and reply-to address.
 */
#ifndef HEALTH_SB_MESSAGE_H
#define HEALTH_SB_MESSAGE_H

#include <stdint.h>

#include <proton/message.h>

struct sb_conf;

#define SB_TOKEN_BYTES 4096 /* the longest token */

/* To $cbs; -1: the token cannot be signed, or is too long. */
int sb_message_token(pn_message_t *message, const struct sb_conf *conf)
	__attribute__((warn_unused_result));

/* To the node; the service gives up after timeout_ms. */
void sb_message_peek(pn_message_t *message, int64_t timeout_ms);

#endif

/*
 * sb_message: what Azure Service Bus is asked: that it takes a token, and
 * whether there is a message.
 *
 * Prober thread.  A message is written over, and complete then but for its
 * identity and where to answer.
 */
#ifndef HEALTH_SB_MESSAGE_H
#define HEALTH_SB_MESSAGE_H

#include <stdint.h>

#include <proton/message.h>

struct sb_conf;

/* To $cbs; -1: no token could be made. */
int sb_message_token(pn_message_t *message, const struct sb_conf *conf)
	__attribute__((warn_unused_result));

/* To the node; the service gives up after timeout_ms. */
void sb_message_peek(pn_message_t *message, int64_t timeout_ms);

#endif

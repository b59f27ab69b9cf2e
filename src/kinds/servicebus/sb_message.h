/*
 * sb_message: what is said to Azure Service Bus and what it answers.  The
 * requests ask it to accept a token and to peek at one message; answers and
 * AMQP error conditions become our codes and words.
 *
 * Main thread of a worker.
 */
#ifndef HEALTH_SB_MESSAGE_H
#define HEALTH_SB_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include <proton/message.h>

#include "base/failure.h"

struct sb_conf;

#define SB_TOKEN_BYTES 4096 /* the longest token */

/* Both requests overwrite a message, which is complete then except for its
 * message-id and reply-to address.  The first is for $cbs; -1: the token cannot
 * be signed, or is too long. */
int sb_message_token(pn_message_t *message, const struct sb_conf *conf)
	__attribute__((warn_unused_result));
/* For the node; the service gives up after timeout_ms. */
void sb_message_peek(pn_message_t *message, int64_t timeout_ms);

struct sb_answer {
	int status;	      /* as in HTTP */
	char correlation[64]; /* the message-id of the question */
	char condition[64];   /* "com.microsoft:server-busy"; "": none */
	char detail[FAILURE_DETAIL_BYTES]; /* the peer's words */
};

/* Reads the sections of a message before its body (AMQP 1.0 part 3, section
 * 3.2), which may be missing; false: they have no status. */
bool sb_answer_read(struct sb_answer *answer, const char *head, size_t len);
struct failure sb_answer_judge(const struct sb_answer *answer);

/* Judges the error condition that ended a link, session or connection; NULL or
 * "": none was given. */
struct failure sb_condition_judge(const char *condition, const char *detail);

/* The detail is what the peer or the library said, or NULL.  The log masks keys
 * but not signatures: a peer that repeats a token is not quoted. */
struct failure sb_failure(enum result_code code, const char *words,
			  const char *detail);

/* Copies the current value of data, cut to size; "" when it is not a string. */
void sb_copy_text(char *to, size_t size, pn_data_t *data);

#endif

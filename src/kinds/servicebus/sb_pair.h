/*
 * sb_pair: two links of one session of AMQP 1.0 to the same address: questions
 * go out on one, answers come in on the other.  One question is under way at a
 * time.
 *
 * Prober thread; no input or output of its own.
 */
#ifndef HEALTH_SB_PAIR_H
#define HEALTH_SB_PAIR_H

#include <stdbool.h>
#include <stddef.h>

#include <proton/message.h>

#include "kinds/servicebus/sb_sas.h"

#define SB_PAIR_NAME_BYTES 41
/* The longest question, with the token in it. */
#define SB_PAIR_MESSAGE_BYTES (SB_TOKEN_BYTES + 4096)
/* What is kept of an answer: all that stands before its body. */
#define SB_PAIR_HEAD_BYTES 4096
/* Of a longer one the rest is not waited for. */
#define SB_PAIR_ANSWER_BYTES (1024 * 1024)

/* Embedded in its owner; zeroed means not opened. */
struct sb_pair {
	pn_session_t *session;
	pn_link_t *sender, *receiver;  /* NULL: none */
	char name[SB_PAIR_NAME_BYTES]; /* of the receiver, and its address */
	char asked[64]; /* message-id of the question under way; "": none */
	unsigned questions;
	unsigned strays; /* answers to other questions since the last one */
	char head[SB_PAIR_HEAD_BYTES]; /* of the answer that comes in */
	size_t head_len, answer_len;
};

/* Gives it a name that nobody else has; false: there are no random
 * numbers. */
bool sb_pair_set_name(struct sb_pair *pair, const char *prefix)
	__attribute__((warn_unused_result));

/* Begins its session, without a link. */
void sb_pair_begin(struct sb_pair *pair, pn_connection_t *connection);
void sb_pair_attach_sender(struct sb_pair *pair, const char *address);
/* Begins its session, with both links. */
void sb_pair_attach(struct sb_pair *pair, pn_connection_t *connection,
		    const char *address);

bool sb_pair_has(const struct sb_pair *pair, const pn_link_t *link);
/* Whether the peer gives leave to send. */
bool sb_pair_may_send(const struct sb_pair *pair);
/* ... and has his side of the receiver. */
bool sb_pair_is_attached(const struct sb_pair *pair);

/* Sends a message that is complete but for its identity; -1: out of memory. */
int sb_pair_send(struct sb_pair *pair, pn_message_t *message)
	__attribute__((warn_unused_result));

enum sb_pair_got {
	SB_PAIR_PART,	/* more must come */
	SB_PAIR_WHOLE,	/* the head of the answer is in `head` */
	SB_PAIR_LONG,	/* so it is; the rest is not waited for */
	SB_PAIR_ABORTED /* by the peer */
};

/* Takes what has come of an answer. */
enum sb_pair_got sb_pair_receive(struct sb_pair *pair, pn_delivery_t *delivery);
/* After SB_PAIR_WHOLE or SB_PAIR_LONG: it was looked at, the next may come. */
void sb_pair_done(struct sb_pair *pair, pn_delivery_t *delivery);

enum sb_pair_whose {
	SB_PAIR_OURS,  /* it ends the question under way */
	SB_PAIR_STRAY, /* to another question: skip it */
	SB_PAIR_STRAYS /* too many of them */
};

enum sb_pair_whose sb_pair_ends(struct sb_pair *pair, const char *correlation);

#endif

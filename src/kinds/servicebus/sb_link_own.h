/*
 * sb_link_own: what the parts of sb_link share: how far a connection is, and
 * how it ends.  For sb_link*.c alone; everybody else uses sb_link.h.
 */
#ifndef HEALTH_SB_LINK_OWN_H
#define HEALTH_SB_LINK_OWN_H

#include "kinds/servicebus/sb_link.h"

#include "kinds/servicebus/sb_answer.h"
#include "kinds/servicebus/sb_pair.h"
#include "kinds/servicebus/sb_scan.h"

#include <proton/connection_driver.h>
#include <proton/condition.h>
#include <proton/event.h>
#include <proton/message.h>

enum sb_phase {
	SB_PHASE_LOGIN,
	SB_PHASE_OPEN,
	SB_PHASE_CBS,
	SB_PHASE_TOKEN,
	SB_PHASE_NODE,
	SB_PHASE_UP
};

struct sb_link {
	const struct sb_conf *conf;
	pn_connection_driver_t driver;
	pn_message_t *message; /* for all that is sent */
	enum sb_phase phase;
	enum sb_state state;
	struct sb_pair cbs, node;
	struct sb_outcome outcome;
	bool spent;
	bool has_mssbcbs; /* the peer offers Service Bus' own login */
	struct sb_scan scan;
	char in[SB_SCAN_FRAME_BYTES]; /* what has come of the next frame */
	size_t in_len;
	int64_t now_ms;
	int64_t tick_ms;  /* the library wants a turn then; 0: never */
	int64_t renew_ms; /* a new token is due then; 0: never */
};

/* ---- what the peer has begun or said: sb_link_events.c ---- */

/* Does what an event asks for. */
void sb_link_on_event(struct sb_link *link, pn_event_t *event);
/* Goes on where nothing more has to be waited for. */
void sb_link_advance(struct sb_link *link);

/* ---- how it ends: sb_link_end.c ---- */

/* What the peer or the library said; NULL: nothing. */
void sb_link_note(struct sb_link *link, const char *detail);

/* The first failure is the one that tells most: a later one is ignored. */
void sb_link_fail(struct sb_link *link, enum result_code code,
		  const char *words);
void sb_link_fail_verdict(struct sb_link *link, struct sb_verdict verdict);
void sb_link_fail_condition(struct sb_link *link, pn_condition_t *condition);
/* The library ended it: login refused, no AMQP, or nothing came for long. */
void sb_link_fail_transport(struct sb_link *link);

/* The question was answered, if one was put. */
void sb_link_answered(struct sb_link *link, enum result_code code,
		      const char *words);

#endif

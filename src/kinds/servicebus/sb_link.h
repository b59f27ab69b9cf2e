/*
 * sb_link: one AMQP 1.0 connection to Azure Service Bus, without any input or
 * output of its own: bytes go in and come out of memory.
 *
 *	login ─ open ─ $cbs links ─ token ─ links to the node ─ SB_READY
 *						│   ▲
 *				 sb_link_ask()  ▼   │
 *					    SB_ASKING ─ SB_ANSWERED
 *
 * With right = send there is no link to the node but one for each question,
 * that is all there is to see: it is opened, waits for the peer's leave to
 * send, and is closed again.
 *
 * Prober thread; never blocks.  Time is told by the caller.
 */
#ifndef HEALTH_SB_LINK_H
#define HEALTH_SB_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/result.h"

struct sb_conf;
struct sb_link;

enum sb_state { SB_OPENING, SB_READY, SB_ASKING, SB_ANSWERED, SB_FAILED };

/* What SB_ANSWERED and SB_FAILED mean. */
struct sb_outcome {
	enum result_code code;
	const char *words;		  /* ours */
	char detail[RESULT_DETAIL_BYTES]; /* the peer's or the library's */
};

/* NULL when out of memory.  conf is borrowed for the link's life. */
struct sb_link *sb_link_create(const struct sb_conf *conf);
void sb_link_free(struct sb_link *link); /* NULL is allowed */

/* Room for bytes from the peer, and how many were put there. */
size_t sb_link_room(struct sb_link *link, char **to);
void sb_link_fed(struct sb_link *link, size_t len);

/* Bytes for the peer, and how many were sent. */
size_t sb_link_output(struct sb_link *link, const char **from);
void sb_link_sent(struct sb_link *link, size_t len);

/* Does what is to be done: after bytes came or went, and when sb_link_due_ms()
 * is reached.  now_ms: on clock_ms().  When it comes to be SB_ANSWERED there
 * may be more to do: take the answer, then let it have another turn. */
enum sb_state sb_link_turn(struct sb_link *link, int64_t now_ms);

/* When a turn is needed though no byte comes; 0: never. */
int64_t sb_link_due_ms(const struct sb_link *link);

/* Puts the question, when SB_READY or SB_ANSWERED; the service gives it up
 * after timeout_ms. */
void sb_link_ask(struct sb_link *link, int64_t timeout_ms);

/* Whether the connection must be given up before the next question. */
bool sb_link_is_spent(const struct sb_link *link);

/* Takes leave of the peer; what is to be sent is in sb_link_output(). */
void sb_link_leave(struct sb_link *link);

const struct sb_outcome *sb_link_outcome(const struct sb_link *link);
const char *sb_link_step(const struct sb_link *link);

#endif

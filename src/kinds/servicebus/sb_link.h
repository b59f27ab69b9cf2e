/*
 * sb_link: one AMQP 1.0 connection to Azure Service Bus, without input or
 * output: the caller moves the bytes.
 *
 *	login ─ open ─ $cbs links ─ token ─ links to the node ─ SB_READY
 *						│   ▲
 *				 sb_link_ask()  ▼   │
 *					    SB_ASKING ─ SB_ANSWERED
 *
 * With right = send there is no permanent link to the node.  Each question
 * opens a sender, waits until the peer grants credit, and closes it again;
 * nothing is sent.
 *
 * Main thread of a worker; never blocks.  The caller passes the time.
 */
#ifndef HEALTH_SB_LINK_H
#define HEALTH_SB_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/failure.h"

struct sb_conf;
struct sb_link;

enum sb_state { SB_OPENING, SB_READY, SB_ASKING, SB_ANSWERED, SB_FAILED };

/* NULL when out of memory.  Borrows conf until sb_link_free(). */
struct sb_link *sb_link_create(const struct sb_conf *conf);
void sb_link_free(struct sb_link *link); /* NULL is allowed */

/* Space for bytes from the peer, and how many were stored there. */
size_t sb_link_room(struct sb_link *link, char **to);
void sb_link_fed(struct sb_link *link, size_t len);

/* Bytes for the peer, and how many of them were sent. */
size_t sb_link_output(struct sb_link *link, const char **from);
void sb_link_sent(struct sb_link *link, size_t len);

/* Processes pending work: call after moving bytes and at sb_link_due_ms().
 * now_ms: on clock_ms().  SB_ANSWERED may leave work pending: take the answer,
 * then call again.  After an answer that is too long to be read to its end,
 * that turn fails. */
enum sb_state sb_link_turn(struct sb_link *link, int64_t now_ms);

/* When a turn is needed even if no bytes arrive; 0: never. */
int64_t sb_link_due_ms(const struct sb_link *link);

/* Asks, in SB_READY or SB_ANSWERED; the service gives up after timeout_ms. */
void sb_link_ask(struct sb_link *link, int64_t timeout_ms);

/* Closes the AMQP connection; the bytes to send are in sb_link_output(). */
void sb_link_leave(struct sb_link *link);

/* Explains SB_ANSWERED and SB_FAILED. */
const struct failure *sb_link_outcome(const struct sb_link *link);
const char *sb_link_step(const struct sb_link *link);

#endif

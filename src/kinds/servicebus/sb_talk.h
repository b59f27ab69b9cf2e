/*
 * sb_talk: a connection of the kind servicebus.  AMQP is sb_link's, bytes are
 * the stream's; here they meet, with the time.
 *
 * The functions are those of struct check_kind (check.h).
 */
#ifndef HEALTH_SB_TALK_H
#define HEALTH_SB_TALK_H

#include "io/loop.h"

struct conn;
struct sb_link;
struct stream;

/* What the engine waits for. */
enum sb_talk_wait {
	SB_TALK_WAIT_OPEN,
	SB_TALK_WAIT_ANSWER,
	SB_TALK_WAIT_NOTHING
};

struct sb_talk {
	struct stream *stream; /* NULL: not connected yet */
	struct sb_link *link;  /* NULL: likewise */
	struct loop_timer due;
	enum sb_talk_wait wait;
};

void sb_talk_open(struct conn *conn);
void sb_talk_ask(struct conn *conn);
void sb_talk_on_io(struct conn *conn, short revents);
void sb_talk_close(struct conn *conn);
const char *sb_talk_step(const struct conn *conn);

#endif

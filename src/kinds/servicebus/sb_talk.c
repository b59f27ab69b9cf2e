#include "config.h"

#include "kinds/servicebus/sb_talk.h"

#include "check/check.h"
#include "base/clock.h"
#include "kinds/servicebus/sb_conf.h"
#include "kinds/servicebus/sb_link.h"
#include "io/dial.h"
#include "io/stream.h"

#include <stdint.h>

/* Others have their turn after as much from one peer. */
#define SB_TALK_TURN_BYTES (256 * 1024)

/* ---- talking ---- */

/* Sends what there is, until it would have to wait. */
static enum stream_state sb_talk_flush(struct sb_talk *talk)
{
	enum stream_state state = STREAM_DONE;
	const char *from;
	size_t len, moved;

	while (state == STREAM_DONE &&
	       (len = sb_link_output(talk->link, &from)) > 0) {
		state = stream_write(talk->stream, from, len, &moved);
		if (state == STREAM_DONE)
			sb_link_sent(talk->link, moved);
	}
	return state;
}

/* Reads once; STREAM_PENDING also when the link takes no more. */
static enum stream_state sb_talk_receive(struct sb_talk *talk, size_t *moved)
{
	enum stream_state state;
	char *to;
	size_t room = sb_link_room(talk->link, &to);

	if (room == 0)
		return STREAM_PENDING;
	state = stream_read(talk->stream, to, room, moved);
	if (state == STREAM_DONE)
		sb_link_fed(talk->link, *moved);
	return state;
}

static void sb_talk_on_due(void *arg);

static void sb_talk_arm(struct conn *conn, bool at_once)
{
	struct sb_talk *talk = conn_state(conn);
	struct loop *loop = conn_env(conn)->loop;
	int64_t due_ms = at_once ? clock_ms() : sb_link_due_ms(talk->link);

	talk->due.on_time = sb_talk_on_due;
	talk->due.arg = conn;
	loop_timer_clear(loop, &talk->due);
	if (due_ms)
		loop_timer_set(loop, &talk->due, due_ms);
}

/* Tells the engine what the link has come to, if that is news. */
static void sb_talk_tell(struct conn *conn, enum sb_state state)
{
	struct sb_talk *talk = conn_state(conn);
	const struct sb_outcome *outcome = sb_link_outcome(talk->link);
	enum sb_talk_wait wait = talk->wait;

	if (state == SB_FAILED) {
		conn_detail(conn, outcome->detail);
		conn_failed(conn, outcome->code, "%s", outcome->words);
	} else if (state == SB_READY && wait == SB_TALK_WAIT_OPEN) {
		talk->wait = SB_TALK_WAIT_NOTHING;
		conn_ready(conn);
	} else if (state == SB_ANSWERED && wait == SB_TALK_WAIT_ANSWER) {
		talk->wait = SB_TALK_WAIT_NOTHING;
		if (*outcome->detail)
			conn_detail(conn, outcome->detail);
		conn_answered(conn, outcome->code, "%s", outcome->words);
	}
}

/* Whether the link has come to what is waited for, or to its end. */
static bool sb_talk_is_news(const struct sb_talk *talk, enum sb_state state)
{
	return state == SB_FAILED ||
	       (state == SB_ANSWERED && talk->wait == SB_TALK_WAIT_ANSWER);
}

/* Lets the link work and send; what it has come to. */
static enum sb_state sb_talk_turn(struct sb_talk *talk, enum stream_state *out)
{
	enum sb_state state = sb_link_turn(talk->link, clock_ms());

	*out = sb_talk_flush(talk);
	/* Encoding may have been what ended it: a refused login is seen here
	 * or at the deadline only. */
	if (!sb_talk_is_news(talk, state))
		state = sb_link_turn(talk->link, clock_ms());
	return state;
}

/* Waits for the stream and the time; then the engine is told the news. */
static void sb_talk_wait_for(struct conn *conn, enum sb_state state,
			     short events, bool at_once)
{
	struct sb_talk *talk = conn_state(conn);

	conn_watch(conn, stream_fd(talk->stream), events);
	sb_talk_arm(conn, at_once);
	sb_talk_tell(conn, state);
}

/* Moves bytes in both directions for as long as some can be moved. */
static void sb_talk_move(struct conn *conn)
{
	struct sb_talk *talk = conn_state(conn);
	enum stream_state in = STREAM_DONE, out;
	size_t moved, left = SB_TALK_TURN_BYTES;
	enum sb_state state;
	short events;

	for (;;) {
		state = sb_talk_turn(talk, &out);
		events = out == STREAM_PENDING ? stream_events(talk->stream)
					       : 0;
		if (left == 0 || sb_talk_is_news(talk, state))
			break;
		/* What the peer said before it closed may be there although a
		 * write failed. */
		in = sb_talk_receive(talk, &moved);
		if (in != STREAM_DONE)
			break;
		left -= moved < left ? moved : left;
	}
	if (state == SB_FAILED)
		sb_talk_tell(conn, state);
	else if (in == STREAM_ERROR ||
		 (out == STREAM_ERROR && !sb_talk_is_news(talk, state)))
		conn_failed_as(conn, stream_failure(talk->stream));
	else if (in == STREAM_PENDING)
		sb_talk_wait_for(conn, state,
				 events | stream_events(talk->stream), false);
	else
		sb_talk_wait_for(conn, state, events, true);
}

/* A heartbeat or a new token is due, or there is more to read. */
static void sb_talk_on_due(void *arg)
{
	struct conn *conn = arg;
	struct sb_talk *talk = conn_state(conn);

	if (talk->wait == SB_TALK_WAIT_NOTHING && sb_link_is_spent(talk->link))
		conn_failed(conn, RESULT_PROTOCOL, "answer is too long");
	else
		sb_talk_move(conn);
}

/* ---- connecting ---- */

static void sb_talk_on_open(struct conn *conn, struct stream *stream)
{
	struct sb_talk *talk = conn_state(conn);

	talk->stream = stream;
	talk->link = sb_link_create(conn_settings(conn));
	if (talk->link)
		sb_talk_move(conn);
	else
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
}

/* ---- what the engine calls ---- */

void sb_talk_open(struct conn *conn)
{
	const struct sb_conf *conf = conn_settings(conn);
	const struct dial_target target = { .host = conf->look_up,
					    .port = (uint16_t)conf->port,
					    .trust = conf->trust };

	conn_dial(conn, &target, sb_talk_on_open);
}

void sb_talk_ask(struct conn *conn)
{
	struct sb_talk *talk = conn_state(conn);

	if (sb_link_is_spent(talk->link)) {
		conn_failed(conn, RESULT_PROTOCOL, "answer is too long");
		return;
	}
	talk->wait = SB_TALK_WAIT_ANSWER;
	sb_link_ask(talk->link, conn_left_ms(conn));
	sb_talk_move(conn);
}

void sb_talk_on_io(struct conn *conn, short revents)
{
	(void)revents;
	sb_talk_move(conn);
}

void sb_talk_close(struct conn *conn)
{
	struct sb_talk *talk = conn_state(conn);

	loop_timer_clear(conn_env(conn)->loop, &talk->due);
	if (talk->link) {
		/* As far as it can be sent at once. */
		sb_link_leave(talk->link);
		sb_talk_flush(talk);
	}
	sb_link_free(talk->link);
	talk->link = NULL;
	stream_close(talk->stream);
	talk->stream = NULL;
}

const char *sb_talk_step(const struct conn *conn)
{
	const struct sb_talk *talk = conn_state_const(conn);

	return sb_link_step(talk->link);
}

/*
 * servicebus: checks the namespace, the key and the entity of Azure Service
 * Bus.  It peeks at one message, which locks, consumes and sends nothing; or it
 * opens a sender that sends nothing.
 *
 * The settings, and a connection: AMQP is the link's, bytes are the stream's;
 * here they meet, with the time.  A build without Qpid Proton has the settings,
 * too, so that it reports one error, not one for each key.
 */
#include "config.h"

#include "check/check.h"
#include "kinds/kinds.h"
#include "kinds/servicebus/sb_conf.h"

#include "kinds/servicebus/sb_link.h"
#include "io/dial.h"
#include "io/stream.h"

#include <stddef.h>

#define SERVICEBUS_FIELD(name) offsetof(struct sb_conf, name)

/* clang-format off */
static const struct conf_key servicebus_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "auth", CONF_CHOICE, SERVICEBUS_FIELD(auth), "cbs", NULL, "cbs|sas-plain", 0,
	  "how to log in: with a signed token, or the key as a password" },
	{ "ca_file", CONF_STR, SERVICEBUS_FIELD(ca_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the CAs to trust, instead of the system's" },
	{ "connection_string", CONF_STR, SERVICEBUS_FIELD(connection_string), "", NULL, "4096", CONF_SECRET | CONF_MIXED,
	  "Endpoint=sb://...;SharedAccessKeyName=...;SharedAccessKey=..." },
	{ "key", CONF_STR, SERVICEBUS_FIELD(key), "", NULL, "256", CONF_SECRET,
	  "shared access key, without connection_string" },
	{ "key_name", CONF_STR, SERVICEBUS_FIELD(key_name), "", NULL, "256", 0,
	  "name of the policy that the key belongs to" },
	{ "namespace", CONF_STR, SERVICEBUS_FIELD(namespace), "", NULL, "253", 0,
	  "NAME or NAME.servicebus.windows.net" },
	{ "port", CONF_INT, SERVICEBUS_FIELD(port), "5671", "1", "65535", 0,
	  "port of AMQP; overrides the one in connection_string" },
	{ "queue", CONF_STR, SERVICEBUS_FIELD(queue), "", NULL, "260", 0,
	  "the queue to ask; otherwise EntityPath of the connection string" },
	{ "right", CONF_CHOICE, SERVICEBUS_FIELD(right), "listen", NULL, "listen|send", 0,
	  "which right of the key to use: to peek, or to open a sender" },
	{ "subscription", CONF_STR, SERVICEBUS_FIELD(subscription), "", NULL, "50", 0,
	  "the subscription of topic to ask" },
	{ "token_life", CONF_DURATION, SERVICEBUS_FIELD(token_life_ms), "1h", "4s", "1d", 0,
	  "how long a token is valid; renewed after three quarters of it" },
	{ "topic", CONF_STR, SERVICEBUS_FIELD(topic), "", NULL, "260", 0,
	  "the topic to ask, instead of a queue" },
	CONF_END
};
/* clang-format on */

#ifdef HAVE_PROTON

/* At most so much is read before other connections have their turn. */
#define SERVICEBUS_TURN_BYTES (256 * 1024)

struct servicebus_conn {
	struct stream *stream; /* NULL: not connected yet */
	struct sb_link *link;  /* NULL: likewise */
	struct loop_timer due;
	/* What the engine waits for; SB_FAILED: nothing. */
	enum sb_state wanted;
};

/* Sends what there is, until it would have to wait. */
static enum stream_state servicebus_flush(struct servicebus_conn *bus)
{
	enum stream_state state;
	const char *from;
	size_t len, moved;

	while ((len = sb_link_output(bus->link, &from)) > 0) {
		state = stream_write(bus->stream, from, len, &moved);
		if (state != STREAM_DONE)
			return state;
		sb_link_sent(bus->link, moved);
	}
	return STREAM_DONE;
}

/* Whether the question was answered, or the connection failed. */
static bool servicebus_is_over(const struct servicebus_conn *bus,
			       enum sb_state state)
{
	return state == SB_FAILED ||
	       (state == SB_ANSWERED && bus->wanted == SB_ANSWERED);
}

/* Lets the link work and send. */
static enum sb_state servicebus_turn(struct conn *conn, enum stream_state *out)
{
	struct servicebus_conn *bus = conn_state(conn);
	int64_t now_ms = conn_now_ms(conn); /* for Proton's heartbeats */
	enum sb_state state = sb_link_turn(bus->link, now_ms);

	*out = servicebus_flush(bus);
	/* Encoding may have ended it: otherwise, a refused login would be seen
	 * at the deadline only. */
	if (!servicebus_is_over(bus, state))
		state = sb_link_turn(bus->link, now_ms);
	return state;
}

/* Moves bytes in both directions for as long as some can be moved.  Then tells
 * the engine what it waits for, or that the connection failed. */
static void servicebus_move(struct conn *conn, short revents)
{
	struct servicebus_conn *bus = conn_state(conn);
	const struct failure *outcome = sb_link_outcome(bus->link);
	struct loop *loop = conn_env(conn)->loop;
	enum stream_state in = STREAM_DONE, out;
	size_t room, moved, left = SERVICEBUS_TURN_BYTES;
	enum sb_state state;
	short events;
	char *to;

	(void)revents;
	for (;;) {
		state = servicebus_turn(conn, &out);
		events = out == STREAM_PENDING ? stream_events(bus->stream) : 0;
		if (left == 0 || servicebus_is_over(bus, state))
			break;
		room = sb_link_room(bus->link, &to);
		/* What the peer said before it closed may be there although a
		 * write failed. */
		in = room ? stream_read(bus->stream, to, room, &moved)
			  : STREAM_PENDING;
		if (in != STREAM_DONE)
			break;
		sb_link_fed(bus->link, moved);
		left -= moved < left ? moved : left;
	}
	if (state == SB_FAILED || in == STREAM_ERROR ||
	    (out == STREAM_ERROR && !servicebus_is_over(bus, state))) {
		conn_failed_as(conn, state == SB_FAILED
					     ? outcome
					     : stream_failure(bus->stream));
		return;
	}
	if (in == STREAM_PENDING) {
		events |= stream_events(bus->stream);
		loop_timer_clear(loop, &bus->due);
		if (sb_link_due_ms(bus->link))
			loop_timer_set(loop, &bus->due,
				       sb_link_due_ms(bus->link));
	} else {
		loop_timer_in(loop, &bus->due, 0);
	}
	conn_watch(conn, stream_fd(bus->stream), events);
	if (state != bus->wanted)
		return;
	bus->wanted = SB_FAILED;
	if (*outcome->detail)
		conn_detail(conn, outcome->detail);
	if (state == SB_READY)
		conn_ready(conn);
	else
		conn_answered(conn, outcome->code, "%s", outcome->words);
}

/* A heartbeat or a new token is due, or there is more to read. */
static void servicebus_on_due(void *arg)
{
	servicebus_move(arg, 0);
}

static void servicebus_on_open(struct conn *conn, struct stream *stream)
{
	struct servicebus_conn *bus = conn_state(conn);

	bus->stream = stream;
	bus->due.on_time = servicebus_on_due;
	bus->due.arg = conn;
	bus->wanted = SB_READY;
	bus->link = sb_link_create(conn_settings(conn));
	if (bus->link)
		servicebus_move(conn, 0);
	else
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
}

static void servicebus_open(struct conn *conn)
{
	const struct sb_conf *conf = conn_settings(conn);
	const struct dial_target target = { .host = conf->look_up,
					    .port = (uint16_t)conf->port,
					    .trust = conf->trust };

	conn_dial(conn, &target, servicebus_on_open);
}

static void servicebus_ask(struct conn *conn)
{
	struct servicebus_conn *bus = conn_state(conn);

	bus->wanted = SB_ANSWERED;
	sb_link_ask(bus->link, conn_left_ms(conn));
	servicebus_move(conn, 0);
}

static void servicebus_close(struct conn *conn)
{
	struct servicebus_conn *bus = conn_state(conn);

	loop_timer_clear(conn_env(conn)->loop, &bus->due);
	if (bus->link) {
		/* As far as it can be sent at once. */
		sb_link_leave(bus->link);
		servicebus_flush(bus);
	}
	sb_link_free(bus->link);
	bus->link = NULL;
	stream_close(bus->stream);
	bus->stream = NULL;
}

static const char *servicebus_step(const struct conn *conn)
{
	const struct servicebus_conn *bus = conn_state(conn);

	return sb_link_step(bus->link);
}

#endif

static void servicebus_prepare(struct conf *conf, struct conf_section *section,
			       void *settings)
{
#ifdef HAVE_PROTON
	sb_conf_prepare(conf, section, settings);
#else
	(void)settings;
	conf_mistake(conf, section, "kind",
		     "this build has no servicebus: it was built without "
		     "Qpid Proton (libqpid-proton11-dev on Debian)");
#endif
}

const struct check_kind check_servicebus = {
	.name = "servicebus",
	.timeout = "2s",
	.help = "a queue or subscription of Azure Service Bus",
	.keys = servicebus_keys,
	.settings_size = sizeof(struct sb_conf),
	.prepare = servicebus_prepare,
	.dispose = sb_conf_dispose,
#ifdef HAVE_PROTON
	.conn_size = sizeof(struct servicebus_conn),
	.open = servicebus_open,
	.ask = servicebus_ask,
	.on_io = servicebus_move,
	.on_idle = servicebus_move,
	.close = servicebus_close,
	.step = servicebus_step,
#endif
};

#include "config.h"

#include "kinds/servicebus/sb_link.h"

#include "kinds/servicebus/sb_conf.h"
#include "kinds/servicebus/sb_message.h"
#include "kinds/servicebus/sb_scan.h"

#include <proton/codec.h>
#include <proton/condition.h>
#include <proton/connection.h>
#include <proton/connection_driver.h>
#include <proton/delivery.h>
#include <proton/disposition.h>
#include <proton/event.h>
#include <proton/link.h>
#include <proton/logger.h>
#include <proton/message.h>
#include <proton/sasl.h>
#include <proton/session.h>
#include <proton/terminus.h>
#include <proton/transport.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define SB_CHANNEL_MAX 1
/* The library announces half of it: 60 s, as Microsoft's clients do. */
#define SB_IDLE_MS 120000
/* A peer may demand a heartbeat every millisecond: not that often. */
#define SB_TICK_MIN_MS 10
#define SB_WINDOW_BYTES (64 * 1024) /* of one session: four frames */
#define SB_CREDIT 2
/* Several late answers to an abandoned question may arrive. */
#define SB_STRAYS_MAX 16
#define SB_NAME_BYTES 41
/* The longest question, with the token in it. */
#define SB_MESSAGE_BYTES (SB_TOKEN_BYTES + 4096)
/* The part of an answer that is kept: all sections before its body. */
#define SB_HEAD_BYTES 4096
/* The rest of a longer answer is not waited for. */
#define SB_ANSWER_BYTES (1024 * 1024)

enum sb_phase {
	SB_PHASE_LOGIN,
	SB_PHASE_OPEN,
	SB_PHASE_CBS,
	SB_PHASE_TOKEN,
	SB_PHASE_NODE,
	SB_PHASE_UP
};

/* Two links of one session to the same address: questions go out on the
 * sender, answers come in on the receiver.  One question at a time. */
struct sb_pair {
	pn_session_t *session;
	pn_link_t *sender, *receiver; /* NULL: not attached */
	char name[SB_NAME_BYTES];     /* of the receiver, and its address */
	char asked[64]; /* message-id of the pending question; "": none */
	unsigned questions;
	unsigned strays; /* answers to other questions since the last one */
	char head[SB_HEAD_BYTES]; /* of the answer being received */
	size_t head_len, answer_len;
};

struct sb_link {
	const struct sb_conf *conf;
	pn_connection_driver_t driver;
	pn_message_t *message; /* buffer for all that is sent */
	enum sb_phase phase;
	enum sb_state state;
	struct sb_pair cbs, node;
	struct failure outcome;
	bool spent;
	bool has_mssbcbs; /* the peer offers Service Bus' own mechanism */
	struct sb_scan scan;
	char in[SB_SCAN_FRAME_BYTES]; /* received part of the next frame */
	size_t in_len;
	int64_t now_ms;
	int64_t tick_ms;  /* when the library needs a turn; 0: never */
	int64_t renew_ms; /* when a new token is due; 0: never */
};

/* ---- how it ends ---- */

/* The first failure says most: later ones are ignored. */
static void sb_end(struct sb_link *link, enum sb_state state,
		   struct failure outcome)
{
	if (link->state == SB_FAILED)
		return;
	link->state = state;
	link->outcome = outcome;
}

/* Ends the pending question, if any. */
static void sb_answered(struct sb_link *link, struct failure failure)
{
	if (link->state == SB_ASKING)
		sb_end(link, SB_ANSWERED, failure);
}

static void sb_fail(struct sb_link *link, enum result_code code,
		    const char *words)
{
	sb_end(link, SB_FAILED, sb_failure(code, words, NULL));
}

/* A refusal means something else at each step. */
static void sb_fail_judged(struct sb_link *link, struct failure failure)
{
	const char *words = "no right to listen";

	if (link->phase < SB_PHASE_NODE)
		words = "authentication failed";
	else if (link->conf->right == SB_RIGHT_SEND)
		words = "no right to send";
	if (failure.code == RESULT_AUTH)
		failure = sb_failure(RESULT_AUTH, words, failure.detail);
	sb_end(link, SB_FAILED, failure);
}

static void sb_fail_condition(struct sb_link *link, pn_condition_t *condition)
{
	sb_fail_judged(link, sb_condition_judge(
				     pn_condition_get_name(condition),
				     pn_condition_get_description(condition)));
}

/* The library closed the connection: the login was refused, the peer does not
 * speak AMQP, or it was silent for too long. */
static void sb_fail_transport(struct sb_link *link)
{
	pn_transport_t *transport = link->driver.transport;
	pn_condition_t *condition = pn_transport_condition(transport);
	const char *detail = pn_condition_get_description(condition);
	const char *name = pn_condition_get_name(condition);
	pn_sasl_t *sasl = pn_sasl(transport);
	struct failure failure = sb_condition_judge(name, detail);
	bool refused = link->phase == SB_PHASE_LOGIN &&
		       failure.code == RESULT_AUTH &&
		       pn_sasl_outcome(sasl) != PN_SASL_AUTH;

	if (name && strcmp(name, "amqp:resource-limit-exceeded") == 0)
		failure = sb_failure(RESULT_CONNECT,
				     "peer was silent for too long", detail);
	else if (refused && pn_sasl_get_mech(sasl))
		failure = sb_failure(RESULT_UPSTREAM,
				     "the service reports an error", detail);
	else if (refused)
		failure = sb_failure(
			RESULT_PROTOCOL,
			"no login mechanism in common with the peer", detail);
	sb_fail_judged(link, failure);
}

/* ---- a pair of links ---- */

/* Sets a unique name; false: no random numbers are available. */
static bool sb_set_name(struct sb_pair *pair, const char *prefix)
{
	unsigned char r[16];

	if (getrandom(r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		return false;
	r[6] = (r[6] & 0x0f) | 0x40; /* RFC 9562 section 5.4 */
	r[8] = (r[8] & 0x3f) | 0x80;
	snprintf(pair->name, sizeof(pair->name),
		 "%s%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x",
		 prefix, r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8],
		 r[9], r[10], r[11], r[12], r[13], r[14], r[15]);
	return true;
}

static void sb_attach_sender(struct sb_pair *pair, const char *address)
{
	char name[SB_NAME_BYTES + 12];

	snprintf(name, sizeof(name), "%s-%u", pair->name, ++pair->questions);
	pair->sender = pn_sender(pair->session, name);
	pn_terminus_set_address(pn_link_target(pair->sender), address);
	pn_terminus_set_address(pn_link_source(pair->sender), pair->name);
	pn_link_open(pair->sender);
}

/* Begins a session, and attaches both links to the address; NULL: neither. */
static void sb_begin(struct sb_link *link, struct sb_pair *pair,
		     const char *address)
{
	pair->session = pn_session(link->driver.connection);
	pn_session_set_incoming_capacity(pair->session, SB_WINDOW_BYTES);
	pn_session_open(pair->session);
	if (!address)
		return;
	sb_attach_sender(pair, address);
	pair->receiver = pn_receiver(pair->session, pair->name);
	pn_terminus_set_address(pn_link_source(pair->receiver), address);
	pn_terminus_set_address(pn_link_target(pair->receiver), pair->name);
	pn_link_open(pair->receiver);
	pn_link_flow(pair->receiver, SB_CREDIT);
}

/* Whether the peer has granted credit. */
static bool sb_may_send(const struct sb_pair *pair)
{
	return pair->sender &&
	       (pn_link_state(pair->sender) & PN_REMOTE_ACTIVE) &&
	       pn_link_credit(pair->sender) > 0;
}

/* Whether the peer has opened what sb_begin() did.  Its credit and its end of
 * the receiver come in either order. */
static bool sb_is_begun(const struct sb_pair *pair)
{
	if (!pair->receiver)
		return pn_session_state(pair->session) & PN_REMOTE_ACTIVE;
	return sb_may_send(pair) &&
	       (pn_link_state(pair->receiver) & PN_REMOTE_ACTIVE);
}

/* Sends link->message, complete except for its message-id. */
static void sb_send(struct sb_link *link, struct sb_pair *pair)
{
	pn_data_t *id = pn_message_id(link->message);
	char bytes[SB_MESSAGE_BYTES];
	size_t len = sizeof(bytes);

	snprintf(pair->asked, sizeof(pair->asked), "%s:%u", pair->name,
		 ++pair->questions);
	pn_data_clear(id);
	pn_data_put_string(id, pn_bytes(strlen(pair->asked), pair->asked));
	pn_message_set_reply_to(link->message, pair->name);
	if (pn_message_encode(link->message, bytes, &len) == 0 &&
	    pn_delivery(pair->sender, pn_dtag((char *)&pair->questions,
					      sizeof(pair->questions))) &&
	    pn_link_send(pair->sender, bytes, len) == (ssize_t)len) {
		pair->strays = 0;
		pn_link_advance(pair->sender);
	} else {
		sb_fail(link, RESULT_INTERNAL, "out of memory");
	}
	explicit_bzero(bytes, sizeof(bytes));
}

/* ---- one phase after another ---- */

static void sb_send_token(struct sb_link *link)
{
	if (sb_message_token(link->message, link->conf)) {
		sb_fail(link, RESULT_INTERNAL, "cannot sign the token");
		return;
	}
	link->renew_ms = link->now_ms + link->conf->token_life_ms * 3 / 4;
	sb_send(link, &link->cbs);
}

static void sb_open_node(struct sb_link *link)
{
	const struct sb_conf *conf = link->conf;

	link->phase = SB_PHASE_NODE;
	sb_begin(link, &link->node,
		 conf->right == SB_RIGHT_LISTEN ? conf->node : NULL);
}

/*
 * Another broker may create a queue for any link that is attached, and let any
 * client send there.  With right = send and without a token no later step
 * would tell it from Service Bus.  In the connection properties, brokers name
 * their product and Service Bus does not.
 */
static bool sb_fail_foreign(struct sb_link *link)
{
	const struct sb_conf *conf = link->conf;
	pn_data_t *data = pn_connection_remote_properties(
		link->driver.connection);
	char product[RESULT_DETAIL_BYTES] = "";

	if (link->has_mssbcbs)
		return false;
	pn_data_rewind(data);
	if (pn_data_next(data) && pn_data_type(data) == PN_MAP &&
	    pn_data_enter(data) && pn_data_lookup(data, "product"))
		sb_copy_text(product, sizeof(product), data);
	if (!(conf->auth == SB_AUTH_PLAIN && conf->right == SB_RIGHT_SEND) &&
	    (conf->plain || !*product))
		return false;
	sb_end(link, SB_FAILED,
	       sb_failure(RESULT_MISMATCH, "peer is not Azure Service Bus",
			  product));
	return true;
}

/* Enters the next phase when the current one is complete. */
static void sb_advance(struct sb_link *link)
{
	switch (link->phase) {
	case SB_PHASE_LOGIN:
		if (pn_sasl_outcome(pn_sasl(link->driver.transport)) ==
		    PN_SASL_OK)
			link->phase = SB_PHASE_OPEN;
		break;
	case SB_PHASE_OPEN:
		if (!(pn_connection_state(link->driver.connection) &
		      PN_REMOTE_ACTIVE) ||
		    sb_fail_foreign(link))
			break;
		link->phase = SB_PHASE_CBS;
		if (link->conf->auth == SB_AUTH_CBS)
			sb_begin(link, &link->cbs, "$cbs");
		else
			sb_open_node(link);
		break;
	case SB_PHASE_CBS:
		if (!sb_is_begun(&link->cbs))
			break;
		link->phase = SB_PHASE_TOKEN;
		sb_send_token(link);
		break;
	case SB_PHASE_TOKEN:
		break;
	case SB_PHASE_NODE:
		if (!sb_is_begun(&link->node))
			break;
		link->phase = SB_PHASE_UP;
		link->state = SB_READY;
		break;
	case SB_PHASE_UP:
		if (link->conf->auth == SB_AUTH_CBS &&
		    link->now_ms >= link->renew_ms) {
			if (*link->cbs.asked)
				sb_fail(link, RESULT_CONNECT,
					"the token was not renewed");
			else if (sb_may_send(&link->cbs))
				sb_send_token(link);
			else
				link->renew_ms = 0; /* when there is credit */
		}
		if (link->conf->right != SB_RIGHT_SEND ||
		    !sb_may_send(&link->node))
			break;
		pn_link_close(link->node.sender); /* freed by sb_on_event() */
		link->node.sender = NULL;
		sb_answered(link, sb_failure(RESULT_OK, "", NULL));
	}
}

/* ---- answers ---- */

static void sb_on_answer(struct sb_link *link, struct sb_pair *pair)
{
	struct sb_answer answer;
	bool good = sb_answer_read(&answer, pair->head, pair->head_len);
	struct failure failure = sb_answer_judge(&answer);
	pn_delivery_t *delivery;

	if (!*pair->asked || strcmp(answer.correlation, pair->asked) != 0) {
		if (++pair->strays > SB_STRAYS_MAX)
			sb_fail(link, RESULT_PROTOCOL,
				"answers to other questions");
		return;
	}
	pair->asked[0] = '\0';
	/* A peer that has answered need not settle the question. */
	while ((delivery = pn_unsettled_head(pair->sender)))
		pn_delivery_settle(delivery);
	if (!good) {
		sb_fail(link, RESULT_PROTOCOL, "answer without a status");
	} else if (pair == &link->node) {
		/* A new token on a new connection may restore the right. */
		if (failure.code == RESULT_AUTH)
			sb_fail_judged(link, failure);
		else
			sb_answered(link, failure);
	} else if (failure.code != RESULT_OK) {
		/* Also when the refused token is a renewed one. */
		link->phase = SB_PHASE_TOKEN;
		sb_fail_judged(link, failure);
	} else if (link->phase == SB_PHASE_TOKEN) {
		sb_open_node(link);
	}
}

/* Keeps the head of an answer, drops its body. */
static void sb_receive(struct sb_pair *pair, pn_delivery_t *delivery)
{
	char chunk[4096];
	ssize_t got;
	size_t keep;

	while (pn_delivery_pending(delivery) > 0) {
		got = pn_link_recv(pair->receiver, chunk, sizeof(chunk));
		if (got <= 0)
			return;
		keep = sizeof(pair->head) - pair->head_len;
		if (keep > (size_t)got)
			keep = (size_t)got;
		memcpy(pair->head + pair->head_len, chunk, keep);
		pair->head_len += keep;
		pair->answer_len += (size_t)got;
	}
}

static void sb_on_incoming(struct sb_link *link, struct sb_pair *pair,
			   pn_delivery_t *delivery)
{
	bool partial = pn_delivery_partial(delivery);

	if (link->spent)
		return;
	sb_receive(pair, delivery);
	if (pn_delivery_aborted(delivery)) {
		sb_fail(link, RESULT_PROTOCOL, "answer was not finished");
		return;
	}
	if (partial && pair->answer_len <= SB_ANSWER_BYTES)
		return;
	link->spent = partial;
	sb_on_answer(link, pair);
	pair->head_len = pair->answer_len = 0;
	pn_delivery_update(delivery, PN_ACCEPTED);
	pn_delivery_settle(delivery);
	pn_link_flow(pair->receiver, 1);
}

/* The peer reports the fate of a question; that it was accepted proves
 * nothing. */
static void sb_on_outgoing(struct sb_link *link, pn_delivery_t *delivery)
{
	uint64_t state = pn_delivery_remote_state(delivery);

	if (state == PN_REJECTED)
		sb_fail_condition(link, pn_disposition_condition(
						pn_delivery_remote(delivery)));
	else if (state == PN_RELEASED || state == PN_MODIFIED)
		sb_fail(link, RESULT_UPSTREAM, "question was not accepted");
	else if (state != PN_ACCEPTED && !pn_delivery_settled(delivery))
		return;
	pn_delivery_settle(delivery);
}

/* ---- events ---- */

/* The pair that a link belongs to; NULL: it was closed by us before. */
static struct sb_pair *sb_pair_of(struct sb_link *link, const pn_link_t *of)
{
	if (of == link->cbs.sender || of == link->cbs.receiver)
		return &link->cbs;
	if (of == link->node.sender || of == link->node.receiver)
		return &link->node;
	return NULL;
}

static void sb_on_event(struct sb_link *link, pn_event_t *event)
{
	pn_session_t *session = pn_event_session(event);
	pn_link_t *of = pn_event_link(event);
	struct sb_pair *pair = sb_pair_of(link, of);
	bool ours = true;

	switch (pn_event_type(event)) {
	case PN_SESSION_REMOTE_OPEN:
		ours = session == link->cbs.session ||
		       session == link->node.session;
		break;
	case PN_LINK_REMOTE_OPEN:
		ours = pn_link_state(of) & (PN_LOCAL_ACTIVE | PN_LOCAL_CLOSED);
		break;
	case PN_DELIVERY:
		if (pair && of == pair->receiver)
			sb_on_incoming(link, pair, pn_event_delivery(event));
		else if (pair)
			sb_on_outgoing(link, pn_event_delivery(event));
		break;
	case PN_LINK_REMOTE_CLOSE:
	case PN_LINK_REMOTE_DETACH:
		if (!pair)
			pn_link_free(of); /* we closed it first */
		else if (pn_condition_is_set(pn_link_remote_condition(of)))
			sb_fail_condition(link, pn_link_remote_condition(of));
		else
			sb_fail(link, RESULT_CONNECT,
				"link closed by the peer");
		break;
	case PN_SESSION_REMOTE_CLOSE:
		sb_fail_condition(link, pn_session_remote_condition(session));
		break;
	case PN_CONNECTION_REMOTE_CLOSE:
		sb_fail_condition(link, pn_connection_remote_condition(
						link->driver.connection));
		break;
	case PN_TRANSPORT_ERROR:
	case PN_TRANSPORT_CLOSED:
		sb_fail_transport(link);
		break;
	default:
		break;
	}
	/* We open everything that is needed: a peer that opens more could use
	 * up our memory. */
	if (!ours)
		sb_fail(link, RESULT_PROTOCOL,
			"peer opened an unexpected session or link");
}

/* ---- turning ---- */

enum sb_state sb_link_turn(struct sb_link *link, int64_t now_ms)
{
	bool asking = link->state == SB_ASKING;
	pn_event_t *event;

	link->now_ms = now_ms;
	if (link->spent && link->state != SB_ASKING)
		sb_fail(link, RESULT_PROTOCOL, "answer is too long");
	do {
		link->tick_ms = pn_transport_tick(link->driver.transport,
						  now_ms);
		if (link->tick_ms && link->tick_ms < now_ms + SB_TICK_MIN_MS)
			link->tick_ms = now_ms + SB_TICK_MIN_MS;
		while (link->state != SB_FAILED &&
		       (event = pn_connection_driver_next_event(
				&link->driver))) {
			sb_on_event(link, event);
			/* The rest is left for later, so that a close right
			 * after the answer does not undo it. */
			if (asking && link->state == SB_ANSWERED)
				return SB_ANSWERED;
		}
		if (link->state != SB_FAILED)
			sb_advance(link);
	} while (link->state != SB_FAILED &&
		 pn_connection_driver_has_event(&link->driver));
	if (pn_connection_driver_finished(&link->driver))
		sb_fail_transport(link);
	/* After a frame that it cannot decode the library silently stops
	 * reading. */
	if (pn_connection_driver_read_closed(&link->driver))
		sb_fail(link, RESULT_PROTOCOL, "answer is not AMQP");
	return link->state;
}

int64_t sb_link_due_ms(const struct sb_link *link)
{
	if (link->spent && link->state != SB_ASKING)
		return link->now_ms;
	if (link->phase == SB_PHASE_UP && link->renew_ms &&
	    (!link->tick_ms || link->renew_ms < link->tick_ms))
		return link->renew_ms;
	return link->tick_ms;
}

void sb_link_ask(struct sb_link *link, int64_t timeout_ms)
{
	if (link->spent)
		return; /* see sb_link_turn() */
	link->state = SB_ASKING;
	if (link->conf->right == SB_RIGHT_SEND) {
		sb_attach_sender(&link->node, link->conf->node);
		return;
	}
	sb_message_peek(link->message, timeout_ms > 0 ? timeout_ms : 1);
	sb_send(link, &link->node);
}

void sb_link_leave(struct sb_link *link)
{
	pn_connection_close(link->driver.connection);
}

/* ---- bytes ---- */

size_t sb_link_room(struct sb_link *link, char **to)
{
	*to = link->in + link->in_len;
	return sizeof(link->in) - link->in_len;
}

/* Passes a checked frame to the library. */
static void sb_pass(struct sb_link *link, const char *bytes, size_t len)
{
	pn_rwbytes_t room;

	while (len > 0) {
		room = pn_connection_driver_read_buffer(&link->driver);
		if (room.size == 0)
			return; /* it has closed: see sb_link_turn() */
		if (room.size > len)
			room.size = len;
		memcpy(room.start, bytes, room.size);
		pn_connection_driver_read_done(&link->driver, room.size);
		bytes += room.size;
		len -= room.size;
	}
}

void sb_link_fed(struct sb_link *link, size_t len)
{
	enum sb_scan_state state;
	size_t done = 0, frame = 0;
	char words[64];

	link->in_len += len;
	while ((state = sb_scan(&link->scan, (unsigned char *)link->in + done,
				link->in_len - done, &frame)) == SB_SCAN_GOOD) {
		if (link->phase == SB_PHASE_LOGIN &&
		    memmem(link->in + done, frame, "MSSBCBS", 7))
			link->has_mssbcbs = true;
		sb_pass(link, link->in + done, frame);
		done += frame;
	}
	if (state == SB_SCAN_BAD) {
		/* Peers of other protocols often answer in plain text; a frame
		 * begins with a zero byte. */
		len = link->in_len - done;
		snprintf(words, sizeof(words), "%.*s",
			 (int)(len < sizeof(words) ? len : sizeof(words)),
			 link->in + done);
		sb_end(link, SB_FAILED,
		       sb_failure(RESULT_PROTOCOL, "answer is not AMQP",
				  words));
		done = link->in_len;
	}
	memmove(link->in, link->in + done, link->in_len - done);
	link->in_len -= done;
}

size_t sb_link_output(struct sb_link *link, const char **from)
{
	pn_bytes_t output = pn_connection_driver_write_buffer(&link->driver);

	*from = output.start;
	return output.size;
}

void sb_link_sent(struct sb_link *link, size_t len)
{
	pn_connection_driver_write_done(&link->driver, len);
}

/* ---- a connection ---- */

/* With PN_TRACE_FRM in the environment the library would write all that is
 * sent, keys included, to standard error. */
static void sb_ignore_log(intptr_t context, pn_log_subsystem_t subsystem,
			  pn_log_level_t level, const char *message)
{
	(void)context, (void)subsystem, (void)level, (void)message;
}

struct sb_link *sb_link_create(const struct sb_conf *conf)
{
	struct sb_link *link = calloc(1, sizeof(*link));
	bool plain = conf->auth == SB_AUTH_PLAIN;
	pn_connection_t *connection;
	pn_transport_t *transport;
	pn_logger_t *logger;

	if (!link || pn_connection_driver_init(&link->driver, NULL, NULL)) {
		free(link);
		return NULL;
	}
	link->conf = conf;
	link->message = pn_message();
	if (!link->message || !sb_set_name(&link->cbs, "cbs-") ||
	    !sb_set_name(&link->node, "")) {
		sb_link_free(link);
		return NULL;
	}
	transport = link->driver.transport;
	connection = link->driver.connection;
	logger = pn_transport_logger(transport);
	pn_logger_reset_mask(logger, PN_SUBSYSTEM_ALL, PN_LEVEL_ALL);
	pn_logger_set_log_sink(logger, sb_ignore_log, 0);
	pn_transport_set_max_frame(transport, SB_SCAN_FRAME_BYTES);
	pn_transport_set_channel_max(transport, SB_CHANNEL_MAX);
	pn_transport_set_idle_timeout(transport, SB_IDLE_MS);
	pn_connection_set_container(connection, link->node.name);
	pn_connection_set_hostname(connection, conf->host);
	if (plain) {
		pn_connection_set_user(connection, conf->key_name);
		pn_connection_set_password(connection, conf->key);
	}
	pn_sasl_allowed_mechs(pn_sasl(transport),
			      plain ? "PLAIN" : "ANONYMOUS");
	/* The library does not know about the TLS around it. */
	pn_sasl_set_allow_insecure_mechs(pn_sasl(transport), true);
	pn_connection_driver_bind(&link->driver);
	pn_connection_open(connection);
	return link;
}

void sb_link_free(struct sb_link *link)
{
	if (!link)
		return;
	pn_connection_driver_destroy(&link->driver);
	pn_message_free(link->message);
	free(link);
}

const struct failure *sb_link_outcome(const struct sb_link *link)
{
	return &link->outcome;
}

const char *sb_link_step(const struct sb_link *link)
{
	static const char *const steps[] = {
		[SB_PHASE_LOGIN] = "logging in",
		[SB_PHASE_OPEN] = "opening the AMQP connection",
		[SB_PHASE_CBS] = "opening the links for the token",
		[SB_PHASE_TOKEN] = "waiting for the token to be accepted",
		[SB_PHASE_NODE] = "opening the links to the entity",
		[SB_PHASE_UP] = "waiting for the answer",
	};

	if (link->phase != SB_PHASE_UP)
		return steps[link->phase];
	if (link->node.strays)
		return "only answers to other questions came";
	return link->conf->right == SB_RIGHT_SEND
		       ? "waiting for permission to send"
		       : steps[SB_PHASE_UP];
}

#include "config.h"

#include "sb_link.h"

#include "sb_answer.h"
#include "sb_conf.h"
#include "sb_sas.h"

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
#include <time.h>

#define SB_FRAME_BYTES (16 * 1024)
#define SB_WINDOW_BYTES (4 * SB_FRAME_BYTES) /* of one session */
#define SB_CHANNEL_MAX 1
#define SB_CREDIT 2
#define SB_UUID_BYTES 37
#define SB_MESSAGE_BYTES (SB_TOKEN_BYTES + 4096)
/* What is kept of an answer: all that stands before its body. */
#define SB_HEAD_BYTES 4096
/* More than any login takes.  Proton forgets a piece of memory for each list of
 * mechanisms behind the first, so there must not be many. */
#define SB_LOGIN_BYTES 2048
/* Of a longer one the rest is not waited for. */
#define SB_ANSWER_BYTES (1024 * 1024)
/* The library tells the peer half of it, as Microsoft's clients do: 60 s. */
#define SB_IDLE_MS 120000
/* A peer may want to hear from us every millisecond: not that often. */
#define SB_TICK_MIN_MS 10

enum sb_phase {
	SB_PHASE_LOGIN,
	SB_PHASE_OPEN,
	SB_PHASE_CBS,
	SB_PHASE_TOKEN,
	SB_PHASE_NODE,
	SB_PHASE_UP
};

/* Questions go out on one link, answers come in on the other. */
struct sb_pair {
	pn_session_t *session;
	pn_link_t *sender, *receiver; /* NULL: none */
	char name[SB_UUID_BYTES + 4]; /* of the receiver, and its address */
	char asked[64]; /* message-id of the question under way; "": none */
	unsigned questions;
	char head[SB_HEAD_BYTES];
	size_t head_len, answer_len; /* of the answer that comes in */
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
	size_t login_len; /* bytes that came while logging in */
	int64_t now_ms;
	int64_t tick_ms;  /* the library wants a turn then; 0: never */
	int64_t renew_ms; /* a new token is due then; 0: never */
};

static pn_connection_t *sb_connection(const struct sb_link *link)
{
	return link->driver.connection;
}

static pn_transport_t *sb_transport(const struct sb_link *link)
{
	return link->driver.transport;
}

/* ---- how it ends ---- */

/* The log masks keys, but not what is signed with them: a peer that repeats a
 * token is not quoted. */
static void sb_note(struct sb_link *link, const char *detail)
{
	if (!detail || strstr(detail, "sig="))
		detail = "";
	snprintf(link->outcome.detail, sizeof(link->outcome.detail), "%s",
		 detail);
}

/* The first failure is the one that tells most. */
static void sb_fail(struct sb_link *link, enum result_code code,
		    const char *words)
{
	if (link->state == SB_FAILED)
		return;
	link->state = SB_FAILED;
	link->outcome.code = code;
	link->outcome.words = words;
}

static void sb_answered(struct sb_link *link, enum result_code code,
			const char *words)
{
	if (link->state != SB_ASKING)
		return;
	link->state = SB_ANSWERED;
	link->outcome.code = code;
	link->outcome.words = words;
}

/* A refusal means another thing at each step. */
static const char *sb_refusal(const struct sb_link *link)
{
	if (link->phase < SB_PHASE_NODE)
		return "authentication failed";
	return link->conf->right == SB_RIGHT_SEND ? "no right to send"
						  : "no right to listen";
}

static void sb_fail_verdict(struct sb_link *link, struct sb_verdict verdict)
{
	sb_fail(link, verdict.code,
		verdict.code == RESULT_AUTH ? sb_refusal(link) : verdict.words);
}

static void sb_fail_condition(struct sb_link *link, pn_condition_t *condition)
{
	if (link->state == SB_FAILED)
		return;
	sb_note(link, pn_condition_get_description(condition));
	sb_fail_verdict(link,
			sb_condition_judge(pn_condition_get_name(condition)));
}

static void sb_fail_login(struct sb_link *link)
{
	pn_sasl_t *sasl = pn_sasl(sb_transport(link));

	if (pn_sasl_outcome(sasl) == PN_SASL_AUTH)
		sb_fail(link, RESULT_AUTH, "authentication failed");
	else if (!pn_sasl_get_mech(sasl))
		sb_fail(link, RESULT_PROTOCOL, "no common way to log in");
	else
		sb_fail(link, RESULT_UPSTREAM, "the service reports an error");
}

/* The library ended it: login refused, no AMQP, or nothing came for long. */
static void sb_fail_transport(struct sb_link *link)
{
	pn_condition_t *condition = pn_transport_condition(sb_transport(link));
	const char *name = pn_condition_get_name(condition);

	if (link->state == SB_FAILED)
		return;
	sb_note(link, pn_condition_get_description(condition));
	if (!name)
		name = "";
	if (link->phase == SB_PHASE_LOGIN &&
	    strcmp(name, "amqp:unauthorized-access") == 0)
		sb_fail_login(link);
	else if (strcmp(name, "amqp:resource-limit-exceeded") == 0)
		sb_fail(link, RESULT_CONNECT, "nothing heard for long");
	else
		sb_fail_verdict(link, sb_condition_judge(name));
}

/* ---- questions ---- */

static bool sb_uuid(char uuid[SB_UUID_BYTES])
{
	unsigned char r[16];

	if (getrandom(r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		return false;
	r[6] = (r[6] & 0x0f) | 0x40; /* RFC 9562 section 5.4 */
	r[8] = (r[8] & 0x3f) | 0x80;
	snprintf(uuid, SB_UUID_BYTES,
		 "%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-"
		 "%02x%02x%02x%02x%02x%02x",
		 r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9],
		 r[10], r[11], r[12], r[13], r[14], r[15]);
	return true;
}

static void sb_put_text(pn_data_t *data, const char *text)
{
	pn_data_put_string(data, pn_bytes(strlen(text), text));
}

/* Sends link->message; it is complete but for its identity. */
static void sb_send(struct sb_link *link, struct sb_pair *pair)
{
	char bytes[SB_MESSAGE_BYTES], tag[16];
	size_t len = sizeof(bytes);

	snprintf(pair->asked, sizeof(pair->asked), "%s:%u", pair->name,
		 ++pair->questions);
	snprintf(tag, sizeof(tag), "%u", pair->questions);
	pn_data_clear(pn_message_id(link->message));
	sb_put_text(pn_message_id(link->message), pair->asked);
	pn_message_set_reply_to(link->message, pair->name);
	if (pn_message_encode(link->message, bytes, &len) ||
	    !pn_delivery(pair->sender, pn_dtag(tag, strlen(tag))) ||
	    pn_link_send(pair->sender, bytes, len) != (ssize_t)len) {
		sb_fail(link, RESULT_INTERNAL, "out of memory");
		return;
	}
	pn_link_advance(pair->sender);
	explicit_bzero(bytes, len);
}

static void sb_send_token(struct sb_link *link)
{
	const struct sb_conf *conf = link->conf;
	int64_t expiry = time(NULL) + conf->token_life_ms / 1000;
	char token[SB_TOKEN_BYTES];
	pn_data_t *data;

	if (sb_sas_token(token, sizeof(token), conf->audience, conf->key_name,
			 conf->key, expiry)) {
		sb_fail(link, RESULT_INTERNAL, "no token could be made");
		return;
	}
	link->renew_ms = link->now_ms + conf->token_life_ms * 3 / 4;
	pn_message_clear(link->message);
	pn_message_set_address(link->message, "$cbs");
	data = pn_message_properties(link->message);
	pn_data_put_map(data);
	pn_data_enter(data);
	sb_put_text(data, "operation");
	sb_put_text(data, "put-token");
	sb_put_text(data, "type");
	sb_put_text(data, "servicebus.windows.net:sastoken");
	sb_put_text(data, "name");
	sb_put_text(data, conf->audience);
	sb_put_text(pn_message_body(link->message), token);
	explicit_bzero(token, sizeof(token));
	sb_send(link, &link->cbs);
}

/*
 * One message, without its body: a peek of none is refused by every official
 * client, and was seen to be answered with an error of the service's own.
 * What is peeked at is neither locked nor consumed.
 */
static void sb_send_peek(struct sb_link *link, int64_t timeout_ms)
{
	pn_data_t *data;

	pn_message_clear(link->message);
	data = pn_message_properties(link->message);
	pn_data_put_map(data);
	pn_data_enter(data);
	sb_put_text(data, "operation");
	sb_put_text(data, "com.microsoft:peek-message");
	sb_put_text(data, "com.microsoft:server-timeout");
	pn_data_put_uint(data, (uint32_t)timeout_ms);
	/* The types are as the service wants them: long, int. */
	data = pn_message_body(link->message);
	pn_data_put_map(data);
	pn_data_enter(data);
	sb_put_text(data, "from-sequence-number");
	pn_data_put_long(data, 1);
	sb_put_text(data, "message-count");
	pn_data_put_int(data, 1);
	sb_put_text(data, "omit-message-body");
	pn_data_put_bool(data, true);
	sb_send(link, &link->node);
}

/* ---- links ---- */

static void sb_begin(struct sb_link *link, struct sb_pair *pair)
{
	pair->session = pn_session(sb_connection(link));
	pn_session_set_incoming_capacity(pair->session, SB_WINDOW_BYTES);
	pn_session_open(pair->session);
}

static void sb_attach_sender(struct sb_pair *pair, const char *address)
{
	char name[SB_UUID_BYTES + 24];

	snprintf(name, sizeof(name), "%s-%u", pair->name, ++pair->questions);
	pair->sender = pn_sender(pair->session, name);
	pn_terminus_set_address(pn_link_target(pair->sender), address);
	pn_terminus_set_address(pn_link_source(pair->sender), pair->name);
	pn_link_open(pair->sender);
}

static void sb_attach(struct sb_link *link, struct sb_pair *pair,
		      const char *address)
{
	sb_begin(link, pair);
	sb_attach_sender(pair, address);
	pair->receiver = pn_receiver(pair->session, pair->name);
	pn_terminus_set_address(pn_link_source(pair->receiver), address);
	pn_terminus_set_address(pn_link_target(pair->receiver), pair->name);
	pn_link_open(pair->receiver);
	pn_link_flow(pair->receiver, SB_CREDIT);
}

static bool sb_may_send(const struct sb_pair *pair)
{
	return pair->sender &&
	       (pn_link_state(pair->sender) & PN_REMOTE_ACTIVE) &&
	       pn_link_credit(pair->sender) > 0;
}

/* The peer's leave to send and its side of the receiver come in any order. */
static bool sb_is_attached(const struct sb_pair *pair)
{
	return sb_may_send(pair) &&
	       (pn_link_state(pair->receiver) & PN_REMOTE_ACTIVE);
}

static void sb_open_node(struct sb_link *link)
{
	link->phase = SB_PHASE_NODE;
	if (link->conf->right == SB_RIGHT_LISTEN)
		sb_attach(link, &link->node, link->conf->node);
	else
		sb_begin(link, &link->node);
}

static bool sb_node_is_open(const struct sb_link *link)
{
	if (link->conf->right == SB_RIGHT_LISTEN)
		return sb_is_attached(&link->node);
	return pn_session_state(link->node.session) & PN_REMOTE_ACTIVE;
}

static void sb_renew(struct sb_link *link)
{
	if (*link->cbs.asked)
		sb_fail(link, RESULT_CONNECT, "the token was not renewed");
	else if (sb_may_send(&link->cbs))
		sb_send_token(link);
	else
		link->renew_ms = 0; /* as soon as it may be sent */
}

/* A sender was attached to see whether it may be. */
static void sb_sender_is_good(struct sb_link *link)
{
	pn_link_close(link->node.sender); /* freed when the peer agrees */
	link->node.sender = NULL;
	sb_answered(link, RESULT_OK, "");
}

/* Goes on where nothing more has to be waited for. */
static void sb_advance(struct sb_link *link)
{
	switch (link->phase) {
	case SB_PHASE_LOGIN:
		if (pn_sasl_outcome(pn_sasl(sb_transport(link))) == PN_SASL_OK)
			link->phase = SB_PHASE_OPEN;
		break;
	case SB_PHASE_OPEN:
		if (!(pn_connection_state(sb_connection(link)) &
		      PN_REMOTE_ACTIVE))
			break;
		link->phase = SB_PHASE_CBS;
		if (link->conf->auth == SB_AUTH_CBS)
			sb_attach(link, &link->cbs, "$cbs");
		else
			sb_open_node(link);
		break;
	case SB_PHASE_CBS:
		if (!sb_is_attached(&link->cbs))
			break;
		link->phase = SB_PHASE_TOKEN;
		sb_send_token(link);
		break;
	case SB_PHASE_TOKEN:
		break;
	case SB_PHASE_NODE:
		if (!sb_node_is_open(link))
			break;
		link->phase = SB_PHASE_UP;
		link->state = SB_READY;
		break;
	case SB_PHASE_UP:
		if (link->conf->auth == SB_AUTH_CBS &&
		    link->now_ms >= link->renew_ms)
			sb_renew(link);
		if (link->conf->right == SB_RIGHT_SEND &&
		    sb_may_send(&link->node))
			sb_sender_is_good(link);
	}
}

/* ---- answers ---- */

static void sb_on_token(struct sb_link *link, const struct sb_answer *answer)
{
	struct sb_verdict verdict = sb_answer_judge(answer);
	enum sb_phase phase = link->phase;

	if (verdict.code != RESULT_OK) {
		/* Also when it is a later one that is refused. */
		link->phase = SB_PHASE_TOKEN;
		sb_note(link, answer->detail);
		sb_fail_verdict(link, verdict);
	} else if (phase == SB_PHASE_TOKEN) {
		sb_open_node(link);
	}
}

static void sb_on_peeked(struct sb_link *link, const struct sb_answer *answer)
{
	struct sb_verdict verdict = sb_answer_judge(answer);

	sb_note(link, verdict.code == RESULT_OK ? "" : answer->detail);
	/* A right may come back with a new token on a new connection. */
	if (verdict.code == RESULT_AUTH)
		sb_fail_verdict(link, verdict);
	else
		sb_answered(link, verdict.code, verdict.words);
}

/* A peer need not say what became of a question when it has answered. */
static void sb_forget_questions(struct sb_pair *pair)
{
	pn_delivery_t *delivery;

	while ((delivery = pn_unsettled_head(pair->sender)))
		pn_delivery_settle(delivery);
}

static void sb_on_answer(struct sb_link *link, struct sb_pair *pair)
{
	struct sb_answer answer;

	if (!sb_answer_read(&answer, pair->head, pair->head_len)) {
		sb_fail(link, RESULT_PROTOCOL, "answer without a status");
		return;
	}
	if (!*pair->asked || strcmp(answer.correlation, pair->asked) != 0) {
		sb_fail(link, RESULT_PROTOCOL, "answer to another question");
		return;
	}
	pair->asked[0] = '\0';
	sb_forget_questions(pair);
	if (pair == &link->cbs)
		sb_on_token(link, &answer);
	else
		sb_on_peeked(link, &answer);
}

/* Takes what has come of a message: keeps its head, drops its body. */
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
	if (link->spent)
		return;
	sb_receive(pair, delivery);
	if (pn_delivery_aborted(delivery)) {
		sb_fail(link, RESULT_PROTOCOL, "answer was not finished");
		return;
	}
	if (pn_delivery_partial(delivery) &&
	    pair->answer_len <= SB_ANSWER_BYTES)
		return;
	link->spent = pn_delivery_partial(delivery);
	sb_on_answer(link, pair);
	pair->head_len = pair->answer_len = 0;
	pn_delivery_update(delivery, PN_ACCEPTED);
	pn_delivery_settle(delivery);
	pn_link_flow(pair->receiver, 1);
}

/* What became of a question: that it was taken says nothing. */
static void sb_on_outgoing(struct sb_link *link, pn_delivery_t *delivery)
{
	switch (pn_delivery_remote_state(delivery)) {
	case PN_REJECTED:
		sb_fail_condition(link, pn_disposition_condition(
						pn_delivery_remote(delivery)));
		break;
	case PN_RELEASED:
	case PN_MODIFIED:
		sb_fail(link, RESULT_UPSTREAM, "question was not taken");
		break;
	case PN_ACCEPTED:
		break;
	default:
		if (!pn_delivery_settled(delivery))
			return;
	}
	pn_delivery_settle(delivery);
}

/* ---- events ---- */

static struct sb_pair *sb_pair_of(struct sb_link *link, pn_link_t *of)
{
	if (of == link->cbs.sender || of == link->cbs.receiver)
		return &link->cbs;
	if (of == link->node.sender || of == link->node.receiver)
		return &link->node;
	return NULL;
}

static void sb_on_delivery(struct sb_link *link, pn_delivery_t *delivery)
{
	pn_link_t *of = pn_delivery_link(delivery);
	struct sb_pair *pair = sb_pair_of(link, of);

	if (pair && of == pair->receiver)
		sb_on_incoming(link, pair, delivery);
	else if (pair)
		sb_on_outgoing(link, delivery);
}

static void sb_on_link_closed(struct sb_link *link, pn_link_t *of)
{
	pn_condition_t *condition = pn_link_remote_condition(of);

	if (!sb_pair_of(link, of))
		pn_link_free(of); /* we closed it first */
	else if (pn_condition_is_set(condition))
		sb_fail_condition(link, condition);
	else
		sb_fail(link, RESULT_CONNECT, "link closed by the peer");
}

/* We ask for everything that there is: a peer that opens something of its own
 * accord could go on until our memory is used up. */
static void sb_on_opened(struct sb_link *link, bool ours)
{
	if (!ours)
		sb_fail(link, RESULT_PROTOCOL,
			"the peer opens what was not asked for");
}

static void sb_on_event(struct sb_link *link, pn_event_t *event)
{
	pn_session_t *session = pn_event_session(event);

	switch (pn_event_type(event)) {
	case PN_SESSION_REMOTE_OPEN:
		sb_on_opened(link, session == link->cbs.session ||
					   session == link->node.session);
		break;
	case PN_LINK_REMOTE_OPEN:
		sb_on_opened(link, pn_link_state(pn_event_link(event)) &
					   (PN_LOCAL_ACTIVE | PN_LOCAL_CLOSED));
		break;
	case PN_DELIVERY:
		sb_on_delivery(link, pn_event_delivery(event));
		break;
	case PN_LINK_REMOTE_CLOSE:
	case PN_LINK_REMOTE_DETACH:
		sb_on_link_closed(link, pn_event_link(event));
		break;
	case PN_SESSION_REMOTE_CLOSE:
		sb_fail_condition(link, pn_session_remote_condition(session));
		break;
	case PN_CONNECTION_REMOTE_CLOSE:
		sb_fail_condition(link, pn_connection_remote_condition(
						sb_connection(link)));
		break;
	case PN_TRANSPORT_ERROR:
	case PN_TRANSPORT_CLOSED:
		sb_fail_transport(link);
		break;
	default:
		break;
	}
}

/* The events that there are; whether one of them was the answer.  Those behind
 * it are left: an end of the connection that comes along does not undo it. */
static bool sb_take_events(struct sb_link *link)
{
	bool asking = link->state == SB_ASKING;
	pn_event_t *event;

	while (link->state != SB_FAILED &&
	       (event = pn_connection_driver_next_event(&link->driver))) {
		sb_on_event(link, event);
		if (asking && link->state == SB_ANSWERED)
			return true;
	}
	return false;
}

static void sb_tick(struct sb_link *link)
{
	link->tick_ms = pn_transport_tick(sb_transport(link), link->now_ms);
	if (link->tick_ms && link->tick_ms < link->now_ms + SB_TICK_MIN_MS)
		link->tick_ms = link->now_ms + SB_TICK_MIN_MS;
}

enum sb_state sb_link_turn(struct sb_link *link, int64_t now_ms)
{
	link->now_ms = now_ms;
	do {
		sb_tick(link);
		if (sb_take_events(link))
			return SB_ANSWERED;
		if (link->state != SB_FAILED)
			sb_advance(link);
	} while (link->state != SB_FAILED &&
		 pn_connection_driver_has_event(&link->driver));
	if (pn_connection_driver_finished(&link->driver))
		sb_fail_transport(link);
	/* On a frame that it cannot decode the library takes no more bytes,
	 * and says nothing. */
	if (pn_connection_driver_read_closed(&link->driver))
		sb_fail(link, RESULT_PROTOCOL, "answer is not AMQP");
	if (link->phase == SB_PHASE_LOGIN && link->login_len >= SB_LOGIN_BYTES)
		sb_fail(link, RESULT_PROTOCOL, "login is too long");
	return link->state;
}

int64_t sb_link_due_ms(const struct sb_link *link)
{
	if (link->spent && link->state != SB_ASKING)
		return link->now_ms;
	if (link->phase != SB_PHASE_UP || !link->renew_ms)
		return link->tick_ms;
	if (!link->tick_ms || link->renew_ms < link->tick_ms)
		return link->renew_ms;
	return link->tick_ms;
}

void sb_link_ask(struct sb_link *link, int64_t timeout_ms)
{
	link->state = SB_ASKING;
	link->outcome.detail[0] = '\0';
	if (link->conf->right == SB_RIGHT_SEND)
		sb_attach_sender(&link->node, link->conf->node);
	else
		sb_send_peek(link, timeout_ms > 0 ? timeout_ms : 1);
}

bool sb_link_is_spent(const struct sb_link *link)
{
	return link->spent;
}

void sb_link_leave(struct sb_link *link)
{
	pn_connection_close(sb_connection(link));
}

/* ---- bytes ---- */

size_t sb_link_room(struct sb_link *link, char **to)
{
	pn_rwbytes_t room = pn_connection_driver_read_buffer(&link->driver);

	*to = room.start;
	if (link->phase == SB_PHASE_LOGIN &&
	    room.size > SB_LOGIN_BYTES - link->login_len)
		return SB_LOGIN_BYTES - link->login_len;
	return room.size;
}

void sb_link_fed(struct sb_link *link, size_t len)
{
	if (link->phase == SB_PHASE_LOGIN)
		link->login_len += len;
	pn_connection_driver_read_done(&link->driver, len);
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

/* The library would write to standard error, on the word of a variable of the
 * environment (PN_TRACE_FRM) all that is sent, keys included. */
static void sb_ignore_log(intptr_t context, pn_log_subsystem_t subsystem,
			  pn_log_level_t level, const char *message)
{
	(void)context, (void)subsystem, (void)level, (void)message;
}

static void sb_set_up(struct sb_link *link)
{
	pn_transport_t *transport = sb_transport(link);
	pn_connection_t *connection = sb_connection(link);
	pn_logger_t *logger = pn_transport_logger(transport);
	pn_sasl_t *sasl;

	pn_logger_reset_mask(logger, PN_SUBSYSTEM_ALL, PN_LEVEL_ALL);
	pn_logger_set_log_sink(logger, sb_ignore_log, 0);
	pn_transport_set_max_frame(transport, SB_FRAME_BYTES);
	pn_transport_set_channel_max(transport, SB_CHANNEL_MAX);
	pn_transport_set_idle_timeout(transport, SB_IDLE_MS);
	pn_connection_set_container(connection, link->node.name);
	pn_connection_set_hostname(connection, link->conf->host);
	if (link->conf->auth == SB_AUTH_PLAIN) {
		pn_connection_set_user(connection, link->conf->key_name);
		pn_connection_set_password(connection, link->conf->key);
	}
	sasl = pn_sasl(transport);
	pn_sasl_allowed_mechs(sasl, link->conf->auth == SB_AUTH_PLAIN
					    ? "PLAIN"
					    : "ANONYMOUS");
	/* It does not see the TLS that is around it. */
	pn_sasl_set_allow_insecure_mechs(sasl, true);
	pn_connection_driver_bind(&link->driver);
	pn_connection_open(connection);
}

struct sb_link *sb_link_create(const struct sb_conf *conf)
{
	struct sb_link *link = calloc(1, sizeof(*link));

	if (!link)
		return NULL;
	link->conf = conf;
	link->message = pn_message();
	if (!link->message ||
	    pn_connection_driver_init(&link->driver, NULL, NULL)) {
		pn_message_free(link->message);
		free(link);
		return NULL;
	}
	snprintf(link->cbs.name, sizeof(link->cbs.name), "cbs-");
	if (!sb_uuid(link->cbs.name + 4) || !sb_uuid(link->node.name)) {
		sb_link_free(link);
		return NULL;
	}
	link->outcome.words = "";
	sb_set_up(link);
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

const struct sb_outcome *sb_link_outcome(const struct sb_link *link)
{
	return &link->outcome;
}

const char *sb_link_step(const struct sb_link *link)
{
	switch (link->phase) {
	case SB_PHASE_LOGIN:
		return "logging in";
	case SB_PHASE_OPEN:
		return "opening the AMQP connection";
	case SB_PHASE_CBS:
		return "opening the links for the token";
	case SB_PHASE_TOKEN:
		return "waiting for the token to be taken";
	case SB_PHASE_NODE:
		return "opening the links to the entity";
	case SB_PHASE_UP:
		return link->conf->right == SB_RIGHT_SEND
			       ? "waiting for leave to send"
			       : "waiting for the answer";
	}
	return "";
}

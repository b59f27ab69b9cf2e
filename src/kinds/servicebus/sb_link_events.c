#include "config.h"

#include "kinds/servicebus/sb_link_own.h"

#include "kinds/servicebus/sb_conf.h"
#include "kinds/servicebus/sb_message.h"

#include <proton/codec.h>
#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/disposition.h>
#include <proton/link.h>
#include <proton/sasl.h>
#include <proton/session.h>

#include <stddef.h>
#include <string.h>

/* ---- one phase after another ---- */

static void sb_send_token(struct sb_link *link)
{
	if (sb_message_token(link->message, link->conf)) {
		sb_link_fail(link, RESULT_INTERNAL, "no token could be made");
		return;
	}
	link->renew_ms = link->now_ms + link->conf->token_life_ms * 3 / 4;
	if (sb_pair_send(&link->cbs, link->message))
		sb_link_fail(link, RESULT_INTERNAL, "out of memory");
}

static void sb_open_node(struct sb_link *link)
{
	link->phase = SB_PHASE_NODE;
	if (link->conf->right == SB_RIGHT_LISTEN)
		sb_pair_attach(&link->node, link->driver.connection,
			       link->conf->node);
	else
		sb_pair_begin(&link->node, link->driver.connection);
}

static bool sb_node_is_open(const struct sb_link *link)
{
	if (link->conf->right == SB_RIGHT_LISTEN)
		return sb_pair_is_attached(&link->node);
	return pn_session_state(link->node.session) & PN_REMOTE_ACTIVE;
}

static void sb_renew(struct sb_link *link)
{
	if (*link->cbs.asked)
		sb_link_fail(link, RESULT_CONNECT, "the token was not renewed");
	else if (sb_pair_may_send(&link->cbs))
		sb_send_token(link);
	else
		link->renew_ms = 0; /* as soon as it may be sent */
}

/* A sender was attached to see whether it may be. */
static void sb_sender_is_good(struct sb_link *link)
{
	pn_link_close(link->node.sender); /* freed when the peer agrees */
	link->node.sender = NULL;
	sb_link_answered(link, RESULT_OK, "");
}

/* The name of the product in the properties of the connection, with which
 * brokers introduce themselves and Service Bus does not; "": none. */
static void sb_read_product(struct sb_link *link, char *to, size_t size)
{
	pn_data_t *data = pn_connection_remote_properties(
		link->driver.connection);
	char name[16];

	*to = '\0';
	pn_data_rewind(data);
	if (!pn_data_next(data) || pn_data_type(data) != PN_MAP)
		return;
	pn_data_enter(data);
	while (pn_data_next(data)) {
		sb_copy_text(name, sizeof(name), data);
		if (!pn_data_next(data))
			return;
		if (strcmp(name, "product") == 0)
			sb_copy_text(to, size, data);
	}
}

/*
 * Another broker may create a queue for whatever is attached to it, and let
 * anybody send there.  With right = send and without a token nothing that
 * follows would tell it from Service Bus.
 */
static bool sb_is_foreign(struct sb_link *link)
{
	const struct sb_conf *conf = link->conf;
	char product[RESULT_DETAIL_BYTES];

	if (link->has_mssbcbs)
		return false;
	sb_read_product(link, product, sizeof(product));
	if (!(conf->auth == SB_AUTH_PLAIN && conf->right == SB_RIGHT_SEND) &&
	    (conf->plain || !*product))
		return false;
	sb_link_note(link, product);
	sb_link_fail(link, RESULT_MISMATCH, "peer is not Azure Service Bus");
	return true;
}

void sb_link_advance(struct sb_link *link)
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
		    sb_is_foreign(link))
			break;
		link->phase = SB_PHASE_CBS;
		if (link->conf->auth == SB_AUTH_CBS)
			sb_pair_attach(&link->cbs, link->driver.connection,
				       "$cbs");
		else
			sb_open_node(link);
		break;
	case SB_PHASE_CBS:
		if (!sb_pair_is_attached(&link->cbs))
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
		    sb_pair_may_send(&link->node))
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
		sb_link_note(link, answer->detail);
		sb_link_fail_verdict(link, verdict);
	} else if (phase == SB_PHASE_TOKEN) {
		sb_open_node(link);
	}
}

static void sb_on_peeked(struct sb_link *link, const struct sb_answer *answer)
{
	struct sb_verdict verdict = sb_answer_judge(answer);

	sb_link_note(link, verdict.code == RESULT_OK ? "" : answer->detail);
	/* A right may come back with a new token on a new connection. */
	if (verdict.code == RESULT_AUTH)
		sb_link_fail_verdict(link, verdict);
	else
		sb_link_answered(link, verdict.code, verdict.words);
}

static void sb_on_answer(struct sb_link *link, struct sb_pair *pair)
{
	struct sb_answer answer;
	bool good = sb_answer_read(&answer, pair->head, pair->head_len);
	enum sb_pair_whose whose = sb_pair_ends(pair, answer.correlation);

	if (whose == SB_PAIR_STRAYS)
		sb_link_fail(link, RESULT_PROTOCOL,
			     "answers to other questions");
	if (whose != SB_PAIR_OURS)
		return;
	if (!good)
		sb_link_fail(link, RESULT_PROTOCOL, "answer without a status");
	else if (pair == &link->cbs)
		sb_on_token(link, &answer);
	else
		sb_on_peeked(link, &answer);
}

static void sb_on_incoming(struct sb_link *link, struct sb_pair *pair,
			   pn_delivery_t *delivery)
{
	enum sb_pair_got got;

	if (link->spent)
		return;
	got = sb_pair_receive(pair, delivery);
	if (got == SB_PAIR_ABORTED)
		sb_link_fail(link, RESULT_PROTOCOL, "answer was not finished");
	if (got != SB_PAIR_WHOLE && got != SB_PAIR_LONG)
		return;
	link->spent = got == SB_PAIR_LONG;
	sb_on_answer(link, pair);
	sb_pair_done(pair, delivery);
}

/* What became of a question: that it was taken says nothing. */
static void sb_on_outgoing(struct sb_link *link, pn_delivery_t *delivery)
{
	switch (pn_delivery_remote_state(delivery)) {
	case PN_REJECTED:
		sb_link_fail_condition(
			link,
			pn_disposition_condition(pn_delivery_remote(delivery)));
		break;
	case PN_RELEASED:
	case PN_MODIFIED:
		sb_link_fail(link, RESULT_UPSTREAM, "question was not taken");
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
	if (sb_pair_has(&link->cbs, of))
		return &link->cbs;
	return sb_pair_has(&link->node, of) ? &link->node : NULL;
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
		sb_link_fail_condition(link, condition);
	else
		sb_link_fail(link, RESULT_CONNECT, "link closed by the peer");
}

/* We ask for everything that there is: a peer that opens something of its own
 * accord could go on until our memory is used up. */
static void sb_on_opened(struct sb_link *link, bool ours)
{
	if (!ours)
		sb_link_fail(link, RESULT_PROTOCOL,
			     "the peer opens what was not asked for");
}

void sb_link_on_event(struct sb_link *link, pn_event_t *event)
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
		sb_link_fail_condition(link,
				       pn_session_remote_condition(session));
		break;
	case PN_CONNECTION_REMOTE_CLOSE:
		sb_link_fail_condition(link, pn_connection_remote_condition(
						     link->driver.connection));
		break;
	case PN_TRANSPORT_ERROR:
	case PN_TRANSPORT_CLOSED:
		sb_link_fail_transport(link);
		break;
	default:
		break;
	}
}

#include "config.h"

#include "kinds/servicebus/sb_pair.h"

#include <proton/connection.h>
#include <proton/delivery.h>
#include <proton/link.h>
#include <proton/session.h>
#include <proton/terminus.h>

#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#define SB_WINDOW_BYTES (64 * 1024) /* of one session: four frames */
#define SB_CREDIT 2
/* A late answer to a question that was given up does not come alone. */
#define SB_STRAYS_MAX 16

bool sb_pair_set_name(struct sb_pair *pair, const char *prefix)
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

/* ---- links ---- */

void sb_pair_begin(struct sb_pair *pair, pn_connection_t *connection)
{
	pair->session = pn_session(connection);
	pn_session_set_incoming_capacity(pair->session, SB_WINDOW_BYTES);
	pn_session_open(pair->session);
}

void sb_pair_attach_sender(struct sb_pair *pair, const char *address)
{
	char name[SB_PAIR_NAME_BYTES + 12];

	snprintf(name, sizeof(name), "%s-%u", pair->name, ++pair->questions);
	pair->sender = pn_sender(pair->session, name);
	pn_terminus_set_address(pn_link_target(pair->sender), address);
	pn_terminus_set_address(pn_link_source(pair->sender), pair->name);
	pn_link_open(pair->sender);
}

void sb_pair_attach(struct sb_pair *pair, pn_connection_t *connection,
		    const char *address)
{
	sb_pair_begin(pair, connection);
	sb_pair_attach_sender(pair, address);
	pair->receiver = pn_receiver(pair->session, pair->name);
	pn_terminus_set_address(pn_link_source(pair->receiver), address);
	pn_terminus_set_address(pn_link_target(pair->receiver), pair->name);
	pn_link_open(pair->receiver);
	pn_link_flow(pair->receiver, SB_CREDIT);
}

bool sb_pair_has(const struct sb_pair *pair, const pn_link_t *link)
{
	return link == pair->sender || link == pair->receiver;
}

bool sb_pair_may_send(const struct sb_pair *pair)
{
	return pair->sender &&
	       (pn_link_state(pair->sender) & PN_REMOTE_ACTIVE) &&
	       pn_link_credit(pair->sender) > 0;
}

/* The peer's leave to send and its side of the receiver come in any order. */
bool sb_pair_is_attached(const struct sb_pair *pair)
{
	return sb_pair_may_send(pair) &&
	       (pn_link_state(pair->receiver) & PN_REMOTE_ACTIVE);
}

/* ---- the question ---- */

int sb_pair_send(struct sb_pair *pair, pn_message_t *message)
{
	char bytes[SB_PAIR_MESSAGE_BYTES], tag[16];
	size_t len = sizeof(bytes);
	bool sent;

	snprintf(pair->asked, sizeof(pair->asked), "%s:%u", pair->name,
		 ++pair->questions);
	snprintf(tag, sizeof(tag), "%u", pair->questions);
	pn_data_clear(pn_message_id(message));
	pn_data_put_string(pn_message_id(message),
			   pn_bytes(strlen(pair->asked), pair->asked));
	pn_message_set_reply_to(message, pair->name);
	sent = pn_message_encode(message, bytes, &len) == 0 &&
	       pn_delivery(pair->sender, pn_dtag(tag, strlen(tag))) &&
	       pn_link_send(pair->sender, bytes, len) == (ssize_t)len;
	explicit_bzero(bytes, sizeof(bytes));
	if (!sent)
		return -1;
	pair->strays = 0;
	pn_link_advance(pair->sender);
	return 0;
}

/* A peer need not say what became of a question when it has answered. */
static void sb_pair_forget(struct sb_pair *pair)
{
	pn_delivery_t *delivery;

	while ((delivery = pn_unsettled_head(pair->sender)))
		pn_delivery_settle(delivery);
}

enum sb_pair_whose sb_pair_ends(struct sb_pair *pair, const char *correlation)
{
	if (!*pair->asked || strcmp(correlation, pair->asked) != 0)
		return ++pair->strays > SB_STRAYS_MAX ? SB_PAIR_STRAYS
						      : SB_PAIR_STRAY;
	pair->asked[0] = '\0';
	sb_pair_forget(pair);
	return SB_PAIR_OURS;
}

/* ---- the answer ---- */

/* Keeps its head, drops its body. */
static void sb_pair_take(struct sb_pair *pair, pn_delivery_t *delivery)
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

enum sb_pair_got sb_pair_receive(struct sb_pair *pair, pn_delivery_t *delivery)
{
	sb_pair_take(pair, delivery);
	if (pn_delivery_aborted(delivery))
		return SB_PAIR_ABORTED;
	if (!pn_delivery_partial(delivery))
		return SB_PAIR_WHOLE;
	return pair->answer_len > SB_PAIR_ANSWER_BYTES ? SB_PAIR_LONG
						       : SB_PAIR_PART;
}

void sb_pair_done(struct sb_pair *pair, pn_delivery_t *delivery)
{
	pair->head_len = pair->answer_len = 0;
	pn_delivery_update(delivery, PN_ACCEPTED);
	pn_delivery_settle(delivery);
	pn_link_flow(pair->receiver, 1);
}

#include "config.h"

#include "kinds/servicebus/sb_link.h"

#include "kinds/servicebus/sb_conf.h"
#include "kinds/servicebus/sb_link_own.h"
#include "kinds/servicebus/sb_message.h"

#include <proton/connection.h>
#include <proton/logger.h>
#include <proton/sasl.h>
#include <proton/transport.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SB_CHANNEL_MAX 1
/* The library tells the peer half of it, as Microsoft's clients do: 60 s. */
#define SB_IDLE_MS 120000
/* A peer may want to hear from us every millisecond: not that often. */
#define SB_TICK_MIN_MS 10

/* ---- turning ---- */

/* The events that there are; whether one of them was the answer.  Those behind
 * it are left: an end of the connection that comes along does not undo it. */
static bool sb_take_events(struct sb_link *link)
{
	bool asking = link->state == SB_ASKING;
	pn_event_t *event;

	while (link->state != SB_FAILED &&
	       (event = pn_connection_driver_next_event(&link->driver))) {
		sb_link_on_event(link, event);
		if (asking && link->state == SB_ANSWERED)
			return true;
	}
	return false;
}

static void sb_tick(struct sb_link *link)
{
	link->tick_ms = pn_transport_tick(link->driver.transport, link->now_ms);
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
			sb_link_advance(link);
	} while (link->state != SB_FAILED &&
		 pn_connection_driver_has_event(&link->driver));
	if (pn_connection_driver_finished(&link->driver))
		sb_link_fail_transport(link);
	/* On a frame that it cannot decode the library takes no more bytes,
	 * and says nothing. */
	if (pn_connection_driver_read_closed(&link->driver))
		sb_link_fail(link, RESULT_PROTOCOL, "answer is not AMQP");
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
	if (link->conf->right == SB_RIGHT_SEND) {
		sb_pair_attach_sender(&link->node, link->conf->node);
		return;
	}
	sb_message_peek(link->message, timeout_ms > 0 ? timeout_ms : 1);
	if (sb_pair_send(&link->node, link->message))
		sb_link_fail(link, RESULT_INTERNAL, "out of memory");
}

bool sb_link_is_spent(const struct sb_link *link)
{
	return link->spent;
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

/* Gives the library what was looked at. */
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

/* Who speaks another protocol often says so in words; a frame begins with a
 * zero. */
static void sb_quote(struct sb_link *link, const char *bytes, size_t len)
{
	char words[64];

	snprintf(words, sizeof(words), "%.*s",
		 (int)(len < sizeof(words) ? len : sizeof(words)), bytes);
	sb_link_note(link, words);
}

void sb_link_fed(struct sb_link *link, size_t len)
{
	enum sb_scan_state state = SB_SCAN_GOOD;
	size_t done = 0, frame = 0;

	link->in_len += len;
	while (state == SB_SCAN_GOOD) {
		state = sb_scan(&link->scan, (unsigned char *)link->in + done,
				link->in_len - done, &frame);
		if (state == SB_SCAN_GOOD) {
			if (link->phase == SB_PHASE_LOGIN &&
			    memmem(link->in + done, frame, "MSSBCBS", 7))
				link->has_mssbcbs = true;
			sb_pass(link, link->in + done, frame);
			done += frame;
		}
	}
	if (state == SB_SCAN_BAD) {
		sb_quote(link, link->in + done, link->in_len - done);
		sb_link_fail(link, RESULT_PROTOCOL, "answer is not AMQP");
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

/* The library would write to standard error, on the word of a variable of the
 * environment (PN_TRACE_FRM) all that is sent, keys included. */
static void sb_ignore_log(intptr_t context, pn_log_subsystem_t subsystem,
			  pn_log_level_t level, const char *message)
{
	(void)context, (void)subsystem, (void)level, (void)message;
}

static void sb_set_up(struct sb_link *link)
{
	pn_transport_t *transport = link->driver.transport;
	pn_connection_t *connection = link->driver.connection;
	pn_logger_t *logger = pn_transport_logger(transport);
	pn_sasl_t *sasl;

	pn_logger_reset_mask(logger, PN_SUBSYSTEM_ALL, PN_LEVEL_ALL);
	pn_logger_set_log_sink(logger, sb_ignore_log, 0);
	pn_transport_set_max_frame(transport, SB_SCAN_FRAME_BYTES);
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
	if (!sb_pair_set_name(&link->cbs, "cbs-") ||
	    !sb_pair_set_name(&link->node, "")) {
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
		if (link->node.strays)
			return "only answers to other questions came";
		return link->conf->right == SB_RIGHT_SEND
			       ? "waiting for leave to send"
			       : "waiting for the answer";
	}
	return "";
}

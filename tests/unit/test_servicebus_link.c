#include "config.h"

#include "kinds/servicebus/sb_scan.c"
#include "kinds/servicebus/sb_message.c"
#include "kinds/servicebus/sb_link.c"

#include "unit.h"

#include <pthread.h>

/*
 * The other side is the same library, in memory: it is not the protocol that
 * is tested here (see tests/system/test_servicebus.sh), but what a peer may do
 * to us at any byte and at any time.  As a server it knows no PLAIN.
 */

static char host[] = "h", node[] = "q/$management", target[] = "q";
static char audience[] = "sb://h/q/$management", name[] = "n", key[] = "k";

/* The thread that asks has more. */
#define TEST_STACK_BYTES (1024 * 1024)

static struct sb_conf conf;

static struct sb_conf conf_of(enum sb_right right)
{
	return (struct sb_conf){ .host = host,
				 .node = right == SB_RIGHT_SEND ? target : node,
				 .audience = audience,
				 .key_name = name,
				 .key = key,
				 .token_life_ms = 100000,
				 .auth = SB_AUTH_CBS,
				 .right = right };
}

/* ---- the service ---- */

struct service {
	pn_connection_driver_t driver;
	pn_link_t *answers[2]; /* of $cbs, of the node */
	int tokens, peeks, links, status;
	size_t body; /* bytes of it in an answer to a peek */
	bool endless;
	int strays;  /* answers to other questions before each answer */
	bool silent; /* about what became of a question */
	char last[SB_MESSAGE_BYTES]; /* message */
	size_t last_len;
	int64_t heard;
};

static void service_open(struct service *service)
{
	pn_transport_t *transport = pn_transport();

	memset(service, 0, sizeof(*service));
	service->status = 200;
	pn_transport_set_server(transport);
	pn_connection_driver_init(&service->driver, NULL, transport);
	pn_sasl_allowed_mechs(pn_sasl(transport), "ANONYMOUS");
	pn_connection_driver_bind(&service->driver);
}

static void service_close(struct service *service)
{
	pn_connection_driver_destroy(&service->driver);
}

static void service_answer(struct service *service, pn_link_t *to,
			   pn_msgid_t id, int status, size_t body)
{
	static char bytes[2 * 1024 * 1024];
	pn_message_t *message = pn_message();
	pn_data_t *data = pn_message_properties(message);
	size_t len = sizeof(bytes);

	pn_message_set_correlation_id(message, id);
	pn_data_put_map(data);
	pn_data_enter(data);
	sb_put_text(data, "statusCode");
	pn_data_put_int(data, status);
	memset(bytes, 'x', body);
	if (body)
		pn_data_put_binary(pn_message_body(message),
				   pn_bytes(body, bytes));
	CHECK_INT(pn_message_encode(message, bytes, &len), 0);
	pn_delivery(to, pn_dtag("t", 1));
	pn_link_send(to, bytes, len);
	if (!service->endless)
		pn_link_advance(to);
	pn_message_free(message);
}

static void service_on_question(struct service *service, pn_link_t *from,
				pn_delivery_t *delivery)
{
	bool cbs = strcmp(pn_terminus_get_address(pn_link_target(from)),
			  "$cbs") == 0;
	pn_message_t *message = pn_message();
	bool whole = false;
	ssize_t len;
	int i;

	if (pn_delivery_settled(delivery))
		pn_delivery_settle(delivery);
	else
		whole = pn_delivery_readable(delivery) &&
			!pn_delivery_partial(delivery);
	if (!whole) {
		pn_message_free(message);
		return;
	}
	len = pn_link_recv(from, service->last, sizeof(service->last));
	service->last_len = len > 0 ? (size_t)len : 0;
	CHECK_INT(pn_message_decode(message, service->last, service->last_len),
		  0);
	pn_link_advance(from);
	if (!service->silent) {
		pn_delivery_update(delivery, PN_ACCEPTED);
		pn_delivery_settle(delivery);
	}
	pn_link_flow(from, 1);
	*(cbs ? &service->tokens : &service->peeks) += 1;
	for (i = 0; i < service->strays; i++)
		service_answer(
			service, service->answers[!cbs],
			(pn_msgid_t){ .type = PN_ULONG, .u.as_ulong = 7 }, 500,
			0);
	if (service->status)
		service_answer(service, service->answers[!cbs],
			       pn_message_get_id(message),
			       cbs ? 202 : service->status,
			       cbs ? 0 : service->body);
	pn_message_free(message);
}

static void service_on_link(struct service *service, pn_link_t *link)
{
	const char *address;

	pn_terminus_copy(pn_link_source(link), pn_link_remote_source(link));
	pn_terminus_copy(pn_link_target(link), pn_link_remote_target(link));
	pn_link_open(link);
	service->links++;
	if (pn_link_is_receiver(link)) {
		pn_link_flow(link, 10);
		return;
	}
	address = pn_terminus_get_address(pn_link_remote_source(link));
	service->answers[strcmp(address, "$cbs") != 0] = link;
}

static void service_turn(struct service *service, int64_t now_ms)
{
	pn_event_t *event;

	pn_transport_tick(service->driver.transport, now_ms);
	while ((event = pn_connection_driver_next_event(&service->driver))) {
		switch (pn_event_type(event)) {
		case PN_CONNECTION_REMOTE_OPEN:
			pn_connection_open(service->driver.connection);
			break;
		case PN_SESSION_REMOTE_OPEN:
			if (pn_session_state(pn_event_session(event)) &
			    PN_LOCAL_UNINIT)
				pn_session_open(pn_event_session(event));
			break;
		case PN_LINK_REMOTE_OPEN:
			if (pn_link_state(pn_event_link(event)) &
			    PN_LOCAL_UNINIT)
				service_on_link(service, pn_event_link(event));
			break;
		case PN_LINK_REMOTE_CLOSE:
			pn_link_close(pn_event_link(event));
			break;
		case PN_DELIVERY:
			if (pn_link_is_receiver(pn_event_link(event)))
				service_on_question(service,
						    pn_event_link(event),
						    pn_event_delivery(event));
			else if (pn_delivery_updated(pn_event_delivery(event)))
				pn_delivery_settle(pn_event_delivery(event));
			break;
		default:
			break;
		}
	}
}

/* ---- both ---- */

/* What may be done to what comes from the service. */
struct wire {
	size_t passed, limit; /* bytes; then nothing more comes */
	size_t broken;	      /* the byte of this place is another one */
	size_t to_service;
	int64_t now_ms;
	size_t frames_max; /* of the service's bytes at once; 0: all */
};

static void wire_up(struct wire *wire)
{
	*wire = (struct wire){ .limit = SIZE_MAX,
			       .broken = SIZE_MAX,
			       .now_ms = 1000 };
}

static bool wire_to_link(struct wire *wire, struct sb_link *link,
			 struct service *service)
{
	pn_bytes_t from = pn_connection_driver_write_buffer(&service->driver);
	size_t room, len, i;
	char *to;

	room = sb_link_room(link, &to);
	len = from.size < room ? from.size : room;
	if (wire->frames_max && len > wire->frames_max)
		len = wire->frames_max;
	if (len > wire->limit - wire->passed)
		len = wire->limit - wire->passed;
	if (len == 0)
		return false;
	memcpy(to, from.start, len);
	for (i = 0; i < len; i++)
		if (wire->passed + i == wire->broken)
			to[i] = (char)~to[i];
	wire->passed += len;
	sb_link_fed(link, len);
	pn_connection_driver_write_done(&service->driver, len);
	return true;
}

static bool wire_to_service(struct wire *wire, struct sb_link *link,
			    struct service *service)
{
	pn_rwbytes_t to = pn_connection_driver_read_buffer(&service->driver);
	const char *from;
	size_t len = sb_link_output(link, &from);

	if (len > to.size)
		len = to.size;
	if (len == 0)
		return false;
	memcpy(to.start, from, len);
	wire->to_service += len;
	sb_link_sent(link, len);
	pn_connection_driver_read_done(&service->driver, len);
	return true;
}

/* Until nothing moves. */
static enum sb_state drive(struct wire *wire, struct sb_link *link,
			   struct service *service)
{
	enum sb_state state;
	bool moved;

	do {
		sb_link_turn(link, wire->now_ms);
		moved = wire_to_service(wire, link, service);
		service_turn(service, wire->now_ms);
		moved |= wire_to_link(wire, link, service);
		state = sb_link_turn(link, wire->now_ms);
	} while (moved && state != SB_FAILED && !link->spent);
	return state;
}

static void test_whole(enum sb_right right, bool silent)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;
	int i;

	conf = conf_of(right);
	link = sb_link_create(&conf);
	service_open(&service);
	service.silent = silent;
	wire_up(&wire);
	CHECK_INT(drive(&wire, link, &service), SB_READY);
	for (i = 0; i < 300; i++) {
		sb_link_ask(link, 500);
		CHECK_INT(drive(&wire, link, &service), SB_ANSWERED);
		CHECK_INT(sb_link_outcome(link)->code, RESULT_OK);
		CHECK_STR(sb_link_outcome(link)->words, "");
		if (link->node.sender)
			CHECK(!pn_unsettled_head(link->node.sender));
	}
	CHECK_INT(service.tokens, 1);
	CHECK_INT(service.peeks, right == SB_RIGHT_LISTEN ? 300 : 0);
	CHECK_INT(service.links, right == SB_RIGHT_LISTEN ? 4 : 302);
	sb_link_leave(link);
	drive(&wire, link, &service);
	CHECK(pn_connection_state(service.driver.connection) &
	      PN_REMOTE_CLOSED);
	sb_link_free(link);
	service_close(&service);
}

/* Answers to other questions, before that of the token as well. */
static void test_strays(int strays, enum sb_state state)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;
	int i;

	conf = conf_of(SB_RIGHT_LISTEN);
	link = sb_link_create(&conf);
	service_open(&service);
	service.strays = strays;
	wire_up(&wire);
	CHECK_INT(drive(&wire, link, &service),
		  state == SB_FAILED ? SB_FAILED : SB_READY);
	for (i = 0; i < 5 && state != SB_FAILED; i++) {
		sb_link_ask(link, 500);
		CHECK_INT(drive(&wire, link, &service), state);
		CHECK_INT(sb_link_outcome(link)->code, RESULT_OK);
	}
	if (state == SB_FAILED)
		CHECK_STR(sb_link_outcome(link)->words,
			  "answers to other questions");
	sb_link_free(link);
	service_close(&service);
}

/* A broker that says what it is, and does not offer MSSBCBS: nothing is
 * attached to it.  An emulator has its token to prove what it is. */
static void test_another_broker(const char *says, bool plain, enum sb_auth auth,
				enum sb_state state)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;
	pn_data_t *data;

	conf = conf_of(SB_RIGHT_SEND);
	conf.plain = plain;
	link = sb_link_create(&conf);
	conf.auth = auth; /* as if this had been the login */
	service_open(&service);
	data = pn_connection_properties(service.driver.connection);
	pn_data_put_map(data);
	pn_data_enter(data);
	sb_put_text(data, "version");
	pn_data_put_int(data, 3);
	sb_put_text(data, says);
	sb_put_text(data, "RabbitMQ");
	wire_up(&wire);
	CHECK_INT(drive(&wire, link, &service), state);
	CHECK_INT(service.links, state == SB_READY ? 2 : 0);
	if (state == SB_FAILED) {
		CHECK_INT(sb_link_outcome(link)->code, RESULT_MISMATCH);
		CHECK_STR(sb_link_outcome(link)->detail,
			  strcmp(says, "product") == 0 ? "RabbitMQ" : "");
	}
	sb_link_free(link);
	service_close(&service);
}

static const char *find(const struct service *service, const char *word)
{
	const char *at = memmem(service->last, service->last_len, word,
				strlen(word));

	CHECK(at != NULL);
	return at ? at + strlen(word) : "    ";
}

/* The service takes no other types: long, int, uint. */
static void test_peek_types(void)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;

	conf = conf_of(SB_RIGHT_LISTEN);
	link = sb_link_create(&conf);
	service_open(&service);
	wire_up(&wire);
	drive(&wire, link, &service);
	sb_link_ask(link, 77);
	drive(&wire, link, &service);
	CHECK(memcmp(find(&service, "from-sequence-number"), "\x55\x01", 2) ==
	      0);
	CHECK(memcmp(find(&service, "message-count"), "\x54\x01", 2) == 0);
	CHECK(*find(&service, "omit-message-body") == 0x41);
	CHECK(memcmp(find(&service, "com.microsoft:server-timeout"), "\x52\x4d",
		     2) == 0);
	sb_link_free(link);
	service_close(&service);
}

/* One conversation up to the answer; its bytes. */
static size_t converse(size_t limit, size_t broken, size_t at_once,
		       enum sb_state *state, const char **step)
{
	struct sb_link *link = sb_link_create(&conf);
	struct service service;
	struct wire wire;

	service_open(&service);
	wire_up(&wire);
	wire.limit = limit;
	wire.broken = broken;
	wire.frames_max = at_once;
	*state = drive(&wire, link, &service);
	if (*state == SB_READY) {
		sb_link_ask(link, 500);
		*state = drive(&wire, link, &service);
	}
	*step = sb_link_step(link);
	if (*state == SB_FAILED)
		CHECK(sb_link_outcome(link)->code != RESULT_OK &&
		      *sb_link_outcome(link)->words);
	sb_link_leave(link);
	sb_link_free(link);
	service_close(&service);
	return wire.passed;
}

static void test_anywhere(enum sb_right right)
{
	size_t whole, i, answered = 0, failed = 0;
	enum sb_state state;
	const char *step;

	conf = conf_of(right);
	whole = converse(SIZE_MAX, SIZE_MAX, 0, &state, &step);
	CHECK_INT(state, SB_ANSWERED);
	CHECK(whole > 200);
	CHECK_INT(converse(SIZE_MAX, SIZE_MAX, 1, &state, &step), whole);
	CHECK_INT(state, SB_ANSWERED);
	for (i = 0; i < whole; i++) {
		/* silence */
		converse(i, SIZE_MAX, 0, &state, &step);
		CHECK(*step);
		CHECK(state != SB_FAILED);
		answered += state == SB_ANSWERED;
		/* another byte */
		converse(SIZE_MAX, i, 0, &state, &step);
		failed += state == SB_FAILED;
	}
	/* After the answer comes but what was done with the question. */
	CHECK(answered < 64);
	CHECK(failed > whole / 4);
}

/* ---- time ---- */

static void test_heartbeats(void)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;
	int64_t due_ms;
	size_t sent;
	int i;

	conf = conf_of(SB_RIGHT_LISTEN);
	conf.token_life_ms = INT32_MAX;
	link = sb_link_create(&conf);
	service_open(&service);
	pn_transport_set_idle_timeout(service.driver.transport, 4000);
	wire_up(&wire);
	CHECK_INT(drive(&wire, link, &service), SB_READY);
	for (i = 0; i < 200; i++) {
		sent = wire.to_service;
		due_ms = sb_link_due_ms(link);
		CHECK(due_ms > wire.now_ms && due_ms <= wire.now_ms + 2000);
		wire.now_ms = due_ms;
		CHECK_INT(drive(&wire, link, &service), SB_READY);
		CHECK_INT(wire.to_service - sent, 8);
	}
	/* A peer that is silent for so long is gone. */
	wire.now_ms += SB_IDLE_MS + 1;
	CHECK_INT(sb_link_turn(link, wire.now_ms), SB_FAILED);
	CHECK_INT(sb_link_outcome(link)->code, RESULT_CONNECT);
	CHECK_STR(sb_link_outcome(link)->words, "peer was silent for too long");
	sb_link_free(link);
	service_close(&service);
}

/* A peer that wants to hear from us all the time. */
static void test_hurry(void)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;

	conf = conf_of(SB_RIGHT_LISTEN);
	link = sb_link_create(&conf);
	service_open(&service);
	pn_transport_set_idle_timeout(service.driver.transport, 4);
	wire_up(&wire);
	CHECK_INT(drive(&wire, link, &service), SB_READY);
	CHECK(sb_link_due_ms(link) >= wire.now_ms + 10);
	CHECK(sb_link_due_ms(link) <= wire.now_ms + 20);
	sb_link_free(link);
	service_close(&service);
}

static void test_token_renewal(void)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;
	int i;

	conf = conf_of(SB_RIGHT_LISTEN);
	link = sb_link_create(&conf);
	service_open(&service);
	wire_up(&wire);
	CHECK_INT(drive(&wire, link, &service), SB_READY);
	for (i = 1; i < 20; i++) {
		CHECK_INT(service.tokens, i);
		wire.now_ms += 59000; /* the peers hear from each other */
		CHECK_INT(drive(&wire, link, &service), SB_READY);
		CHECK_INT(service.tokens, i);
		wire.now_ms += 16000;
		CHECK_INT(drive(&wire, link, &service), SB_READY);
	}
	CHECK_INT(service.links, 4);
	/* One that is not answered is not asked for twice. */
	service.status = 0;
	wire.now_ms += 75000;
	CHECK_INT(drive(&wire, link, &service), SB_READY);
	wire.now_ms += 75000;
	CHECK_INT(drive(&wire, link, &service), SB_FAILED);
	CHECK_INT(sb_link_outcome(link)->code, RESULT_CONNECT);
	sb_link_free(link);
	service_close(&service);
}

/* An answer and the end of the connection come together. */
static void test_answer_and_end(void)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;

	conf = conf_of(SB_RIGHT_LISTEN);
	link = sb_link_create(&conf);
	service_open(&service);
	wire_up(&wire);
	CHECK_INT(drive(&wire, link, &service), SB_READY);
	sb_link_ask(link, 500);
	sb_link_turn(link, wire.now_ms);
	wire_to_service(&wire, link, &service);
	service_turn(&service, wire.now_ms);
	pn_condition_set_name(
		pn_connection_condition(service.driver.connection),
		"amqp:connection:forced");
	pn_connection_close(service.driver.connection);
	CHECK(wire_to_link(&wire, link, &service));
	CHECK_INT(sb_link_turn(link, wire.now_ms), SB_ANSWERED);
	CHECK_INT(sb_link_outcome(link)->code, RESULT_OK);
	CHECK_INT(sb_link_turn(link, wire.now_ms), SB_FAILED);
	CHECK_INT(sb_link_outcome(link)->code, RESULT_CONNECT);
	sb_link_free(link);
	service_close(&service);
}

/* ---- much ---- */

static void test_long_answers(void)
{
	struct service service;
	struct sb_link *link;
	struct wire wire;

	conf = conf_of(SB_RIGHT_LISTEN);
	link = sb_link_create(&conf);
	service_open(&service);
	wire_up(&wire);
	drive(&wire, link, &service);
	service.body = 500000;
	sb_link_ask(link, 500);
	CHECK_INT(drive(&wire, link, &service), SB_ANSWERED);
	CHECK_INT(sb_link_outcome(link)->code, RESULT_OK);
	CHECK(!link->spent);
	/* The head is there, the rest is not waited for. */
	service.body = SB_ANSWER_BYTES + 100000;
	service.endless = true;
	sb_link_ask(link, 500);
	CHECK_INT(drive(&wire, link, &service), SB_ANSWERED);
	CHECK_INT(sb_link_outcome(link)->code, RESULT_OK);
	CHECK(link->spent);
	CHECK_INT(sb_link_due_ms(link), wire.now_ms);
	sb_link_ask(link, 500);
	CHECK_INT(sb_link_turn(link, wire.now_ms), SB_FAILED);
	CHECK_STR(sb_link_outcome(link)->words, "answer is too long");
	sb_link_leave(link);
	sb_link_free(link);
	service_close(&service);
}

static enum sb_state feed(const char *bytes, size_t len)
{
	struct sb_link *link = sb_link_create(&conf);
	enum sb_state state = sb_link_turn(link, 1000);
	const char *from;
	size_t room, out;
	char *to;

	while (len > 0 && state != SB_FAILED) {
		while ((out = sb_link_output(link, &from)) > 0)
			sb_link_sent(link, out);
		room = sb_link_room(link, &to);
		CHECK(room > 0);
		if (room > len)
			room = len;
		memcpy(to, bytes, room);
		sb_link_fed(link, room);
		bytes += room;
		len -= room;
		state = sb_link_turn(link, 1000);
	}
	sb_link_free(link);
	return state;
}

#define SASL "AMQP\x03\x01\x00\x00"
#define SASL_OK                                                         \
	SASL "\0\0\0\x1c\x02\x01\0\0\0\x53\x40\xc0\x0f\x01\xe0\x0c\x01" \
	     "\xa3\x09"                                                 \
	     "ANONYMOUS"                                                \
	     "\0\0\0\x10\x02\x01\0\0\0\x53\x44\xc0\x03\x01\x50\x00"     \
	     "AMQP\x00\x01\x00\x00"

/* A frame as long as may be, of one value in another in another: the library
 * goes down into it. */
static void *test_nesting(void *arg)
{
	static const struct {
		const char *bytes;
		size_t len;
	} starts[] = { { SASL, sizeof(SASL) - 1 },
		       { SASL_OK, sizeof(SASL_OK) - 1 } },
	  values[] = { { "\x00", 1 },
		       { "\x00\x53\x10", 3 },
		       { "\xc0\xff\x01", 3 },
		       { "\xc1\xff\x02", 3 },
		       { "\xd0\x00\x00\x30\x00\x00\x00\x00\x01", 9 },
		       { "\xf0\x00\x00\x30\x00\x00\x00\x00\x01\xf0", 10 } };
	static char bytes[SB_SCAN_FRAME_BYTES + 256];
	size_t i, j, len, size;

	(void)arg;
	for (i = 0; i < sizeof(starts) / sizeof(*starts); i++)
		for (j = 0; j < sizeof(values) / sizeof(*values); j++) {
			memcpy(bytes, starts[i].bytes, starts[i].len);
			len = starts[i].len;
			size = SB_SCAN_FRAME_BYTES - SB_SCAN_FRAME_BYTES % 10;
			memcpy(bytes + len, "\0\0\x3f\0\x02", 5);
			bytes[len + 2] = (char)(size >> 8);
			bytes[len + 3] = (char)size;
			bytes[len + 5] = i == 0;
			bytes[len + 6] = bytes[len + 7] = 0;
			size += len;
			for (len += 8; len + values[j].len <= size;
			     len += values[j].len)
				memcpy(bytes + len, values[j].bytes,
				       values[j].len);
			CHECK_INT(feed(bytes, size), SB_FAILED);
		}
	return NULL;
}

/* clang-format off */
#define MECHANISMS "\0\0\0\x0c\x02\x01\0\0\0\x53\x40\x45"
#define FRAME(size, channel, performative) \
	"\0\0\0" size "\x02\0\0" channel "\0\x53" performative
/* A transfer: handle, delivery-id, tag, format, settled, more. */
#define TRANSFER(channel, handle, id, more) \
	FRAME("\x14", channel, \
	      "\x14\xc0\7\6" handle id "\x40\x40\x40" more)
#define FIRST TRANSFER("\0", "\x43", "\x43", "\x41")
#define NEXT TRANSFER("\0", "\x43", "\x40", "\x41")
#define LAST TRANSFER("\0", "\x43", "\x40", "\x42")
#define FLOW FRAME("\x0c", "\0", "\x13\x45")
#define ATTACH FRAME("\x0c", "\0", "\x12\x45")
#define HEARTBEAT "\0\0\0\x08\x02\0\0\0"

static const struct {
	const char *bytes;
	size_t len;
	enum sb_scan_state end;
} scans[] = {
#define SCAN(bytes, end) { bytes, sizeof(bytes) - 1, end }
	SCAN(SASL MECHANISMS, SB_SCAN_PART),
	SCAN(SASL MECHANISMS MECHANISMS, SB_SCAN_BAD),
	SCAN(FIRST, SB_SCAN_PART),
	SCAN(LAST, SB_SCAN_PART),
	SCAN(FIRST NEXT NEXT LAST, SB_SCAN_PART),
	SCAN(FIRST FLOW HEARTBEAT NEXT, SB_SCAN_PART),
	/* of no message that was begun */
	SCAN(NEXT, SB_SCAN_BAD),
	SCAN(FIRST LAST NEXT, SB_SCAN_BAD),
	SCAN(FIRST ATTACH NEXT, SB_SCAN_BAD),
	SCAN(TRANSFER("\1", "\x43", "\x43", "\x41") NEXT, SB_SCAN_BAD),
	SCAN(FIRST TRANSFER("\1", "\x43", "\x40", "\x41"), SB_SCAN_BAD),
	SCAN(FRAME("\x15", "\0",
		   "\x14\xc0\x8\6\x52\1\x43\x40\x40\x40\x41") NEXT,
	     SB_SCAN_BAD),
	/* aborted: fields 6 to 9 */
	SCAN(FRAME("\x18", "\0",
		   "\x14\xc0\x0b\x0a\x43\x43\x40\x40\x40\x41\x40\x40\x40\x41")
	     NEXT, SB_SCAN_BAD),
	/* with a state, which is a value with a descriptor */
	SCAN(FRAME("\x19", "\0",
		   "\x14\xc0\x0c\x08\x43\x43\x40\x40\x40\x41\x40\0\x53\x24\x45"),
	     SB_SCAN_PART),
	/* no handle, too many fields, a field that is cut, one of text */
	SCAN(FRAME("\x0c", "\0", "\x14\x45"), SB_SCAN_BAD),
	SCAN(FRAME("\x1a", "\0", "\x14\xc0\x0d\x0c\x43\x40\x40\x40\x40\x40\x40"
		   "\x40\x40\x40\x40\x40"), SB_SCAN_BAD),
	SCAN(FRAME("\x11", "\0", "\x14\xc0\4\1\x70\0\0"), SB_SCAN_BAD),
	SCAN(FRAME("\x12", "\0", "\x14\xc0\5\2\x43\xa1\1x"), SB_SCAN_BAD),
	/* a descriptor of text, a short offset, a long frame */
	SCAN("\0\0\0\x0c\x02\0\0\0\0\xa3\x01x", SB_SCAN_BAD),
	SCAN("\0\0\0\x0c\x01\0\0\0\0\x53\x13\x45", SB_SCAN_BAD),
	SCAN("\0\0\x40\x01\x02\0\0\0", SB_SCAN_BAD),
};
/* clang-format on */

/* What ends the library, or costs it memory that it forgets. */
static void test_deadly(void)
{
	enum sb_scan_state state;
	size_t i, at, length;

	for (i = 0; i < sizeof(scans) / sizeof(*scans); i++) {
		const unsigned char *bytes = (const void *)scans[i].bytes;
		struct sb_scan scan = { .more = false };

		at = 0;
		do {
			state = sb_scan(&scan, bytes + at, scans[i].len - at,
					&length);
			at += state == SB_SCAN_GOOD ? length : 0;
		} while (state == SB_SCAN_GOOD);
		CHECK_INT(state, scans[i].end);
		CHECK(state == SB_SCAN_BAD || at == scans[i].len);
		if (state != scans[i].end)
			printf("\tscan %zu\n", i);
	}
	CHECK_INT(feed(SASL MECHANISMS MECHANISMS,
		       sizeof(SASL MECHANISMS MECHANISMS) - 1),
		  SB_FAILED);
}

static void test_web_server(void)
{
	static const char says[] = "HTTP/1.1 400 Bad Request";
	struct sb_link *link = sb_link_create(&conf);
	char *to;

	CHECK(sb_link_room(link, &to) > sizeof(says));
	memcpy(to, says, sizeof(says) - 1);
	sb_link_fed(link, sizeof(says) - 1);
	CHECK_INT(sb_link_turn(link, 1000), SB_FAILED);
	CHECK_INT(sb_link_outcome(link)->code, RESULT_PROTOCOL);
	CHECK_STR(sb_link_outcome(link)->detail, says);
	sb_link_free(link);
}

static void test_hostile(void)
{
	pthread_attr_t attr;
	pthread_t thread;
	int failed;

	conf = conf_of(SB_RIGHT_LISTEN);
	CHECK_INT(feed("HTTP/1.1 400 Bad\r\n\r\n", 20), SB_FAILED);
	CHECK_INT(feed(SASL "\x7f\xff\xff\xff\x02\x01\0\0", 16), SB_FAILED);
	CHECK_INT(feed(SASL "\0\0\0\x04\x02\x01\0\0", 16), SB_FAILED);
	CHECK_INT(feed(SASL "\0\0\0\x08\xff\x01\0\0", 16), SB_FAILED);
	CHECK_INT(feed(SASL_OK, sizeof(SASL_OK) - 1), SB_OPENING);
	test_deadly();
	test_web_server();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, TEST_STACK_BYTES);
	failed = pthread_create(&thread, &attr, test_nesting, NULL);
	if (!failed)
		pthread_join(thread, NULL);
	/* Only now: the thread counts, too. */
	CHECK_INT(failed, 0);
	pthread_attr_destroy(&attr);
}

int main(void)
{
	test_whole(SB_RIGHT_LISTEN, false);
	test_whole(SB_RIGHT_LISTEN, true);
	test_whole(SB_RIGHT_SEND, false);
	test_strays(1, SB_ANSWERED);
	test_strays(16, SB_ANSWERED);
	test_strays(17, SB_FAILED);
	test_another_broker("product", false, SB_AUTH_CBS, SB_FAILED);
	test_another_broker("product", true, SB_AUTH_CBS, SB_READY);
	test_another_broker("product", true, SB_AUTH_PLAIN, SB_FAILED);
	test_another_broker("other", false, SB_AUTH_PLAIN, SB_FAILED);
	test_another_broker("other", false, SB_AUTH_CBS, SB_READY);
	test_peek_types();
	test_anywhere(SB_RIGHT_LISTEN);
	test_anywhere(SB_RIGHT_SEND);
	test_heartbeats();
	test_hurry();
	test_token_renewal();
	test_answer_and_end();
	test_long_answers();
	test_hostile();
	return unit_report();
}

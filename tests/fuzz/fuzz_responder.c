/*
 * A whole connection to the FastCGI socket, from the first byte of the peer to
 * the last: the input says in which pieces its bytes arrive, and the gate,
 * libfcgi and the responder serve them as they do in the program, but in one
 * thread and turn by turn.  Whatever the peer sends, each answer is whole, and
 * when the peer closes its connection, nothing is left of it.
 */
#include "config.h"

#include "front/responder.c"

#include "app/settings.h"
#include "board/share.h"

#include <cjson/cJSON.h>
#include <fastcgi.h>

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/responder"
#include "fuzz.h"

/* More turns without a byte than any connection needs to its end. */
#define FUZZ_TURNS 64
#define FUZZ_ANSWER_BYTES (1024 * 1024)

static struct share *share;
static struct board *board;
static struct responder *responder;
static struct worker *worker;
static struct sockaddr_un place = { .sun_family = AF_UNIX };
static socklen_t place_len;
static bool silent; /* no result ever comes */

static void fuzz_listen(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	struct responder_options options = { .listen_fd = fd,
					     .max_waiting = 4,
					     .max_connections = 4 };
	static struct service service;
	const struct share_options alone = { .alone = true, .n = 1 };
	char reason[256];
	struct plan *plan = calloc(1, plan_bytes(1));

	/* An abstract address: the kernel chooses the name. */
	place_len = sizeof(place.sun_family);
	FUZZ_CHECK(fd >= 0 &&
		   bind(fd, (struct sockaddr *)&place, place_len) == 0 &&
		   listen(fd, 4) == 0);
	place_len = sizeof(place);
	FUZZ_CHECK(!getsockname(fd, (struct sockaddr *)&place, &place_len));
	FUZZ_CHECK(plan);
	plan->answer_within_ms = 2;
	plan->n = 1;
	strcpy(plan->checks[0].name, "database");
	plan->checks[0].policy.required = true;
	plan->checks[0].policy.startup = true;
	share = share_open(&alone, reason, sizeof(reason));
	FUZZ_CHECK(share);
	options.heard_fd = eventfd(0, EFD_NONBLOCK);
	FUZZ_CHECK(options.heard_fd >= 0);
	board = board_create(plan, share);
	service = (struct service){ plan, board };
	responder = responder_start(&options, &service);
	FUZZ_CHECK(responder);
	worker = worker_create(responder);
	FUZZ_CHECK(worker);
}

static void fuzz_publish(void *arg, size_t check, uint64_t seen)
{
	struct result result = { .code = RESULT_OK, .ended_us = clock_us() };
	struct record before;

	(void)arg;
	(void)seen;
	if (!silent && share_take(share, check, clock_ms() + 1000, false))
		board_publish(board, check, &result, &before);
}

/* Until there is nothing to be done without another byte. */
static void fuzz_serve(void)
{
	struct gate_request asked;
	enum gate_event event;
	int wait_ms;

	do {
		board_take_wanted(board, false, fuzz_publish, NULL);
		wait_ms = worker_serve_parked(worker);
		/* Only a parked request is waited for, and not for long. */
		event = gate_wait(responder->gate, &worker->buffer,
				  wait_ms < 0 ? 0 : wait_ms, &asked);
		if (event == GATE_REQUEST)
			worker_serve_request(worker, &asked);
		else if (event == GATE_WOKEN)
			responder_hear(responder);
	} while (event != GATE_TIMEOUT || wait_ms >= 0);
}

/* ---- the peer ---- */

static char answer[FUZZ_ANSWER_BYTES];
static size_t answer_len;

/* Takes what there is of the answer; false: the connection has ended. */
static bool fuzz_hear(int fd)
{
	ssize_t n;

	do {
		FUZZ_CHECK(answer_len < sizeof(answer));
		n = recv(fd, answer + answer_len, sizeof(answer) - answer_len,
			 MSG_DONTWAIT);
		if (n > 0)
			answer_len += (size_t)n;
	} while (n > 0);
	return n < 0 && errno == EAGAIN;
}

static void fuzz_talk(int fd, struct fuzz_input *input)
{
	struct fuzz_pieces pieces = fuzz_pieces(input);
	ssize_t sent;
	int turns;

	while (input->left > 0) {
		sent = send(fd, input->at, fuzz_piece(&pieces, input->left),
			    MSG_DONTWAIT | MSG_NOSIGNAL);
		fuzz_serve();
		/* A refused peer need not be read. */
		if (!fuzz_hear(fd) || sent < 0)
			break;
		input->at += sent;
		input->left -= (size_t)sent;
	}
	shutdown(fd, SHUT_WR);
	for (turns = 0; fuzz_hear(fd); turns++) {
		FUZZ_CHECK(turns < FUZZ_TURNS);
		fuzz_serve();
		/* What is closed with something unread is closed in a moment,
		 * by another thread. */
		if (turns > FUZZ_TURNS / 2)
			poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 1000);
	}
}

/* ---- what the peer received ---- */

/* One response: its header says how long its body is, which is JSON. */
static void fuzz_response(char *text, size_t len)
{
	char *body, *length;
	cJSON *json;

	text[len] = '\0';
	FUZZ_CHECK(strlen(text) == len && strncmp(text, "Status: ", 8) == 0);
	body = strstr(text, "\r\n\r\n");
	length = strstr(text, "\r\nContent-Length: ");
	FUZZ_CHECK(body && length && length < body);
	body += 4;
	if (*body == '\0') /* HEAD, OPTIONS */
		return;
	FUZZ_CHECK(strtoul(length + 18, NULL, 10) == strlen(body));
	json = cJSON_ParseWithOpts(body, NULL, true);
	FUZZ_CHECK(json);
	cJSON_Delete(json);
}

/* Whole records (FastCGI Specification 1.0, section 3.3), and of each answer
 * all of them. */
static void fuzz_records(void)
{
	static char text[FUZZ_ANSWER_BYTES + 1];
	const unsigned char *at = (const unsigned char *)answer;
	const unsigned char *end = at + answer_len;
	size_t len, text_len = 0;

	for (; at < end; at += 8 + len + at[6]) {
		FUZZ_CHECK(end - at >= 8 && at[0] == 1);
		len = (size_t)at[4] << 8 | at[5];
		FUZZ_CHECK((size_t)(end - at) >= 8 + len + at[6]);
		if (at[1] == FCGI_STDOUT) {
			memcpy(text + text_len, at + 8, len);
			text_len += len;
		} else if (text_len > 0) {
			FUZZ_CHECK(at[1] == FCGI_END_REQUEST && len == 8 &&
				   at[12] == FCGI_REQUEST_COMPLETE);
			fuzz_response(text, text_len);
			text_len = 0;
		} else {
			/* What the gate itself replies. */
			FUZZ_CHECK(at[1] == FCGI_END_REQUEST ||
				   at[1] == FCGI_GET_VALUES_RESULT ||
				   at[1] == FCGI_UNKNOWN_TYPE);
		}
	}
	FUZZ_CHECK(text_len == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	int fd, turns;

	if (!responder)
		fuzz_listen();
	silent = fuzz_byte(&input) & 1;
	answer_len = 0;
	fd = socket(AF_UNIX, SOCK_STREAM, 0);
	FUZZ_CHECK(fd >= 0 &&
		   connect(fd, (struct sockaddr *)&place, place_len) == 0);
	fuzz_talk(fd, &input);
	close(fd);
	fuzz_records();
	for (turns = 0; gate_connections(responder->gate) > 0; turns++) {
		FUZZ_CHECK(turns < FUZZ_TURNS);
		fuzz_serve();
		/* What is closed with something unread is closed in a moment,
		 * by another thread. */
		if (turns > FUZZ_TURNS / 2)
			poll(&(struct pollfd){ fd, POLLIN, 0 }, 1, 1000);
	}
	FUZZ_CHECK(responder->parked.n + responder->heard.n == 0);
	return 0;
}

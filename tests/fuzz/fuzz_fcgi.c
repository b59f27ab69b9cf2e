/*
 * What a peer may send to the FastCGI socket.  Records that are not part of a
 * request are replied to or thrown away, and one that passes the scan is given
 * to libfcgi, just as the gate and the responder do: it must read it to its
 * end, without an error and without asking the peer for more.
 */
#include "config.h"

#include "front/fcgi_scan.h"
#include "io/wire.h"

#include <fcgiapp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/fcgi"
#include "fuzz.h"

/* Every shorter beginning is scanned as well, up to this size. */
#define FUZZ_PREFIX_BYTES 1024

/* What was sane so far cannot be whole earlier, and what was bad stays bad. */
static void fuzz_prefixes(const uint8_t *data, size_t size,
			  enum fcgi_scan_state whole,
			  const struct fcgi_scan *scan)
{
	struct fcgi_scan other;
	size_t n;

	for (n = 0; n < size && n < FUZZ_PREFIX_BYTES; n++) {
		enum fcgi_scan_state state;

		other.replied = 0;
		state = fcgi_scan(data, n, &other);
		/* A body may turn out to be whole, or wrong, in the end. */
		if (state == FCGI_SCAN_PARTIAL || state == FCGI_SCAN_BODY)
			continue;
		FUZZ_CHECK(state == whole);
		if (state == FCGI_SCAN_BAD)
			continue;
		FUZZ_CHECK(n >= scan->length && n >= scan->replied &&
			   other.length == scan->length &&
			   other.replied == scan->replied);
	}
}

/* One whole record of those that an application sends (section 8). */
static void fuzz_reply(const uint8_t *reply, size_t n)
{
	FUZZ_CHECK(n >= 8 && n <= FCGI_REPLY_BYTES && reply[0] == 1);
	FUZZ_CHECK(n == 8 + ((size_t)reply[4] << 8 | reply[5]) + reply[6]);
	FUZZ_CHECK(reply[1] == 3 || reply[1] == 10 || reply[1] == 11);
	FUZZ_CHECK((reply[1] == 3) == (reply[2] || reply[3]));
}

static void fuzz_read(FCGX_Request *request, bool whole)
{
	char trash[1024];
	size_t i;

	FUZZ_CHECK(FCGX_Accept_r(request) == 0);
	FUZZ_CHECK(FCGX_GetError(request->in) == 0);
	while (whole && FCGX_GetStr(trash, sizeof(trash), request->in) > 0)
		continue;
	FUZZ_CHECK(FCGX_GetError(request->in) == 0);
	for (i = 0; request->envp[i]; i++)
		FUZZ_CHECK(strlen(request->envp[i]) < FCGI_SCAN_MAX_BYTES);
	FCGX_GetParam("PATH_INFO", request->envp);
	FCGX_PutS("Status: 200 OK\r\n\r\n", request->out);
}

/* Whether nothing but the answer to the one request was written. */
static bool fuzz_answered(int fd)
{
	unsigned char answer[512];
	ssize_t n = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);

	/* version 1, STDOUT; the last record is END_REQUEST, complete */
	return n > 16 && answer[0] == 1 && answer[1] == 6 &&
	       answer[n - 15] == 3 && answer[n - 4] == 0;
}

static void fuzz_libfcgi(const uint8_t *data, size_t size, bool whole)
{
	FCGX_Request request;
	int pair[2];

	FUZZ_CHECK(FCGX_Init() == 0);
	FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) ==
		   0);
	FCGX_InitRequest(&request, -1, 0);
	request.ipcFd = WIRE_FED;
	request.keepConnection = 1;
	request.detached = 1;
	wire_feed(data, size);
	fuzz_read(&request, whole);
	request.ipcFd = pair[0];
	request.keepConnection = 0;
	FCGX_Finish_r(&request);
	FUZZ_CHECK(request.ipcFd < 0);
	FUZZ_CHECK(fuzz_answered(pair[1]));
	close(pair[1]);
}

/* However a body comes, it ends where it does in one piece. */
static void fuzz_body(const uint8_t *data, size_t size, const uint8_t *request)
{
	struct fcgi_body body, parts;
	size_t at, n, whole;

	fcgi_body_begin(&body, request);
	parts = body;
	whole = fcgi_body_read(&body, data, size);
	FUZZ_CHECK(whole <= size && body.read == whole);
	for (at = n = 0; at + n < size; n++) {
		size_t used = fcgi_body_read(&parts, data + at, n);

		at += used;
		if (used)
			n = 0;
	}
	at += fcgi_body_read(&parts, data + at, size - at);
	FUZZ_CHECK(at == whole && parts.wrong == body.wrong &&
		   fcgi_body_ended(&parts) == fcgi_body_ended(&body));
}

/* What the gate makes of the first bytes; returns how many it has used up, 0:
 * it waits, has a request, or closes the connection. */
static size_t fuzz_turn(uint8_t *data, size_t size, size_t *replied, bool first)
{
	struct fcgi_scan scan = { .replied = *replied };
	uint8_t reply[FCGI_REPLY_BYTES];
	enum fcgi_scan_state state = fcgi_scan(data, size, &scan);
	bool whole = state == FCGI_SCAN_WHOLE;
	size_t n;

	if (first)
		fuzz_prefixes(data, size, state, &scan);
	if (state == FCGI_SCAN_REPLY) {
		FUZZ_CHECK(scan.record < scan.replied && scan.replied <= size);
		FUZZ_CHECK(scan.length || scan.replied > *replied);
		n = fcgi_reply(data + scan.record, SIZE_MAX, reply);
		if (!n)
			return 0;
		fuzz_reply(reply, n);
		*replied = scan.length ? 0 : scan.replied;
		return scan.length ? scan.length
				   : fuzz_turn(data, size, replied, false);
	}
	if (state == FCGI_SCAN_SKIP) {
		FUZZ_CHECK(scan.length > 0 && scan.length <= size);
		*replied = 0;
		return scan.length;
	}
	if (!whole && state != FCGI_SCAN_BODY)
		return 0;
	FUZZ_CHECK(scan.length <= size);
	n = fcgi_scan_strip(data, scan.length);
	if (!whole)
		fuzz_body(data + scan.length, size - scan.length, data);
	fuzz_libfcgi(data, n, whole);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t *copy;
	size_t at = 0, used, replied = 0;

	/* The gate never looks at more. */
	if (size > FCGI_SCAN_MAX_BYTES)
		size = FCGI_SCAN_MAX_BYTES;
	copy = malloc(size + 1);
	FUZZ_CHECK(copy);
	memcpy(copy, data, size);
	do {
		used = fuzz_turn(copy + at, size - at, &replied, at == 0);
		at += used;
	} while (used);
	free(copy);
	return 0;
}

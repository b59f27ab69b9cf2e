/*
 * What a peer may send to the FastCGI socket.  A request that passes the scan
 * is given to libfcgi just as the responder does: it must read it to its end,
 * without an error and without asking the peer for more.
 */
#include "config.h"

#include "fcgi_scan.h"

#include <fcgiapp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/fcgi"
#include "fuzz.h"

/* Every shorter beginning is scanned as well, up to this size. */
#define FUZZ_PREFIX_BYTES 1024

/* What was sane so far cannot be whole earlier, and what was bad stays bad. */
static void fuzz_prefixes(const uint8_t *data, size_t size,
			  enum fcgi_scan_state whole, size_t length)
{
	size_t n, other = 0;

	for (n = 0; n < size && n < FUZZ_PREFIX_BYTES; n++) {
		enum fcgi_scan_state state = fcgi_scan(data, n, &other);

		/* A body may turn out to be whole, or wrong, in the end. */
		if (state == FCGI_SCAN_PARTIAL || state == FCGI_SCAN_BODY)
			continue;
		FUZZ_CHECK(state == whole);
		FUZZ_CHECK(state == FCGI_SCAN_BAD ||
			   (n >= length && other == length));
	}
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
	FUZZ_CHECK(send(pair[1], data, size, 0) == (ssize_t)size);
	FCGX_InitRequest(&request, -1, 0);
	request.ipcFd = pair[0];
	request.keepConnection = 1;
	request.detached = 1;
	fuzz_read(&request, whole);
	request.keepConnection = 0;
	FCGX_Finish_r(&request);
	FUZZ_CHECK(request.ipcFd < 0);
	FUZZ_CHECK(fuzz_answered(pair[1]));
	close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t length = 0;
	enum fcgi_scan_state state;

	/* The gate never looks at more. */
	if (size > FCGI_SCAN_MAX_BYTES)
		size = FCGI_SCAN_MAX_BYTES;
	state = fcgi_scan(data, size, &length);
	if (state == FCGI_SCAN_WHOLE || state == FCGI_SCAN_SKIP)
		FUZZ_CHECK(length > 0 && length <= size);
	fuzz_prefixes(data, size, state, length);
	if (state == FCGI_SCAN_WHOLE || state == FCGI_SCAN_BODY)
		fuzz_libfcgi(data, size, state == FCGI_SCAN_WHOLE);
	return 0;
}

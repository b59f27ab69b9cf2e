#include "config.h"

#include "front/oneshot.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer/answer.h"
#include "asker/asker.h"
#include "base/clock.h"
#include "base/log.h"
#include "board/board.h"

/* At most this much of a request body is read, in bytes and time. */
#define ONESHOT_BODY_BYTES (16 * 1024 * 1024)
#define ONESHOT_BODY_MS 2000

/* State of one question. */
struct oneshot {
	const struct oneshot_config *config;
	struct asker *asker; /* NULL: no check had to run */
};

/* Waits for news of the board, until then at most. */
static void oneshot_wait(struct asker *asker, int64_t until_ms)
{
	struct pollfd fds[] = {
		{ .fd = asker_heard_fd(asker), .events = POLLIN },
		{ .fd = asker_turn_fd(asker), .events = POLLIN },
	};
	int idle_ms = asker_turn(asker);
	int64_t left_ms = until_ms - clock_ms();
	eventfd_t times;

	if (left_ms <= 0)
		return;
	/* When interrupted, it is simply asked again. */
	poll(fds, sizeof(fds) / sizeof(*fds),
	     left_ms < idle_ms ? (int)left_ms : idle_ms);
	if (fds[0].revents)
		eventfd_read(fds[0].fd, &times);
}

/*
 * Starts the asker only when something must be asked: liveness, and a path
 * that does not exist, open no connection.
 */
static int oneshot_ask(struct oneshot *oneshot, const struct pending *pending,
		       struct board_view *view, enum answer_how *how)
{
	const struct oneshot_config *config = oneshot->config;

	*how = ANSWER_IF_KNOWN;
	if (answer_ask(config->service, pending, *how, view))
		return 0;
	oneshot->asker = asker_create(&config->asker);
	if (!oneshot->asker)
		return -1;
	while (!answer_ask(config->service, pending, *how, view))
		if (clock_ms() < pending->until_ms)
			oneshot_wait(oneshot->asker, pending->until_ms);
		else
			*how = ANSWER_NOW;
	return 0;
}

static int oneshot_answer(struct oneshot *oneshot,
			  const struct route_request *request,
			  const char *remote_addr, struct response *response)
{
	const struct service *service = oneshot->config->service;
	struct board_view *view = service_view(service);
	struct pending pending;
	enum answer_how how;

	*response = (struct response){ .http = 503 };
	answer_begin(service, request, remote_addr, &pending);
	if (view && oneshot_ask(oneshot, &pending, view, &how) == 0)
		answer_render(service, &pending, how, view, response);
	if (!response->text)
		log_err(view ? "no answer could be made" : "out of memory");
	free(view);
	return response->text ? 0 : -1;
}

/*
 * Writes the answer and closes the output, so that the reader does not wait
 * until the process exits.  mod_cgid's socket is standard input, too, so
 * closing it once is not enough.
 */
static int oneshot_end(struct oneshot *oneshot, const char *text, size_t len,
		       int status)
{
	if (fwrite(text, 1, len, stdout) != len || fflush(stdout))
		status = 1;
	shutdown(STDOUT_FILENO, SHUT_WR);
	fclose(stdout);
	asker_destroy(oneshot->asker);
	return status;
}

/*
 * Discards the body of the request: Apache's mod_cgid, for example, reads the
 * answer only after it has written the whole body, and loses it otherwise.
 * Apache passes a chunked body on without its length, until its end.
 */
static void oneshot_skip_body(void)
{
	const char *length = getenv("CONTENT_LENGTH");
	bool chunked = !length && getenv("HTTP_TRANSFER_ENCODING");
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int64_t until_ms = clock_ms() + ONESHOT_BODY_MS, wait_ms;
	unsigned long long left = ONESHOT_BODY_BYTES;
	char trash[8192];
	ssize_t n;

	if (!chunked)
		left = length ? strtoull(length, NULL, 10) : 0;
	if (left > ONESHOT_BODY_BYTES)
		left = ONESHOT_BODY_BYTES;
	while (left && (wait_ms = until_ms - clock_ms()) > 0 &&
	       poll(&input, 1, (int)wait_ms) == 1) {
		n = read(STDIN_FILENO, trash,
			 left < sizeof(trash) ? left : sizeof(trash));
		if (n <= 0)
			return;
		left -= (size_t)n;
	}
}

int oneshot_cgi(const struct oneshot_config *config)
{
	struct route_request request = {
		.method = getenv("REQUEST_METHOD"),
		.script_name = getenv("SCRIPT_NAME"),
		.path_info = getenv("PATH_INFO"),
		.request_uri = getenv("REQUEST_URI"),
	};
	struct oneshot oneshot = { .config = config };
	struct response response;
	const char *sorry = response_no_memory();
	int status;

	oneshot_skip_body();
	if (oneshot_answer(&oneshot, &request, getenv("REMOTE_ADDR"),
			   &response))
		return oneshot_end(&oneshot, sorry, strlen(sorry), 1);
	status = oneshot_end(&oneshot, response.text, response.len, 0);
	free(response.text);
	return status;
}

int oneshot_once(const struct oneshot_config *config, const char *probe)
{
	char path[1024];
	struct route_request request = { .method = "GET",
					 .script_name = "/health",
					 .path_info = path };
	struct oneshot oneshot = { .config = config };
	struct response response;
	int status;

	snprintf(path, sizeof(path), "/%s", probe);
	if (oneshot_answer(&oneshot, &request, "127.0.0.1", &response))
		return oneshot_end(&oneshot, "", 0, 1);
	status = oneshot_end(&oneshot, response.text + response.head_len,
			     response.len - response.head_len,
			     response.http == 200 ? 0 : 1);
	free(response.text);
	return status;
}

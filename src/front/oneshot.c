#include "config.h"

#include "front/oneshot.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answer/answer.h"
#include "base/clock.h"
#include "base/log.h"
#include "prober/prober.h"

/* No more of a request's body is read, in bytes and time. */
#define SINGLE_BODY_BYTES (16 * 1024 * 1024)
#define SINGLE_BODY_MS 2000

struct single_ear {
	pthread_mutex_t lock;
	pthread_cond_t news;
	bool heard;
};

static void single_on_published(void *arg)
{
	struct single_ear *ear = arg;

	pthread_mutex_lock(&ear->lock);
	ear->heard = true;
	pthread_cond_signal(&ear->news);
	pthread_mutex_unlock(&ear->lock);
}

/* Waits for news of the board; false when the time is up. */
static bool single_listen(struct single_ear *ear, int64_t until_ms)
{
	struct timespec until = { .tv_sec = until_ms / 1000,
				  .tv_nsec = until_ms % 1000 * 1000000 };
	bool heard;

	pthread_mutex_lock(&ear->lock);
	while (!ear->heard && pthread_cond_timedwait(&ear->news, &ear->lock,
						     &until) != ETIMEDOUT)
		continue;
	heard = ear->heard;
	ear->heard = false;
	pthread_mutex_unlock(&ear->lock);
	return heard;
}

static void single_ear_init(struct single_ear *ear)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&ear->lock, NULL);
	pthread_cond_init(&ear->news, &attr);
	pthread_condattr_destroy(&attr);
	ear->heard = false;
}

/* What answering one question takes; on the stack of a function that outlives
 * the prober. */
struct single {
	const struct single_config *config;
	struct single_ear ear;
	struct prober *prober; /* NULL: nobody had to be asked */
};

/*
 * Starts the prober only when something must be asked: liveness, and a path
 * that does not exist, open no connection.
 */
static int single_ask(struct single *single, const struct answer *answer,
		      struct board_view *view, enum answer_how *how)
{
	*how = ANSWER_IF_KNOWN;
	if (answer_ask(single->config->service, answer, *how, view))
		return 0;
	single_ear_init(&single->ear);
	board_on_published(single->config->board, single_on_published,
			   &single->ear);
	single->prober = prober_start(
		single->config->checks, single->config->drain_file,
		single->config->board, single->config->share, false);
	if (!single->prober)
		return -1;
	while (!answer_ask(single->config->service, answer, *how, view)) {
		if (!single_listen(&single->ear, answer->until_ms))
			*how = ANSWER_NOW;
	}
	return 0;
}

static int single_answer(struct single *single,
			 const struct route_request *request,
			 struct response *response)
{
	struct board_view *view = service_view(single->config->service);
	struct answer answer;
	enum answer_how how;

	response->text = NULL;
	response->http = 503;
	if (!view) {
		log_err("out of memory");
		return -1;
	}
	answer_begin(single->config->service, request, &answer);
	if (single_ask(single, &answer, view, &how) == 0)
		answer_render(single->config->service, &answer, how, view,
			      response);
	free(view);
	if (response->text)
		return 0;
	log_err("no answer could be made");
	return -1;
}

/* After the answer is out: the reader need not wait for our end.  mod_cgid's
 * socket is standard input, too, so closing it once is not enough.  A prober
 * that is stuck ends with the process, and so does what it still uses. */
static int single_end(struct single *single, int status)
{
	shutdown(STDOUT_FILENO, SHUT_WR);
	close(STDOUT_FILENO);
	if (single->prober && prober_stop(single->prober)) {
		log_end();
		_exit(status);
	}
	return status;
}

static int single_write(const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(STDOUT_FILENO, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -1;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/*
 * Throws the body of the request away: Apache's mod_cgid, for one, reads the
 * answer only once it has written all of the body, and loses it otherwise.
 * Apache passes a chunked body on without its length, until its end.
 */
static void single_skip_body(void)
{
	const char *length = getenv("CONTENT_LENGTH");
	bool chunked = !length && getenv("HTTP_TRANSFER_ENCODING");
	struct pollfd input = { .fd = STDIN_FILENO, .events = POLLIN };
	int64_t until_ms = clock_ms() + SINGLE_BODY_MS, wait_ms;
	unsigned long long left = SINGLE_BODY_BYTES;
	char trash[8192];
	ssize_t n;

	if (!chunked)
		left = length ? strtoull(length, NULL, 10) : 0;
	if (left > SINGLE_BODY_BYTES)
		left = SINGLE_BODY_BYTES;
	while (left && (wait_ms = until_ms - clock_ms()) > 0 &&
	       poll(&input, 1, (int)wait_ms) == 1) {
		n = read(STDIN_FILENO, trash,
			 left < sizeof(trash) ? left : sizeof(trash));
		if (n <= 0)
			return;
		left -= (size_t)n;
	}
}

int single_cgi(const struct single_config *config)
{
	struct route_request request = {
		.method = getenv("REQUEST_METHOD"),
		.script_name = getenv("SCRIPT_NAME"),
		.path_info = getenv("PATH_INFO"),
		.request_uri = getenv("REQUEST_URI"),
		.remote_addr = getenv("REMOTE_ADDR"),
	};
	struct single single = { .config = config };
	struct response response;
	const char *sorry = response_no_memory();
	int status;

	single_skip_body();
	if (single_answer(&single, &request, &response)) {
		single_write(sorry, strlen(sorry));
		return single_end(&single, 1);
	}
	status = single_write(response.text, response.len) ? 1 : 0;
	free(response.text);
	return single_end(&single, status);
}

int single_once(const struct single_config *config, const char *probe)
{
	char path[1024];
	struct route_request request = { .method = "GET",
					 .script_name = "/health",
					 .path_info = path,
					 .remote_addr = "127.0.0.1" };
	struct single single = { .config = config };
	struct response response;
	int status;

	snprintf(path, sizeof(path), "/%s", probe);
	if (single_answer(&single, &request, &response))
		return single_end(&single, 1);
	status = response.http == 200 ? 0 : 1;
	if (single_write(response.text + response.head_len,
			 response.len - response.head_len))
		status = 1;
	free(response.text);
	return single_end(&single, status);
}

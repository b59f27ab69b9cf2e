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

/* At most this much of a request body is read, in bytes and time. */
#define ONESHOT_BODY_BYTES (16 * 1024 * 1024)
#define ONESHOT_BODY_MS 2000

struct oneshot_news {
	pthread_mutex_t lock;
	pthread_cond_t published;
	bool heard;
};

static void oneshot_on_published(void *arg)
{
	struct oneshot_news *news = arg;

	pthread_mutex_lock(&news->lock);
	news->heard = true;
	pthread_cond_signal(&news->published);
	pthread_mutex_unlock(&news->lock);
}

/* Waits for news of the board; false when the time is up. */
static bool oneshot_wait(struct oneshot_news *news, int64_t until_ms)
{
	struct timespec until = { .tv_sec = until_ms / 1000,
				  .tv_nsec = until_ms % 1000 * 1000000 };
	bool heard;

	pthread_mutex_lock(&news->lock);
	while (!news->heard &&
	       pthread_cond_timedwait(&news->published, &news->lock, &until) !=
		       ETIMEDOUT)
		continue;
	heard = news->heard;
	news->heard = false;
	pthread_mutex_unlock(&news->lock);
	return heard;
}

static void oneshot_news_init(struct oneshot_news *news)
{
	pthread_condattr_t attr;

	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_mutex_init(&news->lock, NULL);
	pthread_cond_init(&news->published, &attr);
	pthread_condattr_destroy(&attr);
	news->heard = false;
}

/* What answering one question takes; on the stack of a function that outlives
 * the prober. */
struct oneshot {
	const struct oneshot_config *config;
	struct oneshot_news news;
	struct prober *prober; /* NULL: no check had to run */
};

/*
 * Starts the prober only when something must be asked: liveness, and a path
 * that does not exist, open no connection.
 */
static int oneshot_ask(struct oneshot *oneshot, const struct pending *pending,
		       struct board_view *view, enum answer_how *how)
{
	*how = ANSWER_IF_KNOWN;
	if (answer_ask(oneshot->config->service, pending, *how, view))
		return 0;
	oneshot_news_init(&oneshot->news);
	board_on_published(oneshot->config->service->board,
			   oneshot_on_published, &oneshot->news);
	oneshot->prober = prober_start(
		oneshot->config->checks, oneshot->config->drain_file,
		oneshot->config->service->board, oneshot->config->share, false);
	if (!oneshot->prober)
		return -1;
	while (!answer_ask(oneshot->config->service, pending, *how, view)) {
		if (!oneshot_wait(&oneshot->news, pending->until_ms))
			*how = ANSWER_NOW;
	}
	return 0;
}

static int oneshot_answer(struct oneshot *oneshot,
			  const struct route_request *request,
			  const char *remote_addr, struct response *response)
{
	struct board_view *view = service_view(oneshot->config->service);
	struct pending pending;
	enum answer_how how;

	response->text = NULL;
	response->http = 503;
	if (!view) {
		log_err("out of memory");
		return -1;
	}
	answer_begin(oneshot->config->service, request, remote_addr, &pending);
	if (oneshot_ask(oneshot, &pending, view, &how) == 0)
		answer_render(oneshot->config->service, &pending, how, view,
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
static int oneshot_end(struct oneshot *oneshot, int status)
{
	shutdown(STDOUT_FILENO, SHUT_WR);
	close(STDOUT_FILENO);
	if (oneshot->prober && prober_stop(oneshot->prober)) {
		log_end();
		_exit(status);
	}
	return status;
}

static int oneshot_write(const char *text, size_t len)
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
			   &response)) {
		oneshot_write(sorry, strlen(sorry));
		return oneshot_end(&oneshot, 1);
	}
	status = oneshot_write(response.text, response.len) ? 1 : 0;
	free(response.text);
	return oneshot_end(&oneshot, status);
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
		return oneshot_end(&oneshot, 1);
	status = response.http == 200 ? 0 : 1;
	if (oneshot_write(response.text + response.head_len,
			  response.len - response.head_len))
		status = 1;
	free(response.text);
	return oneshot_end(&oneshot, status);
}

/*
 * What an HTTP server may answer, read by libcurl and judged by the kinds http
 * and openai: behind a byte of choices, lines of the input are the `json`,
 * `equals` and `contains` of the configuration, the rest is what comes from
 * the peer before it hangs up.  Each question ends once and in words of ours;
 * what is kept of an answer is bounded.
 */
#include "config.h"

#include "kinds/http/http_ask.c"
#include "kinds/http/http.c"
#include "kinds/http/openai.c"

#include "../unit/fake_conn.h"

#include <sys/socket.h>
#include <unistd.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/http"
#include "fuzz.h"

#define FUZZ_BODY_BYTES 512

static const uint8_t *answer;
static size_t answer_len;
static int peer = -1;

/* ---- libcurl: each transfer is connected with a peer that has spoken ---- */

static curl_socket_t fuzz_socket(void *arg, curlsocktype purpose,
				 struct curl_sockaddr *address)
{
	int pair[2];

	(void)arg, (void)purpose, (void)address;
	FUZZ_CHECK(!socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
	FUZZ_CHECK(send(pair[1], answer, answer_len, MSG_NOSIGNAL) ==
		   (ssize_t)answer_len);
	/* The request can still be sent; the peer does not read it. */
	shutdown(pair[1], SHUT_WR);
	if (peer >= 0)
		close(peer);
	peer = pair[1];
	return pair[0];
}

/* Called by libcurl, which in some releases connects in any case. */
int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd, (void)address, (void)len;
	return 0;
}

CURL *curlio_handle(struct curlio *curlio)
{
	CURL *easy = curl_easy_init();

	(void)curlio;
	FUZZ_CHECK(easy);
	curl_easy_setopt(easy, CURLOPT_HTTP_VERSION,
			 (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, fuzz_socket);
	return easy;
}

static struct curlio_transfer *started;

int curlio_start(struct curlio *curlio, struct curlio_transfer *transfer,
		 CURL *easy)
{
	(void)curlio;
	FUZZ_CHECK(!started);
	transfer->easy = easy;
	started = transfer;
	return 0;
}

void curlio_cancel(struct curlio *curlio, struct curlio_transfer *transfer)
{
	(void)curlio;
	if (started == transfer)
		started = NULL;
}

/* The url has an address: libcurl connects. */
void conn_dial(struct conn *conn, const struct dial_target *target,
	       void (*on_open)(struct conn *conn, struct stream *stream))
{
	(void)conn, (void)target, (void)on_open;
	FUZZ_CHECK(false);
}

bool conn_is_hedge(const struct conn *conn)
{
	(void)conn;
	return false;
}

/* ---- the kinds ---- */

static char nothing[] = "", url[] = "http://127.0.0.1:80/health";

static void fuzz_ask(struct conn *conn)
{
	struct curlio_transfer *transfer;

	conn->kind->open(conn);
	while ((transfer = started)) {
		started = NULL;
		transfer->on_done(transfer->arg,
				  curl_easy_perform(transfer->easy));
	}
	FUZZ_CHECK(conn->answered + conn->failed == 1);
	FUZZ_CHECK(fuzz_clean(conn->words));
	FUZZ_CHECK((conn->code == RESULT_OK) == !conn->words[0]);
	/* No peer can make it look like a fault of ours. */
	FUZZ_CHECK(conn->code != RESULT_INTERNAL);
	fake_conn_drop(conn);
}

static void fuzz_http(unsigned choice, char *json, char *equals, char *contains)
{
	static char status[] = "200-299";
	struct http_settings settings = {
		.url = url,
		.socket = nothing,
		.status = status,
		.follow = choice & 1,
		.max_body = choice & 2 ? FUZZ_BODY_BYTES : 65536,
		.question = { .head = choice & 4,
			      .follow = choice & 1,
			      .max_body = choice & 2 ? FUZZ_BODY_BYTES : 65536,
			      .judge = http_judge },
		.expected = { .contains = choice & 4 ? NULL : contains,
			      .json = choice & 4 || !*json ? NULL : json,
			      .equals = equals },
	};
	struct conn conn = { .kind = &check_http,
			     .state = calloc(1, sizeof(struct http_ask)),
			     .settings = &settings };

	FUZZ_CHECK(http_judge_parse_statuses(&settings.expected, status));
	FUZZ_CHECK(!http_question_url(&settings.question, url, false));
	fuzz_ask(&conn);
	http_question_dispose(&settings.question);
}

static void fuzz_openai(unsigned choice)
{
	char model[] = "m-1";
	struct openai_settings settings = {
		.complete = true,
		.may_be = choice & 3,
		.list_url = choice & 1 ? url : NULL,
		.accept_restricted = choice & 4,
		.question = { .max_body = OPENAI_BODY_BYTES,
			      .judge = openai_judge },
		.model = model,
	};
	struct http_question *question = &settings.question;
	struct conn conn = { .kind = &check_openai,
			     .state = calloc(1, sizeof(struct http_ask)),
			     .settings = &settings };

	FUZZ_CHECK(!http_question_url(question, url, false));
	fuzz_ask(&conn);
	http_question_dispose(question);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	unsigned choice = fuzz_byte(&input);
	char *json = fuzz_line(&input), *equals = fuzz_line(&input);
	char *contains = fuzz_line(&input);

	/* conf refuses an invalid path. */
	if (!http_judge_is_json_path(json))
		json[0] = '\0';
	answer = input.at;
	answer_len = input.left;
	if (choice & 128)
		fuzz_openai(choice);
	else
		fuzz_http(choice, json, choice & 8 ? NULL : equals, contains);
	free(json);
	free(equals);
	free(contains);
	return 0;
}

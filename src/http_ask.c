#include "config.h"

#include "http_ask.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "http_url.h"
#include "http_words.h"

#define HTTP_REDIRECTS_MAX 3
#define HTTP_HEADER_MAX_BYTES 65536

/* ---- asking ---- */

static void http_ask_start(struct http_ask *ask);

static int http_ask_keep(struct http_ask *ask, const char *data, size_t len)
{
	size_t wanted = ask->answer.len + len + 1;
	size_t room = ask->body_room ? ask->body_room : 1024;
	char *body;

	while (room < wanted)
		room *= 2;
	if (room != ask->body_room) {
		body = realloc(ask->body, room);
		if (!body)
			return -1;
		ask->body = body;
		ask->body_room = room;
	}
	memcpy(ask->body + ask->answer.len, data, len);
	ask->answer.len += len;
	ask->body[ask->answer.len] = '\0';
	return 0;
}

/* CURLOPT_WRITEFUNCTION: anything but n ends the transfer. */
static size_t http_ask_on_body(char *data, size_t one, size_t n, void *arg)
{
	struct http_ask *ask = arg;
	size_t left = ask->question->max_body - ask->answer.len;
	size_t take = n < left ? n : left;

	(void)one;
	ask->heard = true;
	ask->answer.cut = take < n;
	if (http_ask_keep(ask, data, take))
		return 0;
	return take;
}

/*
 * CURLOPT_HEADERFUNCTION, called for each line.  libcurl 7.88 keeps every line
 * of an endless header in memory (CVE-2023-38039), and it takes a header that
 * the end of the connection cut off for a whole one: only the empty line shows
 * that it is.  There is one after each of several headers (100, 200); lines
 * after a chunked body are no header.
 */
static size_t http_ask_on_header(char *data, size_t one, size_t n, void *arg)
{
	struct http_ask *ask = arg;

	(void)one;
	ask->heard = true;
	if (n >= 5 && memcmp(data, "HTTP/", 5) == 0)
		ask->whole_header = false;
	else if (n && (data[0] == '\r' || data[0] == '\n'))
		ask->whole_header = true;
	ask->header_len += n;
	ask->too_big = ask->header_len > HTTP_HEADER_MAX_BYTES;
	return ask->too_big ? 0 : n;
}

/* CURLOPT_RESOLVER_START_FUNCTION: called when libcurl is about to look a
 * name up.  It never may. */
static int http_ask_on_resolver(void *state, void *reserved, void *arg)
{
	(void)state;
	(void)reserved;
	(void)arg;
	return 1;
}

static int http_ask_set_question(CURL *easy,
				 const struct http_question *question)
{
	int bad = 0;

	if (question->head)
		bad |= curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
	bad |= curl_easy_setopt(easy, CURLOPT_HTTPHEADER, question->headers);
	if (question->unix_path)
		bad |= curl_easy_setopt(easy, CURLOPT_UNIX_SOCKET_PATH,
					question->unix_path);
	if (question->user) {
		bad |= curl_easy_setopt(easy, CURLOPT_USERNAME, question->user);
		bad |= curl_easy_setopt(easy, CURLOPT_PASSWORD,
					question->password);
	}
	if (question->proxy)
		bad |= curl_easy_setopt(easy, CURLOPT_PROXY, question->proxy);
	if (question->ca) {
		struct curl_blob blob = { question->ca, question->ca_len,
					  CURL_BLOB_NOCOPY };

		bad |= curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
	}
	if (question->host)
		bad |= curl_easy_setopt(easy, CURLOPT_RESOLVER_START_FUNCTION,
					http_ask_on_resolver);
	return bad ? -1 : 0;
}

static int http_ask_set_callbacks(struct http_ask *ask)
{
	CURL *easy = ask->easy;
	int bad = 0;

	bad |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_ask_on_body);
	bad |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, ask);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
				http_ask_on_header);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, ask);
	bad |= curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, ask->error);
	return bad ? -1 : 0;
}

/* Gives libcurl the addresses of the host, best first. */
static int http_ask_use(struct http_ask *ask,
			const struct resolve_answer *answer)
{
	/* A hedge begins with another address: the best one may be silent. */
	size_t first = conn_is_hedge(ask->conn) ? 1 : 0;
	struct curl_slist *list;
	char text[300 + RESOLVE_MAX * (INET6_ADDRSTRLEN + 3)];
	size_t i, len;

	len = (size_t)snprintf(text, sizeof(text), "%s", ask->question->place);
	for (i = 0; i < answer->n; i++) {
		const struct resolve_addr *addr =
			&answer->addrs[(i + first) % answer->n];
		bool six = addr->sa.sa_family == AF_INET6;

		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%s%s%s%s", i ? "," : "",
					six ? "[" : "", addr->text,
					six ? "]" : "");
	}
	list = curl_slist_append(NULL, text);
	if (!list || curl_easy_setopt(ask->easy, CURLOPT_RESOLVE, list)) {
		curl_slist_free_all(list);
		return -1;
	}
	curl_slist_free_all(ask->addresses);
	ask->addresses = list;
	return 0;
}

static void http_ask_on_resolved(void *arg, const struct resolve_answer *answer)
{
	struct http_ask *ask = arg;

	ask->resolving = false;
	if (answer->code != RESULT_OK)
		conn_failed(ask->conn, answer->code, "%s", answer->words);
	else if (http_ask_use(ask, answer))
		conn_failed(ask->conn, RESULT_INTERNAL, "out of memory");
	else
		http_ask_start(ask);
}

/* The address that answered comes first the next time. */
static void http_ask_prefer(struct http_ask *ask)
{
	const char *host = ask->question->host;
	char *text = NULL;
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
	} addr;

	if (!host || ask->question->unix_path ||
	    curl_easy_getinfo(ask->easy, CURLINFO_PRIMARY_IP, &text) || !text)
		return;
	memset(&addr, 0, sizeof(addr));
	if (inet_pton(AF_INET, text, &addr.in.sin_addr) == 1)
		addr.sa.sa_family = AF_INET;
	else if (inet_pton(AF_INET6, text, &addr.in6.sin6_addr) == 1)
		addr.sa.sa_family = AF_INET6;
	else
		return;
	resolve_prefer(conn_env(ask->conn)->resolver, host, &addr.sa);
}

/* ---- what came of it ---- */

static bool http_ask_is_redirect(long status)
{
	return status == 301 || status == 302 || status == 303 ||
	       status == 307 || status == 308;
}

/*
 * Redirects are followed here and not by libcurl, which would look up the
 * name of another host.  Only to the same origin: credentials go nowhere else.
 */
static void http_ask_follow(struct http_ask *ask, const char *to)
{
	conn_detail(ask->conn, to);
	if (!http_url_same_origin(ask->question->url, to)) {
		conn_answered(ask->conn, RESULT_STATUS,
			      "redirect to another host, port or scheme");
	} else if (ask->redirects++ == HTTP_REDIRECTS_MAX) {
		conn_answered(ask->conn, RESULT_STATUS, "too many redirects");
	} else if (curl_easy_setopt(ask->easy, CURLOPT_URL, to)) {
		conn_failed(ask->conn, RESULT_INTERNAL, "out of memory");
	} else {
		ask->fresh = false;
		http_ask_start(ask);
	}
}

static void http_ask_judge(struct http_ask *ask)
{
	const struct http_question *question = ask->question;
	struct http_answer answer = ask->answer;
	char *body = ask->body, *to = NULL;

	curl_easy_getinfo(ask->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	http_ask_prefer(ask);
	if (question->follow && http_ask_is_redirect(answer.status) &&
	    !curl_easy_getinfo(ask->easy, CURLINFO_REDIRECT_URL, &to) && to) {
		http_ask_follow(ask, to);
		return;
	}
	/* The connection may be gone when judge() returns; the body is ours. */
	ask->body = NULL;
	ask->body_room = 0;
	answer.body = body ? body : "";
	question->judge(ask->conn, &answer);
	free(body);
}

/* A write callback of ours ended the transfer. */
static void http_ask_stopped(struct http_ask *ask)
{
	if (ask->answer.cut)
		http_ask_judge(ask);
	else if (ask->too_big)
		conn_failed(ask->conn, RESULT_PROTOCOL,
			    "header of the answer is too long");
	else
		conn_failed(ask->conn, RESULT_INTERNAL, "out of memory");
}

static void http_ask_failed(struct http_ask *ask, CURLcode code)
{
	struct http_failure failure;
	long os_errno = 0, verified = 0;

	curl_easy_getinfo(ask->easy, CURLINFO_OS_ERRNO, &os_errno);
	curl_easy_getinfo(ask->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
	failure = http_words_transfer(code, os_errno, verified);
	conn_detail(ask->conn,
		    ask->error[0] ? ask->error : curl_easy_strerror(code));
	conn_failed(ask->conn, failure.code, "%s", failure.words);
}

static void http_ask_on_done(void *arg, CURLcode code)
{
	struct http_ask *ask = arg;
	long tunnel = 0;

	curl_easy_getinfo(ask->easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
	if (code == CURLE_OK && !ask->whole_header)
		code = CURLE_PARTIAL_FILE;
	if (code == CURLE_OK)
		http_ask_judge(ask);
	else if (code == CURLE_WRITE_ERROR)
		http_ask_stopped(ask);
	else if (tunnel >= 300)
		conn_failed(ask->conn, RESULT_CONNECT, "proxy: HTTP %ld",
			    tunnel);
	else
		http_ask_failed(ask, code);
}

/* ---- steps ---- */

/* Half of this is what libcurl allows the first of several addresses; the
 * deadline of the check comes before the whole of it. */
static long http_ask_connect_ms(const struct http_ask *ask)
{
	int64_t left = conn_deadline_ms(ask->conn) - clock_ms();

	return (long)(left > 0 ? left : 0) + 100;
}

/* One transfer: the question, or the next of its redirects. */
static void http_ask_start(struct http_ask *ask)
{
	CURL *easy = ask->easy;
	int bad = 0;

	ask->heard = ask->too_big = ask->whole_header = false;
	ask->header_len = 0;
	ask->answer = (struct http_answer){ 0 };
	if (ask->body)
		ask->body[0] = '\0'; /* that of the redirect */
	ask->error[0] = '\0';
	ask->transfer.on_done = http_ask_on_done;
	ask->transfer.arg = ask;
	bad |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)ask->fresh);
	bad |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
				http_ask_connect_ms(ask));
	if (bad ||
	    curlio_start(conn_env(ask->conn)->curlio, &ask->transfer, easy))
		conn_failed(ask->conn, RESULT_INTERNAL, "libcurl refused");
}

static int http_ask_begin(struct http_ask *ask)
{
	ask->easy = curlio_handle(conn_env(ask->conn)->curlio);
	if (!ask->easy)
		return -1;
	return http_ask_set_question(ask->easy, ask->question) ||
	       http_ask_set_callbacks(ask);
}

static int http_ask_rewind(struct http_ask *ask, bool fresh)
{
	ask->fresh = fresh;
	ask->redirects = 0;
	return curl_easy_setopt(ask->easy, CURLOPT_URL, ask->question->url) ? -1
									    : 0;
}

void http_ask_open(struct conn *conn, const struct http_question *question)
{
	struct http_ask *ask = conn_state(conn);
	struct resolver *resolver = conn_env(conn)->resolver;
	const struct resolve_answer *answer;

	ask->conn = conn;
	ask->question = question;
	if (http_ask_begin(ask) || http_ask_rewind(ask, true)) {
		conn_failed(conn, RESULT_INTERNAL, "libcurl refused");
		return;
	}
	if (!question->host || question->unix_path) {
		http_ask_start(ask);
		return;
	}
	answer = resolve_cached(resolver, question->host);
	if (answer) {
		http_ask_on_resolved(ask, answer);
		return;
	}
	ask->resolving = true;
	ask->query.on_done = http_ask_on_resolved;
	ask->query.arg = ask;
	resolve_start(resolver, &ask->query, question->host);
}

/*
 * A warm connection needs no address, so a slow name server does not matter
 * here.  libcurl makes another connection by itself when the peer has closed
 * the warm one: to the addresses known now, else to those it had before.
 */
void http_ask_again(struct conn *conn)
{
	struct http_ask *ask = conn_state(conn);
	const struct http_question *question = ask->question;
	const struct resolve_answer *answer = NULL;

	if (question->host && !question->unix_path)
		answer = resolve_cached(conn_env(conn)->resolver,
					question->host);
	if (http_ask_rewind(ask, false) ||
	    (answer && answer->code == RESULT_OK && http_ask_use(ask, answer)))
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
	else
		http_ask_start(ask);
}

void http_ask_close(struct conn *conn)
{
	struct http_ask *ask = conn_state(conn);
	const struct check_env *env = conn_env(conn);

	if (ask->resolving)
		resolve_cancel(env->resolver, &ask->query);
	ask->resolving = false;
	if (ask->easy) {
		curlio_cancel(env->curlio, &ask->transfer);
		curl_easy_cleanup(ask->easy);
		ask->easy = NULL;
	}
	curl_slist_free_all(ask->addresses);
	ask->addresses = NULL;
	free(ask->body);
	ask->body = NULL;
	ask->body_room = 0;
}

static bool http_ask_reached(const struct http_ask *ask, CURLINFO when)
{
	curl_off_t us = 0;

	return !curl_easy_getinfo(ask->easy, when, &us) && us > 0;
}

const char *http_ask_step(const struct conn *conn)
{
	const struct http_ask *ask = conn_state_const(conn);

	if (ask->resolving)
		return "resolving";
	if (ask->heard)
		return "reading the answer";
	if (ask->easy && http_ask_reached(ask, CURLINFO_PRETRANSFER_TIME_T))
		return "waiting for the answer";
	/* libcurl 7.88 counts both as one. */
	if (strncasecmp(ask->question->url, "https:", 6) == 0)
		return "connecting or TLS handshake";
	return "connecting";
}

void http_ask_refuse(struct conn *conn, const struct http_answer *answer)
{
	if (answer->len)
		conn_detail(conn, answer->body);
	conn_answered(conn, http_words_status(answer->status), "HTTP %ld",
		      answer->status);
}

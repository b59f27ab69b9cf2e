#include "config.h"

#include "kinds/http/http_ask.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "kinds/http/http_words.h"
#include "io/dial.h"
#include "io/stream.h"

#define HTTP_REDIRECTS_MAX 3
#define HTTP_REQUEST_TIMEOUT 408
/* For the rest of a body that no longer matters: short enough not to show in
 * the latency. */
#define HTTP_REST_MS 50

/* ---- asking ---- */

static void http_ask_start(struct http_ask *ask);

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

/* ---- connecting ---- */

/*
 * Which of several addresses answers is found out here.  libcurl lets one that
 * is silent have half of the time before it turns to the next, and in version
 * 7.88 does not watch the socket to that one.
 */

/* CURLOPT_OPENSOCKETFUNCTION: the connection that there is, else a socket. */
static curl_socket_t http_ask_on_socket(void *arg, curlsocktype purpose,
					struct curl_sockaddr *address)
{
	struct http_ask *ask = arg;
	struct stream *dialled = ask->dialled;

	(void)purpose;
	if (dialled) {
		ask->dialled = NULL;
		return stream_release(dialled);
	}
	/* A path may lead to a dead mount: it is connected in a thread. */
	if (!ask->may_connect || ask->question->unix_path)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
}

/* CURLOPT_SOCKOPTFUNCTION */
static int http_ask_on_socket_made(void *arg, curl_socket_t fd,
				   curlsocktype purpose)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);

	(void)arg;
	(void)purpose;
	return getpeername(fd, (struct sockaddr *)&peer, &len) == 0
		       ? CURL_SOCKOPT_ALREADY_CONNECTED
		       : CURL_SOCKOPT_OK;
}

/* Gives libcurl the one address that it has to know. */
static int http_ask_use(struct http_ask *ask, const struct sockaddr *peer)
{
	union {
		const struct sockaddr *sa;
		const struct sockaddr_in *in;
		const struct sockaddr_in6 *in6;
	} at = { .sa = peer };
	bool six = peer->sa_family == AF_INET6;
	char address[INET6_ADDRSTRLEN] = "", text[300 + INET6_ADDRSTRLEN];
	struct curl_slist *list;

	inet_ntop(peer->sa_family,
		  six ? (const void *)&at.in6->sin6_addr : &at.in->sin_addr,
		  address, sizeof(address));
	snprintf(text, sizeof(text), six ? "%s[%s]" : "%s%s",
		 ask->question->place, address);
	list = curl_slist_append(NULL, text);
	if (!list || curl_easy_setopt(ask->easy, CURLOPT_RESOLVE, list)) {
		curl_slist_free_all(list);
		return -1;
	}
	curl_slist_free_all(ask->addresses);
	ask->addresses = list;
	return 0;
}

static void http_ask_on_open(struct conn *conn, struct stream *stream)
{
	struct http_ask *ask = conn_state(conn);
	const struct sockaddr *peer = stream_peer(stream); /* NULL: Unix */

	ask->dialled = stream;
	if (peer && http_ask_use(ask, peer))
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
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

/* The answer as far as it is there; its body is borrowed from the intake. */
static struct http_answer http_ask_answer(const struct http_ask *ask)
{
	const struct http_intake *intake = &ask->intake;
	struct http_answer answer = { .body = intake->body ? intake->body : "",
				      .len = intake->len,
				      .cut = intake->cut,
				      .unreadable = intake->unreadable };

	curl_easy_getinfo(ask->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	return answer;
}

static bool http_ask_to_follow(const struct http_ask *ask, long status)
{
	return ask->question->follow && http_ask_is_redirect(status);
}

static void http_ask_judge(struct http_ask *ask)
{
	struct http_answer answer = http_ask_answer(ask);
	char *body, *to = NULL;

	http_ask_prefer(ask);
	if (http_ask_to_follow(ask, answer.status) &&
	    !curl_easy_getinfo(ask->easy, CURLINFO_REDIRECT_URL, &to) && to) {
		http_ask_follow(ask, to);
		return;
	}
	/* What a server says that is about to close an idle connection. */
	if (ask->kept && answer.status == HTTP_REQUEST_TIMEOUT) {
		conn_failed(ask->conn, RESULT_STATUS, "HTTP %ld",
			    answer.status);
		return;
	}
	/* The connection may be gone when judge() returns; the body is ours. */
	body = http_intake_take(&ask->intake);
	ask->question->judge(ask->conn, &answer);
	free(body);
}

/* What is still missing does not matter; the connection ends with it. */
static void http_ask_on_rest(void *arg)
{
	struct http_ask *ask = arg;

	curlio_cancel(conn_env(ask->conn)->curlio, &ask->transfer);
	http_ask_judge(ask);
}

/*
 * Of an answer that may never end, no more is waited for than is looked at.
 * Most answers do end, and soon: the rest has a moment to come, so that their
 * connection can be kept.
 */
static void http_ask_on_more(void *arg, size_t from)
{
	struct http_ask *ask = arg;
	struct http_answer answer = http_ask_answer(ask);
	int64_t moment_ms = conn_left_ms(ask->conn) / 4;

	if (loop_timer_armed(&ask->rest) || answer.status < 200 ||
	    !ask->question->enough)
		return;
	/* libcurl tells where a redirect leads at its end only. */
	if (http_ask_to_follow(ask, answer.status) ||
	    !ask->question->enough(ask->conn, &answer, from))
		return;
	if (moment_ms > HTTP_REST_MS)
		moment_ms = HTTP_REST_MS;
	loop_timer_in(conn_env(ask->conn)->loop, &ask->rest, moment_ms);
}

static bool http_ask_reached(const struct http_ask *ask, CURLINFO when)
{
	curl_off_t us = 0;

	return !curl_easy_getinfo(ask->easy, when, &us) && us > 0;
}

/* libcurl ends at a line of 100 kB as if memory had run out; since 8.6 it has
 * a code for that, CURLE_TOO_LARGE. */
static bool http_ask_is_long_line(const struct http_ask *ask, CURLcode code)
{
	return ((int)code == 100 || code == CURLE_OUT_OF_MEMORY) &&
	       !ask->intake.whole_header &&
	       http_ask_reached(ask, CURLINFO_PRETRANSFER_TIME_T);
}

static void http_ask_too_long(struct http_ask *ask)
{
	conn_failed(ask->conn, RESULT_PROTOCOL,
		    "header of the answer is too long");
}

/* At a line of 16 kB libcurl ends as if the connection had broken: only its
 * words tell. */
static bool http_ask_is_long_tunnel(const struct http_ask *ask, CURLcode code)
{
	if (code == CURLE_RECV_ERROR)
		return strstr(ask->error, "CONNECT response too large");
	return code == CURLE_WRITE_ERROR && ask->intake.tunnel;
}

/* A write callback of ours ended the transfer. */
static void http_ask_stopped(struct http_ask *ask)
{
	const struct http_intake *intake = &ask->intake;

	if (intake->no_memory)
		conn_failed(ask->conn, RESULT_INTERNAL, "out of memory");
	else if (intake->long_header)
		http_ask_too_long(ask);
	else if (intake->whole_header)
		http_ask_judge(ask);
	else
		conn_failed(ask->conn, RESULT_PROTOCOL, "%s",
			    intake->unreadable);
}

static void http_ask_failed(struct http_ask *ask, CURLcode code)
{
	struct failure failure;
	long os_errno = 0, verified = 0;

	/* libcurl has one code for a connection that broke and for chunks that
	 * make no sense (RFC 9112 section 7.1): only its words tell. */
	if (code == CURLE_RECV_ERROR && strstr(ask->error, "chunk"))
		code = CURLE_WEIRD_SERVER_REPLY;
	curl_easy_getinfo(ask->easy, CURLINFO_OS_ERRNO, &os_errno);
	curl_easy_getinfo(ask->easy, CURLINFO_SSL_VERIFYRESULT, &verified);
	failure = http_words_transfer(code, os_errno, verified, ask->error);
	snprintf(failure.detail, sizeof(failure.detail), "%s",
		 ask->error[0] ? ask->error : curl_easy_strerror(code));
	conn_failed_as(ask->conn, &failure);
}

static void http_ask_on_done(void *arg, CURLcode code)
{
	struct http_ask *ask = arg;
	long tunnel = 0;

	loop_timer_clear(conn_env(ask->conn)->loop, &ask->rest);
	curl_easy_getinfo(ask->easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
	if (code == CURLE_OK && !ask->intake.whole_header)
		code = CURLE_PARTIAL_FILE;
	if (code == CURLE_OK) {
		http_intake_end(&ask->intake);
		http_ask_judge(ask);
	} else if (tunnel && tunnel / 100 != 2) {
		conn_failed(ask->conn,
			    tunnel == 407 ? RESULT_AUTH : RESULT_CONNECT,
			    "proxy: HTTP %ld", tunnel);
	} else if (http_ask_is_long_tunnel(ask, code)) {
		conn_failed(ask->conn, RESULT_PROTOCOL,
			    "proxy: header of the answer is too long");
	} else if (code == CURLE_WRITE_ERROR) {
		http_ask_stopped(ask);
	} else if (http_ask_is_long_line(ask, code)) {
		http_ask_too_long(ask);
	} else {
		http_ask_failed(ask, code);
	}
}

/* ---- steps ---- */

/* One transfer: the question, or the next of its redirects. */
static void http_ask_start(struct http_ask *ask)
{
	CURL *easy = ask->easy;
	int bad = 0;

	http_intake_begin(&ask->intake, ask->max_body);
	ask->error[0] = '\0';
	ask->transfer.on_done = http_ask_on_done;
	ask->transfer.arg = ask;
	bad |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)ask->fresh);
	/* The deadline of the check comes before it. */
	bad |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
				(long)conn_left_ms(ask->conn) + 100);
	if (bad ||
	    curlio_start(conn_env(ask->conn)->curlio, &ask->transfer, easy))
		conn_failed(ask->conn, RESULT_INTERNAL, "libcurl refused");
}

static int http_ask_begin(struct http_ask *ask)
{
	ask->rest.on_time = http_ask_on_rest;
	ask->intake.on_more = http_ask_on_more;
	ask->rest.arg = ask->intake.arg = ask;
	ask->easy = curlio_handle(conn_env(ask->conn)->curlio);
	if (!ask->easy)
		return -1;
	if (http_ask_set_question(ask->easy, ask->question) ||
	    http_intake_attach(&ask->intake, ask->easy) ||
	    curl_easy_setopt(ask->easy, CURLOPT_ERRORBUFFER, ask->error) ||
	    curl_easy_setopt(ask->easy, CURLOPT_OPENSOCKETFUNCTION,
			     http_ask_on_socket) ||
	    curl_easy_setopt(ask->easy, CURLOPT_OPENSOCKETDATA, ask) ||
	    curl_easy_setopt(ask->easy, CURLOPT_SOCKOPTFUNCTION,
			     http_ask_on_socket_made) ||
	    curl_easy_setopt(ask->easy, CURLOPT_FORBID_REUSE,
			     conn_is_kept(ask->conn) ? 0L : 1L))
		return -1;
	return 0;
}

static int http_ask_rewind(struct http_ask *ask, bool fresh)
{
	ask->fresh = fresh;
	ask->redirects = 0;
	ask->max_body = ask->question->max_body;
	return curl_easy_setopt(ask->easy, CURLOPT_URL, ask->question->url) ? -1
									    : 0;
}

void http_ask_open(struct conn *conn, const struct http_question *question)
{
	struct http_ask *ask = conn_state(conn);
	const struct dial_target target = {
		.path = question->unix_path,
		.host = question->host,
		.port = question->port,
		/* The best address of a hedge may be the silent one. */
		.turned = conn_is_hedge(conn),
		.unproven = true,
	};

	ask->conn = conn;
	ask->question = question;
	ask->may_connect = true;
	if (http_ask_begin(ask) || http_ask_rewind(ask, true)) {
		conn_failed(conn, RESULT_INTERNAL, "libcurl refused");
		return;
	}
	if (target.path || target.host)
		conn_dial(conn, &target, http_ask_on_open);
	else
		http_ask_start(ask);
}

/*
 * A warm connection needs no address, so a slow name server does not matter
 * here.  When the peer has closed or reset it, libcurl would open another one
 * to the old address, where a server may answer although the name points
 * elsewhere by now.  That is disabled: the engine opens a new connection, once.
 */
void http_ask_again(struct conn *conn)
{
	struct http_ask *ask = conn_state(conn);

	ask->may_connect = false;
	ask->kept = true;
	if (http_ask_rewind(ask, false))
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
	else
		http_ask_start(ask);
}

void http_ask_another(struct conn *conn, const char *url, size_t max_body)
{
	struct http_ask *ask = conn_state(conn);

	ask->fresh = false;
	ask->max_body = max_body;
	if (curl_easy_setopt(ask->easy, CURLOPT_URL, url))
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
	else
		http_ask_start(ask);
}

void http_ask_close(struct conn *conn)
{
	struct http_ask *ask = conn_state(conn);
	const struct check_env *env = conn_env(conn);

	loop_timer_clear(env->loop, &ask->rest);
	if (ask->easy) {
		curlio_cancel(env->curlio, &ask->transfer);
		curl_easy_cleanup(ask->easy);
		ask->easy = NULL;
	}
	stream_close(ask->dialled);
	ask->dialled = NULL;
	curl_slist_free_all(ask->addresses);
	ask->addresses = NULL;
	free(http_intake_take(&ask->intake));
}

const char *http_ask_step(const struct conn *conn)
{
	const struct http_ask *ask = conn_state_const(conn);

	if (ask->intake.heard)
		return "reading the answer";
	if (ask->easy && http_ask_reached(ask, CURLINFO_PRETRANSFER_TIME_T))
		return "waiting for the answer";
	/* libcurl 7.88 counts both as one. */
	if (strncasecmp(ask->question->url, "https:", 6) == 0)
		return "connecting, or in the TLS handshake";
	return "connecting";
}

void http_ask_refuse(struct conn *conn, const struct http_answer *answer)
{
	if (answer->len)
		conn_detail(conn, answer->body);
	conn_answered(conn, http_words_status(answer->status), "HTTP %ld",
		      answer->status);
}

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

/* CURLOPT_OPENSOCKETFUNCTION: libcurl is about to make a connection. */
static curl_socket_t http_ask_on_socket(void *arg, curlsocktype purpose,
					struct curl_sockaddr *address)
{
	const struct http_ask *ask = arg;

	(void)purpose;
	if (!ask->may_connect)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
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
	struct http_answer answer = { .len = ask->intake.len,
				      .cut = ask->intake.cut };
	char *body, *to = NULL;

	curl_easy_getinfo(ask->easy, CURLINFO_RESPONSE_CODE, &answer.status);
	http_ask_prefer(ask);
	if (question->follow && http_ask_is_redirect(answer.status) &&
	    !curl_easy_getinfo(ask->easy, CURLINFO_REDIRECT_URL, &to) && to) {
		http_ask_follow(ask, to);
		return;
	}
	/* The connection may be gone when judge() returns; the body is ours. */
	body = http_intake_take(&ask->intake);
	answer.body = body ? body : "";
	question->judge(ask->conn, &answer);
	free(body);
}

/* A write callback of ours ended the transfer. */
static void http_ask_stopped(struct http_ask *ask)
{
	if (ask->intake.cut)
		http_ask_judge(ask);
	else if (ask->intake.long_header)
		conn_failed(ask->conn, RESULT_PROTOCOL,
			    "header of the answer is too long");
	else
		conn_failed(ask->conn, RESULT_INTERNAL, "out of memory");
}

static void http_ask_failed(struct http_ask *ask, CURLcode code)
{
	struct http_failure failure;
	long os_errno = 0, verified = 0;

	/* libcurl has one code for a connection that broke and for chunks that
	 * make no sense (RFC 9112 section 7.1): only its words tell. */
	if (code == CURLE_RECV_ERROR && strstr(ask->error, "chunked-encod"))
		code = CURLE_WEIRD_SERVER_REPLY;
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
	if (code == CURLE_OK && !ask->intake.whole_header)
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

	http_intake_begin(&ask->intake, ask->question->max_body);
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
	if (http_ask_set_question(ask->easy, ask->question) ||
	    http_intake_attach(&ask->intake, ask->easy) ||
	    curl_easy_setopt(ask->easy, CURLOPT_OPENSOCKETFUNCTION,
			     http_ask_on_socket) ||
	    curl_easy_setopt(ask->easy, CURLOPT_OPENSOCKETDATA, ask) ||
	    curl_easy_setopt(ask->easy, CURLOPT_ERRORBUFFER, ask->error))
		return -1;
	return 0;
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
	ask->may_connect = true;
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
 * the warm one: only to addresses that are known now.  It still has those from
 * before, where somebody may answer although the name leads elsewhere by now,
 * or nowhere; without that, the engine opens anew and the name is looked up.
 */
void http_ask_again(struct conn *conn)
{
	struct http_ask *ask = conn_state(conn);
	const struct http_question *question = ask->question;
	const struct resolve_answer *answer = NULL;
	bool named = question->host && !question->unix_path;

	if (named)
		answer = resolve_cached(conn_env(conn)->resolver,
					question->host);
	ask->may_connect = !named || (answer && answer->code == RESULT_OK);
	if (http_ask_rewind(ask, false) ||
	    (answer && ask->may_connect && http_ask_use(ask, answer)))
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
	free(http_intake_take(&ask->intake));
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
		return "resolving the host name";
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

#include "config.h"

#include "kinds/http/http_ask.h"

#include <arpa/inet.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "base/text.h"
#include "io/dial.h"
#include "io/stream.h"

#define HTTP_REDIRECTS_MAX 3
#define HTTP_REQUEST_TIMEOUT 408
/* How long to wait for the rest of a body that no longer matters: too short to
 * be noticed in the latency. */
#define HTTP_REST_MS 50

union http_address {
	struct sockaddr sa;
	struct sockaddr_in in;
	struct sockaddr_in6 in6;
};

/* ---- words ---- */

static const char http_cut_off[] =
	"connection closed before the answer was complete";
static const char http_not_http[] = "answer is not HTTP";

static const struct {
	CURLcode from;
	enum result_code code;
	const char *words;
} http_words[] = {
	{ CURLE_OPERATION_TIMEDOUT, RESULT_CONNECT, "no address answered" },
	{ CURLE_COULDNT_RESOLVE_HOST, RESULT_RESOLVE,
	  "host name not resolved" },
	{ CURLE_COULDNT_RESOLVE_PROXY, RESULT_RESOLVE,
	  "host name not resolved" },
	{ CURLE_SSL_CONNECT_ERROR, RESULT_TLS, "TLS: handshake failed" },
	{ CURLE_SSL_CACERT_BADFILE, RESULT_TLS,
	  "TLS: CA certificates unusable" },
	{ CURLE_PEER_FAILED_VERIFICATION, RESULT_TLS, FAILURE_OTHER_HOST },
	{ CURLE_PARTIAL_FILE, RESULT_CONNECT, http_cut_off },
	{ CURLE_GOT_NOTHING, RESULT_CONNECT, http_cut_off },
	{ CURLE_RECV_ERROR, RESULT_CONNECT, http_cut_off },
	{ CURLE_SEND_ERROR, RESULT_CONNECT, http_cut_off },
	{ CURLE_WEIRD_SERVER_REPLY, RESULT_PROTOCOL, http_not_http },
	/* libcurl 7.88 reports this for an invalid header line */
	{ CURLE_BAD_FUNCTION_ARGUMENT, RESULT_PROTOCOL, http_not_http },
	/* HTTP/0.9: a body without a header */
	{ CURLE_UNSUPPORTED_PROTOCOL, RESULT_PROTOCOL, http_not_http },
	/* libcurl decodes a Transfer-Encoding that was not requested */
	{ CURLE_BAD_CONTENT_ENCODING, RESULT_PROTOCOL,
	  "answer cannot be decoded" },
};

/* OpenSSL's reason, which only libcurl's text contains; RESULT_UNKNOWN: it is
 * missing. */
static struct failure http_words_tls(CURLcode code, const char *said)
{
	const char *words = code == CURLE_SSL_CONNECT_ERROR
				    ? "TLS: handshake failed"
				    : "TLS: connection broken";

	/* The peer closed the connection without close_notify; what counts is
	 * that it is closed. */
	if ((code != CURLE_SSL_CONNECT_ERROR && code != CURLE_RECV_ERROR &&
	     code != CURLE_SEND_ERROR) ||
	    strstr(said, "unexpected eof"))
		return failure_make(RESULT_UNKNOWN, "%s", "");
	/* "SSL routines", "Provider routines" */
	return failure_tls(said, strstr(said, " routines:") ? words : NULL);
}

/* os_errno and said are CURLINFO_OS_ERRNO and what libcurl wrote to
 * CURLOPT_ERRORBUFFER, which tell more about some of the codes. */
static struct failure http_words_transfer(CURLcode code, long os_errno,
					  const char *said)
{
	struct failure tls = http_words_tls(code, said);
	size_t i;

	if (tls.code != RESULT_UNKNOWN)
		return tls;
	if (code == CURLE_COULDNT_CONNECT)
		return failure_errno((int)os_errno);
	for (i = 0; i < sizeof(http_words) / sizeof(*http_words); i++)
		if (http_words[i].from == code)
			return failure_make(http_words[i].code, "%s",
					    http_words[i].words);
	return failure_make(RESULT_INTERNAL, "libcurl error %d", (int)code);
}

/* A status other than the expected. */
static enum result_code http_words_status(long status)
{
	if (status == 401 || status == 403 || status == 407)
		return RESULT_AUTH;
	if (status == 429)
		return RESULT_THROTTLED;
	return status >= 500 ? RESULT_UPSTREAM : RESULT_STATUS;
}

/* Notes which server was asked, and what it or libcurl said. */
static void http_ask_detail(struct conn *conn, const char *said)
{
	const struct http_ask *ask = conn_state(conn);
	const struct http_question *question = ask->question;
	char text[TEXT_RAW_BYTES];

	snprintf(text, sizeof(text), "%s%s%s",
		 question->unix_path ? question->unix_path : question->server,
		 *said ? ": " : "", said);
	conn_detail(conn, text);
}

void http_ask_answered(struct conn *conn, enum result_code code,
		       const char *words, const char *said)
{
	if (code != RESULT_OK)
		http_ask_detail(conn, said);
	conn_answered(conn, code, "%s", words);
}

void http_ask_refuse(struct conn *conn, const struct http_answer *answer)
{
	char words[32];

	snprintf(words, sizeof(words), "HTTP %ld", answer->status);
	http_ask_answered(conn, http_words_status(answer->status), words,
			  answer->body);
}

/* ---- connecting ---- */

static void http_ask_on_done(void *arg, CURLcode code);

/* One transfer: the question, a redirect of it, or another question. */
static void http_ask_transfer(struct http_ask *ask, const char *url, bool fresh)
{
	CURL *easy = ask->easy;
	int bad = 0;

	http_intake_begin(&ask->intake, ask->max_body);
	ask->error[0] = '\0';
	ask->transfer.on_done = http_ask_on_done;
	ask->transfer.arg = ask;
	bad |= curl_easy_setopt(easy, CURLOPT_URL, url);
	bad |= curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, (long)fresh);
	/* The deadline of the check is earlier. */
	bad |= curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
				(long)conn_left_ms(ask->conn) + 100);
	if (bad ||
	    curlio_start(conn_env(ask->conn)->curlio, &ask->transfer, easy))
		conn_failed(ask->conn, RESULT_INTERNAL, "libcurl refused");
}

/*
 * dial finds the one of several addresses that answers.  libcurl waits half of
 * the time for a silent one before it tries the next, and version 7.88 does not
 * watch the socket to that one.
 */

/* CURLOPT_OPENSOCKETFUNCTION: the socket that dial has connected, else a new
 * one. */
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
	/* A path may be on a dead mount: only dial connects to it, in a thread.
	 */
	if (ask->kept || ask->question->unix_path)
		return CURL_SOCKET_BAD;
	return socket(address->family, address->socktype | SOCK_CLOEXEC,
		      address->protocol);
}

/* CURLOPT_SOCKOPTFUNCTION: whether the socket is connected already. */
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

/* CURLOPT_RESOLVER_START_FUNCTION: called when libcurl is about to look up a
 * name, which would block.  Refuses. */
static int http_ask_on_resolver(void *state, void *reserved, void *arg)
{
	(void)state;
	(void)reserved;
	(void)arg;
	return 1;
}

/*
 * libcurl does not tell which certificate it refused.  OpenSSL tells us: this
 * is called for each certificate of the chain, and for the server's own, last,
 * when the chain is good; what libcurl can refuse then is its name.
 */
static int http_ask_on_verify(int good, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
		store, SSL_get_ex_data_X509_STORE_CTX_idx());
	struct http_ask *ask = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	long result = X509_V_ERR_HOSTNAME_MISMATCH;

	if (!good)
		result = X509_STORE_CTX_get_error(store);
	if (ask)
		ask->suspect = failure_certificate(
			result, X509_STORE_CTX_get0_untrusted(store));
	return good;
}

/* The connection may outlive the question. */
static void http_ask_unverify(struct http_ask *ask)
{
	if (ask->tls)
		SSL_CTX_set_app_data(ask->tls, NULL);
	SSL_CTX_free(ask->tls);
	ask->tls = NULL;
}

/* CURLOPT_SSL_CTX_FUNCTION: called once for each connection. */
static CURLcode http_ask_on_tls(CURL *easy, void *ctx, void *arg)
{
	struct http_ask *ask = arg;

	(void)easy;
	http_ask_unverify(ask);
	ask->suspect.code = RESULT_UNKNOWN;
	if (!SSL_CTX_up_ref(ctx))
		return CURLE_OUT_OF_MEMORY;
	ask->tls = ctx;
	SSL_CTX_set_app_data(ask->tls, ask);
	SSL_CTX_set_verify(ask->tls, SSL_CTX_get_verify_mode(ask->tls),
			   http_ask_on_verify);
	return CURLE_OK;
}

/* Gives libcurl the address of the host. */
static int http_ask_use(struct http_ask *ask, const struct sockaddr *peer)
{
	const union http_address *at = (const void *)peer;
	bool six = peer->sa_family == AF_INET6;
	char address[INET6_ADDRSTRLEN] = "", text[300 + INET6_ADDRSTRLEN];

	inet_ntop(peer->sa_family,
		  six ? (const void *)&at->in6.sin6_addr : &at->in.sin_addr,
		  address, sizeof(address));
	snprintf(text, sizeof(text), six ? "%s[%s]" : "%s%s",
		 ask->question->place, address);
	ask->addresses = curl_slist_append(NULL, text);
	if (!ask->addresses ||
	    curl_easy_setopt(ask->easy, CURLOPT_RESOLVE, ask->addresses))
		return -1;
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
		http_ask_transfer(ask, ask->question->url, true);
}

/* Makes the address that answered the first one for the next connection. */
static void http_ask_prefer(struct http_ask *ask)
{
	const char *host = ask->question->host;
	union http_address at = { .sa.sa_family = AF_INET };
	char *text = NULL;

	if (!*host || ask->question->unix_path ||
	    curl_easy_getinfo(ask->easy, CURLINFO_PRIMARY_IP, &text) || !text)
		return;
	if (inet_pton(AF_INET, text, &at.in.sin_addr) != 1) {
		at.sa.sa_family = AF_INET6;
		if (inet_pton(AF_INET6, text, &at.in6.sin6_addr) != 1)
			return;
	}
	resolve_prefer(conn_env(ask->conn)->resolver, host, &at.sa);
}

/* ---- the answer ---- */

static bool http_ask_to_follow(const struct http_ask *ask, long status)
{
	return ask->question->follow && status >= 301 && status <= 308 &&
	       (status <= 303 || status >= 307);
}

/*
 * Redirects are followed here and not by libcurl, which would look up the name
 * of another host.  Only to the same origin: credentials are sent nowhere else.
 */
static void http_ask_follow(struct http_ask *ask, const char *to)
{
	const char *wrong = NULL;

	if (!http_url_same_origin(ask->question->url, to))
		wrong = "redirect to another host, port or scheme";
	else if (ask->redirects++ == HTTP_REDIRECTS_MAX)
		wrong = "too many redirects";
	if (wrong) {
		http_ask_answered(ask->conn, RESULT_STATUS, wrong, to);
		return;
	}
	conn_detail(ask->conn, to);
	http_ask_transfer(ask, to, false);
}

/* The answer as far as it was read; its body is borrowed from the intake. */
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
	/* A server sends this before it closes an idle connection. */
	if (ask->kept && answer.status == HTTP_REQUEST_TIMEOUT) {
		conn_failed(ask->conn, RESULT_STATUS, "HTTP %ld",
			    answer.status);
		return;
	}
	/* judge() may close the connection; the body must last until then. */
	body = http_intake_take(&ask->intake);
	ask->question->judge(ask->conn, &answer);
	free(body);
}

/* The rest of the answer did not come in time.  It does not matter; the
 * connection is closed. */
static void http_ask_on_rest(void *arg)
{
	struct http_ask *ask = arg;

	curlio_cancel(conn_env(ask->conn)->curlio, &ask->transfer);
	http_ask_judge(ask);
}

/*
 * An answer may never end, so only what judge() looks at is waited for.  Most
 * answers end soon: the rest is given a moment, so that the connection can be
 * kept.
 */
static void http_ask_on_more(void *arg, size_t from)
{
	struct http_ask *ask = arg;
	struct http_answer answer = http_ask_answer(ask);
	int64_t moment_ms = conn_left_ms(ask->conn) / 4;

	if (loop_timer_armed(&ask->rest) || answer.status < 200 ||
	    !ask->question->enough)
		return;
	/* libcurl tells the target of a redirect only at the end. */
	if (http_ask_to_follow(ask, answer.status) ||
	    !ask->question->enough(ask->conn, &answer, from))
		return;
	if (moment_ms > HTTP_REST_MS)
		moment_ms = HTTP_REST_MS;
	loop_timer_in(conn_env(ask->conn)->loop, &ask->rest, moment_ms);
}

/* At a line of 100 kB libcurl fails as if out of memory; since 8.6 with a code
 * of its own, CURLE_TOO_LARGE. */
static bool http_ask_is_long_line(const struct http_ask *ask, CURLcode code)
{
	return ((int)code == 100 || code == CURLE_OUT_OF_MEMORY) &&
	       !ask->intake.whole_header && http_intake_is_asked(&ask->intake);
}

/* At a line of 16 kB libcurl fails as if the connection had broken: only its
 * words tell the difference. */
static bool http_ask_is_long_tunnel(const struct http_ask *ask, CURLcode code)
{
	if (code == CURLE_RECV_ERROR)
		return strstr(ask->error, "CONNECT response too large");
	return code == CURLE_WRITE_ERROR && ask->intake.tunnel;
}

/* What libcurl says went wrong. */
static struct failure http_ask_transfer_failure(const struct http_ask *ask,
						CURLcode code)
{
	struct failure failure;
	long os_errno = 0;

	if (code == CURLE_PEER_FAILED_VERIFICATION &&
	    ask->suspect.code != RESULT_UNKNOWN)
		return ask->suspect;
	/* libcurl has one code for a connection that broke and for invalid
	 * chunks (RFC 9112 section 7.1): only its words tell the difference. */
	if (code == CURLE_RECV_ERROR && strstr(ask->error, "chunk"))
		code = CURLE_WEIRD_SERVER_REPLY;
	curl_easy_getinfo(ask->easy, CURLINFO_OS_ERRNO, &os_errno);
	failure = http_words_transfer(code, os_errno, ask->error);
	snprintf(failure.detail, sizeof(failure.detail), "%s",
		 ask->error[0] ? ask->error : curl_easy_strerror(code));
	return failure;
}

static struct failure http_ask_failure(const struct http_ask *ask,
				       CURLcode code)
{
	const struct http_intake *intake = &ask->intake;
	bool stopped = code == CURLE_WRITE_ERROR; /* by a callback of ours */
	long tunnel = 0;

	curl_easy_getinfo(ask->easy, CURLINFO_HTTP_CONNECTCODE, &tunnel);
	if (tunnel && tunnel / 100 != 2)
		return failure_make(tunnel == 407 ? RESULT_AUTH
						  : RESULT_CONNECT,
				    "proxy: HTTP %ld", tunnel);
	if (http_ask_is_long_tunnel(ask, code))
		return failure_make(RESULT_PROTOCOL,
				    "proxy: header of the answer is too long");
	if (stopped && intake->no_memory)
		return failure_make(RESULT_INTERNAL, "out of memory");
	if (stopped ? intake->long_header : http_ask_is_long_line(ask, code))
		return failure_make(RESULT_PROTOCOL,
				    "header of the answer is too long");
	if (stopped && !intake->whole_header)
		return failure_make(RESULT_PROTOCOL, "%s", intake->unreadable);
	if (stopped) /* since the body is longer than needed, or unreadable */
		return (struct failure){ .code = RESULT_OK };
	return http_ask_transfer_failure(ask, code);
}

static void http_ask_on_done(void *arg, CURLcode code)
{
	struct http_ask *ask = arg;
	struct failure failure = { .code = RESULT_OK };

	loop_timer_clear(conn_env(ask->conn)->loop, &ask->rest);
	if (code == CURLE_OK && ask->intake.whole_header)
		http_intake_end(&ask->intake);
	else
		failure = http_ask_failure(
			ask, code == CURLE_OK ? CURLE_PARTIAL_FILE : code);
	if (failure.code == RESULT_OK) {
		http_ask_judge(ask);
		return;
	}
	http_ask_detail(ask->conn, failure.detail);
	conn_failed(ask->conn, failure.code, "%s", failure.words);
}

/* ---- steps ---- */

static int http_ask_begin(struct http_ask *ask)
{
	const struct http_question *question = ask->question;
	CURL *easy = curlio_handle(conn_env(ask->conn)->curlio);
	struct curl_blob ca = { question->ca, question->ca_len,
				CURL_BLOB_NOCOPY };
	int bad = 0;

	ask->rest.on_time = http_ask_on_rest;
	ask->intake.on_more = http_ask_on_more;
	ask->rest.arg = ask->intake.arg = ask;
	ask->easy = easy;
	if (!easy || http_intake_attach(&ask->intake, easy))
		return -1;
#define SET(option, value) bad |= curl_easy_setopt(easy, option, value)
	SET(CURLOPT_NOBODY, (long)question->head);
	SET(CURLOPT_HTTPHEADER, question->headers);
	SET(CURLOPT_UNIX_SOCKET_PATH, question->unix_path);
	SET(CURLOPT_USERNAME, question->user);
	SET(CURLOPT_PASSWORD, question->password);
	if (question->proxy)
		SET(CURLOPT_PROXY, question->proxy);
	if (question->ca)
		SET(CURLOPT_CAINFO_BLOB, &ca);
	if (*question->host)
		SET(CURLOPT_RESOLVER_START_FUNCTION, http_ask_on_resolver);
	SET(CURLOPT_ERRORBUFFER, ask->error);
	SET(CURLOPT_OPENSOCKETFUNCTION, http_ask_on_socket);
	SET(CURLOPT_OPENSOCKETDATA, ask);
	SET(CURLOPT_SOCKOPTFUNCTION, http_ask_on_socket_made);
	SET(CURLOPT_SSL_CTX_FUNCTION, http_ask_on_tls);
	SET(CURLOPT_SSL_CTX_DATA, ask);
	SET(CURLOPT_FORBID_REUSE, conn_is_kept(ask->conn) ? 0L : 1L);
#undef SET
	return bad ? -1 : 0;
}

/*
 * A warm connection needs no address, so a slow name server does not matter.
 * When the peer has closed or reset it, libcurl would open another one to the
 * old address, where a server may answer although the name has another address
 * by now.  That is disabled: the engine opens a new connection, once.
 */
void http_ask_start(struct conn *conn, const struct http_question *question)
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
	ask->kept = ask->easy != NULL;
	ask->another = false;
	ask->redirects = 0;
	ask->max_body = question->max_body;
	if (!ask->kept && http_ask_begin(ask))
		conn_failed(conn, RESULT_INTERNAL, "libcurl refused");
	else if (!ask->kept && (target.path || *target.host))
		conn_dial(conn, &target, http_ask_on_open);
	else
		http_ask_transfer(ask, question->url, !ask->kept);
}

void http_ask_another(struct conn *conn, const char *url, size_t max_body)
{
	struct http_ask *ask = conn_state(conn);

	ask->another = true;
	ask->max_body = max_body;
	http_ask_transfer(ask, url, false);
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
	http_ask_unverify(ask);
	stream_close(ask->dialled);
	ask->dialled = NULL;
	curl_slist_free_all(ask->addresses);
	ask->addresses = NULL;
	free(http_intake_take(&ask->intake));
}

const char *http_ask_step(const struct conn *conn)
{
	const struct http_ask *ask = conn_state(conn);

	if (ask->intake.heard)
		return "reading the answer";
	if (ask->easy && http_intake_is_asked(&ask->intake))
		return "waiting for the answer";
	/* libcurl 7.88 does not tell them apart. */
	if (strncasecmp(ask->question->url, "https:", 6) == 0)
		return "connecting, or in the TLS handshake";
	return "connecting";
}

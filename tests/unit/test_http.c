#include "config.h"

#include "kinds/http/http_judge.c"
#include "kinds/http/http.c"
#include "io/curlio.c"
#include "kinds/http/http_intake.c"
#include "kinds/http/http_question.c"
#include "kinds/http/http_ask.c"
#include "io/loop.c"

#include "fake_offload.h"
#include "fake_log.h"
#include "fake_resolve.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <sys/un.h>

/* ---- the neighbours ---- */

struct conn {
	struct http_settings *settings;
	struct http_ask state;
	struct check_env env;
	struct dial dial;
	void (*on_dialled)(struct conn *conn, struct stream *stream);
	bool hedge, unkept;
	int ended; /* times that answered or failed was called */
	bool answered;
	enum result_code code;
	char words[RESULT_ERROR_BYTES];
	char detail[FAILURE_DETAIL_BYTES];
	int64_t within_ms;
};

#include "fake_dial.h"

static struct loop *loop;
static struct curlio *curlio;
static const char *section_has; /* its only key, or NULL */
static int mistakes;
static char mistake[256], mistake_key[32];
static char secrets[512];

int text_secret(const char *secret)
{
	size_t len = strlen(secrets);

	snprintf(secrets + len, sizeof(secrets) - len, "<%s>", secret);
	return 0;
}

/* Masks "s3cret", and cuts in the middle. */
void text_show_ends(char *to, size_t size, const char *from)
{
	char *copy = strdup(from), *at = copy;
	size_t len = strlen(from), half = (size - 4) / 2;

	while (copy && (at = strstr(at, "s3cret")))
		memset(at, '*', 6);
	if (copy && len < size)
		snprintf(to, size, "%s", copy);
	else if (copy)
		snprintf(to, size, "%.*s...%s", (int)half, copy,
			 copy + len - half);
	free(copy);
}

bool text_looks_secret(const char *text, size_t len)
{
	return memmem(text, len, "s3cret", 6) != NULL;
}

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	va_list args;

	(void)conf;
	(void)section;
	snprintf(mistake_key, sizeof(mistake_key), "%s", key ? key : "");
	va_start(args, fmt);
	vsnprintf(mistake, sizeof(mistake), fmt, args);
	va_end(args);
	mistakes++;
}

bool conf_section_has(const struct conf_section *section, const char *key)
{
	(void)section;
	return section_has && strcmp(section_has, key) == 0;
}

int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
{
	(void)max_bytes;
	if (strcmp(path, "/missing") == 0) {
		snprintf(reason, reason_size, "no such file");
		return -1;
	}
	*text = strdup("not a certificate");
	*len = strlen(*text);
	return 0;
}

/* Nothing here may look a name up behind our back. */
int getaddrinfo(const char *node, const char *service,
		const struct addrinfo *hints, struct addrinfo **found)
{
	(void)node;
	(void)service;
	(void)hints;
	(void)found;
	CHECK(!"getaddrinfo() was called");
	return EAI_FAIL;
}

void *conn_state(const struct conn *conn)
{
	return (struct http_ask *)&conn->state;
}

const void *conn_settings(const struct conn *conn)
{
	return conn->settings;
}

const struct check_env *conn_env(const struct conn *conn)
{
	return &conn->env;
}

bool conn_is_hedge(const struct conn *conn)
{
	return conn->hedge;
}

bool conn_is_kept(const struct conn *conn)
{
	return !conn->unkept;
}

int64_t conn_left_ms(const struct conn *conn)
{
	return conn->within_ms;
}

void conn_detail(struct conn *conn, const char *text)
{
	snprintf(conn->detail, sizeof(conn->detail), "%.1000s", text);
}

__attribute__((format(printf, 4, 0))) static void conn_end(
	struct conn *conn, bool answered, enum result_code code,
	const char *fmt, va_list args)
{
	conn->ended++;
	conn->answered = answered;
	conn->code = code;
	vsnprintf(conn->words, sizeof(conn->words), fmt, args);
	loop_stop(loop);
}

void conn_answered(struct conn *conn, enum result_code code, const char *fmt,
		   ...)
{
	va_list args;

	va_start(args, fmt);
	conn_end(conn, true, code, fmt, args);
	va_end(args);
}

static void conn_close(struct conn *conn)
{
	dial_end(&conn->dial);
	check_http.close(conn);
}

/* As the engine does, the connection is closed inside. */
void conn_failed(struct conn *conn, enum result_code code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	conn_end(conn, false, code, fmt, args);
	va_end(args);
	conn_close(conn);
}

/* ---- a server that says what it is told to ---- */

struct server {
	struct loop_watch listening, talking;
	int listener, fd;
	int port;
	const char *answer; /* NULL: accepts and is silent */
	size_t answer_len;  /* 0: up to its NUL */
	bool close_after;
	bool close_at_once, reset_after;
	const char *then; /* what comes after the first; NULL: the same */
	int connections, requests;
	char request[4096];
	size_t request_len;
};

static void server_hang_up(struct server *server)
{
	loop_watch_clear(loop, &server->talking);
	if (server->fd >= 0)
		close(server->fd);
	server->fd = -1;
	server->request_len = 0;
}

static void server_on_io(void *arg, short revents)
{
	struct server *server = arg;
	char *to = server->request + server->request_len;
	ssize_t n = read(server->fd, to,
			 sizeof(server->request) - 1 - server->request_len);

	(void)revents;
	if (n <= 0) {
		server_hang_up(server);
		return;
	}
	server->request_len += (size_t)n;
	server->request[server->request_len] = '\0';
	if (!strstr(server->request, "\r\n\r\n"))
		return;
	server->request_len = 0;
	server->requests++;
	if (!server->answer)
		return;
	n = (ssize_t)(server->answer_len ? server->answer_len
					 : strlen(server->answer));
	CHECK(send(server->fd, server->answer, (size_t)n, MSG_NOSIGNAL) == n);
	if (server->then)
		server->answer = server->then;
	if (server->reset_after)
		setsockopt(server->fd, SOL_SOCKET, SO_LINGER,
			   &(struct linger){ .l_onoff = 1 },
			   sizeof(struct linger));
	if (server->close_after || server->reset_after)
		server_hang_up(server);
}

static void server_on_connection(void *arg, short revents)
{
	struct server *server = arg;

	(void)revents;
	server_hang_up(server);
	server->fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC);
	server->connections++;
	if (server->close_at_once)
		server_hang_up(server);
	else
		CHECK(!loop_watch_set(loop, &server->talking, server->fd,
				      POLLIN));
}

static void server_begin(struct server *server, const struct sockaddr *addr,
			 socklen_t len)
{
	server->listener = socket(
		addr->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	CHECK(!bind(server->listener, addr, len));
	CHECK(!listen(server->listener, 8));
	server->fd = -1;
	server->listening.on_io = server_on_connection;
	server->listening.arg = server;
	server->talking.on_io = server_on_io;
	server->talking.arg = server;
	CHECK(!loop_watch_set(loop, &server->listening, server->listener,
			      POLLIN));
}

static void server_begin_tcp(struct server *server)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server_begin(server, (struct sockaddr *)&in, len);
	getsockname(server->listener, (struct sockaddr *)&in, &len);
	server->port = ntohs(in.sin_port);
}

static void server_end(struct server *server)
{
	server_hang_up(server);
	loop_watch_clear(loop, &server->listening);
	close(server->listener);
}

/* ---- running ---- */

static struct http_settings settings;
static char url[128];

static char empty[] = "", status_200[] = "200";

/* Settings as conf would leave them. */
static void settings_reset(const char *host, int port, const char *path)
{
	if (settings.url)
		check_http.dispose(&settings);
	snprintf(url, sizeof(url), "http://%s:%d%s", host, port, path);
	settings = (struct http_settings){
		.url = url,
		.socket = empty,
		.status = status_200,
		.user = empty,
		.password = empty,
		.bearer = empty,
		.contains = empty,
		.json = empty,
		.equals = empty,
		.ca_file = empty,
		.proxy = empty,
		.max_body = 65536,
	};
	section_has = NULL;
	mistakes = 0;
	secrets[0] = mistake[0] = mistake_key[0] = '\0';
}

static void prepare(void)
{
	check_http.prepare(NULL, NULL, &settings);
}

static void nothing(void *arg)
{
	(void)arg;
}

/* A guard against hanging, not a part of what is tested. */
static void on_guard(void *arg)
{
	(void)arg;
	CHECK(!"the transfer did not end");
	loop_stop(loop);
}

static void turn(struct conn *conn)
{
	struct loop_timer guard = { .on_time = on_guard };

	loop_timer_set(loop, &guard, clock_ms() + 10000);
	atomic_store(&loop->stopped, false);
	if (!conn || !conn->ended)
		loop_run(loop, nothing, NULL);
	loop_timer_clear(loop, &guard);
	if (conn)
		CHECK_INT(conn->ended, 1);
}

static void conn_reset(struct conn *conn)
{
	*conn = (struct conn){
		.settings = &settings,
		.env = { .loop = loop, .curlio = curlio },
		.within_ms = 3000,
	};
}

static void conn_open(struct conn *conn)
{
	conn_reset(conn);
	check_http.open(conn);
	turn(conn);
	CHECK_INT(conn->dial.watch.index, 0);
}

static void conn_again(struct conn *conn)
{
	conn->ended = 0;
	check_http.ask(conn);
	turn(conn);
}

/* One question with the settings as they are; closed at its end. */
static void ask_once(struct conn *conn)
{
	prepare();
	CHECK_INT(mistakes, 0);
	conn_open(conn);
	conn_close(conn);
	conn_close(conn);
}

#define ANSWER(status, body) "HTTP/1.1 " status "\r\nContent-Length: " body

static struct server server;

static void on_look(void *arg)
{
	loop_stop(arg);
}

/* Until the server has seen the end of its connection; a moment at most. */
static void turn_until_gone(void)
{
	struct loop_timer look = { .on_time = on_look, .arg = loop };
	int64_t end_ms = clock_ms() + 2000;

	while (server.fd >= 0 && clock_ms() < end_ms) {
		loop_timer_set(loop, &look, clock_ms() + 1);
		turn(NULL);
	}
}

static void ask_path(struct conn *conn, const char *answer)
{
	settings_reset("127.0.0.1", server.port, "/x");
	server.answer = answer;
	ask_once(conn);
}

/* ---- tests ---- */

/* The detail names the server, and then says this. */
static void check_detail(const struct conn *conn, const char *said)
{
	char want[FAILURE_DETAIL_BYTES];

	snprintf(want, sizeof(want), "127.0.0.1 port %d%s", server.port, said);
	CHECK_STR(conn->detail, want);
}

static void test_statuses(void)
{
	static const struct {
		const char *answer;
		enum result_code code;
		const char *words, *said;
	} rows[] = {
		{ ANSWER("200 OK", "2\r\n\r\nok"), RESULT_OK, "", "" },
		{ ANSWER("204 No", "0\r\n\r\n"), RESULT_STATUS, "HTTP 204",
		  "" },
		{ ANSWER("401 No", "0\r\n\r\n"), RESULT_AUTH, "HTTP 401", "" },
		{ ANSWER("407 No", "0\r\n\r\n"), RESULT_AUTH, "HTTP 407", "" },
		{ ANSWER("403 No", "0\r\n\r\n"), RESULT_AUTH, "HTTP 403", "" },
		{ ANSWER("404 No", "0\r\n\r\n"), RESULT_STATUS, "HTTP 404",
		  "" },
		{ ANSWER("429 No", "0\r\n\r\n"), RESULT_THROTTLED, "HTTP 429",
		  "" },
		{ ANSWER("500 No", "0\r\n\r\n"), RESULT_UPSTREAM, "HTTP 500",
		  "" },
		{ ANSWER("503 No", "3\r\n\r\nwhy"), RESULT_UPSTREAM, "HTTP 503",
		  ": why" },
		{ "HTTP/1.1 302 F\r\nContent-Length: 0\r\n"
		  "Location: /y\r\n\r\n",
		  RESULT_STATUS, "HTTP 302", "" },
	};
	struct conn conn;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ask_path(&conn, rows[i].answer);
		CHECK(conn.answered);
		CHECK_INT(conn.code, rows[i].code);
		CHECK_STR(conn.words, rows[i].words);
		if (rows[i].code == RESULT_OK)
			CHECK_STR(conn.detail, "");
		else
			check_detail(&conn, rows[i].said);
	}
	ask_path(&conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"2\r\nok\r\n0\r\nTrailer: x\r\n\r\n");
	CHECK_INT(conn.code, RESULT_OK);
	settings_reset("127.0.0.1", server.port, "/");
	settings.status = (char[]){ "200-299 , 404,503" };
	server.answer = ANSWER("404 No", "0\r\n\r\n");
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);
}

static void test_broken_answers(void)
{
	struct conn conn;

	server.close_after = true;
	ask_path(&conn, ANSWER("200 OK", "20\r\n\r\nhalf"));
	CHECK(!conn.answered);
	CHECK_INT(conn.code, RESULT_CONNECT);
	CHECK_STR(conn.words,
		  "connection closed before the answer was complete");
	ask_path(&conn, "HTTP/1.1 200 OK\r\nContent-Le");
	CHECK(!conn.answered);
	CHECK_INT(conn.code, RESULT_CONNECT);
	ask_path(&conn, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n");
	CHECK_INT(conn.code, RESULT_CONNECT);
	ask_path(&conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"2\r\nok\r\n");
	CHECK_INT(conn.code, RESULT_CONNECT);
	ask_path(&conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"two\r\nok\r\n0\r\n\r\n");
	CHECK_INT(conn.code, RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer is not HTTP");
	ask_path(&conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n"
			"no such thing");
	CHECK_INT(conn.code, RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer cannot be decoded");
	/* What it is called differs by release; our fault it is never. */
	ask_path(&conn, "HTTP/1.1 200 OK\r\nx\r/y: 0\r\n\r\n");
	CHECK(conn.ended && conn.code != RESULT_INTERNAL);
	ask_path(&conn, "");
	CHECK_INT(conn.code, RESULT_CONNECT);
	ask_path(&conn, "SSH-2.0-OpenSSH_9.2\r\n");
	CHECK(!conn.answered);
	CHECK_INT(conn.code, RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer is not HTTP");
	server.close_after = false;
	server.close_at_once = true;
	ask_path(&conn, NULL);
	CHECK_INT(conn.code, RESULT_CONNECT);
	server.close_at_once = false;
}

/* What is hidden of a header line, besides the whole of it. */
static void test_hidden_headers(void)
{
	static const struct {
		const char *line, *hidden;
	} rows[] = {
		{ "Authorization: Basic abc", "<abc><Basic abc>" },
		{ "X-Auth:abc", "<abc>" },
		{ "X-Auth:", "<>" },
		{ "Cookie: a=1; b=two", "<1><two><b=two><a=1; b=two>" },
		{ "X-Any: s3cret", "<s3cret>" },
		{ "X-Any: word", "" },
		{ "Host: s3cret", "" },
		{ "Accept-Language: s3cret", "" },
		{ "Content-Type: s3cret", "" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		secrets[0] = '\0';
		CHECK_INT(http_header_hide(rows[i].line), 0);
		CHECK_STR(secrets, rows[i].hidden);
	}
}

/* One line without an end, at any place. */
static void test_endless_line(void)
{
	static const char *const begins[] = { "HTTP/1.1 200 ",
					      "HTTP/1.1 200 OK\r\nX-Pad: " };
	size_t size = 150000, i;
	char *answer = malloc(size);
	struct conn conn;

	for (i = 0; i < sizeof(begins) / sizeof(begins[0]); i++) {
		memset(answer, 'x', size - 1);
		answer[size - 1] = '\0';
		memcpy(answer, begins[i], strlen(begins[i]));
		ask_path(&conn, answer);
		CHECK(!conn.answered);
		CHECK_INT(conn.code, RESULT_PROTOCOL);
		CHECK_STR(conn.words, "header of the answer is too long");
	}
	free(answer);
}

static void test_endless_header(void)
{
	size_t size = HTTP_HEADER_MAX_BYTES + 4096, len;
	char *answer = malloc(size + 64);
	struct conn conn;

	len = (size_t)snprintf(answer, 32, "HTTP/1.1 200 OK\r\n");
	while (len < size)
		len += (size_t)snprintf(answer + len, 32, "X-Pad: %019zu\r\n",
					len);
	ask_path(&conn, answer);
	CHECK(!conn.answered);
	CHECK_INT(conn.code, RESULT_PROTOCOL);
	CHECK_STR(conn.words, "header of the answer is too long");
	free(answer);
}

static void test_body_cap(void)
{
	struct conn conn;

	settings_reset("127.0.0.1", server.port, "/");
	settings.max_body = 4;
	server.answer = ANSWER("200 OK", "10\r\n\r\n0123456789");
	ask_once(&conn);
	CHECK(conn.answered);
	CHECK_INT(conn.code, RESULT_OK);

	settings_reset("127.0.0.1", server.port, "/");
	settings.max_body = 4;
	settings.contains = (char[]){ "0123" };
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);

	settings_reset("127.0.0.1", server.port, "/");
	settings.max_body = 4;
	settings.contains = (char[]){ "4567" };
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_MISMATCH);
	CHECK_STR(conn.words, "text not found in the first max_body bytes");

	settings_reset("127.0.0.1", server.port, "/");
	settings.max_body = 4;
	settings.json = (char[]){ "a" };
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_MISMATCH);
	CHECK_STR(conn.words, "answer is longer than max_body");
}

static enum result_code ask_json(struct conn *conn, const char *path,
				 const char *equals, const char *body)
{
	char answer[256], path_copy[64], equals_copy[64];

	snprintf(answer, sizeof(answer),
		 "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n%s",
		 strlen(body), body);
	snprintf(path_copy, sizeof(path_copy), "%s", path);
	settings_reset("127.0.0.1", server.port, "/");
	settings.json = path_copy;
	if (equals) {
		snprintf(equals_copy, sizeof(equals_copy), "%s", equals);
		settings.equals = equals_copy;
		section_has = "equals";
	}
	server.answer = answer;
	ask_once(conn);
	return conn->code;
}

static void test_json(void)
{
	static const char body[] =
		"{\"a\":{\"b\":[{\"c\":\"up\"},7]},\"t\":true,\"n\":null}";
	struct conn conn;

	CHECK_INT(ask_json(&conn, "a.b[0].c", NULL, body), RESULT_OK);
	CHECK_INT(ask_json(&conn, "a.b[0].c", "up", body), RESULT_OK);
	CHECK_INT(ask_json(&conn, "a.b[1]", "7", body), RESULT_OK);
	CHECK_INT(ask_json(&conn, "t", "true", body), RESULT_OK);
	CHECK_INT(ask_json(&conn, "[1]", "2", "[1,2]"), RESULT_OK);
	CHECK_INT(ask_json(&conn, "a.b[0].c", "down", body), RESULT_MISMATCH);
	CHECK_STR(conn.words, "another value in the answer");
	check_detail(&conn, ": `a.b[0].c` is `up`, expected `down`");
	CHECK_INT(ask_json(&conn, "a.b[0].c", "", body), RESULT_MISMATCH);
	CHECK_INT(ask_json(&conn, "a.b[2]", NULL, body), RESULT_MISMATCH);
	CHECK_STR(conn.words, "no such value in the answer");
	check_detail(&conn, ": `a.b[2]` does not exist, or is null");
	CHECK_INT(ask_json(&conn, "a[0]", NULL, body), RESULT_MISMATCH);
	CHECK_INT(ask_json(&conn, "n", NULL, body), RESULT_MISMATCH);
	CHECK_INT(ask_json(&conn, "A", NULL, body), RESULT_MISMATCH);
	CHECK_INT(ask_json(&conn, "a", NULL, "<html>"), RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer is not JSON");
	check_detail(&conn, ": <html>");
	CHECK_INT(ask_json(&conn, "a", NULL, ""), RESULT_PROTOCOL);
	/* cJSON stops behind the first value. */
	CHECK_INT(ask_json(&conn, "a", "1", "{\"a\":1} \r\n"), RESULT_OK);
	CHECK_INT(ask_json(&conn, "a", "1", "{\"a\":1}{\"a\":2}"),
		  RESULT_PROTOCOL);
	CHECK_INT(ask_json(&conn, "a", "1", "{\"a\":1}\n<html>"),
		  RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer is not JSON");
}

/* A number is compared as one, whatever it is written like. */
static void test_json_numbers(void)
{
	static const struct {
		const char *value, *equals;
		bool same;
	} rows[] = {
		{ "100.0", "100", true },
		{ "100", "100.0", true },
		{ "1e3", "1000", true },
		{ "1E+3", "1000.00", true },
		{ "1200e-2", "12", true },
		{ "0.0012", "12e-4", true },
		{ "-0.50", "-5e-1", true },
		{ "10.10", "10.1", true },
		{ "0", "-0.0", true },
		{ "0e9", "0", true },
		{ "9007199254740993", "9007199254740993", true },
		{ "9007199254740993", "9007199254740992", false },
		{ "9007199254740993", "9007199254740993.0", true },
		{ "123456789012345678901234567890",
		  "123456789012345678901234567891", false },
		{ "0.1000000000000000000000001", "0.1", false },
		{ "1", "10", false },
		{ "10", "1", false },
		{ "101", "1001", false },
		{ "11", "1.1", false },
		{ "1", "-1", false },
		{ "1e-3", "1000", false },
		{ "1e400", "1e400", true },
		{ "1e400", "1e401", false },
		{ "1e999999", "1e999999", true },
		{ "1e1000000", "1e1000000", false },
		{ "1e99999999999999999999", "1e99999999999999999999", false },
		{ "1e0000000000000000000001", "10", true },
		{ "1e400", "null", false },
		{ "7", "", false },
		{ "7", "-", false },
		{ "7", "7x", false },
		{ "7", "7.", false },
		{ "7", "7e", false },
		{ "7000", "7e3x", false },
		{ "70000000000", "7e:", false },
		{ "7", "07", false },
		{ "0.7", ".7", false },
		{ "7", "+7", false },
		{ "7", "\"7\"", false },
		/* A string is compared as text. */
		{ "\"1.10\"", "1.1", false },
		{ "\"1.10\"", "1.10", true },
		{ "\"100\"", "100.0", false },
		{ "true", "1", false },
		/* Nor does what cJSON leaves out of a string count. */
		{ "\"green\\u0000red\"", "green", false },
		{ "\"\\u0000\"", "", false },
		{ "\"\\\\u0000\"", "\\u0000", true },
		{ "\"\\\\\\u0000\"", "\\", false },
	};
	char body[128];
	struct conn conn;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(body, sizeof(body), "{\"a\":%s}", rows[i].value);
		if (ask_json(&conn, "a", rows[i].equals, body) !=
		    (rows[i].same ? RESULT_OK : RESULT_MISMATCH))
			printf("\t%s, %s\n", rows[i].value, rows[i].equals);
		CHECK_INT(conn.code,
			  rows[i].same ? RESULT_OK : RESULT_MISMATCH);
	}
	/* The right one of several is found, and shown as it is written. */
	CHECK_INT(ask_json(&conn, "x.y[1]", "7",
			   "{\"9\":-1,\"s\\\"5\":[2,{\"3\":4e0}],\"x\":"
			   "{\"y\":[\"6\",7.00,8]}}"),
		  RESULT_OK);
	CHECK_INT(ask_json(&conn, "x", "3", "{\"x\":1.50,\"x\":3}"),
		  RESULT_MISMATCH);
	check_detail(&conn, ": `x` is `1.50`, expected `3`");
	CHECK_INT(ask_json(&conn, "s.5", "2", "{\"s\":{\"5\":2}}"), RESULT_OK);
	/* A name that goes on behind a NUL is another. */
	CHECK_INT(ask_json(&conn, "a", "up", "{\"a\\u0000b\":\"up\"}"),
		  RESULT_MISMATCH);
	CHECK_STR(conn.words, "no such value in the answer");
}

/* What these bytes, again and again, make of an answer. */
static struct failure judge_many(const char *head, const char *piece, size_t n,
				 const char *tail)
{
	struct http_expected expected = { .json = "a" };
	struct http_answer answer = { .status = 200 };
	size_t len = strlen(piece), at = strlen(head);
	char *body = malloc(at + n * len + strlen(tail) + 1);
	struct failure failure;

	CHECK(body != NULL);
	memcpy(body, head, at);
	for (; n; n--, at += len)
		memcpy(body + at, piece, len);
	memcpy(body + at, tail, strlen(tail) + 1);
	answer.body = body;
	answer.len = at + strlen(tail);
	failure = http_judge_body(&expected, &answer);
	free(body);
	return failure;
}

/* cJSON would take hundreds of megabytes for these. */
static void test_json_many(void)
{
	static const char many[] =
		"the answer's JSON has more than 50000 values";
	static const char longer[] = "the answer's JSON is longer than 4M";
	static const struct {
		const char *head, *piece;
		size_t n;
		const char *tail, *words; /* "": it is good */
	} cases[] = {
		/* The object and 49,999 members */
		{ "{", "\"b\":1,", 49998, "\"a\":1}", "" },
		{ "{", "\"b\":1,", 49999, "\"a\":1}", many },
		/* two arrays in each turn */
		{ "{\"a\":[", "[[]],", 24998, "2]}", many },
		{ "{\"a\":[", "[[]],", 16000, "2]}", "" },
		{ "", "[", 60000, "", many },
		{ "", "{\"a\":", 60000, "", many },
		/* A value in a string does not count, also after a quote. */
		{ "{\"a\":\"\\\"", ",[{", 30000, "\\\\\"}", "" },
		{ "{\"a\":\"", "a", 4 * 1024 * 1024 - 8, "\"}", "" },
		{ "{\"a\":\"", "a", 4 * 1024 * 1024 - 7, "\"}", longer },
	};
	struct failure failure;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		failure = judge_many(cases[i].head, cases[i].piece, cases[i].n,
				     cases[i].tail);
		CHECK_INT(failure.code,
			  *cases[i].words ? RESULT_MISMATCH : RESULT_OK);
		CHECK_STR(failure.words, cases[i].words);
	}
}

/* An array or object that is compared, however long. */
static void test_json_array(void)
{
	struct http_expected expected = { .json = "a", .equals = "[1,2]" };
	char body[6 * 1024] = "{\"a\":[1,2]}";
	struct http_answer answer = { .body = body, .len = strlen(body) };
	struct failure failure;
	size_t i;

	CHECK_INT(http_judge_body(&expected, &answer).code, RESULT_OK);
	for (i = 6; i < sizeof(body) - 4; i += 2)
		memcpy(body + i, "1,", 2);
	strcpy(body + i, "1]}");
	answer.len = strlen(body);
	failure = http_judge_body(&expected, &answer);
	CHECK_INT(failure.code, RESULT_MISMATCH);
	CHECK_STR(failure.words, "another value in the answer");
	CHECK(strncmp(failure.detail, "`a` is `[1,1,1", 14) == 0);
	CHECK(strstr(failure.detail, "`, expected `[1,2]`") != NULL);
	/* What was left out is marked. */
	CHECK(strstr(failure.detail, "...") != NULL);
}

/* A secret in the value is masked wherever the value is cut. */
static void test_json_secret(void)
{
	struct http_expected expected = { .json = "a", .equals = "b" };
	struct http_answer answer = { .status = 200 };
	struct failure failure;
	char body[1024];
	int before;

	for (before = 0; before < 320; before++) {
		snprintf(body, sizeof(body), "{\"a\":\"%*s%s%300s\"}", before,
			 "", "s3cret", "");
		answer.body = body;
		answer.len = strlen(body);
		failure = http_judge_body(&expected, &answer);
		CHECK_INT(failure.code, RESULT_MISMATCH);
		CHECK(strchr(failure.detail, '3') == NULL);
	}
}

/* A NUL as it is, in a string or behind the value: JSON has none. */
static void test_json_raw_nul(void)
{
	static const char in[] = "{\"a\":\"green\0red\"}",
			  behind[] = "{\"a\":\"green\"}\0";
	struct http_answer answers[] = { { .body = in, .len = sizeof(in) - 1 },
					 { .body = behind,
					   .len = sizeof(behind) - 1 } };
	struct http_expected expected = { .json = "a", .equals = "green" };
	struct failure failure;
	size_t i;

	for (i = 0; i < 2; i++) {
		failure = http_judge_body(&expected, &answers[i]);
		CHECK_INT(failure.code, RESULT_PROTOCOL);
		CHECK_STR(failure.words, "answer is not JSON");
	}
}

static void test_request(void)
{
	char header[] = "X-Api-Key: s3cret-1", none[] = "X-None:";
	char *headers[] = { header, none };
	struct conn conn;

	settings_reset("127.0.0.1", server.port, "/path?q=1");
	settings.headers = (struct conf_list){ headers, 2 };
	settings.bearer = (char[]){ "t0ken" };
	server.answer = ANSWER("200 OK", "0\r\n\r\n");
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK(strstr(server.request, "GET /path?q=1 HTTP/1.1\r\n"));
	CHECK(strstr(server.request, "X-Api-Key: s3cret-1\r\n"));
	CHECK(strstr(server.request, "X-None:\r\n"));
	CHECK(strstr(server.request, "Authorization: Bearer t0ken\r\n"));
	CHECK(strstr(server.request, "User-Agent: health.fcgi\r\n"));
	CHECK_STR(secrets, "<s3cret-1>");

	settings_reset("127.0.0.1", server.port, "/");
	settings.method = HTTP_HEAD;
	settings.user = (char[]){ "u" };
	settings.password = (char[]){ "p" };
	server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK(strstr(server.request, "HEAD / HTTP/1.1\r\n"));
	CHECK(strstr(server.request, "Authorization: Basic dTpw\r\n"));
}

static void test_warm(void)
{
	struct conn conn, hedge;
	int before;

	settings_reset("127.0.0.1", server.port, "/");
	server.answer = ANSWER("200 OK", "2\r\n\r\nok");
	prepare();
	before = server.connections;
	conn_open(&conn);
	CHECK_INT(server.connections, before + 1);
	conn.state.another = true;
	conn_again(&conn);
	CHECK(!conn.state.another);
	conn_again(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK_INT(server.connections, before + 1);

	/* The peer closed it in between: to try again is for the engine. */
	server_hang_up(&server);
	conn_again(&conn);
	CHECK(!conn.answered);
	CHECK_INT(server.connections, before + 1);
	conn_open(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK_INT(server.connections, before + 2);

	/* Closed or reset behind the question: libcurl tries no other either.
	 */
	server.answer = "";
	server.close_after = true;
	conn_again(&conn);
	CHECK(!conn.answered);
	CHECK_INT(server.connections, before + 2);
	server.close_after = false;
	server.answer = ANSWER("200 OK", "2\r\n\r\nok");
	conn_open(&conn);
	server.answer = "";
	server.reset_after = true;
	conn_again(&conn);
	CHECK(!conn.answered);
	CHECK_INT(server.connections, before + 3);
	server.reset_after = false;

	/* 408 on a kept connection is its end and not the answer. */
	server.answer = ANSWER("200 OK", "2\r\n\r\nok");
	conn_open(&conn);
	server.answer = ANSWER("408 Request Timeout", "0\r\n\r\n");
	conn_again(&conn);
	CHECK(!conn.answered);
	CHECK_STR(conn.words, "HTTP 408");
	conn_open(&conn);
	CHECK(conn.answered);
	CHECK_INT(conn.code, RESULT_STATUS);
	conn_close(&conn);
	server.answer = ANSWER("200 OK", "2\r\n\r\nok");
	conn_open(&conn);
	before = server.connections - 2;

	/* A second one shares nothing with the first. */
	conn_open(&hedge);
	CHECK_INT(server.connections, before + 3);
	conn_close(&hedge);
	conn_close(&conn);
}

/* With `keep = no` the peer sees the end of it. */
static void test_unkept(void)
{
	struct conn conn;

	settings_reset("127.0.0.1", server.port, "/");
	server.answer = ANSWER("200 OK", "2\r\n\r\nok");
	prepare();
	conn_reset(&conn);
	conn.unkept = true;
	check_http.open(&conn);
	turn(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	conn_close(&conn);
	turn_until_gone();
	CHECK_INT(server.fd, -1);
}

/* A body that goes on for ever, of which all is seen that is asked for. */
static void test_endless_body(void)
{
	static const struct {
		const char *status, *contains, *json;
		bool ends;
		enum result_code code;
	} rows[] = {
		{ "200 OK", "", "", true, RESULT_OK },
		{ "200 OK", "alive", "", true, RESULT_OK },
		{ "200 OK", "dead", "", false, RESULT_OK },
		{ "200 OK", "", "a", false, RESULT_OK },
		{ "200 OK", "alive", "a", false, RESULT_OK },
		{ "503 No", "", "", true, RESULT_UPSTREAM },
		{ "503 No", "dead", "a", true, RESULT_UPSTREAM },
	};
	char contains[16], json[16], answer[128];
	struct loop_timer soon = { .on_time = on_look, .arg = loop };
	struct conn conn;
	int64_t begin_ms;
	size_t i;
	int before;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		settings_reset("127.0.0.1", server.port, "/");
		snprintf(contains, sizeof(contains), "%s", rows[i].contains);
		snprintf(json, sizeof(json), "%s", rows[i].json);
		settings.contains = contains;
		settings.json = json;
		snprintf(answer, sizeof(answer),
			 "HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n"
			 "12\r\n{\"a\":1,\"b\":\"alive\"\r\n",
			 rows[i].status);
		server.answer = answer;
		prepare();
		before = server.connections;
		begin_ms = clock_ms();
		conn_reset(&conn);
		check_http.open(&conn);
		if (rows[i].ends) {
			turn(&conn);
			CHECK(conn.answered);
			CHECK_INT(conn.code, rows[i].code);
			CHECK(clock_ms() - begin_ms < 500);
			/* That connection is not kept. */
			turn_until_gone();
			CHECK_INT(server.fd, -1);
		} else {
			loop_timer_set(loop, &soon, clock_ms() + 150);
			turn(NULL);
			CHECK_INT(conn.ended, 0);
		}
		conn_close(&conn);
		CHECK_INT(server.connections, before + 1);
	}

	/* Text that came in two pieces is found. */
	settings_reset("127.0.0.1", server.port, "/");
	settings.contains = (char[]){ "alive" };
	server.answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
			"4\r\n..al\r\n3\r\nive\r\n";
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);

	/* It cannot be read anyway. */
	settings_reset("127.0.0.1", server.port, "/");
	settings.contains = (char[]){ "alive" };
	server.answer = "HTTP/1.1 200 OK\r\nContent-Encoding: br\r\n"
			"Transfer-Encoding: chunked\r\n\r\n4\r\n....\r\n";
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_PROTOCOL);

	/* A premature end is still noticed. */
	server.close_after = true;
	ask_path(&conn, ANSWER("200 OK", "20\r\n\r\nhalf"));
	CHECK_INT(conn.code, RESULT_CONNECT);
	server.close_after = false;
}

static void send_later_now(void *arg)
{
	size_t len = strlen(arg);

	CHECK(send(server.fd, arg, len, MSG_NOSIGNAL) == (ssize_t)len);
}

/* One question; the second half of the answer comes so much later. */
static void ask_in_halves(struct conn *conn, const char *first, char *second,
			  int64_t later_ms)
{
	struct loop_timer later = { .on_time = send_later_now, .arg = second };

	server.answer = first;
	prepare();
	conn_reset(conn);
	check_http.open(conn);
	loop_timer_set(loop, &later, clock_ms() + later_ms);
	turn(conn);
	loop_timer_clear(loop, &later);
}

static void test_rest(void)
{
	struct loop_timer soon = { .on_time = on_look, .arg = loop };
	struct conn conn;
	int before;

	/* What comes soon is waited for, and its connection kept. */
	settings_reset("127.0.0.1", server.port, "/");
	ask_in_halves(&conn, ANSWER("200 OK", "6\r\n\r\nall"),
		      (char[]){ " it" }, 10);
	CHECK_INT(conn.code, RESULT_OK);
	before = server.connections;
	server.answer = ANSWER("200 OK", "0\r\n\r\n");
	conn_again(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK_INT(server.connections, before);
	conn_close(&conn);

	/* A redirect that is followed has as long as it needs. */
	settings_reset("127.0.0.1", server.port, "/");
	settings.follow = true;
	server.then = ANSWER("200 OK", "0\r\n\r\n");
	ask_in_halves(&conn,
		      "HTTP/1.1 302 F\r\nContent-Length: 5\r\n"
		      "Location: /again\r\n\r\n",
		      (char[]){ "moved" }, 150);
	CHECK_INT(conn.code, RESULT_OK);
	server.then = NULL;
	conn_close(&conn);

	/* 103 is not the answer, nor do its lines belong to it. */
	settings_reset("127.0.0.1", server.port, "/");
	server.answer = "HTTP/1.1 103 Hints\r\n\r\n";
	prepare();
	conn_reset(&conn);
	check_http.open(&conn);
	loop_timer_set(loop, &soon, clock_ms() + 150);
	turn(NULL);
	CHECK_INT(conn.ended, 0);
	conn_close(&conn);
	settings_reset("127.0.0.1", server.port, "/");
	settings.contains = (char[]){ "ok" };
	server.answer = "HTTP/1.1 103 Hints\r\nContent-Encoding: br, br\r\n"
			"\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
			"Content-Encoding: identity\r\n\r\nok";
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);
}

/* The tunnel of a proxy is not the answer. */
static void test_tunnel_is_no_answer(void)
{
	struct loop_timer soon = { .on_time = on_look, .arg = loop };
	char proxy[64], https[] = "https://127.0.0.1:1/";
	int before = server.requests;
	struct conn conn;

	settings_reset("a", 1, "/");
	settings.url = https;
	snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", server.port);
	settings.proxy = proxy;
	server.answer = "HTTP/1.1 200 Connected\r\n\r\n";
	prepare();
	conn_reset(&conn);
	check_http.open(&conn);
	loop_timer_set(loop, &soon, clock_ms() + 150);
	turn(NULL);
	CHECK_INT(server.requests, before + 1);
	CHECK_INT(conn.ended, 0);
	conn_close(&conn);
}

/* ---- compressed bodies ---- */

/* The answer of a server; it has bytes of 0 in it. */
static char packed[8192];
static size_t packed_len;

/* bits: as of deflateInit2(3) */
static void pack(const char *text, size_t len, int bits)
{
	z_stream z = { .next_in = (const unsigned char *)text,
		       .avail_in = (unsigned)len,
		       .next_out = (unsigned char *)packed,
		       .avail_out = sizeof(packed) };

	CHECK_INT(deflateInit2(&z, 9, Z_DEFLATED, bits, 8, 0), Z_OK);
	CHECK_INT(deflate(&z, Z_FINISH), Z_STREAM_END);
	packed_len = z.total_out;
	deflateEnd(&z);
}

static enum result_code ask_packed(struct conn *conn, const char *codings,
				   size_t len, const char *contains,
				   const char *json)
{
	static char answer[sizeof(packed) + 256], contains_copy[64],
		json_copy[64];
	int head = snprintf(answer, sizeof(answer),
			    "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n%s\r\n",
			    len, codings);

	memcpy(answer + head, packed, len);
	settings_reset("127.0.0.1", server.port, "/");
	snprintf(contains_copy, sizeof(contains_copy), "%s", contains);
	snprintf(json_copy, sizeof(json_copy), "%s", json);
	settings.contains = contains_copy;
	settings.json = json_copy;
	server.answer = answer;
	server.answer_len = (size_t)head + len;
	ask_once(conn);
	server.answer_len = 0;
	return conn->code;
}

#define GZIP "Content-Encoding: gzip\r\n"
#define DEFLATE "content-encoding:deflate\r\n"

static void test_packed(void)
{
	static const char text[] = "{\"state\":\"alive and well\"}";
	static char zeros[1000000];
	size_t len = sizeof(text) - 1, first;
	struct conn conn;

	pack(text, len, 15 + 16);
	CHECK_INT(ask_packed(&conn, GZIP, packed_len, "alive", "state"),
		  RESULT_OK);
	CHECK(strstr(server.request, "Accept-Encoding: gzip, deflate\r\n"));
	CHECK_INT(ask_packed(&conn, "Content-Encoding: identity, X-GZip\r\n",
			     packed_len, "alive", ""),
		  RESULT_OK);
	CHECK_INT(ask_packed(&conn, GZIP, packed_len, "dead", ""),
		  RESULT_MISMATCH);
	/* Cut off, damaged, more behind it, packed twice, not what it says. */
	CHECK_INT(ask_packed(&conn, GZIP, packed_len - 1, "dead", ""),
		  RESULT_PROTOCOL);
	CHECK_STR(conn.words, "compressed answer is cut off");
	CHECK_INT(ask_packed(&conn, GZIP, packed_len - 1, "alive", ""),
		  RESULT_PROTOCOL);
	CHECK_INT(ask_packed(&conn, GZIP, packed_len, "alive", "state"),
		  RESULT_OK);
	packed[packed_len] = 'x';
	packed[packed_len + 1] = 'x';
	CHECK_INT(ask_packed(&conn, GZIP, packed_len + 2, "alive", ""),
		  RESULT_PROTOCOL);
	CHECK_STR(conn.words, "compressed answer is damaged");
	packed[packed_len - 5] ^= 1; /* of the checksum */
	CHECK_INT(ask_packed(&conn, GZIP, packed_len, "", "state"),
		  RESULT_PROTOCOL);
	CHECK_STR(conn.words, "compressed answer is damaged");
	CHECK_INT(ask_packed(&conn, GZIP GZIP, packed_len, "alive", ""),
		  RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer is compressed more than once");
	CHECK_INT(ask_packed(&conn, "Content-Encoding: gzip,gzip\r\n",
			     packed_len, "alive", ""),
		  RESULT_PROTOCOL);
	CHECK_INT(ask_packed(&conn, "Content-Encoding: br\r\n", packed_len,
			     "alive", ""),
		  RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer has an unknown Content-Encoding");
	CHECK_INT(ask_packed(&conn, DEFLATE, packed_len, "alive", ""),
		  RESULT_PROTOCOL);
	/* The body is not looked at. */
	CHECK_INT(ask_packed(&conn, "Content-Encoding: br\r\n", packed_len, "",
			     ""),
		  RESULT_OK);
	CHECK(!strstr(server.request, "Accept-Encoding"));
	CHECK_INT(ask_packed(&conn, GZIP, 0, "", ""), RESULT_OK);
	CHECK_INT(ask_packed(&conn, GZIP, 0, "alive", ""), RESULT_MISMATCH);

	/* Two in a row are one text. */
	pack(text, 12, 15 + 16);
	first = packed_len;
	memmove(packed + 4096, packed, first);
	pack(text + 12, len - 12, 15 + 16);
	memmove(packed + first, packed, packed_len);
	memcpy(packed, packed + 4096, first);
	CHECK_INT(ask_packed(&conn, GZIP, first + packed_len, "alive and", ""),
		  RESULT_OK);

	pack(text, len, 15);
	CHECK_INT(ask_packed(&conn, DEFLATE, packed_len, "alive", "state"),
		  RESULT_OK);
	pack(text, len, -15);
	CHECK_INT(ask_packed(&conn, DEFLATE, packed_len, "alive", "state"),
		  RESULT_OK);
	packed[packed_len] = 0;
	CHECK_INT(ask_packed(&conn, DEFLATE, packed_len + 1, "alive", "state"),
		  RESULT_PROTOCOL);

	/* Output that is left when all input is read. */
	memset(zeros, '0', sizeof(zeros));
	for (first = 8192; first < 8192 + 512; first += 16) {
		pack(zeros, first, -15);
		if (ask_packed(&conn, DEFLATE, packed_len, "000", "") !=
		    RESULT_OK)
			CHECK_INT(first, 0);
	}

	/* max_body is of what is unpacked. */
	memcpy(zeros + 65536 - 5, "alive dead", 10);
	pack(zeros, sizeof(zeros), 15 + 16);
	CHECK(packed_len < sizeof(packed));
	CHECK_INT(ask_packed(&conn, GZIP, packed_len, "alive", ""), RESULT_OK);
	CHECK_INT(ask_packed(&conn, GZIP, packed_len, "dead", ""),
		  RESULT_MISMATCH);
	CHECK_STR(conn.words, "text not found in the first max_body bytes");
	CHECK(conn.state.intake.room <= 131072);
}

/* What the user asks for stays. */
static void test_accept_of_the_user(void)
{
	static char line[] = "accept-encoding: identity";
	char *headers[] = { line };
	struct conn conn;

	settings_reset("127.0.0.1", server.port, "/");
	settings.headers = (struct conf_list){ headers, 1 };
	settings.contains = (char[]){ "ok" };
	server.answer = ANSWER("200 OK", "2\r\n\r\nok");
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK(strstr(server.request, "accept-encoding: identity\r\n"));
	CHECK(!strstr(server.request, "gzip"));
}

static void on_silence(void *arg)
{
	(void)arg;
	loop_stop(loop);
}

static void test_silence(void)
{
	struct loop_timer soon = { .on_time = on_silence };
	struct conn conn;

	settings_reset("127.0.0.1", server.port, "/");
	server.answer = NULL;
	prepare();
	conn_reset(&conn);
	check_http.open(&conn);
	CHECK_STR(fake_dial_step(&conn, &check_http), "connecting");
	loop_timer_set(loop, &soon, clock_ms() + 50);
	turn(NULL);
	CHECK_INT(conn.ended, 0);
	CHECK_STR(fake_dial_step(&conn, &check_http), "waiting for the answer");
	conn_close(&conn);
	CHECK_INT(conn.ended, 0);

	settings_reset("127.0.0.1", server.port, "/");
	settings.contains = (char[]){ "whole" };
	server.answer = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf";
	prepare();
	conn_reset(&conn);
	check_http.open(&conn);
	loop_timer_set(loop, &soon, clock_ms() + 50);
	turn(NULL);
	CHECK_INT(conn.ended, 0);
	CHECK_STR(fake_dial_step(&conn, &check_http), "reading the answer");
	conn_close(&conn);
	conn_close(&conn);
	CHECK_INT(conn.ended, 0);
}

static void test_redirects(void)
{
	char answer[256];
	struct conn conn;
	int before = server.requests;

	settings_reset("127.0.0.1", server.port, "/");
	settings.follow = true;
	server.answer = "HTTP/1.1 302 F\r\nContent-Length: 0\r\n"
			"Location: /again\r\n\r\n";
	ask_once(&conn);
	CHECK(conn.answered);
	CHECK_INT(conn.code, RESULT_STATUS);
	CHECK_STR(conn.words, "too many redirects");
	CHECK_INT(server.requests, before + 1 + HTTP_REDIRECTS_MAX);
	CHECK(strstr(server.request, "GET /again HTTP/1.1\r\n"));

	settings_reset("127.0.0.1", server.port, "/");
	settings.follow = true;
	before = server.requests;
	snprintf(answer, sizeof(answer),
		 "HTTP/1.1 301 F\r\nContent-Length: 0\r\n"
		 "Location: http://elsewhere.test:%d/\r\n\r\n",
		 server.port);
	server.answer = answer;
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_STATUS);
	CHECK_STR(conn.words, "redirect to another host, port or scheme");
	CHECK_INT(server.requests, before + 1);
}

static void judge_empty(struct conn *conn, const struct http_answer *answer)
{
	CHECK_INT(answer->len, 0);
	CHECK_STR(answer->body, "");
	conn_answered(conn, RESULT_OK, "%s", "");
}

/* The body of a redirect is not that of the answer it leads to. */
static void test_redirect_body(void)
{
	struct conn conn;

	settings_reset("127.0.0.1", server.port, "/");
	settings.follow = true;
	server.answer = "HTTP/1.1 302 F\r\nContent-Length: 5\r\n"
			"Location: /again\r\n\r\nmoved";
	server.then = ANSWER("200 OK", "0\r\n\r\n");
	prepare();
	settings.question.judge = judge_empty;
	conn_open(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	conn_close(&conn);
	server.then = NULL;
}

static void test_refused(void)
{
	struct server gone = { 0 };
	struct conn conn;

	server_begin_tcp(&gone);
	server_end(&gone);
	settings_reset("127.0.0.1", gone.port, "/");
	ask_once(&conn);
	CHECK(!conn.answered);
	CHECK_INT(conn.code, RESULT_REFUSED);
	CHECK_STR(conn.words, "connection refused");

	settings_reset("localhost", 80, "/");
	settings.socket = (char[]){ "/nonexistent/health.sock" };
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_CONNECT);
	CHECK_STR(conn.words, "no such socket");
}

static void test_unix_socket(void)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	struct server local = { .answer = ANSWER("200 OK", "0\r\n\r\n") };
	char dir[] = "/tmp/health-http-XXXXXX";
	struct conn conn;

	CHECK(mkdtemp(dir));
	snprintf(un.sun_path, sizeof(un.sun_path), "%s/s", dir);
	server_begin(&local, (struct sockaddr *)&un, sizeof(un));
	settings_reset("php.test", 80, "/ping");
	settings.socket = un.sun_path;
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK(strstr(local.request, "Host: php.test"));
	CHECK_INT(fake_resolve.asked, 0);
	CHECK(!check_http.live_refused(&settings));
	server_end(&local);
	unlink(un.sun_path);
	rmdir(dir);
}

static void answer_look_up(size_t n)
{
	fake_resolve_to(n);
	fake_resolve_done();
}

static void test_names(void)
{
	struct conn conn;
	int before;

	settings_reset("health.test", server.port, "/");
	server.answer = ANSWER("200 OK", "0\r\n\r\n");
	prepare();
	conn_reset(&conn);
	check_http.open(&conn);
	CHECK_INT(fake_resolve.asked, 1);
	CHECK_STR(fake_dial_step(&conn, &check_http),
		  "resolving the host name");
	answer_look_up(1);
	turn(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK_INT(fake_resolve.preferred, 1);
	CHECK_STR(fake_resolve.host, "health.test");

	/* Warm: nothing is looked up, with or without a known address. */
	conn_again(&conn);
	fake_resolve.waits = false;
	conn_again(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK_INT(fake_resolve.asked, 1);

	/* The peer closed it: it is not called again where the name led. */
	before = server.connections;
	server_hang_up(&server);
	conn_again(&conn);
	CHECK_INT(conn.ended, 1);
	CHECK(conn.code != RESULT_OK);
	CHECK_INT(server.connections, before);
	conn_close(&conn);
	fake_resolve.waits = true;

	conn_reset(&conn);
	check_http.open(&conn);
	fake_resolve_fail();
	CHECK_INT(conn.ended, 1);
	CHECK_INT(conn.code, RESULT_RESOLVE);
	CHECK_STR(conn.words, "no such host");

	/* Closed while the look-up is under way: it is taken back. */
	conn_reset(&conn);
	check_http.open(&conn);
	CHECK(fake_resolve.query);
	conn_close(&conn);
	CHECK(!fake_resolve.query);
}

/* Of two addresses one takes no connection: the other one is tried soon. */
static void test_silent_address(void)
{
	struct server gone = { 0 }, hole = { 0 };
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct conn conn;
	int64_t begin_ms;
	int waiting;

	in.sin_port = htons((uint16_t)server.port);
	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1);
	server_begin(&hole, (struct sockaddr *)&in, sizeof(in));
	loop_watch_clear(loop, &hole.listening);
	CHECK(!listen(hole.listener, 0));
	waiting = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	CHECK(!connect(waiting, (struct sockaddr *)&in, sizeof(in)));

	settings_reset("health.test", server.port, "/");
	server.answer = ANSWER("200 OK", "0\r\n\r\n");
	prepare();
	/* It is the first that a hedge tries. */
	conn_reset(&conn);
	conn.hedge = true;
	check_http.open(&conn);
	begin_ms = clock_ms();
	answer_look_up(2);
	CHECK_STR(fake_dial_step(&conn, &check_http), "connecting");
	turn(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK(clock_ms() - begin_ms < 2000);
	conn_close(&conn);

	/* Closed while the server is silent. */
	conn_reset(&conn);
	conn.hedge = true;
	check_http.open(&conn);
	answer_look_up(2);
	conn_close(&conn);
	close(waiting);
	server_end(&hole);

	/* No server listens any more, at either address. */
	server_begin_tcp(&gone);
	server_end(&gone);
	settings_reset("health.test", gone.port, "/");
	prepare();
	conn_reset(&conn);
	check_http.open(&conn);
	answer_look_up(2);
	turn(&conn);
	CHECK_INT(conn.code, RESULT_REFUSED);
	CHECK_STR(conn.words, "connection refused");
}

/* The dot is for the look-up; the server sees the name without it. */
static void test_dot(void)
{
	static const struct {
		const char *url, *asked, *host, *place;
	} rows[] = {
		{ "http://health.test./x?a=1#f", "http://health.test/x?a=1#f",
		  "health.test.", "health.test:80:" },
		{ "http://u:p%40@health.test.:81/x.",
		  "http://u:p%40@health.test:81/x.", "health.test.",
		  "health.test:81:" },
		{ "http://localhost.:82/", "http://localhost:82/", "localhost.",
		  "localhost:82:" },
		{ "http://127.0.0.1.:83/", "http://127.0.0.1:83/", "",
		  "127.0.0.1:83:" },
		{ "https://health.test:84", "https://health.test:84",
		  "health.test", "health.test:84:" },
	};
	const struct http_question *question = &settings.question;
	char text[64];
	struct conn conn;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		settings_reset("a", 1, "/");
		snprintf(text, sizeof(text), "%s", rows[i].url);
		settings.url = text;
		prepare();
		CHECK_INT(mistakes, 0);
		CHECK_STR(question->url, rows[i].asked);
		CHECK_STR(question->host, rows[i].host);
		CHECK_STR(question->place, rows[i].place);
	}
	settings_reset("localhost.", 80, "/");
	prepare();
	CHECK(!check_http.live_refused(&settings));

	settings_reset("health.test.", server.port, "/x");
	server.answer = ANSWER("200 OK", "0\r\n\r\n");
	prepare();
	conn_reset(&conn);
	check_http.open(&conn);
	answer_look_up(1);
	turn(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK(strstr(server.request, "Host: health.test:"));
	conn_close(&conn);

	settings_reset("far.test", 80, "/x");
	snprintf(text, sizeof(text), "http://proxy.:%d", server.port);
	settings.proxy = text;
	prepare();
	CHECK_INT(mistakes, 0);
	CHECK_STR(settings.question.host, "proxy.");
	snprintf(text, sizeof(text),
		 "proxy. port %d, proxy for far.test port 80", server.port);
	CHECK_STR(settings.question.server, text);
	snprintf(text, sizeof(text), "proxy:%d:", server.port);
	CHECK_STR(settings.question.place, text);
}

static void test_resolver_is_refused(void)
{
	struct conn conn;

	/* libcurl is given no address: it must not look for one itself. */
	settings_reset("unknown.test", server.port, "/");
	prepare();
	conn_reset(&conn);
	conn.state.conn = &conn;
	conn.state.question = &settings.question;
	CHECK(!http_ask_begin(&conn.state));
	http_ask_transfer(&conn.state, settings.question.url, true);
	turn(&conn);
	CHECK_INT(conn.code, RESULT_RESOLVE);
}

static void mistake_in(const char *key)
{
	prepare();
	CHECK_INT(mistakes, 1);
	CHECK_STR(mistake_key, key);
	CHECK(mistake[0]);
}

static void test_mistakes(void)
{
	static const char *const urls[] = {
		"example.org/",
		"ftp://example.org/",
		"http://",
		"http://a b/",
		"http://example.org:99999/",
		"http://example.org../",
		"http://./",
		"http://[::1/",
	};
	static const char *const statuses[] = {
		"20",	   "2000", "200-",   "300-200", "200,,404",
		"200;404", "600",  "99-100", "ok!"
	};
	static const char *const paths[] = { ".a", "a.",    "a..b",
					     "a[", "a[x]",  "a[]",
					     "a]", "a[0]b", "a.[0]" };
	static const char *const headers[] = { "no colon", ": value", "A b: c",
					       "A: b\r\nC: d", "A: b\nC: d" };
	static const char *const proxies[] = { "http://proxy", "proxy:3128",
					       "socks5://proxy:1080",
					       "http://:3128" };
	char text[64], *item = text;
	size_t i;

#define EACH(texts)                                                     \
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]) &&             \
		    snprintf(text, sizeof(text), "%s", texts[i]) > 0 && \
		    (settings_reset("a", 1, "/"), 1);                   \
	     i++)
	EACH(urls)
	{
		settings.url = text;
		mistake_in("url");
	}
	/* Whether libcurl can convert it differs; nothing is lost of it. */
	settings_reset("b\303\274cher.example", 1, "/");
	prepare();
	EACH(statuses)
	{
		settings.status = text;
		mistake_in("status");
	}
	EACH(paths)
	{
		settings.json = text;
		mistake_in("json");
	}
	EACH(headers)
	{
		settings.headers = (struct conf_list){ &item, 1 };
		mistake_in("header");
	}
	EACH(proxies)
	{
		settings.proxy = text;
		mistake_in("proxy");
	}
#undef EACH
	settings_reset("a", 1, "/");
	section_has = "equals";
	mistake_in("equals");
	settings_reset("a", 1, "/");
	settings.method = HTTP_HEAD;
	settings.contains = (char[]){ "x" };
	mistake_in("method");
	settings_reset("a", 1, "/");
	settings.ca_file = (char[]){ "/missing" };
	mistake_in("ca_file");
	settings_reset("a", 1, "/");
	settings.ca_file = (char[]){ "/no/certificate" };
	mistake_in("ca_file");
	settings_reset("a", 1, "/");
	settings.user = (char[]){ "u" };
	settings.bearer = (char[]){ "b" };
	mistake_in("bearer");
}

static void test_live(void)
{
	static const char *const local[] = { "127.0.0.1", "127.9.9.9", "[::1]",
					     "localhost", "LOCALHOST" };
	static const char *const remote[] = { "10.0.0.1", "[::2]",
					      "localhost.example.org",
					      "example.org" };
	size_t i;

	for (i = 0; i < sizeof(local) / sizeof(local[0]); i++) {
		settings_reset(local[i], 80, "/");
		prepare();
		CHECK(!check_http.live_refused(&settings));
	}
	for (i = 0; i < sizeof(remote) / sizeof(remote[0]); i++) {
		settings_reset(remote[i], 80, "/");
		prepare();
		CHECK(check_http.live_refused(&settings));
	}
	/* A proxy on this machine leads to others. */
	settings_reset("example.org", 80, "/");
	settings.proxy = (char[]){ "http://127.0.0.1:3128" };
	prepare();
	CHECK_INT(mistakes, 0);
	CHECK(check_http.live_refused(&settings));
}

static void test_proxy(void)
{
	char proxy[64];
	struct conn conn;

	settings_reset("far.test", 80, "/x");
	snprintf(proxy, sizeof(proxy), "http://u:pw@127.0.0.1:%d", server.port);
	settings.proxy = proxy;
	server.answer = ANSWER("200 OK", "0\r\n\r\n");
	ask_once(&conn);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK(strstr(server.request, "GET http://far.test/x HTTP/1.1\r\n"));
	CHECK(strstr(server.request, "Proxy-Authorization: Basic"));
}

/* clang-format off */
static const struct {
	CURLcode code;
	long os_errno;
	enum result_code expected;
	const char *words, *said;
} transfers[] = {
	{ CURLE_COULDNT_CONNECT, ENETUNREACH, RESULT_CONNECT, "network unreachable", "" },
	{ CURLE_COULDNT_CONNECT, EPERM, RESULT_CONNECT,
	  "no permission to connect", "" },
	{ CURLE_COULDNT_CONNECT, ENOBUFS, RESULT_INTERNAL, "out of memory", "" },
	{ CURLE_OPERATION_TIMEDOUT, 0, RESULT_CONNECT, "no address answered", "" },
	{ CURLE_PEER_FAILED_VERIFICATION, 0, RESULT_TLS, "TLS: certificate is for another host", "" },
	{ CURLE_SSL_CONNECT_ERROR, ECONNREFUSED, RESULT_TLS, "TLS: handshake failed", "" },
	{ CURLE_SSL_CONNECT_ERROR, 0, RESULT_TLS, "TLS: handshake failed",
	  "OpenSSL SSL_connect: SSL_ERROR_SYSCALL in connection to a.test:443 " },
	{ CURLE_SSL_CONNECT_ERROR, 0, RESULT_TLS, "TLS: peer does not speak TLS",
	  "error:0A00010B:SSL routines::wrong version number" },
	{ CURLE_SSL_CONNECT_ERROR, 0, RESULT_TLS, "TLS: handshake failed",
	  "TLS connect error: error:0A000119:SSL routines::decryption failed or bad record mac" },
	{ CURLE_RECV_ERROR, 0, RESULT_TLS, "TLS: connection broken",
	  "OpenSSL SSL_read: error:0A000119:SSL routines::decryption failed or bad record mac, errno 0" },
	{ CURLE_RECV_ERROR, 0, RESULT_TLS, "TLS: connection broken",
	  "OpenSSL SSL_read: OpenSSL/3.0.22: error:1C800066:Provider routines::cipher operation failed, errno 0" },
	{ CURLE_RECV_ERROR, 0, RESULT_CONNECT, "connection closed before the answer was complete",
	  "OpenSSL SSL_read: error:0A000126:SSL routines::unexpected eof while reading, errno 0" },
	{ CURLE_RECV_ERROR, 0, RESULT_CONNECT, "connection closed before the answer was complete",
	  "OpenSSL SSL_read: Connection reset by peer, errno 104" },
	{ CURLE_GOT_NOTHING, 0, RESULT_CONNECT, "connection closed before the answer was complete", "" },
	{ CURLE_FAILED_INIT, 0, RESULT_INTERNAL, "libcurl error 2", "" },
};
/* clang-format on */

static void test_words(void)
{
	struct failure failure;
	size_t i;

	for (i = 0; i < sizeof(transfers) / sizeof(*transfers); i++) {
		failure = http_words_transfer(transfers[i].code,
					      transfers[i].os_errno,
					      transfers[i].said);
		CHECK_INT(failure.code, transfers[i].expected);
		CHECK_STR(failure.words, transfers[i].words);
	}
	CHECK_INT(http_words_status(204), RESULT_STATUS);
	CHECK_INT(http_words_status(403), RESULT_AUTH);
	CHECK_INT(http_words_status(404), RESULT_STATUS);
	CHECK_INT(http_words_status(429), RESULT_THROTTLED);
	CHECK_INT(http_words_status(500), RESULT_UPSTREAM);
}

static void test_origin(void)
{
	CHECK(http_url_same_origin("http://a.test/x", "HTTP://A.test:80/y"));
	CHECK(http_url_same_origin("https://[::1]/", "https://[::1]:443"));
	CHECK(!http_url_same_origin("http://a.test/", "https://a.test/"));
	CHECK(!http_url_same_origin("http://a.test/", "http://a.test:81/"));
	CHECK(!http_url_same_origin("http://a.test/", "http://b.test/"));
	CHECK(!http_url_same_origin("http://a.test/", "http://a.test@b.test/"));
	CHECK(!http_url_same_origin("http://a.test/", "http://a b"));
}

int main(void)
{
	fake_resolve.waits = true;
	/* The environment's proxy must not be used. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
	loop = loop_create();
	curlio = curlio_create(loop, 8);
	server_begin_tcp(&server);

	test_words();
	test_origin();
	test_statuses();
	test_broken_answers();
	test_hidden_headers();
	test_endless_header();
	test_endless_line();
	test_body_cap();
	test_json();
	test_json_numbers();
	test_json_raw_nul();
	test_json_many();
	test_json_array();
	test_json_secret();
	test_request();
	test_warm();
	test_unkept();
	test_endless_body();
	test_rest();
	test_tunnel_is_no_answer();
	test_packed();
	test_accept_of_the_user();
	test_silence();
	test_redirects();
	test_redirect_body();
	test_refused();
	test_unix_socket();
	test_names();
	test_silent_address();
	test_dot();
	test_resolver_is_refused();
	test_mistakes();
	test_live();
	test_proxy();

	server_end(&server);
	check_http.dispose(&settings);
	curlio_destroy(curlio);
	loop_destroy(loop);
	return unit_report();
}

#include "config.h"

#include <hiredis/hiredis.h>

#include <stdlib.h>
#include <string.h>

/* hiredis copies the arguments into memory that it frees unwiped: no secret
 * may be one of them. */
#define redisFormatCommand(to, format, ...)                      \
	(strncmp(format, "AUTH", 4)                              \
		 ? redisFormatCommand(to, format, ##__VA_ARGS__) \
		 : (abort(), 0))
#include "kinds/redis/redis_talk.c"
#undef redisFormatCommand
#include "kinds/redis/redis.c"

#define FAKE_CONN_DIALS
#include "fake_conn.h"
#include "fake_offload.h"
#include "fake_resolve.h"
#include "unit.h"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- the loop, faked: one watch at a time ---- */

static struct loop_watch *dialling;

int loop_watch_set(struct loop *loop, struct loop_watch *watch, int fd,
		   short events)
{
	(void)loop;
	watch->fd = fd;
	watch->events = events;
	dialling = watch;
	return 0;
}

void loop_watch_clear(struct loop *loop, struct loop_watch *watch)
{
	(void)loop;
	if (dialling == watch)
		dialling = NULL;
}

/* ---- the configuration's side, faked ---- */

static const char *section_keys; /* ",url,database," */
static int mistakes;
static char mistake_key[32], mistake_text[256];
static const char *pem_file; /* what every file holds; NULL: none is there */

bool conf_section_has(const struct conf_section *section, const char *key)
{
	char word[64];

	snprintf(word, sizeof(word), ",%s,", key);
	(void)section;
	return strstr(section_keys, word) != NULL;
}

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	va_list args;

	(void)conf, (void)section;
	mistakes++;
	snprintf(mistake_key, sizeof(mistake_key), "%s", key ? key : "");
	va_start(args, fmt);
	vsnprintf(mistake_text, sizeof(mistake_text), fmt, args);
	va_end(args);
}

char *conf_keep(struct conf *conf, const char *text)
{
	static char kept[8][512];
	static size_t n;

	(void)conf;
	n = (n + 1) % (sizeof(kept) / sizeof(kept[0]));
	snprintf(kept[n], sizeof(kept[n]), "%s", text);
	return kept[n];
}

/* test_dialect.c has what it does. */
const struct dialect dialect_redis[1], dialect_redis_options[1];

const char *dialect_read(struct conf *conf, const struct conf_section *section,
			 const char *key, const char *text,
			 const struct dialect *dialects,
			 bool (*known)(const char *name))
{
	(void)conf, (void)section, (void)known;
	CHECK_STR(key, "url");
	CHECK(dialects == (strstr(text, "://") || !strchr(text, '=')
				   ? dialect_redis
				   : dialect_redis_options));
	return text;
}

int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
{
	CHECK(*path && max_bytes > 0);
	if (!pem_file) {
		snprintf(reason, reason_size, "cannot be opened");
		return -1;
	}
	*text = strdup(pem_file);
	*len = strlen(pem_file);
	return 0;
}

static bool is_secret(const char *text)
{
	char copy[64];

	snprintf(copy, sizeof(copy), "%s", text);
	text_mask(copy);
	return strspn(copy, "*") == strlen(text);
}

static struct redis_settings settings_of(const char *url)
{
	static char nothing[] = "";
	static char text[256];

	snprintf(text, sizeof(text), "%s", url);
	return (struct redis_settings){ .url = text,
					.socket = nothing,
					.user = nothing,
					.password = nothing,
					.ca_file = nothing,
					.cert_file = nothing,
					.key_file = nothing };
}

static void prepare(struct redis_settings *settings, const char *keys)
{
	section_keys = keys;
	mistakes = 0;
	mistake_key[0] = mistake_text[0] = '\0';
	check_redis.prepare(NULL, NULL, settings);
}

/* ---- the server's side ---- */

struct turn {
	const char *question; /* as it must come */
	const char *answer;
};

struct server {
	int listener, fd;
	const struct turn *turns; /* ends in a NULL question */
	bool bytewise;
	bool hang_up; /* after the last answer */
	char got[512];
	size_t got_len, sent;
};

static uint16_t server_port;

static void server_open(struct server *server, const struct turn *turns)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);

	memset(server, 0, sizeof(*server));
	server->turns = turns;
	server->fd = -1;
	server->listener = socket(
		AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(server->listener, (struct sockaddr *)&at, sizeof(at)) == 0);
	CHECK(listen(server->listener, 4) == 0);
	getsockname(server->listener, (struct sockaddr *)&at, &len);
	server_port = ntohs(at.sin_port);
	fake_resolve_to(1);
}

static void server_close(struct server *server)
{
	if (server->fd >= 0)
		close(server->fd);
	close(server->listener);
}

static void server_answer(struct server *server)
{
	const struct turn *turn = server->turns;
	size_t len = strlen(turn->answer) - server->sent;
	ssize_t sent;

	if (server->bytewise && len > 1)
		len = 1;
	sent = send(server->fd, turn->answer + server->sent, len, MSG_NOSIGNAL);
	if (sent > 0)
		server->sent += (size_t)sent;
	if (turn->answer[server->sent])
		return;
	server->sent = 0;
	server->turns++;
	if (!server->turns->question && server->hang_up)
		shutdown(server->fd, SHUT_RDWR);
}

static void server_step(struct server *server)
{
	const struct turn *turn = server->turns;
	size_t len;
	ssize_t got;
	int on = 1;

	if (server->fd < 0) {
		server->fd = accept4(server->listener, NULL, NULL,
				     SOCK_NONBLOCK | SOCK_CLOEXEC);
		setsockopt(server->fd, IPPROTO_TCP, TCP_NODELAY, &on,
			   sizeof(on));
	}
	if (server->fd < 0 || !turn->question)
		return;
	got = recv(server->fd, server->got + server->got_len,
		   sizeof(server->got) - server->got_len, 0);
	if (got > 0)
		server->got_len += (size_t)got;
	len = strlen(turn->question);
	if (server->sent == 0) {
		if (server->got_len < len)
			return;
		CHECK(memcmp(server->got, turn->question, len) == 0);
		server->got_len -= len;
		memmove(server->got, server->got + len, server->got_len);
	}
	server_answer(server);
}

/* ---- both ---- */

/* Until there is one more end, or nothing happens for a while. */
static void drive(struct conn *conn, struct server *server)
{
	struct pollfd polled;
	int before = fake_conn_ends(conn), quiet = 0;

	while (fake_conn_ends(conn) == before && quiet < 20) {
		if (server)
			server_step(server);
		polled.fd = dialling ? dialling->fd : conn->fd;
		polled.events = dialling ? dialling->events : conn->events;
		polled.revents = 0;
		if (poll(&polled, 1, 2) > 0) {
			if (dialling)
				dialling->on_io(dialling->arg, polled.revents);
			else
				check_redis.on_io(conn, polled.revents);
			quiet = 0;
		} else {
			quiet++;
		}
	}
}

static void conn_open(struct conn *conn, struct redis_settings *settings)
{
	memset(conn, 0, sizeof(*conn));
	conn->fd = -1;
	conn->kind = &check_redis;
	conn->settings = settings;
	conn->state = calloc(1, check_redis.conn_size);
	check_redis.close(conn);
	check_redis.open(conn);
}

#define PING "*1\r\n$4\r\nPING\r\n"
#define AUTH_PW "*2\r\n$4\r\nAUTH\r\n$2\r\npw\r\n"
#define AUTH_ME_PW "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$2\r\npw\r\n"
#define AUTH_ME "*3\r\n$4\r\nAUTH\r\n$2\r\nme\r\n$0\r\n\r\n"
#define SELECT_7 "*2\r\n$6\r\nSELECT\r\n$1\r\n7\r\n"
#define GET "*2\r\n$3\r\nGET\r\n$11\r\nhealth.fcgi\r\n"
#define ROLE "*1\r\n$4\r\nROLE\r\n"
#define CLUSTER "*2\r\n$7\r\nCLUSTER\r\n$4\r\nINFO\r\n"
#define MASTER "*3\r\n$6\r\nmaster\r\n:9\r\n*1\r\n*2\r\n$1\r\na\r\n$1\r\nb\r\n"
#define REPLICA \
	"*5\r\n$5\r\nslave\r\n$1\r\nh\r\n:6379\r\n$9\r\nconnected\r\n:9\r\n"

/* A connection that is opened, asked as long as that is possible, closed. */
static struct conn talk(const char *url, enum redis_role role, bool cluster,
			const struct turn *turns, bool bytewise, bool hang_up)
{
	struct redis_settings settings = settings_of(url);
	struct server server;
	struct conn conn;

	server_open(&server, turns);
	server.bytewise = bytewise;
	server.hang_up = hang_up;
	settings.role = role;
	settings.cluster = cluster;
	prepare(&settings, ",url,");
	CHECK_INT(mistakes, 0);
	settings.target.port = server_port;
	conn_open(&conn, &settings);
	drive(&conn, &server);
	if (conn.ready) {
		conn.drop_when_answered = true;
		check_redis.ask(&conn);
		drive(&conn, &server);
	}
	CHECK_INT(conn.answered + conn.failed, 1);
	fake_conn_drop(&conn);
	check_redis.dispose(&settings);
	server_close(&server);
	conn.settings = NULL;
	return conn;
}

static struct conn ping(const char *answer)
{
	const struct turn turns[] = { { PING, answer },
				      { GET, "$-1\r\n" },
				      { NULL, NULL } };

	talk("redis://h", REDIS_ROLE_ANY, false, turns, true, false);
	return talk("redis://h", REDIS_ROLE_ANY, false, turns, false, false);
}

static void test_settings(void)
{
	struct redis_settings settings = settings_of("redis://h/3");

	CHECK(!check_redis.live_refused);
	prepare(&settings, ",url,");
	CHECK_INT(mistakes, 0);
	CHECK_INT(settings.target.database, 3);
	CHECK(!settings.trust);
	check_redis.dispose(&settings);
	check_redis.dispose(&settings);

	settings = settings_of("redis://me:p%2Fw1@h/3");
	prepare(&settings, ",url,");
	CHECK(is_secret("p/w1"));
	check_redis.dispose(&settings);

	settings = settings_of("redis://me:old@h/3");
	settings.user = (char[]){ "other" };
	settings.password = (char[]){ "new!" };
	prepare(&settings, ",url,database,");
	CHECK_INT(mistakes, 0);
	CHECK(is_secret("new!"));
	CHECK_STR(settings.target.user, "other");
	CHECK_STR(settings.target.password, "new!");
	CHECK_INT(settings.target.database, 0);
	check_redis.dispose(&settings);

	settings = settings_of("redis://127.0.0.1:6379/0");
	settings.socket = (char[]){ "/run/r" };
	prepare(&settings, ",socket,");
	CHECK_INT(mistakes, 0);
	CHECK_STR(settings.target.path, "/run/r");
	check_redis.dispose(&settings);

	settings = settings_of("rediss://h");
	prepare(&settings, ",url,");
	CHECK_INT(mistakes, 0);
	CHECK(settings.trust);
	check_redis.dispose(&settings);
	CHECK(!settings.trust);
}

/* One mistake about the key. */
static void mistaken(struct redis_settings settings, const char *keys,
		     const char *key)
{
	prepare(&settings, keys);
	CHECK_INT(mistakes, 1);
	CHECK_STR(mistake_key, key);
	CHECK(!strstr(mistake_text, "secret"));
	check_redis.dispose(&settings);
}

static void test_mistakes(void)
{
	struct redis_settings settings;
	char path[200];

	mistaken(settings_of("redis://u:secret@h:x"), ",url,", "url");
	mistaken(settings_of("redis://u:sec%ret@h"), ",url,", "url");
	settings = settings_of("redis://h");
	settings.socket = (char[]){ "/s" };
	mistaken(settings, ",url,socket,", "socket");
	memset(path, 'x', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	settings.socket = path;
	mistaken(settings, ",socket,", "socket");

	settings = settings_of("redis://h");
	settings.ca_file = (char[]){ "/ca" };
	mistaken(settings, ",url,", "ca_file");
	settings.url = (char[]){ "rediss://h" };
	mistaken(settings, ",url,", "ca_file");
	CHECK_STR(mistake_text, "/ca cannot be opened");
	pem_file = "nonsense";
	mistaken(settings, ",url,", "ca_file");

	settings = settings_of("rediss://h");
	settings.cert_file = (char[]){ "/cert" };
	mistaken(settings, ",url,", "cert_file");
	settings.key_file = (char[]){ "/key" };
	mistaken(settings, ",url,", "cert_file");
	pem_file = NULL;
	mistaken(settings, ",url,", "cert_file");
	settings.cert_file = (char[]){ "" };
	mistaken(settings, ",url,", "key_file");
}

static void test_login(void)
{
	static const struct turn plain[] = { { PING, "+PONG\r\n" },
					     { GET, "$-1\r\n" },
					     { NULL, NULL } };
	static const struct turn all[] = { { AUTH_ME_PW, "+OK\r\n" },
					   { SELECT_7, "+OK\r\n" },
					   { PING, "+PONG\r\n" },
					   { GET, "$-1\r\n" },
					   { NULL, NULL } };
	static const struct turn password[] = { { AUTH_PW, "+OK\r\n" },
						{ PING, "+PONG\r\n" },
						{ GET, "$-1\r\n" },
						{ NULL, NULL } };
	static const struct turn user[] = { { AUTH_ME, "+OK\r\n" },
					    { PING, "+PONG\r\n" },
					    { GET, "$-1\r\n" },
					    { NULL, NULL } };
	struct conn conn;
	int bytewise;

	for (bytewise = 0; bytewise < 2; bytewise++) {
		fake_resolve.preferred = 0;
		conn = talk("redis://h/0", REDIS_ROLE_ANY, false, plain,
			    bytewise, false);
		CHECK_INT(conn.ready, 1);
		CHECK_INT(conn.answered, 1);
		CHECK_INT(conn.code, RESULT_OK);
		CHECK_INT(fake_resolve.preferred, 1);
		conn = talk("redis://me:pw@h/7", REDIS_ROLE_ANY, false, all,
			    bytewise, false);
		CHECK_INT(conn.ready, 1);
		CHECK_INT(conn.code, RESULT_OK);
		conn = talk("redis://:pw@h", REDIS_ROLE_ANY, false, password,
			    bytewise, false);
		CHECK_INT(conn.code, RESULT_OK);
		conn = talk("redis://me@h", REDIS_ROLE_ANY, false, user,
			    bytewise, false);
		CHECK_INT(conn.code, RESULT_OK);
	}
}

static void login_refused(const char *answer, enum result_code code,
			  const char *words)
{
	const struct turn turns[] = { { AUTH_PW, answer }, { NULL, NULL } };
	struct conn conn = talk("redis://:pw@h/7", REDIS_ROLE_ANY, false, turns,
				false, false);

	CHECK_INT(conn.ready, 0);
	CHECK_INT(conn.failed, 1);
	CHECK_INT(conn.code, code);
	CHECK_STR(conn.words, words);
}

static void test_login_refused(void)
{
	static const struct turn no_database[] = {
		{ SELECT_7, "-ERR DB index is out of range\r\n" },
		{ NULL, NULL }
	};
	struct conn conn;

	login_refused("-WRONGPASS invalid username-password pair\r\n",
		      RESULT_AUTH, "authentication failed");
	login_refused("-ERR invalid password\r\n", RESULT_AUTH,
		      "authentication failed");
	login_refused("-ERR wrong number of arguments\r\n", RESULT_AUTH,
		      "authentication failed");
	login_refused("-ERR AUTH <password> called without any password "
		      "configured for the default user.\r\n",
		      RESULT_AUTH,
		      "no password is set there, but one was sent");
	login_refused("-ERR max number of clients reached\r\n", RESULT_BUSY,
		      "max number of clients reached");
	login_refused("-LOADING Redis is loading\r\n", RESULT_BUSY,
		      "loading the dataset into memory");
	login_refused("+QUEUED\r\n", RESULT_PROTOCOL,
		      "unexpected answer to AUTH");
	conn = talk("redis://h/7", REDIS_ROLE_ANY, false, no_database, false,
		    false);
	CHECK_INT(conn.ready, 0);
	CHECK_INT(conn.code, RESULT_MISSING);
	CHECK_STR(conn.words, "no such database");
}

/* clang-format off */
static const struct {
	const char *answer;
	bool stays; /* the connection is still good */
	enum result_code code;
	const char *words;
} pings[] = {
	{ "+PONG\r\n", true, RESULT_OK, "" },
	{ "-LOADING Redis is loading the dataset in memory\r\n", true, RESULT_BUSY, "loading the dataset into memory" },
	{ "-MASTERDOWN Link with MASTER is down\r\n", true, RESULT_BUSY, "replica has lost its master" },
	{ "-BUSY Redis is busy running a script\r\n", true, RESULT_BUSY, "busy running a script" },
	{ "-NOAUTH Authentication required.\r\n", true, RESULT_AUTH, "authentication required" },
	{ "-NOPERM this user has no permissions to run the 'ping' command\r\n", true, RESULT_AUTH, "no permission for PING" },
	{ "-DENIED Redis is running in protected mode\r\n", true, RESULT_AUTH, "refused by protected mode" },
	{ "-MISCONF Redis is configured to save\r\n", true, RESULT_UPSTREAM, "refuses writes, cannot save to disk" },
	{ "-ERR max number of clients reached\r\n", true, RESULT_BUSY, "max number of clients reached" },
	{ "-ERR unknown command\r\n", true, RESULT_UPSTREAM, "error reply to PING" },
	{ "-\r\n", true, RESULT_UPSTREAM, "error reply to PING" },
	{ "-BUSYKEY\r\n", true, RESULT_UPSTREAM, "error reply to PING" },
	{ "+OK\r\n", false, RESULT_PROTOCOL, "unexpected answer to PING" },
	{ ":1\r\n", false, RESULT_PROTOCOL, "unexpected answer to PING" },
	{ "$4\r\nPONG\r\n", false, RESULT_PROTOCOL, "unexpected answer to PING" },
	{ "$-1\r\n", false, RESULT_PROTOCOL, "unexpected answer to PING" },
	{ "*0\r\n", false, RESULT_PROTOCOL, "unexpected answer to PING" },
	{ "*1\r\n+PONG\r\n", false, RESULT_PROTOCOL, "unexpected answer to PING" },
	{ "*2\r\n*1\r\n$1\r\na\r\n:3\r\n", false, RESULT_PROTOCOL, "unexpected answer to PING" },
	{ "HTTP/1.1 400 Bad Request\r\n\r\n", false, RESULT_PROTOCOL, "answer is not in the Redis protocol" },
	{ "\x15\x03\x03", false, RESULT_TLS, "peer speaks TLS; write rediss://" },
};
/* clang-format on */

static void test_ping(void)
{
	struct conn conn;
	size_t i;

	for (i = 0; i < sizeof(pings) / sizeof(*pings); i++) {
		conn = ping(pings[i].answer);
		CHECK_INT(conn.code, pings[i].code);
		CHECK_STR(conn.words, pings[i].words);
		CHECK_INT(conn.answered, pings[i].stays);
		CHECK_INT(conn.failed, !pings[i].stays);
		if (pings[i].stays && pings[i].code != RESULT_OK)
			CHECK(strncmp(conn.detail, pings[i].answer + 1,
				      strlen(conn.detail)) == 0);
	}
}

static enum redis_answer_state feed(struct redis_answer *answer,
				    const char *bytes)
{
	return redis_answer_feed(answer, bytes, strlen(bytes));
}

static void expect(struct redis_answer *answer)
{
	answer->len = 0;
	answer->text[0] = '\0';
}

static void test_answer(void)
{
	struct redis_answer answer = { .reader = NULL };

	CHECK_INT(redis_answer_open(&answer), 0);
	expect(&answer);
	CHECK_INT(feed(&answer, "*2\r\n$6\r\nmas"), REDIS_ANSWER_PART);
	CHECK_INT(feed(&answer, "ter\r\n$1\r\na\r\n"), REDIS_ANSWER_WHOLE);
	CHECK_INT(answer.type, REDIS_REPLY_ARRAY);
	CHECK_STR(answer.text, "master");
	/* The text of an answer is not that of the one before. */
	expect(&answer);
	CHECK_INT(feed(&answer, "*1\r\n:1\r\n"), REDIS_ANSWER_WHOLE);
	CHECK_STR(answer.text, "");
	expect(&answer);
	CHECK_INT(feed(&answer, "+PONG\r\n+"), REDIS_ANSWER_SURPLUS);
	redisReaderFree(answer.reader);
	CHECK_INT(redis_answer_open(&answer), 0);
	expect(&answer);
	CHECK_INT(feed(&answer, "+PONG\r\n"), REDIS_ANSWER_WHOLE);
	CHECK_INT(feed(&answer, "?"), REDIS_ANSWER_BROKEN);
	CHECK(*answer.reader->errstr);
	redisReaderFree(answer.reader);
}

static void test_excess(void)
{
	static char flood[REDIS_ANSWER_MAX_BYTES * 3];
	struct conn conn;

	/* A huge array is announced: no memory is taken for it. */
	conn = talk("redis://h", REDIS_ROLE_ANY, false,
		    (const struct turn[]){ { PING, "*1000000000\r\n" },
					   { NULL, NULL } },
		    false, true);
	CHECK_INT(conn.code, RESULT_CONNECT);
	CHECK_STR(conn.words, "connection closed by the peer");

	memset(flood, 'x', sizeof(flood) - 1);
	flood[0] = '+';
	conn = talk("redis://h", REDIS_ROLE_ANY, false,
		    (const struct turn[]){ { PING, flood }, { NULL, NULL } },
		    false, false);
	CHECK_INT(conn.code, RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer is too long");

	conn = talk("redis://h", REDIS_ROLE_ANY, false,
		    (const struct turn[]){ { PING, "+PONG\r\n+PONG\r\n" },
					   { NULL, NULL } },
		    false, false);
	CHECK_INT(conn.code, RESULT_PROTOCOL);
	CHECK_STR(conn.words, "more than one answer to PING");
	conn = talk("redis://h", REDIS_ROLE_ANY, false,
		    (const struct turn[]){ { PING, "+PO" }, { NULL, NULL } },
		    false, true);
	CHECK_INT(conn.code, RESULT_CONNECT);
	CHECK_STR(conn.words, "connection closed by the peer");
}

static struct conn role(enum redis_role wanted, const char *answer)
{
	const struct turn turns[] = { { PING, "+PONG\r\n" },
				      { ROLE, answer },
				      { NULL, NULL } };

	talk("redis://h", wanted, false, turns, true, false);
	return talk("redis://h", wanted, false, turns, false, false);
}

/* A server that does not know GET is asked for its role. */
static struct conn sentinel(const char *get, const char *role)
{
	const struct turn turns[] = { { PING, "+PONG\r\n" },
				      { GET, get },
				      { role ? ROLE : NULL, role },
				      { NULL, NULL } };

	talk("redis://h", REDIS_ROLE_ANY, false, turns, true, false);
	return talk("redis://h", REDIS_ROLE_ANY, false, turns, false, false);
}

#define UNKNOWN "-ERR unknown command `GET`, with args beginning with: \r\n"

static void test_sentinel(void)
{
	static const char *const others[] = {
		"$-1\r\n",
		"$2\r\nhi\r\n",
		"-NOPERM this user has no permissions\r\n",
		"-MOVED 7 h:1\r\n",
		"-WRONGTYPE Operation against a key\r\n",
		"-LOADING Redis is loading\r\n",
		"-ERR server pool has no upstream\r\n",
	};
	static const char *const renamed[] = {
		MASTER,
		REPLICA,
		"-ERR unknown command 'ROLE'\r\n",
		"-ERR unsupported\r\n",
		"+OK\r\n",
	};
	struct conn conn;
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(*others); i++)
		CHECK_INT(sentinel(others[i], NULL).code, RESULT_OK);
	for (i = 0; i < sizeof(renamed) / sizeof(*renamed); i++)
		CHECK_INT(sentinel(UNKNOWN, renamed[i]).code, RESULT_OK);
	conn = sentinel(UNKNOWN, "*2\r\n$8\r\nsentinel\r\n*0\r\n");
	CHECK_INT(conn.answered, 1);
	CHECK_INT(conn.code, RESULT_MISMATCH);
	CHECK_STR(conn.words, "is a Sentinel, not a Redis server");
	conn = sentinel(UNKNOWN, "-NOPERM this user has no permissions\r\n");
	CHECK_STR(conn.words, "is a Sentinel, not a Redis server");
	/* Asked for a role, it tells by that. */
	conn = role(REDIS_ROLE_MASTER, "*2\r\n$8\r\nsentinel\r\n*0\r\n");
	CHECK_STR(conn.words, "is a Sentinel, not a Redis server");
	conn = role(REDIS_ROLE_SENTINEL, MASTER);
	CHECK_STR(conn.words, "is not a Sentinel");
	conn = role(REDIS_ROLE_SENTINEL, "*2\r\n$8\r\nsentinel\r\n*0\r\n");
	CHECK_INT(conn.code, RESULT_OK);
}

static void test_role(void)
{
	struct conn conn;

	CHECK_INT(role(REDIS_ROLE_MASTER, MASTER).code, RESULT_OK);
	CHECK_INT(role(REDIS_ROLE_REPLICA, REPLICA).code, RESULT_OK);
	conn = role(REDIS_ROLE_MASTER, REPLICA);
	CHECK_INT(conn.answered, 1);
	CHECK_INT(conn.code, RESULT_MISMATCH);
	CHECK_STR(conn.words, "is not a master");
	CHECK_STR(conn.detail, "slave");
	conn = role(REDIS_ROLE_REPLICA, MASTER);
	CHECK_STR(conn.words, "is not a replica");
	conn = role(REDIS_ROLE_REPLICA, "*0\r\n");
	CHECK_INT(conn.code, RESULT_MISMATCH);
	conn = role(REDIS_ROLE_REPLICA, "-NOPERM no\r\n");
	CHECK_STR(conn.words, "no permission for ROLE");
	conn = role(REDIS_ROLE_MASTER, "+master\r\n");
	CHECK_INT(conn.code, RESULT_PROTOCOL);
}

static struct conn cluster(const char *answer)
{
	const struct turn turns[] = { { PING, "+PONG\r\n" },
				      { CLUSTER, answer },
				      { NULL, NULL } };

	return talk("redis://h", REDIS_ROLE_ANY, true, turns, false, false);
}

static void test_cluster(void)
{
	struct conn conn;

	CHECK_INT(cluster("$35\r\ncluster_state:ok\r\n"
			  "cluster_slots:1\r\n\r\n")
			  .code,
		  RESULT_OK);
	conn = cluster("$20\r\ncluster_state:fail\r\n\r\n");
	CHECK_INT(conn.code, RESULT_BUSY);
	CHECK_STR(conn.words, "cluster is down");
	conn = cluster("-ERR This instance has cluster support disabled\r\n");
	CHECK_INT(conn.code, RESULT_MISMATCH);
	CHECK_STR(conn.words, "not a node of a cluster");
}

static void test_refused(void)
{
	struct redis_settings settings = settings_of("redis://h");
	struct server server;
	struct conn conn;

	prepare(&settings, ",url,");
	server_open(&server, NULL);
	server_close(&server);
	settings.target.port = server_port;
	conn_open(&conn, &settings);
	if (!conn.failed)
		drive(&conn, NULL);
	CHECK_INT(conn.failed, 1);
	CHECK_INT(conn.code, RESULT_REFUSED);
	CHECK_STR(conn.words, "connection refused");
	check_redis.dispose(&settings);

	settings = settings_of("unix:///nonexistent/redis.sock");
	prepare(&settings, ",url,");
	conn_open(&conn, &settings);
	CHECK_INT(conn.failed, 1);
	CHECK_STR(conn.words, "no such socket");
	check_redis.dispose(&settings);
}

static void test_resolving(void)
{
	static const struct turn turns[] = { { PING, "+PONG\r\n" },
					     { NULL, NULL } };
	struct redis_settings settings = settings_of("redis://h");
	struct server server;
	struct conn conn;

	prepare(&settings, ",url,");
	server_open(&server, turns);
	settings.target.port = server_port;
	fake_resolve.waits = true;
	conn_open(&conn, &settings);
	CHECK(fake_resolve.query);
	CHECK_STR(fake_dial_step(&conn, &check_redis),
		  "resolving the host name");
	fake_resolve_done();
	CHECK_STR(fake_dial_step(&conn, &check_redis), "connecting");
	drive(&conn, &server);
	CHECK_INT(conn.ready, 1);
	fake_conn_drop(&conn);

	conn_open(&conn, &settings);
	fake_resolve_fail();
	CHECK_INT(conn.failed, 1);
	CHECK_INT(conn.code, RESULT_RESOLVE);
	CHECK_STR(conn.words, "no such host");

	/* Closed meanwhile: the query must be gone with it. */
	conn_open(&conn, &settings);
	CHECK(fake_resolve.query);
	fake_conn_drop(&conn);
	CHECK(!fake_resolve.query);
	fake_resolve.waits = false;
	check_redis.dispose(&settings);
	server_close(&server);
}

/* A warm connection is asked again and again, until it dies. */
static void test_idle(void)
{
	/* The check asks only once whether it is a Sentinel. */
	static const struct turn turns[] = { { PING, "+PONG\r\n" },
					     { GET, "$-1\r\n" },
					     { PING, "-LOADING x\r\n" },
					     { PING, "+PONG\r\n" },
					     { NULL, NULL } };
	struct redis_settings settings = settings_of("redis://h");
	struct server server;
	struct conn conn;
	int i;

	for (i = 0; i < 2; i++) {
		prepare(&settings, ",url,");
		server_open(&server, turns);
		settings.target.port = server_port;
		conn_open(&conn, &settings);
		drive(&conn, &server);
		CHECK_INT(conn.ready, 1);
		while (conn.answered < 3 && !conn.failed) {
			int before = conn.answered;

			check_redis.ask(&conn);
			CHECK_STR(fake_dial_step(&conn, &check_redis),
				  "waiting for the answer");
			drive(&conn, &server);
			CHECK_INT(conn.answered, before + 1);
			CHECK_INT(conn.events, POLLIN);
		}
		check_redis.on_idle(&conn, POLLIN);
		CHECK_INT(conn.failed, 0);
		CHECK_STR(fake_dial_step(&conn, &check_redis), "idle");
		if (i == 0)
			shutdown(server.fd, SHUT_WR);
		else
			send(server.fd, "+PONG\r\n", 7, 0);
		poll(&(struct pollfd){ conn.fd, POLLIN, 0 }, 1, 1000);
		check_redis.on_idle(&conn, POLLIN);
		CHECK_INT(conn.failed, 1);
		CHECK_INT(conn.code, i == 0 ? RESULT_CONNECT : RESULT_PROTOCOL);
		check_redis.dispose(&settings);
		server_close(&server);
	}
}

/* Too many clients: it says so and closes before it has read the question. */
static void test_last_words(void)
{
	struct redis_settings settings = settings_of("redis://h");
	struct server server;
	struct conn conn;
	int i;

	prepare(&settings, ",url,");
	server_open(&server, (const struct turn[]){ { NULL, NULL } });
	settings.target.port = server_port;
	conn_open(&conn, &settings);
	drive(&conn, &server);
	CHECK_INT(conn.ready, 1);
	for (i = 0; i < 100 && server.fd < 0; i++)
		server_step(&server);
	send(server.fd, "-ERR max number of clients reached\r\n", 36, 0);
	close(server.fd);
	server.fd = -1;
	/* The peer closed before the last data arrived: sending now fails. */
	send(conn.fd, "x", 1, MSG_NOSIGNAL);
	check_redis.ask(&conn);
	if (!conn.answered)
		drive(&conn, NULL);
	CHECK_INT(conn.code, RESULT_BUSY);
	CHECK_STR(conn.words, "max number of clients reached");
	fake_conn_drop(&conn);
	check_redis.dispose(&settings);
	server_close(&server);
}

static int open_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

int main(void)
{
	int fds = open_fds();

	test_settings();
	test_mistakes();
	test_login();
	test_login_refused();
	test_ping();
	test_answer();
	test_excess();
	test_role();
	test_sentinel();
	test_cluster();
	test_refused();
	test_resolving();
	test_idle();
	test_last_words();
	text_forget_secrets();
	CHECK_INT(open_fds(), fds);
	return unit_report();
}

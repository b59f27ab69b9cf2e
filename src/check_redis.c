/*
 * redis: is a Redis (or Valkey) server there, logged in to, and does it answer
 * PING?  On request also: in its role, in a working cluster.
 *
 * hiredis reads and writes the protocol only: its own input and output would
 * look names up in this thread and, in the versions of Debian 12, has no TLS.
 */
#include "config.h"

#include "check.h"
#include "clock.h"
#include "redis_url.h"
#include "resolve.h"
#include "stream.h"
#include "text.h"

#include <hiredis/hiredis.h>

#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#define REDIS_PEM_BYTES (1024 * 1024)
#define REDIS_ANSWER_BYTES (16 * 1024) /* of one answer */
#define REDIS_CHUNK_BYTES 4096
#define REDIS_TEXT_BYTES 192 /* what is kept of it */
#define REDIS_TRY_MIN_MS 10
#define REDIS_TRY_MAX_MS 250 /* RFC 8305 section 8 */

enum redis_role { REDIS_ROLE_ANY, REDIS_ROLE_MASTER, REDIS_ROLE_REPLICA };

struct redis_settings {
	char *url, *socket, *user, *password;
	char *ca_file, *cert_file, *key_file;
	int64_t database;
	int role;
	bool cluster;
	/* made by prepare */
	struct redis_url target;
	struct stream_trust *trust; /* NULL: no TLS */
};

/* In the order in which they come, those that are needed. */
enum redis_step {
	REDIS_RESOLVE,
	REDIS_CONNECT,
	REDIS_AUTH,
	REDIS_SELECT,
	REDIS_READY, /* between runs */
	REDIS_PING,
	REDIS_ROLE,
	REDIS_CLUSTER,
	REDIS_DONE
};

struct redis_reply {
	int type;		     /* REDIS_REPLY_... */
	char text[REDIS_TEXT_BYTES]; /* of an array: of its first element */
};

struct redis_conn {
	enum redis_step step;
	struct resolve_query query;
	struct stream *stream;
	redisReader *reader;
	struct redis_reply reply;
	char *command;
	size_t command_len, command_sent;
	size_t answer_len; /* bytes that came for the question under way */
};

/* ---- settings ---- */

#define REDIS_FIELD(name) offsetof(struct redis_settings, name)

/* clang-format off */
static const struct conf_key redis_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "ca_file", CONF_STR, REDIS_FIELD(ca_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the CAs to trust with TLS, instead of the system's" },
	{ "cert_file", CONF_STR, REDIS_FIELD(cert_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the certificate to show, for a server that wants one" },
	{ "cluster", CONF_BOOL, REDIS_FIELD(cluster), "no", NULL, NULL, 0,
	  "whether the server must be a node of a cluster that works" },
	{ "database", CONF_INT, REDIS_FIELD(database), "0", "0", "2147483647", 0,
	  "number of the database to select; overrides the one in url" },
	{ "key_file", CONF_STR, REDIS_FIELD(key_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the key that belongs to cert_file" },
	{ "password", CONF_STR, REDIS_FIELD(password), "", NULL, NULL, CONF_SECRET,
	  "sent to log in; overrides the one in url" },
	{ "role", CONF_CHOICE, REDIS_FIELD(role), "any", NULL, "any|master|replica", 0,
	  "what the server must be" },
	{ "socket", CONF_STR, REDIS_FIELD(socket), "", NULL, NULL, CONF_PATH,
	  "path of a Unix socket, instead of url" },
	{ "url", CONF_STR, REDIS_FIELD(url), "redis://127.0.0.1:6379/0", NULL, NULL, CONF_URL,
	  "redis://[[user]:password@]host[:port][/database], rediss:// with TLS, or unix:///path" },
	{ "user", CONF_STR, REDIS_FIELD(user), "", NULL, NULL, 0,
	  "ACL user to log in as; overrides the one in url" },
	CONF_END
};
/* clang-format on */

struct redis_prepare {
	struct conf *conf;
	struct conf_section *section;
	struct redis_settings *settings;
};

static void redis_no_memory(const struct redis_prepare *prepare)
{
	conf_mistake(prepare->conf, prepare->section, NULL, "out of memory");
}

/* Puts a copy of a setting that is given into the place of the URL's part. */
static void redis_override(const struct redis_prepare *prepare, char **part,
			   const char *value)
{
	if (!*value)
		return;
	if (*part)
		explicit_bzero(*part, strlen(*part));
	free(*part);
	*part = strdup(value);
	if (!*part)
		redis_no_memory(prepare);
}

static void redis_prepare_target(const struct redis_prepare *prepare)
{
	struct redis_settings *settings = prepare->settings;
	struct redis_url *target = &settings->target;
	const char *mistake = redis_url_parse(target, settings->url);

	if (mistake)
		conf_mistake(prepare->conf, prepare->section, "url", "%s",
			     mistake);
	if (*settings->socket && conf_section_has(prepare->section, "url"))
		conf_mistake(prepare->conf, prepare->section, "socket",
			     "give either url or socket, not both");
	redis_override(prepare, &target->path, settings->socket);
	redis_override(prepare, &target->user, settings->user);
	redis_override(prepare, &target->password, settings->password);
	if (conf_section_has(prepare->section, "database"))
		target->database = settings->database;
	if (target->path &&
	    strlen(target->path) >=
		    sizeof(((struct sockaddr_un *)NULL)->sun_path))
		conf_mistake(prepare->conf, prepare->section,
			     *settings->socket ? "socket" : "url",
			     "the path of a socket can have at most %zu bytes",
			     sizeof(((struct sockaddr_un *)NULL)->sun_path) -
				     1);
	if (target->password && text_secret(target->password))
		redis_no_memory(prepare);
}

/* The content of a PEM file, owned by the caller; NULL when there is none. */
static char *redis_pem(const struct redis_prepare *prepare, const char *key,
		       const char *path, size_t *len)
{
	char reason[160], *text;

	if (conf_slurp(path, REDIS_PEM_BYTES, &text, len, reason,
		       sizeof(reason)) == 0)
		return text;
	conf_mistake(prepare->conf, prepare->section, key, "%s %s", path,
		     reason);
	return NULL;
}

static void redis_prepare_trust(const struct redis_prepare *prepare)
{
	struct redis_settings *settings = prepare->settings;
	const char *path = settings->ca_file;
	char words[96], *pem = NULL;
	size_t len = 0;

	if (*path) {
		pem = redis_pem(prepare, "ca_file", path, &len);
		if (!pem)
			return;
	}
	settings->trust = stream_trust_create(pem, len, words, sizeof(words));
	if (!settings->trust)
		conf_mistake(prepare->conf, prepare->section,
			     *path ? "ca_file" : NULL, "%s%s%s", path,
			     *path ? " " : "", words);
	free(pem);
}

static void redis_prepare_identity(const struct redis_prepare *prepare)
{
	struct redis_settings *settings = prepare->settings;
	char words[96], *cert, *key = NULL;
	size_t cert_len, key_len = 0;

	cert = redis_pem(prepare, "cert_file", settings->cert_file, &cert_len);
	if (cert)
		key = redis_pem(prepare, "key_file", settings->key_file,
				&key_len);
	if (key && settings->trust &&
	    stream_trust_identify(settings->trust, cert, cert_len, key, key_len,
				  words, sizeof(words)))
		conf_mistake(prepare->conf, prepare->section, "cert_file",
			     "with key_file is of no use: %s", words);
	if (key)
		explicit_bzero(key, key_len);
	free(key);
	free(cert);
}

static void redis_prepare(struct conf *conf, struct conf_section *section,
			  void *record)
{
	struct redis_settings *settings = record;
	const struct redis_prepare prepare = { conf, section, settings };

	redis_prepare_target(&prepare);
	if (!*settings->cert_file != !*settings->key_file)
		conf_mistake(conf, section,
			     *settings->key_file ? "key_file" : "cert_file",
			     "cert_file and key_file belong together");
	if (settings->target.tls && !settings->target.path) {
		redis_prepare_trust(&prepare);
		if (*settings->cert_file && *settings->key_file)
			redis_prepare_identity(&prepare);
	} else if (*settings->ca_file || *settings->cert_file) {
		conf_mistake(conf, section,
			     *settings->ca_file ? "ca_file" : "cert_file",
			     "is for TLS only: url must begin with rediss://");
	}
}

static void redis_dispose(void *record)
{
	struct redis_settings *settings = record;

	redis_url_free(&settings->target);
	stream_trust_destroy(settings->trust);
	settings->trust = NULL;
}

/* ---- reading answers ---- */

/*
 * hiredis builds no tree of replies here, for which a peer could make it
 * allocate gigabytes by announcing a huge array: the reply record takes the
 * one text that matters, and of everything else only the type is told.
 */
static void *redis_on_string(const redisReadTask *task, char *text, size_t len)
{
	struct redis_reply *reply = task->privdata;
	const redisReadTask *parent = task->parent;

	if (parent && (parent->parent || task->idx != 0))
		return reply;
	reply->type = task->type;
	if (len >= sizeof(reply->text))
		len = sizeof(reply->text) - 1;
	memcpy(reply->text, text, len);
	reply->text[len] = '\0';
	return reply;
}

static redisReplyObjectFunctions redis_functions = {
	.createString = redis_on_string,
};

/* 1: the reply record is filled; 0: more must come; -1: not the protocol. */
static int redis_take_reply(struct redis_conn *redis)
{
	void *out = NULL;

	if (redisReaderGetReply(redis->reader, &out) != REDIS_OK)
		return -1;
	if (!out)
		return 0;
	/* Without a function for it hiredis gives the type as a pointer. */
	if (out != &redis->reply)
		redis->reply.type = (int)(intptr_t)out;
	return 1;
}

/* ---- judging answers ---- */

static const struct redis_question {
	const char *name; /* for our words */
	const char *step;
	int type;
	const char *text; /* NULL: see redis_judge() */
} redis_questions[] = {
	[REDIS_AUTH] = { "AUTH", "logging in", REDIS_REPLY_STATUS, "OK" },
	[REDIS_SELECT] = { "SELECT", "selecting the database",
			   REDIS_REPLY_STATUS, "OK" },
	[REDIS_PING] = { "PING", "waiting for the answer", REDIS_REPLY_STATUS,
			 "PONG" },
	[REDIS_ROLE] = { "ROLE", "waiting for the role", REDIS_REPLY_ARRAY,
			 NULL },
	[REDIS_CLUSTER] = { "CLUSTER INFO", "waiting for the cluster's state",
			    REDIS_REPLY_STRING, NULL },
};

/* clang-format off */
static const struct redis_error {
	const char *says; /* how it begins */
	enum result_code code;
	const char *words;
} redis_errors[] = {
	{ "LOADING ", RESULT_BUSY, "loading the dataset into memory" },
	{ "MASTERDOWN ", RESULT_BUSY, "replica has lost its master" },
	{ "BUSY ", RESULT_BUSY, "busy running a script" },
	{ "CLUSTERDOWN ", RESULT_BUSY, "cluster is down" },
	{ "MISCONF ", RESULT_UPSTREAM, "refuses writes, cannot save to disk" },
	{ "NOAUTH ", RESULT_AUTH, "authentication required" },
	{ "WRONGPASS ", RESULT_AUTH, "authentication failed" },
	{ "DENIED ", RESULT_AUTH, "refused by protected mode" },
	{ "ERR max number of clients reached", RESULT_BUSY, "max number of clients reached" },
	{ "ERR invalid password", RESULT_AUTH, "authentication failed" },
	{ "ERR AUTH <password> called without", RESULT_AUTH, "no password is set there, but one was sent" },
	{ "ERR Client sent AUTH, but no password", RESULT_AUTH, "no password is set there, but one was sent" },
	{ "ERR operation not permitted", RESULT_AUTH, "authentication required" },
	{ "ERR DB index is out of range", RESULT_MISSING, "no such database" },
	{ "ERR invalid DB index", RESULT_MISSING, "no such database" },
	{ "ERR SELECT is not allowed in cluster", RESULT_MISSING, "no such database" },
	{ "ERR This instance has cluster support disabled", RESULT_MISMATCH, "not a node of a cluster" },
};
/* clang-format on */

/* The answer to the last question of a phase, or one that ends it. */
static void redis_end(struct conn *conn, enum result_code code,
		      const char *words)
{
	struct redis_conn *redis = conn_state(conn);
	bool opening = redis->step <= REDIS_READY;

	redis->step = REDIS_READY;
	conn_watch(conn, stream_fd(redis->stream), POLLIN);
	if (opening && code == RESULT_OK)
		conn_ready(conn);
	else if (opening)
		conn_failed(conn, code, "%s", words);
	else
		conn_answered(conn, code, "%s", words);
}

static void redis_judge_error(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	const char *name = redis_questions[redis->step].name;
	const char *says = redis->reply.text;
	char words[64];
	size_t i;

	conn_detail(conn, says);
	for (i = 0; i < sizeof(redis_errors) / sizeof(*redis_errors); i++)
		if (strncmp(says, redis_errors[i].says,
			    strlen(redis_errors[i].says)) == 0) {
			redis_end(conn, redis_errors[i].code,
				  redis_errors[i].words);
			return;
		}
	if (strncmp(says, "NOPERM ", 7) == 0) {
		snprintf(words, sizeof(words), "no permission for %s", name);
		redis_end(conn, RESULT_AUTH, words);
	} else if (redis->step == REDIS_AUTH) {
		redis_end(conn, RESULT_AUTH, "authentication failed");
	} else {
		snprintf(words, sizeof(words), "error reply to %s", name);
		redis_end(conn, RESULT_UPSTREAM, words);
	}
}

static void redis_next(struct conn *conn);

static void redis_judge_role(struct conn *conn)
{
	static const char *const names[] = {
		[REDIS_ROLE_MASTER] = "master", [REDIS_ROLE_REPLICA] = "slave"
	};
	const struct redis_settings *settings = conn_settings(conn);
	struct redis_conn *redis = conn_state(conn);

	if (strcmp(redis->reply.text, names[settings->role]) == 0) {
		redis_next(conn);
		return;
	}
	conn_detail(conn, redis->reply.text);
	redis_end(conn, RESULT_MISMATCH,
		  settings->role == REDIS_ROLE_MASTER ? "is not a master"
						      : "is not a replica");
}

static void redis_judge_cluster(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	if (strstr(redis->reply.text, "cluster_state:ok")) {
		redis_next(conn);
		return;
	}
	conn_detail(conn, redis->reply.text);
	redis_end(conn, RESULT_BUSY, "cluster is down");
}

static void redis_judge(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	const struct redis_question *question = &redis_questions[redis->step];

	if (redis->reader->pos != redis->reader->len)
		conn_failed(conn, RESULT_PROTOCOL, "more than one answer to %s",
			    question->name);
	else if (redis->reply.type == REDIS_REPLY_ERROR)
		redis_judge_error(conn);
	else if (redis->reply.type != question->type ||
		 (question->text &&
		  strcmp(redis->reply.text, question->text) != 0))
		conn_failed(conn, RESULT_PROTOCOL, "unexpected answer to %s",
			    question->name);
	else if (redis->step == REDIS_ROLE)
		redis_judge_role(conn);
	else if (redis->step == REDIS_CLUSTER)
		redis_judge_cluster(conn);
	else
		redis_next(conn);
}

/* ---- talking ---- */

static void redis_stream_failed(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	if (*stream_detail(redis->stream))
		conn_detail(conn, stream_detail(redis->stream));
	conn_failed(conn, stream_code(redis->stream), "%s",
		    stream_words(redis->stream));
}

static void redis_forget_command(struct redis_conn *redis)
{
	if (!redis->command)
		return;
	explicit_bzero(redis->command, redis->command_len);
	redisFreeCommand(redis->command);
	redis->command = NULL;
}

static enum stream_state redis_send(struct redis_conn *redis)
{
	enum stream_state state = STREAM_DONE;
	size_t moved;

	while (redis->command && state == STREAM_DONE) {
		state = stream_write(
			redis->stream, redis->command + redis->command_sent,
			redis->command_len - redis->command_sent, &moved);
		if (state != STREAM_DONE)
			break;
		redis->command_sent += moved;
		if (redis->command_sent == redis->command_len)
			redis_forget_command(redis);
	}
	return state;
}

/* Reads until there is a whole answer, or as with stream_read(). */
static enum stream_state redis_receive(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	char chunk[REDIS_CHUNK_BYTES];
	enum stream_state state;
	size_t moved;
	int taken;

	for (;;) {
		state = stream_read(redis->stream, chunk, sizeof(chunk),
				    &moved);
		if (state != STREAM_DONE)
			return state;
		redis->answer_len += moved;
		if (redisReaderFeed(redis->reader, chunk, moved) != REDIS_OK)
			return STREAM_ERROR;
		taken = redis_take_reply(redis);
		if (taken > 0)
			return STREAM_DONE;
		if (taken < 0 || redis->answer_len > REDIS_ANSWER_BYTES)
			return STREAM_ERROR;
	}
}

static void redis_receive_failed(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	if (redis->reader->err == REDIS_ERR_OOM) {
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
	} else if (redis->reader->err) {
		conn_detail(conn, redis->reader->errstr);
		conn_failed(conn, RESULT_PROTOCOL,
			    "answer is not in the Redis protocol");
	} else if (redis->answer_len > REDIS_ANSWER_BYTES) {
		conn_failed(conn, RESULT_PROTOCOL, "answer is too long");
	} else {
		redis_stream_failed(conn);
	}
}

/* Sends what is left of the question and reads what is there of the answer. */
static void redis_talk(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	enum stream_state state = redis_send(redis);

	/* A server that has too many clients says so and closes before it has
	 * read anything: the question fails, but an answer is there. */
	if (state != STREAM_PENDING)
		state = redis_receive(conn);
	switch (state) {
	case STREAM_PENDING:
		conn_watch(conn, stream_fd(redis->stream),
			   stream_events(redis->stream));
		return;
	case STREAM_DONE:
		redis_judge(conn);
		return;
	case STREAM_EOF:
		conn_failed(conn, RESULT_CONNECT,
			    "connection closed by the peer");
		return;
	case STREAM_ERROR:
		redis_receive_failed(conn);
	}
}

static void redis_put(struct conn *conn, int argc, const char *argv[])
{
	struct redis_conn *redis = conn_state(conn);
	long long len;

	len = redisFormatCommandArgv(&redis->command, argc, argv, NULL);
	if (len < 0) {
		redis->command = NULL;
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
		return;
	}
	redis->command_len = (size_t)len;
	redis->command_sent = 0;
	redis->answer_len = 0;
	redis_talk(conn);
}

static bool redis_has_login(const struct redis_url *target)
{
	return (target->user && *target->user) ||
	       (target->password && *target->password);
}

/* Whether the step is part of what was configured. */
static bool redis_wants(const struct redis_settings *settings,
			enum redis_step step)
{
	switch (step) {
	case REDIS_AUTH:
		return redis_has_login(&settings->target);
	case REDIS_SELECT:
		/* Sentinels and clusters do not know it, nor need they. */
		return settings->target.database != 0;
	case REDIS_ROLE:
		return settings->role != REDIS_ROLE_ANY;
	case REDIS_CLUSTER:
		return settings->cluster;
	default:
		return true;
	}
}

static void redis_put_auth(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	const struct redis_url *target = &settings->target;
	const char *password = target->password ? target->password : "";

	/* The form with a user is not known before Redis 6. */
	if (target->user && *target->user)
		redis_put(conn, 3,
			  (const char *[]){ "AUTH", target->user, password });
	else
		redis_put(conn, 2, (const char *[]){ "AUTH", password });
}

static void redis_put_select(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	char number[24];

	snprintf(number, sizeof(number), "%lld",
		 (long long)settings->target.database);
	redis_put(conn, 2, (const char *[]){ "SELECT", number });
}

/* Goes on with the next step that is wanted. */
static void redis_next(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	do
		redis->step++;
	while (!redis_wants(conn_settings(conn), redis->step));
	switch (redis->step) {
	case REDIS_AUTH:
		redis_put_auth(conn);
		break;
	case REDIS_SELECT:
		redis_put_select(conn);
		break;
	case REDIS_PING:
		redis_put(conn, 1, (const char *[]){ "PING" });
		break;
	case REDIS_ROLE:
		redis_put(conn, 1, (const char *[]){ "ROLE" });
		break;
	case REDIS_CLUSTER:
		redis_put(conn, 2, (const char *[]){ "CLUSTER", "INFO" });
		break;
	default: /* REDIS_READY, REDIS_DONE */
		redis_end(conn, RESULT_OK, "");
	}
}

/* ---- connecting ---- */

static void redis_advance(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	struct redis_conn *redis = conn_state(conn);

	switch (stream_advance(redis->stream)) {
	case STREAM_PENDING:
		conn_watch(conn, stream_fd(redis->stream),
			   stream_events(redis->stream));
		return;
	case STREAM_DONE:
		if (stream_peer(redis->stream))
			resolve_prefer(conn_env(conn)->resolver,
				       settings->target.host,
				       stream_peer(redis->stream));
		redis_next(conn);
		return;
	default:
		redis_stream_failed(conn);
	}
}

/* How long one of several addresses may take before the next is tried too. */
static int64_t redis_try_ms(const struct conn *conn, size_t n)
{
	int64_t ms = (conn_deadline_ms(conn) - clock_ms()) / (int64_t)(n + 1);

	if (ms < REDIS_TRY_MIN_MS)
		return REDIS_TRY_MIN_MS;
	return ms < REDIS_TRY_MAX_MS ? ms : REDIS_TRY_MAX_MS;
}

/* addrs: NULL with a Unix socket. */
static void redis_connect(struct conn *conn, const struct resolve_answer *addrs)
{
	const struct redis_settings *settings = conn_settings(conn);
	struct redis_conn *redis = conn_state(conn);
	const struct stream_target target = {
		.unix_path = settings->target.path,
		.addrs = addrs,
		.port = settings->target.port,
		.trust = settings->trust,
		.host = settings->target.host,
		.try_ms = addrs ? redis_try_ms(conn, addrs->n) : 0,
	};

	redis->step = REDIS_CONNECT;
	redis->stream = stream_open(&target);
	redis->reader = redisReaderCreateWithFunctions(&redis_functions);
	if (!redis->stream || !redis->reader) {
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
		return;
	}
	redis->reader->privdata = &redis->reply;
	redis_advance(conn);
}

static void redis_on_resolved(void *arg, const struct resolve_answer *answer)
{
	struct conn *conn = arg;

	if (answer->code == RESULT_OK)
		redis_connect(conn, answer);
	else
		conn_failed(conn, answer->code, "%s", answer->words);
}

/* ---- the kind ---- */

static void redis_open(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	struct resolver *resolver = conn_env(conn)->resolver;
	struct redis_conn *redis = conn_state(conn);
	const struct resolve_answer *answer;

	if (settings->target.path) {
		redis_connect(conn, NULL);
		return;
	}
	answer = resolve_cached(resolver, settings->target.host);
	if (answer) {
		redis_connect(conn, answer);
		return;
	}
	redis->step = REDIS_RESOLVE;
	redis->query.on_done = redis_on_resolved;
	redis->query.arg = conn;
	resolve_start(resolver, &redis->query, settings->target.host);
}

static void redis_ask(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	redis->step = REDIS_READY;
	redis_next(conn);
}

static void redis_on_io(struct conn *conn, short revents)
{
	struct redis_conn *redis = conn_state(conn);

	(void)revents;
	if (redis->step == REDIS_CONNECT)
		redis_advance(conn);
	else
		redis_talk(conn);
}

/* With TLS there may be something to read that is no answer: tickets. */
static void redis_on_idle(struct conn *conn, short revents)
{
	struct redis_conn *redis = conn_state(conn);
	char byte;
	size_t moved;

	(void)revents;
	switch (stream_read(redis->stream, &byte, 1, &moved)) {
	case STREAM_PENDING:
		conn_watch(conn, stream_fd(redis->stream),
			   stream_events(redis->stream));
		return;
	case STREAM_DONE:
		conn_failed(conn, RESULT_PROTOCOL,
			    "an answer came without a question");
		return;
	case STREAM_EOF:
		conn_failed(conn, RESULT_CONNECT,
			    "connection closed by the peer");
		return;
	case STREAM_ERROR:
		redis_stream_failed(conn);
	}
}

static void redis_close(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	resolve_cancel(conn_env(conn)->resolver, &redis->query);
	stream_close(redis->stream);
	redis->stream = NULL;
	if (redis->reader)
		redisReaderFree(redis->reader);
	redis->reader = NULL;
	redis_forget_command(redis);
}

static const char *redis_step(const struct conn *conn)
{
	const struct redis_conn *redis = conn_state_const(conn);

	switch (redis->step) {
	case REDIS_RESOLVE:
		return "resolving the host name";
	case REDIS_CONNECT:
		return redis->stream ? stream_step(redis->stream)
				     : "connecting";
	case REDIS_READY:
	case REDIS_DONE:
		return "idle";
	default:
		return redis_questions[redis->step].step;
	}
}

const struct check_kind check_redis = {
	.name = "redis",
	.timeout = "1s",
	.help = "a Redis or Valkey server that answers PING",
	.keys = redis_keys,
	.settings_size = sizeof(struct redis_settings),
	.conn_size = sizeof(struct redis_conn),
	.prepare = redis_prepare,
	.dispose = redis_dispose,
	.open = redis_open,
	.ask = redis_ask,
	.on_io = redis_on_io,
	.on_idle = redis_on_idle,
	.close = redis_close,
	.step = redis_step,
};

#include "config.h"

#include "kinds/redis/redis_talk.h"

#include "check/check.h"
#include "io/stream.h"

#include <hiredis/hiredis.h>

#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define REDIS_CHUNK_BYTES 4096

/* ---- one reply ---- */

#define REDIS_ANSWER_MAX_BYTES (16 * 1024)

static void *redis_answer_on_string(const redisReadTask *task, char *text,
				    size_t len)
{
	struct redis_answer *answer = task->privdata;
	const redisReadTask *parent = task->parent;

	if (parent && (parent->parent || task->idx != 0))
		return answer;
	answer->type = task->type;
	if (len >= sizeof(answer->text))
		len = sizeof(answer->text) - 1;
	memcpy(answer->text, text, len);
	answer->text[len] = '\0';
	return answer;
}

static redisReplyObjectFunctions redis_answer_functions = {
	.createString = redis_answer_on_string,
};

int redis_answer_open(struct redis_answer *answer)
{
	answer->reader = redisReaderCreateWithFunctions(
		&redis_answer_functions);
	if (!answer->reader)
		return -1;
	answer->reader->privdata = answer;
	return 0;
}

enum redis_answer_state {
	REDIS_ANSWER_PART,    /* more must come */
	REDIS_ANSWER_WHOLE,   /* type and text are filled */
	REDIS_ANSWER_SURPLUS, /* they are, but more bytes follow */
	REDIS_ANSWER_LONG,    /* more than any answer needs */
	REDIS_ANSWER_BROKEN,  /* not the protocol: see reader->errstr */
	REDIS_ANSWER_NO_MEMORY
};

/* All but REDIS_ANSWER_PART are final until the next question, and all but
 * REDIS_ANSWER_WHOLE after that, too. */
static enum redis_answer_state redis_answer_feed(struct redis_answer *answer,
						 const char *bytes, size_t len)
{
	redisReader *reader = answer->reader;
	void *out = NULL;

	answer->len += len;
	if (redisReaderFeed(reader, bytes, len) != REDIS_OK ||
	    redisReaderGetReply(reader, &out) != REDIS_OK)
		return reader->err == REDIS_ERR_OOM ? REDIS_ANSWER_NO_MEMORY
						    : REDIS_ANSWER_BROKEN;
	if (!out)
		return answer->len > REDIS_ANSWER_MAX_BYTES ? REDIS_ANSWER_LONG
							    : REDIS_ANSWER_PART;
	/* Without a function for it hiredis gives the type as a pointer. */
	if (out != answer)
		answer->type = (int)(intptr_t)out;
	return reader->pos == reader->len ? REDIS_ANSWER_WHOLE
					  : REDIS_ANSWER_SURPLUS;
}

/* ---- questions ---- */

static const struct redis_talk_question {
	const char *name; /* for our words */
	const char *step;
	int type;
	const char *text; /* NULL: see redis_talk_judge() */
} redis_talk_questions[] = {
	[REDIS_AUTH] = { "AUTH", "logging in", REDIS_REPLY_STATUS, "OK" },
	[REDIS_SELECT] = { "SELECT", "selecting the database",
			   REDIS_REPLY_STATUS, "OK" },
	[REDIS_PING] = { "PING", "waiting for the answer", REDIS_REPLY_STATUS,
			 "PONG" },
	/* A Sentinel answers PING, but does not know this command, which all
	 * others do, proxies and users with few rights included. */
	[REDIS_KEY] = { "GET", "asking whether it is a Sentinel", 0, NULL },
	[REDIS_ROLE] = { "ROLE", "waiting for the role", REDIS_REPLY_ARRAY,
			 NULL },
	[REDIS_CLUSTER] = { "CLUSTER INFO", "waiting for the cluster's state",
			    REDIS_REPLY_STRING, NULL },
};

const char *redis_talk_step(enum redis_step step)
{
	const char *words = step < REDIS_DONE ? redis_talk_questions[step].step
					      : NULL;

	return words ? words : "idle";
}

/* clang-format off */
static const struct {
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

/* What an error reply, without the "-" in front, means. */
static struct failure redis_talk_error(const char *says, const char *command)
{
	size_t i;

	for (i = 0; i < sizeof(redis_errors) / sizeof(*redis_errors); i++)
		if (strncmp(says, redis_errors[i].says,
			    strlen(redis_errors[i].says)) == 0)
			return failure_make(redis_errors[i].code, "%s",
					    redis_errors[i].words);
	if (strncmp(says, "NOPERM ", 7) == 0)
		return failure_make(RESULT_AUTH, "no permission for %s",
				    command);
	if (strcmp(command, "AUTH") == 0)
		return failure_make(RESULT_AUTH, "authentication failed");
	return failure_make(RESULT_UPSTREAM, "error reply to %s", command);
}

/* ---- judging ---- */

/* The answer to the last question of a phase, or one that ends it. */
static void redis_talk_end(struct conn *conn, enum result_code code,
			   const char *words)
{
	struct redis_conn *redis = conn_state(conn);
	bool opening = redis->step <= REDIS_READY;

	redis->step = REDIS_READY;
	redis_talk_drop(redis); /* a peer may answer what it did not read */
	conn_watch(conn, stream_fd(redis->stream), POLLIN);
	if (opening && code == RESULT_OK)
		conn_ready(conn);
	else if (opening)
		conn_failed(conn, code, "%s", words);
	else
		conn_answered(conn, code, "%s", words);
}

static void redis_talk_judge_error(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	struct failure failure = redis_talk_error(
		redis->answer.text, redis_talk_questions[redis->step].name);

	conn_detail(conn, redis->answer.text);
	redis_talk_end(conn, failure.code, failure.words);
}

static void redis_talk_is_sentinel(struct conn *conn)
{
	conn_detail(conn, "write the address of Redis, or role = sentinel");
	redis_talk_end(conn, RESULT_MISMATCH,
		       "is a Sentinel, not a Redis server");
}

static void redis_talk_judge_role(struct conn *conn)
{
	static const char *const names[] = {
		[REDIS_ROLE_MASTER] = "master",
		[REDIS_ROLE_REPLICA] = "slave",
		[REDIS_ROLE_SENTINEL] = "sentinel",
	};
	static const char *const words[] = {
		[REDIS_ROLE_MASTER] = "is not a master",
		[REDIS_ROLE_REPLICA] = "is not a replica",
		[REDIS_ROLE_SENTINEL] = "is not a Sentinel",
	};
	const struct redis_settings *settings = conn_settings(conn);
	struct redis_conn *redis = conn_state(conn);

	if (strcmp(redis->answer.text, names[settings->role]) == 0) {
		redis_talk_next(conn);
	} else if (strcmp(redis->answer.text, "sentinel") == 0) {
		redis_talk_is_sentinel(conn);
	} else {
		conn_detail(conn, redis->answer.text);
		redis_talk_end(conn, RESULT_MISMATCH, words[settings->role]);
	}
}

static bool redis_talk_is_error(const struct redis_conn *redis,
				const char *begin)
{
	return redis->answer.type == REDIS_REPLY_ERROR &&
	       strncmp(redis->answer.text, begin, strlen(begin)) == 0;
}

static void redis_talk_judge_key(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	redis->suspect = redis_talk_is_error(redis, "ERR unknown command");
	redis->known = !redis->suspect;
	redis_talk_next(conn);
}

/* It does not know GET: its role tells whether that was renamed, or it is a
 * Sentinel.  NOPERM means one, too: it has users, as only Redis and Sentinels
 * have. */
static void redis_talk_judge_suspect(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	if (redis_talk_is_error(redis, "NOPERM ") ||
	    strcmp(redis->answer.text, "sentinel") == 0) {
		redis_talk_is_sentinel(conn);
		return;
	}
	redis->known = true;
	redis->suspect = false;
	redis_talk_next(conn);
}

static void redis_talk_judge_cluster(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	if (strstr(redis->answer.text, "cluster_state:ok")) {
		redis_talk_next(conn);
		return;
	}
	conn_detail(conn, redis->answer.text);
	redis_talk_end(conn, RESULT_BUSY, "cluster is down");
}

/* A whole answer. */
static void redis_talk_judge(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	const struct redis_answer *answer = &redis->answer;
	const struct redis_talk_question *question =
		&redis_talk_questions[redis->step];

	if (redis->step == REDIS_KEY)
		redis_talk_judge_key(conn);
	else if (redis->step == REDIS_ROLE && redis->suspect)
		redis_talk_judge_suspect(conn);
	else if (answer->type == REDIS_REPLY_ERROR)
		redis_talk_judge_error(conn);
	else if (answer->type != question->type ||
		 (question->text && strcmp(answer->text, question->text) != 0))
		conn_failed(conn, RESULT_PROTOCOL, "unexpected answer to %s",
			    question->name);
	else if (redis->step == REDIS_ROLE)
		redis_talk_judge_role(conn);
	else if (redis->step == REDIS_CLUSTER)
		redis_talk_judge_cluster(conn);
	else
		redis_talk_next(conn);
}

/* ---- sending and receiving ---- */

/* What a TLS record begins with that refuses ours: an alert. */
#define REDIS_TLS_ALERT 0x15

/* A connection that is lost before the first answer is one to another kind of
 * server; most often to one that expects TLS. */
static bool redis_talk_may_want_tls(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	const struct redis_conn *redis = conn_state(conn);

	return !redis->heard && !settings->target.tls && !settings->target.path;
}

void redis_talk_stream_failed(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	const struct failure *failure = stream_failure(redis->stream);
	bool hint = failure->code == RESULT_CONNECT &&
		    redis_talk_may_want_tls(conn);

	conn_detail(conn, failure->detail);
	conn_failed(conn, failure->code, "%s%s", failure->words,
		    hint ? "; for TLS write rediss://" : "");
}

static void redis_talk_wait(struct conn *conn)
{
	const struct redis_conn *redis = conn_state(conn);

	conn_watch(conn, stream_fd(redis->stream),
		   stream_events(redis->stream));
}

void redis_talk_drop(struct redis_conn *redis)
{
	if (!redis->command)
		return;
	explicit_bzero(redis->command, redis->command_len);
	redisFreeCommand(redis->command);
	redis->command = NULL;
}

static enum stream_state redis_talk_send(struct redis_conn *redis)
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
			redis_talk_drop(redis);
	}
	return state;
}

/* Reads until the answer is there, whatever it is, or as stream_read(). */
static enum stream_state redis_talk_receive(struct redis_conn *redis,
					    enum redis_answer_state *answer)
{
	char chunk[REDIS_CHUNK_BYTES];
	enum stream_state state;
	size_t moved;

	do {
		state = stream_read(redis->stream, chunk, sizeof(chunk),
				    &moved);
		if (state != STREAM_DONE)
			return state;
		redis->alert = !redis->heard && *chunk == REDIS_TLS_ALERT;
		redis->heard = true;
		*answer = redis_answer_feed(&redis->answer, chunk, moved);
	} while (*answer == REDIS_ANSWER_PART);
	return STREAM_DONE;
}

static void redis_talk_take(struct conn *conn, enum redis_answer_state state)
{
	struct redis_conn *redis = conn_state(conn);

	switch (state) {
	case REDIS_ANSWER_WHOLE:
		redis_talk_judge(conn);
		return;
	case REDIS_ANSWER_SURPLUS:
		conn_failed(conn, RESULT_PROTOCOL, "more than one answer to %s",
			    redis_talk_questions[redis->step].name);
		return;
	case REDIS_ANSWER_NO_MEMORY:
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
		return;
	case REDIS_ANSWER_BROKEN:
		if (redis->alert) {
			conn_failed(conn, RESULT_TLS,
				    "peer speaks TLS; write rediss://");
			return;
		}
		conn_detail(conn, redis->answer.reader->errstr);
		conn_failed(conn, RESULT_PROTOCOL,
			    "answer is not in the Redis protocol");
		return;
	default:
		conn_failed(conn, RESULT_PROTOCOL, "answer is too long");
	}
}

/* Nothing more can be done now, or ever. */
static void redis_talk_pause(struct conn *conn, enum stream_state state)
{
	if (state == STREAM_PENDING)
		redis_talk_wait(conn);
	else
		redis_talk_stream_failed(conn);
}

void redis_talk(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	enum redis_answer_state answer = REDIS_ANSWER_PART;
	enum stream_state state = redis_talk_send(redis);

	/* A server that has too many clients says so and closes before it has
	 * read anything: the question fails, but an answer is there. */
	if (state != STREAM_PENDING)
		state = redis_talk_receive(redis, &answer);
	if (state == STREAM_DONE)
		redis_talk_take(conn, answer);
	else
		redis_talk_pause(conn, state);
}

/* With TLS there may be something to read that is not an answer: tickets. */
void redis_talk_idle(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);
	enum stream_state state;
	char byte;
	size_t moved;

	state = stream_read(redis->stream, &byte, 1, &moved);
	if (state == STREAM_DONE)
		conn_failed(conn, RESULT_PROTOCOL,
			    "an answer came without a question");
	else
		redis_talk_pause(conn, state);
}

/* ---- asking ---- */

static void redis_talk_put(struct conn *conn, int argc, const char *argv[])
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
	redis->answer.len = 0;
	redis->answer.text[0] = '\0';
	redis_talk(conn);
}

static bool redis_talk_has_login(const struct redis_url *target)
{
	return (target->user && *target->user) ||
	       (target->password && *target->password);
}

/* Whether the step is part of what was configured. */
static bool redis_talk_wants(const struct redis_settings *settings,
			     const struct redis_conn *redis)
{
	switch (redis->step) {
	case REDIS_AUTH:
		return redis_talk_has_login(&settings->target);
	case REDIS_SELECT:
		/* Sentinels and clusters do not know it, nor need they. */
		return settings->target.database != 0;
	case REDIS_KEY:
		return settings->role == REDIS_ROLE_ANY && !redis->known &&
		       !settings->cluster; /* no Sentinel is in one */
	case REDIS_ROLE:
		return settings->role != REDIS_ROLE_ANY || redis->suspect;
	case REDIS_CLUSTER:
		return settings->cluster;
	default:
		return true;
	}
}

static void redis_talk_put_auth(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	const struct redis_url *target = &settings->target;
	const char *password = target->password ? target->password : "";

	/* The form with a user is not known before Redis 6. */
	if (target->user && *target->user)
		redis_talk_put(
			conn, 3,
			(const char *[]){ "AUTH", target->user, password });
	else
		redis_talk_put(conn, 2, (const char *[]){ "AUTH", password });
}

static void redis_talk_put_select(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	char number[24];

	snprintf(number, sizeof(number), "%lld",
		 (long long)settings->target.database);
	redis_talk_put(conn, 2, (const char *[]){ "SELECT", number });
}

void redis_talk_next(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	do
		redis->step++;
	while (!redis_talk_wants(conn_settings(conn), redis));
	switch (redis->step) {
	case REDIS_AUTH:
		redis_talk_put_auth(conn);
		break;
	case REDIS_SELECT:
		redis_talk_put_select(conn);
		break;
	case REDIS_PING:
		redis_talk_put(conn, 1, (const char *[]){ "PING" });
		break;
	case REDIS_KEY:
		redis_talk_put(conn, 2,
			       (const char *[]){ "GET", "health.fcgi" });
		break;
	case REDIS_ROLE:
		redis_talk_put(conn, 1, (const char *[]){ "ROLE" });
		break;
	case REDIS_CLUSTER:
		redis_talk_put(conn, 2, (const char *[]){ "CLUSTER", "INFO" });
		break;
	default: /* REDIS_READY, REDIS_DONE */
		redis_talk_end(conn, RESULT_OK, "");
	}
}

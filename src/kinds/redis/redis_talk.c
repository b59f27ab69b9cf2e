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
/* The first byte of a TLS record that refuses what we sent: an alert. */
#define REDIS_TLS_ALERT 0x15

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

/* -1: out of memory. */
static int redis_answer_open(struct redis_answer *answer)
{
	answer->reader = redisReaderCreateWithFunctions(
		&redis_answer_functions);
	if (!answer->reader)
		return -1;
	answer->reader->privdata = answer;
	return 0;
}

enum redis_answer_state {
	REDIS_ANSWER_PART,    /* read more */
	REDIS_ANSWER_WHOLE,   /* type and text are set */
	REDIS_ANSWER_SURPLUS, /* they are set, but more bytes follow */
	REDIS_ANSWER_LONG,    /* more than any answer needs */
	REDIS_ANSWER_BROKEN,  /* not the protocol: see reader->errstr */
	REDIS_ANSWER_TLS,     /* the peer's refusal to speak without TLS */
	REDIS_ANSWER_NO_MEMORY
};

/* After REDIS_ANSWER_PART takes more of the answer, after REDIS_ANSWER_WHOLE
 * the next one. */
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
	/* Without a function for a type, hiredis returns the type itself. */
	if (out != answer)
		answer->type = (int)(intptr_t)out;
	return reader->pos == reader->len ? REDIS_ANSWER_WHOLE
					  : REDIS_ANSWER_SURPLUS;
}

/* ---- questions ---- */

static const struct redis_question {
	const char *name; /* the command, as our words call it */
	const char *step;
	int type;
	const char *text; /* NULL: see redis_talk_judge() */
} redis_questions[REDIS_DONE + 1] = {
	[REDIS_AUTH] = { "AUTH", "logging in", REDIS_REPLY_STATUS, "OK" },
	[REDIS_SELECT] = { "SELECT", "selecting the database",
			   REDIS_REPLY_STATUS, "OK" },
	[REDIS_PING] = { "PING", "waiting for the answer", REDIS_REPLY_STATUS,
			 "PONG" },
	/* Sentinels answer PING, but do not know this command.  All other
	 * servers and proxies know it, also for users with few rights. */
	[REDIS_KEY] = { "GET", "asking whether it is a Sentinel", 0, NULL },
	[REDIS_ROLE] = { "ROLE", "waiting for the role", REDIS_REPLY_ARRAY,
			 NULL },
	[REDIS_CLUSTER] = { "CLUSTER INFO", "waiting for the cluster's state",
			    REDIS_REPLY_STRING, NULL },
};

const char *redis_talk_step(const struct conn *conn)
{
	const struct redis_conn *redis = conn_state(conn);
	const char *step = redis_questions[redis->step].step;

	return step ? step : "idle";
}

/* clang-format off */
static const struct {
	const char *says; /* how it begins */
	enum result_code code;
	const char *words; /* that end in a blank: the command follows */
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
	{ "NOPERM ", RESULT_AUTH, "no permission for " },
	{ "", RESULT_UPSTREAM, "error reply to " },
};
/* clang-format on */

static bool redis_begins(const char *text, const char *begin)
{
	return strncmp(text, begin, strlen(begin)) == 0;
}

/* What an error reply, without the "-" in front, means. */
static struct failure redis_talk_error(const char *says, const char *command)
{
	const char *words;
	size_t i = 0;

	while (!redis_begins(says, redis_errors[i].says))
		i++;
	words = redis_errors[i].words;
	if (!*redis_errors[i].says && strcmp(command, "AUTH") == 0)
		return failure_make(RESULT_AUTH, "authentication failed");
	return failure_make(redis_errors[i].code, "%s%s", words,
			    words[strlen(words) - 1] == ' ' ? command : "");
}

/* ---- judging ---- */

/* Ends the opening or the run. */
static void redis_talk_end(struct conn *conn, const struct failure *failure)
{
	struct redis_conn *redis = conn_state(conn);
	bool opening = redis->step <= REDIS_READY;

	redis->step = REDIS_READY;
	conn_watch(conn, stream_fd(redis->stream), POLLIN);
	if (*failure->detail)
		conn_detail(conn, failure->detail);
	if (failure->code == RESULT_PROTOCOL ||
	    (opening && failure->code != RESULT_OK))
		conn_failed(conn, failure->code, "%s", failure->words);
	else if (opening)
		conn_ready(conn);
	else
		conn_answered(conn, failure->code, "%s", failure->words);
}

/* What a whole answer means; RESULT_OK: go on. */
static struct failure redis_talk_judge(const struct redis_settings *settings,
				       struct redis_conn *redis)
{
	static const struct {
		const char *name, *words;
	} roles[] = {
		[REDIS_ROLE_MASTER] = { "master", "is not a master" },
		[REDIS_ROLE_REPLICA] = { "slave", "is not a replica" },
		[REDIS_ROLE_SENTINEL] = { "sentinel", "is not a Sentinel" },
	};
	const struct redis_question *question = &redis_questions[redis->step];
	const char *text = redis->answer.text;
	bool error = redis->answer.type == REDIS_REPLY_ERROR, sentinel;
	struct failure failure = { .code = RESULT_OK };

	sentinel = redis->step == REDIS_ROLE && strcmp(text, "sentinel") == 0;
	if (redis->step == REDIS_KEY) {
		redis->suspect = error &&
				 redis_begins(text, "ERR unknown command");
		redis->known = !redis->suspect;
	} else if (redis->step == REDIS_ROLE && redis->suspect) {
		/* Either GET was renamed, or this is a Sentinel.  NOPERM means
		 * a Sentinel, too: only Redis and Sentinels have users. */
		sentinel |= error && redis_begins(text, "NOPERM ");
		redis->suspect = sentinel;
		redis->known = !sentinel;
		failure.code = sentinel ? RESULT_MISMATCH : RESULT_OK;
	} else if (error) {
		failure = redis_talk_error(text, question->name);
	} else if (redis->answer.type != question->type ||
		   (question->text && strcmp(text, question->text) != 0)) {
		return failure_make(RESULT_PROTOCOL, "unexpected answer to %s",
				    question->name);
	} else if (redis->step == REDIS_ROLE &&
		   strcmp(text, roles[settings->role].name) != 0) {
		failure = failure_make(RESULT_MISMATCH, "%s",
				       roles[settings->role].words);
	} else if (redis->step == REDIS_CLUSTER &&
		   !strstr(text, "cluster_state:ok")) {
		failure = failure_make(RESULT_BUSY, "cluster is down");
	}
	if (sentinel && failure.code == RESULT_MISMATCH) {
		failure = failure_make(RESULT_MISMATCH,
				       "is a Sentinel, not a Redis server");
		text = "write the address of Redis, or role = sentinel";
	}
	snprintf(failure.detail, sizeof(failure.detail), "%s", text);
	return failure;
}

/* ---- sending and receiving ---- */

static void redis_talk_drop(struct redis_conn *redis)
{
	if (!redis->command)
		return;
	explicit_bzero(redis->command, redis->command_len);
	redisFreeCommand(redis->command);
	redis->command = NULL;
}

static enum stream_state redis_talk_send(struct redis_conn *redis)
{
	enum stream_state state;
	size_t moved;

	while (redis->command) {
		state = stream_write(
			redis->stream, redis->command + redis->command_sent,
			redis->command_len - redis->command_sent, &moved);
		if (state != STREAM_DONE)
			return state;
		redis->command_sent += moved;
		if (redis->command_sent == redis->command_len)
			redis_talk_drop(redis);
	}
	return STREAM_DONE;
}

/* Reads until the answer is complete or wrong, or nothing can be read. */
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
		*answer = redis_answer_feed(&redis->answer, chunk, moved);
		if (*answer == REDIS_ANSWER_BROKEN && !redis->heard &&
		    *chunk == REDIS_TLS_ALERT)
			*answer = REDIS_ANSWER_TLS;
		redis->heard = true;
	} while (*answer == REDIS_ANSWER_PART);
	return STREAM_DONE;
}

static void redis_talk_take(struct conn *conn, enum redis_answer_state state)
{
	static const struct {
		enum result_code code;
		const char *words;
	} bad[] = {
		[REDIS_ANSWER_SURPLUS] = { RESULT_PROTOCOL,
					   "more than one answer to " },
		[REDIS_ANSWER_LONG] = { RESULT_PROTOCOL, "answer is too long" },
		[REDIS_ANSWER_BROKEN] = { RESULT_PROTOCOL,
					  "answer is not in the Redis "
					  "protocol" },
		[REDIS_ANSWER_TLS] = { RESULT_TLS,
				       "peer speaks TLS; write rediss://" },
		[REDIS_ANSWER_NO_MEMORY] = { RESULT_INTERNAL, "out of memory" },
	};
	struct redis_conn *redis = conn_state(conn);
	struct failure failure;

	if (state == REDIS_ANSWER_WHOLE) {
		/* A peer may answer before it has read the question. */
		redis_talk_drop(redis);
		failure = redis_talk_judge(conn_settings(conn), redis);
		if (failure.code == RESULT_OK)
			redis_talk_next(conn);
		else
			redis_talk_end(conn, &failure);
		return;
	}
	if (state == REDIS_ANSWER_BROKEN)
		conn_detail(conn, redis->answer.reader->errstr);
	conn_failed(conn, bad[state].code, "%s%s", bad[state].words,
		    state == REDIS_ANSWER_SURPLUS
			    ? redis_questions[redis->step].name
			    : "");
}

/* Waits for the stream, or ends the connection as the stream did. */
static void redis_talk_pause(struct conn *conn, enum stream_state state)
{
	const struct redis_settings *settings = conn_settings(conn);
	const struct redis_conn *redis = conn_state(conn);
	const struct failure *failure = stream_failure(redis->stream);
	bool hint;

	if (state == STREAM_PENDING) {
		conn_watch(conn, stream_fd(redis->stream),
			   stream_events(redis->stream));
		return;
	}
	/* A server that closes the connection before it has answered anything
	 * is of another kind, most often one that expects TLS. */
	hint = failure->code == RESULT_CONNECT && !redis->heard &&
	       !settings->target.tls && !settings->target.path;
	conn_detail(conn, failure->detail);
	conn_failed(conn, failure->code, "%s%s", failure->words,
		    hint ? "; for TLS write rediss://" : "");
}

void redis_talk(struct conn *conn, short revents)
{
	struct redis_conn *redis = conn_state(conn);
	enum redis_answer_state answer = REDIS_ANSWER_PART;
	enum stream_state state = redis_talk_send(redis);

	(void)revents;
	/* A server that has too many clients says so and closes before it reads
	 * anything: the write fails, but there is an answer to read. */
	if (state != STREAM_PENDING)
		state = redis_talk_receive(redis, &answer);
	if (state == STREAM_DONE)
		redis_talk_take(conn, answer);
	else
		redis_talk_pause(conn, state);
}

void redis_talk_idle(struct conn *conn, short revents)
{
	struct redis_conn *redis = conn_state(conn);
	enum stream_state state;
	char byte;
	size_t moved;

	(void)revents;
	state = stream_read(redis->stream, &byte, 1, &moved);
	/* With TLS, session tickets may arrive, which are not an answer. */
	if (state == STREAM_DONE)
		conn_failed(conn, RESULT_PROTOCOL,
			    "an answer came without a question");
	else
		redis_talk_pause(conn, state);
}

/* ---- asking ---- */

static bool redis_talk_is_set(const char *text)
{
	return text && *text;
}

/* Whether the step is part of what is configured. */
static bool redis_talk_wants(const struct redis_settings *settings,
			     const struct redis_conn *redis)
{
	switch (redis->step) {
	case REDIS_AUTH:
		return redis_talk_is_set(settings->target.user) ||
		       redis_talk_is_set(settings->target.password);
	case REDIS_SELECT:
		/* Sentinels and clusters do not know this command. */
		return settings->target.database != 0;
	case REDIS_KEY:
		/* A Sentinel is never a node of a cluster. */
		return settings->role == REDIS_ROLE_ANY && !redis->known &&
		       !settings->cluster;
	case REDIS_ROLE:
		return settings->role != REDIS_ROLE_ANY || redis->suspect;
	case REDIS_CLUSTER:
		return settings->cluster;
	default:
		return true;
	}
}

void redis_talk_next(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	const struct redis_url *target = &settings->target;
	bool user = redis_talk_is_set(target->user);
	/* Redis before version 6 knows only the form without a user. */
	const char *login[] = { "AUTH", user ? target->user : NULL,
				target->password ? target->password : "" };
	struct redis_conn *redis = conn_state(conn);
	long long len;

	do
		redis->step++;
	while (!redis_talk_wants(settings, redis));
	switch (redis->step) {
	case REDIS_READY:
	case REDIS_DONE:
		redis_talk_end(conn, &(struct failure){ .code = RESULT_OK });
		return;
	case REDIS_AUTH:
		if (!user)
			login[1] = login[2];
		/* redisFormatCommand() leaves copies in freed memory. */
		len = redisFormatCommandArgv(&redis->command, user ? 3 : 2,
					     login, NULL);
		break;
	case REDIS_SELECT:
		len = redisFormatCommand(&redis->command, "SELECT %lld",
					 (long long)target->database);
		break;
	case REDIS_KEY:
		len = redisFormatCommand(&redis->command, "GET health.fcgi");
		break;
	default:
		len = redisFormatCommand(&redis->command,
					 redis_questions[redis->step].name);
	}
	if (len < 0) {
		redis->command = NULL;
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
		return;
	}
	redis->command_len = (size_t)len;
	redis->command_sent = 0;
	redis->answer.len = 0;
	redis->answer.text[0] = '\0';
	redis_talk(conn, 0);
}

/* ---- opening and closing ---- */

void redis_talk_open(struct conn *conn, struct stream *stream)
{
	struct redis_conn *redis = conn_state(conn);

	redis->stream = stream;
	if (redis_answer_open(&redis->answer))
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
	else
		redis_talk_next(conn);
}

void redis_talk_close(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	stream_close(redis->stream);
	redis->stream = NULL;
	redisReaderFree(redis->answer.reader);
	redis->answer.reader = NULL;
	redis_talk_drop(redis);
}

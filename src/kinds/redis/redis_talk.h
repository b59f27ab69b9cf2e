/*
 * redis_talk: the questions to a Redis server and what the answers mean, one
 * step after another, on an open stream.
 *
 * hiredis formats and parses only: its own input and output would look names up
 * in this thread and, in the version of Debian 12, has no TLS.
 *
 * The functions are those of struct check_kind (check.h), except that the
 * stream is opened by conn_dial().
 */
#ifndef HEALTH_REDIS_TALK_H
#define HEALTH_REDIS_TALK_H

#include <stddef.h>

#include "kinds/redis/redis_url.h"

struct conn;
struct redisReader;
struct stream;
struct stream_trust;

enum redis_role {
	REDIS_ROLE_ANY,
	REDIS_ROLE_MASTER,
	REDIS_ROLE_REPLICA,
	REDIS_ROLE_SENTINEL
};

struct redis_settings {
	char *url, *socket, *user, *password;
	char *ca_file, *cert_file, *key_file;
	int64_t database;
	int role;
	bool cluster;
	/* Set by prepare(); its texts belong to conf. */
	struct redis_url target;
	struct stream_trust *trust; /* NULL: no TLS */
};

#define REDIS_ANSWER_TEXT_BYTES 192

/*
 * The reply to one question.  hiredis builds no tree of replies: a peer that
 * announces a huge array would make it allocate gigabytes.  One text is kept,
 * cut; of everything else only the type.
 */
struct redis_answer {
	struct redisReader *reader;
	size_t len;			    /* bytes received */
	int type;			    /* REDIS_REPLY_... */
	char text[REDIS_ANSWER_TEXT_BYTES]; /* of an array: of its first
					       element; or "" */
};

/* In this order; those that are not needed are skipped. */
enum redis_step {
	REDIS_CONNECT,
	REDIS_AUTH,
	REDIS_SELECT,
	REDIS_READY, /* between runs */
	REDIS_PING,
	REDIS_KEY, /* once per connection: is it a Sentinel? */
	REDIS_ROLE,
	REDIS_CLUSTER,
	REDIS_DONE
};

/* State per connection; zeroed: closed. */
struct redis_conn {
	enum redis_step step;
	struct stream *stream;
	struct redis_answer answer;
	char *command; /* NULL: sent */
	size_t command_len, command_sent;
	bool known;   /* it is not a Sentinel */
	bool suspect; /* it does not know GET: it may be a Sentinel */
	bool heard;   /* the peer has sent something */
};

/* Takes the open stream and logs in. */
void redis_talk_open(struct conn *conn, struct stream *stream);
/* Sends the next command that is configured; after the last one the phase
 * succeeds. */
void redis_talk_next(struct conn *conn);
/* Sends the rest of the question, and reads what has arrived of the answer. */
void redis_talk(struct conn *conn, short revents);
/* Looks at what arrived although nothing was asked. */
void redis_talk_idle(struct conn *conn, short revents);
void redis_talk_close(struct conn *conn);
const char *redis_talk_step(const struct conn *conn);

#endif

/*
 * redis_talk: questions to a Redis server and what the answers mean, one step
 * after another, on a connection that is open.
 *
 * Belongs to the prober thread; never blocks.  Each function but
 * redis_talk_drop() may end the opening or the run (see check.h): the
 * connection may be gone when it returns.
 */
#ifndef HEALTH_REDIS_TALK_H
#define HEALTH_REDIS_TALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

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
	/* made by prepare */
	struct redis_url target;
	struct stream_trust *trust; /* NULL: no TLS */
};

#define REDIS_ANSWER_TEXT_BYTES 192

/*
 * The bytes that come for one question, as one reply.  hiredis builds no tree
 * of replies: a peer that announces a huge array would make it allocate
 * gigabytes.  One text is kept, cut, and of everything else only the type.
 * Embedded in its owner; zeroed means closed.
 */
struct redis_answer {
	struct redisReader *reader;
	size_t len;			    /* bytes that came */
	int type;			    /* REDIS_REPLY_... */
	char text[REDIS_ANSWER_TEXT_BYTES]; /* of an array: of its first
					       element; "": none */
};

/* -1: out of memory. */
int redis_answer_open(struct redis_answer *answer)
	__attribute__((warn_unused_result));

/* In the order in which they come, those that are needed. */
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
	bool suspect; /* it knows no keys: it may be one */
	bool heard;   /* the peer has said something */
	bool alert;   /* ... that refuses to speak without TLS */
};

/* Sends the next command that is configured; after the last one the phase
 * succeeds. */
void redis_talk_next(struct conn *conn);
/* Sends what is left of the question and reads what is there of the answer. */
void redis_talk(struct conn *conn);
/* Looks at what came although nothing was asked. */
void redis_talk_idle(struct conn *conn);
/* Ends the connection with what the stream reports. */
void redis_talk_stream_failed(struct conn *conn);
/* What is being waited for. */
const char *redis_talk_step(enum redis_step step);
/* Forgets the question under way, at any step; also twice. */
void redis_talk_drop(struct redis_conn *redis);

#endif

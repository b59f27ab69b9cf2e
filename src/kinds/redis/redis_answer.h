/*
 * redis_answer: the bytes that come for one question, as one reply.
 *
 * hiredis builds no tree of replies here, for which a peer could make it
 * allocate gigabytes by announcing a huge array: the one text that matters is
 * kept, cut, and of everything else only the type.
 *
 * Belongs to the prober thread; no input or output of its own.
 */
#ifndef HEALTH_REDIS_ANSWER_H
#define HEALTH_REDIS_ANSWER_H

#include <stddef.h>

struct redisReader;

#define REDIS_ANSWER_TEXT_BYTES 192

enum redis_answer_state {
	REDIS_ANSWER_PART,    /* more must come */
	REDIS_ANSWER_WHOLE,   /* type and text are filled */
	REDIS_ANSWER_SURPLUS, /* so they are, but something came behind it */
	REDIS_ANSWER_LONG,    /* more than any answer needs */
	REDIS_ANSWER_BROKEN,  /* not the protocol: see redis_answer_detail() */
	REDIS_ANSWER_NO_MEMORY
};

/* Embedded in its owner; zeroed means closed. */
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
/* Before each question. */
void redis_answer_expect(struct redis_answer *answer);
/* Everything but REDIS_ANSWER_PART is final until the next question; what is
 * not a whole answer, until it is closed. */
enum redis_answer_state redis_answer_feed(struct redis_answer *answer,
					  const char *bytes, size_t len);
/* What hiredis said of a broken one; borrowed until it is closed. */
const char *redis_answer_detail(const struct redis_answer *answer);
/* Also twice. */
void redis_answer_close(struct redis_answer *answer);

#endif

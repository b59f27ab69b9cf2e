#include "config.h"

#include "kinds/redis/redis_answer.h"

#include <hiredis/hiredis.h>

#include <stdint.h>
#include <string.h>

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

void redis_answer_expect(struct redis_answer *answer)
{
	answer->len = 0;
	answer->text[0] = '\0';
}

enum redis_answer_state redis_answer_feed(struct redis_answer *answer,
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

const char *redis_answer_detail(const struct redis_answer *answer)
{
	return answer->reader->errstr;
}

void redis_answer_close(struct redis_answer *answer)
{
	if (answer->reader)
		redisReaderFree(answer->reader);
	answer->reader = NULL;
}

/*
 * redis_words: an error reply of Redis, a Sentinel or a cluster, as our code
 * and words.
 *
 * Pure; any thread.  Nothing can fail.
 */
#ifndef HEALTH_REDIS_WORDS_H
#define HEALTH_REDIS_WORDS_H

#include "base/result.h"

struct redis_failure {
	enum result_code code;
	char words[RESULT_ERROR_BYTES];
};

/* What the server says, without the "-" in front, and to which command. */
struct redis_failure redis_words_error(const char *says, const char *command);

#endif

/*
 * openai_answer: whether a body is what was asked for: a list of models, or one
 * model.  Some servers answer 200 to anything.
 *
 * Lists may be long, and cut off at the limit, so they are searched in place,
 * without building a tree.
 *
 * Pure; any thread.  Nothing can fail.
 */
#ifndef HEALTH_OPENAI_ANSWER_H
#define HEALTH_OPENAI_ANSWER_H

#include <stdbool.h>

#include "kinds/http/http_ask.h"
#include "base/result.h"

/* What the answer may be. */
#define OPENAI_LIST 1u
#define OPENAI_MODEL 2u

/* RESULT_OK, or what is wrong with the body of a 200; words: static. */
enum result_code openai_answer_judge(const struct http_answer *answer,
				     unsigned may_be, const char **words);

/* Whether the part of a list that was read has a model of this name. */
bool openai_answer_lists(const struct http_answer *answer, const char *name);

/* Whether the body of a 200 says that the server does not know the path. */
bool openai_answer_no_path(const struct http_answer *answer);

#endif

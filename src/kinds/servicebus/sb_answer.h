/*
 * sb_answer: what an answer of $cbs or $management says, and what it and the
 * error conditions of AMQP mean in our words.
 *
 * Only the sections that stand before the body of a message are read, so the
 * body need not be there.  Prober thread.
 */
#ifndef HEALTH_SB_ANSWER_H
#define HEALTH_SB_ANSWER_H

#include <stdbool.h>
#include <stddef.h>

#include "base/result.h"

struct pn_data_t;

struct sb_answer {
	int status;			  /* as in HTTP */
	char correlation[64];		  /* the message-id of the question */
	char condition[64];		  /* "com.microsoft:server-busy"; "" */
	char detail[RESULT_DETAIL_BYTES]; /* words of the peer */
};

/* code, and unless RESULT_OK our words. */
struct sb_verdict {
	enum result_code code;
	const char *words;
};

/* Reads the head of a message (AMQP 1.0 part 3, section 3.2); false: there is
 * no status in it. */
bool sb_answer_read(struct sb_answer *answer, const char *head, size_t len);

struct sb_verdict sb_answer_judge(const struct sb_answer *answer);

/* The value that data stands at, cut to size; "" when it is not a text. */
void sb_copy_text(char *to, size_t size, struct pn_data_t *data);

/* What an error condition means that ended a link, session or connection;
 * NULL or "": none was given. */
struct sb_verdict sb_condition_judge(const char *condition);

#endif

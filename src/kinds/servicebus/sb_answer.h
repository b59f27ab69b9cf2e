/*
 * sb_answer: reads answers from $cbs and $management, and turns them and AMQP
 * error conditions into our codes and words.
 *
 * Reads only the sections before the body of a message, so the body may be
 * missing.  Prober thread.
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
	char detail[RESULT_DETAIL_BYTES]; /* the peer's words */
};

/* The code and our words, "" for RESULT_OK. */
struct sb_verdict {
	enum result_code code;
	const char *words;
};

/* Reads the head of a message (AMQP 1.0 part 3, section 3.2); false: it has no
 * status. */
bool sb_answer_read(struct sb_answer *answer, const char *head, size_t len);

struct sb_verdict sb_answer_judge(const struct sb_answer *answer);

/* Copies the current value of data, cut to size; "" when it is not a string. */
void sb_copy_text(char *to, size_t size, struct pn_data_t *data);

/* Judges the error condition that ended a link, session or connection; NULL or
 * "": none was given. */
struct sb_verdict sb_condition_judge(const char *condition);

#endif

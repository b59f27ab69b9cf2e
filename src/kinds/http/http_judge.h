/*
 * http_judge: whether an HTTP answer is the expected one.
 *
 * Pure, except that it allocates; any thread.
 */
#ifndef HEALTH_HTTP_JUDGE_H
#define HEALTH_HTTP_JUDGE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/failure.h"
#include "kinds/http/http_ask.h"

#define HTTP_RANGES_MAX 16

struct http_range {
	int first, last;
};

struct http_expected {
	struct http_range statuses[HTTP_RANGES_MAX];
	size_t n_statuses;
	/* Borrowed; NULL: anything is right. */
	const char *contains;
	const char *json;   /* path of a value: data.items[0].state */
	const char *equals; /* that value; NULL: any but null */
};

/* "200-399,404" into the empty list; false: it is malformed or too long. */
bool http_judge_parse_statuses(struct http_expected *expected,
			       const char *text);
bool http_judge_is_json_path(const char *path);

bool http_judge_status(const struct http_expected *expected, long status);

/* Whether the rest of the answer cannot change the result; its body is new from
 * this byte on. */
bool http_judge_enough(const struct http_expected *expected,
		       const struct http_answer *answer, size_t from);

/* The code RESULT_OK, or what is wrong; the detail has what was expected, and
 * what was there. */
struct failure http_judge_body(const struct http_expected *expected,
			       const struct http_answer *answer);

#endif

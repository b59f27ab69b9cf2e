#include "config.h"

#include "kinds/http/http_judge.h"

#include "base/text.h"

#include <cjson/cJSON.h>

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_NAME_BYTES 256 /* of one member in a JSON path */

/* cJSON allocates 80 bytes for a value, and parses all of them in one call: at
 * most 4 MB and 10 ms. */
#define HTTP_JSON_VALUES 50000
#define HTTP_JSON_BYTES (4 * 1024 * 1024)
/* Of an array or object as text; `equals` has at most 1024. */
#define HTTP_JSON_TEXT_BYTES 2048
#define HTTP_EXPONENT_MAX 999999
#define HTTP_DIGITS "0123456789"

/* ---- status ---- */

static bool http_judge_parse_status(const char **at, int *status)
{
	const char *from = *at + strspn(*at, " \t");

	if (strspn(from, HTTP_DIGITS) != 3)
		return false;
	*status = (int)strtol(from, NULL, 10);
	*at = from + 3 + strspn(from + 3, " \t");
	return *status >= 100 && *status <= 599;
}

bool http_judge_parse_statuses(struct http_expected *expected, const char *text)
{
	const char *at = text;

	for (;;) {
		struct http_range range;

		if (expected->n_statuses == HTTP_RANGES_MAX ||
		    !http_judge_parse_status(&at, &range.first))
			return false;
		range.last = range.first;
		if (*at == '-') {
			at++;
			if (!http_judge_parse_status(&at, &range.last) ||
			    range.last < range.first)
				return false;
		}
		expected->statuses[expected->n_statuses++] = range;
		if (!*at)
			return true;
		if (*at++ != ',')
			return false;
	}
}

bool http_judge_status(const struct http_expected *expected, long status)
{
	size_t i;

	for (i = 0; i < expected->n_statuses; i++)
		if (status >= expected->statuses[i].first &&
		    status <= expected->statuses[i].last)
			return true;
	return false;
}

/* ---- numbers ---- */

/*
 * cJSON keeps a number as a double, which cannot hold all the digits of an
 * integer above 2^53.  So the text of a number is compared, as a decimal number
 * of any length.
 */

/* 0.0012 and 12e-4: the digits "12", the first of which counts 10^-3. */
struct http_number {
	bool negative;
	const char *digits; /* from the first to the last that is not 0 */
	size_t len;	    /* the point may be one of them */
	long power;
};

/* The end of the string of a JSON text that begins here. */
static const char *http_number_skip_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && at[1])
			at++;
	return *at ? at + 1 : at;
}

/* Counts the numbers of a tree before this one, in the order of the text. */
static bool http_number_count(const cJSON *value, const cJSON *number,
			      size_t *before)
{
	for (; value; value = value->next) {
		if (value == number)
			return true;
		if (cJSON_IsNumber(value))
			++*before;
		if (http_number_count(value->child, number, before))
			return true;
	}
	return false;
}

/* The text of a number that is part of json, which was parsed from body; for
 * free(). */
static char *http_number_text(const cJSON *json, const cJSON *number,
			      const char *body)
{
	size_t before = 0, len;

	http_number_count(json, number, &before);
	for (;;) {
		body += strcspn(body, "\"-" HTTP_DIGITS);
		len = strspn(body, "-+.eE" HTTP_DIGITS);
		if (*body == '"')
			body = http_number_skip_string(body);
		else if (!*body || !before--)
			return strndup(body, len);
		else
			body += len;
	}
}

/* RFC 8259 section 6; false also for an exponent of more than 6 digits. */
static bool http_number_parse(const char *at, struct http_number *number)
{
	size_t whole, fraction;
	char *end;
	long power = 0;

	number->negative = *at == '-';
	at += number->negative;
	number->digits = at;
	whole = strspn(at, HTTP_DIGITS);
	if (!whole || (whole > 1 && *at == '0'))
		return false;
	at += whole;
	if (*at == '.') {
		fraction = strspn(++at, HTTP_DIGITS);
		if (!fraction)
			return false;
		at += fraction;
	}
	number->len = (size_t)(at - number->digits);
	if (*at == 'e' || *at == 'E') {
		at++;
		if (!isdigit((unsigned char)at[*at == '-' || *at == '+']))
			return false;
		power = strtol(at, &end, 10);
		at = end;
	}
	if (*at || power < -HTTP_EXPONENT_MAX || power > HTTP_EXPONENT_MAX)
		return false;
	number->power = power + (long)whole;
	return true;
}

/* Removes zeros at both ends. */
static void http_number_trim(struct http_number *number)
{
	for (; number->len && strchr("0.", *number->digits); number->len--)
		number->power -= *number->digits++ == '0';
	while (number->len && strchr("0.", number->digits[number->len - 1]))
		number->len--;
}

static bool http_number_same_digits(const struct http_number *one,
				    const struct http_number *two)
{
	size_t i = 0, j = 0;

	for (;; i++, j++) {
		i += i < one->len && one->digits[i] == '.';
		j += j < two->len && two->digits[j] == '.';
		if (i >= one->len || j >= two->len)
			return i >= one->len && j >= two->len;
		if (one->digits[i] != two->digits[j])
			return false;
	}
}

/* Whether both are the same number, however written: 100.0, 1e2. */
static bool http_number_equal(const char *one, const char *two)
{
	struct http_number first, second;

	if (!http_number_parse(one, &first) || !http_number_parse(two, &second))
		return false;
	http_number_trim(&first);
	http_number_trim(&second);
	if (!first.len || !second.len) /* -0 is 0, and so is 0e5 */
		return !first.len && !second.len;
	return first.negative == second.negative &&
	       first.power == second.power &&
	       http_number_same_digits(&first, &second);
}

/* ---- JSON ---- */

/* Cuts the next step off a JSON path: a member's name, or with name "" an
 * index.  false: the path is malformed. */
static bool http_judge_step(const char **at, char name[HTTP_NAME_BYTES],
			    int *index)
{
	const char *from = *at;
	size_t len;

	name[0] = '\0';
	if (*from == '[') {
		len = strspn(++from, HTTP_DIGITS);
		if (len < 1 || len > 6 || from[len] != ']')
			return false;
		*index = (int)strtol(from, NULL, 10);
		from += len + 1;
	} else {
		len = strcspn(from, ".[]");
		if (len < 1 || len >= HTTP_NAME_BYTES)
			return false;
		memcpy(name, from, len);
		name[len] = '\0';
		from += len;
	}
	if (*from == '.' && from[1] && !strchr(".[", from[1]))
		from++;
	else if (*from && *from != '[')
		return false;
	*at = from;
	return true;
}

bool http_judge_is_json_path(const char *path)
{
	char name[HTTP_NAME_BYTES];
	int index;

	do {
		if (!http_judge_step(&path, name, &index))
			return false;
	} while (*path);
	return true;
}

static const cJSON *http_judge_find(const cJSON *value, const char *path)
{
	char name[HTTP_NAME_BYTES];
	int index = 0;

	while (value && *path && http_judge_step(&path, name, &index)) {
		if (name[0])
			value = cJSON_GetObjectItemCaseSensitive(value, name);
		else
			value = cJSON_IsArray(value)
					? cJSON_GetArrayItem(value, index)
					: NULL;
	}
	return cJSON_IsNull(value) ? NULL : value;
}

/* An array or object; a long one is cut off, and then ends in "...", which no
 * JSON does. */
static char *http_judge_print(const cJSON *value)
{
	char *text = calloc(1, HTTP_JSON_TEXT_BYTES);

	if (text && !cJSON_PrintPreallocated((cJSON *)value, text,
					     HTTP_JSON_TEXT_BYTES - 4, 0))
		memcpy(text + strlen(text), "...", 4);
	return text;
}

/* A string as it is, a number as the body has it, anything else as cJSON
 * prints it; for free(). */
static char *http_judge_text(const cJSON *json, const cJSON *value,
			     const char *body)
{
	if (cJSON_IsString(value))
		return strdup(value->valuestring);
	return cJSON_IsNumber(value) ? http_number_text(json, value, body)
				     : http_judge_print(value);
}

static const struct failure http_judge_good = { .code = RESULT_OK };

/* A failure with a detail. */
__attribute__((format(printf, 3, 4))) static struct failure http_judge_bad(
	enum result_code code, const char *words, const char *fmt, ...)
{
	struct failure failure = failure_make(code, "%s", words);
	va_list args;

	va_start(args, fmt);
	vsnprintf(failure.detail, sizeof(failure.detail), fmt, args);
	va_end(args);
	return failure;
}

static struct failure http_judge_value(const struct http_expected *expected,
				       const cJSON *json, const cJSON *value,
				       const char *body)
{
	const char *equals = expected->equals;
	struct failure failure = http_judge_good;
	char *text = http_judge_text(json, value, body);
	char shown[300], wanted[300];

	if (!text)
		return failure_make(RESULT_INTERNAL, "out of memory");
	if (cJSON_IsNumber(value) ? !http_number_equal(text, equals)
				  : strcmp(text, equals) != 0) {
		/* Masks it before it is cut. */
		text_show_ends(shown, sizeof(shown), text);
		text_show_ends(wanted, sizeof(wanted), equals);
		failure = http_judge_bad(RESULT_MISMATCH,
					 "another value in the answer",
					 "`%.200s` is `%s`, expected `%s`",
					 expected->json, shown, wanted);
	}
	free(text);
	return failure;
}

/*
 * cJSON ends a string at a NUL: "green\u0000red" would be "green".  In a copy,
 * for free(), the escape becomes that of U+FFFD, which is as long.
 */
static char *http_judge_without_nul(const struct http_answer *answer)
{
	char *body = strndup(answer->body, answer->len), *at = body, *end;

	end = body ? body + strlen(body) : NULL;
	while (at && (at = memchr(at, '\\', (size_t)(end - at))) &&
	       end - at >= 6) {
		if (memcmp(at + 1, "u0000", 5) == 0)
			memcpy(at + 2, "fffd", 4);
		at += 2;
	}
	return body;
}

/* Each value but the first follows a comma, or begins an array or object. */
static bool http_judge_has_many(const char *body)
{
	size_t n = 1;

	while (*body && n <= HTTP_JSON_VALUES) {
		if (*body == '"') {
			body = http_number_skip_string(body);
		} else {
			n += *body == ',' || *body == '[' || *body == '{';
			body++;
		}
	}
	return n > HTTP_JSON_VALUES;
}

static struct failure http_judge_json(const struct http_expected *expected,
				      const struct http_answer *answer)
{
	struct failure failure = http_judge_good;
	const cJSON *value;
	const char *end;
	char *body;
	cJSON *json;

	if (answer->cut)
		return failure_make(RESULT_MISMATCH,
				    "answer is longer than max_body");
	if (answer->len > HTTP_JSON_BYTES)
		return failure_make(RESULT_MISMATCH,
				    "the answer's JSON is longer than 4M");
	if (http_judge_has_many(answer->body))
		return failure_make(RESULT_MISMATCH, "the answer's JSON has "
						     "more than 50000 values");
	body = http_judge_without_nul(answer);
	if (!body)
		return failure_make(RESULT_INTERNAL, "out of memory");
	json = cJSON_ParseWithOpts(body, &end, 0);
	value = http_judge_find(json, expected->json);
	/* Only white space may follow the value (RFC 8259 section 2).  A NUL,
	 * which is not valid in JSON, ends the copy early. */
	if (!json || end[strspn(end, " \t\r\n")] || strlen(body) != answer->len)
		failure = http_judge_bad(RESULT_PROTOCOL, "answer is not JSON",
					 "%s", body);
	else if (!value)
		failure = http_judge_bad(
			RESULT_MISMATCH, "no such value in the answer",
			"`%.900s` does not exist, or is null", expected->json);
	else if (expected->equals)
		failure = http_judge_value(expected, json, value, body);
	cJSON_Delete(json);
	free(body);
	return failure;
}

/* ---- the body ---- */

static bool http_judge_contains(const struct http_expected *expected,
				const struct http_answer *answer, size_t from)
{
	size_t len = expected->contains ? strlen(expected->contains) : 0;

	/* The text may have begun in an earlier piece. */
	from -= from < len ? from : len;
	return !len || memmem(answer->body + from, answer->len - from,
			      expected->contains, len);
}

bool http_judge_enough(const struct http_expected *expected,
		       const struct http_answer *answer, size_t from)
{
	if (answer->unreadable || !http_judge_status(expected, answer->status))
		return true;
	return !expected->json && http_judge_contains(expected, answer, from);
}

struct failure http_judge_body(const struct http_expected *expected,
			       const struct http_answer *answer)
{
	if (!expected->contains && !expected->json)
		return http_judge_good;
	if (answer->unreadable)
		return failure_make(RESULT_PROTOCOL, "%s", answer->unreadable);
	if (!http_judge_contains(expected, answer, 0))
		return http_judge_bad(RESULT_MISMATCH,
				      answer->cut
					      ? "text not found in the first "
						"max_body bytes"
					      : "text not found in the answer",
				      "expected `%s`", expected->contains);
	return expected->json ? http_judge_json(expected, answer)
			      : http_judge_good;
}

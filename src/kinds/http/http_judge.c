#include "config.h"

#include "kinds/http/http_judge.h"

#include "kinds/http/http_number.h"

#include <cjson/cJSON.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define HTTP_NAME_BYTES 256 /* of one member in a JSON path */

/* cJSON takes 80 bytes for a value, and all of them within one call: 4 MB and
 * 10 ms at most. */
#define HTTP_JSON_VALUES 50000
#define HTTP_JSON_BYTES (4 * 1024 * 1024)
/* Of an array or object in its own words; `equals` holds no more than 1024. */
#define HTTP_JSON_TEXT_BYTES 2048

/* ---- status ---- */

static bool http_judge_parse_status(const char **at, int *status)
{
	const char *from = *at + strspn(*at, " \t");

	if (strspn(from, "0123456789") != 3)
		return false;
	*status = (from[0] - '0') * 100 + (from[1] - '0') * 10 + from[2] - '0';
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
		len = strspn(++from, "0123456789");
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

/* An array or object; a long one is cut off, and ends like no JSON does. */
static char *http_judge_print(const cJSON *value)
{
	char *text = calloc(1, HTTP_JSON_TEXT_BYTES);

	if (text && !cJSON_PrintPreallocated((cJSON *)value, text,
					     HTTP_JSON_TEXT_BYTES - 4, 0))
		memcpy(text + strlen(text), "...", 4);
	return text;
}

/* A string as it is, a number as it stands in the body, anything else as JSON
 * writes it; for free(). */
static char *http_judge_text(const cJSON *json, const cJSON *value,
			     const char *body)
{
	size_t len;

	if (cJSON_IsString(value))
		return strdup(value->valuestring);
	if (!cJSON_IsNumber(value))
		return http_judge_print(value);
	body = http_number_text(json, value, body, &len);
	return strndup(body, len);
}

static struct failure http_judge_good(void)
{
	return failure_make(RESULT_OK, "%s", "");
}

static struct failure http_judge_no_memory(void)
{
	return failure_make(RESULT_INTERNAL, "out of memory");
}

static struct failure http_judge_value(const struct http_expected *expected,
				       const cJSON *json, const cJSON *value,
				       const char *body)
{
	const char *equals = expected->equals;
	struct failure failure = http_judge_good();
	char *text = http_judge_text(json, value, body);
	bool same;

	if (!text)
		return http_judge_no_memory();
	if (cJSON_IsNumber(value))
		same = http_number_equal(text, strlen(text), equals,
					 strlen(equals));
	else
		same = strcmp(text, equals) == 0;
	if (!same) {
		failure = failure_make(RESULT_MISMATCH,
				       "another value in the answer");
		snprintf(failure.detail, sizeof(failure.detail),
			 "`%.200s` is `%.300s`, expected `%.300s`",
			 expected->json, text, equals);
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

/* Each value but the first stands behind a comma, or begins an array or
 * object. */
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

/* The one value that the body is; NULL: it is not JSON (RFC 8259 section 2),
 * which allows nothing but white space behind it. */
static cJSON *http_judge_parse(const char *body)
{
	const char *end;
	cJSON *json = cJSON_ParseWithOpts(body, &end, 0);

	if (json && end[strspn(end, " \t\r\n")] == '\0')
		return json;
	cJSON_Delete(json);
	return NULL;
}

static struct failure http_judge_in(const struct http_expected *expected,
				    const cJSON *json, const char *body)
{
	struct failure failure;
	const cJSON *value;

	if (!json) {
		failure = failure_make(RESULT_PROTOCOL, "answer is not JSON");
		snprintf(failure.detail, sizeof(failure.detail), "%s", body);
		return failure;
	}
	value = http_judge_find(json, expected->json);
	if (!value) {
		failure = failure_make(RESULT_MISMATCH,
				       "no such value in the answer");
		snprintf(failure.detail, sizeof(failure.detail),
			 "`%.900s` does not exist, or is null", expected->json);
		return failure;
	}
	return expected->equals ? http_judge_value(expected, json, value, body)
				: http_judge_good();
}

/* Why this is not parsed, or NULL. */
static const char *http_judge_too_much(const struct http_answer *answer)
{
	if (answer->cut)
		return "answer is longer than max_body";
	if (answer->len > HTTP_JSON_BYTES)
		return "the answer's JSON is longer than 4M";
	if (http_judge_has_many(answer->body))
		return "the answer's JSON has more than 50000 values";
	return NULL;
}

static struct failure http_judge_json(const struct http_expected *expected,
				      const struct http_answer *answer)
{
	const char *words = http_judge_too_much(answer);
	struct failure failure;
	char *body;
	cJSON *json;

	if (words)
		return failure_make(RESULT_MISMATCH, "%s", words);
	body = http_judge_without_nul(answer);
	if (!body)
		return http_judge_no_memory();
	/* JSON has no NUL in it as it is; it ends the copy early. */
	json = strlen(body) == answer->len ? http_judge_parse(body) : NULL;
	failure = http_judge_in(expected, json, body);
	cJSON_Delete(json);
	free(body);
	return failure;
}

/* ---- the body ---- */

static bool http_judge_is_set(const char *text)
{
	return text && *text;
}

static bool http_judge_contains(const struct http_expected *expected,
				const struct http_answer *answer, size_t from)
{
	size_t len = expected->contains ? strlen(expected->contains) : 0;

	/* It may have begun before. */
	from -= from < len ? from : len;
	return !len || memmem(answer->body + from, answer->len - from,
			      expected->contains, len);
}

bool http_judge_enough(const struct http_expected *expected,
		       const struct http_answer *answer, size_t from)
{
	if (answer->unreadable || !http_judge_status(expected, answer->status))
		return true;
	return !http_judge_is_set(expected->json) &&
	       http_judge_contains(expected, answer, from);
}

struct failure http_judge_body(const struct http_expected *expected,
			       const struct http_answer *answer)
{
	struct failure failure;

	if (!http_judge_is_set(expected->contains) &&
	    !http_judge_is_set(expected->json))
		return http_judge_good();
	if (answer->unreadable)
		return failure_make(RESULT_PROTOCOL, "%s", answer->unreadable);
	if (!http_judge_contains(expected, answer, 0)) {
		failure = failure_make(
			RESULT_MISMATCH,
			answer->cut ? "text not found in the first max_body "
				      "bytes"
				    : "text not found in the answer");
		snprintf(failure.detail, sizeof(failure.detail),
			 "expected `%s`", expected->contains);
		return failure;
	}
	if (http_judge_is_set(expected->json))
		return http_judge_json(expected, answer);
	return http_judge_good();
}

#include "config.h"

#include "http_judge.h"

#include <cjson/cJSON.h>

#include <stdlib.h>
#include <string.h>

#define HTTP_NAME_BYTES 256 /* of one member in a JSON path */

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

/* A string as it is, anything else as JSON writes it; for free(). */
static char *http_judge_text(const cJSON *value)
{
	if (cJSON_IsString(value))
		return strdup(value->valuestring);
	return cJSON_PrintUnformatted(value);
}

/* Compares; a value that differs is handed over. */
static enum result_code http_judge_value(const char *equals, const cJSON *value,
					 const char **words, char **found)
{
	char *text = http_judge_text(value);

	if (!text) {
		*words = "out of memory";
		return RESULT_INTERNAL;
	}
	if (strcmp(text, equals) == 0) {
		free(text);
		return RESULT_OK;
	}
	*found = text;
	*words = "another value in the answer";
	return RESULT_MISMATCH;
}

/* The one value that the body is; NULL: it is not JSON (RFC 8259 section 2),
 * which allows nothing but white space behind it. */
static cJSON *http_judge_parse(const struct http_answer *answer)
{
	const char *end;
	cJSON *json = cJSON_ParseWithLengthOpts(answer->body, answer->len, &end,
						0);
	size_t left;

	if (!json)
		return NULL;
	left = answer->len - (size_t)(end - answer->body);
	if (strspn(end, " \t\r\n") == left)
		return json;
	cJSON_Delete(json);
	return NULL;
}

static enum result_code http_judge_json(const struct http_expected *expected,
					const struct http_answer *answer,
					const char **words, char **found)
{
	enum result_code code = RESULT_OK;
	const cJSON *value;
	cJSON *json;

	if (answer->cut) {
		*words = "answer is longer than max_body";
		return RESULT_MISMATCH;
	}
	json = http_judge_parse(answer);
	if (!json) {
		*words = "answer is not JSON";
		return RESULT_PROTOCOL;
	}
	value = http_judge_find(json, expected->json);
	if (!value) {
		*words = "no such value in the answer";
		code = RESULT_MISMATCH;
	} else if (expected->equals) {
		code = http_judge_value(expected->equals, value, words, found);
	}
	cJSON_Delete(json);
	return code;
}

/* ---- the body ---- */

enum result_code http_judge_body(const struct http_expected *expected,
				 const struct http_answer *answer,
				 const char **words, char **found)
{
	const char *contains = expected->contains;

	*words = "";
	*found = NULL;
	if (contains &&
	    !memmem(answer->body, answer->len, contains, strlen(contains))) {
		*words = answer->cut
				 ? "text not found in the first max_body bytes"
				 : "text not found in the answer";
		return RESULT_MISMATCH;
	}
	if (expected->json && *expected->json)
		return http_judge_json(expected, answer, words, found);
	return RESULT_OK;
}

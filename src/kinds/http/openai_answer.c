#include "config.h"

#include "kinds/http/openai_answer.h"

#include <stddef.h>
#include <string.h>

/* ---- the structure of JSON ---- */

static const char *json_blanks(const char *at)
{
	return at + strspn(at, " \t\r\n");
}

/* The end of the string that begins here; NULL: it does not end. */
static const char *json_string_end(const char *at)
{
	while (*++at != '"') {
		if (*at == '\\')
			at++;
		if (!*at)
			return NULL;
	}
	return at + 1;
}

/* The end of the value that begins here; NULL: it does not end. */
static const char *json_end(const char *at)
{
	size_t depth = 0;

	for (;; at++) {
		at += strcspn(at, "\"{}[],");
		if (!*at)
			return NULL;
		if (*at == '"') {
			at = json_string_end(at);
			if (!at)
				return NULL;
			at--;
		} else if (*at == '{' || *at == '[') {
			depth++;
		} else if (depth == 0) {
			return at;
		} else if (*at != ',') {
			depth--;
		} else {
			continue;
		}
		if (depth == 0)
			return at + 1;
	}
}

/* The next value or key after the one that ends here. */
static const char *json_next(const char *at)
{
	at = json_blanks(at);
	return *at == ',' ? json_blanks(at + 1) : at;
}

/* The value of a member of an object; NULL: there is no such member. */
static const char *json_member(const char *object, const char *name)
{
	size_t len = strlen(name);
	const char *at = *object == '{' ? json_blanks(object + 1) : object;
	const char *key;

	while (*at == '"') {
		key = at + 1;
		at = json_string_end(at);
		at = at ? json_blanks(at) : "";
		if (*at != ':')
			return NULL;
		at = json_blanks(at + 1);
		if (strncmp(key, name, len) == 0 && key[len] == '"')
			return at;
		at = json_end(at);
		if (!at)
			return NULL;
		at = json_next(at);
	}
	return NULL;
}

static bool json_string_is(const char *at, const char *text)
{
	if (*at++ != '"')
		return false;
	for (; *text; at++, text++) {
		/* PHP writes "org\/model" */
		if (*at == '\\')
			at++;
		if (*at != *text)
			return false;
	}
	return *at == '"';
}

/* ---- what the body says ---- */

/* The member `error`; NULL: it is missing, null, false or an empty string. */
static const char *openai_error(const char *body)
{
	static const char *const none[] = { "null", "false", "\"\"" };
	const char *error = json_member(body, "error");
	size_t i;

	for (i = 0; error && i < sizeof(none) / sizeof(*none); i++)
		if (strncmp(error, none[i], strlen(none[i])) == 0)
			return NULL;
	return error;
}

static bool openai_is_about_key(const char *error)
{
	static const char *const signs[] = {
		"api key",    "api_key",       "apikey", "authenticat",
		"credential", "unauthorized",  "401",	 "forbidden",
		"permission", "access denied", "403",
	};
	size_t i;

	for (i = 0; i < sizeof(signs) / sizeof(*signs); i++)
		if (strcasestr(error, signs[i]))
			return true;
	return false;
}

/* The array of a list of models; NULL: it is not a list.  Together answers
 * with the array itself, without an object around it. */
static const char *openai_list(const char *body)
{
	const char *data, *id;

	if (*body == '[') {
		id = json_member(json_blanks(body + 1), "id");
		return id && *id == '"' ? body : NULL;
	}
	data = json_member(body, "data");
	return data && *data == '[' ? data : NULL;
}

static bool openai_is_whole(const struct http_answer *answer, const char *body)
{
	const char *end = json_end(body);

	return end && json_blanks(end) == answer->body + answer->len;
}

enum result_code openai_answer_judge(const struct http_answer *answer,
				     unsigned may_be, const char **words)
{
	const char *body = json_blanks(answer->body), *error, *id;

	*words = "answer is not JSON";
	if ((*body != '{' && *body != '[') ||
	    (!answer->cut && !openai_is_whole(answer, body)))
		return RESULT_PROTOCOL;
	error = openai_error(body);
	if (error && openai_is_about_key(error)) {
		*words = "status 200, but the key is refused";
		return RESULT_AUTH;
	}
	*words = "status 200, but the answer is an error";
	if (error)
		return RESULT_UPSTREAM;
	*words = "";
	id = json_member(body, "id");
	if ((may_be & OPENAI_LIST && openai_list(body)) ||
	    (may_be & OPENAI_MODEL && id && *id == '"'))
		return RESULT_OK;
	*words = may_be & OPENAI_LIST ? "answer has no list of models"
				      : "answer does not describe a model";
	return RESULT_PROTOCOL;
}

bool openai_answer_lists(const struct http_answer *answer, const char *name)
{
	const char *at = openai_list(json_blanks(answer->body)), *end, *id;

	if (!at)
		return false;
	at = json_blanks(at + 1);
	/* The list ends at "]", or where it was cut off. */
	while ((end = json_end(at)) && end != at) {
		id = json_member(at, "id");
		if (id && json_string_is(id, name))
			return true;
		at = json_next(end);
	}
	return false;
}

bool openai_answer_no_path(const struct http_answer *answer)
{
	const char *error = openai_error(json_blanks(answer->body));

	return error && strcasestr(error, "unexpected endpoint");
}

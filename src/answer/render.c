#include "config.h"

#include "answer/render.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/result.h"
#include "base/text.h"

#include <cjson/cJSON.h>

/* Longer than any text of a result, and enough for a service's name. */
#define RENDER_TEXT_BYTES 256

/* The functions below return false when out of memory. */

static bool render_words(cJSON *object, const char *key, const char *words)
{
	return cJSON_AddStringToObject(object, key, words) != NULL;
}

/* Results were cleaned where they were made, a name out of the configuration
 * was not; a body is valid UTF-8 whatever happened before. */
static bool render_text(cJSON *object, const char *key, const char *text)
{
	char clean[RENDER_TEXT_BYTES];

	text_clean(clean, sizeof(clean), text, strlen(text));
	return render_words(object, key, clean);
}

/* cJSON prints 17 digits for a double without a short decimal form, and the
 * decimal comma of the locale. */
static bool render_latency(cJSON *object, int32_t latency_us)
{
	int64_t tenths = ((int64_t)latency_us + 50) / 100;
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64 ".%d", tenths / 10,
		 (int)(tenths % 10));
	return cJSON_AddRawToObject(object, "latency_ms", text) != NULL;
}

static bool render_times(const struct render_input *input, cJSON *object,
			 const struct result *result)
{
	int64_t age_ms = input->view->now_ms - result->ended_us / 1000;

	/* No run has ended: there is nothing to tell the time of. */
	if (result->ended_us == 0)
		return true;
	if (!render_latency(object, result->latency_us))
		return false;
	return result->ended_us >= input->asked_us ||
	       cJSON_AddNumberToObject(object, "age_ms", (double)age_ms) !=
		       NULL;
}

static bool render_check(const struct render_input *input, cJSON *checks,
			 size_t check)
{
	const struct result *result = &input->view->results[check];
	bool healthy = result_healthy(result);
	cJSON *object;

	/* Not a look-up by name, which ignores case: "db" and "DB" are two. */
	object = cJSON_AddObjectToObject(checks,
					 input->plan->checks[check].name);
	if (object == NULL ||
	    !cJSON_AddBoolToObject(object, "healthy", healthy))
		return false;
	if (!healthy &&
	    (!render_text(object, "error", result->error) ||
	     !render_words(object, "code", result_word(result->code))))
		return false;
	if (!healthy && result->step[0] != '\0' &&
	    !render_text(object, "step", result->step))
		return false;
	if (!render_times(input, object, result))
		return false;
	return !input->trusted || result->detail[0] == '\0' ||
	       render_text(object, "detail", result->detail);
}

static bool render_checks(const struct render_input *input, cJSON *root)
{
	cJSON *checks = cJSON_AddObjectToObject(root, "checks");
	size_t i;

	if (checks == NULL)
		return false;
	for (i = input->verdict->first; i < input->verdict->end; i++) {
		if (verdict_shows(input->verdict, input->plan, i) &&
		    !render_check(input, checks, i))
			return false;
	}
	return true;
}

static bool render_waiting(const struct render_input *input, cJSON *root)
{
	cJSON *names = cJSON_AddArrayToObject(root, "waiting_for");
	size_t i;

	if (names == NULL)
		return false;
	for (i = 0; i < input->view->n; i++) {
		cJSON *name;

		if (!input->plan->checks[i].policy.startup ||
		    input->view->latched[i])
			continue;
		name = cJSON_CreateString(input->plan->checks[i].name);
		if (name == NULL)
			return false;
		cJSON_AddItemToArray(names, name);
	}
	return true;
}

static bool render_root(const struct render_input *input, cJSON *root)
{
	const struct verdict *verdict = input->verdict;

	if (verdict->status && !render_words(root, "status", verdict->status))
		return false;
	if (verdict->show_service && input->plan->service[0] != '\0' &&
	    !render_text(root, "service", input->plan->service))
		return false;
	if (verdict->error && !render_words(root, "error", verdict->error))
		return false;
	if (verdict->detail && !render_words(root, "detail", verdict->detail))
		return false;
	if (verdict->show_waiting && !render_waiting(input, root))
		return false;
	return !verdict->show_checks || render_checks(input, root);
}

static char *render_line(const cJSON *root)
{
	char *text = cJSON_PrintUnformatted(root), *line;
	size_t len;

	if (text == NULL)
		return NULL;
	len = strlen(text);
	line = malloc(len + 2);
	if (line != NULL) {
		memcpy(line, text, len);
		memcpy(line + len, "\n", 2);
	}
	cJSON_free(text);
	return line;
}

char *render_body(const struct render_input *input)
{
	char *line = NULL;
	cJSON *root;

	root = cJSON_CreateObject();
	if (root != NULL && render_root(input, root))
		line = render_line(root);
	cJSON_Delete(root);
	return line;
}

static const char *render_reason(int http)
{
	switch (http) {
	case 200:
		return "OK";
	case 404:
		return "Not Found";
	case 405:
		return "Method Not Allowed";
	default:
		return "Service Unavailable";
	}
}

size_t render_head(char *to, size_t size, const struct render_head *head)
{
	char retry[48] = "";

	if (head->http == 503)
		snprintf(retry, sizeof(retry), "Retry-After: %d\r\n",
			 head->retry_after_s);
	return (size_t)snprintf(
		to, size,
		"Status: %d %s\r\n"
		"Content-Type: application/json\r\n"
		"Content-Length: %zu\r\n"
		"Cache-Control: no-store\r\n"
		"%s%s\r\n",
		head->http, render_reason(head->http), head->content_length,
		head->allow ? "Allow: GET, HEAD, OPTIONS\r\n" : "", retry);
}

#include "config.h"

#include "answer/render.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/result.h"
#include "base/text.h"

#include <cjson/cJSON.h>

/* Longer than any text of a result, and enough for a service's name. */
#define RENDER_TEXT_BYTES 256

/* With 503: when to ask again.  Probes come by their own period anyway. */
#define RENDER_RETRY_AFTER "Retry-After: 5\r\n"

/* The functions below return false when out of memory. */

/* Adds nothing for NULL and "".  Results were cleaned where they were made, a
 * name out of the configuration was not; a body is valid UTF-8 whatever
 * happened before. */
static bool render_text(cJSON *object, const char *key, const char *text)
{
	char clean[RENDER_TEXT_BYTES];

	if (!text || !*text)
		return true;
	text_clean(clean, sizeof(clean), text, strlen(text));
	return cJSON_AddStringToObject(object, key, clean);
}

/* cJSON prints 17 digits for a double without a short decimal form, and the
 * decimal comma of the locale. */
static bool render_latency(cJSON *object, int32_t latency_us)
{
	int64_t tenths = ((int64_t)latency_us + 50) / 100;
	char text[32];

	snprintf(text, sizeof(text), "%" PRId64 ".%d", tenths / 10,
		 (int)(tenths % 10));
	return cJSON_AddRawToObject(object, "latency_ms", text);
}

static bool render_check(const struct render_input *input, cJSON *checks,
			 size_t check)
{
	const struct result *result = &input->view->results[check];
	int64_t age_ms = input->view->now_ms - result->ended_us / 1000;
	bool healthy = result_healthy(result), ran = result->ended_us != 0;
	/* Not a look-up by name, which ignores case: "db" and "DB" are two. */
	cJSON *object = cJSON_AddObjectToObject(
		checks, input->plan->checks[check].name);

	return object && cJSON_AddBoolToObject(object, "healthy", healthy) &&
	       (healthy ||
		(render_text(object, "error", result->error) &&
		 render_text(object, "code", result_word(result->code)) &&
		 render_text(object, "step", result->step))) &&
	       (!ran || render_latency(object, result->latency_us)) &&
	       (!ran || result->ended_us >= input->asked_us ||
		cJSON_AddNumberToObject(object, "age_ms", (double)age_ms)) &&
	       (!input->trusted ||
		render_text(object, "detail", result->detail));
}

static bool render_checks(const struct render_input *input, cJSON *root)
{
	cJSON *checks = cJSON_AddObjectToObject(root, "checks");
	size_t i;

	if (checks == NULL)
		return false;
	for (i = input->verdict->first; i < input->verdict->end; i++)
		if (verdict_shows(input->verdict, input->plan, i) &&
		    !render_check(input, checks, i))
			return false;
	return true;
}

static bool render_waiting(const struct render_input *input, cJSON *root)
{
	cJSON *names = cJSON_AddArrayToObject(root, "waiting_for");
	size_t i;

	if (names == NULL)
		return false;
	for (i = 0; i < input->view->n; i++) {
		const struct plan_check *check = &input->plan->checks[i];

		if (check->policy.startup && !input->view->latched[i] &&
		    !cJSON_AddItemToArray(names,
					  cJSON_CreateString(check->name)))
			return false;
	}
	return true;
}

static bool render_root(const struct render_input *input, cJSON *root)
{
	const struct verdict *verdict = input->verdict;

	return render_text(root, "status", verdict->status) &&
	       (!verdict->show_service ||
		render_text(root, "service", input->plan->service)) &&
	       render_text(root, "error", verdict->error) &&
	       render_text(root, "detail", verdict->detail) &&
	       (!verdict->show_waiting || render_waiting(input, root)) &&
	       (!verdict->show_checks || render_checks(input, root));
}

char *render_body(const struct render_input *input)
{
	cJSON *root = cJSON_CreateObject();
	char *text = NULL, *line = NULL;

	if (root && render_root(input, root))
		text = cJSON_PrintUnformatted(root);
	if (text && asprintf(&line, "%s\n", text) < 0)
		line = NULL;
	cJSON_free(text);
	cJSON_Delete(root);
	return line;
}

size_t render_head(char *to, size_t size, const struct render_head *head)
{
	return (size_t)snprintf(to, size,
				"Status: %d %s\r\n"
				"Content-Type: application/json\r\n"
				"Content-Length: %zu\r\n"
				"Cache-Control: no-store\r\n"
				"%s%s\r\n",
				head->http,
				head->http == 200   ? "OK"
				: head->http == 404 ? "Not Found"
				: head->http == 405 ? "Method Not Allowed"
						    : "Service Unavailable",
				head->content_length,
				head->allow ? "Allow: GET, HEAD, OPTIONS\r\n"
					    : "",
				head->http == 503 ? RENDER_RETRY_AFTER : "");
}

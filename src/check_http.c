#include "config.h"

#include "check.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "check_kinds.h"
#include "http_ask.h"
#include "text.h"

#define HTTP_RANGES_MAX 16
#define HTTP_NAME_BYTES 256 /* of one member in a JSON path */

struct http_range {
	int first, last;
};

struct http_settings {
	char *url;
	char *socket;
	int method;
	char *status;
	struct conf_list headers;
	char *user;
	char *password;
	char *bearer;
	char *contains;
	char *json;
	char *equals;
	char *ca_file;
	char *proxy;
	bool follow;
	int64_t max_body;

	/* made by http_prepare() */
	struct http_question question;
	struct http_range ranges[HTTP_RANGES_MAX];
	size_t n_ranges;
	bool has_equals;
};

enum { HTTP_GET, HTTP_HEAD };

#define FIELD(name) offsetof(struct http_settings, name)

/* clang-format off */
static const struct conf_key http_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "url", CONF_STR, FIELD(url), "", "1", "2048",
	  CONF_REQUIRED | CONF_URL,
	  "what is asked for: http://... or https://..." },
	{ "socket", CONF_STR, FIELD(socket), "", "0", "107", CONF_PATH,
	  "Unix socket to connect to instead of the host in url" },
	{ "method", CONF_CHOICE, FIELD(method), "GET", NULL, "GET|HEAD", 0,
	  "request method" },
	{ "status", CONF_STR, FIELD(status), "200", "3", "120", 0,
	  "expected status codes: a list of codes and ranges, 200-399,404" },
	{ "header", CONF_LIST, FIELD(headers), "", "0", "4096", CONF_SECRET,
	  "a request header line, `Name: value`; may be repeated" },
	{ "user", CONF_STR, FIELD(user), "", "0", "256", 0,
	  "user name for basic authentication" },
	{ "password", CONF_STR, FIELD(password), "", "0", "1024", CONF_SECRET,
	  "password for basic authentication" },
	{ "bearer", CONF_STR, FIELD(bearer), "", "0", "4096", CONF_SECRET,
	  "token sent as `Authorization: Bearer`" },
	{ "contains", CONF_STR, FIELD(contains), "", "0", "1024", 0,
	  "text that the body must contain" },
	{ "json", CONF_STR, FIELD(json), "", "0", "1024", 0,
	  "path of a value that the JSON body must have: data.items[0].state" },
	{ "equals", CONF_STR, FIELD(equals), "", "0", "1024", 0,
	  "what the value at `json` must be" },
	{ "ca_file", CONF_STR, FIELD(ca_file), "", "0", "4095", CONF_PATH,
	  "PEM file of the CAs to trust instead of the system's" },
	{ "proxy", CONF_STR, FIELD(proxy), "", "0", "1024", CONF_URL,
	  "HTTP proxy, http://HOST:PORT; the environment's is never used" },
	{ "follow", CONF_BOOL, FIELD(follow), "no", NULL, NULL, 0,
	  "follow up to 3 redirects to the same scheme, host and port" },
	{ "max_body", CONF_SIZE, FIELD(max_body), "64k", "1", "16M", 0,
	  "how much of the body is read" },
	CONF_END
};
/* clang-format on */

/* ---- settings ---- */

static bool http_parse_status(const char **at, int *status)
{
	const char *from = *at + strspn(*at, " \t");

	if (strspn(from, "0123456789") != 3)
		return false;
	*status = (from[0] - '0') * 100 + (from[1] - '0') * 10 + from[2] - '0';
	*at = from + 3 + strspn(from + 3, " \t");
	return *status >= 100 && *status <= 599;
}

/* "200-399,404" */
static bool http_parse_ranges(struct http_settings *settings, const char *text)
{
	const char *at = text;

	for (;;) {
		struct http_range range;

		if (settings->n_ranges == HTTP_RANGES_MAX ||
		    !http_parse_status(&at, &range.first))
			return false;
		range.last = range.first;
		if (*at == '-') {
			at++;
			if (!http_parse_status(&at, &range.last) ||
			    range.last < range.first)
				return false;
		}
		settings->ranges[settings->n_ranges++] = range;
		if (!*at)
			return true;
		if (*at++ != ',')
			return false;
	}
}

/* Cuts the next step off a JSON path: a member's name, or with name "" an
 * index.  false: the path is malformed. */
static bool http_json_step(const char **at, char name[HTTP_NAME_BYTES],
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

static bool http_json_path_valid(const char *path)
{
	char name[HTTP_NAME_BYTES];
	int index;

	do {
		if (!http_json_step(&path, name, &index))
			return false;
	} while (*path);
	return true;
}

/* Whether a header of this name carries what must not be shown. */
static bool http_header_is_secret(const char *line, size_t len)
{
	static const char *const parts[] = { "auth",   "cookie", "key",
					     "secret", "token",	 "password" };
	char name[64];
	size_t i;

	snprintf(name, sizeof(name), "%.*s", (int)len, line);
	for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (strcasestr(name, parts[i]))
			return true;
	return false;
}

/* conf hides the line as a whole; parts of it may turn up by themselves: the
 * value, and what stands in it after a scheme ("Bearer"). */
static int http_header_hide(const char *line)
{
	size_t len = strcspn(line, ":");
	const char *value = line + len, *credentials;

	if (!*value || !http_header_is_secret(line, len))
		return 0;
	value++;
	value += strspn(value, " \t");
	credentials = strchr(value, ' ');
	if (credentials && text_secret(credentials + 1))
		return -1;
	return text_secret(value);
}

static void http_prepare_headers(struct conf *conf,
				 struct conf_section *section,
				 struct http_settings *settings)
{
	const char *wrong;
	size_t i;

	for (i = 0; i < settings->headers.n; i++) {
		const char *line = settings->headers.items[i];

		wrong = http_question_header(&settings->question, line);
		if (!wrong && http_header_hide(line))
			wrong = "out of memory";
		if (wrong)
			conf_mistake(conf, section, "header", "%s", wrong);
	}
}

static void http_prepare_bearer(struct conf *conf, struct conf_section *section,
				struct http_settings *settings)
{
	const char *wrong;
	char *line;

	if (!settings->bearer[0])
		return;
	if (settings->user[0])
		conf_mistake(conf, section, "bearer",
			     "write either user and password, or bearer");
	if (asprintf(&line, "Authorization: Bearer %s", settings->bearer) < 0) {
		conf_mistake(conf, section, "bearer", "out of memory");
		return;
	}
	wrong = http_question_header(&settings->question, line);
	if (wrong)
		conf_mistake(conf, section, "bearer", "%s", wrong);
	free(line);
}

static void http_prepare_body(struct conf *conf, struct conf_section *section,
			      struct http_settings *settings)
{
	settings->has_equals = conf_section_has(section, "equals");
	if (settings->has_equals && !settings->json[0])
		conf_mistake(conf, section, "equals",
			     "needs `json`, the path of the value to compare");
	if (settings->json[0] && !http_json_path_valid(settings->json))
		conf_mistake(conf, section, "json",
			     "write a path such as data.items[0].state");
	if (settings->method == HTTP_HEAD &&
	    (settings->json[0] || settings->contains[0]))
		conf_mistake(conf, section, "method",
			     "HEAD has no body to look at, write GET");
}

static void http_judge(struct conn *conn, const struct http_answer *answer);

static void http_prepare(struct conf *conf, struct conf_section *section,
			 void *record)
{
	struct http_settings *settings = record;
	struct http_question *question = &settings->question;
	char reason[256];
	const char *wrong;

	question->head = settings->method == HTTP_HEAD;
	question->follow = settings->follow;
	question->max_body = (size_t)settings->max_body;
	question->judge = http_judge;
	if (settings->socket[0])
		question->unix_path = settings->socket;
	if (settings->user[0]) {
		question->user = settings->user;
		question->password = settings->password;
	}
	/* Left out or too long: said already. */
	wrong = settings->url[0] ? http_question_url(question, settings->url)
				 : NULL;
	if (wrong)
		conf_mistake(conf, section, "url", "%s", wrong);
	wrong = settings->proxy[0]
			? http_question_proxy(question, settings->proxy)
			: NULL;
	if (wrong)
		conf_mistake(conf, section, "proxy", "%s", wrong);
	if (!http_parse_ranges(settings, settings->status))
		conf_mistake(conf, section, "status",
			     "write codes and ranges such as 200-399,404");
	if (settings->ca_file[0] &&
	    http_question_ca(question, settings->ca_file, reason,
			     sizeof(reason)))
		conf_mistake(conf, section, "ca_file", "%s", reason);
	http_prepare_headers(conf, section, settings);
	http_prepare_bearer(conf, section, settings);
	http_prepare_body(conf, section, settings);
}

static void http_dispose(void *record)
{
	struct http_settings *settings = record;

	http_question_dispose(&settings->question);
}

static const char *http_live_refused(const void *record)
{
	const struct http_settings *settings = record;

	if (settings->question.unix_path || settings->question.loopback)
		return NULL;
	return "its url leads to another host, and that host's fault would "
	       "restart every replica";
}

/* ---- the answer ---- */

static bool http_status_expected(const struct http_settings *settings,
				 long status)
{
	size_t i;

	for (i = 0; i < settings->n_ranges; i++)
		if (status >= settings->ranges[i].first &&
		    status <= settings->ranges[i].last)
			return true;
	return false;
}

static const cJSON *http_json_find(const cJSON *value, const char *path)
{
	char name[HTTP_NAME_BYTES];
	int index = 0;

	while (value && *path && http_json_step(&path, name, &index)) {
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
static char *http_json_text(const cJSON *value)
{
	if (cJSON_IsString(value))
		return strdup(value->valuestring);
	return cJSON_PrintUnformatted(value);
}

static void http_judge_value(struct conn *conn, const cJSON *value)
{
	const struct http_settings *settings = conn_settings(conn);
	char *text;
	bool same;

	if (!value) {
		conn_answered(conn, RESULT_MISMATCH,
			      "no such value in the answer");
		return;
	}
	if (!settings->has_equals) {
		conn_answered(conn, RESULT_OK, "%s", "");
		return;
	}
	text = http_json_text(value);
	same = text && strcmp(text, settings->equals) == 0;
	if (text && !same)
		conn_detail(conn, text);
	if (!text)
		conn_answered(conn, RESULT_INTERNAL, "out of memory");
	else if (same)
		conn_answered(conn, RESULT_OK, "%s", "");
	else
		conn_answered(conn, RESULT_MISMATCH,
			      "another value in the answer");
	free(text);
}

static void http_judge_json(struct conn *conn, const struct http_answer *answer)
{
	const struct http_settings *settings = conn_settings(conn);
	cJSON *json;

	if (answer->cut) {
		conn_answered(conn, RESULT_MISMATCH,
			      "answer is longer than max_body");
		return;
	}
	json = cJSON_ParseWithLength(answer->body, answer->len);
	if (json)
		http_judge_value(conn, http_json_find(json, settings->json));
	else
		conn_answered(conn, RESULT_PROTOCOL, "answer is not JSON");
	cJSON_Delete(json);
}

static void http_judge(struct conn *conn, const struct http_answer *answer)
{
	const struct http_settings *settings = conn_settings(conn);

	if (!http_status_expected(settings, answer->status))
		http_ask_refuse(conn, answer);
	else if (settings->contains[0] &&
		 !memmem(answer->body, answer->len, settings->contains,
			 strlen(settings->contains)))
		conn_answered(conn, RESULT_MISMATCH, "text not found in %s",
			      answer->cut ? "the first max_body bytes"
					  : "the answer");
	else if (settings->json[0])
		http_judge_json(conn, answer);
	else
		conn_answered(conn, RESULT_OK, "%s", "");
}

static void http_open(struct conn *conn)
{
	const struct http_settings *settings = conn_settings(conn);

	http_ask_open(conn, &settings->question);
}

const struct check_kind check_http = {
	.name = "http",
	.timeout = "3s",
	.help = "asks an HTTP server for a page and looks at the answer",
	.keys = http_keys,
	.settings_size = sizeof(struct http_settings),
	.conn_size = sizeof(struct http_ask),
	.open_asks = true,
	.prepare = http_prepare,
	.dispose = http_dispose,
	.live_refused = http_live_refused,
	.open = http_open,
	.ask = http_ask_again,
	.close = http_ask_close,
	.step = http_ask_step,
};

#include "config.h"

#include "check/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kinds/kinds.h"
#include "kinds/http/http_ask.h"
#include "kinds/http/http_judge.h"
#include "base/text.h"

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
	struct http_expected expected;
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
	{ "header", CONF_LIST, FIELD(headers), "", "0", "4096", CONF_SECRET | CONF_MIXED,
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

/* Whether the value of a header of this name is secret. */
static bool http_header_is_secret(const char *line, ptrdiff_t len)
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

/* Headers that identify client, server and resource; the names in them appear
 * in many log lines. */
static bool http_header_is_open(const char *line)
{
	static const char *const names[] = { "accept", "content-",
					     "host:", "user-agent:" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strncasecmp(line, names[i], strlen(names[i])) == 0)
			return true;
	return false;
}

/* "a=1; session=2": a server may repeat each value alone. */
static int http_cookies_hide(const char *value)
{
	const char *equals;
	char *cookie;
	int bad = 0;

	while (!bad && (equals = strchr(value, '='))) {
		cookie = strndup(equals + 1, strcspn(equals + 1, ";"));
		bad = !cookie || text_secret(cookie);
		free(cookie);
		value = equals + 1;
	}
	return bad ? -1 : 0;
}

/* conf masks the line as a whole; a server may repeat parts of it: the value,
 * or the credentials that follow a scheme ("Bearer") in it. */
static int http_header_hide(const char *line)
{
	const char *colon = strchr(line, ':'), *value, *credentials;

	if (!colon)
		return 0;
	value = colon + 1 + strspn(colon + 1, " \t");
	if (!http_header_is_secret(line, colon - line))
		return http_header_is_open(line) ||
				       !text_looks_secret(value, strlen(value))
			       ? 0
			       : text_secret(value);
	if (strncasecmp(line, "cookie:", strlen("cookie:")) == 0 &&
	    http_cookies_hide(value))
		return -1;
	credentials = strchr(value, ' ');
	if (credentials && text_secret(credentials + 1))
		return -1;
	return text_secret(value);
}

static void http_prepare_headers(struct conf *conf,
				 struct conf_section *section,
				 struct http_settings *settings)
{
	size_t i;

	for (i = 0; i < settings->headers.n; i++) {
		const char *line = settings->headers.items[i];

		http_question_header(&settings->question, conf, section,
				     "header", "", line);
		if (http_header_hide(line))
			conf_mistake(conf, section, "header", "out of memory");
	}
	if (settings->bearer[0] && settings->user[0])
		conf_mistake(conf, section, "bearer",
			     "write either user and password, or bearer");
	http_question_header(&settings->question, conf, section, "bearer",
			     "Authorization: Bearer ", settings->bearer);
}

static void http_prepare_body(struct conf *conf, struct conf_section *section,
			      struct http_settings *settings)
{
	struct http_expected *expected = &settings->expected;

	if (settings->contains[0])
		expected->contains = settings->contains;
	if (settings->json[0])
		expected->json = settings->json;
	if (conf_section_has(section, "equals"))
		expected->equals = settings->equals;
	if (expected->equals && !expected->json)
		conf_mistake(conf, section, "equals",
			     "needs `json`, the path of the value to compare");
	if (expected->json && !http_judge_is_json_path(expected->json))
		conf_mistake(conf, section, "json",
			     "write a path such as data.items[0].state");
	if (!expected->json && !expected->contains)
		return;
	if (settings->method == HTTP_HEAD)
		conf_mistake(conf, section, "method",
			     "HEAD has no body to look at, write GET");
	http_question_accept(&settings->question, conf, section);
}

static bool http_enough(const struct conn *conn,
			const struct http_answer *answer, size_t from)
{
	const struct http_settings *settings = conn_settings(conn);

	return http_judge_enough(&settings->expected, answer, from);
}

static void http_judge(struct conn *conn, const struct http_answer *answer)
{
	const struct http_settings *settings = conn_settings(conn);
	struct failure failure;

	if (!http_judge_status(&settings->expected, answer->status)) {
		http_ask_refuse(conn, answer);
		return;
	}
	failure = http_judge_body(&settings->expected, answer);
	http_ask_answered(conn, failure.code, failure.words, failure.detail);
}

static void http_prepare(struct conf *conf, struct conf_section *section,
			 void *record)
{
	struct http_settings *settings = record;
	struct http_question *question = &settings->question;

	question->head = settings->method == HTTP_HEAD;
	question->follow = settings->follow;
	question->max_body = (size_t)settings->max_body;
	question->judge = http_judge;
	question->enough = http_enough;
	if (settings->socket[0])
		question->unix_path = settings->socket;
	if (settings->user[0]) {
		question->user = settings->user;
		question->password = settings->password;
	}
	/* conf has reported a missing or too long URL. */
	http_question_prepare(question, conf, section, "url", settings->url,
			      settings->proxy, settings->ca_file);
	if (!http_judge_parse_statuses(&settings->expected, settings->status))
		conf_mistake(conf, section, "status",
			     "write codes and ranges such as 200-399,404");
	http_prepare_headers(conf, section, settings);
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

/* ---- asking ---- */

static void http_ask(struct conn *conn)
{
	const struct http_settings *settings = conn_settings(conn);

	http_ask_start(conn, &settings->question);
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
	.open = http_ask,
	.ask = http_ask,
	.close = http_ask_close,
	.step = http_ask_step,
};

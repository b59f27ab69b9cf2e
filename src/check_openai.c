#include "config.h"

#include "check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check_kinds.h"
#include "http_ask.h"

/* Enough of a list of models to see that it is one. */
#define OPENAI_BODY_BYTES (64 * 1024)

/* Both kinds begin with this. */
struct openai_settings {
	char *api_key;
	char *ca_file;
	char *proxy;
	/* made by openai_prepare() */
	bool complete; /* there is something to connect with */
	bool named;    /* one model is asked for, by name */
	bool accept_restricted;
	struct http_question question;
};

struct openai_public {
	struct openai_settings common;
	char *base_url;
	char *model;
	char *organization;
	char *project;
};

struct openai_azure {
	struct openai_settings common;
	char *endpoint;
	char *path;
	char *api_version;
};

#define COMMON(name) offsetof(struct openai_settings, name)
#define PUBLIC(name) offsetof(struct openai_public, name)
#define AZURE(name) offsetof(struct openai_azure, name)

/* clang-format off */
#define OPENAI_COMMON_KEYS                                                     \
	{ "api_key", CONF_STR, COMMON(api_key), "", "0", "1024", CONF_SECRET,  \
	  "the key; without it the check is unhealthy" },                      \
	{ "ca_file", CONF_STR, COMMON(ca_file), "", "0", "4095", CONF_PATH,    \
	  "PEM file of the CAs to trust instead of the system's" },            \
	{ "proxy", CONF_STR, COMMON(proxy), "", "0", "1024", CONF_URL,         \
	  "HTTP proxy, http://HOST:PORT; the environment's is never used" }

static const struct conf_key openai_public_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "base_url", CONF_STR, PUBLIC(base_url), "https://api.openai.com",
	  "0", "1024", CONF_URL,
	  "where the API is; /v1 is added unless it ends in a version" },
	{ "model", CONF_STR, PUBLIC(model), "", "0", "256", 0,
	  "ask for this model instead of the list of all" },
	{ "organization", CONF_STR, PUBLIC(organization), "", "0", "256", 0,
	  "sent as `OpenAI-Organization`" },
	{ "project", CONF_STR, PUBLIC(project), "", "0", "256", 0,
	  "sent as `OpenAI-Project`" },
	{ "accept_restricted", CONF_BOOL, COMMON(accept_restricted), "no",
	  NULL, NULL, 0,
	  "healthy, too, when the key is good but may not list models" },
	OPENAI_COMMON_KEYS,
	CONF_END
};

static const struct conf_key openai_azure_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "endpoint", CONF_STR, AZURE(endpoint), "", "0", "1024", CONF_URL,
	  "https://NAME.openai.azure.com; without it the check is unhealthy" },
	{ "path", CONF_STR, AZURE(path), "/openai/models", "1", "1024", 0,
	  "what is asked for; /openai/deployments for old API versions" },
	{ "api_version", CONF_STR, AZURE(api_version), "2024-10-21",
	  "0", "64", 0,
	  "sent as api-version; empty: none, as /openai/v1/models wants it" },
	OPENAI_COMMON_KEYS,
	CONF_END
};
/* clang-format on */

/* ---- settings ---- */

static void openai_judge(struct conn *conn, const struct http_answer *answer);

static void openai_add_header(struct conf *conf, struct conf_section *section,
			      struct openai_settings *settings, const char *key,
			      const char *prefix, const char *value)
{
	const char *wrong = "out of memory";
	char *line;

	if (!value[0])
		return;
	if (asprintf(&line, "%s%s", prefix, value) >= 0) {
		wrong = http_question_header(&settings->question, line);
		free(line);
	}
	if (wrong)
		conf_mistake(conf, section, key, "%s", wrong);
}

/* What both kinds have; url is freed, NULL: out of memory. */
static void openai_prepare(struct conf *conf, struct conf_section *section,
			   struct openai_settings *settings,
			   const char *url_key, char *url)
{
	struct http_question *question = &settings->question;
	const char *wrong;
	char reason[256];

	question->max_body = OPENAI_BODY_BYTES;
	question->judge = openai_judge;
	wrong = url ? http_question_url(question, url) : "out of memory";
	if (wrong)
		conf_mistake(conf, section, url_key, "%s", wrong);
	free(url);
	wrong = settings->proxy[0]
			? http_question_proxy(question, settings->proxy)
			: NULL;
	if (wrong)
		conf_mistake(conf, section, "proxy", "%s", wrong);
	if (settings->ca_file[0] &&
	    http_question_ca(question, settings->ca_file, reason,
			     sizeof(reason)))
		conf_mistake(conf, section, "ca_file", "%s", reason);
}

/* The length of a base URL without slashes at its end. */
static size_t openai_trimmed(const char *url)
{
	size_t len = strlen(url);

	while (len && url[len - 1] == '/')
		len--;
	return len;
}

/* OPENAI_BASE_URL usually ends in /v1, what people write often does not. */
static bool openai_has_version(const char *url, size_t len)
{
	size_t at = len;

	while (at && isdigit((unsigned char)url[at - 1]))
		at--;
	return at < len && at >= 2 && url[at - 1] == 'v' && url[at - 2] == '/';
}

/* A model's name as it stands in a path; a slash in it is kept, as the
 * official clients do.  For free(). */
static char *openai_escape(const char *name)
{
	static const char hex[] = "0123456789ABCDEF";
	char *text = malloc(3 * strlen(name) + 1), *to = text;

	if (!text)
		return NULL;
	for (; *name; name++) {
		unsigned char c = (unsigned char)*name;

		if (isalnum(c) || strchr("-._~/", c)) {
			*to++ = (char)c;
			continue;
		}
		*to++ = '%';
		*to++ = hex[c >> 4];
		*to++ = hex[c & 15];
	}
	*to = '\0';
	return text;
}

static char *openai_public_url(const struct openai_public *settings)
{
	const char *base = settings->base_url;
	size_t len = openai_trimmed(base);
	const char *version = openai_has_version(base, len) ? "" : "/v1";
	char *model = openai_escape(settings->model), *url;

	if (!model || asprintf(&url, "%.*s%s/models%s%s", (int)len, base,
			       version, model[0] ? "/" : "", model) < 0)
		url = NULL;
	free(model);
	return url;
}

static void openai_public_prepare(struct conf *conf,
				  struct conf_section *section, void *record)
{
	struct openai_public *settings = record;
	struct openai_settings *common = &settings->common;

	common->complete = settings->base_url[0] && common->api_key[0];
	common->named = settings->model[0];
	if (settings->base_url[0])
		openai_prepare(conf, section, common, "base_url",
			       openai_public_url(settings));
	openai_add_header(conf, section, common, "api_key",
			  "Authorization: Bearer ", common->api_key);
	openai_add_header(conf, section, common, "organization",
			  "OpenAI-Organization: ", settings->organization);
	openai_add_header(conf, section, common, "project",
			  "OpenAI-Project: ", settings->project);
}

static char *openai_azure_url(const struct openai_azure *settings)
{
	const char *version = settings->api_version;
	char *escaped = openai_escape(version), *url;
	const char *mark = strchr(settings->path, '?') ? "&" : "?";

	if (!escaped ||
	    asprintf(&url, "%.*s%s%s%s%s",
		     (int)openai_trimmed(settings->endpoint),
		     settings->endpoint, settings->path, version[0] ? mark : "",
		     version[0] ? "api-version=" : "", escaped) < 0)
		url = NULL;
	free(escaped);
	return url;
}

static void openai_azure_prepare(struct conf *conf,
				 struct conf_section *section, void *record)
{
	struct openai_azure *settings = record;
	struct openai_settings *common = &settings->common;

	common->complete = settings->endpoint[0] && common->api_key[0];
	if (settings->path[0] != '/')
		conf_mistake(conf, section, "path", "begins with a slash");
	if (settings->endpoint[0])
		openai_prepare(conf, section, common, "endpoint",
			       openai_azure_url(settings));
	openai_add_header(conf, section, common, "api_key",
			  "api-key: ", common->api_key);
}

static void openai_dispose(void *record)
{
	struct openai_settings *settings = record;

	http_question_dispose(&settings->question);
}

/* ---- the answer ---- */

/* Whether the body can be JSON; a proxy's or portal's page is not.  The list
 * may be longer than what is read of it, so it is not parsed. */
static bool openai_is_object(const struct http_answer *answer)
{
	return answer->body[strspn(answer->body, " \t\r\n")] == '{';
}

/*
 * A restricted key without the scope to list models is refused with a body
 * that names the "missing scopes": it was recognised, yet whether it may do
 * what the application needs is not known.
 */
static bool openai_is_restricted(const struct http_answer *answer)
{
	return (answer->status == 401 || answer->status == 403) &&
	       strcasestr(answer->body, "missing scopes");
}

static void openai_judge(struct conn *conn, const struct http_answer *answer)
{
	const struct openai_settings *settings = conn_settings(conn);

	if (openai_is_restricted(answer)) {
		if (settings->accept_restricted)
			conn_answered(conn, RESULT_OK, "%s", "");
		else
			conn_answered(conn, RESULT_AUTH,
				      "key lacks the Models scope");
	} else if (answer->status == 404 && settings->named) {
		conn_answered(conn, RESULT_MISSING, "model not found");
	} else if (answer->status != 200) {
		http_ask_refuse(conn, answer);
	} else if (!openai_is_object(answer)) {
		conn_answered(conn, RESULT_PROTOCOL, "answer is not JSON");
	} else {
		conn_answered(conn, RESULT_OK, "%s", "");
	}
}

static void openai_open(struct conn *conn)
{
	const struct openai_settings *settings = conn_settings(conn);

	if (settings->complete)
		http_ask_open(conn, &settings->question);
	else
		conn_answered(conn, RESULT_CONFIG,
			      "credentials not configured");
}

static void openai_ask(struct conn *conn)
{
	const struct openai_settings *settings = conn_settings(conn);

	if (settings->complete)
		http_ask_again(conn);
	else
		conn_answered(conn, RESULT_CONFIG,
			      "credentials not configured");
}

const struct check_kind check_openai = {
	.name = "openai",
	.timeout = "3s",
	.help = "asks the OpenAI API, or one like it, for its models",
	.keys = openai_public_keys,
	.settings_size = sizeof(struct openai_public),
	.conn_size = sizeof(struct http_ask),
	.open_asks = true,
	.prepare = openai_public_prepare,
	.dispose = openai_dispose,
	.open = openai_open,
	.ask = openai_ask,
	.on_io = http_ask_on_io,
	.close = http_ask_close,
	.step = http_ask_step,
};

const struct check_kind check_azure_openai = {
	.name = "azure-openai",
	.timeout = "3s",
	.help = "asks Azure OpenAI for its models",
	.keys = openai_azure_keys,
	.settings_size = sizeof(struct openai_azure),
	.conn_size = sizeof(struct http_ask),
	.open_asks = true,
	.prepare = openai_azure_prepare,
	.dispose = openai_dispose,
	.open = openai_open,
	.ask = openai_ask,
	.on_io = http_ask_on_io,
	.close = http_ask_close,
	.step = http_ask_step,
};

#include "config.h"

#include "check/check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds/kinds.h"
#include "kinds/http/http_ask.h"
#include "kinds/http/openai_answer.h"

/* How much of a list of models is read to recognise it, and to find a model in
 * it. */
#define OPENAI_BODY_BYTES (64 * 1024)
#define OPENAI_LIST_BYTES (1024 * 1024)

/* Of both kinds; a text that is not a key of the kind is NULL. */
struct openai_settings {
	char *base_url; /* or `endpoint` */
	char *api_key;
	char *ca_file;
	char *proxy;
	char *model;
	char *organization;
	char *project;
	bool accept_restricted;
	char *path;
	char *api_version;

	/* made by openai_prepare() */
	bool complete;	 /* URL and key are set */
	unsigned may_be; /* what the answer may be */
	char *list_url;	 /* URL of all models, when one is asked for; owned */
	struct http_question question;
};

#define AT(name) offsetof(struct openai_settings, name)

/* clang-format off */
#define OPENAI_COMMON_KEYS                                                     \
	{ "api_key", CONF_STR, AT(api_key), "", "0", "1024", CONF_SECRET,  \
	  "the key; without it the check is unhealthy" },                      \
	{ "ca_file", CONF_STR, AT(ca_file), "", "0", "4095", CONF_PATH,    \
	  "PEM file of the CAs to trust instead of the system's" },            \
	{ "proxy", CONF_STR, AT(proxy), "", "0", "1024", CONF_URL,         \
	  "HTTP proxy, http://HOST:PORT; the environment's is never used" }

static const struct conf_key openai_public_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "base_url", CONF_STR, AT(base_url), "https://api.openai.com",
	  "0", "1024", CONF_URL,
	  "where the API is; /v1 is added unless its path has a version" },
	{ "model", CONF_STR, AT(model), "", "0", "256", 0,
	  "ask for this model instead of the list of all" },
	{ "organization", CONF_STR, AT(organization), "", "0", "256", 0,
	  "sent as `OpenAI-Organization`" },
	{ "project", CONF_STR, AT(project), "", "0", "256", 0,
	  "sent as `OpenAI-Project`" },
	{ "accept_restricted", CONF_BOOL, AT(accept_restricted), "no",
	  NULL, NULL, 0,
	  "healthy, too, when the key is good but may not list models" },
	OPENAI_COMMON_KEYS,
	CONF_END
};

static const struct conf_key openai_azure_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "endpoint", CONF_STR, AT(base_url), "", "0", "1024", CONF_URL,
	  "https://NAME.openai.azure.com, or its URL that ends in /openai/v1" },
	{ "path", CONF_STR, AT(path), "/openai/models", "1", "1024", 0,
	  "what is asked for; /openai/deployments for old API versions" },
	{ "api_version", CONF_STR, AT(api_version), "2024-10-21",
	  "0", "64", 0,
	  "sent as api-version; empty: none, as /openai/v1/models wants it" },
	OPENAI_COMMON_KEYS,
	CONF_END
};
/* clang-format on */

/* ---- settings ---- */

static void openai_judge(struct conn *conn, const struct http_answer *answer);

/* What both kinds have; url is freed, NULL: out of memory. */
static void openai_prepare(struct conf *conf, struct conf_section *section,
			   struct openai_settings *settings,
			   const char *url_key, char *url,
			   const char *key_header)
{
	struct http_question *question = &settings->question;

	question->max_body = OPENAI_BODY_BYTES;
	question->judge = openai_judge;
	settings->complete = settings->base_url[0] && settings->api_key[0];
	if (settings->base_url[0])
		http_question_prepare(question, conf, section, url_key, url,
				      settings->proxy, settings->ca_file);
	free(url);
	http_question_header(question, conf, section, "api_key", key_header,
			     settings->api_key);
}

/* Whether a segment of a path is a version: v1, v4, v1beta. */
static bool openai_has_version(const char *path)
{
	size_t len;

	while ((path = strstr(path, "/v"))) {
		path += 2;
		for (len = 0; isalnum((unsigned char)path[len]); len++)
			;
		if (isdigit((unsigned char)*path) && strchr("/", path[len]))
			return true;
	}
	return false;
}

/* A model's name as a path has it; a slash in it is kept, as the official
 * clients do.  For free(). */
static char *openai_escape(const char *name)
{
	char *text = malloc(3 * strlen(name) + 1), *to = text;

	for (; text && *name; name++)
		to += snprintf(to, 4,
			       isalnum((unsigned char)*name) ||
					       strchr("-._~/", *name)
				       ? "%c"
				       : "%%%02X",
			       (unsigned char)*name);
	if (text)
		*to = '\0';
	return text;
}

/* The path of a URL as configured, without slashes at its end, for free();
 * NULL: the URL cannot be parsed, or no memory. */
static char *openai_path(const char *url)
{
	CURLU *parsed = http_url_parse(url);
	char *path = http_url_part(parsed, CURLUPART_PATH, 0);
	size_t len = path ? strlen(path) : 0;

	for (; len && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	curl_url_cleanup(parsed);
	return path;
}

/*
 * The URL with another path, and with these queries ("name=value", or "") added
 * to its own; a fragment, which is never sent, is removed.  A URL that cannot
 * be parsed is returned as it is, so that http_question_url() reports it.  For
 * free(); path or result NULL: out of memory.
 */
static char *openai_move(const char *url, const char *path, const char *query,
			 const char *more)
{
	CURLU *parsed = path ? http_url_parse(url) : NULL;
	char *moved = NULL;

	if (!curl_url_set(parsed, CURLUPART_PATH, path, 0) &&
	    !curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) &&
	    (!*query || !curl_url_set(parsed, CURLUPART_QUERY, query,
				      CURLU_APPENDQUERY)) &&
	    (!*more ||
	     !curl_url_set(parsed, CURLUPART_QUERY, more, CURLU_APPENDQUERY)))
		moved = http_url_part(parsed, CURLUPART_URL, 0);
	curl_url_cleanup(parsed);
	return moved ? moved : strdup(url);
}

/*
 * A variable has the base URL that clients of the API use, so its path is used
 * as it is; without a path, /v1 is added, since few servers have the API at the
 * root.  In a file, /v1 may be left out after a path, too.
 */
static char *openai_public_url(const struct openai_settings *settings,
			       const struct conf_section *section,
			       const char *name)
{
	bool for_client = conf_section_variable(section, "base_url") != NULL;
	char *base = openai_path(settings->base_url), *path, *url;
	char *model = openai_escape(name);
	const char *version = "/v1";

	if (base && (openai_has_version(base) || (for_client && *base)))
		version = "";
	if (!base || !model ||
	    asprintf(&path, "%s%s/models%s%s", base, version, *model ? "/" : "",
		     model) < 0)
		path = NULL;
	url = openai_move(settings->base_url, path, "", "");
	free(base);
	free(model);
	free(path);
	return url;
}

static void openai_public_prepare(struct conf *conf,
				  struct conf_section *section, void *record)
{
	struct openai_settings *settings = record;
	const char *model = settings->model;

	openai_prepare(conf, section, settings, "base_url",
		       openai_public_url(settings, section, model),
		       "Authorization: Bearer ");
	settings->may_be = *model ? OPENAI_MODEL : OPENAI_LIST;
	if (*model) {
		settings->list_url = openai_public_url(settings, section, "");
		if (!settings->list_url)
			conf_mistake(conf, section, "base_url",
				     "out of memory");
	}
	http_question_header(&settings->question, conf, section, "organization",
			     "OpenAI-Organization: ", settings->organization);
	http_question_header(&settings->question, conf, section, "project",
			     "OpenAI-Project: ", settings->project);
}

/*
 * Finds "/openai/v1" or "/openai/deployments" in the path of an endpoint that
 * was copied from a client's base URL or from the portal; the path to ask for
 * replaces it.  NULL: not found.
 */
static char *openai_azure_root(char *path, bool *v1)
{
	char *at = path;

	while (at && (at = strstr(at, "/openai/"))) {
		*v1 = strncmp(at + 8, "v1", 2) == 0 && strchr("/", at[10]);
		if (*v1 || strncmp(at + 8, "deployments/", 12) == 0)
			return at;
		at++;
	}
	return NULL;
}

static char *openai_azure_url(const struct openai_settings *settings,
			      const struct conf_section *section)
{
	const char *endpoint = settings->base_url, *path = settings->path;
	char *base = openai_path(endpoint), *root = NULL, *whole, *url = NULL;
	char *version = openai_escape(settings->api_version), *query;
	size_t len;
	bool v1 = false;

	if (!conf_section_has(section, "path"))
		root = openai_azure_root(base, &v1);
	if (root) {
		*root = '\0';
		path = v1 ? "/openai/v1/models" : path;
	}
	/* Dates are versions of the older paths only. */
	if (version && ((v1 && isdigit((unsigned char)*version)) ||
			strstr(endpoint, "api-version=")))
		*version = '\0';
	len = strcspn(path, "?");
	if (!base || asprintf(&whole, "%s%.*s", base, (int)len, path) < 0)
		whole = NULL;
	if (version && asprintf(&query, "%s%s", *version ? "api-version=" : "",
				version) >= 0) {
		url = openai_move(endpoint, whole,
				  path + len + (path[len] == '?'), query);
		free(query);
	}
	free(base);
	free(whole);
	free(version);
	return url;
}

static void openai_azure_prepare(struct conf *conf,
				 struct conf_section *section, void *record)
{
	struct openai_settings *settings = record;

	/* `path` may be that of either. */
	settings->may_be = OPENAI_LIST | OPENAI_MODEL;
	if (settings->path[0] != '/')
		conf_mistake(conf, section, "path", "begins with a slash");
	openai_prepare(conf, section, settings, "endpoint",
		       openai_azure_url(settings, section), "api-key: ");
}

static void openai_dispose(void *record)
{
	struct openai_settings *settings = record;

	http_question_dispose(&settings->question);
	free(settings->list_url);
}

/* ---- the answer ---- */

/*
 * A restricted key without the scope to list models is refused with a body that
 * names the "missing scopes": the key is valid, but it is not known whether it
 * has the scopes that the application needs.
 */
static bool openai_is_restricted(const struct http_answer *answer)
{
	return (answer->status == 401 || answer->status == 403) &&
	       strcasestr(answer->body, "missing scopes");
}

/* vLLM and others have the list only. */
static bool openai_has_list_only(const struct http_answer *answer)
{
	return answer->status == 404 || answer->status == 405 ||
	       (answer->status == 200 && openai_answer_no_path(answer));
}

static void openai_judge_list(struct conn *conn,
			      const struct http_answer *answer)
{
	const struct openai_settings *settings = conn_settings(conn);
	enum result_code code;
	const char *words;

	code = openai_answer_judge(answer, OPENAI_LIST, &words);
	if (code == RESULT_OK &&
	    !openai_answer_lists(answer, settings->model)) {
		code = RESULT_MISSING;
		words = answer->cut ? "model not found in the first 1024 KB of "
				      "the list"
				    : "model not found";
	}
	http_ask_answered(conn, code, words, "");
}

static void openai_judge(struct conn *conn, const struct http_answer *answer)
{
	const struct openai_settings *settings = conn_settings(conn);
	const struct http_ask *ask = conn_state(conn);
	enum result_code code;
	const char *words;

	if (openai_is_restricted(answer) && settings->accept_restricted) {
		http_ask_answered(conn, RESULT_OK, "", "");
	} else if (openai_is_restricted(answer)) {
		http_ask_answered(conn, RESULT_AUTH,
				  "key lacks the Models scope", "");
	} else if (ask->another && answer->status == 404) {
		http_ask_answered(conn, RESULT_MISSING, "model not found", "");
	} else if (!ask->another && settings->list_url &&
		   openai_has_list_only(answer)) {
		http_ask_another(conn, settings->list_url, OPENAI_LIST_BYTES);
	} else if (answer->status != 200) {
		http_ask_refuse(conn, answer);
	} else if (ask->another) {
		openai_judge_list(conn, answer);
	} else {
		code = openai_answer_judge(answer, settings->may_be, &words);
		http_ask_answered(conn, code, words, answer->body);
	}
}

static void openai_ask(struct conn *conn)
{
	const struct openai_settings *settings = conn_settings(conn);

	if (settings->complete)
		http_ask_start(conn, &settings->question);
	else
		conn_answered(conn, RESULT_CONFIG,
			      "credentials not configured");
}

#define OPENAI_KIND                                                      \
	.timeout = "3s", .open_asks = true,                              \
	.settings_size = sizeof(struct openai_settings),                 \
	.conn_size = sizeof(struct http_ask), .dispose = openai_dispose, \
	.open = openai_ask, .ask = openai_ask, .close = http_ask_close,  \
	.step = http_ask_step

const struct check_kind check_openai = {
	.name = "openai",
	.help = "asks the OpenAI API, or one like it, for its models",
	.keys = openai_public_keys,
	.prepare = openai_public_prepare,
	OPENAI_KIND,
};

const struct check_kind check_azure_openai = {
	.name = "azure-openai",
	.help = "asks Azure OpenAI for its models",
	.keys = openai_azure_keys,
	.prepare = openai_azure_prepare,
	OPENAI_KIND,
};

#include "config.h"

#include "check/check.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kinds/kinds.h"
#include "kinds/http/http_ask.h"
#include "kinds/http/http_url.h"
#include "kinds/http/openai_answer.h"

/* Enough of a list of models to see that it is one, and to look for a model in
 * it. */
#define OPENAI_BODY_BYTES (64 * 1024)
#define OPENAI_LIST_BYTES (1024 * 1024)

/* Both kinds begin with this. */
struct openai_settings {
	char *api_key;
	char *ca_file;
	char *proxy;
	/* made by openai_prepare() */
	bool complete;	 /* there is something to connect with */
	unsigned may_be; /* what the answer may be */
	char *list_url; /* where all models are, when one is asked for; owned */
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

/* Per connection. */
struct openai_conn {
	struct http_ask ask; /* first: the state that http_ask_...() expect */
	bool listing;	     /* the list is asked for instead of the model */
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
	  "where the API is; /v1 is added unless its path has a version" },
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
	  "https://NAME.openai.azure.com, or its URL that ends in /openai/v1" },
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

/*
 * A URL that cannot be parsed stays as it is, for http_question_url() to say
 * why.  Frees path; NULL: out of memory.
 */
static char *openai_move(const char *url, char *path, const char *query)
{
	char *moved = path ? http_url_move(url, path, query) : NULL;

	free(path);
	return moved ? moved : strdup(url);
}

/*
 * What is written for a client of the API is the base of all paths, as it is;
 * but few servers have theirs at the root.  In a file /v1 may be left out
 * behind a path, too.
 */
static char *openai_public_url(const char *base, bool for_client,
			       const char *name)
{
	const char *version = "/v1";
	char *model = openai_escape(name), *url;
	char *path = http_url_path(base);

	if (path && (openai_has_version(path) || (for_client && *path)))
		version = "";
	if (!model || !path ||
	    asprintf(&url, "%s%s/models%s%s", path, version,
		     model[0] ? "/" : "", model) < 0)
		url = NULL;
	free(model);
	free(path);
	return openai_move(base, url, "");
}

static void openai_public_prepare_urls(struct conf *conf,
				       struct conf_section *section,
				       struct openai_public *settings)
{
	struct openai_settings *common = &settings->common;
	const char *base = settings->base_url, *model = settings->model;
	bool for_client = conf_section_variable(section, "base_url") != NULL;

	openai_prepare(conf, section, common, "base_url",
		       openai_public_url(base, for_client, model));
	common->may_be = model[0] ? OPENAI_MODEL : OPENAI_LIST;
	if (!model[0])
		return;
	common->list_url = openai_public_url(base, for_client, "");
	if (!common->list_url)
		conf_mistake(conf, section, "base_url", "out of memory");
}

static void openai_public_prepare(struct conf *conf,
				  struct conf_section *section, void *record)
{
	struct openai_public *settings = record;
	struct openai_settings *common = &settings->common;

	common->complete = settings->base_url[0] && common->api_key[0];
	if (settings->base_url[0])
		openai_public_prepare_urls(conf, section, settings);
	openai_add_header(conf, section, common, "api_key",
			  "Authorization: Bearer ", common->api_key);
	openai_add_header(conf, section, common, "organization",
			  "OpenAI-Organization: ", settings->organization);
	openai_add_header(conf, section, common, "project",
			  "OpenAI-Project: ", settings->project);
}

/*
 * Where "/openai/v1" or "/openai/deployments" begins in the path of an
 * endpoint: it was copied from a client's base URL or from a portal, and what
 * is asked for stands beside it.  NULL: neither is there.
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

/* What `path` and `api_version` ask for behind a "?"; for free(). */
static char *openai_azure_query(const char *asked, const char *version)
{
	char *escaped = openai_escape(version), *query;

	if (!escaped ||
	    asprintf(&query, "%s%s%s%s", asked, *asked && *version ? "&" : "",
		     *version ? "api-version=" : "", escaped) < 0)
		query = NULL;
	free(escaped);
	return query;
}

static char *openai_azure_url(const struct openai_azure *settings,
			      const struct conf_section *section)
{
	const char *path = settings->path, *version = settings->api_version;
	const char *endpoint = settings->endpoint, *mark;
	char *base = http_url_path(endpoint), *whole, *query, *url = NULL;
	char *root = NULL;
	bool v1 = false;

	if (base && !conf_section_has(section, "path"))
		root = openai_azure_root(base, &v1);
	if (root) {
		*root = '\0';
		path = v1 ? "/openai/v1/models" : path;
	}
	/* Dates are versions of the older paths. */
	if ((v1 && isdigit((unsigned char)*version)) ||
	    strstr(endpoint, "api-version="))
		version = "";
	mark = path + strcspn(path, "?");
	query = openai_azure_query(*mark ? mark + 1 : mark, version);
	if (!base ||
	    asprintf(&whole, "%s%.*s", base, (int)(mark - path), path) < 0)
		whole = NULL;
	if (query)
		url = openai_move(endpoint, whole, query);
	else
		free(whole);
	free(base);
	free(query);
	return url;
}

static void openai_azure_prepare(struct conf *conf,
				 struct conf_section *section, void *record)
{
	struct openai_azure *settings = record;
	struct openai_settings *common = &settings->common;

	common->complete = settings->endpoint[0] && common->api_key[0];
	/* `path` may lead to either. */
	common->may_be = OPENAI_LIST | OPENAI_MODEL;
	if (settings->path[0] != '/')
		conf_mistake(conf, section, "path", "begins with a slash");
	if (settings->endpoint[0])
		openai_prepare(conf, section, common, "endpoint",
			       openai_azure_url(settings, section));
	openai_add_header(conf, section, common, "api_key",
			  "api-key: ", common->api_key);
}

static void openai_dispose(void *record)
{
	struct openai_settings *settings = record;

	http_question_dispose(&settings->question);
	free(settings->list_url);
}

/* ---- the answer ---- */

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

/* vLLM and others have the list only. */
static bool openai_has_list_only(const struct http_answer *answer)
{
	return answer->status == 404 || answer->status == 405 ||
	       (answer->status == 200 && openai_answer_no_path(answer));
}

static void openai_judge_list(struct conn *conn,
			      const struct http_answer *answer)
{
	const struct openai_public *settings = conn_settings(conn);
	enum result_code code;
	const char *words;

	code = openai_answer_judge(answer, OPENAI_LIST, &words);
	if (code != RESULT_OK)
		conn_answered(conn, code, "%s", words);
	else if (openai_answer_lists(answer, settings->model))
		conn_answered(conn, RESULT_OK, "%s", "");
	else if (answer->cut)
		conn_answered(conn, RESULT_MISSING,
			      "model not found in the first %d KB of the list",
			      OPENAI_LIST_BYTES / 1024);
	else
		conn_answered(conn, RESULT_MISSING, "model not found");
}

static void openai_judge_body(struct conn *conn,
			      const struct http_answer *answer)
{
	const struct openai_settings *settings = conn_settings(conn);
	enum result_code code;
	const char *words;

	code = openai_answer_judge(answer, settings->may_be, &words);
	if (code != RESULT_OK)
		conn_detail(conn, answer->body);
	conn_answered(conn, code, "%s", words);
}

static void openai_judge(struct conn *conn, const struct http_answer *answer)
{
	const struct openai_settings *settings = conn_settings(conn);
	struct openai_conn *openai = conn_state(conn);

	if (openai_is_restricted(answer)) {
		if (settings->accept_restricted)
			conn_answered(conn, RESULT_OK, "%s", "");
		else
			conn_answered(conn, RESULT_AUTH,
				      "key lacks the Models scope");
	} else if (openai->listing && answer->status == 404) {
		conn_answered(conn, RESULT_MISSING, "model not found");
	} else if (!openai->listing && settings->list_url &&
		   openai_has_list_only(answer)) {
		openai->listing = true;
		http_ask_another(conn, settings->list_url, OPENAI_LIST_BYTES);
	} else if (answer->status != 200) {
		http_ask_refuse(conn, answer);
	} else if (openai->listing) {
		openai_judge_list(conn, answer);
	} else {
		openai_judge_body(conn, answer);
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
	struct openai_conn *openai = conn_state(conn);

	openai->listing = false;
	if (settings->complete)
		http_ask_again(conn);
	else
		conn_answered(conn, RESULT_CONFIG,
			      "credentials not configured");
}

#define OPENAI_KIND                                                         \
	.timeout = "3s", .open_asks = true,                                 \
	.conn_size = sizeof(struct openai_conn), .dispose = openai_dispose, \
	.open = openai_open, .ask = openai_ask, .close = http_ask_close,    \
	.step = http_ask_step

const struct check_kind check_openai = {
	.name = "openai",
	.help = "asks the OpenAI API, or one like it, for its models",
	.keys = openai_public_keys,
	.settings_size = sizeof(struct openai_public),
	.prepare = openai_public_prepare,
	OPENAI_KIND,
};

const struct check_kind check_azure_openai = {
	.name = "azure-openai",
	.help = "asks Azure OpenAI for its models",
	.keys = openai_azure_keys,
	.settings_size = sizeof(struct openai_azure),
	.prepare = openai_azure_prepare,
	OPENAI_KIND,
};

#include "config.h"

#include "kinds/http/http_question.c"
#include "kinds/http/openai.c"

#include "fake_conn.h"
#include "unit.h"

/* ---- the neighbours ---- */

static int asked, mistakes;
static char mistake_key[32];

int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
{
	(void)path;
	(void)max_bytes;
	(void)text;
	(void)len;
	snprintf(reason, reason_size, "cannot be opened");
	return -1;
}

const char *stream_pem_wrong(const char *pem, size_t len)
{
	(void)pem;
	(void)len;
	return NULL;
}

void http_ask_start(struct conn *conn, const struct http_question *question)
{
	CHECK(question->judge == openai_judge);
	(void)conn;
	asked++;
}

static char said[256];

void http_ask_answered(struct conn *conn, enum result_code code,
		       const char *words, const char *text)
{
	snprintf(said, sizeof(said), "%s", text);
	conn_answered(conn, code, "%s", words);
}

static char another[512];
static size_t another_bytes;

void http_ask_another(struct conn *conn, const char *text, size_t max_body)
{
	((struct http_ask *)conn_state(conn))->another = true;
	snprintf(another, sizeof(another), "%s", text);
	another_bytes = max_body;
}

void http_ask_close(struct conn *conn)
{
	(void)conn;
}

const char *http_ask_step(const struct conn *conn)
{
	(void)conn;
	return "";
}

void http_ask_refuse(struct conn *conn, const struct http_answer *answer)
{
	conn_answered(conn, RESULT_STATUS, "HTTP %ld", answer->status);
}

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	(void)conf;
	(void)section;
	(void)fmt;
	snprintf(mistake_key, sizeof(mistake_key), "%s", key ? key : "");
	mistakes++;
}

/* The key that the section sets, and the variable that is its value. */
static const char *set_key = "", *set_variable;

bool conf_section_has(const struct conf_section *section, const char *key_name)
{
	(void)section;
	return strstr(set_key, key_name) != NULL;
}

const char *conf_section_variable(const struct conf_section *section,
				  const char *key_name)
{
	(void)section;
	return strcmp(set_key, key_name) == 0 ? set_variable : NULL;
}

/* ---- settings ---- */

static char empty[] = "", key[] = "sk-1234", models_path[] = "/openai/models",
	    version[] = "2024-10-21";
static struct openai_settings public, azure;

static void reset(void)
{
	check_openai.dispose(&public);
	check_azure_openai.dispose(&azure);
	public = azure = (struct openai_settings){
		.base_url = empty,
		.api_key = key,
		.ca_file = empty,
		.proxy = empty,
	};
	public.model = public.organization = public.project = empty;
	azure.path = models_path;
	azure.api_version = version;
	mistakes = 0;
	mistake_key[0] = '\0';
	set_key = "";
}

static void check_headers(const struct openai_settings *settings,
			  const char *want)
{
	const struct curl_slist *header = settings->question.headers;
	char headers[512] = "";
	size_t len = 0;

	for (; header; header = header->next)
		len += (size_t)snprintf(headers + len, sizeof(headers) - len,
					"<%s>", header->data);
	CHECK_STR(headers, want);
}

/* ---- tests ---- */

/* libcurl may write the letters of an escape in lower case. */
static void test_escapes(void)
{
	char *escaped = openai_escape("ft:a?x\xc3\xa4-._~/");

	CHECK_STR(escaped, "ft%3Aa%3Fx%C3%A4-._~/");
	free(escaped);
}

static void test_public_urls(void)
{
	static const struct {
		const char *base, *model, *want, *for_client;
	} rows[] = {
#define SAME(base, want) { base, "", want, want }
		SAME("https://api.openai.com",
		     "https://api.openai.com/v1/models"),
		SAME("https://api.openai.com/",
		     "https://api.openai.com/v1/models"),
		SAME("https://api.openai.com/v1",
		     "https://api.openai.com/v1/models"),
		SAME("https://api.openai.com/v1///",
		     "https://api.openai.com/v1/models"),
		SAME("https://generativelanguage.googleapis.com/v1beta/openai/",
		     "https://generativelanguage.googleapis.com/v1beta/openai/"
		     "models"),
		SAME("https://api.deepinfra.com/v1/openai",
		     "https://api.deepinfra.com/v1/openai/models"),
		SAME("https://open.bigmodel.cn/api/paas/v4/",
		     "https://open.bigmodel.cn/api/paas/v4/models"),
		SAME("https://dashscope.aliyuncs.com/compatible-mode/v1",
		     "https://dashscope.aliyuncs.com/compatible-mode/v1/"
		     "models"),
		SAME("https://openrouter.ai/api/v1",
		     "https://openrouter.ai/api/v1/models"),
		SAME("https://api.groq.com/openai/v1",
		     "https://api.groq.com/openai/v1/models"),
		SAME("https://x.openai.azure.com/openai/v1/",
		     "https://x.openai.azure.com/openai/v1/models"),
		SAME("http://localhost:8000/api/v12",
		     "http://localhost:8000/api/v12/models"),
		SAME("http://host1", "http://host1/v1/models"),
		SAME("http://v1", "http://v1/v1/models"),
		SAME("http://v1.example/", "http://v1.example/v1/models"),
		/* as they stand in a URL, and nothing is joined as text */
		SAME("http://h/v1?tenant=a/b&x=%20",
		     "http://h/v1/models?tenant=a/b&x=%20"),
		SAME("http://h?tenant=a", "http://h/v1/models?tenant=a"),
		SAME("http://h/v1/#top", "http://h/v1/models"),
		SAME("http://u:p%2Fv1%40@h:8000/v1",
		     "http://u:p%2Fv1%40@h:8000/v1/models"),
		SAME("http://[::1]:8000", "http://[::1]:8000/v1/models"),
		SAME("http://[2001:db8::1]/v1/",
		     "http://[2001:db8::1]/v1/models"),
		SAME("http://localhost.:8000/v1",
		     "http://localhost:8000/v1/models"),
		/* not a version; a client takes its base as it is */
		{ "http://h/dev1", "", "http://h/dev1/v1/models",
		  "http://h/dev1/models" },
		{ "http://h/v", "", "http://h/v/v1/models",
		  "http://h/v/models" },
		{ "http://h/v1-proxy/", "", "http://h/v1-proxy/v1/models",
		  "http://h/v1-proxy/models" },
		{ "https://models.github.ai/inference", "",
		  "https://models.github.ai/inference/v1/models",
		  "https://models.github.ai/inference/models" },
		{ "http://h", "gpt-4o", "http://h/v1/models/gpt-4o",
		  "http://h/v1/models/gpt-4o" },
		{ "http://h/v1?k=1", "a b%c",
		  "http://h/v1/models/a%20b%25c?k=1",
		  "http://h/v1/models/a%20b%25c?k=1" },
		{ "http://h", "org/m#y", "http://h/v1/models/org/m%23y",
		  "http://h/v1/models/org/m%23y" },
	};
	size_t i, for_client;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		for (for_client = 0; for_client < 2; for_client++) {
			reset();
			set_key = "base_url";
			set_variable = for_client ? "OPENAI_BASE_URL" : NULL;
			public.base_url = strdup(rows[i].base);
			public.model = strdup(rows[i].model);
			check_openai.prepare(NULL, NULL, &public);
			CHECK_INT(mistakes, 0);
			CHECK_STR(public.question.url,
				  for_client ? rows[i].for_client
					     : rows[i].want);
			CHECK(!public.list_url == !*rows[i].model);
			check_headers(&public,
				      "<Authorization: Bearer sk-1234>");
			CHECK(!strstr(public.question.url, key));
			free(public.base_url);
			free(public.model);
		}
	}
}

static void test_public_headers(void)
{
	reset();
	public.base_url = (char[]){ "http://h" };
	public.organization = (char[]){ "org-1" };
	public.project = (char[]){ "proj-1" };
	check_openai.prepare(NULL, NULL, &public);
	check_headers(&public, "<Authorization: Bearer sk-1234>"
			       "<OpenAI-Organization: org-1>"
			       "<OpenAI-Project: proj-1>");
}

static void test_azure_urls(void)
{
	static const char version_query[] = "?api-version=2024-10-21";
	static const struct {
		const char *set, *endpoint, *path, *version, *want;
		bool default_version;
	} rows[] = {
#define PASTED(endpoint, want, version) \
	{ "", endpoint, "/openai/models", "2024-10-21", want, version }
		PASTED("https://x.openai.azure.com",
		       "https://x.openai.azure.com/openai/models", true),
		PASTED("https://x.openai.azure.com//",
		       "https://x.openai.azure.com/openai/models", true),
		PASTED("https://[::1]:8443/",
		       "https://[::1]:8443/openai/models", true),
		PASTED("https://gw/team/", "https://gw/team/openai/models",
		       true),
		PASTED("https://gw?tenant=a",
		       "https://gw/openai/models?tenant=a"
		       "&api-version=2024-10-21",
		       false),
		/* as the SDKs do: not a version, so a part of the gateway */
		PASTED("https://gw/openai", "https://gw/openai/openai/models",
		       true),
		/* a client's base, or copied from the portal */
		PASTED("http://h/openai/v1/", "http://h/openai/v1/models",
		       false),
		PASTED("http://h/openai/v1", "http://h/openai/v1/models",
		       false),
		PASTED("http://gw/team/openai/v1/chat/completions",
		       "http://gw/team/openai/v1/models", false),
		PASTED("http://h/openai/v1/?api-version=preview",
		       "http://h/openai/v1/models?api-version=preview", false),
		PASTED("http://h/openai/deployments/gpt-4o/chat/completions"
		       "?api-version=2024-02-15-preview",
		       "http://h/openai/models?api-version=2024-02-15-preview",
		       false),
		PASTED("http://h/openai/v12",
		       "http://h/openai/v12/openai/"
		       "models",
		       true),
		/* what is configured counts */
		{ "path", "https://x/openai/v1", "/models", "2024-10-21",
		  "https://x/openai/v1/models", true },
		{ "path api_version", "https://x.openai.azure.com//",
		  "/openai/v1/models", "",
		  "https://x.openai.azure.com/openai/v1/models", false },
		{ "api_version", "https://x/openai/v1/", "/openai/models",
		  "preview", "https://x/openai/v1/models?api-version=preview",
		  false },
		{ "path api_version", "https://x", "/openai/deployments",
		  "2023-03-15-preview",
		  "https://x/openai/deployments"
		  "?api-version=2023-03-15-preview",
		  false },
		{ "path api_version", "https://x", "/m?a=b", "1 2",
		  "https://x/m?a=b&api-version=1%202", false },
	};
	char want[256];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		reset();
		set_key = rows[i].set;
		azure.base_url = strdup(rows[i].endpoint);
		azure.path = strdup(rows[i].path);
		azure.api_version = strdup(rows[i].version);
		snprintf(want, sizeof(want), "%s%s", rows[i].want,
			 rows[i].default_version ? version_query : "");
		check_azure_openai.prepare(NULL, NULL, &azure);
		CHECK_INT(mistakes, 0);
		CHECK_STR(azure.question.url, want);
		check_headers(&azure, "<api-key: sk-1234>");
		CHECK(!strstr(azure.question.url, key));
		free(azure.base_url);
		free(azure.path);
		free(azure.api_version);
	}
}

static void mistake_in(const char *want)
{
	CHECK_INT(mistakes, 1);
	CHECK_STR(mistake_key, want);
}

static void test_mistakes(void)
{
	reset();
	public.base_url = (char[]){ "api.openai.com" };
	check_openai.prepare(NULL, NULL, &public);
	mistake_in("base_url");
	reset();
	public.base_url = (char[]){ "http://h" };
	public.api_key = (char[]){ "a\nb" };
	check_openai.prepare(NULL, NULL, &public);
	mistake_in("api_key");
	reset();
	azure.base_url = (char[]){ "http://h" };
	azure.path = (char[]){ "openai/models" };
	check_azure_openai.prepare(NULL, NULL, &azure);
	mistake_in("path");
	reset();
	azure.base_url = (char[]){ "http://h" };
	azure.ca_file = (char[]){ "/missing" };
	check_azure_openai.prepare(NULL, NULL, &azure);
	mistake_in("ca_file");
	reset();
	azure.base_url = (char[]){ "http://h" };
	azure.proxy = (char[]){ "socks5://p:1" };
	check_azure_openai.prepare(NULL, NULL, &azure);
	mistake_in("proxy");
}

static void expect_config(const struct check_kind *kind, const void *settings)
{
	struct http_ask state = { .another = false };
	struct conn conn = { .settings = settings, .state = &state };

	CHECK_INT(mistakes, 0);
	kind->open(&conn);
	kind->ask(&conn);
	CHECK_INT(conn.answered, 2);
	CHECK_INT(asked, 0);
	CHECK_INT(conn.code, RESULT_CONFIG);
	CHECK_STR(conn.words, "credentials not configured");
}

static void test_credentials(void)
{
	struct http_ask state = { .another = false };
	struct conn conn = { .settings = &public, .state = &state };

	reset();
	public.api_key = empty;
	public.base_url = (char[]){ "http://h" };
	check_openai.prepare(NULL, NULL, &public);
	expect_config(&check_openai, &public);
	reset();
	check_azure_openai.prepare(NULL, NULL, &azure);
	expect_config(&check_azure_openai, &azure);
	reset();
	azure.base_url = (char[]){ "http://h" };
	azure.api_key = empty;
	check_azure_openai.prepare(NULL, NULL, &azure);
	expect_config(&check_azure_openai, &azure);

	reset();
	public.base_url = (char[]){ "http://h" };
	check_openai.prepare(NULL, NULL, &public);
	check_openai.open(&conn);
	check_openai.ask(&conn);
	CHECK_INT(asked, 2);
	CHECK_INT(conn.answered, 0);
	CHECK(!check_openai.live_refused && !check_azure_openai.live_refused);
}

static struct http_ask judged;

static void judge_cut(long status, const char *body, bool cut,
		      enum result_code code, const char *words)
{
	struct http_answer answer = {
		.status = status, .body = body, .len = strlen(body), .cut = cut
	};
	struct conn conn = { .settings = &public, .state = &judged };

	openai_judge(&conn, &answer);
	CHECK_INT(conn.answered, 1);
	CHECK_INT(conn.code, code);
	CHECK_STR(conn.words, words);
}

static void judge(long status, const char *body, enum result_code code,
		  const char *words)
{
	judge_cut(status, body, false, code, words);
}

static void test_answers(void)
{
	static const char scopes[] =
		"{\"error\":{\"message\":\"Missing scopes: api.model.read\"}}";

	reset();
	public.base_url = (char[]){ "http://h" };
	check_openai.prepare(NULL, NULL, &public);
	judge(200, "{\"data\":[]}", RESULT_OK, "");
	judge(200, "{}", RESULT_PROTOCOL, "answer has no list of models");
	CHECK_STR(said, "{}");
	judge(200, scopes, RESULT_UPSTREAM,
	      "status 200, but the answer is an error");
	judge(401, "{}", RESULT_STATUS, "HTTP 401");
	judge(404, "{}", RESULT_STATUS, "HTTP 404");
	judge(204, "", RESULT_STATUS, "HTTP 204");
	judge(403, scopes, RESULT_AUTH, "key lacks the Models scope");
	judge(500, scopes, RESULT_STATUS, "HTTP 500");
	public.accept_restricted = true;
	judge(403, scopes, RESULT_OK, "");
	judge(401, scopes, RESULT_OK, "");
	judge(403, "{}", RESULT_STATUS, "HTTP 403");
}

/* The list is asked for after this answer to the question for a model. */
static void expect_another(long status, const char *body)
{
	struct http_answer answer = { .status = status,
				      .body = body,
				      .len = strlen(body) };
	struct conn conn = { .settings = &public, .state = &judged };

	judged.another = false;
	another[0] = '\0';
	openai_judge(&conn, &answer);
	CHECK_INT(conn.answered, 0);
	CHECK_STR(another, "http://h/v1/models?k=1");
	CHECK_INT(another_bytes, OPENAI_LIST_BYTES);
	CHECK(judged.another);
}

static void test_model_in_list(void)
{
	static const char list[] = "{\"object\":\"list\",\"data\":["
				   "{\"id\":\"org/a\"},{\"id\":\"m-1\"}]}";

	reset();
	public.base_url = (char[]){ "http://h/v1?k=1" };
	public.model = (char[]){ "m-1" };
	check_openai.prepare(NULL, NULL, &public);
	judged.another = false;
	judge(200, "{\"id\":\"m-1\"}", RESULT_OK, "");
	judge(200, list, RESULT_PROTOCOL, "answer does not describe a model");
	judge(500, "{}", RESULT_STATUS, "HTTP 500");
	judge(401, "{}", RESULT_STATUS, "HTTP 401");
	expect_another(404, "{\"detail\":\"Not Found\"}");
	expect_another(405, "");
	expect_another(200, "{\"error\":\"Unexpected endpoint or method. "
			    "(GET /v1/models/m-1)\"}");
	judge(200, list, RESULT_OK, "");
	judge(200, "{\"data\":[]}", RESULT_MISSING, "model not found");
	judge(200, "{\"data\":[{\"id\":\"m-10\"},{\"id\":\"m-\"}]}",
	      RESULT_MISSING, "model not found");
	judge_cut(200, "{\"data\":[{\"id\":\"x\"},{\"i", true, RESULT_MISSING,
		  "model not found in the first 1024 KB of the list");
	judge_cut(200, "{\"data\":[{\"id\":\"m-1\"},{\"i", true, RESULT_OK, "");
	judge(200, "{}", RESULT_PROTOCOL, "answer has no list of models");
	judge(404, "{}", RESULT_MISSING, "model not found");
	judge(500, "{}", RESULT_STATUS, "HTTP 500");
}

int main(void)
{
	test_escapes();
	test_public_urls();
	test_public_headers();
	test_azure_urls();
	test_mistakes();
	test_credentials();
	test_answers();
	test_model_in_list();
	reset();
	return unit_report();
}

#include "config.h"

#include "check_openai.c"

#include "fake_conn.h"
#include "unit.h"

/* ---- the neighbours ---- */

static int opened, asked, mistakes;
static char mistake_key[32], url[512], headers[512];

const char *http_question_url(struct http_question *question, const char *text)
{
	(void)question;
	snprintf(url, sizeof(url), "%s", text);
	return strncmp(text, "http", 4) == 0 ? NULL : "write http://...";
}

const char *http_question_proxy(struct http_question *question,
				const char *text)
{
	(void)question;
	return strncmp(text, "http", 4) == 0 ? NULL : "write http://...";
}

const char *http_question_header(struct http_question *question,
				 const char *line)
{
	size_t len = strlen(headers);

	(void)question;
	if (strchr(line, '\n'))
		return "one line";
	snprintf(headers + len, sizeof(headers) - len, "<%s>", line);
	return NULL;
}

int http_question_ca(struct http_question *question, const char *path,
		     char *reason, size_t reason_size)
{
	(void)question;
	(void)path;
	snprintf(reason, reason_size, "cannot be opened");
	return -1;
}

void http_question_dispose(struct http_question *question)
{
	(void)question;
}

void http_ask_open(struct conn *conn, const struct http_question *question)
{
	CHECK(question->judge == openai_judge);
	(void)conn;
	opened++;
}

void http_ask_again(struct conn *conn)
{
	(void)conn;
	asked++;
}

void http_ask_on_io(struct conn *conn, short revents)
{
	(void)conn;
	(void)revents;
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

/* ---- settings ---- */

static char empty[] = "", key[] = "sk-1234", models_path[] = "/openai/models",
	    version[] = "2024-10-21";
static struct openai_public public;
static struct openai_azure azure;

static void reset(void)
{
	struct openai_settings common = { .api_key = key,
					  .ca_file = empty,
					  .proxy = empty };

	public = (struct openai_public){ .common = common,
					 .base_url = empty,
					 .model = empty,
					 .organization = empty,
					 .project = empty };
	azure = (struct openai_azure){ .common = common,
				       .endpoint = empty,
				       .path = models_path,
				       .api_version = version };
	mistakes = 0;
	mistake_key[0] = url[0] = headers[0] = '\0';
}

static void public_url(const char *base, const char *model, const char *want)
{
	char base_copy[64], model_copy[64];

	reset();
	snprintf(base_copy, sizeof(base_copy), "%s", base);
	snprintf(model_copy, sizeof(model_copy), "%s", model);
	public.base_url = base_copy;
	public.model = model_copy;
	check_openai.prepare(NULL, NULL, &public);
	CHECK_INT(mistakes, 0);
	CHECK_STR(url, want);
}

static void azure_url(const char *endpoint, const char *path,
		      const char *api_version, const char *want)
{
	char endpoint_copy[64], path_copy[64], version_copy[64];

	reset();
	snprintf(endpoint_copy, sizeof(endpoint_copy), "%s", endpoint);
	snprintf(path_copy, sizeof(path_copy), "%s", path);
	snprintf(version_copy, sizeof(version_copy), "%s", api_version);
	azure.endpoint = endpoint_copy;
	azure.path = path_copy;
	azure.api_version = version_copy;
	check_azure_openai.prepare(NULL, NULL, &azure);
	CHECK_INT(mistakes, 0);
	CHECK_STR(url, want);
}

/* ---- tests ---- */

static void test_public_urls(void)
{
	public_url("https://api.openai.com", "",
		   "https://api.openai.com/v1/models");
	public_url("https://api.openai.com/", "",
		   "https://api.openai.com/v1/models");
	public_url("https://api.openai.com/v1", "",
		   "https://api.openai.com/v1/models");
	public_url("https://api.openai.com/v1/", "",
		   "https://api.openai.com/v1/models");
	public_url("http://localhost:8000/api/v12", "",
		   "http://localhost:8000/api/v12/models");
	public_url("http://host1", "", "http://host1/v1/models");
	public_url("http://h/dev1", "", "http://h/dev1/v1/models");
	public_url("http://h/v", "", "http://h/v/v1/models");
	public_url("http://h", "gpt-4o", "http://h/v1/models/gpt-4o");
	public_url("http://h", "ft:a::b", "http://h/v1/models/ft%3Aa%3A%3Ab");
	public_url("http://h", "org/m?x#y", "http://h/v1/models/org/m%3Fx%23y");
	CHECK_STR(headers, "<Authorization: Bearer sk-1234>");
	CHECK(!strstr(url, key));
}

static void test_public_headers(void)
{
	reset();
	public.base_url = (char[]){ "http://h" };
	public.organization = (char[]){ "org-1" };
	public.project = (char[]){ "proj-1" };
	check_openai.prepare(NULL, NULL, &public);
	CHECK_STR(headers, "<Authorization: Bearer sk-1234>"
			   "<OpenAI-Organization: org-1>"
			   "<OpenAI-Project: proj-1>");
}

static void test_azure_urls(void)
{
	azure_url("https://x.openai.azure.com", "/openai/models", "2024-10-21",
		  "https://x.openai.azure.com/openai/models"
		  "?api-version=2024-10-21");
	azure_url("https://x.openai.azure.com//", "/openai/v1/models", "",
		  "https://x.openai.azure.com/openai/v1/models");
	azure_url("https://x", "/openai/deployments", "2023-03-15-preview",
		  "https://x/openai/deployments"
		  "?api-version=2023-03-15-preview");
	azure_url("https://x", "/m?a=b", "1 2",
		  "https://x/m?a=b"
		  "&api-version=1%202");
	CHECK_STR(headers, "<api-key: sk-1234>");
	CHECK(!strstr(url, key));
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
	public.common.api_key = (char[]){ "a\nb" };
	check_openai.prepare(NULL, NULL, &public);
	mistake_in("api_key");
	reset();
	azure.endpoint = (char[]){ "http://h" };
	azure.path = (char[]){ "openai/models" };
	check_azure_openai.prepare(NULL, NULL, &azure);
	mistake_in("path");
	reset();
	azure.endpoint = (char[]){ "http://h" };
	azure.common.ca_file = (char[]){ "/missing" };
	check_azure_openai.prepare(NULL, NULL, &azure);
	mistake_in("ca_file");
	reset();
	azure.endpoint = (char[]){ "http://h" };
	azure.common.proxy = (char[]){ "socks5://p:1" };
	check_azure_openai.prepare(NULL, NULL, &azure);
	mistake_in("proxy");
}

static void expect_config(const struct check_kind *kind, const void *settings)
{
	struct conn conn = { .settings = settings };

	CHECK_INT(mistakes, 0);
	kind->open(&conn);
	kind->ask(&conn);
	CHECK_INT(conn.answered, 2);
	CHECK_INT(opened + asked, 0);
	CHECK_INT(conn.code, RESULT_CONFIG);
	CHECK_STR(conn.words, "credentials not configured");
}

static void test_credentials(void)
{
	struct conn conn = { .settings = &public };

	reset();
	public.common.api_key = empty;
	public.base_url = (char[]){ "http://h" };
	check_openai.prepare(NULL, NULL, &public);
	expect_config(&check_openai, &public);
	reset();
	check_azure_openai.prepare(NULL, NULL, &azure);
	expect_config(&check_azure_openai, &azure);
	reset();
	azure.endpoint = (char[]){ "http://h" };
	azure.common.api_key = empty;
	check_azure_openai.prepare(NULL, NULL, &azure);
	expect_config(&check_azure_openai, &azure);

	reset();
	public.base_url = (char[]){ "http://h" };
	check_openai.prepare(NULL, NULL, &public);
	check_openai.open(&conn);
	check_openai.ask(&conn);
	CHECK_INT(opened, 1);
	CHECK_INT(asked, 1);
	CHECK_INT(conn.answered, 0);
	CHECK(!check_openai.live_refused && !check_azure_openai.live_refused);
}

static void judge(long status, const char *body, enum result_code code,
		  const char *words)
{
	struct http_answer answer = { .status = status,
				      .body = body,
				      .len = strlen(body) };
	struct conn conn = { .settings = &public };

	openai_judge(&conn, &answer);
	CHECK_INT(conn.answered, 1);
	CHECK_INT(conn.code, code);
	CHECK_STR(conn.words, words);
}

static void test_answers(void)
{
	static const char scopes[] =
		"{\"error\":{\"message\":\"Missing scopes: api.model.read\"}}";

	reset();
	judge(200, "{\"data\":[", RESULT_OK, "");
	judge(200, " \n{}", RESULT_OK, "");
	judge(200, "<html>", RESULT_PROTOCOL, "answer is not JSON");
	judge(200, "", RESULT_PROTOCOL, "answer is not JSON");
	judge(401, "{}", RESULT_STATUS, "HTTP 401");
	judge(404, "{}", RESULT_STATUS, "HTTP 404");
	judge(204, "", RESULT_STATUS, "HTTP 204");
	public.common.named = true;
	judge(404, "{}", RESULT_MISSING, "model not found");
	judge(403, scopes, RESULT_AUTH, "key lacks the Models scope");
	judge(500, scopes, RESULT_STATUS, "HTTP 500");
	public.common.accept_restricted = true;
	judge(403, scopes, RESULT_OK, "");
	judge(401, scopes, RESULT_OK, "");
	judge(403, "{}", RESULT_STATUS, "HTTP 403");
}

int main(void)
{
	test_public_urls();
	test_public_headers();
	test_azure_urls();
	test_mistakes();
	test_credentials();
	test_answers();
	return unit_report();
}

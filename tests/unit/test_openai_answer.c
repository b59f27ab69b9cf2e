#include "config.h"

#include "kinds/http/openai_answer.c"

#include "unit.h"

static const char no_json[] = "answer is not JSON",
		  no_list[] = "answer has no list of models",
		  no_model[] = "answer does not describe a model",
		  is_error[] = "status 200, but the answer is an error",
		  is_key[] = "status 200, but the key is refused";

/* clang-format off */
static const struct {
	const char *body;
	unsigned may_be;
	enum result_code code;
	const char *words;
} rows[] = {
	/* what servers answer */
	{ "{\"object\":\"list\",\"data\":[{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1686935002,\"owned_by\":\"openai\"}]}", OPENAI_LIST, RESULT_OK, "" },
	{ "{\n  \"data\": [\n    {\n      \"id\": \"qwen3\",\n      \"object\": \"model\",\n      \"owned_by\": \"organization_owner\"\n    }\n  ],\n  \"object\": \"list\"\n}\n", OPENAI_LIST, RESULT_OK, "" },
	{ "{\"object\":\"list\",\"data\":[{\"id\":\"meta-llama/Llama-3-8B\",\"object\":\"model\",\"root\":\"/models\",\"parent\":null,\"max_model_len\":8192,\"permission\":[{\"id\":\"modelperm-1\",\"allow_view\":true}]}]}", OPENAI_LIST, RESULT_OK, "" },
	{ "{\"object\":\"list\",\"data\":[{\"id\":\"llama3.2:latest\",\"object\":\"model\",\"created\":1,\"owned_by\":\"library\"}]}", OPENAI_LIST, RESULT_OK, "" },
	{ "{\"models\":[{\"name\":\"m.gguf\"}],\"object\":\"list\",\"data\":[{\"id\":\"m.gguf\",\"meta\":{\"n_vocab\":1}}]}", OPENAI_LIST, RESULT_OK, "" },
	{ "{\"data\":[{\"capabilities\":{\"inference\":true},\"lifecycle_status\":\"preview\",\"id\":\"gpt-4o-2024-05-13\",\"status\":\"succeeded\",\"object\":\"model\"}],\"object\":\"list\"}", OPENAI_LIST | OPENAI_MODEL, RESULT_OK, "" },
	{ "{\"data\":[{\"type\":\"model\",\"id\":\"claude\"}],\"has_more\":true,\"first_id\":null}", OPENAI_LIST, RESULT_OK, "" },
	{ "[{\"id\":\"Qwen/Qwen3\",\"object\":\"model\",\"type\":\"chat\"}]", OPENAI_LIST, RESULT_OK, "" },
	{ "{\"error\":null,\"object\":\"list\",\"data\":[]}", OPENAI_LIST, RESULT_OK, "" },
	{ "{\"id\":\"gpt-4o\",\"object\":\"model\",\"created\":1,\"owned_by\":\"system\"}", OPENAI_MODEL, RESULT_OK, "" },
	{ "{\"type\":\"model\",\"id\":\"claude\",\"display_name\":\"C\"}", OPENAI_MODEL, RESULT_OK, "" },
	{ " { \"object\" : \"model\" , \"id\" : \"m\" } ", OPENAI_LIST | OPENAI_MODEL, RESULT_OK, "" },
	{ "{\"a\":\"}\\\"]\",\"b\":[1,{\"data\":{}}],\"data\":[]}", OPENAI_LIST, RESULT_OK, "" },
	/* an error, whatever the status is */
	{ "{\"error\":{\"message\":\"The server had an error\",\"type\":\"server_error\"}}", OPENAI_LIST, RESULT_UPSTREAM, is_error },
	{ "{\"error\":\"Unexpected endpoint or method. (GET /models)\"}", OPENAI_LIST, RESULT_UPSTREAM, is_error },
	{ "{\"error\":{}}", OPENAI_LIST, RESULT_UPSTREAM, is_error },
	{ "{\"object\":\"list\",\"data\":[],\"error\":\"overloaded\"}", OPENAI_LIST, RESULT_UPSTREAM, is_error },
	{ "{\"error\":{\"message\":\"x\",\"type\":\"invalid_request_error\",\"code\":\"invalid_api_key\"}}", OPENAI_LIST, RESULT_AUTH, is_key },
	{ "{\"error\":{\"message\":\"Incorrect API key provided: sk-12\"}}", OPENAI_MODEL, RESULT_AUTH, is_key },
	{ "{\"error\":\"Unauthorized\"}", OPENAI_LIST, RESULT_AUTH, is_key },
	{ "{\"error\":{\"code\":401}}", OPENAI_LIST, RESULT_AUTH, is_key },
	/* JSON, but something else */
	{ "{}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{}", OPENAI_MODEL, RESULT_PROTOCOL, no_model },
	{ "{\"detail\":\"Not Found\"}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"detail\":\"Not Found\"}", OPENAI_MODEL, RESULT_PROTOCOL, no_model },
	{ "{\"data\":null}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"data\":{}}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"data\":\"[]\"}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"x\":{\"data\":[]}}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"x\":\"\\\"data\\\":[\"}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"status\":\"ok\"}", OPENAI_LIST | OPENAI_MODEL, RESULT_PROTOCOL, no_list },
	{ "{\"id\":\"m\"}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"data\":[]}", OPENAI_MODEL, RESULT_PROTOCOL, no_model },
	{ "{\"id\":7}", OPENAI_MODEL, RESULT_PROTOCOL, no_model },
	{ "{\"id\":null}", OPENAI_MODEL, RESULT_PROTOCOL, no_model },
	{ "[]", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "[1,2]", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "[{\"id\":1}]", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "[{\"id\":\"m\"}]", OPENAI_MODEL, RESULT_PROTOCOL, no_model },
	/* not JSON */
	{ "", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "  ", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "<html></html>", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "ok", OPENAI_MODEL, RESULT_PROTOCOL, no_json },
	{ "\"data\"", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "null", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "{\"data\":[", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "{\"data\":[]}<html>", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "{\"data\":[]", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "{\"data", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "{\"data\\", OPENAI_LIST, RESULT_PROTOCOL, no_json },
	{ "{data:[]}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
	{ "{\"data\"[]}", OPENAI_LIST, RESULT_PROTOCOL, no_list },
};

/* What a list that is cut off at any byte lets through: nothing but itself. */
static const char long_list[] = "{\"object\":\"list\",\"data\":[{\"id\":\"a\\\"b\"},{\"id\":\"org\\/m\",\"x\":[{\"id\":\"in\"}]}]}";
/* clang-format on */

static struct http_answer answer_of(const char *body, size_t len, bool cut)
{
	return (struct http_answer){
		.status = 200, .body = body, .len = len, .cut = cut
	};
}

static void test_judge(void)
{
	struct http_answer answer;
	const char *words;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		answer = answer_of(rows[i].body, strlen(rows[i].body), false);
		CHECK_INT(openai_answer_judge(&answer, rows[i].may_be, &words),
			  rows[i].code);
		CHECK_STR(words, rows[i].words);
		if (strcmp(words, rows[i].words) != 0)
			printf("\t%s\n", rows[i].body);
	}
	/* what stands behind a NUL byte is not looked at */
	answer = answer_of("{\"data\":[]}\0x", 13, false);
	CHECK_INT(openai_answer_judge(&answer, OPENAI_LIST, &words),
		  RESULT_PROTOCOL);
}

static void test_cut(void)
{
	size_t len, whole = strlen(long_list);
	size_t enough = strlen("{\"object\":\"list\",\"data\":[");
	struct http_answer answer;
	char copy[sizeof(long_list)];
	const char *words;

	for (len = 0; len <= whole; len++) {
		memcpy(copy, long_list, len);
		copy[len] = '\0';
		answer = answer_of(copy, len, true);
		CHECK_INT(openai_answer_judge(&answer, OPENAI_LIST, &words),
			  len >= enough ? RESULT_OK : RESULT_PROTOCOL);
		answer.cut = false;
		CHECK_INT(openai_answer_judge(&answer, OPENAI_LIST, &words),
			  len == whole ? RESULT_OK : RESULT_PROTOCOL);
		CHECK(openai_answer_lists(&answer, "a\"b") ==
		      (len >= enough + strlen("{\"id\":\"a\\\"b\"}")));
	}
	CHECK(openai_answer_lists(&answer, "org/m"));
	CHECK(!openai_answer_lists(&answer, "in"));
	CHECK(!openai_answer_lists(&answer, "org"));
	CHECK(!openai_answer_lists(&answer, "org/m2"));
	CHECK(!openai_answer_lists(&answer, ""));
}

static void test_lists(void)
{
	static const char *const others[] = {
		"{}",
		"",
		"{\"data\":{\"id\":\"m\"}}",
		"{\"data\":[\"m\"]}",
		"{\"data\":[{\"name\":\"m\"},7,null,[{\"id\":\"m\"}]]}",
		"{\"data\":[{\"id\":\"M\"}]}",
		"{\"data\":[}",
	};
	struct http_answer answer;
	size_t i;

	for (i = 0; i < sizeof(others) / sizeof(*others); i++) {
		answer = answer_of(others[i], strlen(others[i]), false);
		CHECK(!openai_answer_lists(&answer, "m"));
	}
	answer = answer_of("[{\"id\":\"m\"}]", 12, false);
	CHECK(openai_answer_lists(&answer, "m"));
}

static void test_no_path(void)
{
	static const char no[] = "{\"error\":\"Unexpected endpoint or method. "
				 "(GET /v1/models/m)\"}";
	struct http_answer answer = answer_of(no, strlen(no), false);

	CHECK(openai_answer_no_path(&answer));
	answer = answer_of("{\"id\":\"unexpected endpoint\"}", 28, false);
	CHECK(!openai_answer_no_path(&answer));
	answer = answer_of("{\"error\":\"busy\"}", 16, false);
	CHECK(!openai_answer_no_path(&answer));
}

int main(void)
{
	test_judge();
	test_cut();
	test_lists();
	test_no_path();
	return unit_report();
}

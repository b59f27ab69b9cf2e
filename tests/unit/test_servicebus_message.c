#include "config.h"

#include "kinds/servicebus/sb_message.c"

#include "unit.h"

#include <stdlib.h>

/* The expected tokens were made with Python's hmac and urllib. */
static void test_tokens(void)
{
	char token[SB_TOKEN_BYTES];

	CHECK_INT(sb_sas_token(
			  token, sizeof(token),
			  "sb://ns.servicebus.windows.net/orders/$management",
			  "RootManageSharedAccessKey",
			  "cm9vdC1rZXktb2YtdGhlLWZha2U=", 1700000000),
		  0);
	CHECK_STR(token, "SharedAccessSignature sr=sb%3A%2F%2Fns.servicebus."
			 "windows.net%2Forders%2F%24management&sig=YVLINgZ5c"
			 "PCite3eUVRxree4K20eabAtF9DGKm8tIzE%3D&se=170000000"
			 "0&skn=RootManageSharedAccessKey");
	CHECK_INT(
		sb_sas_token(token, sizeof(token), "sb://h/a b", "n&m", "k", 1),
		0);
	CHECK_STR(token, "SharedAccessSignature sr=sb%3A%2F%2Fh%2Fa%20b&sig="
			 "bDFrNTD7mV1gpEIvvI0cyw%2BKE4I%2BJEHSs8%2FM0%2FPgFd"
			 "M%3D&se=1&skn=n%26m");
}

/* RFC 4231 section 4.3, in base64 and percent-encoded. */
static void test_hmac(void)
{
	char signature[256];

	CHECK_INT(sb_sas_sign(signature, sizeof(signature),
			      "what do ya want for nothing?", "Jefe"),
		  0);
	CHECK_STR(signature, "W9zBRr9gdU5qBCQmCJV1x1oAPwidJzmDnexYuWTsOEM%3D");
}

static void test_limits(void)
{
	char token[SB_TOKEN_BYTES], small[64], audience[4096];
	size_t len;

	CHECK_INT(sb_sas_token(small, sizeof(small), "sb://h/q", "name", "key",
			       1),
		  -1);
	/* Whatever its length: it fits, or that is said. */
	for (len = 0; len < sizeof(audience) - 1; len++) {
		memset(audience, len % 2 ? '/' : 'a', len);
		audience[len] = '\0';
		if (sb_sas_token(token, sizeof(token), audience, "n", "k", 1))
			continue;
		CHECK(strlen(token) < sizeof(token));
		CHECK(len < SB_AUDIENCE_BYTES);
	}
	memset(audience, '/', 300);
	audience[300] = '\0';
	CHECK_INT(sb_sas_token(token, sizeof(token), "sb://h/q", audience, "k",
			       1),
		  -1);
}

/* ---- answers ---- */

/* AMQP 1.0 by hand: part 1 section 1.6 has the encodings. */
#define SECTION(code) "\x00\x53" code
#define HEADER SECTION("\x70") "\xc0\x02\x01\x41"
#define PROPERTIES                         \
	SECTION("\x73")                    \
	"\xc0\x0d\x06\x40\x40\x40\x40\x40" \
	"\xa1\x05"                         \
	"id:12"
#define STATUS_200 \
	SECTION("\x74") "\xc1\x12\x02\xa1\x0astatusCode\x71\x00\x00\x00\xc8"
#define STATUS_SMALL SECTION("\x74") "\xc1\x10\x02\xa1\x0bstatus-code\x54\x64"
#define BODY SECTION("\x77") "\xa1\x03"

static struct sb_answer answer;

#define READ(bytes) sb_answer_read(&answer, bytes, sizeof(bytes) - 1)

static void test_read(void)
{
	static const char whole[] = HEADER PROPERTIES STATUS_200 BODY "abc";
	size_t len;
	char copy[sizeof(whole)];

	CHECK(READ(HEADER PROPERTIES STATUS_200 BODY "abc"));
	CHECK_INT(answer.status, 200);
	CHECK_STR(answer.correlation, "id:12");
	CHECK_STR(answer.condition, "");
	CHECK(READ(PROPERTIES STATUS_SMALL));
	CHECK_INT(answer.status, 100);
	/* Of the body there may be any part. */
	CHECK(READ(PROPERTIES STATUS_200 BODY "a"));
	CHECK(READ(PROPERTIES STATUS_200 SECTION("\x75")));
	CHECK(READ(PROPERTIES STATUS_200 "\x00"));
	/* Cut anywhere: no status until that is there. */
	for (len = 0; len < sizeof(whole); len++) {
		memcpy(copy, whole, len);
		CHECK_INT(sb_answer_read(&answer, copy, len),
			  len >= sizeof(HEADER PROPERTIES STATUS_200) - 1);
	}
}

static void test_garbage(void)
{
	char deep[4096];
	size_t i;

	CHECK(!READ(""));
	CHECK(!READ("HTTP/1.1 400 Bad Request\r\n\r\n"));
	CHECK(!READ(PROPERTIES BODY "abc"));
	/* a list where a map must be, a text where a number must be */
	CHECK(!READ(SECTION("\x74") "\xc0\x03\x01\x54\x01"));
	CHECK(!READ(SECTION("\x74") "\xc1\x0e\x02\xa1\x0astatusCode\xa1\x00"));
	/* announced longer than it is */
	CHECK(!READ(SECTION("\x74") "\xd1\xff\xff\xff\xff\x00\x00\x00\x02"));
	/* described values in described values */
	memset(deep, 0, sizeof(deep));
	CHECK(!sb_answer_read(&answer, deep, sizeof(deep)));
	memcpy(deep, SECTION("\x74"), 3);
	CHECK(!sb_answer_read(&answer, deep, sizeof(deep)));
	for (i = 3; i + 3 < sizeof(deep); i += 3)
		memcpy(deep + i, "\xc0\xff\x01", 3);
	CHECK(!sb_answer_read(&answer, deep, sizeof(deep)));
	for (i = 0; i < 3000; i++) {
		memcpy(deep, HEADER PROPERTIES STATUS_200,
		       sizeof(HEADER PROPERTIES STATUS_200));
		deep[i % (sizeof(HEADER PROPERTIES STATUS_200) - 1)] =
			(char)(i * 31);
		(void)sb_answer_read(&answer, deep,
				     sizeof(HEADER PROPERTIES STATUS_200) - 1);
	}
}

static struct failure judge(int status, const char *condition)
{
	answer.status = status;
	snprintf(answer.condition, sizeof(answer.condition), "%s", condition);
	return sb_answer_judge(&answer);
}

static void test_judge(void)
{
	CHECK_INT(judge(200, "").code, RESULT_OK);
	CHECK_INT(judge(202, "").code, RESULT_OK);
	CHECK_INT(judge(204, "").code, RESULT_OK);
	CHECK_INT(judge(404, "com.microsoft:message-not-found").code,
		  RESULT_OK);
	CHECK_INT(judge(500, "com.microsoft:message-not-found").code,
		  RESULT_UPSTREAM);
	CHECK_INT(judge(401, "").code, RESULT_AUTH);
	CHECK_INT(judge(403, "").code, RESULT_AUTH);
	CHECK_INT(judge(404, "").code, RESULT_MISSING);
	CHECK_INT(judge(404, "amqp:not-found").code, RESULT_MISSING);
	CHECK_INT(judge(410, "").code, RESULT_MISSING);
	CHECK_INT(judge(429, "").code, RESULT_THROTTLED);
	CHECK_INT(judge(503, "com.microsoft:server-busy").code,
		  RESULT_THROTTLED);
	CHECK_INT(judge(503, "").code, RESULT_BUSY);
	CHECK_INT(judge(500, "").code, RESULT_UPSTREAM);
	CHECK_INT(judge(400, "com.microsoft:argument-error").code,
		  RESULT_UPSTREAM);
	CHECK_INT(judge(-1, "").code, RESULT_UPSTREAM);
	CHECK_INT(sb_condition_judge(NULL, NULL).code, RESULT_CONNECT);
	CHECK_INT(sb_condition_judge("", NULL).code, RESULT_CONNECT);
	CHECK_INT(sb_condition_judge("amqp:connection:forced", NULL).code,
		  RESULT_CONNECT);
	CHECK_INT(sb_condition_judge("of:another", NULL).code, RESULT_UPSTREAM);
}

/* A signature is not quoted, whatever else the peer says is. */
static void test_detail(void)
{
	CHECK_STR(sb_condition_judge("", "InvalidSignature").detail,
		  "InvalidSignature");
	CHECK_STR(sb_condition_judge("",
				     "SharedAccessSignature sr=a&sig=b is bad")
			  .detail,
		  "");
	snprintf(answer.detail, sizeof(answer.detail), "sr=a&sig=b");
	CHECK_STR(judge(500, "").detail, "");
	snprintf(answer.detail, sizeof(answer.detail), "broken");
	CHECK_STR(judge(500, "").detail, "broken");
	CHECK_STR(judge(503, "").detail, "broken");
	CHECK_STR(judge(200, "").detail, "");
}

int main(void)
{
	test_tokens();
	test_hmac();
	test_limits();
	test_read();
	test_garbage();
	test_judge();
	test_detail();
	return unit_report();
}

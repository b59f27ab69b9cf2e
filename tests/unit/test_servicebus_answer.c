#include "config.h"

#include "kinds/servicebus/sb_answer.c"

#include "unit.h"

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

static struct sb_verdict judge(int status, const char *condition)
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
	CHECK_INT(sb_condition_judge(NULL).code, RESULT_CONNECT);
	CHECK_INT(sb_condition_judge("").code, RESULT_CONNECT);
	CHECK_INT(sb_condition_judge("amqp:connection:forced").code,
		  RESULT_CONNECT);
	CHECK_INT(sb_condition_judge("of:somebody").code, RESULT_UPSTREAM);
}

int main(void)
{
	test_read();
	test_garbage();
	test_judge();
	return unit_report();
}

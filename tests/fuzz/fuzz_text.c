/*
 * What reaches a log line or a body: lines of the input are two secrets, the
 * name of the service and what a driver said; the first byte is the room that
 * there is for it.  Whatever it is, it becomes clean text within its bound,
 * without a secret, and the body stays JSON; and no peer's words become ours.
 */
#include "config.h"

#include "kinds/http/http_ask.c"
#include "kinds/postgres/pg_words.h"
#include "kinds/redis/redis_talk.c"
#include "answer/render.h"
#include "answer/route.h"
#include "base/text.h"
#include "base/failure.h"

#include <cjson/cJSON.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/text"
#include "fuzz.h"

#define FUZZ_SECRETS 2
#define FUZZ_BODY_BYTES 4096 /* of two checks; RENDER_TEXT_BYTES says why */
#define FUZZ_TEXT_BYTES 2000 /* text_show() looks at no more */

static void fuzz_cleaning(const char *text, size_t room)
{
	char clean[257], again[257];

	memset(clean, 'x', sizeof(clean));
	text_clean(clean, room, text, strlen(text));
	FUZZ_CHECK(strlen(clean) < room && clean[room] == 'x');
	FUZZ_CHECK(fuzz_clean(clean));
	text_clean(again, room, clean, strlen(clean));
	FUZZ_CHECK(strcmp(clean, again) == 0);
}

static void fuzz_masking(const char *text, char *const secrets[], size_t room)
{
	char *masked = fuzz_text((const uint8_t *)text, strlen(text));
	char shown[257];
	size_t i;

	for (i = 0; i < FUZZ_SECRETS; i++)
		FUZZ_CHECK(text_secret(secrets[i]) == 0);
	text_mask(masked);
	FUZZ_CHECK(strlen(masked) == strlen(text));
	text_show(shown, room, text);
	FUZZ_CHECK(strlen(shown) < room && fuzz_clean(shown));
	for (i = 0; i < FUZZ_SECRETS; i++) {
		/* What hides it may spell it, and so may an escape. */
		if (strlen(secrets[i]) < 4 || strpbrk(secrets[i], "*.\\") ||
		    !fuzz_clean(secrets[i]))
			continue;
		FUZZ_CHECK(!strstr(masked, secrets[i]));
		FUZZ_CHECK(!strstr(shown, secrets[i]));
	}
	text_forget_secrets();
	free(masked);
}

/* However it is told, and its end alone. */
static void fuzz_told(const char *secret)
{
	size_t len = strlen(secret), i;
	char told[2 * FUZZ_TEXT_BYTES + 1];

	/* What looks escaped may be the same as something shorter. */
	if (len < 16 || strpbrk(secret, "%&\\+'\"; ") || !fuzz_clean(secret))
		return;
	FUZZ_CHECK(text_secret(secret) == 0);
	for (i = 0; i < len; i++)
		snprintf(told + 2 * i, 3, "%02x", (unsigned char)secret[i]);
	if (2 * len < TEXT_RAW_BYTES) {
		text_mask(told);
		FUZZ_CHECK(strspn(told, "*") == 2 * len);
	}
	for (i = 0; i < 10 && (secret[len - 10 + i] & 0x80) == 0; i++)
		continue;
	if (i == 10) {
		snprintf(told, sizeof(told), "<%s>", secret + len - 10);
		text_mask(told);
		FUZZ_CHECK(strspn(told + 1, "*") >= 10);
	}
	text_forget_secrets();
}

static void fuzz_nearest(const char *word, const char *other)
{
	const char *const words[] = { "password", other, "timeout", NULL };
	const char *nearest = text_nearest(word, words);

	FUZZ_CHECK(!nearest || nearest == words[0] || nearest == words[1] ||
		   nearest == words[2]);
}

/* ---- our words ---- */

static void fuzz_ours(enum result_code code, const char *words)
{
	const char *at;

	FUZZ_CHECK(code > RESULT_OK && code < RESULT_CODE_COUNT);
	FUZZ_CHECK(*words && strlen(words) < RESULT_ERROR_BYTES);
	for (at = words; *at; at++)
		FUZZ_CHECK(*at >= ' ' && *at <= '~');
}

static void fuzz_words(const char *says, const char *state, long number)
{
	static const char *const commands[] = { "AUTH", "PING", "ROLE" };
	struct failure pg = pg_words_connect(says);
	char shown[RESULT_DETAIL_BYTES];
	struct failure failure;
	size_t i;

	fuzz_ours(pg.code, pg.words);
	pg = pg_words_query(state, says);
	fuzz_ours(pg.code, pg.words);
	pg_words_detail(&pg, says);
	text_show_ends(shown, sizeof(shown), pg.detail);
	FUZZ_CHECK(fuzz_clean(shown));
	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		failure = redis_talk_error(says, commands[i]);
		fuzz_ours(failure.code, failure.words);
	}
	failure = http_words_transfer((CURLcode)(number & 0x7f), number, says);
	fuzz_ours(failure.code, failure.words);
	fuzz_ours(http_words_status(number), "HTTP");
	fuzz_ours(RESULT_TLS, failure_verify(number));
	failure = failure_errno((int)number);
	fuzz_ours(failure.code, failure.words);
	failure = failure_tls(says, "TLS: failed");
	fuzz_ours(failure.code, failure.words);
}

/* ---- the body ---- */

static void fuzz_result(struct result *result, unsigned code, const char *says)
{
	result->code = (int32_t)(code % RESULT_CODE_COUNT);
	result->latency_us = (int32_t)(code * 7919);
	result->ended_us = code;
	snprintf(result->error, sizeof(result->error), "%s", says);
	snprintf(result->step, sizeof(result->step), "%s", says);
	snprintf(result->detail, sizeof(result->detail), "%s", says);
}

static void fuzz_body(const char *service, const char *says, unsigned code)
{
	struct plan *plan = calloc(1, plan_bytes(2));
	struct result results[2];
	bool latched[2] = { false, true };
	const struct board_view view = {
		.now_ms = 1000, .n = 2, .results = results, .latched = latched
	};
	const struct verdict verdict = { .http = 503,
					 .status = "not_ready",
					 .show_service = true,
					 .show_checks = true,
					 .show_waiting = true,
					 .end = 2 };
	cJSON *json;
	char *body;

	FUZZ_CHECK(plan);
	plan->n = 2;
	strcpy(plan->checks[0].name, "database");
	strcpy(plan->checks[1].name, "redis");
	plan->checks[0].policy.startup = true;
	snprintf(plan->service, sizeof(plan->service), "%s", service);
	fuzz_result(&results[0], code, says);
	fuzz_result(&results[1], code / 2, service);
	body = render_body(&(struct render_input){ .verdict = &verdict,
						   .plan = plan,
						   .view = &view,
						   .trusted = true });
	FUZZ_CHECK(body && strlen(body) < FUZZ_BODY_BYTES);
	FUZZ_CHECK(body[strlen(body) - 1] == '\n');
	body[strlen(body) - 1] = '\0';
	FUZZ_CHECK(fuzz_clean(body));
	json = cJSON_ParseWithOpts(body, NULL, true);
	FUZZ_CHECK(json && cJSON_GetArraySize(
				   cJSON_GetObjectItem(json, "checks")) == 2);
	cJSON_Delete(json);
	free(body);
	free(plan);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	unsigned room = fuzz_byte(&input);
	char *secrets[FUZZ_SECRETS], *service, *says;
	size_t i;

	if (size > FUZZ_TEXT_BYTES)
		return 0;
	for (i = 0; i < FUZZ_SECRETS; i++)
		secrets[i] = fuzz_line(&input);
	service = fuzz_line(&input);
	says = fuzz_text(input.at, input.left);
	fuzz_cleaning(says, room + 1);
	fuzz_masking(says, secrets, room + 1);
	fuzz_told(secrets[0]);
	fuzz_nearest(service, secrets[0]);
	fuzz_words(says, service, (long)size * (long)room - 1000);
	fuzz_body(service, says, room);
	for (i = 0; i < FUZZ_SECRETS; i++)
		free(secrets[i]);
	free(service);
	free(says);
	return 0;
}

#include "config.h"

#include "base/result.h"

#include <string.h>

#include "base/text.h"

static const char *const result_words[RESULT_CODE_COUNT] = {
#define X(name, word, help) [RESULT_##name] = word,
	RESULT_CODES(X)
#undef X
};

/* A code may come from a mapped file that another program damaged. */
const char *result_word(int32_t code)
{
	return result_words[code < 0 || code >= RESULT_CODE_COUNT
				    ? RESULT_UNKNOWN
				    : code];
}

void record_add(struct record *record, const struct result *result)
{
	record->result = *result;
	record->runs++;
	if (result_healthy(result)) {
		record->failing_since_us = 0;
		if (!record->first_ok_us)
			record->first_ok_us = result->ended_us;
		return;
	}
	record->failures++;
	if (!record->failing_since_us)
		record->failing_since_us = result->ended_us;
}

static void record_clean(char *text, size_t size)
{
	char copy[RESULT_DETAIL_BYTES];
	size_t len = strnlen(text, size);

	memcpy(copy, text, len);
	text_clean(text, size, copy, len);
}

bool record_sane(struct record *record, int64_t now_us)
{
	struct result *result = &record->result;

	if (result->code < 0 || result->code >= RESULT_CODE_COUNT ||
	    result->latency_us < 0 || result->ended_us <= 0 ||
	    result->ended_us > now_us || record->first_ok_us < 0 ||
	    record->first_ok_us > now_us || record->failing_since_us < 0 ||
	    record->failing_since_us > now_us)
		return false;
	/* Leave room for one more of each. */
	if (record->failures < 0 || record->failures > record->runs ||
	    record->runs == INT64_MAX)
		return false;
	_Static_assert(sizeof(result->error) <= RESULT_DETAIL_BYTES &&
			       sizeof(result->step) <= RESULT_DETAIL_BYTES,
		       "the copy in record_clean() is too small");
	record_clean(result->error, sizeof(result->error));
	record_clean(result->step, sizeof(result->step));
	record_clean(result->detail, sizeof(result->detail));
	return true;
}

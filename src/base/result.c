#include "config.h"

#include "base/result.h"

#include <stddef.h>

struct result_row {
	const char *word;
	const char *help;
};

static const struct result_row result_rows[RESULT_CODE_COUNT] = {
#define X(name, word, help) [RESULT_##name] = { word, help },
	RESULT_CODES(X)
#undef X
};

/* A code may come from a mapped file that another program damaged. */
static const struct result_row *result_row(int32_t code)
{
	if (code < 0 || code >= RESULT_CODE_COUNT)
		code = RESULT_UNKNOWN;
	return &result_rows[code];
}

const char *result_word(int32_t code)
{
	return result_row(code)->word;
}

const char *result_help(int32_t code)
{
	return result_row(code)->help;
}

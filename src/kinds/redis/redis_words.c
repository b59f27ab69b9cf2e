#include "config.h"

#include "kinds/redis/redis_words.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* clang-format off */
static const struct {
	const char *says; /* how it begins */
	enum result_code code;
	const char *words;
} redis_words_table[] = {
	{ "LOADING ", RESULT_BUSY, "loading the dataset into memory" },
	{ "MASTERDOWN ", RESULT_BUSY, "replica has lost its master" },
	{ "BUSY ", RESULT_BUSY, "busy running a script" },
	{ "CLUSTERDOWN ", RESULT_BUSY, "cluster is down" },
	{ "MISCONF ", RESULT_UPSTREAM, "refuses writes, cannot save to disk" },
	{ "NOAUTH ", RESULT_AUTH, "authentication required" },
	{ "WRONGPASS ", RESULT_AUTH, "authentication failed" },
	{ "DENIED ", RESULT_AUTH, "refused by protected mode" },
	{ "ERR max number of clients reached", RESULT_BUSY, "max number of clients reached" },
	{ "ERR invalid password", RESULT_AUTH, "authentication failed" },
	{ "ERR AUTH <password> called without", RESULT_AUTH, "no password is set there, but one was sent" },
	{ "ERR Client sent AUTH, but no password", RESULT_AUTH, "no password is set there, but one was sent" },
	{ "ERR operation not permitted", RESULT_AUTH, "authentication required" },
	{ "ERR DB index is out of range", RESULT_MISSING, "no such database" },
	{ "ERR invalid DB index", RESULT_MISSING, "no such database" },
	{ "ERR SELECT is not allowed in cluster", RESULT_MISSING, "no such database" },
	{ "ERR This instance has cluster support disabled", RESULT_MISMATCH, "not a node of a cluster" },
};
/* clang-format on */

static struct redis_failure redis_words_make(enum result_code code,
					     const char *words,
					     const char *command)
{
	struct redis_failure failure = { .code = code };

	snprintf(failure.words, sizeof(failure.words), "%s%s", words, command);
	return failure;
}

struct redis_failure redis_words_error(const char *says, const char *command)
{
	size_t i;

	for (i = 0; i < sizeof(redis_words_table) / sizeof(*redis_words_table);
	     i++)
		if (strncmp(says, redis_words_table[i].says,
			    strlen(redis_words_table[i].says)) == 0)
			return redis_words_make(redis_words_table[i].code,
						redis_words_table[i].words, "");
	if (strncmp(says, "NOPERM ", 7) == 0)
		return redis_words_make(RESULT_AUTH, "no permission for ",
					command);
	if (strcmp(command, "AUTH") == 0)
		return redis_words_make(RESULT_AUTH, "authentication failed",
					"");
	return redis_words_make(RESULT_UPSTREAM, "error reply to ", command);
}

#include "config.h"

#include "io/resolve_judge.h"

#include <ares.h>

#include <stdio.h>

#define RESOLVE_TTL_MIN_S 1
#define RESOLVE_TTL_MAX_S 60	/* or a moved service stays lost for too long */
#define RESOLVE_TTL_PARTIAL_S 5 /* one family did not answer: ask soon */

/* c-ares' statuses as ours; of two failures the one that stands first tells
 * more.  NODATA is the weakest: the other family may have had addresses.
 * c-ares 1.18 says ECONNREFUSED also when all servers answered SERVFAIL or
 * REFUSED, later versions tell them apart: one sentence for all. */
static const struct {
	int status;
	enum result_code code;
	const char *words;
} resolve_failures[] = {
	{ ARES_ENOMEM, RESULT_INTERNAL, "out of memory" },
	{ ARES_EBADNAME, RESULT_RESOLVE, "host name is not valid" },
	{ ARES_ENOTFOUND, RESULT_RESOLVE, "host name not found" },
	{ ARES_ETIMEOUT, RESULT_RESOLVE, "name server does not answer" },
	{ ARES_ECONNREFUSED, RESULT_RESOLVE, "no name server could answer" },
	{ ARES_ESERVFAIL, RESULT_RESOLVE, "no name server could answer" },
	{ ARES_EREFUSED, RESULT_RESOLVE, "no name server could answer" },
	{ ARES_ENODATA, RESULT_RESOLVE, "host name has no address" },
};
#define RESOLVE_FAILURES (sizeof(resolve_failures) / sizeof(*resolve_failures))

void resolve_judge_failure(struct resolve_answer *answer, int status)
{
	const char *words = "name server's answer is unusable";
	size_t i;

	answer->code = RESULT_RESOLVE;
	for (i = 0; i < RESOLVE_FAILURES; i++)
		if (resolve_failures[i].status == status) {
			answer->code = resolve_failures[i].code;
			words = resolve_failures[i].words;
		}
	snprintf(answer->words, sizeof(answer->words), "%s", words);
}

/* The status to report when neither family has an address. */
static int resolve_judge_worst(const struct resolve_part *parts)
{
	int status[RESOLVE_FAMILIES];
	size_t i, family;

	for (family = 0; family < RESOLVE_FAMILIES; family++)
		status[family] = parts[family].done ? parts[family].status
						    : ARES_ETIMEOUT;
	for (i = 0; i < RESOLVE_FAILURES; i++)
		for (family = 0; family < RESOLVE_FAMILIES; family++)
			if (status[family] == resolve_failures[i].status)
				return status[family];
	return status[RESOLVE_V4];
}

/* Takes addresses from both families in turn, RFC 8305 section 4. */
static void resolve_judge_merge(struct resolve_answer *answer,
				const struct resolve_part *parts)
{
	size_t i, family;

	for (i = 0; i < RESOLVE_MAX; i++)
		for (family = 0; family < RESOLVE_FAMILIES; family++)
			if (i < parts[family].n && answer->n < RESOLVE_MAX)
				answer->addrs[answer->n++] =
					parts[family].addrs[i];
}

/* How long an answer may be kept, as far as this family goes. */
static int resolve_judge_ttl_s(const struct resolve_part *part)
{
	if (part->n)
		return part->ttl_s;
	if (part->done &&
	    (part->status == ARES_ENODATA || part->status == ARES_ENOTFOUND))
		return RESOLVE_TTL_MAX_S;
	return RESOLVE_TTL_PARTIAL_S;
}

int resolve_judge(struct resolve_answer *answer,
		  const struct resolve_part parts[RESOLVE_FAMILIES])
{
	int ttl_s = RESOLVE_TTL_MAX_S, of_part;
	size_t family;

	resolve_judge_merge(answer, parts);
	if (answer->n == 0) {
		resolve_judge_failure(answer, resolve_judge_worst(parts));
		return 0;
	}
	answer->code = RESULT_OK;
	for (family = 0; family < RESOLVE_FAMILIES; family++) {
		of_part = resolve_judge_ttl_s(&parts[family]);
		if (of_part < ttl_s)
			ttl_s = of_part;
	}
	/* /etc/hosts has a TTL of 0. */
	return ttl_s < RESOLVE_TTL_MIN_S ? RESOLVE_TTL_MIN_S : ttl_s;
}

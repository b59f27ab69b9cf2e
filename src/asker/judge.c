#include "config.h"

#include "asker/judge.h"

int64_t judge_age_ms(const struct judge_look *look)
{
	if (look->since_ms < 0 || look->since_ms > look->now_ms)
		return JUDGE_SLEEP_MS;
	return look->now_ms - look->since_ms;
}

/* Between two looks, `passed_ms` apart. */
static bool judge_dozes(struct judge *judge, const struct judge_look *look,
			int64_t passed_ms, bool asleep)
{
	if (asleep && judge->dozed_ms <= 0)
		judge->dozer = look->owner;
	if (asleep && judge->dozer == look->owner)
		judge->dozed_ms += passed_ms;
	else if (judge->dozed_ms > 0)
		judge->dozed_ms -= passed_ms / 4;
	return judge->dozed_ms >= JUDGE_DOZE_MS;
}

enum judge_verdict judge_call(struct judge *judge,
			      const struct judge_look *look)
{
	const struct judge_look *first = &judge->first;
	int64_t passed_ms = look->now_ms - judge->last_ms;
	bool same = look->call && look->call == first->call;
	/* Since the last look. */
	int64_t awake_us = look->cpu_us + look->waited_us - judge->last_us;
	int64_t cpu_us, slept_us;
	bool dozes;

	judge->last_ms = look->now_ms;
	judge->last_us = look->cpu_us + look->waited_us;
	if (passed_ms > JUDGE_LATE_MS) {
		judge->first = *look;
		return JUDGE_FINE;
	}
	dozes = judge_dozes(judge, look, passed_ms,
			    same && !look->runnable &&
				    awake_us < passed_ms * 1000 / 2);
	if (!same) {
		judge->first = *look;
		return JUDGE_FINE;
	}
	cpu_us = look->cpu_us - first->cpu_us;
	if (cpu_us >= JUDGE_CPU_MS * 1000)
		return JUDGE_COMPUTES;
	/* The wait for a processor is counted when it is over. */
	if (look->runnable)
		return JUDGE_FINE;
	slept_us = (look->now_ms - first->now_ms) * 1000 - cpu_us -
		   (look->waited_us - first->waited_us);
	if (dozes || (slept_us >= JUDGE_SEEN_MS * 1000 &&
		      judge_age_ms(look) >= JUDGE_SLEEP_MS))
		return JUDGE_SLEEPS;
	return JUDGE_FINE;
}

#include "config.h"

#include "base/ratelimit.h"

#include "base/clock.h"

size_t ratelimit_note(struct ratelimit *limit)
{
	int64_t said_ms = atomic_load(&limit->said_ms), now = clock_ms();

	atomic_fetch_add(&limit->n, 1);
	if (said_ms && now - said_ms < RATELIMIT_MS)
		return 0;
	/* Of several threads one says it. */
	if (!atomic_compare_exchange_strong(&limit->said_ms, &said_ms, now))
		return 0;
	return atomic_exchange(&limit->n, 0);
}

/* How often something is said that happens all the time. */
#include "config.h"

#include <stdint.h>

/* clock.h */
#define HEALTH_CLOCK_H
static int64_t fake_ms = 1;

static int64_t clock_ms(void)
{
	return fake_ms;
}

#include "base/ratelimit.c"

#include <pthread.h>

#include "unit.h"

static void test_seldom(void)
{
	struct ratelimit limit = { 0 };
	int i;

	/* At once, also soon after the machine has started. */
	CHECK_INT(ratelimit_note(&limit), 1);
	for (i = 0; i < 99; i++)
		CHECK_INT(ratelimit_note(&limit), 0);
	fake_ms += RATELIMIT_MS - 1;
	CHECK_INT(ratelimit_note(&limit), 0);
	fake_ms++;
	CHECK_INT(ratelimit_note(&limit), 101);
	CHECK_INT(ratelimit_note(&limit), 0);
	fake_ms += 2 * RATELIMIT_MS;
	CHECK_INT(ratelimit_note(&limit), 2);
}

#define THREADS 4
#define NOTES 20000

static struct ratelimit many;
static atomic_size_t times_said, said;

static void *note_often(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < NOTES; i++) {
		size_t n = ratelimit_note(&many);

		times_said += n != 0;
		said += n;
	}
	return NULL;
}

/* One of them says it, and none is lost. */
static void test_threads(void)
{
	pthread_t threads[THREADS];
	int i;

	for (i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, note_often, NULL),
			  0);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	CHECK_INT(times_said, 1);
	fake_ms += RATELIMIT_MS;
	said += ratelimit_note(&many);
	CHECK_INT(said, THREADS * NOTES + 1);
}

int main(void)
{
	test_seldom();
	test_threads();
	return unit_report();
}

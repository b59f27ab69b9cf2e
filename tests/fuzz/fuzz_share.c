/*
 * Whatever lies in the file of shared results: the input is what its two slots
 * hold, after one byte that says which of the copies are made whole (name and
 * sum), so that what is in them is looked at, too.
 */
#include "config.h"

#include "board/share.c"

#include <sys/mman.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/share"
#include "../unit/call_share.h"
#include "fuzz.h"

#define SLOTS 2

static struct share *fuzz_world(void)
{
	static struct share *share;
	size_t size = sizeof(struct share_header) +
		      SLOTS * sizeof(struct share_slot);

	if (!share) {
		share = calloc(1, sizeof(*share));
		FUZZ_CHECK(share);
		share->header = calloc(1, size);
		FUZZ_CHECK(share->header);
		share->file.fd = memfd_create("fuzz", MFD_CLOEXEC);
		FUZZ_CHECK(share->file.fd >= 0);
		share->options.n = SLOTS;
		share->token = 7;
		share->bell_fd = -1;
	}
	memset((void *)share->header, 0, size);
	return share;
}

/* As a writer of this content would have left it. */
static void fuzz_make_whole(struct share_slot *slot)
{
	struct share_copy *copy = share_copy(slot, slot->current);
	uint64_t words[SHARE_WORDS];

	copy->name = slot->current;
	memcpy(words, (void *)copy->words, sizeof(words));
	copy->sum = share_sum(copy->name, words);
}

static void fuzz_ends(const char *text, size_t size)
{
	FUZZ_CHECK(memchr(text, '\0', size));
}

static void fuzz_read(const struct share *share, size_t check)
{
	struct record record;
	uint64_t seen = 0;

	if (!share_read(share, check, &seen, &record))
		return;
	FUZZ_CHECK(seen != 0);
	FUZZ_CHECK(!share_read(share, check, &seen, &record));
	FUZZ_CHECK(record.result.code >= 0 &&
		   record.result.code < RESULT_CODE_COUNT);
	FUZZ_CHECK(record.result.latency_us >= 0);
	FUZZ_CHECK(record.result.ended_us > 0 &&
		   record.result.ended_us <= clock_us());
	fuzz_ends(record.result.error, sizeof(record.result.error));
	fuzz_ends(record.result.step, sizeof(record.result.step));
	fuzz_ends(record.result.detail, sizeof(record.result.detail));
}

/* Whichever process holds the lease: in the end we hold it, or another process
 * holds it for a limited time. */
static void fuzz_run(struct share *share, size_t check)
{
	struct record record = { .result = { .code = RESULT_REFUSED,
					     .ended_us = clock_us() } };
	struct record back;
	uint64_t seen = 0;

	share_theirs(share, check);
	share_holder(share, check);
	share_renewing(share, check, clock_ms());
	if (!share_take(share, check, clock_ms() + 1000, false))
		return;
	FUZZ_CHECK(share_ours(share, check) == SHARE_RUN);
	FUZZ_CHECK(share_extend(share, check, clock_ms() + 2000));
	FUZZ_CHECK(share_publish(share, check, &record));
	FUZZ_CHECK(share_ours(share, check) == SHARE_IDLE);
	FUZZ_CHECK(share_read(share, check, &seen, &back));
	FUZZ_CHECK(back.result.code == RESULT_REFUSED);
	share_leave(share, check);
	FUZZ_CHECK(share_ours(share, check) == SHARE_FREE);
}

/* As the front does: the process with this token is called, since no other one
 * lives, and then loses the lease. */
static void fuzz_call(struct share *share, size_t check)
{
	FUZZ_CHECK(!called(share, check, SHARE_SEEN_ANY, 0));
	FUZZ_CHECK(called(share, check, SHARE_SEEN_ANY, 9));
	FUZZ_CHECK(share_holds(share, check, 9));
	FUZZ_CHECK(!share_theirs(share, check));
	share_revoke(share, 9);
	FUZZ_CHECK(!share_holds(share, check, 9));
	FUZZ_CHECK(share_ours(share, check) == SHARE_FREE);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct share *share = fuzz_world();
	struct share_slot *slots = share->header->slots;
	unsigned whole;
	int64_t looked_ms;
	uint64_t lease;
	size_t i;

	if (size == 0)
		return 0;
	whole = *data++;
	if (--size > SLOTS * sizeof(*slots))
		size = SLOTS * sizeof(*slots);
	memcpy((void *)slots, data, size);
	for (i = 0; i < SLOTS; i++) {
		if (whole & 1u << i)
			fuzz_make_whole(&slots[i]);
		fuzz_read(share, i);
		lease = slots[i].lease;
		fuzz_call(share, i);
		slots[i].lease = lease;
		fuzz_run(share, i);
	}
	share_draining(share, &looked_ms);
	return 0;
}

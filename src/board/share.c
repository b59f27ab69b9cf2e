#include "config.h"

#include "board/share.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "board/share_file.h"

/* Another layout is another file: the number is part of what it is. */
#define SHARE_MAGIC UINT64_C(0x31694766436c7448)
#define SHARE_LAYOUT 2

#define SHARE_SOURCE_BYTES 256

/* One byte of the file, far behind its end, stands for each process: that of
 * its token.  The process has it locked for as long as it lives. */
#define SHARE_LOCKS_AT ((off_t)1 << 40)
#define SHARE_TOKENS (UINT64_C(1) << 22)
/* As many processes may take a token while another one starts. */
#define SHARE_NEWCOMERS 1000

/* How often a copy that changes meanwhile is read again, a token looked for,
 * and a file opened that is removed at that moment, with a pause: on a busy
 * machine the process that removes it may not have run yet. */
#define SHARE_READ_TRIES 8
#define SHARE_TOKEN_TRIES 1000
#define SHARE_OPEN_TRIES 10
#define SHARE_OPEN_PAUSE_MS 20

/* A lease, from the highest bit: token (22), enum share_lease (3), until_ms. */
#define SHARE_UNTIL_BITS 39
#define SHARE_UNTIL_MASK ((UINT64_C(1) << SHARE_UNTIL_BITS) - 1)
#define SHARE_KIND_BITS 3

/* A record is written and read a word at a time. */
#define SHARE_WORDS (sizeof(struct record) / sizeof(uint64_t))
_Static_assert(sizeof(struct record) % sizeof(uint64_t) == 0,
	       "a record is not a whole number of words");

struct share_copy {
	_Atomic uint64_t name; /* what `current` says when this one is valid */
	_Atomic uint64_t sum;
	_Atomic uint64_t words[SHARE_WORDS];
};

struct share_slot {
	_Atomic uint64_t lease;
	_Atomic uint64_t current; /* name of the valid copy; 0: none */
	_Atomic int64_t used_ms;
	_Atomic int64_t pid; /* that took the lease last */
	struct share_copy copies[2];
};

struct share_header {
	uint64_t magic;
	uint32_t layout;
	uint32_t n;
	uint8_t identity[SHARE_IDENTITY_BYTES];
	_Atomic uint64_t last_token;
	_Atomic int64_t began_us;
	_Atomic uint64_t drain; /* looked at, in ms, times 2; + 1: draining */
	_Atomic uint32_t news;
	uint32_t unused;
	char source[SHARE_SOURCE_BYTES]; /* for the operator */
	struct share_slot slots[];
};

struct share {
	struct share_file file;
	struct share_header *header; /* NULL until there was a file */
	struct share_options options;
	char name[32]; /* of the file */
	_Atomic uint64_t token;
	bool traditional;  /* locks, see share_adopt() */
	atomic_bool alone; /* the file in use has no name */
	int bell_fd;
};

/* ---- the file ---- */

static void share_fill(void *memory, const void *arg)
{
	const struct share_options *options = arg;
	struct share_header *header = memory;

	/* Everything else is zero, as in any new file. */
	header->magic = SHARE_MAGIC;
	header->layout = SHARE_LAYOUT;
	header->n = (uint32_t)options->n;
	memcpy(header->identity, options->identity, sizeof(header->identity));
	snprintf(header->source, sizeof(header->source), "%s",
		 options->source ? options->source : "");
	atomic_init(&header->began_us, clock_us());
}

_Static_assert(offsetof(struct share_header, last_token) <=
		       SHARE_FILE_HEAD_BYTES,
	       "what tells whose file it is");

static bool share_is_ours(const void *head, const void *arg)
{
	const struct share_header *header = head;
	const struct share_options *options = arg;

	return header->magic == SHARE_MAGIC && header->layout == SHARE_LAYOUT &&
	       header->n == options->n &&
	       memcmp(header->identity, options->identity,
		      sizeof(header->identity)) == 0;
}

/* Enough of the identity to tell files apart; the file holds all of it. */
static void share_name(char *name, size_t size,
		       const uint8_t identity[SHARE_IDENTITY_BYTES])
{
	size_t i, len = (size_t)snprintf(name, size, "board-");

	for (i = 0; i < 8 && len < size; i++)
		len += (size_t)snprintf(name + len, size - len, "%02x",
					identity[i]);
}

/* ---- processes ---- */

/* Locks some of the bytes that stand for processes, or tells what holds them.
 */
static int share_lock(const struct share *share, int command, uint64_t token,
		      uint64_t tokens, struct flock *lock)
{
	*lock = (struct flock){ .l_type = F_WRLCK,
				.l_whence = SEEK_SET,
				.l_start = SHARE_LOCKS_AT + (off_t)token,
				.l_len = (off_t)tokens };
	return fcntl(share->file.fd, command, lock);
}

/* A token that no living process has; -1 with errno. */
static int share_take_token(struct share *share)
{
	int how = share->traditional ? F_SETLK : F_OFD_SETLK, tries;
	struct flock lock;

	for (tries = 0; tries < SHARE_TOKEN_TRIES; tries++) {
		uint64_t last = atomic_fetch_add(&share->header->last_token, 1);

		share->token = (last + 1) % SHARE_TOKENS;
		if (!share->token)
			continue; /* stands for no process */
		if (share_lock(share, how, share->token, 1, &lock) == 0)
			return 0;
		if (errno != EAGAIN && errno != EACCES)
			return -1;
	}
	return -1;
}

/* Whether no other process has one of these tokens. */
static bool share_is_free(const struct share *share, uint64_t token,
			  uint64_t tokens)
{
	struct flock lock;

	return share_lock(share, F_OFD_GETLK, token, tokens, &lock) == 0 &&
	       lock.l_type == F_UNLCK;
}

/* Whether no process was there before. The tokens after ours are those of
 * processes that start at the same time: of several, one is the first. */
static bool share_is_first(const struct share *share)
{
	uint64_t token = (share->token + SHARE_NEWCOMERS) % SHARE_TOKENS;
	uint64_t tokens = SHARE_TOKENS - SHARE_NEWCOMERS;
	uint64_t to_the_end = SHARE_TOKENS - token;

	if (tokens <= to_the_end)
		return share_is_free(share, token, tokens);
	return share_is_free(share, token, to_the_end) &&
	       share_is_free(share, 0, tokens - to_the_end);
}

/* In doubt they are alive: their leases expire all the same. */
static bool share_is_dead(const struct share *share, uint64_t token)
{
	return share_is_free(share, token, 1);
}

/* Takes part in the file; false: its last process is removing it. */
static bool share_enter(struct share *share, char *reason, size_t reason_size)
{
	int entered = share_take_token(share);

	snprintf(reason, reason_size, "%s: cannot be locked: %s",
		 share->file.path, strerror(errno));
	return entered == 0 && !share_file_is_gone(&share->file);
}

/* The last process removes the file. One that comes meanwhile gets no token in
 * it. */
static void share_remove(struct share *share)
{
	struct flock lock;

	if (share_lock(share, F_OFD_SETLK, 0, SHARE_TOKENS, &lock) == 0)
		share_file_remove(&share->file);
}

static int share_join(struct share *share, bool alone, int tries, char *reason,
		      size_t reason_size)
{
	static const struct timespec pause = { .tv_nsec = SHARE_OPEN_PAUSE_MS *
							  1000000 };
	const char *name = share->file.name;

	for (;;) {
		share->file.name = alone ? NULL : share->name;
		if (share_file_open(&share->file, reason, reason_size)) {
			share->file.name = name;
			return -1;
		}
		name = share->file.name;
		share->alone = alone;
		if (!share->header) /* its address stays */
			share->header = share->file.memory;
		if (share_enter(share, reason, reason_size))
			break;
		if (--tries == 0)
			return -1;
		nanosleep(&pause, NULL);
	}
	if (share->options.founder && share_is_first(share))
		atomic_store(&share->header->began_us, clock_us());
	return 0;
}

struct share *share_open(const struct share_options *options, char *reason,
			 size_t reason_size)
{
	struct share *share = calloc(1, sizeof(*share));

	if (!share) {
		snprintf(reason, reason_size, "out of memory");
		return NULL;
	}
	share->options = *options;
	share->bell_fd = -1;
	share_name(share->name, sizeof(share->name), options->identity);
	share->file = (struct share_file){
		.dir = options->dir,
		.size = sizeof(struct share_header) +
			options->n * sizeof(struct share_slot),
		.fill = options->only_look ? NULL : share_fill,
		.ours = share_is_ours,
		.arg = &share->options,
	};
	if (share_join(share, options->alone, SHARE_OPEN_TRIES, reason,
		       reason_size) == 0)
		return share;
	if (share->header)
		share_file_close(&share->file);
	free(share);
	return NULL;
}

bool share_rejoin(struct share *share)
{
	char reason[PATH_MAX + 128];

	/* Without a pause: this is tried again in a second. */
	if (share_join(share, false, 1, reason, sizeof(reason)) == 0)
		return true;
	/* A file that is just being removed may have replaced the memory. */
	return !share->alone &&
	       share_join(share, true, 1, reason, sizeof(reason)) == 0;
}

bool share_is_alone(const struct share *share)
{
	return share->alone;
}

int share_adopt(struct share *share)
{
	char path[64];
	int fd;

	share->bell_fd = -1;
	/* The lock of the parent belongs to the open file description, which
	 * fork(2) shares.  Without /proc, a traditional lock (fcntl(2)) is the
	 * process's own, but a close of any descriptor of the file ends it. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", share->file.fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	share->traditional = fd < 0;
	if (fd >= 0) {
		dup3(fd, share->file.fd, O_CLOEXEC);
		close(fd);
	}
	return share_take_token(share);
}

uint64_t share_token(const struct share *share)
{
	return share->token;
}

bool share_is_token(uint64_t token)
{
	return token > 0 && token < SHARE_TOKENS;
}

int share_fd(const struct share *share)
{
	return share->file.fd;
}

void share_set_bell(struct share *share, int bell_fd)
{
	share->bell_fd = bell_fd;
}

struct share_lister {
	void (*each)(void *arg, const char *path, const char *source);
	void *arg;
};

static void share_list_one(void *arg, const char *path, const void *head)
{
	const struct share_lister *lister = arg;
	const struct share_header *header = head;
	char source[SHARE_SOURCE_BYTES + 1];

	if (header->magic != SHARE_MAGIC || header->layout != SHARE_LAYOUT)
		return;
	snprintf(source, sizeof(source), "%.*s", SHARE_SOURCE_BYTES,
		 header->source);
	lister->each(lister->arg, path, source);
}

void share_list(const char *dir,
		void (*each)(void *arg, const char *path, const char *source),
		void *arg)
{
	struct share_lister lister = { each, arg };

	share_file_each(dir, sizeof(struct share_header), share_list_one,
			&lister);
}

void share_leave_all(struct share *share)
{
	size_t i;

	for (i = 0; i < share->options.n; i++)
		share_leave(share, i);
}

void share_close(struct share *share)
{
	if (!share)
		return;
	share_leave_all(share);
	if (share->options.founder)
		share_remove(share);
	share_file_close(&share->file);
	free(share);
}

const char *share_path(const struct share *share)
{
	return share->file.path;
}

bool share_intact(const struct share *share, char *reason, size_t reason_size)
{
	return share_file_intact(&share->file, reason, reason_size);
}

/* ---- records ---- */

static struct share_slot *share_slot(const struct share *share, size_t check)
{
	return &share->header->slots[check];
}

/* Of two copies, the one that a name stands for. */
static struct share_copy *share_copy(struct share_slot *slot, uint64_t name)
{
	return &slot->copies[(name >> 32) & 1];
}

/* Tells a torn copy, not a forged one (FNV-1a, by words). */
static uint64_t share_sum(uint64_t name, const uint64_t words[SHARE_WORDS])
{
	uint64_t sum = UINT64_C(0xcbf29ce484222325) ^ name;
	size_t i;

	for (i = 0; i < SHARE_WORDS; i++)
		sum = (sum ^ words[i]) * UINT64_C(0x100000001b3);
	return sum;
}

static void share_write(struct share_copy *copy, uint64_t name,
			const struct record *record)
{
	uint64_t words[SHARE_WORDS];
	size_t i;

	memcpy(words, record, sizeof(words));
	/* A reader that sees a word of this, and then `current`, finds it at
	 * least as new as we did. */
	atomic_thread_fence(memory_order_release);
	atomic_store_explicit(&copy->name, name, memory_order_relaxed);
	for (i = 0; i < SHARE_WORDS; i++)
		atomic_store_explicit(&copy->words[i], words[i],
				      memory_order_relaxed);
	atomic_store_explicit(&copy->sum, share_sum(name, words),
			      memory_order_relaxed);
}

/* false: it is torn. */
static bool share_read_copy(struct share_copy *copy, uint64_t name,
			    struct record *record)
{
	uint64_t words[SHARE_WORDS], sum;
	size_t i;

	if (atomic_load_explicit(&copy->name, memory_order_relaxed) != name)
		return false;
	for (i = 0; i < SHARE_WORDS; i++)
		words[i] = atomic_load_explicit(&copy->words[i],
						memory_order_relaxed);
	sum = atomic_load_explicit(&copy->sum, memory_order_relaxed);
	memcpy(record, words, sizeof(*record));
	return sum == share_sum(name, words);
}

bool share_read(const struct share *share, size_t check, uint64_t *seen,
		struct record *record)
{
	struct share_slot *slot = share_slot(share, check);
	uint64_t name;
	int tries;
	bool whole;

	for (tries = 0; tries < SHARE_READ_TRIES; tries++) {
		name = atomic_load_explicit(&slot->current,
					    memory_order_acquire);
		if (name == *seen || name == 0)
			return false;
		whole = share_read_copy(share_copy(slot, name), name, record);
		atomic_thread_fence(memory_order_acquire);
		if (atomic_load_explicit(&slot->current,
					 memory_order_relaxed) != name)
			continue;
		*seen = name;
		return whole && record_sane(record, clock_us());
	}
	return false;
}

int64_t share_began_us(const struct share *share)
{
	return atomic_load(&share->header->began_us);
}

void share_use(struct share *share, size_t check, int64_t now_ms)
{
	atomic_store_explicit(&share_slot(share, check)->used_ms, now_ms,
			      memory_order_relaxed);
}

int64_t share_used_ms(const struct share *share, size_t check)
{
	return atomic_load_explicit(&share_slot(share, check)->used_ms,
				    memory_order_relaxed);
}

void share_set_draining(struct share *share, bool draining, int64_t now_ms)
{
	atomic_store(&share->header->drain, (uint64_t)now_ms << 1 | draining);
}

bool share_draining(const struct share *share, int64_t *looked_ms)
{
	uint64_t drain = atomic_load(&share->header->drain);

	*looked_ms = (int64_t)(drain >> 1);
	return drain & 1;
}

/* ---- news ---- */

uint32_t share_news(const struct share *share)
{
	return atomic_load(&share->header->news);
}

/* glibc has no function for futex(2).  Not FUTEX_PRIVATE_FLAG: the
 * waiters are other processes. */
static void share_futex(struct share *share, int operation, uint32_t value,
			const struct timespec *timeout)
{
	syscall(SYS_futex, &share->header->news, operation, value, timeout,
		NULL, 0);
}

void share_wait(struct share *share, uint32_t seen)
{
	/* Should the file be lost meanwhile, no process could end this. */
	static const struct timespec timeout = { .tv_sec = 1 };

	share_futex(share, FUTEX_WAIT, seen, &timeout);
}

void share_tell(struct share *share)
{
	atomic_fetch_add(&share->header->news, 1);
	if (share->bell_fd >= 0)
		eventfd_write(share->bell_fd, 1);
	if (!share->options.alone)
		share_futex(share, FUTEX_WAKE, INT_MAX, NULL);
}

/* ---- leases ---- */

static uint64_t lease_make(uint64_t token, enum share_lease kind,
			   int64_t until_ms)
{
	return token << (SHARE_UNTIL_BITS + SHARE_KIND_BITS) |
	       (uint64_t)kind << SHARE_UNTIL_BITS |
	       ((uint64_t)until_ms & SHARE_UNTIL_MASK);
}

static uint64_t lease_token(uint64_t lease)
{
	return lease >> (SHARE_UNTIL_BITS + SHARE_KIND_BITS);
}

static enum share_lease lease_kind(uint64_t lease)
{
	return (lease >> SHARE_UNTIL_BITS) & ((1 << SHARE_KIND_BITS) - 1);
}

static int64_t lease_until_ms(uint64_t lease)
{
	return (int64_t)(lease & SHARE_UNTIL_MASK);
}

static bool lease_is_run(uint64_t lease)
{
	return lease_kind(lease) == SHARE_RUN ||
	       lease_kind(lease) == SHARE_RENEW;
}

/* A holder that does not run has no time limit. A limit later than that of any
 * run is garbage: do not wait for it. */
static bool lease_is_over(uint64_t lease, int64_t now_ms)
{
	int64_t left_ms = lease_until_ms(lease) - now_ms;

	return lease_kind(lease) != SHARE_IDLE &&
	       (left_ms <= 0 || left_ms > SHARE_RUN_MAX_MS);
}

static bool lease_is_theirs(const struct share *share, uint64_t lease)
{
	return lease_kind(lease) != SHARE_FREE &&
	       !lease_is_over(lease, clock_ms()) &&
	       lease_token(lease) != share->token &&
	       !share_is_dead(share, lease_token(lease));
}

/* Asks that process to run. */
static bool lease_call(struct share_slot *slot, uint64_t *lease, uint64_t token)
{
	return atomic_compare_exchange_strong(
		&slot->lease, lease,
		lease_make(token, SHARE_CALLED, clock_ms() + SHARE_CALL_MS));
}

bool share_take(struct share *share, size_t check, int64_t until_ms, bool renew)
{
	struct share_slot *slot;
	uint64_t lease, mine;

	slot = share_slot(share, check);
	mine = lease_make(share->token, renew ? SHARE_RENEW : SHARE_RUN,
			  until_ms);
	lease = atomic_load(&slot->lease);
	for (;;) {
		if (!lease_is_theirs(share, lease)) {
			if (!atomic_compare_exchange_strong(&slot->lease,
							    &lease, mine))
				continue;
			atomic_store(&slot->pid, getpid());
			return true;
		}
		if (lease_kind(lease) != SHARE_IDLE)
			return false;
		if (lease_call(slot, &lease, lease_token(lease))) {
			share_tell(share);
			return false;
		}
	}
}

enum share_call share_call(struct share *share, size_t check, uint64_t seen,
			   uint64_t token)
{
	struct share_slot *slot = share_slot(share, check);
	uint64_t lease = atomic_load(&slot->lease), current;

	for (;;) {
		bool theirs = lease_is_theirs(share, lease);

		/* It runs, or has been called. */
		if (theirs && lease_kind(lease) != SHARE_IDLE)
			return SHARE_CALL_NEEDLESS;
		/* In this order: a result comes before the end of its run. */
		current = atomic_load(&slot->current);
		if (seen != SHARE_SEEN_ANY && current && current != seen)
			return SHARE_CALL_NEEDLESS;
		if (!theirs && !token)
			return SHARE_CALL_NOBODY;
		if (lease_call(slot, &lease,
			       theirs ? lease_token(lease) : token))
			return SHARE_CALL_MADE;
	}
}

/* false: the process did not hold it. */
static bool lease_drop(struct share_slot *slot, uint64_t token)
{
	uint64_t lease = atomic_load(&slot->lease);

	while (token && lease_token(lease) == token)
		if (atomic_compare_exchange_strong(&slot->lease, &lease, 0))
			return true;
	return false;
}

void share_revoke(struct share *share, uint64_t token)
{
	size_t i;

	for (i = 0; i < share->options.n; i++)
		(void)lease_drop(share_slot(share, i), token);
	share_tell(share);
}

/* For a process in whose run the lease may have run out, so that it was called
 * once more. */
static bool lease_is_my_run(const struct share *share, uint64_t lease)
{
	return (lease_is_run(lease) || lease_kind(lease) == SHARE_CALLED) &&
	       lease_token(lease) == share->token;
}

bool share_extend(struct share *share, size_t check, int64_t until_ms)
{
	struct share_slot *slot;
	uint64_t lease;

	slot = share_slot(share, check);
	lease = atomic_load(&slot->lease);
	while (lease_is_my_run(share, lease))
		if (atomic_compare_exchange_strong(
			    &slot->lease, &lease,
			    lease_make(share->token,
				       lease_is_run(lease) ? lease_kind(lease)
							   : SHARE_RUN,
				       until_ms)))
			return true;
	return false;
}

bool share_publish(struct share *share, size_t check,
		   const struct record *record)
{
	struct share_slot *slot;
	uint64_t lease, seen, name;

	slot = share_slot(share, check);
	do {
		/* In this order: a process that takes the lease from now on,
		 * for we may be stopped here, publishes after what was seen,
		 * and then the swap fails. It also fails when the former holder
		 * of the lease is this late; then it is tried again. */
		seen = atomic_load(&slot->current);
		lease = atomic_load(&slot->lease);
		if (!lease_is_my_run(share, lease))
			return false;
		name = ((seen >> 32) + 1) << 32 | share->token;
		share_write(share_copy(slot, name), name, record);
	} while (!atomic_compare_exchange_strong(&slot->current, &seen, name));
	while (lease_is_my_run(share, lease))
		if (atomic_compare_exchange_strong(
			    &slot->lease, &lease,
			    lease_make(share->token, SHARE_IDLE, 0)))
			break;
	return true;
}

void share_leave(struct share *share, size_t check)
{
	if (lease_drop(share_slot(share, check), share->token))
		share_tell(share);
}

enum share_lease share_ours(const struct share *share, size_t check)
{
	uint64_t lease = atomic_load(&share_slot(share, check)->lease);

	return lease_token(lease) == share->token ? lease_kind(lease)
						  : SHARE_FREE;
}

bool share_holds(const struct share *share, size_t check, uint64_t token)
{
	uint64_t lease = atomic_load(&share_slot(share, check)->lease);

	return token && lease_token(lease) == token;
}

bool share_theirs(const struct share *share, size_t check)
{
	return lease_is_theirs(share,
			       atomic_load(&share_slot(share, check)->lease));
}

bool share_renewing(const struct share *share, size_t check, int64_t now_ms)
{
	uint64_t lease;

	lease = atomic_load(&share_slot(share, check)->lease);
	return lease_kind(lease) == SHARE_RENEW &&
	       !lease_is_over(lease, now_ms);
}

struct share_holder share_holder(const struct share *share, size_t check)
{
	struct share_slot *slot = share_slot(share, check);
	uint64_t lease = atomic_load(&slot->lease);
	struct share_holder holder = { .lease = SHARE_FREE };

	if (lease_is_theirs(share, lease)) {
		holder.lease = lease_kind(lease);
		holder.pid = (pid_t)atomic_load(&slot->pid);
	}
	return holder;
}

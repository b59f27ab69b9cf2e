/*
 * share: the records of all checks in a mapped file, which all processes of
 * one configuration share.
 *
 * mod_fcgid starts a process per concurrent request, plain CGI one per
 * request.  Through this file they ask a dependency once and answer all.  No
 * process trusts another to live: any may be killed, or stopped for a while,
 * at any instruction.  So there is no lock and no condition variable in the
 * file (glibc's process-shared ones wedge when a waiter is killed), only words
 * that are changed by compare-and-swap, and a futex(2) whose waiters look
 * again by themselves.
 *
 * Each check has a lease, one word: which process may run it, and until when.
 *
 *	FREE ──take──► RUN(until) ──publish──► IDLE ──take, by the holder──► RUN
 *	                 ▲   │                   │
 *	   take, when the   run out, or         call, by another
 *	   holder is dead ◄──holder dead         ▼
 *	                 └───────── run out ── CALLED(until)
 *
 * The holder keeps the lease, and its warm connection, between runs.  A process
 * that needs a result calls the holder; a holder that does not begin within
 * SHARE_CALL_MS, or whose process is gone, loses the lease.  Whether it is gone
 * is known from a lock (fcntl(2), F_OFD_SETLK), which the kernel releases when
 * a process dies.
 *
 * A result is written beside the valid one, under a name that no other writer
 * has, and becomes valid by one swap that succeeds only when nothing was
 * published since the lease was taken.  So half a record is never read, and
 * a process that lost the lease, even by being stopped, publishes nothing.
 * tests/model/ has the model of this that spin(1) checks.
 *
 * A null pointer is a valid share: that of a process that is alone.  It holds
 * every lease and has no records.
 *
 * share_read() and share_use() may be called by any thread that keeps
 * share_close() away; everything else belongs to the prober thread, and
 * share_open() to the main thread before it.
 */
#ifndef HEALTH_SHARE_H
#define HEALTH_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/result.h"

struct share;

/* How long a holder has to begin when it is called. */
#define SHARE_CALL_MS 100
/* How much longer than the timeout of its check a run keeps the lease. */
#define SHARE_SLACK_MS 500
/* No run is given more: the largest `timeout` is a minute. */
#define SHARE_RUN_MAX_MS (60000 + SHARE_SLACK_MS)

/* Processes share when they have the same identity: the same configuration,
 * program and boot of the machine. */
#define SHARE_IDENTITY_BYTES 32

struct share_options {
	const char *dir; /* borrowed; NULL: the one of this user */
	uint8_t identity[SHARE_IDENTITY_BYTES];
	size_t n; /* checks */
	const char
		*source; /* where they were read; borrowed, for share_list() */
	/* When no other process is there, the checks' past before now does not
	 * count for startup: the service begins anew.  And the last one to
	 * leave removes the file. */
	bool founder;
	bool only_look; /* a file that is not there is not made */
};

/*
 * Opens the file, or creates it.  The directory and the file
 * must be ours alone (owner and mode), no symbolic link, and the file must be
 * what this program makes.  NULL and a sentence for the operator otherwise.
 */
struct share *share_open(const struct share_options *options, char *reason,
			 size_t reason_size);

/*
 * Calls each() for every file of shared results in a directory (NULL: the one
 * of this user), with its path and the source that its maker named.
 */
void share_list(const char *dir,
		void (*each)(void *arg, const char *path, const char *source),
		void *arg);

/* Gives back all leases.  NULL is allowed. */
void share_close(struct share *share);

/* Path of the file; for the log. */
const char *share_path(const struct share *share);

/* false: the file was removed or cut, and this process is alone; a sentence
 * for the operator.  Reads find nothing then. */
bool share_intact(const struct share *share, char *reason, size_t reason_size);

/* Opens it again, or makes a new one, after that.  The process has no lease and
 * has seen nothing then.  false: it is still alone. */
bool share_rejoin(struct share *share);

/* ---- records ---- */

/* Copies the record, unless it is the one that `seen` stands for (0 at
 * first). */
bool share_read(const struct share *share, size_t check, uint64_t *seen,
		struct record *record);

/* When the service began: what was before does not count for startup. */
int64_t share_began_us(const struct share *share);

/* Notes that a question used a result, or would have. */
void share_use(struct share *share, size_t check, int64_t now_ms);
/* When that was last; 0: never. */
int64_t share_used_ms(const struct share *share, size_t check);

/* Whether the service drains, as a process saw it at *looked_ms (0:
 * never). */
void share_set_draining(struct share *share, bool draining, int64_t now_ms);
bool share_draining(const struct share *share, int64_t *looked_ms);

/* ---- leases ---- */

enum share_lease {
	SHARE_FREE,   /* not held, or by a dead process */
	SHARE_IDLE,   /* held; no run is under way */
	SHARE_CALLED, /* held; a run was asked for */
	SHARE_RUN,    /* held; a run is under way */
	SHARE_RENEW   /* likewise, begun while the last result was valid */
};

/*
 * The lease for a run that ends until then: true when it is ours.  Otherwise
 * another process runs the check or was called to: its result, or the end of
 * its lease, will come.  renew: the last result is still valid.
 */
bool share_take(struct share *share, size_t check, int64_t until_ms,
		bool renew);

/* More time for the run under way.  false: the lease was lost. */
bool share_extend(struct share *share, size_t check, int64_t until_ms);

/* Ends our run and keeps the lease; share_tell() is to follow.  false, and
 * nothing happened: the lease was lost. */
bool share_publish(struct share *share, size_t check,
		   const struct record *record);

/* Gives the lease back, if it is ours. */
void share_leave(struct share *share, size_t check);

/* The lease if it is ours, SHARE_FREE otherwise. */
enum share_lease share_ours(const struct share *share, size_t check);

/* Whether another living process holds the lease. */
bool share_theirs(const struct share *share, size_t check);

/* Whether a run that began in time is under way somewhere; any thread. */
bool share_renewing(const struct share *share, size_t check, int64_t now_ms);

/* The holder of the lease; for the operator. */
struct share_holder {
	enum share_lease lease;
	pid_t pid; /* in its own namespace; 0: none */
};
struct share_holder share_holder(const struct share *share, size_t check);

/* ---- news ---- */

/* Changes whenever something was published or called. */
uint32_t share_news(const struct share *share);

/* Waits until share_news() is not `seen`, for 1 second at most. */
void share_wait(struct share *share, uint32_t seen);

/* Changes share_news() and wakes all waiters, in all processes. */
void share_tell(struct share *share);

#endif

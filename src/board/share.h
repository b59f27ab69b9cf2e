/*
 * share: the records of all checks in a mapped file, which all processes of
 * one configuration share.
 *
 * A front, which answers probes, and its worker, which runs the checks, have it
 * in common.  mod_fcgid starts a front per concurrent request, plain CGI one
 * per request: through a file with a name they ask a dependency once and answer
 * all.  No process trusts another to live: any may be killed, or stopped for a
 * while, at any instruction.  So there is no lock and no condition variable in
 * the file (glibc's process-shared ones wedge when a waiter is killed), only
 * words that are changed by compare-and-swap, and a futex(2) whose waiters look
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
 * A front calls the holder.  When no living process holds the lease, it calls
 * its own worker.  It takes a lease itself only to publish what became of a
 * worker.
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
 * Reading, share_use(), share_call(), share_tell() and share_wait() are for any
 * thread that keeps share_close() away, also during share_rejoin(); everything
 * else belongs to the main thread of its process.
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
	bool alone;	 /* shared with our children only; has no name */
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

/*
 * In a child process, once, before anything else: takes part as a process of
 * its own, with a token of its own.  -1 with errno.
 */
int share_adopt(struct share *share) __attribute__((warn_unused_result));
/* What leases of this process are known by; never 0. */
uint64_t share_token(const struct share *share);
/* Whether a process may have this token. */
bool share_is_token(uint64_t token);

/* share_tell() makes this eventfd(2) readable, too; borrowed; -1: none. */
void share_set_bell(struct share *share, int bell_fd);

/* Its descriptor, which a child process has to keep. */
int share_fd(const struct share *share);

/* Gives back all leases. */
void share_leave_all(struct share *share);
/* Likewise.  NULL is allowed. */
void share_close(struct share *share);

/* Path of the file; for the log. */
const char *share_path(const struct share *share);

/* false: the file was removed or cut, and this process is alone; a sentence
 * for the operator.  Reads find nothing then. */
bool share_intact(const struct share *share, char *reason, size_t reason_size);

/*
 * After that: opens it again, or makes a new one.  Or else memory without a
 * name takes its place, and this is called again.  Whether something has taken
 * its place: the process has no lease and has seen nothing then.
 */
bool share_rejoin(struct share *share);
/* Whether others can have part in it. */
bool share_is_alone(const struct share *share);

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

enum share_call {
	SHARE_CALL_NEEDLESS, /* it runs, was called, or has another result */
	SHARE_CALL_MADE,     /* share_tell() is to follow */
	SHARE_CALL_NOBODY    /* no process will run it */
};

/*
 * For a front: sees to it that the check runs, unless there is a result that is
 * not the one that `seen` stands for (share_read()).  The holder of the lease
 * is called, or the process with this token if there is no other, of which 0 is
 * none.
 */
enum share_call share_call(struct share *share, size_t check, uint64_t seen,
			   uint64_t token);
/* Whatever result there is. */
#define SHARE_SEEN_ANY UINT64_MAX

/* Takes all leases from a process that is to be killed: nothing that it
 * publishes counts from now on. */
void share_revoke(struct share *share, uint64_t token);

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

/* Whether the process with this token holds the lease; 0: none does. */
bool share_holds(const struct share *share, size_t check, uint64_t token);

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

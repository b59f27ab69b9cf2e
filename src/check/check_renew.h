/*
 * check_renew: the settings of a check once more, with what its files hold now:
 * a password that was rotated.
 *
 * Files may be on a mount that is dead, so they are read, and the kind's
 * prepare() is called, in another thread.  A worker that starts later begins
 * with the settings of the setup.  Belongs to the main thread of a worker.
 */
#ifndef HEALTH_CHECK_RENEW_H
#define HEALTH_CHECK_RENEW_H

#include <stdbool.h>

struct check_kind;
struct check_setup;
struct conf;
struct offload;
struct offload_job;

/* Settings, as made by a job. */
struct check_renewal {
	const struct check_kind *kind;
	struct conf *conf; /* that they were read from */
	void *settings;
};

/* Embedded in its owner; zeroed: the settings are those of the setup. */
struct check_renew {
	struct check_renewal *now; /* in effect; NULL: those of the setup */
	/* private to check_renew.c */
	const struct check_setup *setup;
	struct check_renewal *next; /* of the job, and of on_done() */
	struct offload_job *job;    /* under way, perhaps stuck */
	bool told; /* the log says that a file cannot be used */
	void (*on_done)(void *arg, bool news);
	void *arg;
};

/*
 * Begins; on_done(arg, news) is called from the loop.  When one is under way
 * already, its end is that of this one.  false: the check has no secret in a
 * file, or no thread can be created.  A file that cannot be used is logged, and
 * news is false then.
 */
bool check_renew_start(struct check_renew *renew, struct offload *offload,
		       const struct check_setup *setup,
		       void (*on_done)(void *arg, bool news), void *arg);

/* In on_done(), with news: the new settings replace the old ones,
 * which must not be used any more. */
void check_renew_take(struct check_renew *renew);

/* Does not wait for what is stuck.  Also twice. */
void check_renew_end(struct check_renew *renew);

#endif

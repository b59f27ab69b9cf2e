/*
 * asker: sees to it that checks run, in processes that may be killed.
 *
 * libpq, libcurl, OpenSSL and the others talk to peers that may be broken or
 * hostile, and one call into them may never return, take all memory or crash.
 * So a worker process calls them (worker.h), which runs all checks.  The asker,
 * in the main thread of the front, calls it when a question needs a result,
 * looks whether it hangs in one call (judge.h), kills it then, and starts
 * another one at once.  The check whose code it was in gets a result that says
 * so, and has a worker of its own until it has been good for a while: the
 * others cannot suffer from it again.
 *
 * With a share that has a name, a worker of another front may run the checks:
 * then none is started here, until one has to be.
 *
 * Everything belongs to the main thread, except asker_heard_fd(), and what
 * asker_create() hooks into the board, which is for any thread.
 *
 * asker/ is for the processes that ask.  It knows the prober and the board, and
 * no request.
 */
#ifndef HEALTH_ASKER_H
#define HEALTH_ASKER_H

#include <stdbool.h>

struct asker;
struct board;
struct check_list;
struct plan;
struct share;

/* Everything is borrowed. */
struct asker_options {
	const struct check_list *checks;
	const char *drain_file; /* "": none */
	const struct plan *plan;
	struct board *board;
	struct share *share;
	bool warm; /* see prober.h; the first worker starts at once */
};

/* NULL, and a line in the log, when memory or descriptors ran out. */
struct asker *asker_create(const struct asker_options *options);

/* An eventfd(2) that is written when the board may have news
 * (board_catch_up()). */
int asker_heard_fd(const struct asker *asker);

/* Readable when asker_turn() has something to do. */
int asker_turn_fd(const struct asker *asker);

/* Does what is due; returns for how many ms there is nothing to do, unless the
 * descriptor above becomes readable. */
int asker_turn(struct asker *asker);

/* Ends the workers, those that do not end by themselves by SIGKILL. */
void asker_destroy(struct asker *asker);

#endif

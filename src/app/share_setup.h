/*
 * state: whether this process shares its results with others, and where
 * (`state_dir`).
 *
 * Belongs to the main thread, at start.
 */
#ifndef HEALTH_SHARE_SETUP_H
#define HEALTH_SHARE_SETUP_H

#include <stdio.h>

struct settings;
struct share;

/* How the process was started. */
enum state_start {
	STATE_ALONE, /* on the command line, or as the only one */
	STATE_MANY,  /* by a server that starts as many as it likes */
	STATE_CGI    /* likewise, for one request */
};

/*
 * NULL when the process is to be alone, or, with a line in the log, when the
 * results cannot be shared safely; a CGI program that shares by default has it
 * with log_level = debug only.  To be ended with share_close().
 */
struct share *state_open(const struct settings *settings,
			 enum state_start start);

/*
 * Writes what the processes that share results know, one check a line
 * (--state).  -1 and a sentence on standard error when there are none.
 */
int state_print(const struct settings *settings, FILE *to);

#endif

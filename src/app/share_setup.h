/*
 * share_setup: whether this process shares its results with others, and where
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
enum share_setup_start {
	SHARE_SETUP_ALONE, /* on the command line, or as the only one */
	SHARE_SETUP_MANY,  /* by a server that starts as many as it likes */
	SHARE_SETUP_CGI	   /* likewise, for one request */
};

/*
 * NULL when the process is to be alone, or, with a line in the log, when the
 * results cannot be shared safely; a CGI program that shares by default has it
 * with log_level = debug only.  To be ended with share_close().
 */
struct share *share_setup_open(const struct settings *settings,
			       enum share_setup_start start);

/*
 * Writes what the processes that share results know, one check a line
 * (--state).  -1 and a sentence on standard error when there are none.
 */
int share_setup_print(const struct settings *settings, FILE *to);

#endif

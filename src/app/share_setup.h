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
	SHARE_SETUP_MANY,  /* by a server that starts several processes */
	SHARE_SETUP_CGI,   /* by a server, for one request */
	SHARE_SETUP_ONCE   /* to run the checks itself (--once) */
};

/*
 * A share without a name when the process is to be alone, or, with a line in
 * the log, when it cannot share its results safely; for a CGI program with the
 * default directory that line has level debug.  The caller closes it with
 * share_close().  NULL, and a line in the log: no memory.
 */
struct share *share_setup_open(const struct settings *settings,
			       enum share_setup_start start);

/*
 * Writes the shared results, one check per line (--state).  -1 and a sentence
 * on standard error when there are none.
 */
int share_setup_print(const struct settings *settings, FILE *to);

#endif

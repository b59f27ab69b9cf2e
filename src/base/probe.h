/*
 * probe: the questions that a caller can ask.  This is the only list of them;
 * route, board and verdict use it.
 */
#ifndef HEALTH_PROBE_H
#define HEALTH_PROBE_H

enum probe {
	PROBE_LIVE,    /* what is known now; never waits */
	PROBE_READY,   /* all checks */
	PROBE_CHECK,   /* one check: /ready/NAME */
	PROBE_STARTED, /* the first result of each startup check; with a share
			  a later one, when no process repeats that check */
};

#endif

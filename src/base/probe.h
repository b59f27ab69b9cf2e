/*
 * probe: what can be asked.  The only list of them: paths (route), what must be
 * known (board) and what the answer says (verdict) go by it.
 */
#ifndef HEALTH_PROBE_H
#define HEALTH_PROBE_H

enum probe {
	PROBE_LIVE,    /* whatever is there; never waits */
	PROBE_READY,   /* all checks */
	PROBE_CHECK,   /* one check: /ready/NAME */
	PROBE_STARTED, /* the first result of each startup check; in a share
			  another one when no process tries it again */
};

#endif

/*
 * oneshot: one question, waited for: a CGI request or the command line.
 *
 * The same route, board and asker as under FastCGI; only the waiting differs.
 * Belongs to the main thread.
 */
#ifndef HEALTH_ONESHOT_H
#define HEALTH_ONESHOT_H

#include "asker/asker.h"

struct service;

/* Everything is borrowed. */
struct oneshot_config {
	const struct service *service;
	struct asker_options asker; /* made when something must be asked */
};

/*
 * Answers the request that the environment describes (RFC 3875) on standard
 * output.  Returns the exit status of the process: 0, or 1 when the answer
 * could not be made or written.
 */
int oneshot_cgi(const struct oneshot_config *config);

/*
 * Answers one probe ("live", "ready", "ready/NAME", "started") as JSON on
 * standard output.  Returns 0 for HTTP 200, 1 for any other.
 */
int oneshot_once(const struct oneshot_config *config, const char *probe);

#endif

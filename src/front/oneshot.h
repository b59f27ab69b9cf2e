/*
 * single: one question, waited for: a CGI request or the command line.
 *
 * The same route, board and prober as under FastCGI; only the waiting differs.
 * Belongs to the main thread.
 */
#ifndef HEALTH_ONESHOT_H
#define HEALTH_ONESHOT_H

struct board;
struct service;
struct settings;
struct share;

/*
 * Answers the request that the environment describes (RFC 3875) on standard
 * output.  Returns the exit status of the process: 0, or 1 when the answer
 * could not be made or written.  share may be NULL.
 */
int single_cgi(const struct settings *settings, const struct service *service,
	       struct board *board, struct share *share);

/*
 * Answers one probe ("live", "ready", "ready/NAME", "started") as JSON on
 * standard output.  Returns 0 for HTTP 200, 1 for any other.
 */
int single_once(const struct settings *settings, const struct service *service,
		struct board *board, const char *probe);

#endif

/*
 * responder: the FastCGI threads behind the gate.
 *
 * A thread takes a whole request from the gate, lets libfcgi read it, and
 * answers it from the board.  It never talks to a dependency and never waits
 * for one: a request without an answer yet is parked, and any free thread
 * finishes it when the results are published or its time is up.
 *
 * All calls belong to the main thread.
 *
 * front/ is for requests: FastCGI, CGI and the command line.  It knows answers,
 * and no check.
 */
#ifndef HEALTH_RESPONDER_H
#define HEALTH_RESPONDER_H

#include <stddef.h>

struct listen_chore;
struct responder;
struct service;

struct responder_options {
	int listen_fd; /* borrowed; non-blocking */
	size_t threads;
	size_t max_waiting;	/* parked requests; half as many bodies */
	size_t max_connections; /* from web servers */
	const char *allowed;	/* see gate_create() */
	/* An eventfd(2), borrowed: each write says that the board may have
	 * news. */
	int heard_fd;
};

/* NULL, and a line in the log, when memory, descriptors or threads ran out. */
struct responder *responder_start(const struct responder_options *options,
				  const struct service *service);

/*
 * Takes no further connection, answers what is there and what arrives on open
 * connections for another RESPONDER_GRACE_MS, and returns when the last of the
 * parked requests is answered (they have their own time limit).  The chore is
 * done meanwhile.
 */
#define RESPONDER_GRACE_MS 300
void responder_stop(struct responder *responder,
		    const struct listen_chore *chore);

/* After responder_stop(). */
void responder_destroy(struct responder *responder);

#endif

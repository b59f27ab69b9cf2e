/*
 * listen: where requests come in.
 *
 * A web server or supervisor hands over a listening socket as descriptor 0
 * (FastCGI Specification 1.0, section 2.2) or, by systemd's protocol, as
 * descriptor 3 (sd_listen_fds(3)); or the program opens one by itself.
 *
 * Belongs to the main thread, at start.
 */
#ifndef HEALTH_LISTEN_H
#define HEALTH_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct listener {
	int fd;
	/* The process that handed it over as descriptor 0; 0: do not watch. */
	pid_t parent;
	bool many; /* the parent may start many of us */
	/* Of a socket file that we made ourselves; "" otherwise. */
	char path[108];
	dev_t dev;
	ino_t ino;
};

enum listen_outcome {
	LISTEN_OPEN,
	LISTEN_BAD_ADDRESS, /* not a usable address */
	LISTEN_FAILED	    /* the system refused, or it is in use */
};

/* Takes the listening socket that was handed over; -1: none was. */
int listen_inherit(struct listener *listener)
	__attribute__((warn_unused_result));

/*
 * Opens "unix:PATH", "ADDRESS:PORT", "[ADDRESS]:PORT", "localhost:PORT" or
 * "*:PORT".  A socket file that no process serves any more is replaced in one
 * step, so that a client that finds the file can always connect.  mode is that
 * of the new file.  reason: a sentence for the operator when it is not open.
 */
enum listen_outcome listen_open(struct listener *listener, const char *where,
				unsigned mode, char *reason, size_t reason_size)
	__attribute__((warn_unused_result));

/* Removes the socket file, unless a successor has replaced it: no new client
 * can connect, connected ones can still be served. */
void listen_leave(struct listener *listener);

/* Leaves and closes it. */
void listen_close(struct listener *listener);

#endif

/*
 * listen: where requests come in, and until when.
 *
 * A web server or supervisor hands over a listening socket as descriptor 0
 * (FastCGI Specification 1.0, section 2.2) or, by systemd's protocol, as
 * descriptor 3 (sd_listen_fds(3)); or the program opens one by itself.
 *
 * A web server that stops cleanly sends SIGTERM to the programs that it
 * started.  A killed one cannot, and its programs would stay behind forever,
 * with a socket that no server uses: that is why the parent is watched.
 *
 * Belongs to the main thread.
 */
#ifndef HEALTH_LISTEN_H
#define HEALTH_LISTEN_H

#include <signal.h>
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
	char reason[256]; /* a sentence for the operator; see listen_open() */
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
 * of the new file.  When it is not open, listener->reason says why.
 */
enum listen_outcome listen_open(struct listener *listener, const char *where,
				unsigned mode)
	__attribute__((warn_unused_result));

/*
 * Removes the socket file, unless a successor has replaced it: no new client
 * can connect, connected ones can still be served.  The end of the process
 * closes the descriptor: close(2) could wait for what is in the backlog, see
 * closer.h.
 */
void listen_leave(struct listener *listener);

/* A parent that exits within this time was only a launcher, such as
 * spawn-fcgi(1) or a shell that goes into the background. */
#define LISTEN_SETTLED_MS 10000

/* What the main thread does meanwhile. */
struct listen_chore {
	int fd; /* readable when there is something to do */
	/* Returns for how many ms there is nothing to do otherwise. */
	int (*turn)(void *arg);
	void *arg;
};

/*
 * Waits for one of the signals, which are blocked in every thread; its number.
 * 0: the parent, which still ran LISTEN_SETTLED_MS after the call, has
 * ended.  parent 0: no process is watched.
 */
int listen_wait(pid_t parent, const sigset_t *signals,
		const struct listen_chore *chore);

#endif

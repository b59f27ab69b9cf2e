/*
 * parent: whether the process that started the program still runs.
 *
 * A web server that stops cleanly sends SIGTERM to the programs that it
 * started. A killed one cannot, and its programs would stay behind for ever,
 * with a socket that no server uses any more.
 *
 * Belongs to the main thread.
 */
#ifndef HEALTH_PARENT_H
#define HEALTH_PARENT_H

#include <signal.h>
#include <sys/types.h>

/* A parent that exits within this time was only a launcher, such as
 * spawn-fcgi(1) or a shell that goes into the background. */
#define PARENT_SETTLED_MS 10000

/*
 * Waits for one of the signals, which are blocked in every thread; its number.
 * 0: the parent, which still ran PARENT_SETTLED_MS after the call, has
 * ended.  parent 0: no process is watched.
 */
int parent_wait(pid_t parent, const sigset_t *signals);

#endif

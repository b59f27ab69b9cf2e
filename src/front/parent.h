/*
 * parent: whether who started the program is still there.
 *
 * A web server that ends in good order sends SIGTERM to the programs that it
 * started.  One that is killed cannot, and what it started would stay behind
 * for ever, with a socket that nobody knows any more.
 *
 * Belongs to the main thread.
 */
#ifndef HEALTH_PARENT_H
#define HEALTH_PARENT_H

#include <signal.h>
#include <sys/types.h>

/* Who is gone before this has only started us, as spawn-fcgi(1) does, and a
 * shell that puts itself into the background. */
#define PARENT_SETTLED_MS 10000

/*
 * Waits for one of the signals, which are blocked in every thread; its number.
 * 0: the parent, who was still there PARENT_SETTLED_MS after the call, has
 * ended.  parent 0: nobody's end is waited for.
 */
int parent_wait(pid_t parent, const sigset_t *signals);

#endif

/*
 * closer: closes descriptors whose close(2) may wait, in a child process.
 *
 * What lies unread in a Unix socket may include descriptors that its peer
 * passed along (SCM_RIGHTS, unix(7)).  Closing the socket drops their last
 * reference, and that may wait: a TCP socket with SO_LINGER waits for its own
 * peer (socket(7)), up to an hour and more, and a file on a dead mount for its
 * server, where no signal helps.  So a child takes over the last reference and
 * exits with it.  An exit does not linger; where it waits all the same, only
 * the child does.
 *
 * The process reaps its children (waitpid(2)), or ignores SIGCHLD.
 */
#ifndef HEALTH_CLOSER_H
#define HEALTH_CLOSER_H

#include <stddef.h>

/* Takes the descriptor over and returns at once.  Any thread.  Without memory
 * or a thread the caller forks; where no process can be created, close() waits.
 */
void closer_take(int fd);

/* In a child process, before anything else: it has no closer yet, and what its
 * parent's has to close is closed by the parent. */
void closer_forked(void);

/* How many descriptors are not closed yet.  Any thread. */
size_t closer_waiting(void);

#endif

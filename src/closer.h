/*
 * closer: closes descriptors whose close(2) may wait, in a thread of its own.
 *
 * What lies unread in a Unix socket may include descriptors that its peer
 * passed along (SCM_RIGHTS, unix(7)).  Whoever closes the socket drops their
 * last reference, and waits as long as the peer chose: a TCP socket with
 * SO_LINGER waits for its own peer (socket(7)), up to an hour and more.  A
 * signal cuts such a wait short, so the thread sends itself one again and again
 * while it closes.
 */
#ifndef HEALTH_CLOSER_H
#define HEALTH_CLOSER_H

#include <stddef.h>

/* Takes the descriptor over and returns at once.  Any thread.  Without memory
 * or a thread the caller closes it himself, under the same signals. */
void closer_take(int fd);

/* How many descriptors are not closed yet.  Any thread. */
size_t closer_waiting(void);

#endif

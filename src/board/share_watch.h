/*
 * share_watch: a thread that rings an eventfd(2) whenever share_news() changes.
 *
 * futex(2) cannot be polled, so a thread has to wait in it, while there is
 * something to wait for.
 *
 * Belongs to the main thread.
 */
#ifndef HEALTH_SHARE_WATCH_H
#define HEALTH_SHARE_WATCH_H

#include <stdbool.h>

struct share;
struct share_watch;

/* Both are borrowed; it is off.  NULL: no memory or thread. */
struct share_watch *share_watch_create(struct share *share, int bell_fd);
/* NULL is allowed. */
void share_watch_destroy(struct share_watch *watch);

/* While it is on, the bell rings whenever share_news() changes, and once when
 * it is switched on, for what changed before. */
void share_watch_set(struct share_watch *watch, bool on);

#endif

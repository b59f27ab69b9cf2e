/*
 * share_watch: a thread that turns what is new in a share into turns of the
 * loop.
 *
 * futex(2) cannot be polled, so a thread has to wait in it.  It does so while
 * it is told to listen, and touches nothing but the loop's wake.
 *
 * Belongs to the prober thread, but for its start and end.
 */
#ifndef HEALTH_SHARE_WATCH_H
#define HEALTH_SHARE_WATCH_H

#include <stdbool.h>

struct share_watch;
struct loop;
struct share;

/* Both are borrowed until share_watch_stop().  NULL when it cannot allocate
 * memory or create a thread. */
struct share_watch *share_watch_start(struct share *share, struct loop *loop);
/* NULL is allowed. */
void share_watch_stop(struct share_watch *watch);

/* While it is on, the loop turns whenever share_news() changes, and once when
 * it is switched on, for what changed before. */
void share_watch_listen(struct share_watch *watch, bool on);

#endif

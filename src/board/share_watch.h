/*
 * ear: a thread that turns what is new in a share into turns of the loop.
 *
 * futex(2) cannot be polled, so somebody has to wait in it.  The ear does so
 * while it is told to listen, and touches nothing but the loop's wake.
 *
 * Belongs to the prober thread, but for its start and end.
 */
#ifndef HEALTH_SHARE_WATCH_H
#define HEALTH_SHARE_WATCH_H

#include <stdbool.h>

struct ear;
struct loop;
struct share;

/* Both are borrowed until ear_stop().  NULL when there is no memory or thread
 * to be had. */
struct ear *ear_start(struct share *share, struct loop *loop);
/* NULL is allowed. */
void ear_stop(struct ear *ear);

/* While it is on, the loop turns whenever share_news() changes, and once when
 * it is switched on, for what changed before. */
void ear_listen(struct ear *ear, bool on);

#endif

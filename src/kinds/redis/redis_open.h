/*
 * redis_open: from the settings to a stream to the server.
 *
 * Belongs to the prober thread; never blocks.  Ends in redis_talk_next() or in
 * conn_failed(), now or later.
 */
#ifndef HEALTH_REDIS_OPEN_H
#define HEALTH_REDIS_OPEN_H

struct conn;

void redis_open(struct conn *conn);
/* The stream is ready for the next step of connecting. */
void redis_open_advance(struct conn *conn);

#endif

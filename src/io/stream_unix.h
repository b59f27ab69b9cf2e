/*
 * stream_unix: connects to a Unix socket without waiting.
 *
 * connect(2) walks the path, and on a dead mount it would never come back,
 * although the socket does not block.  It runs in a thread of offload's.
 *
 * Belongs to the prober thread.
 */
#ifndef HEALTH_STREAM_UNIX_H
#define HEALTH_STREAM_UNIX_H

struct offload;
struct stream_unix;

/* NULL and errno: out of memory or descriptors, or the path is too long
 * (ENAMETOOLONG). */
struct stream_unix *stream_unix_start(struct offload *offload,
				      const char *path);

/* Readable as soon as there is a result. */
int stream_unix_fd(const struct stream_unix *dial);

/* 0: *fd is connected, does not block, and is the caller's; EINPROGRESS; or
 * the error of connect(2). */
int stream_unix_result(struct stream_unix *dial, int *fd);

/* At any time; NULL is allowed. */
void stream_unix_end(struct stream_unix *dial);

#endif

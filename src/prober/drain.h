/*
 * drain: takes the service out of rotation while a file exists.
 *
 * The operator's switch (`drain_file`): readiness answers 503 "draining" from
 * at most DRAIN_LOOK_MS after the file was made until as long after it was
 * removed.  The file may lie on a mount that is dead: it is looked for in an
 * offload thread, and the last known state holds.
 *
 * Belongs to the main thread of a worker.
 */
#ifndef HEALTH_DRAIN_H
#define HEALTH_DRAIN_H

#define DRAIN_LOOK_MS 1000

struct board;
struct drain;
struct loop;
struct offload;

/* path is copied; NULL when it is too long or memory ran out. */
struct drain *drain_create(const char *path, struct board *board,
			   struct loop *loop, struct offload *offload);
void drain_destroy(struct drain *drain);

#endif

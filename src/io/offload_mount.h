/*
 * offload_mount: which mount a path is on, without touching the path.
 *
 * Not thread-safe: offload.c calls it with its lock held.
 */
#ifndef HEALTH_OFFLOAD_MOUNT_H
#define HEALTH_OFFLOAD_MOUNT_H

#include <stdint.h>

/*
 * A number for the mount that holds the path, as far as the text of the path
 * tells (links are not followed); never 0.  All paths share one when
 * /proc/self/mountinfo cannot be read, or path is NULL.
 */
uint64_t offload_mount(const char *path);

#endif

#include "config.h"

#include "io/offload_mount.h"

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OFFLOAD_MOUNT_UNKNOWN 1

/* proc_pid_mountinfo(5); the kernel tells when it changes. */
static struct {
	FILE *file;
	char **points; /* n of them */
	size_t n, room;
} offload_mounts;

/* The kernel writes blank, tab, newline and backslash as \040 and so on. */
static void offload_mount_unescape(char *text)
{
	char *to = text;
	unsigned code;

	while (*text) {
		if (text[0] == '\\' && sscanf(text + 1, "%3o", &code) == 1) {
			*to++ = (char)code;
			text += 4;
		} else {
			*to++ = *text++;
		}
	}
	*to = '\0';
}

static void offload_mount_add(const char *line)
{
	char *point = NULL, **points;
	size_t room;

	/* ID, parent, device, root, mount point */
	if (sscanf(line, "%*s %*s %*s %*s %ms", &point) != 1)
		return;
	if (offload_mounts.n == offload_mounts.room) {
		room = offload_mounts.room ? offload_mounts.room * 2 : 32;
		points = realloc(offload_mounts.points, room * sizeof(*points));
		if (!points) {
			free(point);
			return;
		}
		offload_mounts.points = points;
		offload_mounts.room = room;
	}
	offload_mount_unescape(point);
	offload_mounts.points[offload_mounts.n++] = point;
}

static void offload_mount_read(void)
{
	char *line = NULL;
	size_t room = 0;

	while (offload_mounts.n)
		free(offload_mounts.points[--offload_mounts.n]);
	rewind(offload_mounts.file);
	while (getline(&line, &room, offload_mounts.file) > 0)
		offload_mount_add(line);
	free(line);
}

static void offload_mount_refresh(void)
{
	struct pollfd change = { .events = POLLPRI };

	if (!offload_mounts.file) {
		offload_mounts.file = fopen("/proc/self/mountinfo", "re");
		if (offload_mounts.file)
			offload_mount_read();
		return;
	}
	change.fd = fileno(offload_mounts.file);
	if (poll(&change, 1, 0) > 0)
		offload_mount_read();
}

static bool offload_mount_holds(const char *point, const char *path)
{
	size_t len = strlen(point);

	return strncmp(point, path, len) == 0 &&
	       (point[len - 1] == '/' || path[len] == '/' || !path[len]);
}

/* FNV-1a */
static uint64_t offload_mount_hash(const char *text)
{
	uint64_t hash = 0xcbf29ce484222325;

	for (; *text; text++)
		hash = (hash ^ (unsigned char)*text) * 0x100000001b3;
	return hash ? hash : OFFLOAD_MOUNT_UNKNOWN;
}

uint64_t offload_mount(const char *path)
{
	const char *best = NULL;
	size_t i;

	if (!path)
		return OFFLOAD_MOUNT_UNKNOWN;
	offload_mount_refresh();
	/* Of two on the same place, the later one hides the other. */
	for (i = 0; i < offload_mounts.n; i++)
		if (offload_mount_holds(offload_mounts.points[i], path) &&
		    (!best || strlen(offload_mounts.points[i]) >= strlen(best)))
			best = offload_mounts.points[i];
	return best ? offload_mount_hash(best) : OFFLOAD_MOUNT_UNKNOWN;
}

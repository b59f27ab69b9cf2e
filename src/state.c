#include "config.h"

#include "state.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "settings.h"
#include "share.h"

/* Reads a line that the kernel makes; "" when there is none. */
static void state_read_line(char *line, size_t size, const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, line, size - 1);

	line[len > 0 ? len : 0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	if (fd >= 0)
		close(fd);
}

/*
 * Times in the file are those of CLOCK_MONOTONIC: they mean nothing after
 * another boot (random(4)), on another machine that has the same directory,
 * and in another time namespace (time_namespaces(7)).
 */
static void state_salt(char *salt, size_t size)
{
	char boot[64], clock[64] = "";

	state_read_line(boot, sizeof(boot), "/proc/sys/kernel/random/boot_id");
	/* Kernels without such namespaces have one clock. */
	if (readlink("/proc/self/ns/time", clock, sizeof(clock) - 1) < 0)
		clock[0] = '\0';
	snprintf(salt, size, "%s %s %s", PACKAGE_STRING, boot, clock);
}

/* Whether to share, and in which directory; NULL: the one of this user. */
static bool state_wanted(const struct settings *settings,
			 enum state_start start, const char **dir)
{
	const char *state_dir = settings->health.state_dir;

	*dir = NULL;
	if (strcmp(state_dir, "none") == 0)
		return false;
	if (strcmp(state_dir, "auto") == 0)
		return start != STATE_ALONE;
	*dir = state_dir;
	return true;
}

struct share *state_open(const struct settings *settings,
			 enum state_start start)
{
	struct share_options options = { .n = settings->n,
					 .founder = start != STATE_CGI };
	char salt[256], reason[PATH_MAX + 128];
	struct share *share;

	_Static_assert(sizeof(options.identity) == SETTINGS_DIGEST_BYTES,
		       "the digest is no identity");
	if (!state_wanted(settings, start, &options.dir))
		return NULL;
	state_salt(salt, sizeof(salt));
	if (settings_digest(settings, salt, options.identity)) {
		log_warn("state_dir: out of memory; "
			 "this process shares no results");
		return NULL;
	}
	share = share_open(&options, reason, sizeof(reason));
	if (share)
		log_debug("sharing results in %s", share_path(share));
	else
		log_warn("state_dir: %s; this process shares no results",
			 reason);
	return share;
}

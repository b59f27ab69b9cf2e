#include "config.h"

#include "kinds/kinds.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "io/offload.h"
#include "kinds/look.h"

#define FILE_TEXT_BYTES 1024
#define FILE_READ_BYTES (1024 * 1024) /* as much is searched for a text */

struct file_settings {
	struct look_settings look;
	char *path;
	int64_t newer_than_ms;
	int64_t min_size;
	char *contains;
};

struct file_job {
	struct look look;
	char path[PATH_MAX];
	char contains[FILE_TEXT_BYTES + 1];
	int64_t newer_than_ms;
	int64_t min_size;
};

#define FIELD(name) offsetof(struct file_settings, name)

/* clang-format off */
static const struct conf_key file_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "path", CONF_STR, FIELD(path), "", "1", "4095",
	  CONF_REQUIRED | CONF_PATH,
	  "the file that must exist" },
	{ "newer_than", CONF_DURATION, FIELD(newer_than_ms), "0s", "0s", "365d",
	  0, "longest time since it was last written (0s: any)" },
	{ "min_size", CONF_SIZE, FIELD(min_size), "0", "0", "1024G", 0,
	  "smallest size" },
	{ "contains", CONF_STR, FIELD(contains), "", "0", "1024", 0,
	  "text that must stand in its first 1 MB" },
	CONF_END
};
/* clang-format on */

/* ---- in the other thread ---- */

static bool file_end_errno(struct file_job *job)
{
	return look_end_errno(&job->look, "file does not exist", "file");
}

/* "7m12s": two units are enough. */
static void file_format_age(char *to, size_t size, int64_t ms)
{
	static const struct {
		int64_t s, of_next;
		const char *unit, *next_unit;
	} steps[] = {
		{ 86400, 3600, "d", "h" },
		{ 3600, 60, "h", "m" },
		{ 60, 1, "m", "s" },
		{ 1, 0, "s", "" },
	};
	int64_t s = ms / 1000, rest = 0;
	size_t i = 0;

	if (s == 0) {
		snprintf(to, size, "%" PRId64 "ms", ms);
		return;
	}
	while (s < steps[i].s)
		i++;
	if (steps[i].of_next)
		rest = s % steps[i].s / steps[i].of_next;
	snprintf(to, size,
		 rest ? "%" PRId64 "%s%" PRId64 "%s" : "%" PRId64 "%s",
		 s / steps[i].s, steps[i].unit, rest, steps[i].next_unit);
}

/* The wall clock, as are the times of files. */
static int64_t file_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/*
 * The clock is read after stat(2), which may have hung for hours.
 *
 * The clock of a file server may be a little ahead of ours.  A file from
 * further ahead than its allowed age would count as new until then, even if its
 * writer has stopped.
 */
static bool file_age_good(struct file_job *job, const struct stat *status)
{
	int64_t age_ms = file_now_ms() -
			 (int64_t)status->st_mtim.tv_sec * 1000 -
			 status->st_mtim.tv_nsec / 1000000;
	char limit[32], age[32];

	if (job->newer_than_ms == 0)
		return true;
	if (age_ms < -job->newer_than_ms)
		return look_end(&job->look, RESULT_STALE,
				"modification time is in the future");
	if (age_ms <= job->newer_than_ms)
		return true;
	file_format_age(limit, sizeof(limit), job->newer_than_ms);
	file_format_age(age, sizeof(age), age_ms);
	return look_end(&job->look, RESULT_STALE, "older than %s: %s", limit,
			age);
}

static bool file_status_good(struct file_job *job, const struct stat *status)
{
	if (!S_ISREG(status->st_mode))
		return look_end(&job->look, RESULT_MISMATCH,
				"not a regular file");
	if (status->st_size < job->min_size)
		return look_end(&job->look, RESULT_MISMATCH,
				"smaller than %" PRId64 " bytes: %" PRId64,
				job->min_size, (int64_t)status->st_size);
	return file_age_good(job, status);
}

static void file_search(struct file_job *job, int fd)
{
	char *text = malloc(FILE_READ_BYTES);
	size_t len = 0;
	ssize_t n = 1;

	if (!text) {
		look_end(&job->look, RESULT_INTERNAL, "out of memory");
		return;
	}
	while (n && len < FILE_READ_BYTES) {
		n = read(fd, text + len, FILE_READ_BYTES - len);
		if (n > 0)
			len += (size_t)n;
		else if (n < 0 && errno != EINTR)
			break;
	}
	if (n < 0)
		file_end_errno(job);
	else if (memmem(text, len, job->contains, strlen(job->contains)))
		job->look.code = RESULT_OK;
	else
		look_end(&job->look, RESULT_MISMATCH, "text not found");
	free(text);
}

/* Judges and reads one and the same file, whatever the path leads to next. */
static void file_open_and_search(struct file_job *job)
{
	/* Opening a FIFO without O_NONBLOCK waits for a writer. */
	int fd = open(job->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat status;

	if (fd < 0 || fstat(fd, &status))
		file_end_errno(job);
	else if (file_status_good(job, &status))
		file_search(job, fd);
	if (fd >= 0)
		close(fd);
}

static void file_work(void *copy)
{
	struct file_job *job = copy;
	struct stat status;

	job->look.at = job->path;
	/* Without a text to find, no right to read the file is needed. */
	if (stat(job->path, &status))
		file_end_errno(job);
	else if (!file_status_good(job, &status))
		return;
	else if (job->contains[0])
		file_open_and_search(job);
	else
		job->look.code = RESULT_OK;
}

/* ---- in the main thread ---- */

static void file_ask(struct conn *conn)
{
	const struct file_settings *settings = conn_settings(conn);
	struct file_job job = {
		.newer_than_ms = settings->newer_than_ms,
		.min_size = settings->min_size,
	};
	struct offload_order order = { .data = &job,
				       .size = sizeof(job),
				       .path = job.path,
				       .work = file_work };

	snprintf(job.path, sizeof(job.path), "%s", settings->path);
	snprintf(job.contains, sizeof(job.contains), "%s", settings->contains);
	look_ask(conn, &order, file_ask);
}

const struct check_kind check_file = {
	.name = "file",
	.timeout = "1s",
	.help = "looks at a file: its age, its size, a text in it",
	.keys = file_keys,
	.renamed = { "max_age", "newer_than" },
	.settings_size = sizeof(struct file_settings),
	.prepare = look_prepare,
	.dispose = look_dispose,
	.live_refused = look_live_refused,
	.ask = file_ask,
	.close = look_close,
	.step = look_step,
};

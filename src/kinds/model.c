#include "config.h"

#include "kinds/kinds.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#include "io/offload.h"
#include "kinds/look.h"

/* Linux assigns no higher process ID (PID_MAX_LIMIT): a larger number in a
 * marker is something else, such as a time. */
#define MODEL_PID_MAX (4 * 1024 * 1024)
/* The clock of a file server may be behind ours by this much. */
#define MODEL_SKEW_MS 2000

struct model_settings {
	struct look_settings look;
	char *path;
	char *marker;
	char *mapped;
};

struct model_job {
	struct look look;
	char path[PATH_MAX];
	char marker[PATH_MAX];
	char mapped[PATH_MAX];
};

#define FIELD(name) offsetof(struct model_settings, name)

/* clang-format off */
static const struct conf_key model_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "path", CONF_STR, FIELD(path), "", "0", "4095", CONF_PATH,
	  "the model, a file or a directory: must exist and not be empty" },
	{ "marker", CONF_STR, FIELD(marker), "", "0", "4095", CONF_PATH,
	  "written when the model is loaded; the process in it must be alive" },
	{ "mapped", CONF_STR, FIELD(mapped), "", "0", "4095", CONF_PATH,
	  "a model file that the process of the marker must have mapped" },
	CONF_END
};
/* clang-format on */

/* ---- in the other thread: each step says whether to go on ---- */

static bool model_look_at_file(struct model_job *job, const char *path,
			       struct stat *status)
{
	job->look.at = path;
	if (stat(path, status))
		return look_end_errno(&job->look, "model file does not exist",
				      "model file");
	if (!S_ISREG(status->st_mode))
		return look_end(&job->look, RESULT_MISMATCH,
				"model is not a regular file");
	if (status->st_size == 0)
		return look_end(&job->look, RESULT_MISMATCH,
				"model file is empty");
	return true;
}

/* How deep caches of models have their files: snapshots/REVISION/NAME. */
#define MODEL_DEPTH 4

/* A download that was cut off leaves empty files, empty directories, and names
 * that begin with a dot or end in ".incomplete". */
static bool model_is_leftover(const char *name)
{
	const char *end = strrchr(name, '.');

	return name[0] == '.' || (end && strcmp(end, ".incomplete") == 0);
}

/* Whether there is a file with content in the directory, or in one below it. */
static bool model_has_file(DIR *directory, int depth)
{
	const struct dirent *entry;
	struct stat status;
	bool found = false;
	DIR *below;
	int fd;

	while (!found && (entry = readdir(directory))) {
		if (model_is_leftover(entry->d_name) ||
		    fstatat(dirfd(directory), entry->d_name, &status, 0))
			continue;
		found = S_ISREG(status.st_mode) && status.st_size > 0;
		if (!S_ISDIR(status.st_mode) || depth == 0)
			continue;
		fd = openat(dirfd(directory), entry->d_name,
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		below = fd >= 0 ? fdopendir(fd) : NULL;
		if (below) {
			found = model_has_file(below, depth - 1);
			closedir(below);
		} else if (fd >= 0) {
			close(fd);
		}
	}
	return found;
}

static bool model_look_in_directory(struct model_job *job, const char *path)
{
	DIR *directory = opendir(path);
	bool found = false;

	job->look.at = path;
	if (directory) {
		errno = 0;
		found = model_has_file(directory, MODEL_DEPTH);
	}
	if (!directory || (!found && errno == EIO))
		look_end_errno(&job->look, "model directory does not exist",
			       "model directory");
	else if (!found)
		look_end(&job->look, RESULT_MISMATCH,
			 "model directory has no file with content");
	if (directory)
		closedir(directory);
	return found;
}

/* A file, or a directory of files, as model libraries create it. */
static bool model_look_at(struct model_job *job, const char *path)
{
	struct stat status;

	if (stat(path, &status) == 0 && S_ISDIR(status.st_mode))
		return model_look_in_directory(job, path);
	return model_look_at_file(job, path, &status);
}

/* Up to size - 1 bytes of a small file, terminated. */
static ssize_t model_read(const char *path, char *to, size_t size)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -1;
	do {
		n = read(fd, to, size - 1);
	} while (n < 0 && errno == EINTR);
	close(fd);
	to[n > 0 ? n : 0] = '\0';
	return n;
}

/* The number that the text begins with; 0: it cannot be a pid. */
static pid_t model_parse_pid(const char *text)
{
	const char *from = text + strspn(text, " \t\r\n");
	size_t digits = strspn(from, "0123456789");
	long pid;

	if (digits == 0 || digits > 9 ||
	    (from[digits] && !isspace((unsigned char)from[digits])))
		return 0;
	pid = strtol(from, NULL, 10);
	return pid <= MODEL_PID_MAX ? (pid_t)pid : 0;
}

/* What a marker says of the process that wrote it. */
struct model_marker {
	pid_t pid;	    /* 0: nothing */
	long long start;    /* field 22 of proc_pid_stat(5); -1: nothing */
	int64_t written_ms; /* wall clock */
};

static bool model_read_marker(struct model_job *job,
			      struct model_marker *marker)
{
	struct stat status;
	const char *start;
	char text[128];
	int failed;

	job->look.at = job->marker;
	failed = stat(job->marker, &status);
	if (!failed && !S_ISREG(status.st_mode))
		return look_end(&job->look, RESULT_MISMATCH,
				"marker is not a regular file");
	if (failed || model_read(job->marker, text, sizeof(text)) < 0)
		return look_end_errno(
			&job->look,
			"not loaded yet: marker file does not exist",
			"marker file");
	marker->pid = model_parse_pid(text);
	marker->written_ms = (int64_t)status.st_mtim.tv_sec * 1000 +
			     status.st_mtim.tv_nsec / 1000000;
	start = strstr(text, " start=");
	if (start && marker->pid)
		marker->start = strtoll(start + strlen(" start="), NULL, 10);
	return true;
}

/* State and start from /proc/PID/stat; the name before them, in parentheses,
 * may contain any character. 0 and -1: not known (proc(5) mounted with
 * hidepid). */
static void model_read_process(pid_t pid, char *state, long long *start)
{
	char path[64], text[512];
	const char *end;

	*state = 0;
	*start = -1;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	if (model_read(path, text, sizeof(text)) < 0)
		return;
	end = strrchr(text, ')');
	if (end)
		sscanf(end + 1,
		       " %c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
		       "%*s %*s %*s %*s %*s %*s %lld",
		       state, start);
}

/* When a process started, on the wall clock. */
static int64_t model_start_ms(long long start)
{
	struct timespec now, up;

	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	return (int64_t)(now.tv_sec - up.tv_sec) * 1000 +
	       (now.tv_nsec - up.tv_nsec) / 1000000 +
	       start * 1000 / sysconf(_SC_CLK_TCK);
}

/*
 * Whether the process is the one that wrote the marker.  The process ID alone
 * may have been reused, or belong to another PID namespace (another container),
 * whose processes are not visible here.
 */
static bool model_is_writer(struct model_job *job,
			    const struct model_marker *marker, long long start)
{
	int pid = (int)marker->pid;

	if (marker->start >= 0 && start < 0)
		return look_end(&job->look, RESULT_INTERNAL,
				"start of process %d cannot be read", pid);
	if (marker->start >= 0
		    ? marker->start != start
		    : start >= 0 && model_start_ms(start) >
					    marker->written_ms + MODEL_SKEW_MS)
		return look_end(&job->look, RESULT_MISSING,
				"process %d did not write the marker: it "
				"started at another time",
				pid);
	/* The mapped file is a stronger proof. */
	if (marker->start >= 0 || job->mapped[0])
		return true;
	/* This worker, or the process that answers probes. */
	if (pid == getpid() || pid == getppid())
		return look_end(&job->look, RESULT_MISMATCH,
				"process %d of the marker is health.fcgi: "
				"written in another container?",
				pid);
	if (pid == 1)
		return look_end(&job->look, RESULT_MISMATCH,
				"process 1 of the marker may be any "
				"container's: write start=, too");
	return true;
}

static bool model_process_lives(struct model_job *job,
				const struct model_marker *marker)
{
	int pid = (int)marker->pid;
	long long start;
	char state;

	/* EPERM: it exists, and belongs to another user. */
	if (kill(marker->pid, 0) && errno == ESRCH)
		return look_end(&job->look, RESULT_MISSING,
				"process %d of the marker is gone", pid);
	model_read_process(marker->pid, &state, &start);
	if (state == 'Z' || state == 'X')
		return look_end(&job->look, RESULT_MISSING,
				"process %d is a zombie", pid);
	return model_is_writer(job, marker, start);
}

/*
 * Whether a line of /proc/PID/maps is about the file.  On overlayfs and btrfs,
 * stat(2) reports another device than the map, on overlayfs perhaps another
 * inode: there the path counts, and that of a file that was replaced since ends
 * in " (deleted)".
 */
static bool model_line_is(const char *line, const struct stat *status,
			  const char *real_path)
{
	unsigned device_major, device_minor;
	unsigned long long inode;
	int path_at = 0;

	if (sscanf(line, "%*s %*s %*s %x:%x %llu %n", &device_major,
		   &device_minor, &inode, &path_at) < 3 ||
	    inode == 0)
		return false;
	if (inode == status->st_ino && device_major == major(status->st_dev) &&
	    device_minor == minor(status->st_dev))
		return true;
	return path_at && strcmp(line + path_at, real_path) == 0;
}

static bool model_is_mapped(struct model_job *job, pid_t pid,
			    const struct stat *status)
{
	char path[64], real_path[PATH_MAX], *line = NULL;
	bool found = false, broken;
	size_t room = 0;
	ssize_t len;
	FILE *maps;

	if (!realpath(job->mapped, real_path))
		return look_end_errno(&job->look, "model file does not exist",
				      "model file");
	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	maps = fopen(path, "re");
	if (!maps)
		return look_end_errno(&job->look,
				      "process of the marker is gone",
				      "memory map of the process");
	while (!found && (len = getline(&line, &room, maps)) > 0) {
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		found = model_line_is(line, status, real_path);
	}
	free(line);
	/* Another user's map may be opened and then not be read. */
	broken = ferror(maps);
	fclose(maps);
	if (found)
		return true;
	if (broken)
		return look_end(&job->look, RESULT_INTERNAL,
				"memory map of process %d cannot be read",
				(int)pid);
	return look_end(&job->look, RESULT_MISMATCH,
			"model file is not mapped by process %d", (int)pid);
}

/* Whether all that the settings name is as it should be. */
static bool model_look(struct model_job *job)
{
	struct model_marker marker = { .start = -1 };
	struct stat status;

	if ((job->path[0] && !model_look_at(job, job->path)) ||
	    (job->marker[0] && !model_read_marker(job, &marker)) ||
	    (marker.pid && !model_process_lives(job, &marker)))
		return false;
	if (!job->mapped[0])
		return true;
	if (!marker.pid)
		return look_end(&job->look, RESULT_MISMATCH,
				"marker file holds no process id");
	return model_look_at_file(job, job->mapped, &status) &&
	       model_is_mapped(job, marker.pid, &status);
}

static void model_work(void *copy)
{
	struct model_job *job = copy;

	if (model_look(job))
		job->look.code = RESULT_OK;
}

/* ---- in the main thread ---- */

static void model_prepare(struct conf *conf, struct conf_section *section,
			  void *record)
{
	struct model_settings *settings = record;

	look_prepare(conf, section, record);
	if (!settings->path[0] && !settings->marker[0] && !settings->mapped[0])
		conf_mistake(conf, section, NULL,
			     "needs `path`, `marker`, or both and `mapped`");
	if (settings->mapped[0] && !settings->marker[0])
		conf_mistake(conf, section, "mapped",
			     "needs `marker`, a file with the id of the "
			     "process that maps it");
}

static void model_ask(struct conn *conn)
{
	const struct model_settings *settings = conn_settings(conn);
	struct model_job job = { .look.code = RESULT_INTERNAL };
	struct offload_order order = {
		.data = &job,
		.size = sizeof(job),
		.path = settings->path[0] ? job.path : job.marker,
		.work = model_work,
	};

	snprintf(job.path, sizeof(job.path), "%s", settings->path);
	snprintf(job.marker, sizeof(job.marker), "%s", settings->marker);
	snprintf(job.mapped, sizeof(job.mapped), "%s", settings->mapped);
	look_ask(conn, &order, model_ask);
}

const struct check_kind check_model = {
	.name = "model",
	.timeout = "1s",
	.help = "looks whether a local model is loaded by its process",
	.keys = model_keys,
	.settings_size = sizeof(struct model_settings),
	.prepare = model_prepare,
	.dispose = look_dispose,
	.live_refused = look_live_refused,
	.ask = model_ask,
	.close = look_close,
	.step = look_step,
};

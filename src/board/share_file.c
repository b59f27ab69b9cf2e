#include "config.h"

#include "board/share_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the directory of a user is created: the first of these that exists. */
static const char *const share_file_roots[] = { "/dev/shm", "/tmp" };

/* ---- SIGBUS ---- */

/* The one mapping of this process, for the handler. */
static struct {
	char *memory;
	size_t size;
	atomic_bool lost;
} share_file_mapped;

static void share_file_on_bus(int number, siginfo_t *info, void *context)
{
	char *at = info->si_addr, *memory = share_file_mapped.memory;
	size_t size = share_file_mapped.size;
	int saved = errno;

	(void)context;
	if (memory && at >= memory && at < memory + size &&
	    mmap(memory, size, PROT_READ | PROT_WRITE,
		 MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == memory) {
		atomic_store(&share_file_mapped.lost, true);
		errno = saved;
		return;
	}
	/* Not our mapping: the access is repeated and ends the program. */
	signal(number, SIG_DFL);
}

static void share_file_guard(const struct share_file *file)
{
	struct sigaction action = { .sa_sigaction = share_file_on_bus,
				    .sa_flags = SA_SIGINFO };

	share_file_mapped.memory = file->memory;
	share_file_mapped.size = file->size;
	atomic_store(&share_file_mapped.lost, false);
	sigaction(SIGBUS, &action, NULL);
}

/* ---- the directory ---- */

static int share_file_say(char *reason, size_t size, const char *path,
			  const char *words)
{
	snprintf(reason, size, "%s: %s", path, words);
	return -1;
}

static int share_file_say_errno(char *reason, size_t size, const char *path)
{
	return share_file_say(reason, size, path, strerror(errno));
}

/* A file that others could write or read is not safe. */
static const char *share_file_unsafe(const struct stat *status)
{
	if (status->st_uid != geteuid())
		return "belongs to another user";
	if (status->st_mode & 077)
		return "other users have rights on it; remove them (chmod "
		       "go-rwx)";
	return NULL;
}

/* Its descriptor. */
static int share_file_open_dir(const char *dir, bool make, char *reason,
			       size_t size)
{
	const char *wrong;
	struct stat status;
	int fd;

	if (make && mkdir(dir, 0700) && errno != EEXIST)
		return share_file_say_errno(reason, size, dir);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return share_file_say_errno(reason, size, dir);
	wrong = fstat(fd, &status) ? strerror(errno)
				   : share_file_unsafe(&status);
	if (!wrong)
		return fd;
	close(fd);
	return share_file_say(reason, size, dir, wrong);
}

/* The directory; own: room for the one that stands for NULL. */
static const char *share_file_dir(const char *dir, char *own, size_t size)
{
	size_t i = 0, last = sizeof(share_file_roots) / sizeof(char *) - 1;

	if (dir)
		return dir;
	while (i < last && access(share_file_roots[i], W_OK | X_OK))
		i++;
	snprintf(own, size, "%s/health-fcgi-%" PRIuMAX, share_file_roots[i],
		 (uintmax_t)geteuid());
	return own;
}

/* ---- the file ---- */

/* Fills an empty file; -1 with errno. */
static int share_file_fill(const struct share_file *file, int fd)
{
	void *memory;

	errno = posix_fallocate(fd, 0, (off_t)file->size);
	if (errno)
		return -1;
	memory = mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
		      0);
	if (memory == MAP_FAILED)
		return -1;
	file->fill(memory, file->arg);
	return munmap(memory, file->size);
}

/*
 * Makes the file and gives it its name when it is whole, unless another process
 * was faster, which is as good.  Until then it has none (open(2), O_TMPFILE):
 * a maker that is killed leaves nothing behind.  -1 with errno.
 */
static int share_file_make(const struct share_file *file, int dir_fd)
{
	int fd, made = -1, error;
	char own[64];

	fd = openat(dir_fd, ".", O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
	if (fd < 0)
		return -1;
	snprintf(own, sizeof(own), "/proc/self/fd/%d", fd);
	if (share_file_fill(file, fd) == 0)
		made = linkat(AT_FDCWD, own, dir_fd, file->name,
			      AT_SYMLINK_FOLLOW);
	error = errno;
	close(fd);
	errno = error;
	return made == 0 || error == EEXIST ? 0 : -1;
}

/* O_NONBLOCK: opening a FIFO would wait. */
static int share_file_find(int dir_fd, const char *name)
{
	return openat(dir_fd, name,
		      O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* Why the file that was found must not be used; NULL: it may be. */
static const char *share_file_wrong(const struct share_file *file, int fd)
{
	_Alignas(max_align_t) char head[SHARE_FILE_HEAD_BYTES];
	struct stat status;
	const char *unsafe;

	if (fstat(fd, &status))
		return strerror(errno);
	if (!S_ISREG(status.st_mode))
		return "is not a regular file; remove it";
	unsafe = share_file_unsafe(&status);
	if (unsafe)
		return unsafe;
	if ((uintmax_t)status.st_size != file->size ||
	    (file->ours && (pread(fd, head, sizeof(head), 0) != sizeof(head) ||
			    !file->ours(head, file->arg))))
		return "was not made by this program; remove it";
	return NULL;
}

/* Opens what is safe to map: its descriptor, or -1 and a sentence. */
static int share_file_take(struct share_file *file, char *reason,
			   size_t reason_size)
{
	char own_dir[64];
	const char *dir = share_file_dir(file->dir, own_dir, sizeof(own_dir));
	const char *wrong;
	int dir_fd, fd;

	if (!file->name) {
		snprintf(file->path, sizeof(file->path), "memory");
		fd = memfd_create("health-fcgi", MFD_CLOEXEC);
		return fd >= 0 ? fd
			       : share_file_say_errno(reason, reason_size,
						      file->path);
	}
	dir_fd = share_file_open_dir(dir, file->fill != NULL, reason,
				     reason_size);
	if (dir_fd < 0)
		return -1;
	snprintf(file->path, sizeof(file->path), "%s/%s", dir, file->name);
	fd = share_file_find(dir_fd, file->name);
	if (fd < 0 && errno == ENOENT && file->fill &&
	    share_file_make(file, dir_fd) == 0)
		fd = share_file_find(dir_fd, file->name);
	wrong = fd < 0 ? strerror(errno) : share_file_wrong(file, fd);
	close(dir_fd);
	if (!wrong)
		return fd;
	if (fd >= 0)
		close(fd);
	return share_file_say(reason, reason_size, file->path, wrong);
}

int share_file_open(struct share_file *file, char *reason, size_t reason_size)
{
	int fd = share_file_take(file, reason, reason_size), how = MAP_SHARED;
	void *memory;

	if (fd < 0)
		return -1;
	if (file->memory)
		how |= MAP_FIXED;
	/* Not the empty file: RLIMIT_FSIZE would limit it. */
	if (!file->name)
		how |= MAP_ANONYMOUS;
	memory = mmap(file->memory, file->size, PROT_READ | PROT_WRITE, how,
		      file->name ? fd : -1, 0);
	if (memory == MAP_FAILED) {
		share_file_say_errno(reason, reason_size, file->path);
		close(fd);
		return -1;
	}
	/* Other threads use the descriptor: its number stays. */
	if (file->memory && dup3(fd, file->fd, O_CLOEXEC) >= 0)
		close(fd);
	else
		file->fd = fd;
	file->memory = memory;
	if (!file->name)
		file->fill(memory, file->arg);
	share_file_guard(file);
	return 0;
}

/* The first bytes of a file; false: it is not one of ours. */
static bool share_file_head(int dir_fd, const char *name, void *head,
			    size_t size)
{
	int fd = share_file_find(dir_fd, name);
	struct stat status;
	bool whole;

	if (fd < 0)
		return false;
	whole = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
		!share_file_unsafe(&status) &&
		pread(fd, head, size, 0) == (ssize_t)size;
	close(fd);
	return whole;
}

void share_file_each(const char *dir, size_t size,
		     void (*found)(void *arg, const char *path,
				   const void *head),
		     void *arg)
{
	char own_dir[64], path[PATH_MAX], reason[PATH_MAX + 128];
	void *head = malloc(size);
	struct dirent *entry;
	DIR *listing = NULL;
	int dir_fd;

	dir = share_file_dir(dir, own_dir, sizeof(own_dir));
	dir_fd = share_file_open_dir(dir, false, reason, sizeof(reason));
	if (dir_fd >= 0)
		listing = fdopendir(dir_fd);
	while (head && listing && (entry = readdir(listing))) {
		if (!share_file_head(dir_fd, entry->d_name, head, size))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name);
		found(arg, path, head);
	}
	if (listing)
		closedir(listing);
	else if (dir_fd >= 0)
		close(dir_fd);
	free(head);
}

void share_file_close(struct share_file *file)
{
	share_file_mapped.memory = NULL;
	munmap(file->memory, file->size);
	/* This also releases the locks. */
	close(file->fd);
}

/* Whether the name leads to another file, or to none; false when unknown. */
static bool share_file_is_renamed(const struct share_file *file,
				  const struct stat *ours)
{
	struct stat there;

	if (lstat(file->path, &there))
		return errno == ENOENT || errno == ENOTDIR;
	return ours->st_dev != there.st_dev || ours->st_ino != there.st_ino;
}

void share_file_remove(const struct share_file *file)
{
	struct stat ours;

	if (file->name && fstat(file->fd, &ours) == 0 &&
	    !share_file_is_renamed(file, &ours))
		unlink(file->path);
}

bool share_file_is_gone(const struct share_file *file)
{
	struct stat status;

	return file->name && fstat(file->fd, &status) == 0 &&
	       status.st_nlink == 0;
}

bool share_file_intact(const struct share_file *file, char *reason,
		       size_t reason_size)
{
	struct stat status;

	if (!file->name)
		return true;
	if (fstat(file->fd, &status))
		share_file_say_errno(reason, reason_size, file->path);
	else if (status.st_nlink == 0 || share_file_is_renamed(file, &status))
		share_file_say(reason, reason_size, file->path, "was removed");
	else if ((uintmax_t)status.st_size != file->size ||
		 atomic_load(&share_file_mapped.lost))
		share_file_say(reason, reason_size, file->path, "was cut");
	else
		return true;
	return false;
}

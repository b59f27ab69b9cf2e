/*
 * shim: faults that a test cannot get from the kernel: a wrong wall clock, a
 * file system that hangs, a disk that does not take a log any more.  Preloaded
 * (LD_PRELOAD) into the program.
 *
 * The directory SHIM_DIR holds the orders, and is read again on each call:
 *
 *	clock	seconds to add to the wall clock
 *	hang	a path: looking at, opening or connecting to what begins so
 *		does not come back, until this file is gone
 *	late	a path: what stat(2) finds there is from before, and comes back
 *		when this file is gone
 *	stuck	while it is there, writing to descriptor 2 does not come back
 */
#define _GNU_SOURCE
/* As the program is built: its calls lead to stat64() and open64(), which is
 * what our own functions are called by this, too. */
#define _FILE_OFFSET_BITS 64
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Past our own open(), which must not ask itself. */
static ssize_t shim_order(const char *name, char *text, size_t size)
{
	const char *dir = getenv("SHIM_DIR");
	char path[512];
	ssize_t len;
	int fd;

	text[0] = '\0';
	if (!dir)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	len = syscall(SYS_read, fd, text, size - 1);
	syscall(SYS_close, fd);
	text[len > 0 ? len : 0] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return len;
}

static void shim_nap(void)
{
	const struct timespec nap = { .tv_nsec = 10000000 };

	nanosleep(&nap, NULL);
}

static void shim_hang(const char *order, const char *path)
{
	char begin[512];

	while (path && shim_order(order, begin, sizeof(begin)) > 0 &&
	       strncmp(path, begin, strlen(begin)) == 0)
		shim_nap();
}

/* ---- the clock ---- */

static time_t shim_step(void)
{
	char text[32];

	if (shim_order("clock", text, sizeof(text)) < 0)
		return 0;
	return (time_t)strtol(text, NULL, 10);
}

int clock_gettime(clockid_t id, struct timespec *now)
{
	int result = (int)syscall(SYS_clock_gettime, id, now);

	if (result == 0 &&
	    (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE))
		now->tv_sec += shim_step();
	return result;
}

time_t time(time_t *to)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	if (to)
		*to = now.tv_sec;
	return now.tv_sec;
}

int gettimeofday(struct timeval *restrict to, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	to->tv_sec = now.tv_sec;
	to->tv_usec = now.tv_nsec / 1000;
	return 0;
}

/* ---- files ---- */

int stat(const char *restrict path, struct stat *restrict status)
{
	int (*real)(const char *, struct stat *) = dlsym(RTLD_NEXT, "stat64");
	int result;

	shim_hang("hang", path);
	result = real(path, status);
	shim_hang("late", path);
	return result;
}

int access(const char *path, int mode)
{
	int (*real)(const char *, int) = dlsym(RTLD_NEXT, "access");

	shim_hang("hang", path);
	return real(path, mode);
}

int open(const char *path, int flags, ...)
{
	int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
	mode_t mode;
	va_list args;

	va_start(args, flags);
	mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(args, mode_t) : 0;
	va_end(args);
	shim_hang("hang", path);
	return real(path, flags, mode);
}

/* The program has a connect() of its own, which comes here. */
int connect(int fd, __CONST_SOCKADDR_ARG address, socklen_t len)
{
	int (*real)(int, __CONST_SOCKADDR_ARG, socklen_t);

	real = dlsym(RTLD_NEXT, "connect");
	if (address.__sockaddr__->sa_family == AF_UNIX)
		shim_hang("hang", address.__sockaddr_un__->sun_path);
	return real(fd, address, len);
}

ssize_t write(int fd, const void *from, size_t size)
{
	ssize_t (*real)(int, const void *, size_t) = dlsym(RTLD_NEXT, "write");
	char text[8];

	while (fd == STDERR_FILENO && shim_order("stuck", text, 8) >= 0)
		shim_nap();
	return real(fd, from, size);
}

#include "config.h"

#include "front/listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
/* The kernel cuts this to net.core.somaxconn (listen(2)). */
#define LISTEN_BACKLOG 4096
#define LISTEN_SYSTEMD_FD 3
/* How often, every 10 ms, to try for the lock of another starting instance. */
#define LISTEN_LOCK_TRIES 100

static bool listen_is_listening(int fd)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	/* FCGX_IsCGI() would accept any unconnected socket. */
	getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len);
	return listening;
}

/* The gate must never wait in accept(2). */
static int listen_take(struct listener *listener, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	*listener = (struct listener){ .fd = fd };
	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* Process 1 ends with the machine or the container, and 0 is outside our
 * namespace. A parent that had SIGHUP ignored (nohup(1)) wants us to outlive
 * it. */
static pid_t listen_parent(void)
{
	pid_t parent = getppid();
	struct sigaction hangup;

	if (parent <= 1 || sigaction(SIGHUP, NULL, &hangup) ||
	    hangup.sa_handler == SIG_IGN)
		return 0;
	return parent;
}

/* mod_fcgid names its sockets PID.NUMBER (proc_unix.c there), and removes every
 * other trace of itself. */
static bool listen_is_mod_fcgid(int fd)
{
	struct sockaddr_un address = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(address) - 1; /* so that it ends */
	const char *name;
	size_t pid;

	if (getsockname(fd, (struct sockaddr *)&address, &len) ||
	    address.sun_family != AF_UNIX)
		return false;
	name = strrchr(address.sun_path, '/');
	name = name ? name + 1 : "";
	pid = strspn(name, "0123456789");
	name += pid;
	return pid > 0 && *name++ == '.' && *name &&
	       name[strspn(name, "0123456789")] == '\0';
}

int listen_inherit(struct listener *listener)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	if (listen_is_listening(STDIN_FILENO)) {
		if (listen_take(listener, STDIN_FILENO))
			return -1;
		listener->parent = listen_parent();
		listener->many = listen_is_mod_fcgid(listener->fd);
		return 0;
	}
	if (pid && fds && strtol(pid, NULL, 10) == getpid() &&
	    strtol(fds, NULL, 10) > 0 && listen_is_listening(LISTEN_SYSTEMD_FD))
		return listen_take(listener, LISTEN_SYSTEMD_FD);
	return -1;
}

/* Whether a socket can be created there: no file exists, or one that no process
 * serves any more. Otherwise errno says why not. */
static bool listen_is_free(const struct sockaddr_un *address)
{
	struct stat st;
	bool refused;
	int fd;

	if (lstat(address->sun_path, &st))
		return errno == ENOENT;
	errno = EADDRINUSE;
	if (!S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	refused = connect(fd, (const struct sockaddr *)address,
			  sizeof(*address)) < 0 &&
		  errno == ECONNREFUSED;
	close(fd);
	errno = EADDRINUSE;
	return refused;
}

/*
 * Two starting instances must not both find a stale socket and replace it: the
 * first would go on without ever being found. The lock is on the directory,
 * since a lock file would stay behind. If the lock is held longer than a start
 * takes, the holder is not a starting instance; stop waiting. A directory that
 * cannot be locked (not readable, on NFS) is used without a lock.
 */
static int listen_lock(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = ".";
	int fd, i;

	if (slash)
		snprintf(dir, sizeof(dir), "%.*s",
			 slash == path ? 1 : (int)(slash - path), path);
	fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (i = 0; fd >= 0 && i < LISTEN_LOCK_TRIES; i++) {
		if (flock(fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
			break;
		poll(NULL, 0, 10);
	}
	return fd;
}

/* Removes a path, unless NULL, and closes a descriptor, unless -1; errno stays.
 * Always -1. */
static int listen_drop(int fd, const char *path)
{
	int saved = errno;

	if (path)
		unlink(path);
	if (fd >= 0)
		close(fd);
	errno = saved;
	return -1;
}

static int listen_bind(const void *address, socklen_t len)
{
	const struct sockaddr *at = address;
	int fd = socket(at->sa_family,
			SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1;

	if (fd >= 0 && at->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (fd >= 0 && bind(fd, at, len) == 0 &&
	    listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	return listen_drop(fd, NULL);
}

/*
 * Creates the socket beside its final name and renames it once it listens:
 * under the final name a client could find it earlier, and connecting would be
 * refused. The temporary name, which ss(8) keeps showing, is always the same,
 * so that a leftover of a SIGKILL is found and removed.
 */
static int listen_put(struct listener *listener,
		      const struct sockaddr_un *address)
{
	struct sockaddr_un beside = *address;
	size_t end = strlen(address->sun_path);
	struct stat st;
	int fd;

	/* One byte longer, or another last byte when the name is full. */
	if (end + 1 == sizeof(beside.sun_path))
		end--;
	beside.sun_path[end] = address->sun_path[end] == '~' ? '+' : '~';
	if (!listen_is_free(address) || !listen_is_free(&beside))
		return -1;
	unlink(beside.sun_path);
	fd = listen_bind(&beside, sizeof(beside));
	if (fd < 0)
		return -1;
	if (lstat(beside.sun_path, &st) == 0 &&
	    rename(beside.sun_path, address->sun_path) == 0) {
		memcpy(listener->path, address->sun_path,
		       sizeof(listener->path));
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
		return fd;
	}
	return listen_drop(fd, beside.sun_path);
}

static enum listen_outcome listen_unix(struct listener *listener,
				       const char *path, unsigned mode)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	mode_t before;
	int lock;

	if (!path[0] || strlen(path) >= sizeof(address.sun_path)) {
		snprintf(listener->reason, sizeof(listener->reason),
			 "the path of the socket must be 1 to %zu bytes long",
			 sizeof(address.sun_path) - 1);
		return LISTEN_BAD_ADDRESS;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	lock = listen_lock(path);
	/* The mode is never wider than configured, not even for a moment. */
	before = umask((mode_t)(~mode & 0777));
	listener->fd = listen_put(listener, &address);
	umask(before);
	listen_drop(lock, NULL);
	return LISTEN_OPEN;
}

/* Splits HOST:PORT; the port, or -1. */
static int listen_split(const char *where, char *host, size_t size)
{
	const char *colon = strrchr(where, ':');
	size_t len;
	char *end;
	long port;

	if (!colon)
		return -1;
	len = (size_t)(colon - where);
	if (len >= 2 && where[0] == '[' && colon[-1] == ']') {
		where++;
		len -= 2;
	}
	if (len == 0 || len >= size)
		return -1;
	memcpy(host, where, len);
	host[len] = '\0';
	/* strtol(3) accepts a leading blank and a sign. */
	if (colon[1] < '0' || colon[1] > '9')
		return -1;
	port = strtol(colon + 1, &end, 10);
	return *end || port < 1 || port > 65535 ? -1 : (int)port;
}

static enum listen_outcome listen_tcp(struct listener *listener,
				      const char *where)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	char host[64];
	int port = listen_split(where, host, sizeof(host));

	in.sin_port = in6.sin6_port = htons((uint16_t)port);
	if (port < 0) {
		snprintf(listener->reason, sizeof(listener->reason),
			 "write unix:PATH, ADDRESS:PORT or [ADDRESS]:PORT");
		return LISTEN_BAD_ADDRESS;
	}
	if (!strcmp(host, "localhost"))
		snprintf(host, sizeof(host), "127.0.0.1");
	if (!strcmp(host, "*"))
		snprintf(host, sizeof(host), "0.0.0.0");
	if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
		listener->fd = listen_bind(&in, sizeof(in));
	} else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		listener->fd = listen_bind(&in6, sizeof(in6));
	} else {
		snprintf(listener->reason, sizeof(listener->reason),
			 "\"%s\" is not an IP address; host names are not "
			 "supported",
			 host);
		return LISTEN_BAD_ADDRESS;
	}
	return LISTEN_OPEN;
}

enum listen_outcome listen_open(struct listener *listener, const char *where,
				unsigned mode)
{
	const char *path = strncmp(where, "unix:", 5) ? NULL : where + 5;
	enum listen_outcome outcome;

	*listener = (struct listener){ .fd = -1 };
	outcome = path ? listen_unix(listener, path, mode)
		       : listen_tcp(listener, where);
	if (outcome != LISTEN_OPEN || listener->fd >= 0)
		return outcome;
	snprintf(listener->reason, sizeof(listener->reason),
		 "cannot listen on %s: %s", path ? path : where,
		 strerror(errno));
	return LISTEN_FAILED;
}

void listen_leave(struct listener *listener)
{
	struct stat st;
	int lock;

	if (!listener->path[0])
		return;
	/* No successor may replace the file between the check and the removal.
	 */
	lock = listen_lock(listener->path);
	if (lstat(listener->path, &st) == 0 && st.st_dev == listener->dev &&
	    st.st_ino == listener->ino)
		unlink(listener->path);
	listen_drop(lock, NULL);
	listener->path[0] = '\0';
}

/* ---- the end ---- */

/*
 * PR_SET_PDEATHSIG is not used: its signal is sent when the thread that forked
 * us ends, and a parent with threads may go on without it. Polling getppid()
 * would be too slow: a restarted lighttpd connects to the socket that it used
 * before, and while a process still serves it, lighttpd relies on that one and
 * never starts another. So we must be gone before lighttpd is back.
 * (pidfd_open(2) needs Linux 5.3; without it, the parent is not watched.)
 */
static int listen_watch_parent(pid_t parent)
{
	int fd = pidfd_open(parent, 0);

	/* The process ID may belong to another process by now. */
	if (fd >= 0 && getppid() != parent) {
		close(fd);
		fd = -1;
	}
	return fd;
}

int listen_wait(pid_t parent, const sigset_t *signals,
		const struct listen_chore *chore)
{
	/* The first descriptor only tells that there is a signal. */
	struct pollfd fds[] = {
		{ .fd = signalfd(-1, signals, SFD_CLOEXEC), .events = POLLIN },
		{ .fd = chore->fd, .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};
	int64_t settled_ms = clock_ms() + LISTEN_SETTLED_MS;
	const struct timespec now = { .tv_sec = 0 };
	int number = 0;

	for (;;) {
		int wait_ms = chore->turn(chore->arg);

		if (parent && clock_ms() >= settled_ms) {
			fds[2].fd = listen_watch_parent(parent);
			parent = 0;
		}
		poll(fds, sizeof(fds) / sizeof(*fds), wait_ms);
		if (fds[2].revents)
			break;
		number = sigtimedwait(signals, NULL, &now);
		if (number > 0)
			break;
		number = 0;
	}
	if (fds[2].fd >= 0)
		close(fds[2].fd);
	if (fds[0].fd >= 0)
		close(fds[0].fd);
	return number;
}

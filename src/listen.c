#include "config.h"

#include "listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel cuts this to net.core.somaxconn (listen(2)). */
#define LISTEN_BACKLOG 4096
#define LISTEN_SYSTEMD_FD 3

static bool listen_is_listening(int fd)
{
	int listening = 0;
	socklen_t len = sizeof(listening);

	/* Exact, where FCGX_IsCGI() takes any unconnected socket for one. */
	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listening, &len) ==
		       0 &&
	       listening;
}

/* The gate must never wait in accept(2). */
static int listen_take(struct listener *listener, int fd)
{
	int flags = fcntl(fd, F_GETFL);

	listener->path[0] = '\0';
	listener->fd = fd;
	return flags < 0 ? -1 : fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

int listen_inherit(struct listener *listener)
{
	const char *pid = getenv("LISTEN_PID"), *fds = getenv("LISTEN_FDS");

	if (listen_is_listening(STDIN_FILENO))
		return listen_take(listener, STDIN_FILENO);
	if (pid && fds && strtol(pid, NULL, 10) == getpid() &&
	    strtol(fds, NULL, 10) > 0 && listen_is_listening(LISTEN_SYSTEMD_FD))
		return listen_take(listener, LISTEN_SYSTEMD_FD);
	return -1;
}

/* Whether the socket file is a left-over: there, and nobody answers. */
static bool listen_is_stale(const struct sockaddr_un *address)
{
	struct stat st;
	bool stale;
	int fd;

	if (lstat(address->sun_path, &st) || !S_ISSOCK(st.st_mode))
		return false;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return false;
	stale = connect(fd, (const struct sockaddr *)address,
			sizeof(*address)) < 0 &&
		errno == ECONNREFUSED;
	close(fd);
	return stale;
}

static int listen_bind(const struct sockaddr *address, socklen_t len)
{
	int fd, one = 1, saved;

	fd = socket(address->sa_family,
		    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -1;
	if (address->sa_family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, address, len) == 0 && listen(fd, LISTEN_BACKLOG) == 0)
		return fd;
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int listen_unix(struct listener *listener, const char *path,
		       unsigned mode, char *reason, size_t reason_size)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct stat st;
	mode_t before;

	if (!path[0] || strlen(path) >= sizeof(address.sun_path)) {
		snprintf(reason, reason_size,
			 "the path of the socket must have 1 to %zu bytes",
			 sizeof(address.sun_path) - 1);
		return -1;
	}
	memcpy(address.sun_path, path, strlen(path) + 1);
	if (listen_is_stale(&address))
		unlink(path);
	/* Never open wider than asked for, not even for a moment. */
	before = umask((mode_t)(~mode & 0777));
	listener->fd = listen_bind((struct sockaddr *)&address,
				   sizeof(address));
	umask(before);
	if (listener->fd < 0) {
		snprintf(reason, reason_size, "cannot listen on %s: %s", path,
			 strerror(errno));
		return -1;
	}
	if (lstat(path, &st) == 0) {
		memcpy(listener->path, address.sun_path,
		       sizeof(listener->path));
		listener->dev = st.st_dev;
		listener->ino = st.st_ino;
	}
	return 0;
}

/* Splits HOST:PORT; the port, or -1. */
static int listen_split(const char *where, char *host, size_t size)
{
	const char *colon = strrchr(where, ':');
	size_t len;
	char *end;
	long port;

	if (!colon || !colon[1])
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
	port = strtol(colon + 1, &end, 10);
	return *end || port < 1 || port > 65535 ? -1 : (int)port;
}

static int listen_tcp(struct listener *listener, const char *where,
		      char *reason, size_t reason_size)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	char host[64];
	int port = listen_split(where, host, sizeof(host)), fd;

	in.sin_port = in6.sin6_port = htons((uint16_t)port);
	if (port < 0) {
		snprintf(reason, reason_size,
			 "write unix:PATH, ADDRESS:PORT or [ADDRESS]:PORT");
		return -1;
	}
	if (!strcmp(host, "localhost"))
		snprintf(host, sizeof(host), "127.0.0.1");
	if (!strcmp(host, "*"))
		snprintf(host, sizeof(host), "0.0.0.0");
	if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
		fd = listen_bind((struct sockaddr *)&in, sizeof(in));
	} else if (inet_pton(AF_INET6, host, &in6.sin6_addr) == 1) {
		fd = listen_bind((struct sockaddr *)&in6, sizeof(in6));
	} else {
		snprintf(reason, reason_size,
			 "\"%s\" is not an address; names are not looked up",
			 host);
		return -1;
	}
	if (fd < 0)
		snprintf(reason, reason_size, "cannot listen on %s: %s", where,
			 strerror(errno));
	listener->fd = fd;
	return fd < 0 ? -1 : 0;
}

int listen_open(struct listener *listener, const char *where, unsigned mode,
		char *reason, size_t reason_size)
{
	listener->path[0] = '\0';
	if (!strncmp(where, "unix:", 5))
		return listen_unix(listener, where + 5, mode, reason,
				   reason_size);
	return listen_tcp(listener, where, reason, reason_size);
}

void listen_close(struct listener *listener)
{
	struct stat st;

	if (listener->path[0] && lstat(listener->path, &st) == 0 &&
	    st.st_dev == listener->dev && st.st_ino == listener->ino)
		unlink(listener->path);
	close(listener->fd);
}

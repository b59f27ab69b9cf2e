#include "config.h"

#include "front/parent.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

/*
 * Not PR_SET_PDEATHSIG: that signal comes when the thread ends that forked us,
 * and a parent with threads may go on without it. Not a look at getppid() now
 * and then: a restarted lighttpd connects to the socket that it used before,
 * and while a process still serves it, lighttpd relies on that one and never
 * starts another. So we must be gone before lighttpd is back. (pidfd_open(2)
 * needs Linux 5.3; without it, the parent is not watched.)
 */
static int parent_open(pid_t parent)
{
	int fd = pidfd_open(parent, 0);

	/* The number may be that of another process by now. */
	if (fd >= 0 && getppid() != parent) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* False: a signal came. When the process is stopped and continued, or traced,
 * poll(2) may return EINTR: then wait on. */
static bool parent_settled(struct pollfd *signals)
{
	int n;

	do
		n = poll(signals, 1, PARENT_SETTLED_MS);
	while (n < 0 && errno == EINTR);
	return n == 0;
}

int parent_wait(pid_t parent, const sigset_t *signals)
{
	struct pollfd fds[2] = {
		{ .fd = signalfd(-1, signals, SFD_CLOEXEC), .events = POLLIN },
		{ .fd = -1, .events = POLLIN },
	};
	int number = 0;

	/* The descriptor only tells that there is a signal. */
	if (fds[0].fd >= 0) {
		if (parent && parent_settled(fds))
			fds[1].fd = parent_open(parent);
		while (!fds[0].revents && !fds[1].revents)
			poll(fds, 2, -1);
	}
	if (fds[0].fd < 0 || fds[0].revents)
		while (sigwait(signals, &number))
			continue;
	if (fds[1].fd >= 0)
		close(fds[1].fd);
	if (fds[0].fd >= 0)
		close(fds[0].fd);
	return number;
}

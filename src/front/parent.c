#include "config.h"

#include "front/parent.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <sys/pidfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

/*
 * Not PR_SET_PDEATHSIG, which comes when the thread ends that has forked us,
 * and a parent with threads may go on without that one.  Not a look at
 * getppid() now and then, either: lighttpd, when it is started again, connects
 * to the socket that it was started with before, and if somebody is still
 * there, it relies on him and never starts another one.  So we must be gone
 * before he is back.  (pidfd_open(2) needs Linux 5.3; without it, nobody is
 * watched.)
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

/* False: there is a signal.  Being stopped and continued, or traced, may
 * interrupt poll(2): that is no reason never to watch the parent. */
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

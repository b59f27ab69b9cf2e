#include "config.h"

#include "io/stream_unix.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "io/offload.h"

/* Shared with the thread; freed by whichever lets go of it last. */
struct stream_unix {
	atomic_int users;
	atomic_int error; /* EINPROGRESS until there is a result */
	int fd;		  /* -1: none; the caller's once it was taken */
	int event_fd;
	struct sockaddr_un address;
};

static void stream_unix_release(struct stream_unix *dial)
{
	if (atomic_fetch_sub(&dial->users, 1) > 1)
		return;
	if (dial->fd >= 0)
		close(dial->fd);
	close(dial->event_fd);
	free(dial);
}

static void stream_unix_work(void *copy)
{
	struct stream_unix *dial = *(struct stream_unix **)copy;
	const uint64_t one = 1;
	int error = 0;

	dial->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			  0);
	if (dial->fd < 0 ||
	    connect(dial->fd, (const struct sockaddr *)&dial->address,
		    sizeof(dial->address)))
		error = errno;
	atomic_store(&dial->error, error);
	while (write(dial->event_fd, &one, sizeof(one)) < 0 && errno == EINTR)
		continue;
}

static void stream_unix_discard(void *copy)
{
	stream_unix_release(*(struct stream_unix **)copy);
}

static void stream_unix_done(void *arg, const void *copy)
{
	(void)copy;
	stream_unix_release(arg);
}

struct stream_unix *stream_unix_start(struct offload *offload, const char *path)
{
	struct stream_unix *dial = calloc(1, sizeof(*dial));
	struct {
		struct stream_unix *dial;
		char path[sizeof(dial->address.sun_path)];
	} data = { .dial = dial };
	const struct offload_order order = { .data = &data,
					     .size = sizeof(data),
					     .path = data.path,
					     .work = stream_unix_work,
					     .discard = stream_unix_discard };
	size_t len = strlen(path);
	int error = ENAMETOOLONG;

	if (!dial)
		return NULL;
	dial->fd = -1;
	dial->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (len >= sizeof(data.path) || dial->event_fd < 0)
		goto fail;
	memcpy(data.path, path, len + 1);
	dial->address.sun_family = AF_UNIX;
	memcpy(dial->address.sun_path, path, len + 1);
	atomic_init(&dial->users, 2);
	atomic_init(&dial->error, EINPROGRESS);
	error = ENOMEM; /* or no thread: EAGAIN would speak of the peer */
	if (offload_start(offload, &order, stream_unix_done, dial))
		return dial;
fail:
	if (dial->event_fd >= 0)
		close(dial->event_fd);
	else
		error = EMFILE;
	free(dial);
	errno = error;
	return NULL;
}

int stream_unix_fd(const struct stream_unix *dial)
{
	return dial->event_fd;
}

int stream_unix_result(struct stream_unix *dial, int *fd)
{
	int error = atomic_load(&dial->error);

	if (error)
		return error;
	*fd = dial->fd;
	dial->fd = -1;
	return 0;
}

void stream_unix_end(struct stream_unix *dial)
{
	if (dial)
		stream_unix_release(dial);
}

#include "config.h"

#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Up to size bytes, fewer at the end of the file; -1: errno says why. */
static ssize_t conf_slurp_read(int fd, char *to, size_t size)
{
	size_t len = 0;
	ssize_t got = 1;

	while (got != 0 && len < size) {
		got = read(fd, to + len, size - len);
		if (got > 0)
			len += (size_t)got;
		else if (got < 0 && errno != EINTR)
			return -1;
	}
	return (ssize_t)len;
}

int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
{
	/* Without O_NONBLOCK, opening a FIFO waits for a writer. */
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat status;
	char *buffer = NULL;
	ssize_t got = -1;

	if (fd < 0) {
		snprintf(reason, reason_size, "cannot be opened: %m");
		return -1;
	}
	if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
		snprintf(reason, reason_size, "is not a regular file");
		goto out;
	}
	/* The size in fstat(2) is 0 below /proc, and may grow. */
	buffer = calloc(1, max_bytes + 2);
	if (buffer)
		got = conf_slurp_read(fd, buffer, max_bytes + 1);
	if (got < 0) {
		snprintf(reason, reason_size, "cannot be read: %m");
	} else if ((size_t)got > max_bytes) {
		snprintf(reason, reason_size, "is larger than %zu bytes",
			 max_bytes);
		got = -1;
	}
out:
	close(fd);
	if (got < 0) {
		free(buffer);
		return -1;
	}
	*text = buffer;
	if (len)
		*len = (size_t)got;
	return 0;
}

#include "config.h"

#include "conf/conf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Opening a FIFO without O_NONBLOCK waits for a writer, for ever. */
static int conf_slurp_open(const char *path, char *reason, size_t reason_size)
{
	int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
	struct stat status;

	if (fd < 0) {
		snprintf(reason, reason_size, "cannot be opened: %m");
		return -1;
	}
	if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode))
		return fd;
	snprintf(reason, reason_size, "is not a regular file");
	close(fd);
	return -1;
}

/* Up to size bytes, fewer at the end of the file; -1: errno says why. */
static ssize_t conf_slurp_read(int fd, char *to, size_t size)
{
	size_t len = 0;
	ssize_t got;

	while (len < size) {
		got = read(fd, to + len, size - len);
		if (got == 0)
			break;
		if (got > 0)
			len += (size_t)got;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)len;
}

int conf_slurp(const char *path, size_t max_bytes, char **text, size_t *len,
	       char *reason, size_t reason_size)
{
	int fd = conf_slurp_open(path, reason, reason_size);
	char *buffer;
	ssize_t got;

	if (fd < 0)
		return -1;
	/* what fstat(2) says of the size is 0 below /proc, and may grow */
	buffer = calloc(1, max_bytes + 2);
	got = buffer ? conf_slurp_read(fd, buffer, max_bytes + 1) : -1;
	if (got < 0)
		snprintf(reason, reason_size, "cannot be read: %m");
	else if ((size_t)got > max_bytes)
		snprintf(reason, reason_size, "is larger than %zu bytes",
			 max_bytes);
	close(fd);
	if (got < 0 || (size_t)got > max_bytes) {
		free(buffer);
		return -1;
	}
	*text = buffer;
	if (len)
		*len = (size_t)got;
	return 0;
}

#include "config.h"

#include "io/stream_bio.h"

#include "io/wire.h"

#include <errno.h>
#include <sys/socket.h>

static int stream_bio_write(BIO *library, const char *from, int size)
{
	struct stream_bio *bio = BIO_get_data(library);
	ssize_t sent = send(bio->fd, from, (size_t)size, MSG_NOSIGNAL);

	BIO_clear_retry_flags(library);
	if (sent < 0 && (errno == EAGAIN || errno == EINTR))
		BIO_set_retry_write(library);
	else if (sent < 0)
		bio->error = errno;
	return (int)sent;
}

static int stream_bio_read(BIO *library, char *to, int size)
{
	struct stream_bio *bio = BIO_get_data(library);
	ssize_t got = wire_recv(bio->fd, to, (size_t)size, 0);

	BIO_clear_retry_flags(library);
	if (got > 0)
		bio->bytes += (size_t)got;
	else if (got == 0)
		bio->input_end = true;
	else if (errno == EAGAIN || errno == EINTR)
		BIO_set_retry_read(library);
	else
		bio->error = errno;
	return (int)got;
}

static long stream_bio_ctrl(BIO *library, int command, long number, void *arg)
{
	const struct stream_bio *bio = BIO_get_data(library);

	(void)number, (void)arg;
	if (command == BIO_CTRL_EOF)
		return bio->input_end;
	return command == BIO_CTRL_FLUSH;
}

BIO_METHOD *stream_bio_method(void)
{
	BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "stream");

	if (method && BIO_meth_set_write(method, stream_bio_write) &&
	    BIO_meth_set_read(method, stream_bio_read) &&
	    BIO_meth_set_ctrl(method, stream_bio_ctrl))
		return method;
	BIO_meth_free(method);
	return NULL;
}

BIO *stream_bio_create(const BIO_METHOD *method, struct stream_bio *bio)
{
	BIO *library = BIO_new(method);

	if (!library)
		return NULL;
	BIO_set_data(library, bio);
	BIO_set_init(library, 1);
	return library;
}

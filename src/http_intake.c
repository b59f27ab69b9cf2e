#include "config.h"

#include "http_intake.h"

#include <stdlib.h>
#include <string.h>

#define HTTP_HEADER_MAX_BYTES 65536

static int http_intake_keep(struct http_intake *intake, const char *data,
			    size_t len)
{
	size_t wanted = intake->len + len + 1;
	size_t room = intake->room ? intake->room : 1024;
	char *body;

	while (room < wanted)
		room *= 2;
	if (room != intake->room) {
		body = realloc(intake->body, room);
		if (!body)
			return -1;
		intake->body = body;
		intake->room = room;
	}
	memcpy(intake->body + intake->len, data, len);
	intake->len += len;
	intake->body[intake->len] = '\0';
	return 0;
}

/* CURLOPT_WRITEFUNCTION: anything but n ends the transfer. */
static size_t http_intake_on_body(char *data, size_t one, size_t n, void *arg)
{
	struct http_intake *intake = arg;
	size_t left = intake->max_body - intake->len;
	size_t take = n < left ? n : left;

	(void)one;
	intake->heard = true;
	intake->cut = take < n;
	if (http_intake_keep(intake, data, take))
		return 0;
	return take;
}

/*
 * CURLOPT_HEADERFUNCTION, called for each line.  libcurl 7.88 keeps every line
 * of an endless header in memory (CVE-2023-38039), and it takes a header that
 * the end of the connection cut off for a whole one: only the empty line shows
 * that it is.  There is one after each of several headers (100, 200); lines
 * after a chunked body are no header.
 */
static size_t http_intake_on_header(char *data, size_t one, size_t n, void *arg)
{
	struct http_intake *intake = arg;

	(void)one;
	intake->heard = true;
	if (n >= 5 && memcmp(data, "HTTP/", 5) == 0)
		intake->whole_header = false;
	else if (n && (data[0] == '\r' || data[0] == '\n'))
		intake->whole_header = true;
	intake->header_len += n;
	intake->long_header = intake->header_len > HTTP_HEADER_MAX_BYTES;
	return intake->long_header ? 0 : n;
}

int http_intake_attach(struct http_intake *intake, CURL *easy)
{
	int bad = 0;

	bad |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION,
				http_intake_on_body);
	bad |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, intake);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
				http_intake_on_header);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, intake);
	return bad ? -1 : 0;
}

char *http_intake_take(struct http_intake *intake)
{
	char *body = intake->body;

	intake->body = NULL;
	intake->room = 0;
	return body;
}

void http_intake_begin(struct http_intake *intake, size_t max_body)
{
	free(intake->body);
	*intake = (struct http_intake){ .max_body = max_body };
}

#include "config.h"

#include "kinds/http/http_intake.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HTTP_HEADER_MAX_BYTES 65536
/* libcurl reads these byte by byte, and ends at a line of this length. */
#define HTTP_TUNNEL_MAX_BYTES 16384

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

/* false: no more of it. */
static bool http_intake_take_in(void *arg, const char *data, size_t len)
{
	struct http_intake *intake = arg;
	size_t left = intake->max_body - intake->len;
	size_t take = len < left ? len : left;

	intake->cut = take < len;
	intake->no_memory = http_intake_keep(intake, data, take) != 0;
	return !intake->cut && !intake->no_memory;
}

static bool http_intake_read(struct http_intake *intake, const char *data,
			     size_t len)
{
	switch (intake->unpack.coding) {
	case HTTP_CODING_NONE:
		return http_intake_take_in(intake, data, len);
	case HTTP_CODING_UNKNOWN:
		return true; /* said already */
	default:
		break;
	}
	switch (http_unpack_piece(&intake->unpack, data, len,
				  http_intake_take_in, intake)) {
	case 0:
		return !intake->cut && !intake->no_memory;
	case HTTP_UNPACK_BROKEN:
		intake->unreadable = "compressed answer is damaged";
		return false;
	default:
		intake->no_memory = true;
		return false;
	}
}

/* CURLOPT_WRITEFUNCTION: anything but n ends the transfer. */
static size_t http_intake_on_body(char *data, size_t one, size_t n, void *arg)
{
	struct http_intake *intake = arg;
	size_t from = intake->len;

	(void)one;
	intake->heard = true;
	if (!http_intake_read(intake, data, n))
		return !n; /* another than n */
	intake->on_more(intake->arg, from);
	return n;
}

/* The value of a line, when it is that of this header; else NULL. */
static const char *http_intake_value(const char *line, size_t *len,
				     const char *name)
{
	size_t name_len = strlen(name);

	if (*len < name_len || strncasecmp(line, name, name_len) != 0)
		return NULL;
	*len -= name_len;
	return line + name_len;
}

/* Notes how the body is packed; false: libcurl must not go on. */
static bool http_intake_codings(struct http_intake *intake, const char *line,
				size_t len)
{
	enum http_coding coding;
	const char *value;
	size_t n = 0;

	value = http_intake_value(line, &len, "transfer-encoding:");
	if (value) {
		/* We accept only chunks; what libcurl does with other codings
		 * differs by release. */
		http_unpack_codings(value, len, &coding, &n);
		if (n)
			intake->unreadable = "answer cannot be decoded";
		return !n;
	}
	value = http_intake_value(line, &len, "content-encoding:");
	if (!value)
		return true;
	http_unpack_codings(value, len, &intake->unpack.coding,
			    &intake->codings);
	if (intake->codings > 1) {
		intake->unpack.coding = HTTP_CODING_UNKNOWN;
		intake->unreadable = "answer is compressed more than once";
	} else if (intake->unpack.coding == HTTP_CODING_UNKNOWN) {
		intake->unreadable = "answer has an unknown Content-Encoding";
	}
	return true;
}

/* Whether the header is that of a proxy's answer to CONNECT: libcurl has sent
 * no question yet. */
static bool http_intake_is_tunnel(const struct http_intake *intake)
{
	curl_off_t asked = 0;

	curl_easy_getinfo(intake->easy, CURLINFO_PRETRANSFER_TIME_T, &asked);
	return !asked;
}

/* Behind a 407, libcurl would read a body without end, byte by byte; there is
 * no other password to try. */
static bool http_intake_is_refused(const struct http_intake *intake)
{
	long status = 0;

	curl_easy_getinfo(intake->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	return status >= 300;
}

/*
 * CURLOPT_HEADERFUNCTION, called for each line.  libcurl 7.88 keeps every line
 * of an endless header in memory (CVE-2023-38039), and it takes a header that
 * the end of the connection cut off for a whole one: only the empty line shows
 * that it is.  There is one after each of several headers (100, 200); lines
 * after a chunked body are not a header.
 */
static size_t http_intake_on_header(char *data, size_t one, size_t n, void *arg)
{
	struct http_intake *intake = arg;

	(void)one;
	intake->tunnel = http_intake_is_tunnel(intake);
	intake->header_len += n;
	intake->long_header = intake->header_len >
			      (intake->tunnel ? HTTP_TUNNEL_MAX_BYTES
					      : HTTP_HEADER_MAX_BYTES);
	if (intake->long_header)
		return 0;
	if (intake->tunnel)
		return http_intake_is_refused(intake) ? 0 : n;
	intake->heard = true;
	if (n >= 5 && memcmp(data, "HTTP/", 5) == 0) {
		intake->whole_header = false;
		intake->codings = 0;
		intake->unpack.coding = HTTP_CODING_NONE;
		intake->unreadable = NULL;
	} else if (n && (data[0] == '\r' || data[0] == '\n')) {
		intake->whole_header = true;
		intake->on_more(intake->arg, 0);
	} else if (!intake->whole_header &&
		   !http_intake_codings(intake, data, n)) {
		return 0;
	}
	return n;
}

int http_intake_attach(struct http_intake *intake, CURL *easy)
{
	int bad = 0;

	intake->easy = easy;
	bad |= curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION,
				http_intake_on_body);
	bad |= curl_easy_setopt(easy, CURLOPT_WRITEDATA, intake);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION,
				http_intake_on_header);
	bad |= curl_easy_setopt(easy, CURLOPT_HEADERDATA, intake);
	bad |= curl_easy_setopt(easy, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	return bad ? -1 : 0;
}

void http_intake_end(struct http_intake *intake)
{
	if (!http_unpack_is_whole(&intake->unpack))
		intake->unreadable = "compressed answer is cut off";
}

char *http_intake_take(struct http_intake *intake)
{
	char *body = intake->body;

	intake->body = NULL;
	intake->room = 0;
	http_unpack_end(&intake->unpack);
	return body;
}

void http_intake_begin(struct http_intake *intake, size_t max_body)
{
	free(http_intake_take(intake));
	*intake = (struct http_intake){ .easy = intake->easy,
					.max_body = max_body,
					.on_more = intake->on_more,
					.arg = intake->arg };
}

#include "config.h"

#include "kinds/http/http_intake.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HTTP_HEADER_MAX_BYTES 65536
/* libcurl reads these byte by byte, and fails at a line of this length. */
#define HTTP_TUNNEL_MAX_BYTES 16384

/* ---- the body ---- */

/* Keeps a piece of the body; false: the transfer must end. */
static bool http_intake_take_in(struct http_intake *intake, const char *data,
				size_t len)
{
	size_t left = intake->max_body - intake->len;
	size_t take = len < left ? len : left;
	size_t room = intake->room ? intake->room : 1024;
	char *body = intake->body;

	intake->cut = take < len;
	while (room < intake->len + take + 1)
		room *= 2;
	if (room != intake->room)
		body = realloc(body, room);
	intake->no_memory = !body;
	if (!body)
		return false;
	intake->body = body;
	intake->room = room;
	memcpy(body + intake->len, data, take);
	intake->len += take;
	body[intake->len] = '\0';
	return !intake->cut;
}

/* zlib's header has 8 in its lower half (RFC 1950); a deflate block that begins
 * with the same has set bits where an encoder leaves zeros. */
static int http_intake_inflate(struct http_intake *intake, char first)
{
	int bits = MAX_WBITS;

	if (intake->begun)
		return Z_OK;
	if (intake->coding == HTTP_CODING_GZIP)
		bits += 16;
	else if ((first & 0x0f) != 8)
		bits = -bits;
	intake->begun = inflateInit2(&intake->z, bits) == Z_OK;
	return intake->begun ? Z_OK : Z_MEM_ERROR;
}

/*
 * Not libcurl's decoder: that one undoes several codings in a row and returns
 * only when there is output, so that a few kilobytes of empty blocks block the
 * thread.  Here it is one coding, and each call does work in proportion to the
 * piece and to what is kept of it.  false: the transfer must end.
 */
static bool http_intake_unpack(struct http_intake *intake, const char *data,
			       size_t len)
{
	int status = http_intake_inflate(intake, *data);
	z_stream *z = &intake->z;
	unsigned char out[8192];

	z->next_in = (const unsigned char *)data;
	z->avail_in = (unsigned)len;
	do {
		/* gzip may begin again after its end (RFC 1952 section 2.2). */
		if (intake->ended)
			status = intake->coding == HTTP_CODING_GZIP
					 ? inflateReset(z)
					 : Z_DATA_ERROR;
		intake->ended = false;
		z->next_out = out;
		z->avail_out = sizeof(out);
		if (status == Z_OK)
			status = inflate(z, Z_NO_FLUSH);
		intake->no_memory = status == Z_MEM_ERROR;
		if (status != Z_OK && status != Z_STREAM_END &&
		    status != Z_BUF_ERROR) {
			intake->unreadable = "compressed answer is damaged";
			return false;
		}
		if (!http_intake_take_in(intake, (const char *)out,
					 sizeof(out) - z->avail_out))
			return false;
		intake->ended = status == Z_STREAM_END;
		status = Z_OK;
	} while (z->avail_in || (!intake->ended && !z->avail_out));
	return true;
}

/* CURLOPT_WRITEFUNCTION: anything but n ends the transfer. */
static size_t http_intake_on_body(char *data, size_t one, size_t n, void *arg)
{
	struct http_intake *intake = arg;
	size_t from = intake->len;
	bool more = true;

	(void)one;
	intake->heard = true;
	if (intake->coding == HTTP_CODING_NONE)
		more = http_intake_take_in(intake, data, n);
	else if (n && intake->coding != HTTP_CODING_UNKNOWN)
		more = http_intake_unpack(intake, data, n);
	if (!more)
		return !n; /* not n */
	intake->on_more(intake->arg, from);
	return n;
}

/* ---- the header ---- */

static enum http_coding http_intake_coding(const char *name, size_t len)
{
	static const struct {
		const char *name;
		enum http_coding coding;
	} table[] = {
		{ "identity", HTTP_CODING_NONE },
		{ "chunked", HTTP_CODING_NONE },
		{ "gzip", HTTP_CODING_GZIP },
		{ "x-gzip", HTTP_CODING_GZIP },
		{ "deflate", HTTP_CODING_DEFLATE },
	};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strlen(table[i].name) == len &&
		    strncasecmp(table[i].name, name, len) == 0)
			return table[i].coding;
	return HTTP_CODING_UNKNOWN;
}

/* If the line is this header ("gzip, chunked"), notes its last coding and adds
 * the number of codings to *n; "identity" and "chunked" do not count. */
static void http_intake_list(const char *line, const char *end,
			     const char *header, enum http_coding *coding,
			     size_t *n)
{
	size_t len = strlen(header);

	if ((size_t)(end - line) < len || strncasecmp(line, header, len) != 0)
		return;
	while ((line += len) < end) {
		enum http_coding found = HTTP_CODING_NONE;

		for (len = 0;
		     line + len < end && !strchr(", \t\r\n", line[len]);)
			len++;
		if (len)
			found = http_intake_coding(line, len);
		else
			len = 1;
		if (found != HTTP_CODING_NONE) {
			*coding = found;
			++*n;
		}
	}
}

/* Notes how the body is encoded; false: the transfer must end. */
static bool http_intake_codings(struct http_intake *intake, const char *line,
				const char *end)
{
	enum http_coding coding;
	size_t n = 0;

	/* We accept only chunks; what libcurl does with other codings differs
	 * by release. */
	http_intake_list(line, end, "transfer-encoding:", &coding, &n);
	if (n) {
		intake->unreadable = "answer cannot be decoded";
		return false;
	}
	http_intake_list(line, end, "content-encoding:", &intake->coding,
			 &intake->codings);
	if (intake->codings > 1) {
		intake->coding = HTTP_CODING_UNKNOWN;
		intake->unreadable = "answer is compressed more than once";
	} else if (intake->coding == HTTP_CODING_UNKNOWN) {
		intake->unreadable = "answer has an unknown Content-Encoding";
	}
	return true;
}

bool http_intake_is_asked(const struct http_intake *intake)
{
	curl_off_t us = 0;

	curl_easy_getinfo(intake->easy, CURLINFO_PRETRANSFER_TIME_T, &us);
	return us > 0;
}

/*
 * CURLOPT_HEADERFUNCTION, called for each line.  libcurl 7.88 keeps every line
 * of an endless header in memory (CVE-2023-38039), and it accepts a header that
 * was cut off by the end of the connection: only the empty line shows that it
 * is complete.  Each of several headers (100, 200) ends in one; lines after a
 * chunked body are not a header.
 */
static size_t http_intake_on_header(char *data, size_t one, size_t n, void *arg)
{
	struct http_intake *intake = arg;
	long status = 0;

	(void)one;
	intake->tunnel = !http_intake_is_asked(intake);
	intake->header_len += n;
	intake->long_header = intake->header_len >
			      (intake->tunnel ? HTTP_TUNNEL_MAX_BYTES
					      : HTTP_HEADER_MAX_BYTES);
	if (intake->long_header)
		return 0;
	/* After a 407, libcurl would read a body without end, byte by byte;
	 * there is no other password to try. */
	curl_easy_getinfo(intake->easy, CURLINFO_HTTP_CONNECTCODE, &status);
	if (intake->tunnel)
		return status >= 300 ? 0 : n;
	intake->heard = true;
	if (n >= 5 && memcmp(data, "HTTP/", 5) == 0) {
		intake->whole_header = false;
		intake->codings = 0;
		intake->coding = HTTP_CODING_NONE;
		intake->unreadable = NULL;
	} else if (n && (data[0] == '\r' || data[0] == '\n')) {
		intake->whole_header = true;
		intake->on_more(intake->arg, 0);
	} else if (!intake->whole_header &&
		   !http_intake_codings(intake, data, data + n)) {
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
	if (intake->begun && !intake->ended)
		intake->unreadable = "compressed answer is cut off";
}

char *http_intake_take(struct http_intake *intake)
{
	char *body = intake->body;

	intake->body = NULL;
	intake->room = 0;
	if (intake->begun)
		inflateEnd(&intake->z);
	intake->begun = false;
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

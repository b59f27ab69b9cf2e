#include "config.h"

#include "kinds/http/http_unpack.h"

#include <string.h>
#include <strings.h>

static enum http_coding http_unpack_coding(const char *name, size_t len)
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

void http_unpack_codings(const char *value, size_t len,
			 enum http_coding *coding, size_t *n)
{
	const char *end = value + len, *from;

	while (value < end) {
		enum http_coding found;

		if (strchr(", \t\r\n", *value)) {
			value++;
			continue;
		}
		for (from = value; value < end && !strchr(", \t\r\n", *value);)
			value++;
		found = http_unpack_coding(from, (size_t)(value - from));
		if (found == HTTP_CODING_NONE)
			continue;
		*coding = found;
		++*n;
	}
}

/* zlib's header begins with 8 in its lower half (RFC 1950); a deflate block
 * with that has set bits where an encoder leaves zeros. */
static int http_unpack_begin(struct http_unpack *unpack, char first)
{
	int bits = MAX_WBITS;

	if (unpack->begun)
		return 0;
	if (unpack->coding == HTTP_CODING_GZIP)
		bits += 16;
	else if ((first & 0x0f) != 8)
		bits = -bits;
	if (inflateInit2(&unpack->z, bits) != Z_OK)
		return -1;
	unpack->begun = true;
	return 0;
}

/* gzip may begin again behind its end (RFC 1952 section 2.2). */
static int http_unpack_again(struct http_unpack *unpack)
{
	if (!unpack->ended)
		return 0;
	unpack->ended = false;
	return unpack->coding == HTTP_CODING_GZIP &&
			       inflateReset(&unpack->z) == Z_OK
		       ? 0
		       : -1;
}

int http_unpack_piece(struct http_unpack *unpack, const char *data, size_t len,
		      bool (*take)(void *arg, const char *data, size_t len),
		      void *arg)
{
	z_stream *z = &unpack->z;
	unsigned char out[8192];
	int status;

	if (!len)
		return 0;
	if (http_unpack_begin(unpack, *data))
		return HTTP_UNPACK_NO_MEMORY;
	z->next_in = (const unsigned char *)data;
	z->avail_in = (unsigned)len;
	do {
		if (http_unpack_again(unpack))
			return HTTP_UNPACK_BROKEN;
		z->next_out = out;
		z->avail_out = sizeof(out);
		status = inflate(z, Z_NO_FLUSH);
		if (status == Z_MEM_ERROR)
			return HTTP_UNPACK_NO_MEMORY;
		if (status != Z_OK && status != Z_STREAM_END &&
		    status != Z_BUF_ERROR)
			return HTTP_UNPACK_BROKEN;
		if (!take(arg, (const char *)out, sizeof(out) - z->avail_out))
			return 0;
		unpack->ended = status == Z_STREAM_END;
	} while (z->avail_in || (!unpack->ended && !z->avail_out));
	return 0;
}

bool http_unpack_is_whole(const struct http_unpack *unpack)
{
	return !unpack->begun || unpack->ended;
}

void http_unpack_end(struct http_unpack *unpack)
{
	if (unpack->begun)
		inflateEnd(&unpack->z);
	memset(unpack, 0, sizeof(*unpack));
}

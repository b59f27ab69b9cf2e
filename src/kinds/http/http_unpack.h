/*
 * http_unpack: undoes the Content-Encoding of a body, piece by piece.
 *
 * Not libcurl's decoder: that one undoes several codings in a row and comes
 * back only when there is output, so that a few kilobytes of empty blocks hold
 * the thread.  Here it is one coding, and each call does work in proportion to
 * the piece and to what the taker accepts.
 *
 * Belongs to the prober thread.
 */
#ifndef HEALTH_HTTP_UNPACK_H
#define HEALTH_HTTP_UNPACK_H

#include <stdbool.h>
#include <stddef.h>

#define ZLIB_CONST
#include <zlib.h>

enum http_coding {
	HTTP_CODING_NONE,
	HTTP_CODING_GZIP,
	HTTP_CODING_DEFLATE, /* with zlib's header, or without (RFC 9110) */
	HTTP_CODING_UNKNOWN
};

/* Embedded in its owner; zeroed means no coding. */
struct http_unpack {
	enum http_coding coding;
	bool begun; /* zlib has memory */
	bool ended; /* the coding came to its end */
	z_stream z;
};

/* Adds the codings of a header's value ("gzip, chunked") to *coding, and their
 * number to *n; "identity" and "chunked" do not count. */
void http_unpack_codings(const char *value, size_t len,
			 enum http_coding *coding, size_t *n);

#define HTTP_UNPACK_BROKEN -1
#define HTTP_UNPACK_NO_MEMORY -2
/* Unpacks a piece and hands it to take(), which returns false to stop.  0, or
 * one of the above. */
int http_unpack_piece(struct http_unpack *unpack, const char *data, size_t len,
		      bool (*take)(void *arg, const char *data, size_t len),
		      void *arg) __attribute__((warn_unused_result));
/* Whether what came is whole; nothing at all is. */
bool http_unpack_is_whole(const struct http_unpack *unpack);
/* Frees; zeroed and twice are allowed. */
void http_unpack_end(struct http_unpack *unpack);

#endif

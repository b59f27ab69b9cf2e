/*
 * http_intake: keeps what libcurl reads of an answer, unpacked, within limits.
 *
 * Belongs to the prober thread.  A transfer that goes beyond a limit, that
 * cannot be unpacked, or for which there is no memory, ends in
 * CURLE_WRITE_ERROR.
 */
#ifndef HEALTH_HTTP_INTAKE_H
#define HEALTH_HTTP_INTAKE_H

#include <curl/curl.h>

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

/* Embedded in its owner; zeroed means empty. */
struct http_intake {
	/* set by the owner, before http_intake_attach() */
	void (*on_more)(void *arg, size_t from); /* header whole, or body at
						    `from`; inside libcurl */
	void *arg;

	CURL *easy; /* borrowed */
	size_t max_body;
	bool tunnel;	   /* the last line was a proxy's, about a tunnel */
	bool heard;	   /* something was read, other than such lines */
	bool whole_header; /* up to the empty line behind it */
	bool long_header;  /* longer than any answer needs */
	bool no_memory;
	bool cut;		 /* the body was longer than max_body */
	const char *unreadable;	 /* why the body cannot be read; NULL: it can */
	enum http_coding coding; /* of the body, its Content-Encoding */
	size_t codings;		 /* how many there are */
	bool begun;		 /* zlib has memory */
	bool ended;		 /* the coding came to its end */
	z_stream z;
	size_t header_len;
	char *body; /* owned, terminated; NULL: nothing of it was read */
	size_t len, room;
};

/* Before the first transfer of the handle; -1: out of memory. */
int http_intake_attach(struct http_intake *intake, CURL *easy)
	__attribute__((warn_unused_result));
/* Before each transfer: forgets the answer before it. */
void http_intake_begin(struct http_intake *intake, size_t max_body);
/* Whether libcurl has sent the question; a header that comes before is that of
 * a proxy's answer to CONNECT. */
bool http_intake_is_asked(const struct http_intake *intake);
/* The answer has come to its end. */
void http_intake_end(struct http_intake *intake);
/* The body, for free(), or NULL. */
char *http_intake_take(struct http_intake *intake);

#endif

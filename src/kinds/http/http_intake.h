/*
 * http_intake: keeps what libcurl reads of an answer, unpacked, within limits.
 *
 * Belongs to the main thread of a worker.  A transfer that exceeds a limit,
 * that cannot be unpacked, or for which there is no memory, ends in
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
	/* Set by the owner, before http_intake_attach(); called inside libcurl
	 * when the header is complete, or the body is new at `from`. */
	void (*on_more)(void *arg, size_t from);
	void *arg;

	CURL *easy; /* borrowed */
	size_t max_body;
	bool tunnel;	   /* the last line was a proxy's answer to CONNECT */
	bool heard;	   /* something else was read */
	bool whole_header; /* up to the empty line at its end */
	bool long_header;  /* longer than any answer needs */
	bool no_memory;
	bool cut;		 /* the body was longer than max_body */
	const char *unreadable;	 /* why the body cannot be read; NULL: it can */
	enum http_coding coding; /* Content-Encoding of the body */
	size_t codings;		 /* how many there are */
	bool begun;		 /* zlib has memory */
	bool ended;		 /* the coding came to its end */
	z_stream z;
	size_t header_len;
	char *body; /* owned, terminated; NULL: no body was read */
	size_t len, room;
};

/* Before the first transfer of the handle; -1: out of memory. */
int http_intake_attach(struct http_intake *intake, CURL *easy)
	__attribute__((warn_unused_result));
/* Before each transfer: forgets the last answer. */
void http_intake_begin(struct http_intake *intake, size_t max_body);
/* Whether libcurl has sent the question; a header before that is a proxy's
 * answer to CONNECT. */
bool http_intake_is_asked(const struct http_intake *intake);
/* At the end of the answer. */
void http_intake_end(struct http_intake *intake);
/* The body, for free(), or NULL. */
char *http_intake_take(struct http_intake *intake);

#endif

/*
 * render: a verdict as JSON (RFC 8259) and as the header fields of a response.
 *
 * Pure: no I/O, any thread.  All texts are the program's own, except "detail",
 * which only trusted callers are shown.
 */
#ifndef HEALTH_RENDER_H
#define HEALTH_RENDER_H

#include "answer/verdict.h"

struct render_input {
	const struct verdict *verdict;
	const struct plan *plan;
	const struct board_view *view;
	int64_t asked_us; /* results that ended before carry age_ms */
	bool trusted;	  /* show details */
};

/* The body, on one line with a newline at its end; owned by the caller (free).
 * NULL when out of memory. */
char *render_body(const struct render_input *input);

struct render_head {
	int http;
	size_t content_length; /* for HEAD that of the body of a GET, although
				  none follows (RFC 9110, 8.6) */
	bool allow;	       /* name the methods */
};

/*
 * Status line and header fields of a CGI response (RFC 3875, 6.3), with the
 * empty line that ends them, into `to`.  Returns the length, always < size for
 * size >= RENDER_HEAD_BYTES.
 */
#define RENDER_HEAD_BYTES 512
size_t render_head(char *to, size_t size, const struct render_head *head);

#endif

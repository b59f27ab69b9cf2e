/*
 * fcgi_scan: is this the beginning of one whole, sane FastCGI request?
 *
 * libfcgi trusts what it reads: lengths that overflow an int end the process,
 * FCGI_GET_VALUES smashes its stack, and half a request holds its thread for
 * as long as the peer likes.  So nothing reaches it before it is complete, but
 * for the rest of a body, and has passed here: BEGIN_REQUEST for a responder,
 * PARAMS with lengths that add up, STDIN, all with one request id.  (FastCGI
 * Specification 1.0, sections 3.3, 3.4, 5.1 to 5.3.)  What else may legally
 * stand before it or in it (management records, a second request, padding
 * anywhere) libfcgi never sees.
 *
 * Pure: no I/O, any thread.
 */
#ifndef HEALTH_FCGI_SCAN_H
#define HEALTH_FCGI_SCAN_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Parameters larger than this are refused; the rest of a body is read by
 * fcgi_body_read().  What is only looked at stays in the socket, and a Unix
 * socket takes no more once a quarter of its buffer (52 KB) is in use.
 */
#define FCGI_SCAN_MAX_BYTES 49152

/* More parameters than this are refused: each costs libfcgi an allocation,
 * however short it is.  Web servers send 20 to 60. */
#define FCGI_SCAN_MAX_PARAMS 512

enum fcgi_scan_state {
	FCGI_SCAN_PARTIAL, /* sane as far as it goes */
	FCGI_SCAN_WHOLE,   /* a request of `length` bytes */
	FCGI_SCAN_BODY,	   /* a request, but for the rest of its body: see
			      fcgi_body_read() */
	FCGI_SCAN_SKIP,	   /* `length` bytes to be ignored: they belong to a
			      request that is not active (section 3.3) */
	FCGI_SCAN_REPLY,   /* a record wants fcgi_reply(); after it, `length`
			      bytes are to be thrown away, or none yet */
	FCGI_SCAN_BAD	   /* close the connection */
};

struct fcgi_scan {
	size_t length; /* complete records, see the states */
	size_t params; /* WHOLE, BODY: how many */
	size_t record; /* REPLY: where the record is */
	/* REPLY: the records before this have their replies.  The caller keeps
	 * it from one scan to the next, until bytes are taken away. */
	size_t replied;
	bool last; /* REPLY: the peer wants the connection closed after it */
};

/* scan->replied is read, the rest is set. */
enum fcgi_scan_state fcgi_scan(const unsigned char *bytes, size_t n,
			       struct fcgi_scan *scan);

/* Removes everything but the request from scan->length bytes that were WHOLE
 * or BODY: padding, and records that are not its own.  Returns how many bytes
 * are left, which alone libfcgi may read. */
size_t fcgi_scan_strip(unsigned char *bytes, size_t length);

/* The rest of a body, behind scan->length bytes that were BODY. */
struct fcgi_body {
	unsigned id; /* of the request */
	size_t left; /* of a record whose beginning was read */
	size_t read; /* bytes so far */
	bool last;   /* its last record was met */
	bool wrong;  /* see fcgi_body_read() */
};

/* bytes: of the request, stripped. */
void fcgi_body_begin(struct fcgi_body *body, const unsigned char *bytes);
/* How many of the next n bytes belong to it; they are to be thrown away.  With
 * body->wrong, what follows them cannot be part of the request. */
size_t fcgi_body_read(struct fcgi_body *body, const unsigned char *bytes,
		      size_t n);
static inline bool fcgi_body_ended(const struct fcgi_body *body)
{
	return body->last && !body->left;
}

/*
 * What an application replies to a record that is not part of a request which
 * it serves, a complete one that FCGI_SCAN_REPLY has named (sections 4.1, 4.2,
 * 5.4, 5.5).  max: how many connections, and so requests, it takes at a time.
 * Returns the length, 0 when the record is broken.
 */
#define FCGI_REPLY_BYTES 128
size_t fcgi_reply(const unsigned char *record, size_t max,
		  unsigned char reply[FCGI_REPLY_BYTES]);

#endif

/*
 * fcgi_scan: is this the beginning of one whole, sane FastCGI request?
 *
 * libfcgi trusts what it reads: lengths that overflow an int end the process,
 * FCGI_GET_VALUES smashes its stack, and half a request holds its thread for
 * as long as the peer likes.  So nothing reaches it before it is complete and
 * has passed here: BEGIN_REQUEST for a responder, PARAMS with lengths that add
 * up, STDIN to its end, all with one request id.  (FastCGI Specification 1.0,
 * sections 3.3, 3.4, 5.1 to 5.3; a web server sends one request at a time over
 * a connection.)
 *
 * Pure: no I/O, any thread.
 */
#ifndef HEALTH_FCGI_SCAN_H
#define HEALTH_FCGI_SCAN_H

#include <stddef.h>

/* A request larger than this is refused: no health probe has such a body. */
#define FCGI_SCAN_MAX_BYTES 65536

enum fcgi_scan_state {
	FCGI_SCAN_PARTIAL, /* sane as far as it goes */
	FCGI_SCAN_WHOLE,   /* a request of *length bytes */
	FCGI_SCAN_SKIP,	   /* *length bytes to be thrown away: the abort of a
			      request that was already answered */
	FCGI_SCAN_BAD	   /* close the connection */
};

enum fcgi_scan_state fcgi_scan(const unsigned char *bytes, size_t n,
			       size_t *length);

#endif

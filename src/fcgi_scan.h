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

/*
 * Parameters larger than this are refused; a body needs no limit, it is not
 * waited for.  What is only looked at stays in the socket, and a Unix socket
 * takes no more once a quarter of its buffer (52 KB) is in use.
 */
#define FCGI_SCAN_MAX_BYTES 49152

enum fcgi_scan_state {
	FCGI_SCAN_PARTIAL, /* sane as far as it goes */
	FCGI_SCAN_WHOLE,   /* a request of *length bytes */
	FCGI_SCAN_BODY,	   /* a request, but for the rest of its body: it can be
			      answered, its connection not be used again */
	FCGI_SCAN_SKIP,	   /* *length bytes to be thrown away: the abort of a
			      request that was already answered */
	FCGI_SCAN_BAD	   /* close the connection */
};

enum fcgi_scan_state fcgi_scan(const unsigned char *bytes, size_t n,
			       size_t *length);

#endif

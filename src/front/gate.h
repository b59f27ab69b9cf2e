/*
 * gate: the listening socket and all connections that have no whole request.
 *
 * Idle, kept and half-sent connections wait here and cost no thread; a
 * connection comes out when one whole, sane request can be read from it
 * without waiting (fcgi_scan).  All descriptors are non-blocking.
 *
 * gate_wait() is called by several threads at once; each gets its own event.
 * A connection that came out belongs to the caller until given back by
 * gate_return(), gate_read_body(), gate_linger(), gate_write() or gate_close().
 *
 * The gate closes a connection that has not sent a whole request within
 * GATE_PARTIAL_MS or in GATE_PIECES pieces, and a kept one that has been idle
 * for GATE_IDLE_MS; web servers keep theirs for less, so that normally they
 * close first.  When descriptors or slots run out, the gate shuts down the one
 * that has waited longest, so that idle peers cannot lock out others.
 */
#ifndef HEALTH_GATE_H
#define HEALTH_GATE_H

#include <stdbool.h>
#include <stddef.h>

#include "front/fcgi_scan.h"

#define GATE_PARTIAL_MS 10000
#define GATE_IDLE_MS 75000
#define GATE_PIECES 64
#define GATE_BODY_MS 2000
#define GATE_BODY_BYTES ((size_t)16 * 1024 * 1024)

struct gate;
struct gate_conn;

enum gate_event {
	GATE_REQUEST, /* *request is filled */
	GATE_WOKEN,   /* gate_wake() was called since a thread last got this */
	GATE_TIMEOUT
};

/* Where a thread looks at what a peer sent; one per calling thread. */
struct gate_buffer {
	unsigned char bytes[FCGI_SCAN_MAX_BYTES];
};

/* A connection with a whole request, or one that gate_read_body() is done
 * with. */
struct gate_request {
	struct gate_conn *conn;
	int fd;
	/* What the caller of gate_read_body() has set aside; NULL: the request
	 * is in the buffer. */
	void *kept;
	/* Bytes of the request, which were taken from the connection and stand
	 * in the buffer in a form that libfcgi can read. */
	size_t length;
	size_t params; /* parameters of the request */
	/* The connection must not be used again, and its input not be read to
	 * the end: the rest of a body is still to come, or requests without a
	 * pause. */
	bool spent;
	/* The rest of a body is still to come, for which gate_read_body() could
	 * wait. */
	bool has_body;
};

/*
 * listen_fd is borrowed.  allowed: comma-separated addresses that may connect
 * over TCP (FCGI_WEB_SERVER_ADDRS of the FastCGI Specification, 3.2), or NULL
 * for all.  NULL when memory or descriptors ran out.
 */
struct gate *gate_create(int listen_fd, size_t max_connections,
			 const char *allowed);
/* Closes all connections.  No thread may be in gate_wait(). */
void gate_destroy(struct gate *gate);

/* Waits at most timeout_ms; < 0: without limit. */
enum gate_event gate_wait(struct gate *gate, struct gate_buffer *buffer,
			  int timeout_ms, struct gate_request *request);

/* The request was read to its end and answered; the next may come. */
void gate_return(struct gate *gate, struct gate_conn *conn);
/*
 * Reads the rest of the body and throws it away: web servers that are answered
 * before they have sent it take the connection for broken.  gate_wait() returns
 * the connection again, once and with `kept`, at the end of the body; as a
 * spent one when that does not come within GATE_BODY_MS and GATE_BODY_BYTES,
 * when the peer ends the connection or sends something else, or while stopping.
 */
void gate_read_body(struct gate *gate, struct gate_conn *conn, void *kept);
/* A spent connection was answered: what still comes is thrown away until the
 * peer closes it, since closing it first could cost it the answer. */
void gate_linger(struct gate *gate, struct gate_conn *conn);
/*
 * Writes an answer that may be larger than the socket's buffer, from the file's
 * current position to its end, as the peer reads it, for GATE_PARTIAL_MS at
 * most; then the connection is returned, or with `last` lingers.  The file is
 * closed by the gate.
 */
void gate_write(struct gate *gate, struct gate_conn *conn, int answer_fd,
		bool last);
/* An answer was not read to its end: counted, and logged now and then.  Any
 * thread. */
void gate_note_cut(struct gate *gate);
/* Closes the connection. */
void gate_close(struct gate *gate, struct gate_conn *conn);

/* From now on each write to this eventfd(2), of any process, is a gate_wake().
 * Borrowed.  -1 with errno. */
int gate_watch_wake(struct gate *gate, int wake_fd)
	__attribute__((warn_unused_result));

/* Lets one thread return GATE_WOKEN.  Any thread. */
void gate_wake(struct gate *gate);

/* Accepts the connections in the backlog, then no more.  Any thread. */
void gate_stop_accepting(struct gate *gate);

/* Connections that are open now.  Any thread. */
size_t gate_connections(struct gate *gate);

#endif

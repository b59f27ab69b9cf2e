/*
 * fcgi_record: a record of the FastCGI Specification 1.0, sections 3.3 and 8.
 */
#ifndef HEALTH_FCGI_RECORD_H
#define HEALTH_FCGI_RECORD_H

#include <fastcgi.h> /* numbers only */

struct fcgi_record {
	int type; /* -1: of another version */
	unsigned id;
	size_t content; /* bytes */
	size_t padding;
	const unsigned char *body;
};

/* Of FCGI_BEGIN_REQUEST, from its first byte on. */
static inline unsigned fcgi_begin_role(const unsigned char *record)
{
	return (unsigned)record[FCGI_HEADER_LEN] << 8 |
	       record[FCGI_HEADER_LEN + 1];
}

static inline bool fcgi_begin_keeps(const unsigned char *record)
{
	return record[FCGI_HEADER_LEN + 2] & FCGI_KEEP_CONN;
}

#endif

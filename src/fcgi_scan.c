#include "config.h"

#include "fcgi_scan.h"

#include <stdbool.h>

enum { FCGI_VERSION = 1, FCGI_RESPONDER_ROLE = 1, FCGI_HEADER_BYTES = 8 };
enum {
	FCGI_BEGIN = 1,
	FCGI_ABORT = 2,
	FCGI_PARAMS_TYPE = 4,
	FCGI_STDIN_TYPE = 5
};

struct fcgi_record {
	int type;
	unsigned id;
	size_t content; /* bytes */
	size_t padding;
	const unsigned char *body;
};

/* Where in the name-value pairs the content of the PARAMS records stands; a
 * pair may stretch over records. */
struct fcgi_pairs {
	unsigned lengths;   /* complete lengths read: 0, 1 or 2 */
	unsigned missing;   /* bytes of a four-byte length still to come */
	unsigned long part; /* of that length */
	unsigned long skip; /* bytes of name and value still to come */
};

static bool fcgi_record_at(const unsigned char *bytes, size_t n, size_t at,
			   struct fcgi_record *record)
{
	const unsigned char *head = bytes + at;

	if (n - at < FCGI_HEADER_BYTES)
		return false;
	record->type = head[0] == FCGI_VERSION ? head[1] : -1;
	record->id = (unsigned)head[2] << 8 | head[3];
	record->content = (size_t)head[4] << 8 | head[5];
	record->padding = head[6];
	record->body = head + FCGI_HEADER_BYTES;
	return true;
}

/* Takes in one byte of a length; false when it is larger than any request. */
static bool fcgi_pairs_length(struct fcgi_pairs *pairs, unsigned char byte)
{
	if (pairs->missing) {
		pairs->part = pairs->part << 8 | byte;
		pairs->missing--;
	} else if (byte & 0x80) {
		pairs->part = byte & 0x7f;
		pairs->missing = 3;
	} else {
		pairs->part = byte;
	}
	if (pairs->part > FCGI_SCAN_MAX_BYTES)
		return false;
	if (pairs->missing)
		return true;
	pairs->skip += pairs->part;
	if (++pairs->lengths == 2)
		pairs->lengths = 0;
	return true;
}

static bool fcgi_pairs_feed(struct fcgi_pairs *pairs,
			    const unsigned char *bytes, size_t n)
{
	while (n) {
		bool in_lengths = pairs->lengths || pairs->missing;
		size_t step = 1;

		if (pairs->skip && !in_lengths) {
			step = pairs->skip < n ? pairs->skip : n;
			pairs->skip -= step;
		} else if (!fcgi_pairs_length(pairs, *bytes)) {
			return false;
		}
		bytes += step;
		n -= step;
	}
	return true;
}

static bool fcgi_pairs_complete(const struct fcgi_pairs *pairs)
{
	return !pairs->lengths && !pairs->missing && !pairs->skip;
}

/*
 * libfcgi forgets the padding of BEGIN and of a record that ends a stream: it
 * reads these bytes as records of the next one (SetReaderType() in fcgiapp.c),
 * so whatever is refused here could hide in them.  No web server pads them.
 */
static bool fcgi_padding_good(const struct fcgi_record *record)
{
	return !record->padding ||
	       (record->content && record->type != FCGI_BEGIN);
}

static bool fcgi_begin_good(const struct fcgi_record *record)
{
	const unsigned char *body = record->body;

	return record->type == FCGI_BEGIN && record->id != 0 &&
	       record->content == 8 &&
	       ((unsigned)body[0] << 8 | body[1]) == FCGI_RESPONDER_ROLE;
}

enum fcgi_scan_state fcgi_scan(const unsigned char *bytes, size_t n,
			       size_t *length)
{
	struct fcgi_pairs pairs = { 0, 0, 0, 0 };
	struct fcgi_record record;
	int expected = FCGI_BEGIN;
	unsigned id = 0;
	size_t at = 0, end;
	bool body = false;

	while (fcgi_record_at(bytes, n, at, &record)) {
		if (at == 0 && record.type == FCGI_ABORT)
			expected = FCGI_ABORT;
		/* An unknown type or version is not worth waiting for. */
		if (record.type != expected || (at && record.id != id) ||
		    !fcgi_padding_good(&record))
			return FCGI_SCAN_BAD;
		end = at + FCGI_HEADER_BYTES + record.content + record.padding;
		body = expected == FCGI_STDIN_TYPE && record.content;
		if (end > FCGI_SCAN_MAX_BYTES && !body)
			return FCGI_SCAN_BAD;
		if (end > n)
			break;
		*length = end;
		switch (expected) {
		case FCGI_ABORT:
			return FCGI_SCAN_SKIP;
		case FCGI_BEGIN:
			if (!fcgi_begin_good(&record))
				return FCGI_SCAN_BAD;
			id = record.id;
			expected = FCGI_PARAMS_TYPE;
			break;
		case FCGI_PARAMS_TYPE:
			if (!fcgi_pairs_feed(&pairs, record.body,
					     record.content))
				return FCGI_SCAN_BAD;
			if (record.content)
				break;
			if (!fcgi_pairs_complete(&pairs))
				return FCGI_SCAN_BAD;
			expected = FCGI_STDIN_TYPE;
			break;
		case FCGI_STDIN_TYPE:
			if (!record.content)
				return FCGI_SCAN_WHOLE;
			break;
		}
		at = end;
	}
	if (body)
		return FCGI_SCAN_BODY;
	return n >= FCGI_SCAN_MAX_BYTES ? FCGI_SCAN_BAD : FCGI_SCAN_PARTIAL;
}

#include "config.h"

#include "front/fcgi_scan.h"

#include <fastcgi.h> /* numbers only */
#include <stdio.h>
#include <string.h>

/* Sections 3.3 and 8. */
struct fcgi_record {
	int type; /* -1: of another version */
	unsigned id;
	size_t content; /* bytes */
	size_t padding;
	const unsigned char *body;
};

/* Of FCGI_BEGIN_REQUEST, from its first byte on. */
static unsigned fcgi_begin_role(const unsigned char *record)
{
	return (unsigned)record[FCGI_HEADER_LEN] << 8 |
	       record[FCGI_HEADER_LEN + 1];
}

static bool fcgi_begin_keeps(const unsigned char *record)
{
	return record[FCGI_HEADER_LEN + 2] & FCGI_KEEP_CONN;
}

/* Where in the name-value pairs the content of the PARAMS records stands; a
 * pair may stretch over records. */
struct fcgi_pairs {
	unsigned lengths;   /* complete lengths read: 0, 1 or 2 */
	unsigned missing;   /* bytes of a four-byte length still to come */
	unsigned long part; /* of that length */
	unsigned long skip; /* bytes of name and value still to come */
	size_t n;
};

static bool fcgi_record_at(const unsigned char *bytes, size_t n, size_t at,
			   struct fcgi_record *record)
{
	const unsigned char *head = bytes + at;

	if (n - at < FCGI_HEADER_LEN)
		return false;
	record->type = head[0] == FCGI_VERSION_1 ? head[1] : -1;
	record->id = (unsigned)head[2] << 8 | head[3];
	record->content = (size_t)head[4] << 8 | head[5];
	record->padding = head[6];
	record->body = head + FCGI_HEADER_LEN;
	return true;
}

/* Takes in one byte of a length; false when it is larger than any request, or
 * there are too many pairs. */
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
	if (++pairs->lengths < 2)
		return true;
	pairs->lengths = 0;
	return ++pairs->n <= FCGI_SCAN_MAX_PARAMS;
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

/* What a record is to the request that is being read. */
enum fcgi_part {
	FCGI_PART_OWN,
	FCGI_PART_ASKS,	   /* not of the request, wants a reply */
	FCGI_PART_IGNORED, /* of a request that is not active */
	FCGI_PART_WRONG
};

/* id: of the request, 0 before its BEGIN.  Looks at the header alone. */
static enum fcgi_part fcgi_part(const struct fcgi_record *record, unsigned id,
				int expected)
{
	int type = record->type;

	if (type < 0 || (type == FCGI_BEGIN_REQUEST && record->content != 8))
		return FCGI_PART_WRONG;
	if (record->id == 0)
		return type == 0 || type == FCGI_GET_VALUES ||
				       type > FCGI_MAXTYPE
			       ? FCGI_PART_ASKS
			       : FCGI_PART_WRONG;
	if (record->id == id) {
		if (type == FCGI_ABORT_REQUEST)
			return FCGI_PART_ASKS;
		return type == expected ? FCGI_PART_OWN : FCGI_PART_WRONG;
	}
	switch (type) {
	case FCGI_BEGIN_REQUEST:
		return id ? FCGI_PART_ASKS : FCGI_PART_OWN;
	case FCGI_ABORT_REQUEST:
	case FCGI_PARAMS:
	case FCGI_STDIN:
	case FCGI_DATA:
		return FCGI_PART_IGNORED;
	default:
		return FCGI_PART_WRONG;
	}
}

/* A record that is not the request's own, from `at` to `end`.  True when the
 * state is decided. */
static bool fcgi_scan_foreign(const unsigned char *bytes, size_t at, size_t end,
			      bool asks, struct fcgi_scan *scan)
{
	bool ends = at == 0 || bytes[at + 1] == FCGI_ABORT_REQUEST;

	if (asks && (ends || end > scan->replied)) {
		scan->record = at;
		scan->replied = end;
		scan->length = ends ? end : 0;
		scan->last = ends && bytes[1] == FCGI_BEGIN_REQUEST &&
			     !fcgi_begin_keeps(bytes);
		return true;
	}
	if (at == 0)
		scan->length = end;
	return at == 0;
}

enum fcgi_scan_state fcgi_scan(const unsigned char *bytes, size_t n,
			       struct fcgi_scan *scan)
{
	struct fcgi_pairs pairs = { .n = 0 };
	struct fcgi_record record;
	int expected = FCGI_BEGIN_REQUEST;
	unsigned id = 0;
	size_t at = 0, end;
	bool body = false;

	scan->last = false;
	while (fcgi_record_at(bytes, n, at, &record)) {
		enum fcgi_part part = fcgi_part(&record, id, expected);

		/* An unknown type or version is not worth waiting for. */
		if (part == FCGI_PART_WRONG)
			return FCGI_SCAN_BAD;
		end = at + FCGI_HEADER_LEN + record.content + record.padding;
		body |= part == FCGI_PART_OWN && expected == FCGI_STDIN &&
			record.content;
		if (end > FCGI_SCAN_MAX_BYTES && !body)
			return FCGI_SCAN_BAD;
		if (end > n)
			break;
		if (part == FCGI_PART_OWN && expected == FCGI_BEGIN_REQUEST &&
		    fcgi_begin_role(bytes + at) != FCGI_RESPONDER)
			part = FCGI_PART_ASKS;
		if (part != FCGI_PART_OWN) {
			bool asks = part == FCGI_PART_ASKS;

			if (fcgi_scan_foreign(bytes, at, end, asks, scan))
				return asks ? FCGI_SCAN_REPLY : FCGI_SCAN_SKIP;
			at = end;
			continue;
		}
		scan->length = end;
		switch (expected) {
		case FCGI_BEGIN_REQUEST:
			id = record.id;
			expected = FCGI_PARAMS;
			break;
		case FCGI_PARAMS:
			if (!fcgi_pairs_feed(&pairs, record.body,
					     record.content))
				return FCGI_SCAN_BAD;
			if (record.content)
				break;
			if (!fcgi_pairs_complete(&pairs))
				return FCGI_SCAN_BAD;
			scan->params = pairs.n;
			expected = FCGI_STDIN;
			break;
		case FCGI_STDIN:
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

/*
 * libfcgi forgets the padding of BEGIN and of a record that ends a stream: it
 * reads these bytes as records of the next one (SetReaderType() in fcgiapp.c),
 * and whatever must not reach it could hide in them.
 */
size_t fcgi_scan_strip(unsigned char *bytes, size_t length)
{
	struct fcgi_record record;
	size_t at, to = 0, own;
	unsigned id = 0;

	for (at = 0; fcgi_record_at(bytes, length, at, &record);
	     at += FCGI_HEADER_LEN + record.content + record.padding) {
		if (!id)
			id = record.id;
		if (record.id != id)
			continue;
		own = FCGI_HEADER_LEN + record.content;
		memmove(bytes + to, bytes + at, own);
		bytes[to + 6] = 0; /* padding */
		to += own;
	}
	return to;
}

void fcgi_body_begin(struct fcgi_body *body, const unsigned char *bytes)
{
	*body = (struct fcgi_body){
		.id = (unsigned)bytes[2] << 8 | bytes[3],
	};
}

size_t fcgi_body_read(struct fcgi_body *body, const unsigned char *bytes,
		      size_t n)
{
	struct fcgi_record record;
	enum fcgi_part part;
	size_t at = 0, step;

	for (;;) {
		step = body->left < n - at ? body->left : n - at;
		body->left -= step;
		at += step;
		if (body->left || body->last ||
		    !fcgi_record_at(bytes, n, at, &record))
			break;
		part = fcgi_part(&record, body->id, FCGI_STDIN);
		if (part != FCGI_PART_OWN && part != FCGI_PART_IGNORED) {
			body->wrong = true;
			break;
		}
		body->last = part == FCGI_PART_OWN && !record.content;
		body->left = record.content + record.padding;
		at += FCGI_HEADER_LEN;
	}
	body->read += at;
	return at;
}

/* ---- replies ---- */

/* Takes a length off the front; false when it is cut. */
static bool fcgi_reply_length(const unsigned char **at,
			      const unsigned char *end, size_t *length)
{
	const unsigned char *byte = *at;

	if (byte < end && byte[0] < 0x80) {
		*length = byte[0];
		*at += 1;
		return true;
	}
	if (end - byte < 4)
		return false;
	*length = (size_t)(byte[0] & 0x7f) << 24 | (size_t)byte[1] << 16 |
		  (size_t)byte[2] << 8 | byte[3];
	*at += 4;
	return true;
}

/*
 * Which of the names are asked for, a bit for each; -1: the pairs are broken.
 * Values, which should be empty, unknown names and repetitions mean nothing.
 */
static int fcgi_reply_asked(const unsigned char *at, const unsigned char *end,
			    const char *const names[], size_t n)
{
	size_t name, value, i;
	int asked = 0;

	while (at < end) {
		if (!fcgi_reply_length(&at, end, &name) ||
		    !fcgi_reply_length(&at, end, &value) ||
		    (size_t)(end - at) < name ||
		    (size_t)(end - at) - name < value)
			return -1;
		for (i = 0; i < n; i++)
			if (name == strlen(names[i]) &&
			    memcmp(at, names[i], name) == 0)
				asked |= 1 << i;
		at += name + value;
	}
	return asked;
}

/* Section 4.1: values of what is asked for and known. */
static size_t fcgi_reply_values(const unsigned char *record, size_t max,
				unsigned char *reply)
{
	static const char *const names[] = { FCGI_MAX_CONNS, FCGI_MAX_REQS,
					     FCGI_MPXS_CONNS };
	const unsigned char *body = record + FCGI_HEADER_LEN;
	size_t n = sizeof(names) / sizeof(names[0]), i;
	size_t len = FCGI_HEADER_LEN;
	char number[24];
	int asked;

	snprintf(number, sizeof(number), "%zu", max);
	asked = fcgi_reply_asked(body, body + (record[4] << 8 | record[5]),
				 names, n);
	if (asked < 0)
		return 0;
	reply[1] = FCGI_GET_VALUES_RESULT;
	for (i = 0; i < n; i++)
		if (asked & 1 << i)
			/* A name-value pair (section 3.4); both are short. */
			len += (size_t)snprintf(
				(char *)reply + len, FCGI_REPLY_BYTES - len,
				"%c%c%s%s", (int)strlen(names[i]),
				(int)strlen(i < 2 ? number : "0"), names[i],
				i < 2 ? number : "0");
	return len;
}

size_t fcgi_reply(const unsigned char *record, size_t max,
		  unsigned char reply[FCGI_REPLY_BYTES])
{
	unsigned char *body = reply + FCGI_HEADER_LEN;
	size_t len = FCGI_HEADER_LEN + 8;

	memset(reply, 0, FCGI_REPLY_BYTES);
	reply[0] = FCGI_VERSION_1;
	reply[2] = record[2]; /* request id */
	reply[3] = record[3];
	switch (record[1]) {
	case FCGI_GET_VALUES:
		len = fcgi_reply_values(record, max, reply);
		break;
	case FCGI_BEGIN_REQUEST:
		reply[1] = FCGI_END_REQUEST;
		body[4] = fcgi_begin_role(record) == FCGI_RESPONDER
				  ? FCGI_CANT_MPX_CONN
				  : FCGI_UNKNOWN_ROLE;
		break;
	case FCGI_ABORT_REQUEST:
		reply[1] = FCGI_END_REQUEST;
		body[4] = FCGI_REQUEST_COMPLETE;
		break;
	default:
		reply[1] = FCGI_UNKNOWN_TYPE;
		body[0] = record[1];
		break;
	}
	if (len)
		reply[5] = (unsigned char)(len - FCGI_HEADER_LEN);
	return len;
}

#include "config.h"

#include "front/fcgi_scan.h"

#include <stdio.h>
#include <string.h>

#include "front/fcgi_record.h"

/* Appends a name-value pair (section 3.4); both are short. */
static size_t fcgi_reply_pair(unsigned char *to, const char *name,
			      const char *value)
{
	size_t name_len = strlen(name), value_len = strlen(value);

	to[0] = (unsigned char)name_len;
	to[1] = (unsigned char)value_len;
	memcpy(to + 2, name, name_len);
	memcpy(to + 2 + name_len, value, value_len);
	return 2 + name_len + value_len;
}

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
			len += fcgi_reply_pair(reply + len, names[i],
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

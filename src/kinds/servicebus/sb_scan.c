#include "config.h"

#include "kinds/servicebus/sb_scan.h"

#include <string.h>

#define SB_HEADER_BYTES 8 /* of a frame, and of a protocol */
/* Descriptors of what matters here. */
#define SB_FLOW 0x13
#define SB_TRANSFER 0x14
#define SB_DISPOSITION 0x15
#define SB_MECHANISMS 0x40
/* Constructors (AMQP 1.0 part 1, section 1.6). */
#define SB_NULL 0x40
#define SB_TRUE 0x41
#define SB_FALSE 0x42
#define SB_BOOLEAN 0x56
#define SB_UINT0 0x43
#define SB_SMALLUINT 0x52
#define SB_UINT 0x70
#define SB_LIST0 0x45
#define SB_LIST8 0xc0
#define SB_LIST32 0xd0
#define SB_SMALLULONG 0x53
#define SB_ULONG 0x80

/* What is left of a frame; `bad` once it is not as it should be. */
struct sb_rest {
	const unsigned char *at;
	size_t n;
	bool bad;
};

/* `count` bytes as a number, the first the highest. */
static uint64_t sb_number_of(struct sb_rest *rest, size_t count)
{
	uint64_t number = 0;

	if (rest->n < count) {
		rest->bad = true;
		rest->n = 0;
		return 0;
	}
	for (rest->n -= count; count > 0; count--)
		number = number << 8 | *rest->at++;
	return number;
}

static void sb_skip_bytes(struct sb_rest *rest, uint64_t count)
{
	if (rest->n < count) {
		rest->bad = true;
		count = rest->n;
	}
	rest->at += count;
	rest->n -= (size_t)count;
}

/* One value: the constructor says how long it is. */
static void sb_skip(struct sb_rest *rest)
{
	static const unsigned char fixed[] = { 0, 1, 2, 4, 8, 16 };
	unsigned constructor, values = 1, width;

	for (; values > 0 && !rest->bad; values--) {
		constructor = (unsigned)sb_number_of(rest, 1);
		width = constructor >> 4;
		if (constructor == 0) /* a descriptor, and what it describes */
			values += 2;
		else if (width >= 4 && width <= 9)
			sb_skip_bytes(rest, fixed[width - 4]);
		else if (width >= 0xa) /* even: a byte says how long */
			sb_skip_bytes(rest,
				      sb_number_of(rest, width % 2 ? 4 : 1));
		else
			rest->bad = true;
	}
}

/* ---- the fields of a transfer; one that is left out is null ---- */

static unsigned sb_constructor(struct sb_rest *rest, uint64_t *fields)
{
	if (*fields == 0)
		return SB_NULL;
	(*fields)--;
	return (unsigned)sb_number_of(rest, 1);
}

/* Whether there is one. */
static bool sb_uint(struct sb_rest *rest, uint64_t *fields, uint32_t *number)
{
	switch (sb_constructor(rest, fields)) {
	case SB_UINT0:
		*number = 0;
		return true;
	case SB_SMALLUINT:
		*number = (uint32_t)sb_number_of(rest, 1);
		return true;
	case SB_UINT:
		*number = (uint32_t)sb_number_of(rest, 4);
		return true;
	case SB_NULL:
		return false;
	default:
		rest->bad = true;
		return false;
	}
}

static bool sb_boolean(struct sb_rest *rest, uint64_t *fields)
{
	uint64_t value;

	switch (sb_constructor(rest, fields)) {
	case SB_TRUE:
		return true;
	case SB_BOOLEAN:
		value = sb_number_of(rest, 1);
		rest->bad |= value > 1;
		return value == 1;
	case SB_FALSE:
	case SB_NULL:
		return false;
	default:
		rest->bad = true;
		return false;
	}
}

static void sb_any(struct sb_rest *rest, uint64_t *fields)
{
	if (*fields == 0)
		return;
	(*fields)--;
	sb_skip(rest);
}

/* Enters a list: how many values are in it. */
static uint64_t sb_list(struct sb_rest *rest)
{
	unsigned constructor = (unsigned)sb_number_of(rest, 1);
	size_t width = constructor == SB_LIST32 ? 4 : 1;
	uint64_t size;

	if (constructor == SB_LIST0)
		return 0;
	if (constructor != SB_LIST8 && constructor != SB_LIST32) {
		rest->bad = true;
		return 0;
	}
	size = sb_number_of(rest, width);
	if (size < width || size > rest->n) {
		rest->bad = true;
		return 0;
	}
	rest->n = (size_t)size; /* what is behind it is the message */
	return sb_number_of(rest, width);
}

/* false: the peer may not say this. */
static bool sb_transfer(struct sb_scan *scan, struct sb_rest *rest,
			uint16_t channel)
{
	uint64_t fields = sb_list(rest);
	bool continued, has_id, more, aborted;
	uint32_t handle = 0, number = 0;

	rest->bad |= !sb_uint(rest, &fields, &handle);
	has_id = sb_uint(rest, &fields, &number);
	sb_any(rest, &fields); /* delivery-tag */
	sb_uint(rest, &fields, &number);
	sb_boolean(rest, &fields); /* settled */
	more = sb_boolean(rest, &fields);
	sb_any(rest, &fields);	   /* rcv-settle-mode */
	sb_any(rest, &fields);	   /* state */
	sb_boolean(rest, &fields); /* resume */
	aborted = sb_boolean(rest, &fields);
	sb_boolean(rest, &fields); /* batchable */
	if (rest->bad || rest->n > 0 || fields > 0)
		return false;
	continued = scan->more && scan->channel == channel &&
		    scan->handle == handle;
	if (more && !has_id && !continued)
		return false;
	if (more && !aborted)
		*scan = (struct sb_scan){ scan->mechanisms, true, channel,
					  handle };
	else if (continued)
		scan->more = false;
	return true;
}

static bool sb_body(struct sb_scan *scan, struct sb_rest *rest,
		    uint16_t channel)
{
	unsigned described, constructor;
	uint64_t code;

	if (rest->n == 0) /* a heartbeat */
		return true;
	described = (unsigned)sb_number_of(rest, 1);
	constructor = (unsigned)sb_number_of(rest, 1);
	if (described != 0 ||
	    (constructor != SB_SMALLULONG && constructor != SB_ULONG))
		return false;
	code = sb_number_of(rest, constructor == SB_ULONG ? 8 : 1);
	if (rest->bad)
		return false;
	if (code == SB_TRANSFER)
		return sb_transfer(scan, rest, channel);
	/* All others may make another link of the same numbers. */
	if (code != SB_FLOW && code != SB_DISPOSITION)
		scan->more = false;
	if (code != SB_MECHANISMS)
		return true;
	if (scan->mechanisms)
		return false;
	scan->mechanisms = true;
	return true;
}

enum sb_scan_state sb_scan(struct sb_scan *scan, const unsigned char *bytes,
			   size_t n, size_t *length)
{
	struct sb_rest rest = { bytes, n, false };
	uint64_t size, offset, channel;

	if (n < SB_HEADER_BYTES)
		return SB_SCAN_PART;
	*length = SB_HEADER_BYTES;
	/* No frame is as long as this would say. */
	if (memcmp(bytes, "AMQP", 4) == 0)
		return SB_SCAN_GOOD;
	size = sb_number_of(&rest, 4);
	offset = sb_number_of(&rest, 1) * 4;
	sb_skip_bytes(&rest, 1); /* the type: Proton does not look at it */
	channel = sb_number_of(&rest, 2);
	if (size > SB_SCAN_FRAME_BYTES || offset < SB_HEADER_BYTES ||
	    offset > size)
		return SB_SCAN_BAD;
	if (n < size)
		return SB_SCAN_PART;
	*length = (size_t)size;
	rest.at = bytes + offset;
	rest.n = (size_t)(size - offset);
	return sb_body(scan, &rest, (uint16_t)channel) ? SB_SCAN_GOOD
						       : SB_SCAN_BAD;
}

#include "config.h"

#include "kinds/servicebus/sb_scan.h"

#include <string.h>

#define SB_HEADER_BYTES 8 /* of a frame, and of a protocol */
/* Descriptors of the frames that matter here. */
#define SB_FLOW 0x13
#define SB_TRANSFER 0x14
#define SB_DISPOSITION 0x15
#define SB_MECHANISMS 0x40
/* Constructors (AMQP 1.0 part 1, section 1.6). */
#define SB_NULL 0x40
#define SB_TRUE 0x41
#define SB_UINTS "\x43\x52\x70"
#define SB_BOOLS "\x41\x42\x56"
#define SB_LIST0 0x45
#define SB_LIST8 0xc0
#define SB_LIST32 0xd0
#define SB_SMALLULONG 0x53
#define SB_ULONG 0x80

/* The unread rest of a frame; `bad`: it is malformed. */
struct sb_rest {
	const unsigned char *at;
	size_t n;
	bool bad;
};

static void sb_skip_bytes(struct sb_rest *rest, uint64_t count)
{
	if (rest->n < count) {
		rest->bad = true;
		count = rest->n;
	}
	rest->at += count;
	rest->n -= (size_t)count;
}

/* `count` bytes as a number, most significant first. */
static uint64_t sb_number_of(struct sb_rest *rest, size_t count)
{
	const unsigned char *at = rest->at;
	uint64_t number = 0;

	sb_skip_bytes(rest, count);
	while (!rest->bad && at < rest->at)
		number = number << 8 | *at++;
	return number;
}

/* How many bytes follow constructors of the classes 4 to 9. */
static const unsigned char sb_widths[] = { 0, 1, 2, 4, 8, 16 };

/* Skips one value: the constructor says how long it is. */
static void sb_skip(struct sb_rest *rest)
{
	unsigned constructor, values = 1, width;

	for (; values > 0 && !rest->bad; values--) {
		constructor = (unsigned)sb_number_of(rest, 1);
		width = constructor >> 4;
		if (constructor == 0) /* a descriptor, and what it describes */
			values += 2;
		else if (width >= 4 && width <= 9)
			sb_skip_bytes(rest, sb_widths[width - 4]);
		else if (width >= 0xa) /* even: a length of one byte */
			sb_skip_bytes(rest,
				      sb_number_of(rest, width % 2 ? 4 : 1));
		else
			rest->bad = true;
	}
}

/* A field of a transfer: 'u', an unsigned int, 'b', a boolean, or '*',
 * anything. Its value; -1: null. */
static int64_t sb_field(struct sb_rest *rest, char type)
{
	unsigned constructor;
	int64_t value;

	if (type == '*') {
		sb_skip(rest);
		return -1;
	}
	constructor = (unsigned)sb_number_of(rest, 1);
	if (constructor == SB_NULL)
		return -1;
	if (!memchr(type == 'u' ? SB_UINTS : SB_BOOLS, (int)constructor, 3)) {
		rest->bad = true;
		return -1;
	}
	if (constructor == SB_TRUE)
		return 1;
	value = (int64_t)sb_number_of(rest, sb_widths[(constructor >> 4) - 4]);
	rest->bad |= type == 'b' && value > 1;
	return value;
}

/* Enters a list: the number of its values. */
static uint64_t sb_list(struct sb_rest *rest)
{
	unsigned constructor = (unsigned)sb_number_of(rest, 1);
	size_t width = constructor == SB_LIST32 ? 4 : 1;
	uint64_t size;

	if (constructor == SB_LIST0)
		return 0;
	size = sb_number_of(rest, width);
	if ((constructor != SB_LIST8 && constructor != SB_LIST32) ||
	    size < width || size > rest->n) {
		rest->bad = true;
		return 0;
	}
	rest->n = (size_t)size; /* the message follows the list */
	return sb_number_of(rest, width);
}

/* AMQP 1.0 part 2, section 2.7.5; false: forbidden. */
static bool sb_transfer(struct sb_scan *scan, struct sb_rest *rest,
			uint16_t channel)
{
	/* handle, delivery-id, delivery-tag, message-format, settled, more,
	 * rcv-settle-mode, state, resume, aborted, batchable */
	static const char types[] = "uu*ubb**bbb";
	enum { HANDLE, DELIVERY_ID, MORE = 5, ABORTED = 9 };
	uint64_t fields = sb_list(rest), i;
	int64_t values[sizeof(types) - 1];
	bool continued, more;

	/* Omitted fields are null. */
	for (i = 0; types[i]; i++)
		values[i] = i < fields ? sb_field(rest, types[i]) : -1;
	if (rest->bad || rest->n > 0 || fields > i || values[HANDLE] < 0)
		return false;
	more = values[MORE] == 1;
	continued = scan->more && scan->channel == channel &&
		    scan->handle == values[HANDLE];
	if (more && values[DELIVERY_ID] < 0 && !continued)
		return false;
	if (more && values[ABORTED] != 1)
		*scan = (struct sb_scan){ scan->mechanisms, true, channel,
					  (uint32_t)values[HANDLE] };
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
	code = sb_number_of(rest, constructor == SB_ULONG ? 8 : 1);
	if (rest->bad || described != 0 ||
	    (constructor != SB_SMALLULONG && constructor != SB_ULONG))
		return false;
	if (code == SB_TRANSFER)
		return sb_transfer(scan, rest, channel);
	/* All others may attach another link with the same numbers. */
	if (code != SB_FLOW && code != SB_DISPOSITION)
		scan->more = false;
	if (code == SB_MECHANISMS && scan->mechanisms)
		return false;
	scan->mechanisms |= code == SB_MECHANISMS;
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
	/* As a length, this would exceed any frame. */
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

#include "front/fcgi_scan.c"

#include <stdint.h>
#include <stdlib.h>

#include "unit.h"

/* A message that is put together record by record. */
static unsigned char message[2 * FCGI_SCAN_MAX_BYTES];
static size_t used;
static unsigned id_used = 1;

static void put(const void *bytes, size_t n)
{
	memcpy(message + used, bytes, n);
	used += n;
}

static void put_record(int type, const void *content, size_t n, size_t padding)
{
	unsigned char head[8] = { 1,
				  (unsigned char)type,
				  (unsigned char)(id_used >> 8),
				  (unsigned char)id_used,
				  (unsigned char)(n >> 8),
				  (unsigned char)n,
				  (unsigned char)padding,
				  0 };

	put(head, sizeof(head));
	put(content, n);
	memset(message + used, 0xff, padding);
	used += padding;
}

static void put_begin(unsigned char role, size_t padding)
{
	unsigned char body[8] = { 0, role, 1, 0, 0, 0, 0, 0 };

	put_record(FCGI_BEGIN_REQUEST, body, sizeof(body), padding);
}

static const char path[] = "\x09\x06PATH_INFO/ready";
#define PATH_BYTES (sizeof(path) - 1)

static void put_request(void)
{
	put_begin(1, 0);
	put_record(FCGI_PARAMS, path, PATH_BYTES, 3);
	put_record(FCGI_PARAMS, "", 0, 0);
	put_record(FCGI_STDIN, "", 0, 0);
}

static void start(void)
{
	used = 0;
	id_used = 1;
}

static struct fcgi_scan seen; /* of the last scan */
static size_t replied;	      /* for the next one */

/* From memory of the very size, so that a sanitizer sees a byte too far. */
static enum fcgi_scan_state scan_n(size_t n, size_t *length)
{
	unsigned char *copy = malloc(n ? n : 1);
	enum fcgi_scan_state state;

	memcpy(copy, message, n);
	seen.replied = replied;
	seen.length = 0;
	state = fcgi_scan(copy, n, &seen);
	*length = seen.length;
	free(copy);
	return state;
}

static enum fcgi_scan_state scan(void)
{
	size_t length = 0;

	return scan_n(used, &length);
}

static void test_whole(void)
{
	size_t n, length = 0;

	start();
	put_request();
	for (n = 0; n < used; n++)
		CHECK_INT(scan_n(n, &length), FCGI_SCAN_PARTIAL);
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_WHOLE);
	CHECK_INT(length, used);

	n = used;
	put_request();
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_WHOLE);
	CHECK_INT(length, n);
	CHECK_INT(scan_n(n + 1, &length), FCGI_SCAN_WHOLE);
	CHECK_INT(length, n);
}

static void test_body(void)
{
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS, "", 0, 0);
	put_record(FCGI_STDIN, "a=b", 3, 5);
	CHECK_INT(scan(), FCGI_SCAN_BODY);
	put_record(FCGI_STDIN, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);
}

static void test_begin(void)
{
	static const unsigned char body[9] = { 0, 1 };
	unsigned char role;
	size_t n;

	for (role = 0; role < 5; role++) {
		start();
		put_begin(role, 0);
		CHECK_INT(scan(),
			  role == 1 ? FCGI_SCAN_PARTIAL : FCGI_SCAN_REPLY);
		used--;
		CHECK_INT(scan(), FCGI_SCAN_PARTIAL);
	}
	for (n = 0; n <= sizeof(body); n++) {
		start();
		put_record(FCGI_BEGIN_REQUEST, body, n, 0);
		CHECK_INT(scan(), n == 8 ? FCGI_SCAN_PARTIAL : FCGI_SCAN_BAD);
	}
	start();
	id_used = 0;
	put_request();
	CHECK_INT(scan(), FCGI_SCAN_BAD);
	start();
	id_used = 65535;
	put_request();
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);
}

/* What has no place in FastCGI is refused at its first header. */
static void test_garbage(void)
{
	int type;

	for (type = 0; type < 256; type++) {
		bool known = type > 0 && type <= FCGI_MAXTYPE;

		start();
		put_record(type, "12345678", 8, 0);
		if (type == FCGI_BEGIN_REQUEST)
			CHECK_INT(scan(), FCGI_SCAN_REPLY);
		else if (type == FCGI_ABORT_REQUEST || type == FCGI_PARAMS ||
			 type == FCGI_STDIN || type == FCGI_DATA)
			CHECK_INT(scan(), FCGI_SCAN_SKIP);
		else
			CHECK_INT(scan(), FCGI_SCAN_BAD);

		/* Management records; those of ours cannot come from a peer. */
		start();
		id_used = 0;
		put_record(type, "12345678", 8, 0);
		CHECK_INT(scan(), !known || type == FCGI_GET_VALUES
					  ? FCGI_SCAN_REPLY
					  : FCGI_SCAN_BAD);
	}
	start();
	put("GET /health HTTP/1.1", 20);
	CHECK_INT(scan(), FCGI_SCAN_BAD);
	start();
	put_request();
	message[0] = 2;
	CHECK_INT(scan(), FCGI_SCAN_BAD);
	/* Known by its header: no need to wait for the rest. */
	start();
	put_record(9, path, PATH_BYTES, 0);
	used = 8;
	CHECK_INT(scan(), FCGI_SCAN_BAD);
}

static void test_order(void)
{
	static const int wrong[] = { FCGI_BEGIN_REQUEST, FCGI_STDIN, FCGI_DATA,
				     FCGI_GET_VALUES, FCGI_STDOUT };
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		start();
		put_begin(1, 0);
		put_record(wrong[i], path, PATH_BYTES, 0);
		CHECK_INT(scan(), FCGI_SCAN_BAD);
	}
	start();
	put_begin(1, 0);
	put_begin(1, 0);
	CHECK_INT(scan(), FCGI_SCAN_BAD);
}

/* The copy that libfcgi gets holds the one request without padding, and the
 * bytes behind it are left alone. */
static void check_copy(size_t length)
{
	unsigned char copy[sizeof(message)];
	size_t n = length, stripped;

	memcpy(copy, message, used);
	stripped = fcgi_scan_strip(copy, length);
	CHECK(memcmp(copy + n, message + n, used - n) == 0);
	start();
	put_request();
	CHECK_INT(stripped, used - 3); /* its own padding */
	memmove(message, copy, stripped);
	used = stripped;
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_WHOLE);
	CHECK_INT(length, used);
}

/* Legal, but libfcgi takes this padding for records: they could hold anything.
 */
static void test_padding(void)
{
	size_t length = 0, at;

	for (at = 0; at < 3; at++) {
		start();
		put_begin(1, at == 0 ? 8 : 0);
		put_record(FCGI_PARAMS, path, PATH_BYTES, 3);
		put_record(FCGI_PARAMS, "", 0, at == 1 ? 255 : 0);
		put_record(FCGI_STDIN, "", 0, at == 2 ? 1 : 0);
		CHECK_INT(scan_n(used, &length), FCGI_SCAN_WHOLE);
		CHECK_INT(length, used);
		CHECK_INT(scan_n(used - 1, &length), FCGI_SCAN_PARTIAL);
		check_copy(length = used);
	}
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS, path, PATH_BYTES, 255);
	put_record(FCGI_PARAMS, "", 0, 0);
	put_record(FCGI_STDIN, "x", 1, 255);
	put_record(FCGI_STDIN, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);
	/* Of a body that is under way, complete records only. */
	start();
	put_begin(1, 8);
	put_record(FCGI_PARAMS, "", 0, 0);
	put_record(FCGI_STDIN, "x", 1, 255);
	CHECK_INT(scan_n(used - 1, &length), FCGI_SCAN_BODY);
	CHECK_INT(length, 32);
}

/* ---- replies ---- */

static unsigned char reply[FCGI_REPLY_BYTES];

/* Of a message that wants one: which, and the bytes to be thrown away. */
static size_t reply_of(size_t thrown)
{
	size_t length = 0;

	CHECK_INT(scan_n(used, &length), FCGI_SCAN_REPLY);
	CHECK_INT(length, thrown);
	return fcgi_reply(message + seen.record, 1000, reply);
}

#define CHECK_REPLY(len, bytes)                                      \
	do {                                                         \
		CHECK_INT(len, sizeof(bytes) - 1);                   \
		CHECK(memcmp(reply, bytes, sizeof(bytes) - 1) == 0); \
	} while (0)

static void put_values(const char *pairs, size_t n, size_t padding)
{
	id_used = 0;
	put_record(FCGI_GET_VALUES, pairs, n, padding);
	id_used = 1;
}

#define CONNS "\16\0FCGI_MAX_CONNS"
#define REQS "\15\0FCGI_MAX_REQS"
#define MPXS "\17\0FCGI_MPXS_CONNS"
#define PUT_VALUES(text) put_values(text, sizeof(text) - 1, 0)

static void test_values(void)
{
	static const char *const broken[] = { "\1", "\1\1a", "\x80",
					      "\xff\xff\xff\xff\1ab",
					      "\1\xff\xff\xff\xff" };
	size_t i, n;

	start();
	PUT_VALUES(CONNS REQS MPXS);
	n = used;
	put_request();
	CHECK_REPLY(reply_of(n), "\1\12\0\0\0\71\0\0"
				 "\16\4FCGI_MAX_CONNS1000"
				 "\15\4FCGI_MAX_REQS1000"
				 "\17\1FCGI_MPXS_CONNS0");
	CHECK(!seen.last);

	/* Unknown names are left out, and each known one comes once. */
	start();
	PUT_VALUES(MPXS "\1\1ab" MPXS MPXS MPXS MPXS "\0\0");
	CHECK_REPLY(reply_of(used), "\1\12\0\0\0\22\0\0"
				    "\17\1FCGI_MPXS_CONNS0");
	start();
	put_values("\x80\0\0\15\0FCGI_MAX_REQS", 18, 7);
	CHECK_REPLY(reply_of(used), "\1\12\0\0\0\23\0\0"
				    "\15\4FCGI_MAX_REQS1000");
	start();
	PUT_VALUES("");
	CHECK_REPLY(reply_of(used), "\1\12\0\0\0\0\0\0");
	/* The largest number has room. */
	start();
	PUT_VALUES(CONNS REQS MPXS);
	CHECK(fcgi_reply(message, SIZE_MAX, reply) <= sizeof(reply));

	for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		start();
		put_values(broken[i], strlen(broken[i]), 0);
		CHECK_INT(reply_of(used), 0);
	}
}

static void test_unknown_type(void)
{
	start();
	id_used = 0;
	put_record(99, "abc", 3, 5);
	CHECK_REPLY(reply_of(16), "\1\13\0\0\0\10\0\0"
				  "\x63\0\0\0\0\0\0\0");
}

static void test_unknown_role(void)
{
	size_t length;

	start();
	id_used = 258;
	put_begin(2, 3);
	CHECK_REPLY(reply_of(19), "\1\3\1\2\0\10\0\0\0\0\0\0\3\0\0\0");
	CHECK(!seen.last);
	message[10] = 0;
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_REPLY);
	CHECK(seen.last);
}

/* A second request, and what comes of it, within the first one. */
static void test_second_request(void)
{
	size_t length = 0;

	start();
	put_begin(1, 0);
	id_used = 2;
	put_begin(1, 0);
	CHECK_REPLY(reply_of(0), "\1\3\0\2\0\10\0\0\0\0\0\0\1\0\0\0");
	CHECK(!seen.last);
	/* Once, and the first one goes on. */
	replied = seen.replied;
	CHECK_INT(scan(), FCGI_SCAN_PARTIAL);
	put_record(FCGI_PARAMS, path, PATH_BYTES, 0);
	id_used = 1;
	put_record(FCGI_PARAMS, path, PATH_BYTES, 0);
	put_record(FCGI_PARAMS, "", 0, 8);
	id_used = 2;
	put_record(FCGI_PARAMS, "", 0, 0);
	PUT_VALUES(MPXS);
	CHECK_REPLY(reply_of(0), "\1\12\0\0\0\22\0\0"
				 "\17\1FCGI_MPXS_CONNS0");
	replied = seen.replied;
	id_used = 1;
	put_record(FCGI_STDIN, "", 0, 0);
	length = used;
	id_used = 2;
	put_record(FCGI_STDIN, "", 0, 0);
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_WHOLE);
	CHECK_INT(length, used - 8);
	check_copy(length);
	replied = 0;
	/* Its end is left, and ignored. */
	start();
	id_used = 2;
	put_record(FCGI_STDIN, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_SKIP);
}

static enum fcgi_scan_state scan_params(const void *pairs, size_t n)
{
	start();
	put_begin(1, 0);
	if (n)
		put_record(FCGI_PARAMS, pairs, n, 0);
	put_record(FCGI_PARAMS, "", 0, 0);
	put_record(FCGI_STDIN, "", 0, 0);
	return scan();
}

#define PARAMS(text) scan_params(text, sizeof(text) - 1)

static void test_pairs(void)
{
	static const char many[2 * FCGI_SCAN_MAX_PARAMS + 2];

	CHECK_INT(PARAMS(""), FCGI_SCAN_WHOLE);
	CHECK_INT(PARAMS("\0\0"), FCGI_SCAN_WHOLE);
	CHECK_INT(PARAMS("\1\0a\0\1b\1\1cd"), FCGI_SCAN_WHOLE);
	CHECK_INT(PARAMS("\x80\0\0\1\1ab"), FCGI_SCAN_WHOLE);
	CHECK_INT(PARAMS("\1\x80\0\0\1ab"), FCGI_SCAN_WHOLE);
	CHECK_INT(PARAMS("\x80\0\0\0\x80\0\0\0"), FCGI_SCAN_WHOLE);

	/* They end in the middle. */
	CHECK_INT(PARAMS("\1"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\1\1a"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\1\1abc"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\x80\0\0"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\1\x80\0\0"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\0"), FCGI_SCAN_BAD);

	/* Lengths that overflow an int, or whose sum does. */
	CHECK_INT(PARAMS("\xff\xff\xff\xff\1ab"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\xff\xff\xff\xfe\2ab"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\1\xff\xff\xff\xfe"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\x80\1\0\1\0"), FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\x80\1\0\0\x80\1\0\0"), FCGI_SCAN_BAD);

	/* However short they are. */
	CHECK_INT(scan_params(many, 2 * FCGI_SCAN_MAX_PARAMS), FCGI_SCAN_WHOLE);
	CHECK_INT(seen.params, FCGI_SCAN_MAX_PARAMS);
	CHECK_INT(scan_params(many, 2 * FCGI_SCAN_MAX_PARAMS + 2),
		  FCGI_SCAN_BAD);
	CHECK_INT(PARAMS("\1\0a\0\1b\1\1cd"), FCGI_SCAN_WHOLE);
	CHECK_INT(seen.params, 3);
}

/* A pair, and even a length, may be cut anywhere by records. */
static void test_pairs_split(void)
{
	static const char pairs[] = "\x80\0\0\x09\x80\0\0\6PATH_INFO/ready"
				    "\1\0a";
	size_t cut, n = sizeof(pairs) - 1, i;

	for (cut = 1; cut < n; cut++) {
		start();
		put_begin(1, 0);
		put_record(FCGI_PARAMS, pairs, cut, 1);
		put_record(FCGI_PARAMS, pairs + cut, n - cut, 0);
		put_record(FCGI_PARAMS, "", 0, 0);
		put_record(FCGI_STDIN, "", 0, 0);
		CHECK_INT(scan(), FCGI_SCAN_WHOLE);
	}
	start();
	put_begin(1, 0);
	for (i = 0; i < n; i++)
		put_record(FCGI_PARAMS, pairs + i, 1, 0);
	put_record(FCGI_PARAMS, "", 0, 0);
	put_record(FCGI_STDIN, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);
}

static void test_size(void)
{
	static const unsigned char zeros[65535];
	size_t rest, length = 0;

	/* Exactly as much as is allowed, and one byte more. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS, "", 0, 0);
	rest = FCGI_SCAN_MAX_BYTES - used - 16;
	put_record(FCGI_STDIN, zeros, rest, 0);
	CHECK_INT(scan(), FCGI_SCAN_BODY);
	put_record(FCGI_STDIN, "", 0, 0);
	CHECK_INT(used, FCGI_SCAN_MAX_BYTES);
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);

	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS, "", 0, 0);
	put_record(FCGI_STDIN, zeros, rest + 1, 0);
	put_record(FCGI_STDIN, "", 0, 0);
	CHECK_INT(scan_n(FCGI_SCAN_MAX_BYTES, &length), FCGI_SCAN_BODY);

	/* A body is not waited for, once it is known that there is one. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_PARTIAL);
	put_record(FCGI_STDIN, zeros, 65535, 0);
	CHECK_INT(scan_n(31, &length), FCGI_SCAN_PARTIAL);
	CHECK_INT(scan_n(32, &length), FCGI_SCAN_BODY);

	/* A header that promises too much is not waited for. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS, zeros, 65535, 0);
	CHECK_INT(scan_n(24, &length), FCGI_SCAN_BAD);
}

static void test_abort(void)
{
	size_t length = 0;

	start();
	put_record(FCGI_ABORT_REQUEST, "", 0, 0);
	CHECK_INT(scan_n(7, &length), FCGI_SCAN_PARTIAL);
	CHECK_INT(scan_n(8, &length), FCGI_SCAN_SKIP);
	CHECK_INT(length, 8);
	put_request();
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_SKIP);
	CHECK_INT(length, 8);
	start();
	put_record(FCGI_ABORT_REQUEST, "abc", 3, 5);
	CHECK_INT(scan_n(used - 1, &length), FCGI_SCAN_PARTIAL);
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_SKIP);
	CHECK_INT(length, 16);

	/* Of the request that is not whole yet: it ends. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS, path, PATH_BYTES, 0);
	put_record(FCGI_ABORT_REQUEST, "", 0, 0);
	length = used;
	put_request();
	CHECK_REPLY(reply_of(length), "\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0");
	CHECK(!seen.last);
	message[10] = 0;
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_REPLY);
	CHECK(seen.last);
}

int main(void)
{
	test_whole();
	test_body();
	test_begin();
	test_garbage();
	test_order();
	test_padding();
	test_pairs();
	test_pairs_split();
	test_size();
	test_abort();
	test_values();
	test_unknown_type();
	test_unknown_role();
	test_second_request();
	return unit_report();
}

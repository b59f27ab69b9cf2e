#include "fcgi_scan.c"

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

	put_record(FCGI_BEGIN, body, sizeof(body), padding);
}

static const char path[] = "\x09\x06PATH_INFO/ready";
#define PATH_BYTES (sizeof(path) - 1)

static void put_request(void)
{
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, path, PATH_BYTES, 3);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	put_record(FCGI_STDIN_TYPE, "", 0, 0);
}

static void start(void)
{
	used = 0;
	id_used = 1;
}

/* From memory of the very size, so that a sanitizer sees a byte too far. */
static enum fcgi_scan_state scan_n(size_t n, size_t *length)
{
	unsigned char *copy = malloc(n ? n : 1);
	enum fcgi_scan_state state;

	memcpy(copy, message, n);
	state = fcgi_scan(copy, n, length);
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
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	put_record(FCGI_STDIN_TYPE, "a=b", 3, 5);
	CHECK_INT(scan(), FCGI_SCAN_BODY);
	put_record(FCGI_STDIN_TYPE, "", 0, 0);
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
			  role == 1 ? FCGI_SCAN_PARTIAL : FCGI_SCAN_BAD);
	}
	for (n = 0; n <= sizeof(body); n++) {
		start();
		put_record(FCGI_BEGIN, body, n, 0);
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

/* What is not a request is refused at its first header. */
static void test_garbage(void)
{
	int type;

	for (type = 0; type < 256; type++) {
		start();
		put_record(type, "12345678", 8, 0);
		if (type == FCGI_ABORT)
			CHECK_INT(scan(), FCGI_SCAN_SKIP);
		else if (type != FCGI_BEGIN)
			CHECK_INT(scan(), FCGI_SCAN_BAD);
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
	static const int wrong[] = { FCGI_BEGIN, FCGI_ABORT, FCGI_STDIN_TYPE, 8,
				     9 };
	size_t i;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		start();
		put_begin(1, 0);
		put_record(wrong[i], path, PATH_BYTES, 0);
		CHECK_INT(scan(), FCGI_SCAN_BAD);
	}
	/* libfcgi answers a management record wherever it comes. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	id_used = 0;
	put_record(9, path, PATH_BYTES, 0);
	CHECK_INT(scan(), FCGI_SCAN_BAD);
	start();
	put_begin(1, 0);
	id_used = 2;
	put_record(FCGI_PARAMS_TYPE, path, PATH_BYTES, 0);
	CHECK_INT(scan(), FCGI_SCAN_BAD);
}

/* libfcgi takes this padding for records: they could hold anything. */
static void test_padding(void)
{
	start();
	put_begin(1, 8);
	CHECK_INT(scan(), FCGI_SCAN_BAD);
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 8);
	CHECK_INT(scan(), FCGI_SCAN_BAD);
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	put_record(FCGI_STDIN_TYPE, "", 0, 8);
	CHECK_INT(scan(), FCGI_SCAN_BAD);
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, path, PATH_BYTES, 255);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	put_record(FCGI_STDIN_TYPE, "x", 1, 255);
	put_record(FCGI_STDIN_TYPE, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);
}

static enum fcgi_scan_state scan_params(const void *pairs, size_t n)
{
	start();
	put_begin(1, 0);
	if (n)
		put_record(FCGI_PARAMS_TYPE, pairs, n, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	put_record(FCGI_STDIN_TYPE, "", 0, 0);
	return scan();
}

#define PARAMS(text) scan_params(text, sizeof(text) - 1)

static void test_pairs(void)
{
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
		put_record(FCGI_PARAMS_TYPE, pairs, cut, 1);
		put_record(FCGI_PARAMS_TYPE, pairs + cut, n - cut, 0);
		put_record(FCGI_PARAMS_TYPE, "", 0, 0);
		put_record(FCGI_STDIN_TYPE, "", 0, 0);
		CHECK_INT(scan(), FCGI_SCAN_WHOLE);
	}
	start();
	put_begin(1, 0);
	for (i = 0; i < n; i++)
		put_record(FCGI_PARAMS_TYPE, pairs + i, 1, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	put_record(FCGI_STDIN_TYPE, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);
}

static void test_size(void)
{
	static const unsigned char zeros[65535];
	size_t rest, length = 0;

	/* Exactly as much as is allowed, and one byte more. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	rest = FCGI_SCAN_MAX_BYTES - used - 16;
	put_record(FCGI_STDIN_TYPE, zeros, rest, 0);
	CHECK_INT(scan(), FCGI_SCAN_BODY);
	put_record(FCGI_STDIN_TYPE, "", 0, 0);
	CHECK_INT(used, FCGI_SCAN_MAX_BYTES);
	CHECK_INT(scan(), FCGI_SCAN_WHOLE);

	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	put_record(FCGI_STDIN_TYPE, zeros, rest + 1, 0);
	put_record(FCGI_STDIN_TYPE, "", 0, 0);
	CHECK_INT(scan_n(FCGI_SCAN_MAX_BYTES, &length), FCGI_SCAN_BODY);

	/* A body is not waited for, once it is known that there is one. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, "", 0, 0);
	CHECK_INT(scan(), FCGI_SCAN_PARTIAL);
	put_record(FCGI_STDIN_TYPE, zeros, 65535, 0);
	CHECK_INT(scan_n(31, &length), FCGI_SCAN_PARTIAL);
	CHECK_INT(scan_n(32, &length), FCGI_SCAN_BODY);

	/* A header that promises too much is not waited for. */
	start();
	put_begin(1, 0);
	put_record(FCGI_PARAMS_TYPE, zeros, 65535, 0);
	CHECK_INT(scan_n(24, &length), FCGI_SCAN_BAD);
}

static void test_abort(void)
{
	size_t length = 0;

	start();
	put_record(FCGI_ABORT, "", 0, 0);
	CHECK_INT(scan_n(7, &length), FCGI_SCAN_PARTIAL);
	CHECK_INT(scan_n(8, &length), FCGI_SCAN_SKIP);
	CHECK_INT(length, 8);
	put_request();
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_SKIP);
	CHECK_INT(length, 8);
	start();
	put_record(FCGI_ABORT, "abc", 3, 5);
	CHECK_INT(scan_n(used - 1, &length), FCGI_SCAN_PARTIAL);
	CHECK_INT(scan_n(used, &length), FCGI_SCAN_SKIP);
	CHECK_INT(length, 16);
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
	return unit_report();
}

/*
 * What a PostgreSQL server sends, seen in pieces of every length.
 */
#include "kinds/postgres/pg_tap.c"

#include "unit.h"

static ConnStatusType fake_status = CONNECTION_AWAITING_RESPONSE;
static int fake_tls;
static struct wire_tap *fake_set;

ConnStatusType PQstatus(const PGconn *pg)
{
	(void)pg;
	return fake_status;
}

int PQsslInUse(PGconn *pg)
{
	(void)pg;
	return fake_tls;
}

int PQsocket(const PGconn *pg)
{
	(void)pg;
	return -1;
}

void wire_tap_set(struct wire_tap *tap)
{
	fake_set = tap;
}

static struct pg_tap tap;

/* Shows text piece by piece; false when one was refused. */
static bool show(const char *bytes, size_t len, size_t piece, bool decrypted)
{
	size_t n;

	for (; len; bytes += n, len -= n) {
		n = len < piece ? len : piece;
		if (!fake_set->on_bytes(fake_set, (const void *)bytes, n,
					decrypted))
			return false;
	}
	return true;
}

/* Why a server that sends this at the start is refused; "" when it is not. */
static const char *refused(const char *bytes, size_t len, bool decrypted)
{
	static char first[100];
	size_t piece;

	for (piece = 1; piece <= len; piece++) {
		tap = (struct pg_tap){ .pg = NULL };
		pg_tap_enter(&tap, NULL);
		CHECK_INT(show(bytes, len, piece, decrypted), !tap.refused);
		if (piece > 1)
			CHECK_STR(tap.refused ? tap.refused : "", first);
		snprintf(first, sizeof(first), "%s",
			 tap.refused ? tap.refused : "");
	}
	pg_tap_leave();
	CHECK(!fake_set);
	return first;
}

#define REFUSED(text) refused(text, sizeof(text) - 1, false)

static void test_login(void)
{
	CHECK_STR(REFUSED("R\0\0\0\x08\0\0\0\0"
			  "S\0\0\0\x0cname\0on\0"
			  "Z\0\0\0\x05I"),
		  "");
	CHECK_STR(REFUSED("R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0"
			  "R\0\0\0\x16\0\0\0\x0br=a,s=b,i=4096"
			  "R\0\0\0\x08\0\0\0\0"),
		  "");
	CHECK_STR(REFUSED("R\0\0\0\x17\0\0\0\x0br=a,s=b,i=20000"), "");
	CHECK_STR(REFUSED("R\0\0\0\x17\0\0\0\x0br=a,s=b,i=20001"),
		  "server wants too many rounds of SCRAM");
	CHECK_STR(REFUSED("R\0\0\0\x2c\0\0\0\x0br=a,s=b,"
			  "i=99999999999999999999999999"),
		  "server wants too many rounds of SCRAM");
	/* The same text in another message is ignored. */
	CHECK_STR(REFUSED("N\0\0\0\x17\0\0\0\x0br=a,s=b,i=20001"), "");
}

static void test_endless(void)
{
	char flood[9 * 20];
	size_t i;

	for (i = 0; i < 20; i++)
		memcpy(flood + 9 * i, "R\0\0\0\x08\0\0\0\x03", 9);
	CHECK_STR(refused(flood, 9 * PG_TAP_AUTH_REQUESTS, false), "");
	CHECK_STR(refused(flood, sizeof(flood), false),
		  "server asks for the password without end");
}

static void test_lengths(void)
{
	CHECK_STR(REFUSED("R\0\0\0\x08\0\0\0\0"
			  "D\0\2\0\4"),
		  "");
	CHECK_STR(REFUSED("R\0\0\0\x08\0\0\0\0"
			  "D\0\2\0\5"),
		  "answer too long");
	CHECK_STR(REFUSED("R\0\0\0\x08\0\0\0\0"
			  "D\xff\xff\xff\xff"),
		  "answer too long");
	/* Less than the length word itself: libpq refuses that. */
	CHECK_STR(REFUSED("R\0\0\0\x08\0\0\0\0"
			  "D\0\0\0\0"
			  "Z\0\0\0\x05I"),
		  "");
	/* A server that cannot fork says so in text. */
	CHECK_STR(REFUSED("Eout of memory, and much more to say\n"), "");
}

static void test_copy(void)
{
	const char *mixed = "COPY in the middle of rows";

	CHECK_STR(REFUSED("R\0\0\0\x08\0\0\0\0"
			  "T\0\0\0\x06\0\0C\0\0\0\x05\0"
			  "H\0\0\0\x07\0\0\0"),
		  "");
	CHECK_STR(REFUSED("T\0\0\0\x06\0\0H\0\0\0\x07\0\0\0"), mixed);
	CHECK_STR(REFUSED("T\0\0\0\x06\0\0D\0\0\0\x06\0\0G"
			  "\0\0\0\x07\0\0\0"),
		  mixed);
	CHECK_STR(REFUSED("T\0\0\0\x06\0\0W\0\0\0\x07\0\0\0"), mixed);
}

/* All that came from the socket counts, with TLS what is encrypted. */
static void test_flood(void)
{
	static const char notice[] = "N\0\0\0\x10SNOTICE\0Mx\0\0";
	const size_t len = sizeof(notice) - 1;
	size_t n;

	for (fake_tls = 0; fake_tls < 2; fake_tls++) {
		tap = (struct pg_tap){ .pg = NULL };
		pg_tap_enter(&tap, NULL);
		/* Each read counts, however little comes with it. */
		for (n = 0; show(notice, len, len, false); n++)
			CHECK(n < PG_TAP_MAX_BYTES / WIRE_READ_MIN);
		CHECK_INT(n, PG_TAP_MAX_BYTES / WIRE_READ_MIN);
		CHECK_STR(tap.refused, "answer too long");
	}
	fake_tls = 0;
}

static void test_tls(void)
{
	static const char login[] = "R\0\0\0\x16\0\0\0\x0br=a,s=b,i=4096";
	static const char rounds[] = "R\0\0\0\x17\0\0\0\x0br=a,s=b,i=20001";

	/* The answer to the request for TLS, then what cannot be read, then
	 * what OpenSSL made of it. */
	tap = (struct pg_tap){ .pg = NULL };
	pg_tap_enter(&tap, NULL);
	fake_status = CONNECTION_SSL_STARTUP;
	CHECK(show("N", 1, 1, false));
	CHECK(!show("NR", 2, 2, false));
	CHECK_STR(tap.refused, "server speaks before it is asked");
	tap.refused = NULL;
	CHECK(show("S", 1, 1, false));
	fake_tls = 1;
	CHECK(show("\x16\3\3\xff\xff\xff\xff\xff\xff\xff", 10, 3, false));
	fake_status = CONNECTION_AWAITING_RESPONSE;
	CHECK(show(login, sizeof(login) - 1, 5, true));
	CHECK(show("\x17\3\3\xff\xff\xff\xff\xff\xff\xff", 10, 3, false));
	CHECK(!show(rounds, sizeof(rounds) - 1, 5, true));
	fake_tls = 0;
}

int main(void)
{
	test_login();
	test_endless();
	test_lengths();
	test_copy();
	test_flood();
	test_tls();
	return unit_report();
}

#include "config.h"

#include "base/cidr.c"

#include "unit.h"

static void test_contains(void)
{
	/* clang-format off */
	static const struct {
		const char *network, *addr;
		bool inside;
	} cases[] = {
		{ "127.0.0.1", "127.0.0.1", true },
		{ "127.0.0.1", "127.0.0.2", false },
		{ "127.0.0.1", "::ffff:127.0.0.1", true },
		{ "127.0.0.1", "::127.0.0.1", false },
		{ "127.0.0.1", "::1", false },
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "::ffff:10.1.2.3", true },
		{ "10.0.0.0/8", "a00::", false },
		{ "10.1.2.3/8", "10.9.9.9", true },
		{ "192.168.4.0/22", "192.168.7.255", true },
		{ "192.168.4.0/22", "192.168.8.0", false },
		{ "192.168.4.0/22", "192.168.3.255", false },
		{ "192.168.1.128/25", "192.168.1.127", false },
		{ "192.168.1.128/25", "192.168.1.128", true },
		{ "192.168.1.1/32", "192.168.1.1", true },
		{ "192.168.1.1/32", "192.168.1.0", false },
		{ "192.168.1.0/31", "192.168.1.1", true },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "::ffff:203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "::1", "::1", true },
		{ "::1", "0:0:0:0:0:0:0:1", true },
		{ "::1", "::2", false },
		{ "::1", "127.0.0.1", false },
		{ "2001:db8::/32", "2001:db8:ffff::9", true },
		{ "2001:db8::/32", "2001:db9::", false },
		{ "2001:db8::/29", "2001:dbf::", true },
		{ "2001:db8::/29", "2001:dc0::", false },
		{ "fe80::/10", "febf::1", true },
		{ "fe80::/10", "fec0::1", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "127.0.0.1", false },
		{ "::/0", "::ffff:127.0.0.1", false },
		{ "::/8", "127.0.0.1", false },
		{ "::ffff:10.0.0.0/104", "10.2.3.4", true },
		{ "::ffff:10.0.0.0/104", "11.2.3.4", false },
		{ "::ffff:127.0.0.1", "127.0.0.1", true },
		/* garbage from the web server */
		{ "0.0.0.0/0", "", false },
		{ "0.0.0.0/0", "unix:", false },
		{ "0.0.0.0/0", "127.0.0.1 ", false },
		{ "0.0.0.0/0", " 127.0.0.1", false },
		{ "0.0.0.0/0", "127.0.0.1:80", false },
		{ "0.0.0.0/0", "127.0.0.1/8", false },
		{ "0.0.0.0/0", "127.1", false },
		{ "0.0.0.0/0", "0x7f.0.0.1", false },
		{ "0.0.0.0/0", "127.0.0.1,10.0.0.1", false },
		{ "::/0", "[::1]", false },
		{ "::/0", "fe80::1%eth0", false },
		{ "::/0", "localhost", false },
		/* garbage from the configuration trusts no address */
		{ "", "127.0.0.1", false },
		{ "127.0.0.1/33", "127.0.0.1", false },
		{ "127.0.0.1/", "127.0.0.1", false },
		{ "localhost", "127.0.0.1", false },
	};
	/* clang-format on */
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct cidr network;
		bool inside = cidr_parse(cases[i].network, &network) &&
			      cidr_contains(&network, cases[i].addr);

		if (inside != cases[i].inside)
			printf("\t%s in %s\n", cases[i].addr, cases[i].network);
		CHECK_INT(inside, cases[i].inside);
	}
}

static void test_valid(void)
{
	struct cidr network;
	static const char *const good[] = {
		"127.0.0.1",   "0.0.0.0/0",    "10.0.0.0/8",
		"10.0.0.0/32", "::",	       "::/0",
		"::1/128",     "2001:db8::/7", "::ffff:1.2.3.4/96",
		"10.0.0.0/08",
	};
	static const char *const bad[] = {
		"",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/8 ",
		"10.0.0.0/8/8",
		"10.0.0.0/0x8",
		"10.0.0.0/99999999999999999999",
		"10.0.0/8",
		"10.0.0.0.0",
		"256.0.0.1",
		"::/129",
		":::",
		"::1%lo",
		"[::1]",
		"localhost",
		"*",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc",
	};
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		CHECK(cidr_parse(good[i], &network));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!cidr_parse(bad[i], &network));
}

int main(void)
{
	test_contains();
	test_valid();
	return unit_report();
}

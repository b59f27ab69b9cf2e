#include "config.h"

#include "kinds/redis/redis_url.c"

#include "unit.h"

/* clang-format off */
static const struct {
	const char *text;
	bool tls;
	const char *path, *host;
	int port;
	const char *user, *password;
	int64_t database;
} good[] = {
	{ "redis://127.0.0.1:6379/0", false, NULL, "127.0.0.1", 6379, NULL, NULL, 0 },
	{ "redis://cache", false, NULL, "cache", 6379, NULL, NULL, 0 },
	{ "redis://", false, NULL, "localhost", 6379, NULL, NULL, 0 },
	{ "redis:///3", false, NULL, "localhost", 6379, NULL, NULL, 3 },
	{ "redis://:7000/", false, NULL, "localhost", 7000, NULL, NULL, 0 },
	{ "REDISS://cache.internal.:6380/15", true, NULL, "cache.internal.", 6380, NULL, NULL, 15 },
	{ "valkeys://v", true, NULL, "v", 6379, NULL, NULL, 0 },
	{ "valkey://v", false, NULL, "v", 6379, NULL, NULL, 0 },
	{ "redis://app:secret@h", false, NULL, "h", 6379, "app", "secret", 0 },
	{ "redis://:secret@h", false, NULL, "h", 6379, NULL, "secret", 0 },
	{ "redis://app@h", false, NULL, "h", 6379, "app", NULL, 0 },
	{ "redis://app:@h", false, NULL, "h", 6379, "app", "", 0 },
	{ "redis://a%3Ab:p%40%2f%25%20q@h/1", false, NULL, "h", 6379, "a:b", "p@/% q", 1 },
	{ "redis://u:p@w:x@h:1", false, NULL, "h", 1, "u", "p@w:x", 0 },
	{ "redis://[::1]:6380/2", false, NULL, "::1", 6380, NULL, NULL, 2 },
	{ "redis://u:p@[2001:db8::1]", false, NULL, "2001:db8::1", 6379, "u", "p", 0 },
	{ "redis://h/1?db=4&ssl_cert_reqs=none", false, NULL, "h", 6379, NULL, NULL, 4 },
	{ "redis://h?", false, NULL, "h", 6379, NULL, NULL, 0 },
	{ "redis://h:65535", false, NULL, "h", 65535, NULL, NULL, 0 },
	{ "redis://h/2147483647", false, NULL, "h", 6379, NULL, NULL, 2147483647 },
	{ "unix:///run/redis.sock", false, "/run/redis.sock", NULL, 6379, NULL, NULL, 0 },
	{ "unix://u:p@/run/r%20s?db=7", false, "/run/r s", NULL, 6379, "u", "p", 7 },
	{ "redis+unix:///s?x=1&db=2", false, "/s", NULL, 6379, NULL, NULL, 2 },
};

/* What must be refused, and a word of the reason. */
static const struct {
	const char *text, *word;
} bad[] = {
	{ "", "begins" },
	{ "localhost:6379", "begins" },
	{ "http://h", "begins" },
	{ "redi://h", "begins" },
	{ "://h", "begins" },
	{ "redis:/h", "begins" },
	{ "redis://h:0", "port" },
	{ "redis://h:65536", "port" },
	{ "redis://h:99999999999999999999", "port" },
	{ "redis://h:", "port" },
	{ "redis://h:63x", "port" },
	{ "redis://h:-1", "port" },
	{ "redis://u:se/cret@h:6379", "port" },
	{ "redis://u:se#cret@h:6379", "port" },
	{ "redis://u:1/cret@h:6379", "database" },
	{ "redis://h#x", "#" },
	{ "redis://h/0#x", "#" },
	{ "redis://h/x", "database" },
	{ "redis://h/-1", "database" },
	{ "redis://h//1", "database" },
	{ "redis://h/2147483648", "database" },
	{ "redis://h/1/2", "database" },
	{ "redis://h?db=x", "database" },
	{ "redis://h?db=", "database" },
	{ "redis://::1", "brackets" },
	{ "redis://2001:db8::1:6379", "brackets" },
	{ "redis://[::1", "brackets" },
	{ "redis://[1.2.3.4]", "IPv6" },
	{ "redis://[::1]x", "port" },
	{ "redis://a:1,b:2", "only one" },
	{ "redis://a%20b", "character" },
	{ "redis://a b", "character" },
	{ "redis://u:p%@h", "hexadecimal" },
	{ "redis://u:p%4@h", "hexadecimal" },
	{ "redis://u:p%zz@h", "hexadecimal" },
	{ "redis://u:p%00@h", "hexadecimal" },
	{ "unix://", "path" },
	{ "unix:///", "path" },
	{ "unix://run/redis.sock", "path" },
};

static const struct {
	const char *text, *mistake;
	bool tls;
	const char *host;
	int port;
	const char *user, *password;
	int64_t database;
} options[] = {
	{ "c.redis.cache.windows.net:6380,password=kEy+/=,ssl=True,abortConnect=False", NULL, true, "c.redis.cache.windows.net", 6380, NULL, "kEy+/=", 0 },
	{ "c.redis.cache.windows.net:6380,password=k=", NULL, true, "c.redis.cache.windows.net", 6380, NULL, "k=", 0 },
	{ "c.region.redis.azure.net:10000,password=k", NULL, true, "c.region.redis.azure.net", 10000, NULL, "k", 0 },
	{ "h:6379,password=k,ssl=false", NULL, false, "h", 6379, NULL, "k", 0 },
	{ "h:6380,SSL=False", NULL, false, "h", 6380, NULL, NULL, 0 },
	{ "h,user=app,password=p,defaultDatabase=3,ssl=true", NULL, true, "h", 6379, "app", "p", 3 },
	{ "[::1]:7000, password=p , allowAdmin=true", NULL, false, "::1", 7000, NULL, "p ", 0 },
	{ "h:6379,password=p,", NULL, false, "h", 6379, NULL, "p", 0 },
	{ "h:6379,password=a,password=b", NULL, false, "h", 6379, NULL, "b", 0 },
	{ "a:6379,b:6379,password=p", "only one host can be given", false, "a", 6379, NULL, NULL, 0 },
	{ "h:6379,password=p,b:6379", "only one host can be given", false, "h", 6379, NULL, NULL, 0 },
	{ "h:0,password=p", "the port is not a number from 1 to 65535 (\"/\", \"?\", \"#\" and \"@\" in a password are written as %2F, %3F, %23 and %40)", false, "h", 6379, NULL, NULL, 0 },
	{ "h,ssl=yes", "has an ssl that is neither True nor False", false, "h", 6379, NULL, NULL, 0 },
	{ "h,defaultDatabase=x", "has a defaultDatabase that is not a number", false, "h", 6379, NULL, NULL, 0 },
	{ "h,defaultDatabase=-1", "has a defaultDatabase that is not a number", false, "h", 6379, NULL, NULL, -1 },
};
/* clang-format on */

static void check_text(const char *got, const char *want)
{
	if (want)
		CHECK_STR(got, want);
	else
		CHECK(!got);
}

static void test_good(void)
{
	struct redis_url url;
	char text[600];
	size_t i;

	for (i = 0; i < sizeof(good) / sizeof(*good); i++) {
		const char *mistake;

		snprintf(text, sizeof(text), "%s", good[i].text);
		mistake = redis_url_parse(&url, text);
		if (mistake)
			CHECK_STR(mistake, good[i].text);
		CHECK_INT(url.tls, good[i].tls);
		check_text(url.path, good[i].path);
		check_text(url.host, good[i].host);
		CHECK_INT(url.port, good[i].port);
		check_text(url.user, good[i].user);
		check_text(url.password, good[i].password);
		CHECK_INT(url.database, good[i].database);
	}
}

static void test_bad(void)
{
	struct redis_url url;
	const char *mistake;
	char text[600];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		snprintf(text, sizeof(text), "%s", bad[i].text);
		mistake = redis_url_parse(&url, text);
		CHECK(mistake && strstr(mistake, bad[i].word));
		if (!mistake || !strstr(mistake, bad[i].word))
			printf("\t%s: %s\n", bad[i].text,
			       mistake ? mistake : "no mistake");
		CHECK(!mistake || !strstr(mistake, "cret"));
	}
}

static void test_long(void)
{
	char text[600] = "redis://";
	struct redis_url url;

	memset(text + 8, 'h', 300);
	CHECK(redis_url_parse(&url, text) != NULL);
}

static void test_options(void)
{
	struct redis_url url;
	const char *mistake;
	char text[600], *rest;
	size_t i;

	for (i = 0; i < sizeof(options) / sizeof(*options); i++) {
		CHECK(redis_url_has_options(options[i].text));
		snprintf(text, sizeof(text), "%s", options[i].text);
		mistake = redis_url_options_host(&url, text);
		rest = strdup(strchr(options[i].text, ',') + 1);
		if (!mistake)
			mistake = redis_url_options(&url, rest);
		check_text(mistake, options[i].mistake);
		CHECK_INT(url.tls, options[i].tls);
		check_text(url.host, options[i].host);
		CHECK_INT(url.port, options[i].port);
		check_text(url.user, options[i].user);
		check_text(url.password, options[i].password);
		CHECK_INT(url.database, options[i].database);
		free(rest);
	}
	CHECK(!redis_url_has_options("redis://h?a=b,c=d"));
	CHECK(!redis_url_has_options("h:6379"));
	CHECK(!redis_url_has_options("a:1,b:2"));
	CHECK(!redis_url_has_options(""));
}

int main(void)
{
	test_good();
	test_bad();
	test_long();
	test_options();
	return unit_report();
}

#include "config.h"

#include "kinds/redis/redis_options.c"

#include "unit.h"

/* clang-format off */
static const struct {
	const char *text, *mistake;
	bool tls;
	const char *host;
	int port;
	const char *user, *password;
	int64_t database;
} rows[] = {
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

int main(void)
{
	struct redis_url url;
	const char *mistake;
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		CHECK(redis_options_fit(rows[i].text));
		mistake = redis_options_host(&url, rows[i].text);
		if (!mistake)
			mistake = redis_options_read(
				&url, strchr(rows[i].text, ',') + 1);
		check_text(mistake, rows[i].mistake);
		CHECK_INT(url.tls, rows[i].tls);
		check_text(url.host, rows[i].host);
		CHECK_INT(url.port, rows[i].port);
		check_text(url.user, rows[i].user);
		check_text(url.password, rows[i].password);
		CHECK_INT(url.database, rows[i].database);
		redis_url_free(&url);
	}
	CHECK(!redis_options_fit("redis://h?a=b,c=d"));
	CHECK(!redis_options_fit("h:6379"));
	CHECK(!redis_options_fit("a:1,b:2"));
	CHECK(!redis_options_fit(""));
	return unit_report();
}

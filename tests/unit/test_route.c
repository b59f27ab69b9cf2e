#include "answer/route.c"

#include "unit.h"

static const char *const names[] = { "database", "redis", "health", "ready",
				     "live",	 "DB",	  "db" };
static const struct route_map map = {
	.mount = "",
	.n = sizeof(names) / sizeof(names[0]),
	.names = names,
};

static struct route find_in(const struct route_map *in, const char *method,
			    const char *script_name, const char *path_info)
{
	struct route_request request = { .method = method,
					 .script_name = script_name,
					 .path_info = path_info };

	return route_find(in, &request);
}

/* What a rewrite rule has made of the URI. */
static void test_rewritten(void)
{
	static const struct {
		const char *script_name, *path_info, *uri;
		enum route_target target;
	} cases[] = {
		{ "/health.fcgi", NULL, "/health/ready", ROUTE_READY },
		{ "/health.fcgi", "", "/health/ready/?x=/health/live",
		  ROUTE_READY },
		{ "/health.fcgi", "/", "/health/started#x", ROUTE_STARTED },
		{ "/health", NULL, "//health/ready/redis", ROUTE_READY_ONE },
		{ "/health.fcgi", NULL, "/health", ROUTE_LIVE },
		{ "/health.fcgi", NULL, "/health/live", ROUTE_LIVE },
		/* Names of the user's own for the probe. */
		{ "/health.fcgi", NULL, "/status", ROUTE_LIVE },
		{ "/health.fcgi", NULL, "/health/ping", ROUTE_LIVE },
		{ "/health.fcgi", NULL, "/site/ready", ROUTE_LIVE },
		{ "/health.fcgi", NULL, "", ROUTE_LIVE },
		{ "/health.fcgi", NULL, "/health/%72eady", ROUTE_READY },
		{ "/health.fcgi", NULL, "/health%2Fready%2F", ROUTE_READY },
		{ "/health.fcgi", NULL, "/health/ready/%4eope",
		  ROUTE_NOT_FOUND },
		{ "/health.fcgi", NULL, "/health/ready/nope", ROUTE_NOT_FOUND },
		{ "/health.fcgi", NULL, "/health/readyz", ROUTE_NOT_FOUND },
		{ "/health.fcgi", NULL, "/health/ready;a=1", ROUTE_NOT_FOUND },
		{ "/health.fcgi", NULL, "/health/started/x%", ROUTE_NOT_FOUND },
		/* Whoever keeps the path means it. */
		{ "/health.fcgi", "/live", "/health/ready", ROUTE_LIVE },
		{ "/health.fcgi", "/ready", "/health/live", ROUTE_READY },
		{ "/health.fcgi", "/nope", "/health/ready", ROUTE_NOT_FOUND },
		{ "/other", NULL, "/health/ready", ROUTE_NOT_FOUND },
	};
	char longer[2 * ROUTE_PATH_BYTES];
	struct route_request request = { .script_name = "/health",
					 .request_uri = longer };
	size_t i;

	memset(longer, '/', sizeof(longer));
	memcpy(longer + sizeof(longer) - 14, "/health/ready", 14);
	CHECK_INT(route_find(&map, &request).target, ROUTE_LIVE);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request.script_name = cases[i].script_name;
		request.path_info = cases[i].path_info;
		request.request_uri = cases[i].uri;
		CHECK_INT(route_find(&map, &request).target, cases[i].target);
	}
	request.method = "POST";
	CHECK_INT(route_find(&map, &request).target, ROUTE_NOT_FOUND);
	request.script_name = "/health";
	CHECK_INT(route_find(&map, &request).target, ROUTE_NOT_ALLOWED);
}

struct path_case {
	const char *script_name, *path_info;
	enum route_target target;
	size_t check;
};

static void check_paths(const struct route_map *in,
			const struct path_case cases[], size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct route route = find_in(in, "GET", cases[i].script_name,
					     cases[i].path_info);
		bool good = route.target == cases[i].target &&
			    route.check == cases[i].check && !route.head &&
			    !route.trusted;

		if (!good)
			printf("\tpath %zu: \"%s\" + \"%s\": target %d\n", i,
			       cases[i].script_name ? cases[i].script_name : "",
			       cases[i].path_info ? cases[i].path_info : "",
			       (int)route.target);
		CHECK(good);
	}
}

#define CHECK_PATHS(in, cases) \
	check_paths(in, cases, sizeof(cases) / sizeof((cases)[0]))

/* How each web server cuts the URL. */
static void test_servers(void)
{
	/* clang-format off */
	static const struct path_case cases[] = {
		/* nginx with fastcgi_split_path_info, Caddy with split */
		{ "/health", "", ROUTE_LIVE, 0 },
		{ "/health", "/", ROUTE_LIVE, 0 },
		{ "/health", "/ready", ROUTE_READY, 0 },
		{ "/health", "/ready/redis", ROUTE_READY_ONE, 1 },
		/* lighttpd, HAProxy path-info, mod_fcgid by Alias, CGI */
		{ "/health", NULL, ROUTE_LIVE, 0 },
		{ "/health", "/started", ROUTE_STARTED, 0 },
		/* mod_fcgid by a rewrite in .htaccess */
		{ "/health.fcgi", NULL, ROUTE_LIVE, 0 },
		{ "/health.fcgi", "/", ROUTE_LIVE, 0 },
		{ "/health.fcgi", "/ready", ROUTE_READY, 0 },
		{ "/~me/site/health.fcgi", "/ready", ROUTE_READY, 0 },
		/* mod_proxy_fcgi, nginx without a split */
		{ "/health/", NULL, ROUTE_LIVE, 0 },
		{ "/health/ready", NULL, ROUTE_READY, 0 },
		{ "/health/ready/database", "", ROUTE_READY_ONE, 0 },
		/* Caddy without a split, lighttpd mounted at its root */
		{ "", "/health", ROUTE_LIVE, 0 },
		{ "", "/health/", ROUTE_LIVE, 0 },
		{ "", "/health/ready", ROUTE_READY, 0 },
		{ NULL, "/health/started", ROUTE_STARTED, 0 },
		/* a program of another name in a folder of ours */
		{ "/health/run.cgi", "/ready", ROUTE_NOT_FOUND, 0 },
	};
	/* clang-format on */

	CHECK_PATHS(&map, cases);
}

static void test_paths(void)
{
	/* clang-format off */
	static const struct path_case cases[] = {
		{ "/health", "/live", ROUTE_LIVE, 0 },
		{ "/health", "/live/", ROUTE_LIVE, 0 },
		{ "/health", "/ready/", ROUTE_READY, 0 },
		{ "/health", "/ready/redis/", ROUTE_READY_ONE, 1 },
		{ "//health", "//ready//redis", ROUTE_READY_ONE, 1 },
		{ "/health/", "/ready", ROUTE_READY, 0 },
		/* checks that are called like one of our words */
		{ "/health", "/ready/health", ROUTE_READY_ONE, 2 },
		{ "/health/ready/health", NULL, ROUTE_READY_ONE, 2 },
		{ "/health", "/ready/ready", ROUTE_READY_ONE, 3 },
		{ "/health", "/ready/live", ROUTE_READY_ONE, 4 },
		/* names equal but for case are two */
		{ "/health", "/ready/DB", ROUTE_READY_ONE, 5 },
		{ "/health", "/ready/db", ROUTE_READY_ONE, 6 },
		{ "/health", "/ready/Db", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready/databas", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready/database2", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready/database/x", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/readyx", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/Ready", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/live/x", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/started/x", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/nothing", ROUTE_NOT_FOUND, 0 },
		{ "/health", "ready", ROUTE_NOT_FOUND, 0 },
		{ "/health", "x", ROUTE_NOT_FOUND, 0 },
		{ "/healthx", NULL, ROUTE_NOT_FOUND, 0 },
		{ "/HEALTH", "/ready", ROUTE_NOT_FOUND, 0 },
		{ "/healt", NULL, ROUTE_NOT_FOUND, 0 },
		{ "/ready", NULL, ROUTE_NOT_FOUND, 0 },
		{ "/index.html", NULL, ROUTE_NOT_FOUND, 0 },
		{ "", "", ROUTE_NOT_FOUND, 0 },
		{ NULL, NULL, ROUTE_NOT_FOUND, 0 },
		{ "/", "/", ROUTE_NOT_FOUND, 0 },
		/* the first mount counts */
		{ "/app/health", "/ready", ROUTE_READY, 0 },
		{ "/health", "/health/ready", ROUTE_NOT_FOUND, 0 },
		{ "/app", "/x/health/ready", ROUTE_READY, 0 },
		/* still encoded is not decoded by us */
		{ "/health", "/%72eady", ROUTE_NOT_FOUND, 0 },
		{ "/health%2fready", NULL, ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready?x", ROUTE_NOT_FOUND, 0 },
	};
	/* clang-format on */

	CHECK_PATHS(&map, cases);
}

static void test_hostile_paths(void)
{
	/* clang-format off */
	static const struct path_case cases[] = {
		{ "/health", "/../health", ROUTE_NOT_FOUND, 0 },
		{ "/x/../health", "/ready", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready/..", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready/../", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/.", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/./ready", ROUTE_NOT_FOUND, 0 },
		{ "/..", "/health", ROUTE_NOT_FOUND, 0 },
		{ "/health/.", "./ready", ROUTE_NOT_FOUND, 0 },
		{ "/.well-known/health", NULL, ROUTE_LIVE, 0 },
		{ "/...a/..b/health", NULL, ROUTE_LIVE, 0 },
		{ "/health", "/ready\r\nX: y", ROUTE_NOT_FOUND, 0 },
		{ "/health\n", NULL, ROUTE_NOT_FOUND, 0 },
		{ "/a\x1b[2J/health", NULL, ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready\x7f", ROUTE_NOT_FOUND, 0 },
		{ "/m\xc3\xbcller/health", NULL, ROUTE_LIVE, 0 },
		{ "/\xff\xfe/health", NULL, ROUTE_LIVE, 0 },
		{ "/health", "/ready/\xff", ROUTE_NOT_FOUND, 0 },
	};
	/* clang-format on */

	CHECK_PATHS(&map, cases);
}

static void test_long_paths(void)
{
	char path[3 * ROUTE_PATH_BYTES];
	size_t len;

	for (len = ROUTE_PATH_BYTES - 2; len < ROUTE_PATH_BYTES + 3; len++) {
		memset(path, 'a', len);
		path[0] = '/';
		memcpy(path + len - 7, "/health", 8);
		CHECK_INT(find_in(&map, "GET", path, NULL).target,
			  len <= ROUTE_PATH_BYTES ? ROUTE_LIVE
						  : ROUTE_NOT_FOUND);
		path[len - 7] = '\0';
		CHECK_INT(find_in(&map, "GET", path, "/health").target,
			  len <= ROUTE_PATH_BYTES ? ROUTE_LIVE
						  : ROUTE_NOT_FOUND);
	}
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	CHECK_INT(find_in(&map, "GET", "/health", path).target,
		  ROUTE_NOT_FOUND);
	memset(path, '/', sizeof(path) - 1);
	CHECK_INT(find_in(&map, "GET", "/health", path).target, ROUTE_LIVE);
}

static void test_own_mount(void)
{
	static const struct path_case status[] = {
		{ "/status/health", "/ready", ROUTE_READY, 0 },
		{ "/status", "/health", ROUTE_LIVE, 0 },
		{ "/status", "/ready", ROUTE_NOT_FOUND, 0 },
		{ "/health", "/ready", ROUTE_READY, 0 },
	};
	static const struct path_case probe[] = {
		{ "/app/probe", "/ready/health", ROUTE_READY_ONE, 2 },
		{ "/app/probe", NULL, ROUTE_LIVE, 0 },
		{ "/x/app/probe", "/started", ROUTE_STARTED, 0 },
		{ "/app", "/probes", ROUTE_NOT_FOUND, 0 },
		{ "/probe", NULL, ROUTE_NOT_FOUND, 0 },
		{ "/health.fcgi", "/ready", ROUTE_READY, 0 },
	};
	static const struct path_case below[] = {
		{ "/health/app", "/ready", ROUTE_READY, 0 },
		{ "/health", "/app/ready", ROUTE_READY, 0 },
		{ "/health", "/ready", ROUTE_READY, 0 },
		{ "/health", "/app", ROUTE_LIVE, 0 },
	};
	static const struct path_case root[] = {
		{ "", "/ready", ROUTE_READY, 0 },
		{ "", "/", ROUTE_LIVE, 0 },
		{ "", "", ROUTE_LIVE, 0 },
		{ "/ready", "/health", ROUTE_READY_ONE, 2 },
		{ "/health", "/ready", ROUTE_READY, 0 },
		{ "/app", "/health", ROUTE_NOT_FOUND, 0 },
	};
	struct route_map own = map;

	own.mount = "/status/health";
	CHECK_PATHS(&own, status);
	own.mount = "/app/probe";
	CHECK_PATHS(&own, probe);
	own.mount = "app//probe/";
	CHECK_PATHS(&own, probe);
	own.mount = "/health/app";
	CHECK_PATHS(&own, below);
	own.mount = "/";
	CHECK_PATHS(&own, root);
	own.mount = "/../x";
	CHECK_INT(find_in(&own, "GET", "/../x", "/ready").target,
		  ROUTE_NOT_FOUND);
}

static void test_broken(void)
{
	struct route_map broken = { .mount = "", .broken = true };

	CHECK_INT(find_in(&broken, "GET", "/health/ready/any", NULL).target,
		  ROUTE_READY);
	CHECK_INT(find_in(&broken, "GET", "/health", NULL).target, ROUTE_LIVE);
	CHECK_INT(find_in(&broken, "GET", "/health/x", NULL).target,
		  ROUTE_NOT_FOUND);
}

static void test_methods(void)
{
	/* clang-format off */
	static const struct {
		const char *method, *path;
		enum route_target target;
		bool head;
	} cases[] = {
		{ "GET", "/health/ready", ROUTE_READY, false },
		{ NULL, "/health/ready", ROUTE_READY, false },
		{ "HEAD", "/health", ROUTE_LIVE, true },
		{ "HEAD", "/health/ready", ROUTE_READY, true },
		{ "HEAD", "/health/ready/redis", ROUTE_READY_ONE, true },
		{ "HEAD", "/health/started", ROUTE_STARTED, true },
		{ "HEAD", "/nothing", ROUTE_NOT_FOUND, true },
		{ "OPTIONS", "/health", ROUTE_LIVE, true },
		{ "OPTIONS", "/health/ready", ROUTE_READY, true },
		{ "OPTIONS", "/health/ready/redis", ROUTE_READY_ONE, true },
		{ "OPTIONS", "/health/started", ROUTE_STARTED, true },
		{ "OPTIONS", "/health/nothing", ROUTE_NOT_FOUND, true },
		{ "OPTIONS", "*", ROUTE_NOT_FOUND, true },
		{ "options", "/health", ROUTE_NOT_ALLOWED, false },
		{ "POST", "/health", ROUTE_NOT_ALLOWED, false },
		{ "PUT", "/health/ready", ROUTE_NOT_ALLOWED, false },
		{ "DELETE", "/health/ready/redis", ROUTE_NOT_ALLOWED, false },
		{ "TRACE", "/health/started", ROUTE_NOT_ALLOWED, false },
		{ "POST", "/health/ready/none", ROUTE_NOT_FOUND, false },
		{ "POST", "/nothing", ROUTE_NOT_FOUND, false },
		{ "get", "/health", ROUTE_NOT_ALLOWED, false },
		{ "", "/health", ROUTE_NOT_ALLOWED, false },
		{ "GET ", "/health", ROUTE_NOT_ALLOWED, false },
	};
	/* clang-format on */
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route route = find_in(&map, cases[i].method,
					     cases[i].path, NULL);

		CHECK_INT(route.target, cases[i].target);
		CHECK_INT(route.head, cases[i].head);
		CHECK_INT(route.options,
			  cases[i].method &&
				  !strcmp(cases[i].method, "OPTIONS"));
	}
}

static void test_networks(void)
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
		{ "0.0.0.0/0", NULL, false },
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
		/* garbage from the configuration trusts nobody */
		{ "", "127.0.0.1", false },
		{ "127.0.0.1/33", "127.0.0.1", false },
		{ "127.0.0.1/", "127.0.0.1", false },
		{ "localhost", "127.0.0.1", false },
	};
	/* clang-format on */
	struct route_map one = map;
	struct route_request request = { .script_name = "/health" };
	size_t i;

	one.n_trusted = 1;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		one.trusted = &cases[i].network;
		request.remote_addr = cases[i].addr;
		if (route_find(&one, &request).trusted != cases[i].inside)
			printf("\t%s in %s\n", cases[i].addr, cases[i].network);
		CHECK_INT(route_find(&one, &request).trusted, cases[i].inside);
	}
}

static void test_several_networks(void)
{
	static const char *const trusted[] = { "::1", "10.0.0.0/8",
					       "127.0.0.1" };
	struct route_map several = map;
	struct route_request request = { .script_name = "/none",
					 .remote_addr = "127.0.0.1" };

	CHECK(!route_find(&several, &request).trusted);
	several.trusted = trusted;
	several.n_trusted = 3;
	CHECK(route_find(&several, &request).trusted);
	request.remote_addr = "127.0.0.3";
	CHECK(!route_find(&several, &request).trusted);
}

static void test_network_valid(void)
{
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
		CHECK(route_network_valid(good[i]));
	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		CHECK(!route_network_valid(bad[i]));
}

int main(void)
{
	test_rewritten();
	test_servers();
	test_paths();
	test_hostile_paths();
	test_long_paths();
	test_own_mount();
	test_broken();
	test_methods();
	test_networks();
	test_several_networks();
	test_network_valid();
	return unit_report();
}

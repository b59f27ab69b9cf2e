#include "answer/route.c"

#include "fake_plan.h"
#include "unit.h"

static struct plan *plan;

static struct route find_in(const struct plan *in, const char *method,
			    const char *script_name, const char *path_info)
{
	struct route_request request = { .method = method,
					 .script_name = script_name,
					 .path_info = path_info };

	return route_find(in, &request);
}

/* The probe, or 404 or 405. */
static int leads_to(struct route route)
{
	return route.error ? route.error : (int)route.probe;
}

/* What a rewrite rule has made of the URI. */
static void test_rewritten(void)
{
	static const struct {
		const char *script_name, *path_info, *uri;
		int leads_to;
	} cases[] = {
		{ "/health.fcgi", NULL, "/health/ready", PROBE_READY },
		{ "/health.fcgi", "", "/health/ready/?x=/health/live",
		  PROBE_READY },
		{ "/health.fcgi", "/", "/health/started#x", PROBE_STARTED },
		{ "/health", NULL, "//health/ready/redis", PROBE_CHECK },
		{ "/health.fcgi", NULL, "/health", PROBE_LIVE },
		{ "/health.fcgi", NULL, "/health/live", PROBE_LIVE },
		/* Names of the user's own for the probe. */
		{ "/health.fcgi", NULL, "/status", PROBE_LIVE },
		{ "/health.fcgi", NULL, "/health/ping", PROBE_LIVE },
		{ "/health.fcgi", NULL, "/site/ready", PROBE_LIVE },
		{ "/health.fcgi", NULL, "", PROBE_LIVE },
		{ "/health.fcgi", NULL, "/health/%72eady", PROBE_READY },
		{ "/health.fcgi", NULL, "/health%2Fready%2F", PROBE_READY },
		{ "/health.fcgi", NULL, "/health/ready/%4eope", 404 },
		{ "/health.fcgi", NULL, "/health/started%00", 404 },
		{ "/health.fcgi", NULL, "/health/ready/nope", 404 },
		{ "/health.fcgi", NULL, "/health/readyz", 404 },
		{ "/health.fcgi", NULL, "/health/ready;a=1", 404 },
		{ "/health.fcgi", NULL, "/health/started/x%", 404 },
		/* A path that the web server keeps counts. */
		{ "/health.fcgi", "/live", "/health/ready", PROBE_LIVE },
		{ "/health.fcgi", "/ready", "/health/live", PROBE_READY },
		{ "/health.fcgi", "/nope", "/health/ready", 404 },
		{ "/other", NULL, "/health/ready", 404 },
	};
	char longer[2 * ROUTE_PATH_BYTES];
	struct route_request request = { .script_name = "/health",
					 .request_uri = longer };
	size_t i;

	memset(longer, '/', sizeof(longer));
	memcpy(longer + sizeof(longer) - 14, "/health/ready", 14);
	CHECK_INT(leads_to(route_find(plan, &request)), PROBE_LIVE);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		request.script_name = cases[i].script_name;
		request.path_info = cases[i].path_info;
		request.request_uri = cases[i].uri;
		CHECK_INT(leads_to(route_find(plan, &request)),
			  cases[i].leads_to);
	}
	request.method = "POST";
	CHECK_INT(leads_to(route_find(plan, &request)), 404);
	request.script_name = "/health";
	CHECK_INT(leads_to(route_find(plan, &request)), 405);
}

struct path_case {
	const char *script_name, *path_info;
	int leads_to;
	size_t check;
};

static void check_paths(const struct plan *in, const struct path_case cases[],
			size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		struct route route = find_in(in, "GET", cases[i].script_name,
					     cases[i].path_info);
		bool good = leads_to(route) == cases[i].leads_to &&
			    route.check == cases[i].check && !route.head;

		if (!good)
			printf("\tpath %zu: \"%s\" + \"%s\": target %d\n", i,
			       cases[i].script_name ? cases[i].script_name : "",
			       cases[i].path_info ? cases[i].path_info : "",
			       (int)route.probe);
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
		{ "/health", "", PROBE_LIVE, 0 },
		{ "/health", "/", PROBE_LIVE, 0 },
		{ "/health", "/ready", PROBE_READY, 0 },
		{ "/health", "/ready/redis", PROBE_CHECK, 1 },
		/* lighttpd, HAProxy path-info, mod_fcgid by Alias, CGI */
		{ "/health", NULL, PROBE_LIVE, 0 },
		{ "/health", "/started", PROBE_STARTED, 0 },
		/* mod_fcgid by a rewrite in .htaccess */
		{ "/health.fcgi", NULL, PROBE_LIVE, 0 },
		{ "/health.fcgi", "/", PROBE_LIVE, 0 },
		{ "/health.fcgi", "/ready", PROBE_READY, 0 },
		{ "/~me/site/health.fcgi", "/ready", PROBE_READY, 0 },
		/* mod_proxy_fcgi, nginx without a split */
		{ "/health/", NULL, PROBE_LIVE, 0 },
		{ "/health/ready", NULL, PROBE_READY, 0 },
		{ "/health/ready/database", "", PROBE_CHECK, 0 },
		/* Caddy without a split, lighttpd mounted at its root */
		{ "", "/health", PROBE_LIVE, 0 },
		{ "", "/health/", PROBE_LIVE, 0 },
		{ "", "/health/ready", PROBE_READY, 0 },
		{ NULL, "/health/started", PROBE_STARTED, 0 },
		/* a program of another name in a directory named health */
		{ "/health/run.cgi", "/ready", 404, 0 },
	};
	/* clang-format on */

	CHECK_PATHS(plan, cases);
}

static void test_paths(void)
{
	/* clang-format off */
	static const struct path_case cases[] = {
		{ "/health", "/live", PROBE_LIVE, 0 },
		{ "/health", "/live/", PROBE_LIVE, 0 },
		{ "/health", "/ready/", PROBE_READY, 0 },
		{ "/health", "/ready/redis/", PROBE_CHECK, 1 },
		{ "//health", "//ready//redis", PROBE_CHECK, 1 },
		{ "/health/", "/ready", PROBE_READY, 0 },
		/* checks that are called like one of our words */
		{ "/health", "/ready/health", PROBE_CHECK, 2 },
		{ "/health/ready/health", NULL, PROBE_CHECK, 2 },
		{ "/health", "/ready/ready", PROBE_CHECK, 3 },
		{ "/health", "/ready/live", PROBE_CHECK, 4 },
		/* names equal but for case are two */
		{ "/health", "/ready/DB", PROBE_CHECK, 5 },
		{ "/health", "/ready/db", PROBE_CHECK, 6 },
		{ "/health", "/ready/Db", 404, 0 },
		{ "/health", "/ready/databas", 404, 0 },
		{ "/health", "/ready/database2", 404, 0 },
		{ "/health", "/ready/database/x", 404, 0 },
		{ "/health", "/readyx", 404, 0 },
		{ "/health", "/Ready", 404, 0 },
		{ "/health", "/live/x", 404, 0 },
		{ "/health", "/started/x", 404, 0 },
		{ "/health", "/nothing", 404, 0 },
		{ "/health", "ready", 404, 0 },
		{ "/health", "x", 404, 0 },
		{ "/healthx", NULL, 404, 0 },
		{ "/HEALTH", "/ready", 404, 0 },
		{ "/healt", NULL, 404, 0 },
		{ "/ready", NULL, 404, 0 },
		{ "/index.html", NULL, 404, 0 },
		{ "", "", 404, 0 },
		{ NULL, NULL, 404, 0 },
		{ "/", "/", 404, 0 },
		/* the first mount counts */
		{ "/app/health", "/ready", PROBE_READY, 0 },
		{ "/health", "/health/ready", 404, 0 },
		{ "/app", "/x/health/ready", PROBE_READY, 0 },
		/* still encoded is not decoded by us */
		{ "/health", "/%72eady", 404, 0 },
		{ "/health%2fready", NULL, 404, 0 },
		{ "/health", "/ready?x", 404, 0 },
	};
	/* clang-format on */

	CHECK_PATHS(plan, cases);
}

static void test_hostile_paths(void)
{
	/* clang-format off */
	static const struct path_case cases[] = {
		{ "/health", "/../health", 404, 0 },
		{ "/x/../health", "/ready", 404, 0 },
		{ "/health", "/ready/..", 404, 0 },
		{ "/health", "/ready/../", 404, 0 },
		{ "/health", "/.", 404, 0 },
		{ "/health", "/./ready", 404, 0 },
		{ "/..", "/health", 404, 0 },
		{ "/health/.", "./ready", 404, 0 },
		{ "/.well-known/health", NULL, PROBE_LIVE, 0 },
		{ "/...a/..b/health", NULL, PROBE_LIVE, 0 },
		{ "/health", "/ready\r\nX: y", 404, 0 },
		{ "/health\n", NULL, 404, 0 },
		{ "/a\x1b[2J/health", NULL, 404, 0 },
		{ "/health", "/ready\x7f", 404, 0 },
		{ "/m\xc3\xbcller/health", NULL, PROBE_LIVE, 0 },
		{ "/\xff\xfe/health", NULL, PROBE_LIVE, 0 },
		{ "/health", "/ready/\xff", 404, 0 },
	};
	/* clang-format on */

	CHECK_PATHS(plan, cases);
}

static void test_long_paths(void)
{
	char path[3 * ROUTE_PATH_BYTES];
	size_t len;

	for (len = ROUTE_PATH_BYTES - 2; len < ROUTE_PATH_BYTES + 3; len++) {
		memset(path, 'a', len);
		path[0] = '/';
		memcpy(path + len - 7, "/health", 8);
		CHECK_INT(leads_to(find_in(plan, "GET", path, NULL)),
			  len <= ROUTE_PATH_BYTES ? PROBE_LIVE : 404);
		path[len - 7] = '\0';
		CHECK_INT(leads_to(find_in(plan, "GET", path, "/health")),
			  len <= ROUTE_PATH_BYTES ? PROBE_LIVE : 404);
	}
	memset(path, 'a', sizeof(path));
	path[sizeof(path) - 1] = '\0';
	CHECK_INT(leads_to(find_in(plan, "GET", "/health", path)), 404);
	memset(path, '/', sizeof(path) - 1);
	CHECK_INT(leads_to(find_in(plan, "GET", "/health", path)), PROBE_LIVE);
}

static void test_own_mount(void)
{
	static const struct path_case status[] = {
		{ "/status/health", "/ready", PROBE_READY, 0 },
		{ "/status", "/health", PROBE_LIVE, 0 },
		{ "/status", "/ready", 404, 0 },
		{ "/health", "/ready", PROBE_READY, 0 },
	};
	static const struct path_case probe[] = {
		{ "/app/probe", "/ready/health", PROBE_CHECK, 2 },
		{ "/app/probe", NULL, PROBE_LIVE, 0 },
		{ "/x/app/probe", "/started", PROBE_STARTED, 0 },
		{ "/app", "/probes", 404, 0 },
		{ "/probe", NULL, 404, 0 },
		{ "/health.fcgi", "/ready", PROBE_READY, 0 },
	};
	static const struct path_case below[] = {
		{ "/health/app", "/ready", PROBE_READY, 0 },
		{ "/health", "/app/ready", PROBE_READY, 0 },
		{ "/health", "/ready", PROBE_READY, 0 },
		{ "/health", "/app", PROBE_LIVE, 0 },
	};
	static const struct path_case root[] = {
		{ "", "/ready", PROBE_READY, 0 },
		{ "", "/", PROBE_LIVE, 0 },
		{ "", "", PROBE_LIVE, 0 },
		{ "/ready", "/health", PROBE_CHECK, 2 },
		{ "/health", "/ready", PROBE_READY, 0 },
		{ "/app", "/health", 404, 0 },
	};
	strcpy(plan->mount, "/status/health");
	CHECK_PATHS(plan, status);
	strcpy(plan->mount, "/app/probe");
	CHECK_PATHS(plan, probe);
	strcpy(plan->mount, "app//probe/");
	CHECK_PATHS(plan, probe);
	strcpy(plan->mount, "/health/app");
	CHECK_PATHS(plan, below);
	strcpy(plan->mount, "/");
	CHECK_PATHS(plan, root);
	strcpy(plan->mount, "/../x");
	CHECK_INT(leads_to(find_in(plan, "GET", "/../x", "/ready")), 404);
	plan->mount[0] = '\0';
}

static void test_broken(void)
{
	plan->broken = true;
	CHECK_INT(leads_to(find_in(plan, "GET", "/health/ready/any", NULL)),
		  PROBE_READY);
	CHECK_INT(leads_to(find_in(plan, "GET", "/health", NULL)), PROBE_LIVE);
	CHECK_INT(leads_to(find_in(plan, "GET", "/health/x", NULL)), 404);
	plan->broken = false;
}

static void test_methods(void)
{
	/* clang-format off */
	static const struct {
		const char *method, *path;
		int leads_to;
		bool head;
	} cases[] = {
		{ "GET", "/health/ready", PROBE_READY, false },
		{ NULL, "/health/ready", PROBE_READY, false },
		{ "HEAD", "/health", PROBE_LIVE, true },
		{ "HEAD", "/health/ready", PROBE_READY, true },
		{ "HEAD", "/health/ready/redis", PROBE_CHECK, true },
		{ "HEAD", "/health/started", PROBE_STARTED, true },
		{ "HEAD", "/nothing", 404, true },
		{ "OPTIONS", "/health", PROBE_LIVE, true },
		{ "OPTIONS", "/health/ready", PROBE_READY, true },
		{ "OPTIONS", "/health/ready/redis", PROBE_CHECK, true },
		{ "OPTIONS", "/health/started", PROBE_STARTED, true },
		{ "OPTIONS", "/health/nothing", 404, true },
		{ "OPTIONS", "*", 404, true },
		{ "options", "/health", 405, false },
		{ "POST", "/health", 405, false },
		{ "PUT", "/health/ready", 405, false },
		{ "DELETE", "/health/ready/redis", 405, false },
		{ "TRACE", "/health/started", 405, false },
		{ "POST", "/health/ready/none", 404, false },
		{ "POST", "/nothing", 404, false },
		{ "get", "/health", 405, false },
		{ "", "/health", 405, false },
		{ "GET ", "/health", 405, false },
	};
	/* clang-format on */
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct route route = find_in(plan, cases[i].method,
					     cases[i].path, NULL);

		CHECK_INT(leads_to(route), cases[i].leads_to);
		CHECK_INT(route.head, cases[i].head);
		CHECK_INT(route.options,
			  cases[i].method &&
				  !strcmp(cases[i].method, "OPTIONS"));
	}
}

int main(void)
{
	static const char *const names[] = { "database", "redis", "health",
					     "ready",	 "live",  "DB",
					     "db" };
	size_t n = sizeof(names) / sizeof(names[0]), i;

	plan = fake_plan(n);
	for (i = 0; i < n; i++)
		fake_plan_check(plan, i, names[i], (struct check_policy){ 0 });
	test_rewritten();
	test_servers();
	test_paths();
	test_hostile_paths();
	test_long_paths();
	test_own_mount();
	test_broken();
	test_methods();
	return unit_report();
}

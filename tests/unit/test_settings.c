/* The system's directory, below the directory that the test works in. */
#undef SYSCONFDIR
#define SYSCONFDIR "etc"

#include "app/settings.c"
#include "app/settings_source.c"
#include "kinds/kinds.c"

#include "fake_log.h"
#include "unit.h"

#include <fcntl.h>
#include <stdarg.h>

/* ---- the neighbours ---- */

bool cidr_parse(const char *text, struct cidr *network)
{
	memset(network, 0, sizeof(*network));
	return strspn(text, "0123456789./") == strlen(text);
}

/* clang-format off */
const struct conf_key check_common_keys[] = {
	{ "timeout", CONF_DURATION, offsetof(struct check_policy, timeout_ms), "3s", "10ms", "60s", 0, "t" },
	{ "max_age", CONF_DURATION, offsetof(struct check_policy, max_age_ms), "1s", "0s", "1h", 0, "m" },
	{ "interval", CONF_DURATION, offsetof(struct check_policy, interval_ms), "0s", "0s", "1d", 0, "i" },
	{ "renew", CONF_DURATION, offsetof(struct check_policy, renew_ms), "5m", "0s", "1d", 0, "n" },
	{ "keep", CONF_BOOL, offsetof(struct check_policy, keep), "yes", NULL, NULL, 0, "k" },
	{ "required", CONF_BOOL, offsetof(struct check_policy, required), "yes", NULL, NULL, 0, "r" },
	{ "startup", CONF_BOOL, offsetof(struct check_policy, startup), "yes", NULL, NULL, 0, "s" },
	{ "live", CONF_BOOL, offsetof(struct check_policy, live), "no", NULL, NULL, 0, "l" },
	CONF_END
};

/* One record serves all fake kinds. */
struct fake {
	char *url, *api_key, *endpoint, *path, *marker;
	char *organization, *project, *api_version;
	char *made;
};

#define FAKE(field) offsetof(struct fake, field), "", NULL, NULL
static const struct conf_key url_keys[] = {
	{ "url", CONF_STR, FAKE(url), CONF_REQUIRED | CONF_URL, "where" },
	CONF_END
};
static const struct conf_key openai_keys[] = {
	{ "api_key", CONF_STR, FAKE(api_key), CONF_SECRET, "the key" },
	{ "base_url", CONF_STR, FAKE(url), CONF_URL, "where" },
	{ "organization", CONF_STR, FAKE(organization), 0, "the organization" },
	{ "project", CONF_STR, FAKE(project), 0, "for what" },
	CONF_END
};
static const struct conf_key azure_keys[] = {
	{ "api_key", CONF_STR, FAKE(api_key), CONF_SECRET, "the key" },
	{ "endpoint", CONF_STR, FAKE(endpoint), CONF_URL, "where" },
	{ "api_version", CONF_STR, FAKE(api_version), 0, "which" },
	CONF_END
};
static const struct conf_key servicebus_keys[] = {
	{ "connection_string", CONF_STR, FAKE(url), CONF_SECRET, "where" },
	{ "queue", CONF_STR, FAKE(path), 0, "the queue" },
	CONF_END
};
static const struct conf_key model_keys[] = {
	{ "path", CONF_STR, FAKE(path), 0, "the file" },
	{ "marker", CONF_STR, FAKE(marker), 0, "the other file" },
	CONF_END
};
/* clang-format on */

static int prepared, disposed, live_asked;

static void fake_prepare(struct conf *fake_conf, struct conf_section *section,
			 void *settings)
{
	struct fake *fake = settings;

	prepared++;
	fake->made = strdup("made");
	if (fake->url && strcmp(fake->url, "bad") == 0)
		conf_mistake(fake_conf, section, "url", "is bad");
}

static void fake_dispose(void *settings)
{
	struct fake *fake = settings;

	disposed++;
	free(fake->made);
}

static const char *fake_live_refused(const void *settings)
{
	const struct fake *fake = settings;

	live_asked++;
	CHECK_STR(fake->made, "made");
	return fake->path && strcmp(fake->path, "/far") == 0 ? "it is far"
							     : NULL;
}

static void fake_open(struct conn *conn)
{
	(void)conn;
	CHECK(!"a connection");
}

/* clang-format off */
#define KIND(word, time, table, asks) { \
	.name = word, .timeout = time, .keys = table, \
	.settings_size = sizeof(struct fake), .prepare = fake_prepare, \
	.dispose = fake_dispose, .open = fake_open, .open_asks = asks, \
}
/* clang-format on */

const struct check_kind check_azure_openai = KIND("azure-openai", "3s",
						  azure_keys, true);
const struct check_kind check_http = KIND("http", "3s", url_keys, true);
const struct check_kind check_openai = KIND("openai", "3s", openai_keys, true);
const struct check_kind check_postgres = KIND("postgres", "2s", url_keys,
					      false);
const struct check_kind check_redis = KIND("redis", "1s", url_keys, false);
const struct check_kind check_servicebus = KIND("servicebus", "2s",
						servicebus_keys, false);
const struct check_kind check_model = {
	.name = "model",
	.timeout = "1500ms",
	.keys = model_keys,
	.settings_size = sizeof(struct fake),
	.prepare = fake_prepare,
	.dispose = fake_dispose,
	.live_refused = fake_live_refused,
};
/* the least that a kind may have, but for a key that had a common one's name */
struct fake_file {
	int64_t newer_than_ms;
};
static const struct conf_key file_keys[] = {
	{ "newer_than", CONF_DURATION,
	  offsetof(struct fake_file, newer_than_ms), "0s", NULL, NULL, 0,
	  "of the file" },
	CONF_END
};
const struct check_kind check_file = {
	.name = "file",
	.timeout = "1s",
	.keys = file_keys,
	.renamed = { "max_age", "newer_than" },
	.settings_size = sizeof(struct fake_file),
};

/* ---- the directory that the test works in ---- */

static char dir[] = "/tmp/test_settings.XXXXXX";

static void put(const char *path, const char *text)
{
	FILE *to = fopen(path, "w");

	CHECK(to != NULL);
	if (!to)
		return;
	fputs(text, to);
	fclose(to);
}

static const char *const variables[] = {
	"HEALTH_CONF",
	"DATABASE_URL",
	"REDIS_URL",
	"OPENAI_API_KEY",
	"OPENAI_BASE_URL",
	"AZURE_OPENAI_ENDPOINT",
	"AZURE_OPENAI_API_KEY",
	"OPENAI_API_BASE",
	"OPENAI_API_BASE_URL",
	"OPENAI_API_HOST",
	"OPENAI_API_TYPE",
	"OPENAI_API_VERSION",
	"OPENAI_GATEWAY_ENDPOINT",
	"OPENAI_HOST",
	"OPENAI_ORG_ID",
	"OPENAI_ORGANIZATION",
	"OPENAI_PROJECT_ID",
	"OPENAI_PROXY_URL",
	"AZURE_OPENAI_AD_TOKEN",
	"AZURE_OPENAI_API_VERSION",
	"AZURE_OPENAI_BASE_URL",
	"AZURE_OPENAI_KEY",
	"AZURE_SERVICEBUS_CONNECTION_STRING",
	"AZURE_SERVICEBUS_QUEUE",
	"EMBEDDING_MODEL",
	"EMBEDDING_MODEL_MARKER",
};

static void clear_environment(void)
{
	size_t i;

	for (i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
}

static struct settings settings;

static int load(const char *path)
{
	int bad;

	fake_log_clear();
	prepared = disposed = live_asked = 0;
	bad = settings_load(&settings, path);
	settings_log_warnings(&settings);
	return bad;
}

static int load_text(const char *text)
{
	put("t", text);
	return load("t");
}

static const char *mistakes(void)
{
	static char text[8192];
	size_t i, len = 0;

	text[0] = '\0';
	for (i = 0; i < conf_mistakes(settings.conf); i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s", i ? "\n" : "",
			conf_note_at(settings.conf, CONF_MISTAKE, i));
	return text;
}

static const char *warnings(void)
{
	static char text[8192];
	size_t i, len = 0;

	text[0] = '\0';
	for (i = 0; conf_note_at(settings.conf, CONF_WARNING, i); i++)
		len += (size_t)snprintf(
			text + len, sizeof(text) - len, "%s%s", i ? "\n" : "",
			conf_note_at(settings.conf, CONF_WARNING, i));
	return text;
}

static const char *printed(void)
{
	static char text[16384];
	FILE *to;

	memset(text, 0, sizeof(text));
	to = fmemopen(text, sizeof(text) - 1, "w");
	settings_print(&settings, to);
	fclose(to);
	return text;
}

/* "database:postgres redis:redis" */
static const char *checks(void)
{
	static char text[512];
	size_t i, len = 0;

	text[0] = '\0';
	for (i = 0; i < settings.checks.n; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len,
					"%s%s:%s", i ? " " : "",
					settings.checks.setups[i].name,
					settings.checks.setups[i].kind->name);
	return text;
}

static const struct fake *fake_at(size_t i)
{
	return settings.checks.setups[i].settings;
}

static void done(void)
{
	int to_dispose = prepared;

	settings_free(&settings);
	CHECK_INT(disposed, to_dispose);
	text_forget_secrets();
}

/* ---- from a file ---- */

static void test_file(void)
{
	const struct check_policy *common;

	CHECK_INT(load_text("[database]\nkind = postgres\nurl = x\n"
			    "[health]\nservice = shop\nlog_level = debug\n"
			    "trusted = 10.0.0.0/8 127.0.0.1\nmount = /status\n"
			    "[cache]\nkind = redis\nurl = y\nrequired = no\n"
			    "timeout = 300ms\n"
			    "[heart.beat-1]\nkind = file\n"),
		  0);
	CHECK_STR(mistakes(), "");
	CHECK_STR(fake_log.all, "");
	CHECK_STR(settings.source, "t");
	CHECK_STR(settings.health.service, "shop");
	CHECK_INT(settings.health.log_level, LOG_DEBUG);
	CHECK_INT(settings.health.trusted.n, 2);
	CHECK_STR(checks(), "database:postgres cache:redis heart.beat-1:file");
	common = &settings.checks.setups[0].policy;
	CHECK_INT(common->timeout_ms, 2000);
	CHECK_INT(common->max_age_ms, 1000);
	CHECK_INT(common->interval_ms, 0);
	CHECK(common->required && common->startup && !common->live);
	CHECK_STR(fake_at(0)->url, "x");
	common = &settings.checks.setups[1].policy;
	CHECK_INT(common->timeout_ms, 300);
	CHECK(!common->required && !common->startup);
	CHECK_INT(settings.checks.setups[2].policy.timeout_ms, 1000);
	CHECK_INT(prepared, 2);
	done();
}

/* A timeout that no answer waits for. */
static void test_slow_check(void)
{
	CHECK_INT(load_text("[health]\nanswer_within = 2s\n"
			    "[short]\nkind = postgres\nurl = x\n"
			    "timeout = 1999ms\n"
			    "[long]\nkind = postgres\nurl = x\n"
			    "timeout = 2s\n"
			    "[background]\nkind = postgres\nurl = x\n"
			    "timeout = 9s\ninterval = 10s\n"),
		  0);
	CHECK_STR(warnings(),
		  "t:10: [long] timeout: 2000ms is not below answer_within "
		  "(2000ms): later results are not waited for; raise "
		  "answer_within, or set an interval");
	done();
}

/* More than 64 bytes in all. */
static void test_trusted(void)
{
	CHECK_INT(load_text("[health]\nchecks = none\n"
			    "trusted = 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 "
			    "127.0.0.1 203.0.113.0/24 198.51.100.0/24\n"),
		  0);
	CHECK_STR(mistakes(), "");
	CHECK_INT(settings.health.trusted.n, 6);
	done();
}

static void test_health_defaults(void)
{
	CHECK_INT(load_text("[health]\nchecks = none\n"), 0);
	CHECK_STR(fake_log.all, "");
	CHECK_STR(warnings(), "");
	CHECK_STR(settings.health.service, "");
	CHECK_STR(settings.health.mount, "");
	CHECK_STR(settings.health.drain_file, "");
	CHECK_INT(settings.health.log_level, LOG_INFO);
	CHECK_INT(settings.health.answer_within_ms, 4500);
	CHECK_INT(settings.health.threads, 2);
	CHECK_INT(settings.health.max_waiting, 4096);
	CHECK_INT(settings.health.max_connections, 10000);
	CHECK_STR(settings.health.state_dir, "auto");
	CHECK_INT(settings.health.trusted.n, 0);
	CHECK_INT(settings.checks.n, 0);
	done();
}

#define KINDS \
	"azure-openai, file, http, model, openai, postgres, redis, servicebus"

static const struct {
	const char *text;
	const char *mistakes;
} bad_rows[] = {
	{ "[a]\nurl = x\n", "t:1: [a] kind: must be set, to one of: " KINDS },
	{ "[a]\nkind =\n", "t:2: [a] kind: must be set, to one of: " KINDS },
	{ "[a]\nkind = postgre\nfoo = 1\n",
	  "t:2: [a] kind: unknown kind \"postgre\", did you mean "
	  "\"postgres\"?" },
	{ "[a]\nkind = zebra\n",
	  "t:2: [a] kind: unknown kind \"zebra\", write one of: " KINDS },
	{ "[a]\nkind = redis\n", "t:1: [a] url: must be set: where" },
	{ "[a]\nkind = redis\nurl = bad\n", "t:3: [a] url: is bad" },
	{ "[a]\nkind = redis\nurl = x\ntimeot = 1s\n",
	  "t:4: [a] timeot: unknown key, did you mean \"timeout\"?" },
	/* what prepare() says of a key with a mistake is not said twice */
	{ "[a]\nkind = redis\nurl = ${T_UNSET}\n",
	  "t:3: [a] url: ${T_UNSET} is not set in the environment" },
	/* named as what it is */
	{ "[Health]\nservice = x\n",
	  "t:1: [Health] did you mean [health]? A check must set kind" },
	{ "[heatlh]\n",
	  "t:1: [heatlh] did you mean [health]? A check must set kind" },
	{ "[a]\nKind = file\nurl = x\n",
	  "t:2: [a] Kind: unknown key, did you mean \"kind\"?" },
	{ "[a]\nurl = x\nknid = file\n",
	  "t:3: [a] knid: unknown key, did you mean \"kind\"?" },
	{ "[a]\nkind = redis\nurl = x\nTIMEOUT = 1s\n",
	  "t:4: [a] TIMEOUT: unknown key, did you mean \"timeout\"?" },
	{ "[a]\nkind = file\nanswer_within = 1s\nservice = x\n",
	  "t:3: [a] answer_within: belongs in [health]\n"
	  "t:4: [a] service: belongs in [health]" },
	{ "[health]\ntimeout = 1s\nurl = x\nkind = file\n",
	  "t:2: [health] timeout: belongs in the section of a check\n"
	  "t:3: [health] url: belongs in the section of a check\n"
	  "t:4: [health] kind: belongs in the section of a check" },
	{ "[a]\nkind : zebra\n",
	  "t:2: [a] kind: unknown kind \"zebra\", write one of: " KINDS },
	{ "[a b]\nkind = file\n", "t:1: [a b] the name of a check may have up "
				  "to 64 letters, digits, _, . and -" },
	{ "[..]\nkind = file\n", "t:1: [..] the name of a check may have up to "
				 "64 letters, digits, _, . and -" },
	{ "[health]\ntrusted = 10.0.0.0/8 me\nmount = status\n",
	  "t:2: [health] trusted: \"me\" is neither an address nor a network "
	  "such as 10.0.0.0/8\n"
	  "t:3: [health] mount: must be a path such as /status, without ?, # "
	  "and "
	  "%" },
	{ "[health]\nlog_level = loud\nthreads = 65\nanswer_within = 5\n",
	  "t:2: [health] log_level: \"loud\" must be one of: error|warn|info|"
	  "debug\n"
	  "t:3: [health] threads: \"65\" must be between 1 and 64\n"
	  "t:4: [health] answer_within: \"5\" needs a unit; write 5s or "
	  "500ms" },
	{ "[health]\nstate_dir = run\n",
	  "t:2: [health] state_dir: must be auto, none, or a path that begins "
	  "with /" },
	{ "[health]\nstate_dir =\n",
	  "t:2: [health] state_dir: the value must not be empty" },
	{ "[a]\nkind = file\nlive = yes\n",
	  "t:3: [a] live: must be no for this check: a failure of its "
	  "dependency would restart every replica of this service" },
	{ "[a]\nkind = model\nlive = yes\npath = /far\n",
	  "t:3: [a] live: must be no for this check: it is far" },
	{ "[a]\nkind = model\nlive = yes\ninterval = 0\n",
	  "t:4: [a] interval: must not be 0s with live = yes: liveness never "
	  "waits and needs a background result" },
	{ "[a]\nkind = model\ninterval = 99ms\n",
	  "t:3: [a] interval: must be 0s or at least 100ms" },
	{ "[a]\nkind = model\ninterval = 10s\nmax_age = 10s\n",
	  "t:4: [a] max_age: is interval + timeout (11500ms) for a check with "
	  "an interval; leave it out" },
	{ "[health]\nchecks = none\n[a]\nkind = file\n",
	  "t:2: [health] checks: must not be none: there are checks" },
	{ "[health]\nchecks = no\n",
	  "t:2: [health] checks: \"no\" must be one of: some|none" },
	/* all of them, not the first */
	{ "[a]\nkind = zebra\n[b]\nkind = redis\n[health]\nthreads = x\n",
	  "t:2: [a] kind: unknown kind \"zebra\", write one of: " KINDS "\n"
	  "t:3: [b] url: must be set: where\n"
	  "t:6: [health] threads: \"x\" is not a whole number" },
};

static void test_mistakes(void)
{
	char long_name[99];
	size_t i;

	for (i = 0; i < sizeof(bad_rows) / sizeof(bad_rows[0]); i++) {
		CHECK_INT(load_text(bad_rows[i].text), -1);
		CHECK_STR(mistakes(), bad_rows[i].mistakes);
		/* usable although misconfigured */
		CHECK(settings.health.service != NULL);
		CHECK(settings.health.answer_within_ms >= 100);
		CHECK(strlen(printed()) > 0);
		done();
	}
	/* the kind is not asked about settings that are wrong */
	CHECK_INT(load_text("[a]\nkind = model\nlive = yes\nfoo = 1\n"), -1);
	CHECK_INT(live_asked, 0);
	done();
	snprintf(long_name, sizeof(long_name), "[%064d]\nkind = file\n", 0);
	CHECK_INT(load_text(long_name), 0);
	done();
	snprintf(long_name, sizeof(long_name), "[%065d]\nkind = file\n", 0);
	CHECK_INT(load_text(long_name), -1);
	done();
}

/* A name that differs in case is a name. */
static void test_case(void)
{
	CHECK_INT(load_text("[Health]\nkind = file\n"), 0);
	CHECK_STR(checks(), "Health:file");
	CHECK_STR(mistakes(), "");
	done();
}

static void test_background(void)
{
	CHECK_INT(load_text("[a]\nkind = model\nlive = yes\n"
			    "[b]\nkind = redis\nurl = x\ninterval = 10s\n"
			    "[c]\nkind = model\nlive = yes\ninterval = 1s\n"
			    "timeout = 100ms\nmax_age = 1100ms\n"
			    "[d]\nkind = file\nrequired = no\nstartup = yes\n"),
		  0);
	CHECK_STR(mistakes(), "");
	CHECK_INT(settings.checks.setups[0].policy.interval_ms, 5000);
	CHECK_INT(settings.checks.setups[0].policy.max_age_ms, 6500);
	CHECK_INT(settings.checks.setups[1].policy.max_age_ms, 11000);
	CHECK_INT(settings.checks.setups[2].policy.interval_ms, 1000);
	CHECK_INT(settings.checks.setups[2].policy.max_age_ms, 1100);
	CHECK(settings.checks.setups[3].policy.startup);
	CHECK_INT(live_asked, 2);
	done();
}

/* Alone, max_age is what it was: another name of newer_than. */
static void test_renamed(void)
{
	static const struct {
		const char *keys;
		int64_t newer_than_ms, max_age_ms;
		const char *warnings;
	} rows[] = {
		{ "max_age = 26h\n", 26 * 3600000, 1000,
		  "t:3: [a] max_age: is now called newer_than; the old name "
		  "works until 2.0" },
		{ "interval = 10s\nmax_age_file = age\n", 300000, 11000,
		  "t:4: [a] max_age_file: is now called newer_than; the old "
		  "name works until 2.0" },
		{ "newer_than = 26h\n", 26 * 3600000, 1000, "" },
		{ "max_age = 5s\nnewer_than = 1h\n", 3600000, 5000, "" },
		{ "newer_than = 0s\nmax_age = 5s\n", 0, 5000, "" },
	};
	static char first[16384], text[256];
	const struct fake_file *file;
	size_t i;

	put("age", "5m\n");
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "[a]\nkind = file\n%s",
			 rows[i].keys);
		CHECK_INT(load_text(text), 0);
		CHECK_STR(mistakes(), "");
		CHECK_STR(warnings(), rows[i].warnings);
		file = settings.checks.setups[0].settings;
		CHECK_INT(file->newer_than_ms, rows[i].newer_than_ms);
		CHECK_INT(settings.checks.setups[0].policy.max_age_ms,
			  rows[i].max_age_ms);
		snprintf(first, sizeof(first), "%s", printed());
		done();
		/* What is printed means the same and warns of nothing. */
		CHECK_INT(load_text(first), 0);
		CHECK_STR(mistakes(), "");
		CHECK_STR(warnings(), "");
		CHECK_STR(printed(), first);
		done();
	}
	CHECK_INT(unlink("age"), 0);
	CHECK_INT(load_text("[a]\nkind = file\nmax_age = 5\n"), -1);
	CHECK_STR(mistakes(), "t:3: [a] max_age: \"5\" needs a unit; write 5s "
			      "or 500ms");
	done();
	CHECK_INT(load_text("[a]\nkind = file\nmax_age = 1h\nnewer_than = 1h\n"
			    "interval = 1s\n"),
		  -1);
	CHECK_STR(mistakes(),
		  "t:3: [a] max_age: is interval + timeout (2000ms) for a "
		  "check with an interval; leave it out");
	done();
}

/* A key that changes nothing is a warning, its default is not. */
static void test_unused(void)
{
	static const struct {
		const char *keys, *warnings;
	} rows[] = {
		{ "kind = file\nrenew = 1m\nkeep = no\n",
		  "t:3: [a] renew: has no effect with kind = file, which has "
		  "no connection; leave it out\n"
		  "t:4: [a] keep: has no effect with kind = file, which has no "
		  "connection; leave it out" },
		{ "kind = file\nrenew = 5m\nkeep = yes\n", "" },
		{ "kind = openai\napi_key = k\nrenew = 1m\nkeep = no\n",
		  "t:4: [a] renew: has no effect with kind = openai, whose "
		  "connections are replaced after 5 minutes; leave it out" },
		{ "kind = redis\nurl = x\nrenew = 1m\nkeep = no\n",
		  "t:4: [a] renew: has no effect with keep = no; leave one of "
		  "them out" },
		{ "kind = redis\nurl = x\nrenew = 1m\n", "" },
		{ "kind = redis\nurl = x\nkeep = no\n", "" },
	};
	char text[256];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "[a]\n%s", rows[i].keys);
		CHECK_INT(load_text(text), 0);
		CHECK_STR(mistakes(), "");
		CHECK_STR(warnings(), rows[i].warnings);
		done();
	}
}

static void test_print(void)
{
	static char first[16384];

	CHECK_INT(load_text("[health]\nservice = shop\ntrusted = 10.0.0.1\n"
			    "[a]\nkind = redis\nurl = redis://cache/0\n"
			    "interval = 10s\nrequired = no\n"
			    "[b]\nkind = model\npath = /m\nlive = on\n"),
		  0);
	snprintf(first, sizeof(first), "%s", printed());
	done();
	CHECK(strncmp(first, "# the configuration in effect; read from: t\n",
		      44) == 0);
	CHECK(strstr(first, "[health]\nservice         = shop  ; ") != NULL);
	CHECK(strstr(first, "\n[a]\nkind = redis  ; ") != NULL);
	CHECK(strstr(first, "\nmax_age  = 11s  ; ") != NULL);
	CHECK_INT(load_text(first), 0);
	CHECK_STR(mistakes(), "");
	CHECK_STR(printed(), first);
	done();

	CHECK_INT(load_text("[a]\nkind = redis\nurl = redis://:pass-1@c\n"
			    "[b]\nkind = openai\napi_key = sk-secret\n"),
		  0);
	CHECK(strstr(printed(), "pass-1") == NULL);
	CHECK(strstr(printed(), "sk-secret") == NULL);
	CHECK(strstr(printed(), "redis://:********@c") != NULL);
	done();
}

/* ---- nothing checked is not green ---- */

#define NO_CHECK_IN_T                                                     \
	"no check is configured: t has only [health], or nothing; add a " \
	"check, or write checks = none in [health] if that is intended"

static void test_no_check(void)
{
	static const char *const texts[] = {
		"",
		"\n\n",
		"# a comment\n",
		"; [a]\n; kind = file\n",
		"\xef\xbb\xbf",
		"[health]\n",
		"[health]\nservice = x\n",
		"[health]\nchecks = some\n",
	};
	size_t i;

	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		CHECK_INT(load_text(texts[i]), -1);
		CHECK_STR(mistakes(), NO_CHECK_IN_T);
		done();
	}
	/* Another mistake explains it. */
	CHECK_INT(load_text("[health]\nthreads = x\n"), -1);
	CHECK_STR(mistakes(),
		  "t:2: [health] threads: \"x\" is not a whole number");
	done();
}

/* Every place that was looked at is named. */
static void test_no_file(void)
{
	char beside[PATH_MAX], expected[PATH_MAX + 99];

	settings_beside(beside, sizeof(beside));
	CHECK_INT(load(NULL), -1);
	snprintf(expected, sizeof(expected),
		 "\nnot found: %s, etc/health-fcgi/health.conf, "
		 "etc/health.conf\n",
		 beside);
	CHECK(strstr(mistakes(), "name a file with --config or HEALTH_CONF"));
	CHECK(strstr(mistakes(), expected));
	CHECK(strstr(mistakes(), "DATABASE_URL, REDIS_URL, "));
	CHECK(strstr(mistakes(), "EMBEDDING_MODEL_MARKER"));
	done();
}

/* A file that was cut, at any byte: what is lost is never lost in silence. */
static void test_cut(void)
{
	static const char whole[] = "[a]\nkind = redis\nurl = x\n"
				    "[bb]\nkind = postgres\nurl = y\n";
	char text[sizeof(whole)];
	size_t len, first = strlen("[a]\nkind = redis\nurl = x\n");

	for (len = 0; len < sizeof(whole) - 1; len++) {
		memcpy(text, whole, len);
		text[len] = '\0';
		/* Between two checks nothing shows that there were more. */
		if (load_text(text) == 0 && len != first)
			CHECK(strstr(warnings(), "the file is complete"));
		done();
	}
}

static void test_proof(void)
{
	CHECK_INT(load_text("[a]\nkind = file\nrequired = no\n"
			    "[b]\nkind = file\nrequired = no\n"),
		  0);
	CHECK_STR(warnings(), "every check has required = no: /health/ready "
			      "and /health/started are always 200");
	done();
	CHECK_INT(load_text("[a]\nkind = file\nrequired = no\n"
			    "startup = yes\n"),
		  0);
	CHECK_STR(warnings(), "every check has required = no: /health/ready is "
			      "always 200");
	done();
	CHECK_INT(load_text("[a]\nkind = file\nrequired = no\n"
			    "[b]\nkind = file\n"),
		  0);
	CHECK_STR(warnings(), "");
	done();
}

/* ---- where it is found ---- */

static void test_sources(void)
{
	char beside[PATH_MAX];

	settings_beside(beside, sizeof(beside));
	if (!*beside || access(beside, F_OK) == 0) {
		printf("no /proc, or a file beside the test: not tested\n");
		return;
	}
	CHECK_INT(mkdir("etc", 0700), 0);
	setenv("REDIS_URL", "redis://env", 1);
	put("given", "[given]\nkind = file\n");
	put("named", "[named]\nkind = file\n");

	CHECK_INT(load(NULL), 0);
	CHECK_STR(settings.source, "environment");
	CHECK_STR(checks(), "redis:redis");
	done();

	put("etc/health.conf", "[system]\nkind = file\n");
	CHECK_INT(load(NULL), 0);
	CHECK_STR(checks(), "system:file");
	CHECK_STR(settings.source, "etc/health.conf");
	CHECK_STR(warnings(), "move etc/health.conf to "
			      "etc/health-fcgi/health.conf, its new place");
	done();

	CHECK_INT(mkdir("etc/health-fcgi", 0700), 0);
	put("etc/health-fcgi/health.conf", "[new]\nkind = file\n");
	CHECK_INT(load(NULL), 0);
	CHECK_STR(checks(), "new:file");
	CHECK_STR(warnings(),
		  "etc/health.conf is not read because "
		  "etc/health-fcgi/health.conf exists; remove one of the two");
	done();

	put(beside, "[beside]\nkind = file\n");
	CHECK_INT(load(NULL), 0);
	CHECK_STR(checks(), "beside:file");
	CHECK_STR(settings.source, beside);
	done();

	setenv("HEALTH_CONF", "", 1);
	CHECK_INT(load(NULL), 0);
	CHECK_STR(checks(), "beside:file");
	CHECK_STR(warnings(), "HEALTH_CONF is empty and counts as not set");
	done();
	setenv("HEALTH_CONF", "named", 1);
	CHECK_INT(load(NULL), 0);
	CHECK_STR(checks(), "named:file");
	done();
	CHECK_INT(load("given"), 0);
	CHECK_STR(checks(), "given:file");
	done();
	CHECK_INT(unlink(beside), 0);

	/* a file that is named must be there */
	CHECK_INT(load("gone"), -1);
	CHECK_STR(
		mistakes(),
		"the configuration file that --config names does not exist; no "
		"other place is searched\n"
		"gone: cannot be opened: No such file or directory");
	CHECK_STR(settings.health.service, "");
	CHECK_INT(settings.checks.n, 0);
	done();
	setenv("HEALTH_CONF", "gone", 1);
	CHECK_INT(load(NULL), -1);
	CHECK_STR(mistakes(),
		  "the configuration file that HEALTH_CONF names does not "
		  "exist; no "
		  "other place is searched\n"
		  "gone: cannot be opened: No such file or directory");
	done();
	unsetenv("HEALTH_CONF");

	/* a default path that is not a file is not skipped */
	CHECK_INT(unlink("etc/health-fcgi/health.conf"), 0);
	CHECK_INT(rmdir("etc/health-fcgi"), 0);
	CHECK_INT(unlink("etc/health.conf"), 0);
	CHECK_INT(mkdir("etc/health.conf", 0700), 0);
	CHECK_INT(load(NULL), -1);
	CHECK_STR(mistakes(), "etc/health.conf: is not a regular file");
	done();
	CHECK_INT(rmdir("etc/health.conf"), 0);
	CHECK_INT(rmdir("etc"), 0);
	CHECK_INT(unlink("given"), 0);
	CHECK_INT(unlink("named"), 0);
	clear_environment();
}

/* ---- from the environment ---- */

#ifdef HAVE_PROTON
#define IGNORED_SERVICEBUS                                    \
	"AZURE_SERVICEBUS_CONNECTION_STRING names no queue: " \
	"ignored; set AZURE_SERVICEBUS_QUEUE\n"
#else
#define IGNORED_SERVICEBUS                                       \
	"AZURE_SERVICEBUS_CONNECTION_STRING is set, but checks " \
	"of the kind servicebus are not part of this build: ignored\n"
#endif
#define IGNORED_MODEL                                                        \
	"EMBEDDING_MODEL is a name, not a path: ignored; set "               \
	"EMBEDDING_MODEL_MARKER to the file that is written when the model " \
	"is loaded\n"
#define IGNORED_BASE                                                           \
	"OPENAI_BASE_URL is ignored: OPENAI_API_KEY is not set; for a server " \
	"without keys, set it to any word\n"
#define IGNORED_QUEUE                         \
	"AZURE_SERVICEBUS_QUEUE is ignored: " \
	"set AZURE_SERVICEBUS_CONNECTION_STRING\n"
#define IGNORED_DATABASE                                                \
	"DATABASE_URL names a file, not a server: no check is created " \
	"for it\n"
static const struct {
	const char *set[4][2];
	const char *checks;
	const char *url; /* of the first check */
	const char *logged;
} env_rows[] = {
	{ { { NULL } }, "", NULL, "" },
	{ { { "DATABASE_URL", "" }, { "REDIS_URL", "" } }, "", NULL, "" },
	{ { { "DATABASE_URL", "postgres://u:pw-1@h/d" } },
	  "database:postgres",
	  "postgres://u:pw-1@h/d",
	  "" },
	{ { { "DATABASE_URL", "postgresql+asyncpg://h/d" } },
	  "database:postgres",
	  "postgresql+asyncpg://h/d",
	  "" },
	{ { { "DATABASE_URL", "host=h password=a${x}" } },
	  "database:postgres",
	  "host=h password=a${x}",
	  "" },
	{ { { "DATABASE_URL", "postgres://h/d\n" } },
	  "database:postgres",
	  "postgres://h/d",
	  "" },
	{ { { "REDIS_URL", "redis://h/0\r\n" } },
	  "redis:redis",
	  "redis://h/0",
	  "" },
	{ { { "DATABASE_URL", "\n" } }, "", NULL, "" },
	{ { { "DATABASE_URL", "\"postgres://h/d\"" } },
	  "database:postgres",
	  "\"postgres://h/d\"",
	  "" },
	{ { { "DATABASE_URL", " postgres://h/d" } },
	  "database:postgres",
	  " postgres://h/d",
	  "" },
	{ { { "DATABASE_URL", "mysql://h/d?a=b" } },
	  "database:postgres",
	  "mysql://h/d?a=b",
	  "" },
	{ { { "DATABASE_URL", "sqlite.db" } },
	  "database:postgres",
	  "sqlite.db",
	  "" },
	{ { { "DATABASE_URL", "sqlite:///x.db" } },
	  "",
	  NULL,
	  IGNORED_DATABASE },
	{ { { "DATABASE_URL", "file:./dev.db" }, { "REDIS_URL", "redis://h" } },
	  "redis:redis",
	  "redis://h",
	  IGNORED_DATABASE },
	{ { { "OPENAI_API_KEY", "sk-1" } }, "openai:openai", "", "" },
	{ { { "OPENAI_API_KEY", "sk-1" }, { "OPENAI_BASE_URL", "http://o" } },
	  "openai:openai",
	  "http://o",
	  "" },
	{ { { "OPENAI_BASE_URL", "http://o" } }, "", NULL, IGNORED_BASE },
	{ { { "AZURE_SERVICEBUS_QUEUE", "q" } }, "", NULL, IGNORED_QUEUE },
	{ { { "DATABASE_URL", " " }, { "REDIS_URL", "redis://h" } },
	  "redis:redis",
	  "redis://h",
	  "" },
	{ { { "AZURE_OPENAI_ENDPOINT", "https://a" },
	    { "AZURE_OPENAI_API_KEY", "az-1" } },
	  "openai:azure-openai",
	  NULL,
	  "" },
	{ { { "AZURE_OPENAI_API_KEY", "az-1" } },
	  "openai:azure-openai",
	  NULL,
	  "" },
	{ { { "AZURE_OPENAI_ENDPOINT", "https://a" } },
	  "openai:azure-openai",
	  NULL,
	  "" },
	{ { { "OPENAI_API_KEY", "sk-1" },
	    { "AZURE_OPENAI_ENDPOINT", "https://a" },
	    { "AZURE_OPENAI_API_KEY", "az-1" } },
	  "openai:openai azure_openai:azure-openai",
	  "",
	  "" },
	{ { { "AZURE_SERVICEBUS_CONNECTION_STRING", "Endpoint=sb://x" },
	    { "REDIS_URL", "redis://h" } },
	  "redis:redis",
	  "redis://h",
	  IGNORED_SERVICEBUS },
#ifdef HAVE_PROTON
	{ { { "AZURE_SERVICEBUS_CONNECTION_STRING", "Endpoint=sb://x" },
	    { "AZURE_SERVICEBUS_QUEUE", "q" } },
	  "service_bus:servicebus",
	  "Endpoint=sb://x",
	  "" },
	{ { { "AZURE_SERVICEBUS_CONNECTION_STRING",
	      "Endpoint=sb://x;EntityPath=q" } },
	  "service_bus:servicebus",
	  NULL,
	  "" },
#endif
	{ { { "EMBEDDING_MODEL", "/models/a" } },
	  "embedding_model:model",
	  NULL,
	  "" },
	{ { { "EMBEDDING_MODEL", "BAAI/bge-small-en" } },
	  "",
	  NULL,
	  IGNORED_MODEL },
	{ { { "EMBEDDING_MODEL", "BAAI/bge-small-en" },
	    { "EMBEDDING_MODEL_MARKER", "/run/loaded" } },
	  "embedding_model:model",
	  NULL,
	  "" },
	/* in this order */
	{ { { "EMBEDDING_MODEL", "/m" },
	    { "OPENAI_API_KEY", "sk-1" },
	    { "REDIS_URL", "redis://h" },
	    { "DATABASE_URL", "postgres://h" } },
	  "database:postgres redis:redis openai:openai embedding_model:model",
	  "postgres://h",
	  "" },
};

static void test_environment(void)
{
	size_t i, j;

	for (i = 0; i < sizeof(env_rows) / sizeof(env_rows[0]); i++) {
		clear_environment();
		for (j = 0; j < 4 && env_rows[i].set[j][0]; j++)
			setenv(env_rows[i].set[j][0], env_rows[i].set[j][1], 1);
		CHECK_INT(load(NULL), env_rows[i].checks[0] ? 0 : -1);
		CHECK(!env_rows[i].checks[0] ==
		      !!strstr(mistakes(), "no check is configured"));
		CHECK_STR(checks(), env_rows[i].checks);
		CHECK_STR(fake_log.all, env_rows[i].logged);
		if (env_rows[i].url)
			CHECK_STR(fake_at(0)->url, env_rows[i].url);
		done();
	}
	clear_environment();
}

/* Where the key of OpenAI goes: to the base that is named, however it is
 * named, or nowhere. */
static const struct {
	const char *set[4][2];
	const char *checks; /* of the first: its kind, and where */
	const char *where, *key, *refused, *logged;
} openai_rows[] = {
#define KEY                              \
	{                                \
		"OPENAI_API_KEY", "sk-1" \
	}
	{ { KEY }, "openai:openai", "", "sk-1", NULL, "" },
	/* Azure's key under OpenAI's name goes to neither by guess. */
	{ { { "OPENAI_API_KEY", "0123456789abcdef" },
	    { "AZURE_OPENAI_ENDPOINT", "https://a" } },
	  "openai:openai azure_openai:azure-openai",
	  NULL,
	  NULL,
	  "is not sent: it may belong to AZURE_OPENAI_ENDPOINT",
	  NULL },
	{ { KEY, { "AZURE_OPENAI_ENDPOINT", "https://a" } },
	  "openai:openai azure_openai:azure-openai",
	  NULL,
	  "sk-1",
	  NULL,
	  NULL },
	{ { KEY, { "OPENAI_HOST", "https://api.openai.com" } },
	  "openai:openai",
	  "",
	  "sk-1",
	  NULL,
	  NULL },
	{ { KEY, { "OPENAI_API_BASE", "http://gw/v1" } },
	  "openai:openai",
	  "http://gw/v1",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY, { "OPENAI_API_BASE_URL", "http://gw/v1" } },
	  "openai:openai",
	  "http://gw/v1",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY, { "OPENAI_API_HOST", "http://gw" } },
	  "openai:openai",
	  "http://gw",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY, { "OPENAI_BASE_URL", "" }, { "OPENAI_API_BASE", "http://b" } },
	  "openai:openai",
	  "http://b",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY,
	    { "OPENAI_API_BASE", "http://b" },
	    { "OPENAI_BASE_URL", "http://a" } },
	  "openai:openai",
	  "http://a",
	  "sk-1",
	  NULL,
	  "OPENAI_API_BASE is ignored: OPENAI_BASE_URL is used\n" },
	{ { KEY,
	    { "OPENAI_API_BASE", "http://a" },
	    { "OPENAI_BASE_URL", "http://a" } },
	  "openai:openai",
	  "http://a",
	  "sk-1",
	  NULL,
	  "" },
	/* unknown variables */
	{ { KEY, { "OPENAI_GATEWAY_ENDPOINT", "https://gw" } },
	  "openai:openai",
	  "",
	  NULL,
	  "is not sent: OPENAI_GATEWAY_ENDPOINT may name the server that it "
	  "belongs to; set OPENAI_BASE_URL to its URL",
	  NULL },
	{ { KEY, { "OPENAI_HOST", "gw.internal" } },
	  "openai:openai",
	  "",
	  NULL,
	  "is not sent: OPENAI_HOST may name the server that it belongs to; "
	  "set OPENAI_BASE_URL to its URL",
	  NULL },
	{ { KEY, { "OPENAI_PROXY_URL", "http://gw/v1" } },
	  "openai:openai",
	  "",
	  NULL,
	  "is not sent: OPENAI_PROXY_URL may name the server that it belongs "
	  "to; set OPENAI_BASE_URL to its URL",
	  NULL },
	/* no address, or no doubt */
	{ { KEY, { "OPENAI_HOST", "openai" } },
	  "openai:openai",
	  "",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY,
	    { "OPENAI_HOST", "gw.internal" },
	    { "OPENAI_BASE_URL", "http://a" } },
	  "openai:openai",
	  "http://a",
	  "sk-1",
	  NULL,
	  "" },
	/* Azure, by the variables of OpenAI and by its own */
	{ { KEY,
	    { "OPENAI_API_TYPE", "azure" },
	    { "OPENAI_API_BASE", "https://x.openai.azure.com" },
	    { "OPENAI_API_VERSION", "2024-02-01" } },
	  "openai:azure-openai",
	  "https://x.openai.azure.com",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY, { "OPENAI_API_TYPE", "Azure" } },
	  "openai:azure-openai",
	  "",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY,
	    { "OPENAI_API_TYPE", "azure" },
	    { "AZURE_OPENAI_ENDPOINT", "https://x" } },
	  "openai:azure-openai",
	  "https://x",
	  "sk-1",
	  NULL,
	  "" },
	{ { KEY,
	    { "OPENAI_API_TYPE", "azure_ad" },
	    { "OPENAI_API_BASE", "https://x" } },
	  "openai:azure-openai",
	  "https://x",
	  NULL,
	  "is not sent: OPENAI_API_TYPE says that it is a token of Entra ID; "
	  "use a key and OPENAI_API_TYPE=azure",
	  NULL },
	{ { KEY, { "OPENAI_API_TYPE", "open_ai" } },
	  "openai:openai",
	  "",
	  "sk-1",
	  NULL,
	  "" },
	{ { { "AZURE_OPENAI_BASE_URL", "https://x/openai/v1" },
	    { "AZURE_OPENAI_KEY", "az-1" } },
	  "openai:azure-openai",
	  "https://x/openai/v1",
	  "az-1",
	  NULL,
	  "" },
	{ { { "AZURE_OPENAI_ENDPOINT", "https://x" },
	    { "AZURE_OPENAI_AD_TOKEN", "ey.J" } },
	  "openai:azure-openai",
	  "https://x",
	  "",
	  NULL,
	  "AZURE_OPENAI_AD_TOKEN is not used: set AZURE_OPENAI_API_KEY\n" },
	{ { { "AZURE_OPENAI_ENDPOINT", "https://x" },
	    { "OPENAI_HOST", "gw.internal" } },
	  "openai:azure-openai",
	  "https://x",
	  "",
	  NULL,
	  "" },
};

static void test_openai_variables(void)
{
	const struct conf_refusal *refusal;
	const struct fake *fake;
	size_t i, j;

	for (i = 0; i < sizeof(openai_rows) / sizeof(openai_rows[0]); i++) {
		clear_environment();
		for (j = 0; j < 4 && openai_rows[i].set[j][0]; j++)
			setenv(openai_rows[i].set[j][0],
			       openai_rows[i].set[j][1], 1);
		CHECK_INT(load(NULL), 0);
		CHECK_STR(checks(), openai_rows[i].checks);
		if (settings.checks.n) {
			fake = fake_at(0);
			refusal = settings.checks.setups[0].refusal;
			CHECK(!refusal == !openai_rows[i].refused);
			if (refusal && openai_rows[i].refused)
				CHECK(strstr(refusal->sentence,
					     openai_rows[i].refused));
			if (openai_rows[i].where)
				CHECK_STR(*openai_rows[i].checks &&
							  strstr(checks(),
								 "azure")
						  ? fake->endpoint
						  : fake->url,
					  openai_rows[i].where);
			if (openai_rows[i].key)
				CHECK_STR(fake->api_key, openai_rows[i].key);
		}
		if (openai_rows[i].logged)
			CHECK_STR(fake_log.all, openai_rows[i].logged);
		done();
	}
	clear_environment();
	setenv("OPENAI_API_VERSION", "2024-02-01", 1);
	setenv("OPENAI_ORGANIZATION", "org-1", 1);
	CHECK_INT(load(NULL), -1);
	CHECK_INT(settings.checks.n, 0);
	done();
	setenv("OPENAI_API_KEY", "sk-1", 1);
	setenv("OPENAI_PROJECT_ID", "proj-1", 1);
	setenv("AZURE_OPENAI_ENDPOINT", "https://x", 1);
	setenv("OPENAI_API_VERSION", "preview", 1);
	setenv("AZURE_OPENAI_API_VERSION", "2024-06-01", 1);
	setenv("AZURE_OPENAI_AD_TOKEN", "ey.J", 1);
	CHECK_INT(load(NULL), 0);
	CHECK_STR(checks(), "openai:openai azure_openai:azure-openai");
	CHECK_STR(fake_at(0)->organization, "org-1");
	CHECK_STR(fake_at(0)->project, "proj-1");
	CHECK_STR(fake_at(1)->api_version, "2024-06-01");
	CHECK_STR(getenv("AZURE_OPENAI_AD_TOKEN"), "");
	done();
	clear_environment();
}

static void test_environment_keys(void)
{
	setenv("AZURE_OPENAI_ENDPOINT", "https://a", 1);
	setenv("AZURE_OPENAI_API_KEY", "az-1", 1);
	setenv("EMBEDDING_MODEL", "./m", 1);
	setenv("EMBEDDING_MODEL_MARKER", "/run/loaded", 1);
	CHECK_INT(load(NULL), 0);
	CHECK_STR(fake_at(0)->endpoint, "https://a");
	CHECK_STR(fake_at(0)->api_key, "az-1");
	CHECK_STR(fake_at(1)->path, "./m");
	CHECK_STR(fake_at(1)->marker, "/run/loaded");
	done();
	clear_environment();
	setenv("REDIS_URL", "bad", 1);
	setenv("DATABASE_URL", "postgres://h/d", 1);
	CHECK_INT(load(NULL), 0);
	CHECK_STR(checks(), "database:postgres redis:redis");
	CHECK(!settings.checks.setups[0].refusal);
	CHECK_STR(settings.checks.setups[1].refusal->variable, "REDIS_URL");
	CHECK_STR(fake_log.all,
		  "check=redis is not run and counts as unhealthy: "
		  "REDIS_URL: [redis] url: is bad\n");
	CHECK(strstr(printed(), "[redis]\n# not run, unhealthy: REDIS_URL: "
				"[redis] url: is bad\nkind = redis"));
	done();
	clear_environment();
}

/* A variable costs its own check only, what was typed the whole. */
static void test_refused(void)
{
	setenv("T_BAD", "bad", 1);
	setenv("T_GOOD", "good", 1);
	setenv("T_EMPTY", "", 1);
	CHECK_INT(load_text("[a]\nkind = redis\nurl = ${T_BAD}\n"
			    "[b]\nkind = redis\nurl = ${T_GOOD}\n"
			    "[c]\nkind = redis\nurl = ${T_EMPTY}\n"),
		  0);
	CHECK_STR(settings.checks.setups[0].refusal->sentence,
		  "t:3: [a] url (${T_BAD}): is bad");
	CHECK(!settings.checks.setups[1].refusal);
	CHECK_STR(settings.checks.setups[2].refusal->sentence,
		  "t:9: [c] url (${T_EMPTY}): the value must not be empty");
	done();
	CHECK_INT(load_text("[a]\nkind = redis\nurl = bad\n"), -1);
	done();
	setenv("T_GOOD", "good", 1);
	CHECK_INT(load_text("[a]\nkind = redis\nurl = ${T_GOOD}\ntmeout = 1\n"),
		  -1);
	done();

	setenv("T_BAD", "bad", 1);
	/* without its kind there is no check that could be unhealthy */
	CHECK_INT(load_text("[a]\nkind = ${T_BAD}\nurl = x\n"), -1);
	CHECK_STR(mistakes(), "t:2: [a] kind (${T_BAD}): unknown kind \"bad\", "
			      "write one of: " KINDS);
	done();
	CHECK_INT(load_text("[health]\nthreads = ${T_BAD}\n"), -1);
	done();

	/* no consequences; and no restart cures it */
	CHECK_INT(load_text("[a]\nkind = model\ntimeout = ${T_BAD}\n"
			    "live = yes\ninterval = 1s\nmax_age = 9s\n"),
		  0);
	CHECK(settings.checks.setups[0].refusal != NULL);
	CHECK(settings.checks.setups[0].policy.required);
	CHECK(!settings.checks.setups[0].policy.live);
	CHECK_INT(live_asked, 0);
	done();
}

/* What was secret is gone from the environment, the rest is not. */
static void test_forget(void)
{
	char *in_place;

	setenv("T_KEY", "sk-from-variable", 1);
	setenv("T_NAME", "shop", 1);
	setenv("OPENAI_API_KEY", "sk-unused", 1);
	in_place = getenv("T_KEY");
	CHECK_INT(load_text("[health]\nservice = ${T_NAME}\n"
			    "[a]\nkind = openai\napi_key = ${T_KEY}\n"
			    "[b]\nkind = openai\napi_key = ${T_KEY}\n"),
		  0);
	CHECK_STR(fake_at(0)->api_key, "sk-from-variable");
	CHECK_STR(fake_at(1)->api_key, "sk-from-variable");
	CHECK_STR(in_place, "");
	CHECK(memcmp(in_place, "\0\0\0\0\0\0\0\0", 8) == 0);
	CHECK_STR(getenv("T_NAME"), "shop");
	CHECK_STR(getenv("OPENAI_API_KEY"), "");
	done();
	clear_environment();
}

static void test_kinds(void)
{
	const struct check_kind *kind;
	size_t i;

	for (i = 0; (kind = check_kind_at(i)); i++) {
		CHECK(check_kind_find(kind->name) == kind);
		if (i > 0)
			CHECK(strcmp(check_kind_at(i - 1)->name, kind->name) <
			      0);
	}
	CHECK_INT(i, 8);
	CHECK(check_kind_find("") == NULL);
	CHECK(check_kind_find("Redis") == NULL);
	CHECK(check_kind_at((size_t)-1) == NULL);
}

/* ---- which processes may share ---- */

static void digest_of(uint8_t digest[SETTINGS_DIGEST_BYTES], const char *salt,
		      const char *text)
{
	CHECK_INT(load_text(text), 0);
	CHECK_INT(settings_digest(&settings, salt, digest), 0);
	done();
}

static const char digest_text[] = "[a]\nkind = openai\napi_key = secret-1\n"
				  "[b]\nkind = redis\nurl = x\n";

/* Every one of these is another configuration. */
static const char *const digest_others[] = {
	"[a]\nkind = openai\napi_key = secret-2\n"
	"[b]\nkind = redis\nurl = x\n",
	"[a]\nkind = openai\napi_key = secret-1\n"
	"[b]\nkind = redis\nurl = xy\n",
	"[a]\nkind = openai\napi_key = secret-1\n"
	"[c]\nkind = redis\nurl = x\n",
	"[a]\nkind = openai\napi_key = secret-1\n"
	"[b]\nkind = postgres\nurl = x\n",
	"[a]\nkind = openai\napi_key = secret-1\ntimeout = 1s\n"
	"[b]\nkind = redis\nurl = x\n",
	"[b]\nkind = redis\nurl = x\n"
	"[a]\nkind = openai\napi_key = secret-1\n",
	"[a]\nkind = openai\napi_key = secret-1\n",
	"[health]\ndrain_file = /x\n"
	"[a]\nkind = openai\napi_key = secret-1\n"
	"[b]\nkind = redis\nurl = x\n",
};

static void test_digest(void)
{
	uint8_t first[SETTINGS_DIGEST_BYTES], other[SETTINGS_DIGEST_BYTES];
	size_t i;

	digest_of(first, "salt", digest_text);
	digest_of(other, "salt", digest_text);
	CHECK(memcmp(first, other, sizeof(first)) == 0);
	/* Layout and trusted callers make no difference. */
	digest_of(other, "salt",
		  "[health]\ntrusted = 127.0.0.1\n"
		  "[a]\nkind = openai  ; a comment\napi_key = secret-1\n"
		  "timeout = 3000ms\n[b]\nkind = redis\nurl = x\n");
	CHECK(memcmp(first, other, sizeof(first)) == 0);
	digest_of(other, "other", digest_text);
	CHECK(memcmp(first, other, sizeof(first)) != 0);
	for (i = 0; i < sizeof(digest_others) / sizeof(char *); i++) {
		digest_of(other, "salt", digest_others[i]);
		CHECK(memcmp(first, other, sizeof(first)) != 0);
	}
	/* nor is one with a variable that cannot be used like its default */
	setenv("T_TIMEOUT", "3s", 1);
	digest_of(first, "salt",
		  "[a]\nkind = openai\ntimeout = ${T_TIMEOUT}\n");
	setenv("T_TIMEOUT", "3", 1);
	digest_of(other, "salt",
		  "[a]\nkind = openai\ntimeout = ${T_TIMEOUT}\n");
	CHECK(memcmp(first, other, sizeof(first)) != 0);
}

int main(void)
{
	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(chdir(dir), 0);
	unsetenv("T_UNSET");
	clear_environment();
	test_file();
	test_slow_check();
	test_trusted();
	test_health_defaults();
	test_mistakes();
	test_case();
	test_background();
	test_renamed();
	test_unused();
	test_print();
	test_environment();
	test_openai_variables();
	test_environment_keys();
	test_refused();
	test_no_check();
	test_no_file();
	test_cut();
	test_proof();
	test_sources();
	test_forget();
	test_kinds();
	test_digest();
	unlink("t");
	CHECK_INT(chdir("/"), 0);
	CHECK_INT(rmdir(dir), 0);
	return unit_report();
}

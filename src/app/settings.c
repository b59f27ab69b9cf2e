#include "config.h"

#include "app/settings.h"

#include "kinds/kinds.h"
#include "base/log.h"
#include "board/plan.h"
#include "app/settings_source.h"
#include "base/text.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#define SETTINGS_HEALTH "health"
#define SETTINGS_NAME_BYTES 64
#define SETTINGS_COMMON_MAX 32
#define SETTINGS_KINDS_MAX 64
#define SETTINGS_LIVE_INTERVAL_MS 5000
#define SETTINGS_INTERVAL_MIN_MS 100

#define FIELD(name) offsetof(struct settings_health, name)

/* clang-format off */
const struct conf_key settings_health_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "service", CONF_STR, FIELD(service), "", "0", "128", 0,
	  "name of the service, shown by liveness" },
	{ "checks", CONF_CHOICE, FIELD(checks), "some", NULL, "some|none", 0,
	  "none: no check is intended, and readiness proves nothing" },
	{ "mount", CONF_STR, FIELD(mount), "", "0", "255", 0,
	  "path below which requests come, in addition to /health" },
	{ "drain_file", CONF_STR, FIELD(drain_file), "", "0", "4095", CONF_PATH,
	  "while this file exists, the service is not ready" },
	{ "state_dir", CONF_STR, FIELD(state_dir), "auto", "1", "4000", 0,
	  "directory of shared results: auto, none, or a path" },
	{ "log_level", CONF_CHOICE, FIELD(log_level), "info", NULL,
	  "error|warn|info|debug", 0,
	  "least severe lines that are logged: error, warn, info, debug" },
	{ "answer_within", CONF_DURATION, FIELD(answer_within_ms), "4500ms",
	  "100ms", "60s", 0, "longest time until any request is answered" },
	{ "threads", CONF_INT, FIELD(threads), "2", "1", "64", 0,
	  "threads that answer requests" },
	{ "max_waiting", CONF_INT, FIELD(max_waiting), "4096", "1", "100000", 0,
	  "requests that may wait for a check at the same time" },
	{ "max_connections", CONF_INT, FIELD(max_connections), "10000", "1",
	  "100000", 0, "connections that web servers may hold open" },
	{ "trusted", CONF_LIST, FIELD(trusted), "", NULL, "64", CONF_WORDS,
	  "addresses and networks that may see details of failures" },
	CONF_END
};

const struct conf_key settings_check_keys[] = {
	{ "kind", CONF_STR, offsetof(struct settings_check, kind), "", "1",
	  "64", CONF_REQUIRED, "what is asked, and how" },
	CONF_END
};
/* clang-format on */

static bool settings_has_key(const struct conf_key *key, const char *name)
{
	while (key->name && strcmp(key->name, name) != 0)
		key++;
	return key->name != NULL;
}

/* ---- [health] ---- */

/* Whether checks of this kind have the key; NULL: of any kind. */
static bool settings_is_check_key(const char *name,
				  const struct check_kind *kind)
{
	const struct check_kind *any;
	size_t i;

	if (settings_has_key(check_common_keys, name))
		return true;
	if (kind)
		return settings_has_key(kind->keys, name);
	for (i = 0; (any = check_kind_at(i)); i++)
		if (settings_has_key(any->keys, name))
			return true;
	return settings_has_key(settings_check_keys, name);
}

/* Reports keys that belong in another section.  kind NULL: in [health]. */
static void settings_judge_keys(struct conf *conf,
				const struct conf_section *section,
				const struct check_kind *kind)
{
	const struct conf_entry *entry;
	bool of_health, of_check;
	const char *key;

	for (entry = section->entries; entry; entry = entry->next) {
		key = entry->key;
		of_health = settings_has_key(settings_health_keys, key);
		of_check = settings_is_check_key(key, kind);
		if (kind ? of_health && !of_check : of_check && !of_health)
			conf_mistake(conf, section, key, "belongs in %s",
				     kind ? "[" SETTINGS_HEALTH "]"
					  : "the section of a check");
	}
}

static void settings_load_health(struct settings *settings)
{
	struct conf *conf = settings->conf;
	struct conf_section *section = conf_section_find(conf, SETTINGS_HEALTH);
	struct conf_target target = { settings_health_keys, &settings->health };
	const struct conf_list *trusted = &settings->health.trusted;
	const char *mount, *state_dir;
	struct cidr network;
	size_t i;

	if (section)
		settings_judge_keys(conf, section, NULL);
	conf_apply(conf, section, &target, 1);
	for (i = 0; i < trusted->n; i++)
		if (!cidr_parse(trusted->items[i], &network))
			conf_mistake(conf, section, "trusted",
				     "\"%.64s\" is neither an address nor a "
				     "network such as 10.0.0.0/8",
				     trusted->items[i]);
	state_dir = settings->health.state_dir;
	if (*state_dir != '/' && strcmp(state_dir, "auto") != 0 &&
	    strcmp(state_dir, "none") != 0)
		conf_mistake(conf, section, "state_dir",
			     "must be auto, none, or a path that begins with "
			     "/");
	mount = settings->health.mount;
	if (*mount && (*mount != '/' || strpbrk(mount, " \t?#%\\")))
		conf_mistake(
			conf, section, "mount",
			"must be a path such as /status, without ?, # and %%");
}

/* ---- one check ---- */

static bool settings_name_valid(const char *name)
{
	size_t len = strlen(name);

	return len > 0 && len <= SETTINGS_NAME_BYTES &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_.-"
			    "abcdefghijklmnopqrstuvwxyz0123456789") == len &&
	       strspn(name, ".") < len; /* web servers resolve ".." */
}

/* All kinds, ending in NULL, and as "azure-openai, file, http". */
struct settings_kinds {
	const char *names[SETTINGS_KINDS_MAX];
	char list[200];
};

static void settings_kinds_fill(struct settings_kinds *kinds)
{
	const struct check_kind *kind;
	size_t i, len = 0;

	*kinds = (struct settings_kinds){ .list = "" };
	for (i = 0; (kind = check_kind_at(i)) && i + 1 < SETTINGS_KINDS_MAX;
	     i++) {
		kinds->names[i] = kind->name;
		if (len < sizeof(kinds->list))
			len += (size_t)snprintf(
				kinds->list + len, sizeof(kinds->list) - len,
				"%s%s", i ? ", " : "", kind->name);
	}
}

/* Suggests what a section without a kind was meant to be. */
static void settings_kind_missing(struct conf *conf,
				  const struct conf_section *section,
				  const struct settings_kinds *kinds)
{
	static const char *const health[] = { SETTINGS_HEALTH, NULL };
	static const char *const kind[] = { "kind", NULL };
	const struct conf_entry *entry = section->entries;

	while (entry && (strcmp(entry->key, kind[0]) == 0 ||
			 !text_nearest(entry->key, kind)))
		entry = entry->next;
	if (text_nearest(section->name, health))
		conf_mistake(conf, section, NULL,
			     "did you mean [" SETTINGS_HEALTH
			     "]? A check must set kind");
	else if (entry)
		conf_mistake(conf, section, entry->key,
			     "unknown key, did you mean \"kind\"?");
	else
		conf_mistake(conf, section, "kind",
			     "must be set, to one of: %s", kinds->list);
}

/* NULL: an error was collected. */
static const struct check_kind *settings_find_kind(
	struct conf *conf, const struct conf_section *section)
{
	const struct conf_entry *entry = conf_section_entry(section, "kind");
	const char *name = entry ? entry->value : NULL, *nearest;
	const struct check_kind *kind = name ? check_kind_find(name) : NULL;
	struct settings_kinds kinds;

	if (kind)
		return kind;
	settings_kinds_fill(&kinds);
	if (!name || !*name)
		settings_kind_missing(conf, section, &kinds);
	else if ((nearest = text_nearest(name, kinds.names)))
		conf_mistake(conf, section, "kind",
			     "unknown kind \"%.40s\", did you mean \"%s\"?",
			     name, nearest);
	else
		conf_mistake(conf, section, "kind",
			     "unknown kind \"%.40s\", write one of: %s", name,
			     kinds.list);
	return NULL;
}

/* The common keys with the default timeout of the kind. */
static void settings_common_keys(struct conf_key keys[SETTINGS_COMMON_MAX],
				 const struct check_kind *kind)
{
	size_t i = 0;

	do {
		assert(i < SETTINGS_COMMON_MAX);
		keys[i] = check_common_keys[i];
		if (keys[i].name && strcmp(keys[i].name, "timeout") == 0)
			keys[i].dflt = kind->timeout;
	} while (check_common_keys[i++].name);
}

/* Warns of keys that were changed from their default and have no effect. */
static void settings_note_unused(struct conf *conf,
				 const struct check_setup *setup)
{
	const struct check_policy *common = &setup->policy;
	const struct check_kind *kind = setup->kind;
	struct check_policy dflt;
	bool renews;
	int i;

	conf_apply(conf, NULL,
		   &(struct conf_target){ check_common_keys, &dflt }, 1);
	renews = common->renew_ms != dflt.renew_ms;
	for (i = 0; i < 2; i++)
		if (!kind->open && (i ? renews : common->keep != dflt.keep))
			conf_warn(conf, setup->section, i ? "renew" : "keep",
				  "has no effect with kind = %s, which has no "
				  "connection; leave it out",
				  kind->name);
	if (renews && kind->open_asks)
		conf_warn(conf, setup->section, "renew",
			  "has no effect with kind = %s, whose connections are "
			  "replaced after 5 minutes; leave it out",
			  kind->name);
	else if (renews && kind->open && !common->keep)
		conf_warn(conf, setup->section, "renew",
			  "has no effect with keep = no; leave one of them "
			  "out");
}

/* Settings that depend on several keys. */
static void settings_judge_common(struct conf *conf, struct check_setup *setup)
{
	const struct conf_section *section = setup->section;
	struct check_policy *common = &setup->policy;
	int64_t age_ms;

	if (!conf_section_has(section, "startup"))
		common->startup = common->required;
	if (common->live && !conf_section_has(section, "interval"))
		common->interval_ms = SETTINGS_LIVE_INTERVAL_MS;
	if (common->live && common->interval_ms == 0)
		conf_mistake(conf, section, "interval",
			     "must not be 0s with live = yes: liveness never "
			     "waits and needs a background result");
	settings_note_unused(conf, setup);
	if (common->interval_ms == 0)
		return;
	if (common->interval_ms < SETTINGS_INTERVAL_MIN_MS)
		conf_mistake(conf, section, "interval",
			     "must be 0s or at least %dms",
			     SETTINGS_INTERVAL_MIN_MS);
	/* A background result is replaced once per interval, by a run that may
	 * take its whole timeout: it may be as old as both together. */
	age_ms = common->interval_ms + common->timeout_ms;
	if (conf_section_has(section, "max_age") &&
	    common->max_age_ms != age_ms)
		conf_mistake(conf, section, "max_age",
			     "is interval + timeout (%" PRId64 "ms) for a "
			     "check with an interval; leave it out",
			     age_ms);
	common->max_age_ms = age_ms;
}

/* The kind may judge only settings without errors. */
static void settings_judge_live(struct conf *conf,
				const struct check_setup *setup, bool mistaken)
{
	const char *reason = NULL;

	if (!setup->policy.live || conf_section_refusal(conf, setup->section))
		return;
	if (!setup->kind->live_refused)
		reason = "a failure of its dependency would restart every "
			 "replica of this service";
	else if (!mistaken)
		reason = setup->kind->live_refused(setup->settings);
	if (reason)
		conf_mistake(conf, setup->section, "live",
			     "must be no for this check: %s", reason);
}

static void settings_load_check(struct settings *settings,
				struct conf_section *section)
{
	struct check_list *checks = &settings->checks;
	struct check_setup *setup = &checks->setups[checks->n];
	struct conf_key common[SETTINGS_COMMON_MAX];
	struct conf *conf = settings->conf;
	const struct check_kind *kind;
	struct settings_check record;
	size_t mistakes = conf_mistakes(conf);

	setup->name = section->name;
	if (!settings_name_valid(setup->name))
		conf_mistake(conf, section, NULL,
			     "the name of a check may have up to %d letters, "
			     "digits, _, . and -",
			     SETTINGS_NAME_BYTES);
	setup->kind = kind = settings_find_kind(conf, section);
	if (!kind)
		return;
	setup->settings = calloc(1, kind->settings_size + 1);
	if (!setup->settings) {
		conf_mistake(conf, section, NULL, "out of memory");
		return;
	}
	checks->n++;
	setup->section = section;
	section->lenient = true;
	if (kind->renamed[0])
		conf_section_rename(conf, section, kind->renamed[0],
				    kind->renamed[1]);
	settings_common_keys(common, kind);
	settings_judge_keys(conf, section, kind);
	conf_apply(conf, section,
		   (const struct conf_target[]){
			   { settings_check_keys, &record },
			   { common, &setup->policy },
			   { kind->keys, setup->settings },
		   },
		   3);
	settings_judge_common(conf, setup);
	if (kind->prepare)
		kind->prepare(conf, section, setup->settings);
	settings_judge_live(conf, setup, conf_mistakes(conf) > mistakes);
	setup->refusal = conf_section_refusal(conf, section);
	/* A restart would not help. */
	if (setup->refusal)
		setup->policy.live = false;
}

static void settings_load_checks(struct settings *settings)
{
	struct conf_section *section;

	settings->checks.setups = calloc(settings->conf->n_sections + 1,
					 sizeof(*settings->checks.setups));
	if (!settings->checks.setups) {
		conf_mistake(settings->conf, NULL, NULL, "out of memory");
		return;
	}
	section = settings->conf->sections;
	for (; section; section = section->next)
		if (strcmp(section->name, SETTINGS_HEALTH) != 0)
			settings_load_check(settings, section);
}

/* ---- all of it ---- */

/* Warns of results that no request waits for, and of probes that can never
 * fail. */
static void settings_note_proof(const struct settings *settings)
{
	int64_t within_ms = settings->health.answer_within_ms;
	bool ready = false, started = false;
	size_t i;

	for (i = 0; i < settings->checks.n; i++) {
		const struct check_setup *setup = &settings->checks.setups[i];
		const struct check_policy *common = &setup->policy;

		ready |= common->required;
		started |= common->startup;
		if (common->interval_ms == 0 && common->timeout_ms >= within_ms)
			conf_warn(settings->conf, setup->section, "timeout",
				  "%" PRId64 "ms is not below answer_within "
				  "(%" PRId64
				  "ms): later results are not waited for; "
				  "raise answer_within, or set an interval",
				  common->timeout_ms, within_ms);
	}
	if (i > 0 && !ready)
		conf_warn(settings->conf, NULL, NULL,
			  "every check has required = no: /health/ready %s "
			  "always 200",
			  started ? "is" : "and /health/started are");
}

void settings_log_warnings(const struct settings *settings)
{
	const struct check_setup *setup = settings->checks.setups;
	const char *warning;
	size_t i;

	for (i = 0; (warning = conf_note_at(settings->conf, CONF_WARNING, i));
	     i++)
		log_masked(LOG_WARN, "%s", warning);
	for (i = 0; i < settings->checks.n; i++, setup++)
		if (setup->refusal)
			log_masked(LOG_WARN,
				   "check=%s is not run and counts as "
				   "unhealthy: %s",
				   setup->name, setup->refusal->sentence);
}

struct plan *settings_plan(const struct settings *settings, bool cgi)
{
	const struct settings_health *health = &settings->health;
	const struct check_setup *setup = settings->checks.setups;
	struct plan *plan = calloc(1, plan_bytes(settings->checks.n));
	struct plan_check *check;
	size_t i;

	if (!plan)
		return NULL;
	plan->broken = conf_mistakes(settings->conf) > 0;
	plan->drains = health->drain_file[0] != '\0';
	plan->answer_within_ms = health->answer_within_ms;
	snprintf(plan->service, sizeof(plan->service), "%s", health->service);
	snprintf(plan->mount, sizeof(plan->mount), "%s", health->mount);
	for (i = 0; i < health->trusted.n; i++)
		if (plan->n_trusted < PLAN_TRUSTED_MAX &&
		    cidr_parse(health->trusted.items[i],
			       &plan->trusted[plan->n_trusted]))
			plan->n_trusted++;
	for (; plan->n < settings->checks.n; plan->n++, setup++) {
		check = &plan->checks[plan->n];
		snprintf(check->name, sizeof(check->name), "%s", setup->name);
		check->policy = setup->policy;
		check->policy.live = check->policy.live && !cgi;
	}
	return plan;
}

/* An empty configuration looks like a healthy service. */
static void settings_judge_nothing(struct settings *settings)
{
	bool none = settings->health.checks == SETTINGS_CHECKS_NONE;
	struct conf *conf = settings->conf;

	if (settings->checks.n == 0 && !none)
		settings_find_nothing(settings);
	else if (settings->checks.n > 0 && none)
		conf_mistake(conf, conf_section_find(conf, SETTINGS_HEALTH),
			     "checks", "must not be none: there are checks");
}

int settings_load(struct settings *settings, const char *path)
{
	*settings = (struct settings){ .conf = conf_create() };
	if (!settings->conf)
		return -1;
	settings_find(settings, path);
	settings_load_health(settings);
	settings_load_checks(settings);
	settings_env_forget(settings->conf);
	if (conf_mistakes(settings->conf) == 0) {
		settings_judge_nothing(settings);
		settings_note_proof(settings);
	}
	return conf_mistakes(settings->conf) > 0 ? -1 : 0;
}

void settings_free(struct settings *settings)
{
	struct check_setup *setup;

	while (settings->checks.n > 0) {
		setup = &settings->checks.setups[--settings->checks.n];
		if (setup->kind->dispose)
			setup->kind->dispose(setup->settings);
		free(setup->settings);
	}
	free(settings->checks.setups);
	conf_destroy(settings->conf);
	*settings = (struct settings){ .conf = NULL };
}

static void settings_print_check(const struct check_setup *setup, FILE *to)
{
	char kind[SETTINGS_NAME_BYTES + 1];
	const struct settings_check record = { kind };

	snprintf(kind, sizeof(kind), "%s", setup->kind->name);
	fprintf(to, "\n[%s]\n", setup->name);
	if (setup->refusal)
		fprintf(to, "# not run, unhealthy: %s\n",
			setup->refusal->sentence);
	conf_print(to, settings_check_keys, &record, false);
	conf_print(to, check_common_keys, &setup->policy, false);
	conf_print(to, setup->kind->keys, setup->settings,
		   setup->refusal != NULL);
}

void settings_print(const struct settings *settings, FILE *to)
{
	size_t i;

	fprintf(to, "# the configuration in effect; read from: %s\n\n[%s]\n",
		settings->source, SETTINGS_HEALTH);
	conf_print(to, settings_health_keys, &settings->health, false);
	for (i = 0; i < settings->checks.n; i++)
		settings_print_check(&settings->checks.setups[i], to);
}

/* ---- the digest ---- */

static void settings_digest_feed(void *arg, const void *bytes, size_t len)
{
	/* EVP_DigestFinal_ex() reports a failure. */
	(void)EVP_DigestUpdate(arg, bytes, len);
}

static void settings_digest_text(EVP_MD_CTX *to, const char *text)
{
	settings_digest_feed(to, text, strlen(text) + 1);
}

int settings_digest(const struct settings *settings, const char *salt,
		    uint8_t digest[SETTINGS_DIGEST_BYTES])
{
	const struct check_setup *setup = settings->checks.setups;
	EVP_MD_CTX *to = EVP_MD_CTX_new();
	size_t i;
	int made = 0;

	if (to && EVP_DigestInit_ex(to, EVP_sha256(), NULL)) {
		settings_digest_text(to, salt);
		settings_digest_text(to, settings->health.drain_file);
		for (i = 0; i < settings->checks.n; i++, setup++) {
			settings_digest_text(to, setup->name);
			settings_digest_text(to, setup->kind->name);
			conf_feed(check_common_keys, &setup->policy,
				  settings_digest_feed, to);
			conf_feed(setup->kind->keys, setup->settings,
				  settings_digest_feed, to);
			/* A refused value may have left a default. */
			settings_digest_text(
				to,
				setup->refusal ? setup->refusal->sentence : "");
		}
		made = EVP_DigestFinal_ex(to, digest, NULL);
	}
	EVP_MD_CTX_free(to);
	return made ? 0 : -1;
}

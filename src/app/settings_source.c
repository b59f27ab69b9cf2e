#include "config.h"

#include "app/settings_source.h"

#include "app/settings.h"
#include "conf/dialect.h"
#include "base/log.h"
#include "base/text.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTINGS_FILE "/health.conf"
#define SETTINGS_ENVIRONMENT "environment"
#define SETTINGS_SYSTEM SYSCONFDIR "/health-fcgi" SETTINGS_FILE
/* The path in 0.1.0; an upgrade must not lose the checks in it. */
#define SETTINGS_SYSTEM_OLD SYSCONFDIR SETTINGS_FILE

/* ---- the environment ---- */

/* One variable and the key that it sets.  Of several for one key, the first one
 * that is set is used. */
struct settings_variable {
	const char *section;
	const char *kind;
	const char *key;
	const char *name;
	bool secret; /* holds a secret, or may (a URL); only such variables
			create a check, the others add to it */
};

/* clang-format off */
static const struct settings_variable settings_variables[] = {
	{ "database", "postgres", "url", "DATABASE_URL", true },
	{ "redis", "redis", "url", "REDIS_URL", true },
	{ "openai", "openai", "api_key", "OPENAI_API_KEY", true },
	{ "openai", "openai", "base_url", "OPENAI_BASE_URL", true },
	{ "openai", "openai", "base_url", "OPENAI_API_BASE", true },
	{ "openai", "openai", "base_url", "OPENAI_API_BASE_URL", true },
	{ "openai", "openai", "base_url", "OPENAI_API_HOST", true },
	{ "openai", "openai", "organization", "OPENAI_ORG_ID", false },
	{ "openai", "openai", "organization", "OPENAI_ORGANIZATION", false },
	{ "openai", "openai", "project", "OPENAI_PROJECT_ID", false },
	{ "azure_openai", "azure-openai", "endpoint", "AZURE_OPENAI_ENDPOINT", true },
	{ "azure_openai", "azure-openai", "endpoint", "AZURE_OPENAI_BASE_URL", true },
	{ "azure_openai", "azure-openai", "endpoint", "AZURE_OPENAI_API_BASE", true },
	{ "azure_openai", "azure-openai", "api_key", "AZURE_OPENAI_API_KEY", true },
	{ "azure_openai", "azure-openai", "api_key", "AZURE_OPENAI_KEY", true },
	{ "azure_openai", "azure-openai", "api_version", "AZURE_OPENAI_API_VERSION", false },
	{ "azure_openai", "azure-openai", "api_version", "OPENAI_API_VERSION", false },
	{ "azure_openai", "azure-openai", NULL, "AZURE_OPENAI_AD_TOKEN", true },
	{ "service_bus", "servicebus", "connection_string", "AZURE_SERVICEBUS_CONNECTION_STRING", true },
	{ "service_bus", "servicebus", "queue", "AZURE_SERVICEBUS_QUEUE", false },
	{ "embedding_model", "model", "path", "EMBEDDING_MODEL", false },
	{ "embedding_model", "model", "marker", "EMBEDDING_MODEL_MARKER", false },
};
/* clang-format on */

#define SETTINGS_VARIABLES \
	(sizeof(settings_variables) / sizeof(settings_variables[0]))

/* Container platforms set variables to "" for "not set", and secrets that were
 * made with echo end in a newline.  It is removed in place, where the value is
 * overwritten later. */
static const char *settings_env(const char *name)
{
	char *value = getenv(name);

	if (!value)
		return NULL;
	value[text_line_len(value, strlen(value))] = '\0';
	return value[strspn(value, " \t")] ? value : NULL;
}

/* Sets a key to the value of a variable, when that is set. */
static void settings_env_set(struct conf *conf, const char *name,
			     const char *section, const char *kind,
			     const char *key)
{
	const struct conf_section *found = conf_section_find(conf, section);
	const char *value = settings_env(name);
	const struct conf_entry *before = found ? conf_section_entry(found, key)
						: NULL;
	bool bad = false;

	if (!value)
		return;
	if (before) {
		if (strcmp(before->value, value) != 0)
			log_warn("%s is ignored: %s is used", name,
				 before->variable);
		return;
	}
	if (!found)
		bad = conf_set(conf, section, "kind", kind, name);
	if (!bad)
		bad = conf_set(conf, section, key, value, name);
	if (bad)
		log_err("%s: out of memory", name);
}

/*
 * Adds all variables of one check of the table to a section.  Its kind differs
 * from the table's when OpenAI's variables describe a resource of Azure.  An
 * api_version must be a date: `preview` means other paths.
 */
static void settings_env_add(struct conf *conf, const char *of,
			     const char *section, const char *kind)
{
	const struct settings_variable *row = settings_variables;
	const char *value;
	bool own;

	for (; row < settings_variables + SETTINGS_VARIABLES; row++) {
		value = settings_env(row->name);
		own = strcmp(row->kind, kind) == 0;
		if (strcmp(row->section, of) != 0 || !row->key || !value ||
		    (strcmp(row->key, "api_version") == 0 &&
		     !isdigit((unsigned char)*value)))
			continue;
		if (row->secret || (own && conf_section_find(conf, section)))
			settings_env_set(conf, row->name, section, kind,
					 own || strcmp(row->key, "base_url")
						 ? row->key
						 : "endpoint");
	}
}

/* A variable of an unknown client that names the server of the key, which must
 * not be sent to another one. */
static const char *settings_env_gateway(void)
{
	static const char *const names[] = {
		"OPENAI_*_BASE=*",     "OPENAI_*HOST=*",
		"OPENAI_*ENDPOINT=*",  "OPENAI_*PROXY_URL=*",
		"OPENAI_*GATEWAY*=*",  "OPENAI_URL=*",
		"OPENAI_*_BASE_URL=*", "OPENAI_API_URL=*",
	};
	char **at;
	size_t i;

	for (at = environ; *at; at++)
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
			if (fnmatch(names[i], *at, 0) == 0 &&
			    strpbrk(strchr(*at, '='), ".:") &&
			    !strstr(*at, "api.openai.com"))
				return *at;
	return NULL;
}

/* Some clients of Azure use OPENAI_API_KEY for Azure's key.  OpenAI's begin
 * with "sk-". */
static bool settings_env_is_azure_key(void)
{
	const char *key = settings_env("OPENAI_API_KEY");

	return key && strncmp(key, "sk-", 3) != 0 &&
	       settings_env("AZURE_OPENAI_ENDPOINT") &&
	       !settings_env("AZURE_OPENAI_API_KEY");
}

/* Refuses the check `openai` when the server of its key is not certain. */
static void settings_env_doubt_openai(struct conf *conf, bool is_token)
{
	struct conf_section *section = conf_section_find(conf, "openai");
	bool certain = conf_section_has(section, "base_url") ||
		       conf_section_has(section, "endpoint");
	const char *gateway = settings_env_gateway();

	section->lenient = true;
	if (is_token)
		conf_mistake(
			conf, section, "api_key",
			"is not sent: OPENAI_API_TYPE says that it is a token "
			"of Entra ID; use a key and OPENAI_API_TYPE=azure");
	else if (!certain && settings_env_is_azure_key())
		conf_mistake(
			conf, section, "api_key",
			"is not sent: it may belong to AZURE_OPENAI_ENDPOINT; "
			"set AZURE_OPENAI_API_KEY, or OPENAI_BASE_URL to the "
			"URL that it belongs to");
	else if (!certain && gateway)
		conf_mistake(conf, section, "api_key",
			     "is not sent: %.*s may name the server that it "
			     "belongs to; set OPENAI_BASE_URL to its URL",
			     (int)strcspn(gateway, "="), gateway);
}

/*
 * The check is called `openai` for both services; only when both are set up do
 * they need two names.  One of Azure's two variables is enough for a check,
 * which then reports that its credentials are not configured.
 */
static void settings_env_openai(struct conf *conf)
{
	const char *type = settings_env("OPENAI_API_TYPE"), *azure = "openai";
	bool is_azure = type && strncasecmp(type, "azure", 5) == 0;
	const struct conf_section *section;

	if (settings_env("OPENAI_API_KEY")) {
		settings_env_add(conf, "openai", "openai",
				 is_azure ? "azure-openai" : "openai");
		settings_env_doubt_openai(conf, is_azure && type[5]);
		azure = is_azure ? "openai" : "azure_openai";
	} else if (settings_env("OPENAI_BASE_URL") ||
		   settings_env("OPENAI_API_BASE")) {
		log_warn("OPENAI_BASE_URL is ignored: OPENAI_API_KEY is not "
			 "set; for a server without keys, set it to any word");
	}
	settings_env_add(conf, "azure_openai", azure, "azure-openai");
	section = conf_section_find(conf, azure);
	if ((!section || !conf_section_has(section, "api_key")) &&
	    settings_env("AZURE_OPENAI_AD_TOKEN"))
		log_warn("AZURE_OPENAI_AD_TOKEN is not used: set "
			 "AZURE_OPENAI_API_KEY");
}

/* A name such as "BAAI/bge-small-en" does not say where the model is. */
static void settings_env_model(struct conf *conf)
{
	const char *model = settings_env("EMBEDDING_MODEL");

	if (model && (model[0] == '/' || model[0] == '.'))
		settings_env_set(conf, "EMBEDDING_MODEL", "embedding_model",
				 "model", "path");
	else if (model && !settings_env("EMBEDDING_MODEL_MARKER"))
		log_warn("EMBEDDING_MODEL is a name, not a path: ignored; set "
			 "EMBEDDING_MODEL_MARKER to the file that is written "
			 "when the model is loaded");
	settings_env_set(conf, "EMBEDDING_MODEL_MARKER", "embedding_model",
			 "model", "marker");
}

/* The connection string of a whole namespace names no queue. */
static void settings_env_servicebus(struct conf *conf)
{
	const char *text = settings_env("AZURE_SERVICEBUS_CONNECTION_STRING");
	const char *queue = settings_env("AZURE_SERVICEBUS_QUEUE");

	if (!text && queue)
		log_warn("AZURE_SERVICEBUS_QUEUE is ignored: set "
			 "AZURE_SERVICEBUS_CONNECTION_STRING");
#ifdef HAVE_PROTON
	if (text && !queue && !strcasestr(text, "EntityPath"))
		log_warn("AZURE_SERVICEBUS_CONNECTION_STRING names no queue: "
			 "ignored; set AZURE_SERVICEBUS_QUEUE");
	else
		settings_env_add(conf, "service_bus", "service_bus",
				 "servicebus");
#else
	(void)conf;
	if (text)
		log_warn("AZURE_SERVICEBUS_CONNECTION_STRING is set, but this "
			 "build has no kind servicebus: ignored");
#endif
}

static void settings_env_read(struct conf *conf)
{
	const char *database = settings_env("DATABASE_URL");

	/* It belongs to many frameworks and may name any database. */
	if (database && dialect_is_file(database))
		log_info("DATABASE_URL names a file, not a server: no check is "
			 "created for it");
	else
		settings_env_add(conf, "database", "database", "postgres");
	settings_env_add(conf, "redis", "redis", "redis");
	settings_env_openai(conf);
	settings_env_servicebus(conf);
	settings_env_model(conf);
}

/* The variables that can create a check, "A, B, C"; for a sentence. */
static void settings_env_names(char *to, size_t size)
{
	const struct settings_variable *row = settings_variables, *last = NULL;
	size_t i, len = 0;

	*to = '\0';
	for (i = 0; i < SETTINGS_VARIABLES && len < size; i++, row++) {
		/* The manual has the other names of the same key. */
		if (!row->key || (last && strcmp(row->key, last->key) == 0 &&
				  strcmp(row->section, last->section) == 0))
			continue;
		len += (size_t)snprintf(to + len, size - len, "%s%s",
					len ? ", " : "", row->name);
		last = row;
	}
}

/* In place, where the kernel reads it for /proc/PID/environ; the variable stays
 * set and empty. */
static void settings_env_overwrite(const char *name)
{
	char *value = getenv(name);

	if (value)
		explicit_bzero(value, strlen(value));
}

void settings_env_forget(const struct conf *conf)
{
	size_t i;

	for (i = 0; i < SETTINGS_VARIABLES; i++)
		if (settings_variables[i].secret)
			settings_env_overwrite(settings_variables[i].name);
	for (i = 0; i < conf->secret_variables.n; i++)
		settings_env_overwrite(conf->secret_variables.items[i]);
}

/* ---- files ---- */

/* The file beside the program; "" when its directory is unknown. */
static void settings_beside(char *path, size_t size)
{
	ssize_t len = readlink("/proc/self/exe", path, size - 1);
	const char *started;
	char *slash;

	if (len > 0) {
		path[len] = '\0';
	} else {
		/* Without /proc: the path that was executed (getauxval(3)),
		 * perhaps relative to the working directory, which has not
		 * changed. */
		started = (const char *)getauxval(AT_EXECFN);
		snprintf(path, size, "%s", started ? started : "");
	}
	slash = strrchr(path, '/');
	if (slash && (size_t)(slash - path) + sizeof(SETTINGS_FILE) <= size)
		memcpy(slash, SETTINGS_FILE, sizeof(SETTINGS_FILE));
	else
		path[0] = '\0';
}

/*
 * A file that cannot be reached counts as existing: going on without its checks
 * would be the worst outcome.
 */
static bool settings_exists(const char *path)
{
	struct stat status;

	return *path && (stat(path, &status) == 0 ||
			 (errno != ENOENT && errno != ENOTDIR));
}

static void settings_read_file(struct settings *settings, const char *path)
{
	settings->source = conf_keep(settings->conf, path);
	/* errors are collected */
	(void)conf_read_file(settings->conf, path);
}

void settings_find(struct settings *settings, const char *path)
{
	const char *by = path ? "--config" : "HEALTH_CONF";
	const char *named = path ? path : getenv("HEALTH_CONF");
	struct conf *conf = settings->conf;
	char beside[PATH_MAX];

	settings_beside(beside, sizeof(beside));
	if (!path && named && !*named)
		conf_warn(conf, NULL, NULL,
			  "HEALTH_CONF is empty and counts as not set");
	if (path || (named && *named)) {
		if (!settings_exists(named))
			conf_mistake(conf, NULL, NULL,
				     "the configuration file that %s names "
				     "does not exist; no other place is "
				     "searched",
				     by);
		settings_read_file(settings, named);
	} else if (settings_exists(beside)) {
		settings_read_file(settings, beside);
	} else if (settings_exists(SETTINGS_SYSTEM)) {
		settings_read_file(settings, SETTINGS_SYSTEM);
		if (settings_exists(SETTINGS_SYSTEM_OLD))
			conf_warn(conf, NULL, NULL,
				  SETTINGS_SYSTEM_OLD
				  " is not read because " SETTINGS_SYSTEM
				  " exists; remove one of the two");
	} else if (settings_exists(SETTINGS_SYSTEM_OLD)) {
		settings_read_file(settings, SETTINGS_SYSTEM_OLD);
		conf_warn(conf, NULL, NULL,
			  "move " SETTINGS_SYSTEM_OLD " to " SETTINGS_SYSTEM
			  ", its new place");
	} else {
		settings->source = conf_keep(conf, SETTINGS_ENVIRONMENT);
		settings_env_read(conf);
	}
}

void settings_find_nothing(struct settings *settings)
{
	char beside[PATH_MAX], variables[400];
	struct conf *conf = settings->conf;

	if (strcmp(settings->source, SETTINGS_ENVIRONMENT) != 0) {
		conf_mistake(conf, NULL, NULL,
			     "no check is configured: %s has only [health], or "
			     "nothing; add a check, or write checks = none in "
			     "[health] if that is intended",
			     settings->source);
		return;
	}
	settings_beside(beside, sizeof(beside));
	settings_env_names(variables, sizeof(variables));
	conf_mistake(conf, NULL, NULL,
		     "no check is configured; name a file with --config or "
		     "HEALTH_CONF");
	conf_mistake(conf, NULL, NULL,
		     "not found: %s%s" SETTINGS_SYSTEM ", " SETTINGS_SYSTEM_OLD,
		     beside, *beside ? ", " : "");
	conf_mistake(conf, NULL, NULL,
		     "not set, or nothing to check (a web server may not pass "
		     "variables on): %s",
		     variables);
}

#include "config.h"

#include "app/settings_find.h"

#include "app/settings.h"
#include "app/settings_env.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define SETTINGS_FILE "/health.conf"
#define SETTINGS_ENVIRONMENT "environment"
#define SETTINGS_SYSTEM SYSCONFDIR "/health-fcgi" SETTINGS_FILE
/* Its place in 0.1.0; an upgrade must not lose the checks in it. */
#define SETTINGS_SYSTEM_OLD SYSCONFDIR SETTINGS_FILE

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
 * A file that cannot be reached counts as existing: to act as if there was
 * nothing to check would be the worst answer.
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

static void settings_read_named(struct settings *settings, const char *path,
				const char *by)
{
	if (!settings_exists(path))
		conf_mistake(settings->conf, NULL, NULL,
			     "the configuration file that %s names does not "
			     "exist; no other place is searched",
			     by);
	settings_read_file(settings, path);
}

static void settings_read_system(struct settings *settings, bool old)
{
	bool both = !old && settings_exists(SETTINGS_SYSTEM_OLD);

	settings_read_file(settings,
			   old ? SETTINGS_SYSTEM_OLD : SETTINGS_SYSTEM);
	if (old)
		conf_warn(settings->conf, NULL, NULL,
			  "move " SETTINGS_SYSTEM_OLD " to " SETTINGS_SYSTEM
			  ", its new place");
	if (both)
		conf_warn(settings->conf, NULL, NULL,
			  SETTINGS_SYSTEM_OLD
			  " is not read because " SETTINGS_SYSTEM
			  " exists; remove one of the two");
}

void settings_find(struct settings *settings, const char *path)
{
	const char *variable = getenv("HEALTH_CONF");
	char beside[PATH_MAX];

	settings_beside(beside, sizeof(beside));
	if (variable && !*variable && !path)
		conf_warn(settings->conf, NULL, NULL,
			  "HEALTH_CONF is empty and counts as not set");
	if (path) {
		settings_read_named(settings, path, "--config");
	} else if (variable && *variable) {
		settings_read_named(settings, variable, "HEALTH_CONF");
	} else if (settings_exists(beside)) {
		settings_read_file(settings, beside);
	} else if (settings_exists(SETTINGS_SYSTEM)) {
		settings_read_system(settings, false);
	} else if (settings_exists(SETTINGS_SYSTEM_OLD)) {
		settings_read_system(settings, true);
	} else {
		settings->source = conf_keep(settings->conf,
					     SETTINGS_ENVIRONMENT);
		settings_env_read(settings->conf);
	}
}

void settings_find_nothing(struct settings *settings)
{
	char beside[PATH_MAX], variables[400];
	struct conf *conf = settings->conf;

	if (strcmp(settings->source, SETTINGS_ENVIRONMENT) != 0) {
		conf_mistake(conf, NULL, NULL,
			     "no check is configured: there is none in %s; add "
			     "one, or write checks = none in [health] if that "
			     "is intended",
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

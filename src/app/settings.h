/*
 * settings: the whole configuration, from a file or from the environment.
 *
 * Joins the generic reader (conf), the program's own keys ([health]) and the
 * tables of all kinds.  Used by the main thread before there are others;
 * afterwards everything here is read-only and may be read by all.
 *
 * app/ is for options, the whole configuration, start and stop.  It knows all
 * other directories.
 */
#ifndef HEALTH_SETTINGS_H
#define HEALTH_SETTINGS_H

#include <stdio.h>

#include "check/check.h"
#include "conf/conf.h"

/* Whether there must be a check: without one readiness proves nothing, and an
 * empty configuration looks like a healthy service. */
enum settings_checks { SETTINGS_CHECKS_SOME, SETTINGS_CHECKS_NONE };

/* [health] */
struct settings_health {
	char *service;		  /* "": no name */
	int checks;		  /* enum settings_checks */
	char *mount;		  /* "" or one more mount path */
	char *drain_file;	  /* "" or: not ready while it exists */
	char *state_dir;	  /* "auto", "none" or a path */
	int log_level;		  /* enum log_level */
	int64_t answer_within_ms; /* for the whole answer */
	int64_t threads;	  /* responders */
	int64_t max_waiting;	  /* parked requests */
	int64_t max_connections;  /* from web servers */
	struct conf_list trusted; /* addresses that are shown details */
};
extern const struct conf_key settings_health_keys[];

/* The key that every check has in addition to check_common_keys. */
struct settings_check {
	char *kind;
};
extern const struct conf_key settings_check_keys[];

struct plan;

struct settings {
	struct conf *conf; /* NULL: out of memory at the very start */
	char *source; /* path of the file, or "environment"; owned by conf */
	struct settings_health health;
	struct check_list checks; /* in the order of the file */
};

/*
 * Reads `path`, or with NULL: $HEALTH_CONF, else health.conf beside the
 * program, else the one in the system's configuration directory, else the
 * usual environment variables (settings_source.h).  No check at all is an error
 * unless [health] has `checks = none`.  Registers secrets with text_secret()
 * and empties the environment variables that held them, since
 * /proc/PID/environ would still show them.  -1 when there were errors; all of
 * them are in settings->conf, and settings->health is usable.  settings_free()
 * in both cases.
 */
int settings_load(struct settings *settings, const char *path)
	__attribute__((warn_unused_result));
void settings_free(struct settings *settings);

/* What answering takes of the settings, for free(); NULL: out of memory.  cgi:
 * no check is live, since no process updates its result between requests: an
 * old failure would fail liveness forever. */
struct plan *settings_plan(const struct settings *settings, bool cgi);

/* Logs warnings, and the checks that are not run. */
void settings_log_warnings(const struct settings *settings);

/*
 * A digest (SHA-256) of the checks, their settings with secrets, and the salt;
 * where they were read from does not matter.  -1 when out of memory.
 */
#define SETTINGS_DIGEST_BYTES 32
int settings_digest(const struct settings *settings, const char *salt,
		    uint8_t digest[SETTINGS_DIGEST_BYTES])
	__attribute__((warn_unused_result));

/* Writes the configuration in effect as a configuration file with comments and
 * masked secrets (--check-config). */
void settings_print(const struct settings *settings, FILE *to);

#endif

/*
 * settings: what the program was told, from a file or from the environment.
 *
 * Puts together the generic reader (conf), the program's own keys ([health])
 * and the tables of all kinds.  Used by the main thread before there are
 * others; afterwards everything here is read-only and may be read by all.
 */
#ifndef HEALTH_SETTINGS_H
#define HEALTH_SETTINGS_H

#include <stdio.h>

#include "check/check.h"
#include "conf/conf.h"

/* Whether there must be a check: without one, readiness proves nothing, and an
 * empty configuration looks like a healthy service. */
enum settings_checks { SETTINGS_CHECKS_SOME, SETTINGS_CHECKS_NONE };

/* [health] */
struct settings_health {
	char *service;		  /* "" when not named */
	int checks;		  /* enum settings_checks */
	char *mount;		  /* "" or one more mount path */
	char *drain_file;	  /* "" or: while it exists, not ready */
	char *state_dir;	  /* "auto", "none" or a path */
	int log_level;		  /* enum log_level */
	int64_t answer_within_ms; /* the whole answer */
	int64_t threads;	  /* responders */
	int64_t max_waiting;	  /* parked requests */
	int64_t max_connections;  /* from web servers */
	struct conf_list trusted; /* addresses that are shown details */
};
extern const struct conf_key settings_health_keys[];

/* The key that every check has besides check_common_keys: its kind. */
struct settings_check {
	char *kind;
};
extern const struct conf_key settings_check_keys[];

struct settings {
	struct conf *conf; /* NULL: out of memory at the very start */
	char *source; /* path of the file, or "environment"; owned by conf */
	struct settings_health health;
	struct check_list checks; /* in the order of the file */
};

/*
 * Reads `path`, or with NULL: $HEALTH_CONF, else health.conf beside the
 * program, else the one in the system's configuration directory, else the
 * usual environment variables (settings_find.h).  No check at all is a mistake
 * unless [health] says `checks = none`.  Secrets are registered with
 * text_secret(), and the environment variables they came from are emptied:
 * /proc/PID/environ would go on showing them. -1 when there were mistakes; they
 * are in settings->conf, all of them, and settings->health is usable.
 * settings_free() in both cases.
 */
int settings_load(struct settings *settings, const char *path)
	__attribute__((warn_unused_result));
void settings_free(struct settings *settings);

/* From now on liveness asks no check. */
void settings_clear_live(struct settings *settings);

/* What does not work as it is written, or is not asked, into the log. */
void settings_log_warnings(const struct settings *settings);

/*
 * Another digest (SHA-256) for another check, setting of a check, its secrets
 * included, or salt; where they were read does not matter.  -1 when it cannot
 * be had.
 */
#define SETTINGS_DIGEST_BYTES 32
int settings_digest(const struct settings *settings, const char *salt,
		    uint8_t digest[SETTINGS_DIGEST_BYTES])
	__attribute__((warn_unused_result));

/* Writes the configuration in effect as a configuration file with comments,
 * secrets masked (--check-config). */
void settings_print(const struct settings *settings, FILE *to);

#endif

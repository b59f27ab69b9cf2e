/*
 * settings_source: where the configuration is: in a file, or in the environment
 * variables that applications usually have.
 *
 * For settings.c; the main thread, before there are others.
 */
#ifndef HEALTH_SETTINGS_SOURCE_H
#define HEALTH_SETTINGS_SOURCE_H

struct conf;
struct settings;

/*
 * Reads `path`, or with NULL the first of the other places that exists, into
 * settings->conf, and sets settings->source.  Errors are collected.  Without a
 * file, adds the sections that the environment describes; variables that cannot
 * be checked are left out, with a warning in the log.
 */
void settings_find(struct settings *settings, const char *path);

/* Collects the error that no check is configured, with each place that
 * settings_find() searched and what to write instead. */
void settings_find_nothing(struct settings *settings);

/*
 * Overwrites the values of all variables that hold secrets: those that can
 * describe a check, used or not, and those that conf expanded in secrets.
 */
void settings_env_forget(const struct conf *conf);

#endif

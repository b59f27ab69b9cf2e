/*
 * settings_find: where the configuration is.
 *
 * For settings.c; the main thread, before there are others.
 */
#ifndef HEALTH_SETTINGS_FIND_H
#define HEALTH_SETTINGS_FIND_H

struct settings;

/*
 * Reads `path`, or with NULL the first of the other places that exists, into
 * settings->conf, and sets settings->source.  Errors are collected.
 */
void settings_find(struct settings *settings, const char *path);

/* Collects the error that no check is configured, with each place that
 * settings_find() searched and what to write instead. */
void settings_find_nothing(struct settings *settings);

#endif

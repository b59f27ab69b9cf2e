/*
 * settings_find: where the configuration is.
 *
 * For settings.c; the main thread, before there are others.
 */
#ifndef HEALTH_SETTINGS_FIND_H
#define HEALTH_SETTINGS_FIND_H

struct settings;

/*
 * Reads `path`, or with NULL the first of the other places that there is, into
 * settings->conf, and sets settings->source.  What is wrong with it is among
 * the mistakes.
 */
void settings_find(struct settings *settings, const char *path);

/* Collects the mistake that no check is configured, with each place that
 * settings_find() looked at and what to write instead. */
void settings_find_nothing(struct settings *settings);

#endif

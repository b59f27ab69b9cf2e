/*
 * settings_env: checks from the environment variables that applications
 * usually have, for when there is no configuration file.
 *
 * For settings.c; the main thread, before there are others.
 */
#ifndef HEALTH_SETTINGS_ENV_H
#define HEALTH_SETTINGS_ENV_H

#include "conf/conf.h"

/*
 * Adds the sections that the environment describes.  Variables that cannot be
 * checked are left out, with a warning in the log.
 */
void settings_env_read(struct conf *conf);

/* The variables that can create a check, "A, B, C"; for a sentence. */
void settings_env_names(char *to, size_t size);

/*
 * Overwrites the values of all variables that hold secrets: those in the table,
 * used or not, and those that conf expanded in secrets.
 */
void settings_env_forget(const struct conf *conf);

#endif

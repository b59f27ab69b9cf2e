/*
 * conf_secret: which parts of a URL, of a PostgreSQL connection string or the
 * like (CONF_URL) are secret.  When in doubt, more is hidden than has to be.
 * For conf*.c alone.
 */
#ifndef HEALTH_CONF_SECRET_H
#define HEALTH_CONF_SECRET_H

#include <stdbool.h>
#include <stdio.h>

/* Whether there is anything to hide. */
bool conf_secret_in_url(const char *url);

/* Writes the URL with asterisks for what is secret. */
void conf_secret_print_url(FILE *to, const char *url);

/* What is wrong with a secret as it stands, or with those in a URL, to go on
 * behind "the value"; NULL: nothing. */
const char *conf_secret_wrong(const char *text);
const char *conf_secret_wrong_in_url(const char *url);

/* Calls text_secret() with each secret, decoded.  -1 when out of memory. */
int conf_secret_register_url(const char *url)
	__attribute__((warn_unused_result));

#endif

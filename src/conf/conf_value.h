/*
 * conf_value: numbers, durations, sizes, choices: from what the user wrote to
 * a number and back.  Pure; for conf*.c alone.
 */
#ifndef HEALTH_CONF_VALUE_H
#define HEALTH_CONF_VALUE_H

#include "conf/conf.h"

/*
 * Reads a value of any type but CONF_STR and CONF_LIST and holds it against
 * the limits.  -1 and words that go on after the value ("must be between 1
 * and 64") when it is wrong.
 */
int conf_value_read(const struct conf_key *key, const char *text,
		    int64_t *value, char *words, size_t words_size)
	__attribute__((warn_unused_result));

/* As the user would write it. */
void conf_value_print(FILE *to, const struct conf_key *key, int64_t value);

/* A limit of a CONF_STR or CONF_LIST, or `otherwise` when there is none. */
size_t conf_value_length(const char *limit, size_t otherwise);

/* The field of a record as a number, and back. */
int64_t conf_value_load(const struct conf_key *key, const void *record);
void conf_value_store(const struct conf_key *key, void *record, int64_t value);

#endif

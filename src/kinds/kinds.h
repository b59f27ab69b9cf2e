/*
 * kinds: the list of kinds; the only place that names them all.
 *
 * Constant; any thread.
 *
 * kinds/ is for protocols, spoken on one connection each.  A kind knows its own
 * settings and connection, and no clock, no board and no other check.
 */
#ifndef HEALTH_KINDS_H
#define HEALTH_KINDS_H

#include "check/check.h"

extern const struct check_kind check_azure_openai;
extern const struct check_kind check_file;
extern const struct check_kind check_http;
extern const struct check_kind check_model;
extern const struct check_kind check_openai;
extern const struct check_kind check_postgres;
extern const struct check_kind check_redis;
extern const struct check_kind check_servicebus;

/* In alphabetical order; NULL past the end. */
const struct check_kind *check_kind_at(size_t index);

/* NULL: there is no kind of that name. */
const struct check_kind *check_kind_find(const char *name);

#endif

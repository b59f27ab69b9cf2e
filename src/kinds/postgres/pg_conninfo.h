/*
 * pg_conninfo: a libpq connection string to a plan of servers to try.
 *
 * libpq would read the environment, a service file, the home directory and the
 * user database, and would open the named files at each connect; all of that
 * may block, and makes a check depend on more than its configuration.  So this
 * module resolves everything once, at the start: parameters are complete, and
 * files are copies in memory.
 *
 * Used by the main thread before there are others; afterwards a plan is read
 * only, except `first`, which belongs to the prober thread.
 */
#ifndef HEALTH_PG_CONNINFO_H
#define HEALTH_PG_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#define PG_TARGETS_MAX 16
#define PG_PARAMS_MAX 64
#define PG_FILES_MAX 5

/* One host of the list; its name may stand for several addresses. */
struct pg_target {
	char *host;	/* a name, a socket directory, or NULL: libpq's own */
	char *hostaddr; /* numeric; NULL: host is to be resolved */
	char *port;
};

/* A copy of a file that libpq opens by path. */
struct pg_file {
	int fd;
	char path[32];
};

struct pg_plan {
	size_t n;
	struct pg_target targets[PG_TARGETS_MAX];
	size_t first; /* the one that answered last */

	const char *attrs; /* target_session_attrs for one server */
	bool prefer;	   /* with attrs at first, then with any */

	/* All other parameters, for PQconnectStartParams(). */
	size_t n_params;
	const char *keywords[PG_PARAMS_MAX];
	const char *values[PG_PARAMS_MAX];

	/* What the values point into. */
	PQconninfoOption *options;
	struct pg_file files[PG_FILES_MAX];
	size_t n_files;
	char *require_auth;
	char *user;
};

/*
 * NULL and an error message, which never contains a part of the string, when it
 * is invalid.  password overrides the string's unless "";
 * it is borrowed for the plan's life.
 */
struct pg_plan *pg_plan_create(const char *conninfo, const char *password,
			       char *reason, size_t reason_size);
void pg_plan_destroy(struct pg_plan *plan); /* NULL is allowed */

/* The value of a parameter; NULL: not set. */
const char *pg_plan_value(const struct pg_plan *plan, const char *keyword);

/* Whether the password files (passfile=) of two plans of the same string hold
 * other text. */
bool pg_plan_passwords_differ(const struct pg_plan *one,
			      const struct pg_plan *other);

bool pg_target_is_socket(const struct pg_target *target);

#endif

/*
 * pg_conninfo: a libpq connection string to a plan of servers to try.
 *
 * libpq would read the environment, a service file, the home directory and the
 * user database, and would open the named files at each connect; all of that
 * may block, and makes a check depend on more than its configuration.  So this
 * module resolves everything once, at the start: parameters are complete, and
 * files are copies in memory.
 *
 * A plan is made by one thread (the main thread at the start, another one of a
 * worker when a login was refused).  Afterwards it is read only, except
 * `first`, which belongs to the main thread of a worker.
 */
#ifndef HEALTH_PG_CONNINFO_H
#define HEALTH_PG_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

#include <libpq-fe.h>

#define PG_TARGETS_MAX 16
#define PG_PARAMS_MAX 64
#define PG_FILES_MAX 5
#define PG_REASON_BYTES 256

/* One host of the list; its name may stand for several addresses. */
struct pg_target {
	const char *host;     /* a name, a socket directory, or NULL: libpq's
				 default */
	const char *hostaddr; /* numeric; NULL: host must be resolved */
	const char *port;
};

/* What target_session_attrs requires of a server. */
struct pg_role {
	const char *attrs;	       /* its value */
	const char *question, *wanted; /* what asks for it, as libpq asks, and
					  the answer */
	const char *words;	       /* no server has the role */
};
extern const struct pg_role pg_role_any;

struct pg_plan {
	size_t n;
	struct pg_target targets[PG_TARGETS_MAX];
	size_t first; /* the one that answered last */

	const struct pg_role *role;
	bool prefer; /* with the role at first, then with any */

	/* All other parameters, for PQconnectStartParams(). */
	size_t n_params;
	const char *keywords[PG_PARAMS_MAX];
	const char *values[PG_PARAMS_MAX];

	unsigned char passwords[32]; /* the digest of the password file */

	/* private to pg_conninfo.c: what the rest points into, and copies of
	 * the files that libpq opens by path. */
	PQconninfoOption *options;
	int files[PG_FILES_MAX];
	size_t n_files;
	char *reason;
};

/* Clears what libpq and its GSS library would read without being asked: for
 * the whole process, so call it before there are threads and after ${} was
 * expanded. */
void pg_environment(void);

/* Whether libpq has a parameter of this name. */
bool pg_is_known(const char *name);

/*
 * NULL and an error message, which continues after "url " and never contains a
 * part of the string, when it is invalid.  password overrides the string's
 * unless "".  Passwords are registered with text_secret().
 */
struct pg_plan *pg_plan_create(const char *conninfo, const char *password,
			       char reason[PG_REASON_BYTES]);
void pg_plan_destroy(struct pg_plan *plan); /* NULL is allowed */

/* The value of an option; NULL: not set, or not known to this libpq. */
char *pg_plan_value(const struct pg_plan *plan, const char *keyword);

/* Appends a parameter, in a copy of a plan; the texts are borrowed. */
void pg_plan_add(struct pg_plan *plan, const char *keyword, const char *value);

bool pg_target_is_socket(const struct pg_target *target);

#endif

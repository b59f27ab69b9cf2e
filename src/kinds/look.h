/*
 * look: a kind that only looks at files: one job in an offload thread per run.
 *
 * The settings of such a kind begin with struct look_settings, its jobs with
 * struct look.  A job holds everything that its thread needs, since a stuck
 * thread outlives the settings.
 *
 * look_end() and look_end_errno() are for the job's thread, the rest belongs to
 * the main thread of a worker; look_prepare() and look_dispose() as in check.h.
 */
#ifndef HEALTH_LOOK_H
#define HEALTH_LOOK_H

#include <limits.h>

#include "check/check.h"

struct look_lane;
struct offload_order;

struct look_settings {
	struct look_lane *lane; /* made by look_prepare() */
};

struct look {
	const char *at; /* the path that is looked at; for the detail */
	enum result_code code;
	char words[RESULT_ERROR_BYTES];
	char detail[PATH_MAX + 64];
};

/* The result of a look; both return false. */
bool look_end(struct look *look, enum result_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* What errno means for `what`; `missing` are the words when it does not
 * exist. */
bool look_end_errno(struct look *look, const char *missing, const char *what);

void look_prepare(struct conf *conf, struct conf_section *section,
		  void *settings);
void look_dispose(void *settings);

/* Starts the job; ask(conn) is called again when a job was under way that began
 * before the question. */
void look_ask(struct conn *conn, const struct offload_order *order,
	      void (*ask)(struct conn *conn));

/* The other functions of the kind. */
const char *look_live_refused(const void *settings);
void look_close(struct conn *conn);
const char *look_step(const struct conn *conn);

#endif

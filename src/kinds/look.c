#include "config.h"

#include "kinds/look.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/offload.h"

/*
 * A check has one job at a time, however often it runs: a mount that stays dead
 * for hours costs one stuck thread, and not one for each run.
 */
struct look_lane {
	struct offload_job *job; /* under way, perhaps stuck */
	bool joined;		 /* it began before the question */
	struct conn *conn;	 /* whose question waits; NULL: none */
	void (*ask)(struct conn *conn);
};

bool look_end(struct look *look, enum result_code code, const char *fmt, ...)
{
	va_list args;

	look->code = code;
	if (!look->detail[0])
		snprintf(look->detail, sizeof(look->detail), "%s", look->at);
	va_start(args, fmt);
	vsnprintf(look->words, sizeof(look->words), fmt, args);
	va_end(args);
	return false;
}

bool look_end_errno(struct look *look, const char *missing, const char *what)
{
	int error = errno;

	snprintf(look->detail, sizeof(look->detail), "%s: %m", look->at);
	if (error == ENOENT || error == ENOTDIR)
		return look_end(look, RESULT_MISSING, "%s", missing);
	if (error == EACCES || error == EPERM)
		return look_end(look, RESULT_INTERNAL, "%s: permission denied",
				what);
	return look_end(look, RESULT_INTERNAL, "%s cannot be read", what);
}

void look_prepare(struct conf *conf, struct conf_section *section,
		  void *settings)
{
	struct look_settings *look = settings;

	look->lane = calloc(1, sizeof(*look->lane));
	if (!look->lane)
		conf_mistake(conf, section, NULL, "out of memory");
}

void look_dispose(void *settings)
{
	free(((struct look_settings *)settings)->lane);
}

static struct look_lane *look_lane(const struct conn *conn)
{
	return ((const struct look_settings *)conn_settings(conn))->lane;
}

static void look_on_done(void *arg, const void *copy)
{
	struct look_lane *lane = arg;
	struct conn *conn = lane->conn;
	const struct look *look = copy;

	lane->job = NULL;
	lane->conn = NULL;
	if (!conn)
		return;
	/* What was found may be older than the question. */
	if (lane->joined) {
		lane->ask(conn);
		return;
	}
	if (look->detail[0])
		conn_detail(conn, look->detail);
	conn_answered(conn, look->code, "%s", look->words);
}

void look_ask(struct conn *conn, const struct offload_order *order,
	      void (*ask)(struct conn *conn))
{
	struct look_lane *lane = look_lane(conn);

	lane->ask = ask;
	lane->joined = lane->job != NULL;
	if (!lane->job)
		lane->job = offload_start(conn_env(conn)->offload, order,
					  look_on_done, lane);
	if (lane->job)
		lane->conn = conn;
	else
		conn_failed(conn, RESULT_INTERNAL, "cannot create a thread");
}

const char *look_live_refused(const void *settings)
{
	(void)settings;
	return NULL;
}

void look_close(struct conn *conn)
{
	struct look_lane *lane = look_lane(conn);

	if (lane->conn == conn)
		lane->conn = NULL;
}

const char *look_step(const struct conn *conn)
{
	(void)conn;
	return "waiting for the file system";
}

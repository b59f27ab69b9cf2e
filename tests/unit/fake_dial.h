/*
 * fake_dial: conn_dial() as the engine has it, for tests of kinds whose struct
 * conn has env, dial and on_dialled.
 */
#ifndef HEALTH_FAKE_DIAL_H
#define HEALTH_FAKE_DIAL_H

#include "base/clock.h"
#include "check/check.h"
#include "io/dial.h"

static void fake_conn_on_dialled(void *arg, struct stream *stream,
				 const struct failure *failure)
{
	struct conn *conn = arg;

	if (failure)
		conn_failed_as(conn, failure);
	else
		conn->on_dialled(conn, stream);
}

void conn_dial(struct conn *conn, const struct dial_target *target,
	       void (*on_open)(struct conn *conn, struct stream *stream))
{
	conn->on_dialled = on_open;
	conn->dial.loop = conn->env.loop;
	conn->dial.resolver = conn->env.resolver;
	conn->dial.offload = conn->env.offload;
	conn->dial.on_done = fake_conn_on_dialled;
	conn->dial.arg = conn;
	dial_start(&conn->dial, target, clock_ms() + conn_left_ms(conn));
}

/* What the engine says of a run that ends now. */
static inline const char *fake_dial_step(const struct conn *conn,
					 const struct check_kind *kind)
{
	const char *step = dial_step(&conn->dial);

	return step ? step : kind->step(conn);
}

#endif

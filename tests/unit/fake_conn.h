/*
 * fake_conn: the engine's side of a connection, for tests of kinds.
 *
 * It notes what a kind tells the engine, and does inside conn_failed(), and
 * inside conn_answered() when asked to, what the engine may do there: the
 * connection is closed, twice, and its memory is gone, so that a sanitizer
 * catches a kind that touches it afterwards.
 */
#ifndef HEALTH_FAKE_CONN_H
#define HEALTH_FAKE_CONN_H

#include "check/check.h"
#ifdef FAKE_CONN_DIALS
#include "io/dial.h"
#endif

#include <assert.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct conn {
	/* set by the test; zeroed will do */
	const struct check_kind *kind; /* whose close() is called */
	void *state;		       /* of malloc(3); NULL: closed */
	const void *settings;
	struct check_env env;
	bool drop_when_answered;

#ifdef FAKE_CONN_DIALS
	struct dial dial;
	void (*on_dialled)(struct conn *conn, struct stream *stream);
#endif

	/* what the kind watches and said */
	int fd;
	short events;
	int ready, answered, failed;
	enum result_code code;
	char words[RESULT_ERROR_BYTES];
	char detail[FAILURE_DETAIL_BYTES], peer[FAILURE_DETAIL_BYTES];
};

void *conn_state(const struct conn *conn)
{
	return conn->state;
}

const void *conn_settings(const struct conn *conn)
{
	return conn->settings;
}

const struct check_env *conn_env(const struct conn *conn)
{
	return &conn->env;
}

bool conn_is_kept(const struct conn *conn)
{
	(void)conn;
	return true;
}

int64_t conn_left_ms(const struct conn *conn)
{
	(void)conn;
	return 1000;
}

void conn_watch(struct conn *conn, int fd, short events)
{
	/* A closed descriptor may already belong to another connection. */
	assert(fd < 0 || fcntl(fd, F_GETFD) >= 0);
	conn->fd = fd;
	conn->events = events;
}

void conn_detail(struct conn *conn, const char *text)
{
	snprintf(conn->detail, sizeof(conn->detail), "%.*s",
		 (int)sizeof(conn->detail) - 1, text);
}

void conn_peer(struct conn *conn, const char *peer)
{
	snprintf(conn->peer, sizeof(conn->peer), "%.*s",
		 (int)sizeof(conn->peer) - 1, peer);
}

void conn_ready(struct conn *conn)
{
	conn->ready++;
}

/* How often an opening or a run has ended; each may once. */
static inline int fake_conn_ends(const struct conn *conn)
{
	return conn->ready + conn->answered + conn->failed;
}

static inline void fake_conn_drop(struct conn *conn)
{
	if (!conn->state)
		return;
	conn->fd = -1;
#ifdef FAKE_CONN_DIALS
	dial_end(&conn->dial);
#endif
	conn->kind->close(conn);
	conn->kind->close(conn);
	free(conn->state);
	conn->state = NULL;
}

__attribute__((format(printf, 3, 0))) static void fake_conn_say(
	struct conn *conn, enum result_code code, const char *fmt, va_list args)
{
	conn->code = code;
	vsnprintf(conn->words, sizeof(conn->words), fmt, args);
}

void conn_answered(struct conn *conn, enum result_code code, const char *fmt,
		   ...)
{
	va_list args;

	conn->answered++;
	va_start(args, fmt);
	fake_conn_say(conn, code, fmt, args);
	va_end(args);
	if (conn->drop_when_answered)
		fake_conn_drop(conn);
}

void conn_failed(struct conn *conn, enum result_code code, const char *fmt, ...)
{
	va_list args;

	conn->failed++;
	va_start(args, fmt);
	fake_conn_say(conn, code, fmt, args);
	va_end(args);
	fake_conn_drop(conn);
}

#ifdef FAKE_CONN_DIALS
#include "fake_dial.h"
#endif

#endif

#include "config.h"

#include "kinds/redis/redis_open.h"

#include "check/check.h"
#include "base/clock.h"
#include "kinds/redis/redis_talk.h"
#include "io/resolve.h"
#include "io/stream.h"

void redis_open_advance(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	struct redis_conn *redis = conn_state(conn);

	switch (stream_advance(redis->stream)) {
	case STREAM_PENDING:
		conn_watch(conn, stream_fd(redis->stream),
			   stream_events(redis->stream));
		return;
	case STREAM_DONE:
		if (stream_peer(redis->stream))
			resolve_prefer(conn_env(conn)->resolver,
				       settings->target.host,
				       stream_peer(redis->stream));
		redis_talk_next(conn);
		return;
	default:
		redis_talk_stream_failed(conn);
	}
}

/* addrs: NULL with a Unix socket. */
static void redis_open_connect(struct conn *conn,
			       const struct resolve_answer *addrs)
{
	const struct redis_settings *settings = conn_settings(conn);
	struct redis_conn *redis = conn_state(conn);
	int64_t left_ms = conn_deadline_ms(conn) - clock_ms();
	const struct stream_target target = {
		.unix_path = settings->target.path,
		.offload = conn_env(conn)->offload,
		.addrs = addrs,
		.port = settings->target.port,
		.trust = settings->trust,
		.host = settings->target.host,
		.try_ms = addrs ? stream_try_ms(left_ms, addrs->n) : 0,
	};

	redis->step = REDIS_CONNECT;
	redis->stream = stream_open(&target);
	if (!redis->stream || redis_answer_open(&redis->answer)) {
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
		return;
	}
	redis_open_advance(conn);
}

static void redis_open_on_resolved(void *arg,
				   const struct resolve_answer *answer)
{
	struct conn *conn = arg;

	if (answer->code == RESULT_OK)
		redis_open_connect(conn, answer);
	else
		conn_failed(conn, answer->code, "%s", answer->words);
}

void redis_open(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	struct resolver *resolver = conn_env(conn)->resolver;
	struct redis_conn *redis = conn_state(conn);
	const struct resolve_answer *answer;

	if (settings->target.path) {
		redis_open_connect(conn, NULL);
		return;
	}
	answer = resolve_cached(resolver, settings->target.host);
	if (answer) {
		redis_open_connect(conn, answer);
		return;
	}
	redis->step = REDIS_RESOLVE;
	redis->query.on_done = redis_open_on_resolved;
	redis->query.arg = conn;
	resolve_start(resolver, &redis->query, settings->target.host);
}

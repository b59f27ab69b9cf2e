#include "config.h"

#include "io/dial.h"

#include <errno.h>

#include "base/clock.h"
#include "io/stream.h"

static void dial_done(struct dial *dial, const struct failure *failure)
{
	struct stream *stream = dial->stream;

	loop_watch_clear(dial->loop, &dial->watch);
	dial->stream = NULL;
	dial->busy = false;
	dial->on_done(dial->arg, failure ? NULL : stream, failure);
	if (failure)
		stream_close(stream);
}

static void dial_failed(struct dial *dial, int error)
{
	const struct failure failure = failure_errno(error);

	dial_done(dial, &failure);
}

static void dial_advance(void *arg, short revents)
{
	struct dial *dial = arg;
	enum stream_state state = stream_advance(dial->stream);

	(void)revents;
	if (state == STREAM_ERROR) {
		dial_done(dial, stream_failure(dial->stream));
	} else if (state == STREAM_PENDING) {
		/* The descriptor may be another one now. */
		if (loop_watch_set(dial->loop, &dial->watch,
				   stream_fd(dial->stream),
				   stream_events(dial->stream)))
			dial_failed(dial, ENOMEM);
	} else {
		if (stream_peer(dial->stream) && !dial->target.unproven)
			resolve_prefer(dial->resolver, dial->target.host,
				       stream_peer(dial->stream));
		dial_done(dial, NULL);
	}
}

static void dial_connect(struct dial *dial, const struct resolve_answer *addrs)
{
	const struct stream_target target = {
		.unix_path = dial->target.path,
		.offload = dial->offload,
		.addrs = addrs,
		.port = dial->target.port,
		.trust = dial->target.path ? NULL : dial->target.trust,
		.host = dial->target.host,
		.try_ms = stream_try_ms(dial->deadline_ms - clock_ms(),
					addrs ? addrs->n : 1),
	};

	dial->stream = stream_open(&target);
	if (dial->stream)
		dial_advance(dial, 0);
	else
		dial_failed(dial, ENOMEM);
}

static void dial_on_resolved(void *arg, const struct resolve_answer *answer)
{
	struct dial *dial = arg;
	struct resolve_answer turned = *answer;
	struct failure failure;
	size_t i;

	if (answer->code != RESULT_OK) {
		failure = failure_make(answer->code, "%s", answer->words);
		failure_of_peer(&failure, dial->target.host);
		dial_done(dial, &failure);
		return;
	}
	for (i = 0; i < answer->n && dial->target.turned; i++)
		turned.addrs[i] = answer->addrs[(i + 1) % answer->n];
	dial_connect(dial, &turned);
}

void dial_start(struct dial *dial, const struct dial_target *target,
		int64_t deadline_ms)
{
	const struct resolve_answer *answer;

	dial->target = *target;
	dial->deadline_ms = deadline_ms;
	dial->busy = true;
	dial->watch.on_io = dial_advance;
	dial->query.on_done = dial_on_resolved;
	dial->watch.arg = dial->query.arg = dial;
	if (target->path) {
		dial_connect(dial, NULL);
		return;
	}
	answer = resolve_cached(dial->resolver, target->host);
	if (answer)
		dial_on_resolved(dial, answer);
	else
		resolve_start(dial->resolver, &dial->query, target->host);
}

void dial_end(struct dial *dial)
{
	if (!dial->busy)
		return;
	resolve_cancel(dial->resolver, &dial->query);
	loop_watch_clear(dial->loop, &dial->watch);
	stream_close(dial->stream);
	dial->stream = NULL;
	dial->busy = false;
}

const char *dial_step(const struct dial *dial)
{
	if (!dial->busy)
		return NULL;
	return dial->stream ? stream_step(dial->stream)
			    : "resolving the host name";
}

/*
 * What a Redis server may send: the input says what is configured, in which
 * pieces the bytes arrive, and how the connection ends.  Each question ends
 * once, with a text of ours, and what the peer sends after that is ignored.
 */
#include "config.h"

#include "kinds/redis/redis_talk.c"

#include "../unit/fake_conn.h"

#define FUZZ_CORPUS "tests/fuzz/corpus/redis"
#include "fuzz.h"

#define FUZZ_RUNS 4

/* ---- the stream, faked ---- */

struct stream {
	struct fuzz_input input;
	struct fuzz_pieces pieces;
	enum stream_state end; /* when all is read */
	bool heard;	       /* there is nothing until the next question */
};

enum stream_state stream_read(struct stream *stream, void *to, size_t size,
			      size_t *moved)
{
	size_t len = fuzz_piece(&stream->pieces, stream->input.left);

	if (stream->input.left == 0)
		return stream->end;
	if (stream->heard && stream->pieces.n > 0) {
		stream->heard = false;
		return STREAM_PENDING;
	}
	stream->heard = true;
	*moved = len < size ? len : size;
	memcpy(to, stream->input.at, *moved);
	stream->input.at += *moved;
	stream->input.left -= *moved;
	return STREAM_DONE;
}

enum stream_state stream_write(struct stream *stream, const void *from,
			       size_t size, size_t *moved)
{
	(void)stream;
	FUZZ_CHECK(from && size > 0);
	*moved = size;
	return STREAM_DONE;
}

void stream_close(struct stream *stream)
{
	(void)stream;
}

int stream_fd(const struct stream *stream)
{
	(void)stream;
	return 0;
}

short stream_events(const struct stream *stream)
{
	(void)stream;
	return POLLIN;
}

const struct failure *stream_failure(const struct stream *stream)
{
	static const struct failure reset = { .code = RESULT_CONNECT,
					      .words = "connection reset" };

	(void)stream;
	return &reset;
}

/* ---- the kind ---- */

static const struct check_kind fuzz_kind = { .close = redis_talk_close };

/* Goes on until the opening or the run has ended, or nothing comes. */
static void fuzz_go_on(struct conn *conn, const struct stream *stream)
{
	int before = fake_conn_ends(conn) - conn->ready;

	while (conn->state && fake_conn_ends(conn) - conn->ready == before &&
	       (stream->input.left > 0 || stream->end != STREAM_PENDING)) {
		const struct redis_conn *redis = conn_state(conn);

		if (redis->step == REDIS_READY)
			break;
		redis_talk(conn, 0);
	}
}

static void fuzz_runs(struct conn *conn, struct stream *stream)
{
	struct redis_conn *redis = conn_state(conn);
	int run;

	redis_talk_open(conn, stream);
	fuzz_go_on(conn, stream);
	for (run = 0; run < FUZZ_RUNS && conn->state; run++) {
		if (redis->step != REDIS_READY)
			return; /* waits: the deadline would end it */
		FUZZ_CHECK(conn->ready == 1 && conn->answered == run);
		redis_talk_next(conn);
		fuzz_go_on(conn, stream);
	}
	if (conn->state && redis->step == REDIS_READY)
		redis_talk_idle(conn, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct stream stream = { .input = { data, size } };
	unsigned choice = fuzz_byte(&stream.input);
	static char user[] = "app", password[] = "secret";
	struct redis_settings settings = {
		.target = { .user = choice & 1 ? user : NULL,
			    .password = choice & 2 ? password : NULL,
			    .database = choice & 4 ? 7 : 0 },
		.role = choice & 8 ? REDIS_ROLE_REPLICA : REDIS_ROLE_MASTER,
		.cluster = choice & 16,
	};
	struct redis_conn *redis = calloc(1, sizeof(*redis));
	struct conn conn = { .kind = &fuzz_kind,
			     .state = redis,
			     .settings = &settings };

	if (choice & 32)
		settings.role = REDIS_ROLE_ANY;
	stream.end = choice & (64 | 128) ? STREAM_ERROR : STREAM_PENDING;
	stream.pieces = fuzz_pieces(&stream.input);
	FUZZ_CHECK(redis);
	fuzz_runs(&conn, &stream);
	FUZZ_CHECK(conn.ready <= 1 && conn.failed <= 1);
	FUZZ_CHECK(conn.failed == 0 || conn.state == NULL);
	/* The check never waits for a closed connection. */
	FUZZ_CHECK(conn.failed || stream.end == STREAM_PENDING ||
		   stream.input.left > 0 || conn.answered == FUZZ_RUNS);
	if (conn.answered || conn.failed)
		FUZZ_CHECK(fuzz_clean(conn.words) &&
			   (conn.code == RESULT_OK) == !conn.words[0]);
	fake_conn_drop(&conn);
	return 0;
}

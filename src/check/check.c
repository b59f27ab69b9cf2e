#include "config.h"

#include "check/check.h"

#include <assert.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "check/admit.h"
#include "check/check_renew.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/dial.h"
#include "io/loop.h"
#include "base/text.h"

/* A warm connection that is silent for this part of its deadline is hedged. */
#define CHECK_HEDGE_PERCENT 40
/* A deadline that fires this late does not count: the process did not run. */
#define CHECK_SUSPENDED_MS 500
/* Background reconnects: first after about this, doubling up to the last. */
#define CHECK_BACKOFF_FIRST_MS 250
#define CHECK_BACKOFF_LAST_MS 30000

/* clang-format off */
#define POLICY(field) offsetof(struct check_policy, field)
const struct conf_key check_common_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "timeout", CONF_DURATION, POLICY(timeout_ms), "3s", "10ms", "60s", 0,
	  "longest time that one run may take" },
	{ "max_age", CONF_DURATION, POLICY(max_age_ms), "1s", "0s", "2d", 0,
	  "how old a result may be and still answer a probe" },
	{ "interval", CONF_DURATION, POLICY(interval_ms), "0s", "0s", "1d", 0,
	  "run in the background this often; probes never wait (0s: when asked)" },
	{ "renew", CONF_DURATION, POLICY(renew_ms), "5m", "0s", "1d", 0,
	  "age at which a warm connection is replaced by a new one (0s: never)" },
	{ "keep", CONF_BOOL, POLICY(keep), "yes", NULL, NULL, 0,
	  "whether its connection stays open for the next run" },
	{ "required", CONF_BOOL, POLICY(required), "yes", NULL, NULL, 0,
	  "whether its failure makes the service not ready, or only degraded" },
	{ "startup", CONF_BOOL, POLICY(startup), "yes", NULL, NULL, 0,
	  "whether it must have been healthy once before the service is started" },
	{ "live", CONF_BOOL, POLICY(live), "no", NULL, NULL, 0,
	  "whether its failure makes liveness fail (local kinds only)" },
	CONF_END
};
/* clang-format on */

/* How many events an idle connection may cause (notices, keep-alives). A peer
 * that never stops sending would keep the processor busy. */
#define CHECK_IDLE_EVENTS 256

enum conn_phase {
	CONN_CLOSED,
	CONN_QUEUED,  /* waits for its admission */
	CONN_OPENING, /* the kind's open() is under way */
	CONN_IDLE,    /* warm: may be asked */
	CONN_ASKING,  /* the kind's ask() is under way */
};

struct conn {
	struct check *check;
	enum conn_phase phase;
	void *state; /* the kind's */
	struct loop_watch watch;
	struct admit_ticket ticket;
	struct loop_timer expiry; /* of an opening that no run bounds */
	unsigned idle_events;	  /* since it was last asked */
	bool extended;		  /* this opening was suspended once */
	int64_t renew_at_ms;	  /* 0: never */
	struct dial dial;
	void (*on_dialled)(struct conn *conn, struct stream *stream);
	char peer[RESULT_DETAIL_BYTES]; /* from conn_peer(); "": unknown */
	char detail[RESULT_DETAIL_BYTES];
};

struct check {
	const struct check_setup *setup;
	const struct check_kind *kind;
	const struct check_env *env;
	check_on_result *on_result;
	void *arg;
	struct check_renew renew;

	/* `warm` serves the runs; the other one is a hedge or a renewal. */
	struct conn conns[2];
	struct conn *warm;

	/* The run under way. */
	bool running;
	bool opened;	    /* it has begun a connection of its own */
	bool hedging;	    /* the second connection may be asked, too */
	bool renewed;	    /* it has looked for another secret */
	bool renewing;	    /* ... and waits for the result of that */
	bool extended;	    /* it was suspended once and got its time again */
	bool heard;	    /* `kept` is an answer, not a failed connection */
	struct result kept; /* bad, while the other connection may do better */
	int64_t started_us;
	struct loop_timer deadline, hedge;
	/* While its only connection waits for admission: */
	int64_t left_ms;  /* until the deadline */
	int64_t spent_us; /* so far */

	/* The background: reconnect or renew. */
	struct loop_timer upkeep;
	unsigned failures; /* connections lost since the last answer */
};

/* ---- connections ---- */

static struct conn *conn_other(const struct conn *conn)
{
	struct check *check = conn->check;

	return conn == &check->conns[0] ? &check->conns[1] : &check->conns[0];
}

static void conn_drop(struct conn *conn)
{
	struct check *check = conn->check;

	admit_leave(&conn->ticket);
	loop_timer_clear(check->env->loop, &conn->expiry);
	/* The watch ends before the descriptor does. */
	loop_watch_clear(check->env->loop, &conn->watch);
	dial_end(&conn->dial);
	if (conn->phase > CONN_QUEUED)
		check->kind->close(conn);
	conn->phase = CONN_CLOSED;
}

static const char *conn_step(const struct conn *conn)
{
	const char *step = dial_step(&conn->dial);

	if (conn->phase <= CONN_QUEUED)
		return "";
	return step ? step : conn->check->kind->step(conn);
}

static void conn_on_io(void *arg, short revents)
{
	struct conn *conn = arg;
	const struct check_kind *kind = conn->check->kind;

	loop_say(conn->check->env->loop,
		 conn->phase == CONN_IDLE ? "idle" : conn_step(conn));
	if (conn->phase != CONN_IDLE)
		kind->on_io(conn, revents);
	else if (++conn->idle_events > CHECK_IDLE_EVENTS)
		conn_failed(conn, RESULT_PROTOCOL,
			    "peer keeps sending without being asked");
	else if (kind->on_idle)
		kind->on_idle(conn, revents);
	else
		conn_failed(conn, RESULT_CONNECT, "connection closed by peer");
}

static bool check_is_late(const struct loop_timer *timer)
{
	return clock_ms() - timer->at_ms > CHECK_SUSPENDED_MS;
}

static bool check_has_overslept(const struct check *check)
{
	return loop_timer_armed(&check->deadline) &&
	       check_is_late(&check->deadline);
}

/*
 * When we were stopped (SIGSTOP, a frozen container) in the middle of a
 * handshake, we have read only one step of it since, and the peer is not to
 * blame: it gets its time again. Only once, or no run would end in a throttled
 * container.
 */
static bool check_extend(const struct check *check, struct loop_timer *timer,
			 bool *extended)
{
	if (*extended || !check_is_late(timer))
		return false;
	*extended = true;
	loop_timer_in(check->env->loop, timer, check->setup->policy.timeout_ms);
	return true;
}

static void conn_on_expiry(void *arg)
{
	struct conn *conn = arg;

	if (check_extend(conn->check, &conn->expiry, &conn->extended))
		return;
	conn_failed(conn, RESULT_TIMEOUT, "Timeout after %lldms",
		    (long long)conn->check->setup->policy.timeout_ms);
}

/* The run's clock starts, or goes on, when its connection is admitted. */
static void check_arm(struct check *check)
{
	if (!check->running || loop_timer_armed(&check->deadline))
		return;
	check->started_us = clock_us() - check->spent_us;
	loop_timer_in(check->env->loop, &check->deadline, check->left_ms);
	if (check->kind->open && !check->opened)
		loop_timer_in(check->env->loop, &check->hedge,
			      check->setup->policy.timeout_ms *
				      CHECK_HEDGE_PERCENT / 100);
}

static void conn_on_admitted(void *arg)
{
	struct conn *conn = arg;
	struct check *check = conn->check;

	check_arm(check);
	conn->phase = CONN_OPENING;
	conn->extended = false;
	conn->detail[0] = conn->peer[0] = '\0';
	memset(conn->state, 0, check->kind->conn_size);
	loop_timer_in(check->env->loop, &conn->expiry,
		      check->setup->policy.timeout_ms);
	loop_say(check->env->loop, "opening a connection");
	check->kind->open(conn);
}

static bool conn_busy(const struct conn *conn)
{
	return conn->phase == CONN_QUEUED || conn->phase == CONN_OPENING ||
	       conn->phase == CONN_ASKING;
}

static void conn_begin(struct conn *conn)
{
	assert(conn->phase == CONN_CLOSED);
	conn->phase = CONN_QUEUED;
	admit_enter(conn->check->env->admit, &conn->ticket);
}

/* The detail; in front of it the peer, unless the detail names it. */
static void conn_describe(const struct conn *conn, char to[RESULT_DETAIL_BYTES])
{
	char text[2 * RESULT_DETAIL_BYTES + 2];
	bool named = !*conn->peer || strstr(conn->detail, conn->peer);

	snprintf(text, sizeof(text), "%s%s%s", named ? "" : conn->peer,
		 named || !*conn->detail ? "" : ": ", conn->detail);
	text_show_ends(to, RESULT_DETAIL_BYTES, text);
}

__attribute__((format(printf, 3, 0))) static struct result conn_result(
	const struct conn *conn, enum result_code code, const char *fmt,
	va_list args)
{
	struct result result = { .code = code };

	if (code == RESULT_OK) {
		snprintf(result.detail, sizeof(result.detail), "%s",
			 conn->detail);
		return result;
	}
	vsnprintf(result.error, sizeof(result.error), fmt, args);
	conn_describe(conn, result.detail);
	return result;
}

static void conn_ask(struct conn *conn)
{
	conn->phase = CONN_ASKING;
	conn->idle_events = 0;
	conn->detail[0] = '\0';
	loop_say(conn->check->env->loop, "asking");
	conn->check->kind->ask(conn);
}

/* ---- the background ---- */

static int64_t check_jitter(int64_t ms)
{
	uint32_t dice = 0;

	/* Without random bytes the delay is merely not spread. */
	if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) < 0)
		dice = 0;
	return ms - (int64_t)(dice % 256) * ms / 512;
}

static int64_t check_backoff_ms(const struct check *check)
{
	int64_t ms = CHECK_BACKOFF_FIRST_MS;
	unsigned i;

	for (i = 1; i < check->failures && ms < CHECK_BACKOFF_LAST_MS; i++)
		ms *= 2;
	if (ms > CHECK_BACKOFF_LAST_MS)
		ms = CHECK_BACKOFF_LAST_MS;
	return check_jitter(ms);
}

/* Arms the one background timer for what the warm connection needs next. */
static void check_plan_upkeep(struct check *check)
{
	int64_t at_ms;

	/* A plan for a connection that is gone is void. */
	loop_timer_clear(check->env->loop, &check->upkeep);
	if (!check->kind->open || check->kind->open_asks ||
	    check->setup->refusal)
		return;
	if (check->warm->phase == CONN_CLOSED)
		at_ms = clock_ms() + check_backoff_ms(check);
	else if (check->warm->phase == CONN_IDLE && check->warm->renew_at_ms)
		at_ms = check->warm->renew_at_ms;
	else
		return;
	loop_timer_set(check->env->loop, &check->upkeep, at_ms);
}

static void check_on_upkeep(void *arg)
{
	struct check *check = arg;
	struct conn *other = conn_other(check->warm);

	if (check->running)
		return; /* planned again at its end */
	if (check->warm->phase == CONN_CLOSED)
		conn_begin(check->warm);
	else if (check->warm->phase == CONN_IDLE && other->phase == CONN_CLOSED)
		conn_begin(other);
}

/* Between runs one connection is left: the newer of two good ones, or the one
 * being opened when the other is gone; none with `keep = no`. */
static void check_settle(struct check *check)
{
	struct conn *other = conn_other(check->warm);

	if (check->kind->open && !check->setup->policy.keep) {
		conn_drop(check->warm);
		conn_drop(other);
		return;
	}
	if (other->phase == CONN_IDLE ||
	    (check->warm->phase == CONN_CLOSED && conn_busy(other))) {
		conn_drop(check->warm);
		check->warm = other;
	}
	check_plan_upkeep(check);
}

/* ---- the run ---- */

static void check_on_hedge(void *arg)
{
	struct check *check = arg;
	struct conn *other = conn_other(check->warm);

	check->hedging = true;
	if (other->phase == CONN_IDLE) {
		conn_ask(other);
	} else if (other->phase == CONN_CLOSED) {
		check->opened = true;
		conn_begin(other);
	}
}

static void check_stop(struct check *check)
{
	loop_timer_clear(check->env->loop, &check->deadline);
	loop_timer_clear(check->env->loop, &check->hedge);
	check->running = check->renewing = check->extended = false;
	check->hedging = false;
}

/* Ends the run: exactly one result. Connections that are still busy with it are
 * closed, since their answers would belong to the wrong question. */
static void check_finish(struct check *check, struct result result)
{
	struct conn *other = conn_other(check->warm);
	bool hedging = check->hedging;
	int64_t took_us;

	assert(check->running);
	result.ended_us = clock_us();
	took_us = result.ended_us - check->started_us;
	/* Longer only when we were stopped ourselves (SIGSTOP). */
	result.latency_us = took_us < INT32_MAX ? (int32_t)took_us : INT32_MAX;
	check_stop(check);
	if (conn_busy(check->warm))
		conn_drop(check->warm);
	/* A renewal that the run did not need goes on by itself. */
	if (conn_busy(other) && hedging)
		conn_drop(other);
	check_settle(check);
	check->on_result(check->arg, &result);
}

/* The sentence may contain host names, so it becomes the detail. */
static void check_refuse(struct check *check)
{
	const struct conf_refusal *refusal = check->setup->refusal;
	struct result result = { .code = RESULT_CONFIG };

	snprintf(result.error, sizeof(result.error),
		 "%.50s cannot be used, see the log", refusal->variable);
	text_show_ends(result.detail, sizeof(result.detail), refusal->sentence);
	check_finish(check, result);
}

/* Of several bad ends of a run, the first answer is kept, or else the first
 * failure. */
static void check_keep(struct check *check, const struct result *bad,
		       bool is_answer)
{
	if (check->heard || (check->kept.code && !is_answer))
		return;
	check->kept = *bad;
	check->heard = is_answer;
}

static void check_pause(struct check *check);

/* With another secret the run begins once more, within its deadline. */
static void check_on_renewed(void *arg, bool news)
{
	struct check *check = arg;

	if (news) {
		conn_drop(&check->conns[0]);
		conn_drop(&check->conns[1]);
		check_renew_take(&check->renew);
	}
	if (news && check->running) {
		check->kept.code = RESULT_UNKNOWN;
		check->heard = check->renewing = false;
		check->renewed = check->opened = true;
		check_pause(check);
		conn_begin(check->warm);
	} else if (news) {
		check_settle(check);
	} else if (check->renewing) {
		check_finish(check, check->kept);
	}
}

/* Ends the run without a good answer. */
static void check_finish_bad(struct check *check, const struct result *bad,
			     bool is_answer)
{
	check_keep(check, bad, is_answer);
	if (check->kept.code == RESULT_AUTH && !check->renewed) {
		check->renewed = true;
		check->renewing = check_renew_start(
			&check->renew, check->env->offload, check->setup,
			check_on_renewed, check);
	}
	if (check->renewing) {
		loop_timer_clear(check->env->loop, &check->hedge);
		return;
	}
	check_finish(check, check->kept);
}

static void check_on_deadline(void *arg)
{
	struct check *check = arg;
	struct conn *other = conn_other(check->warm);
	/* Of two connections, the older one shows where the peer hangs. */
	struct conn *conn = conn_busy(check->warm) ? check->warm : other;
	struct result result = { .code = RESULT_TIMEOUT };

	if (check_extend(check, &check->deadline, &check->extended))
		return;
	snprintf(result.error, sizeof(result.error), "Timeout after %lldms",
		 (long long)check->setup->policy.timeout_ms);
	snprintf(result.step, sizeof(result.step), "%s", conn_step(conn));
	conn_describe(*conn_other(conn)->detail ? conn_other(conn) : conn,
		      result.detail);
	check->failures++;
	check->renewed = true;
	check->renewing = false;
	check_finish_bad(check, &result, false);
}

void check_start(struct check *check)
{
	struct conn *warm = check->warm;

	if (check->running)
		return;
	check->running = true;
	check->opened = !check->kind->open;
	check->started_us = clock_us();
	check->left_ms = check->setup->policy.timeout_ms;
	check->spent_us = 0;
	check->heard = check->renewed = check->renewing = false;
	check->kept.code = RESULT_UNKNOWN;
	check->conns[0].detail[0] = '\0';
	check->conns[1].detail[0] = '\0';
	if (check->setup->refusal) {
		check_refuse(check);
		return;
	}
	switch (warm->phase) {
	case CONN_IDLE:
		check_arm(check);
		conn_ask(warm);
		break;
	case CONN_OPENING: /* begun in the background: joined, and hedged */
		check_arm(check);
		break;
	case CONN_QUEUED: /* its admission starts the clock */
		break;
	case CONN_CLOSED:
		if (check->kind->open) {
			check->opened = true;
			conn_begin(warm);
			break;
		}
		memset(warm->state, 0, check->kind->conn_size);
		check_arm(check);
		conn_ask(warm);
		break;
	case CONN_ASKING:
		assert(!"asking without a run");
	}
}

/* ---- what kinds call ---- */

static void conn_opened(struct conn *conn)
{
	int64_t renew_ms = conn->check->setup->policy.renew_ms;

	admit_leave(&conn->ticket);
	loop_timer_clear(conn->check->env->loop, &conn->expiry);
	conn->renew_at_ms = renew_ms ? clock_ms() + check_jitter(renew_ms) : 0;
	conn->phase = CONN_IDLE;
}

void conn_ready(struct conn *conn)
{
	struct check *check = conn->check;

	assert(conn->phase == CONN_OPENING);
	conn_opened(conn);
	if (!check->running)
		check_settle(check);
	else if (conn == check->warm || check->hedging)
		conn_ask(conn);
}

/*
 * What was read this late may be as old as our suspension. The question is
 * asked again, once: a run that is late twice ends like one without an answer.
 */
static void check_repeat(struct check *check)
{
	if (check->extended) {
		check_on_deadline(check);
		return;
	}
	check_release(check);
	check->extended = true;
	check_start(check);
}

/* The connection with this answer is the warm one from now on. */
static void check_prefer(struct check *check, struct conn *conn)
{
	/* A connection with a bad answer to the same question is closed. */
	if (conn != check->warm || check->heard)
		conn_drop(conn_other(conn));
	check->warm = conn;
}

void conn_answered(struct conn *conn, enum result_code code, const char *fmt,
		   ...)
{
	struct check *check = conn->check;
	struct result result;
	va_list args;

	assert(conn->phase == CONN_OPENING || conn->phase == CONN_ASKING);
	if (check->running && check_has_overslept(check)) {
		check_repeat(check);
		return;
	}
	if (conn->phase == CONN_OPENING)
		conn_opened(conn);
	conn->phase = CONN_IDLE;
	check->failures = 0;
	if (!check->running) {
		check_settle(check);
		return;
	}
	va_start(args, fmt);
	result = conn_result(conn, code, fmt, args);
	va_end(args);
	/* The other connection may still have a good one. */
	if (code != RESULT_OK && check->hedging &&
	    conn_busy(conn_other(conn))) {
		check_keep(check, &result, true);
		return;
	}
	check_prefer(check, conn);
	if (code == RESULT_OK)
		check_finish(check, result);
	else
		check_finish_bad(check, &result, true);
}

/* The wait for admission is not the fault of the peer. Many checks that lose
 * their connections at once (a proxy restarts) wait there. */
static void check_pause(struct check *check)
{
	if (!loop_timer_armed(&check->deadline))
		return;
	check->left_ms = check->deadline.at_ms - clock_ms();
	check->spent_us = clock_us() - check->started_us;
	loop_timer_clear(check->env->loop, &check->deadline);
}

/* On a busy machine an event in time may be read after the deadline. */
static bool check_is_over(const struct check *check)
{
	return loop_timer_armed(&check->deadline) &&
	       check->deadline.at_ms <= clock_ms() &&
	       (check->extended || !check_has_overslept(check));
}

/* A connection failed while a run needs an answer. Tries another way; false:
 * all were tried. */
static bool check_go_on(struct check *check, struct conn *failed,
			const struct result *failure)
{
	struct conn *other = conn_other(failed);

	if (conn_busy(other)) {
		/* A lost warm connection is not a failure. */
		if (check->hedging && failed != check->warm)
			check_keep(check, failure, false);
		check->hedging = true; /* a renewal may be asked now */
		if (other->phase == CONN_QUEUED && !check->heard)
			check_pause(check);
		return true;
	}
	if (check->heard)
		return false;
	if (other->phase == CONN_IDLE) {
		check->warm = other;
		conn_ask(other);
		return true;
	}
	/* A connection begun too late would be blamed for our delay. */
	if (!check->opened && !check_is_over(check)) {
		check->opened = true;
		/* Once: a fresh connection is not hedged. */
		loop_timer_clear(check->env->loop, &check->hedge);
		check_pause(check);
		conn_begin(failed);
		return true;
	}
	return false;
}

void conn_failed(struct conn *conn, enum result_code code, const char *fmt, ...)
{
	struct check *check = conn->check;
	bool was_warm = conn == check->warm;
	bool was_idle = conn->phase == CONN_IDLE;
	struct result result;
	va_list args;

	assert(conn->phase > CONN_QUEUED);
	va_start(args, fmt);
	result = conn_result(conn, code, fmt, args);
	va_end(args);
	conn_drop(conn);
	/* Also a lost warm connection: a peer that accepts connections only to
	 * close them must not be contacted four times a second. */
	check->failures++;
	if (check->running) {
		if (!check_go_on(check, conn, &result))
			check_finish_bad(check, &result, false);
		return;
	}
	log_masked(LOG_DEBUG, "check=%s %s code=%s: %s%s%s", check->setup->name,
		   was_idle ? "warm connection lost" : "background connect",
		   result_word(code), result.error,
		   result.detail[0] ? ": " : "", result.detail);
	/* A failed renewal is not a result, but the old connection no longer
	 * proves that logins work: the next run has to log in. */
	if (!was_warm)
		conn_drop(check->warm);
	check_settle(check);
}

void *conn_state(const struct conn *conn)
{
	return conn->state;
}

const void *conn_settings(const struct conn *conn)
{
	const struct check *check = conn->check;

	return check->renew.now ? check->renew.now->settings
				: check->setup->settings;
}

const struct check_env *conn_env(const struct conn *conn)
{
	return conn->check->env;
}

bool conn_is_hedge(const struct conn *conn)
{
	return conn != conn->check->warm;
}

bool conn_is_kept(const struct conn *conn)
{
	return conn->check->setup->policy.keep;
}

static int64_t conn_deadline_ms(const struct conn *conn)
{
	const struct check *check = conn->check;

	return loop_timer_armed(&check->deadline) ? check->deadline.at_ms
						  : conn->expiry.at_ms;
}

int64_t conn_left_ms(const struct conn *conn)
{
	int64_t left_ms = conn_deadline_ms(conn) - clock_ms();

	return left_ms > 0 ? left_ms : 0;
}

int64_t conn_now_ms(const struct conn *conn)
{
	(void)conn;
	return clock_ms();
}

static void conn_on_dialled(void *arg, struct stream *stream,
			    const struct failure *failure)
{
	struct conn *conn = arg;

	if (!failure) {
		conn->on_dialled(conn, stream);
		return;
	}
	/* It names the peer with its address. */
	if (*failure->detail)
		conn->peer[0] = '\0';
	conn_failed_as(conn, failure);
}

void conn_dial(struct conn *conn, const struct dial_target *target,
	       void (*on_open)(struct conn *conn, struct stream *stream))
{
	const struct check_env *env = conn_env(conn);
	char peer[300];

	snprintf(peer, sizeof(peer), target->path ? "%s" : "%s port %u",
		 target->path ? target->path : target->host, target->port);
	conn_peer(conn, peer);
	conn->on_dialled = on_open;
	conn->dial = (struct dial){ .loop = env->loop,
				    .resolver = env->resolver,
				    .offload = env->offload,
				    .on_done = conn_on_dialled,
				    .arg = conn };
	dial_start(&conn->dial, target, conn_deadline_ms(conn));
}

void conn_watch(struct conn *conn, int fd, short events)
{
	/* Without memory for the watch, the deadline ends the run. */
	if (loop_watch_set(conn->check->env->loop, &conn->watch, fd, events))
		log_masked(LOG_ERR, "check=%s out of memory",
			   conn->check->setup->name);
}

void conn_detail(struct conn *conn, const char *text)
{
	text_show_ends(conn->detail, sizeof(conn->detail), text);
}

void conn_peer(struct conn *conn, const char *peer)
{
	text_show_ends(conn->peer, sizeof(conn->peer), peer);
}

/* ---- the prober's side ---- */

static void conn_init(struct conn *conn, struct check *check)
{
	*conn = (struct conn){
		.check = check,
		.watch = { .on_io = conn_on_io, .arg = conn },
		.ticket = { .on_admitted = conn_on_admitted, .arg = conn },
		.expiry = { .on_time = conn_on_expiry, .arg = conn },
		.state = calloc(1, check->kind->conn_size + 1),
	};
}

struct check *check_create(const struct check_setup *setup,
			   const struct check_env *env,
			   check_on_result *on_result, void *arg)
{
	struct check *check = calloc(1, sizeof(*check));

	if (!check)
		return NULL;
	*check = (struct check){
		.setup = setup,
		.kind = setup->kind,
		.env = env,
		.on_result = on_result,
		.arg = arg,
		.warm = &check->conns[0],
		.deadline = { .on_time = check_on_deadline, .arg = check },
		.hedge = { .on_time = check_on_hedge, .arg = check },
		.upkeep = { .on_time = check_on_upkeep, .arg = check },
	};
	conn_init(&check->conns[0], check);
	conn_init(&check->conns[1], check);
	if (check->conns[0].state && check->conns[1].state)
		return check;
	check_destroy(check);
	return NULL;
}

void check_release(struct check *check)
{
	check_stop(check);
	conn_drop(&check->conns[0]);
	conn_drop(&check->conns[1]);
	loop_timer_clear(check->env->loop, &check->upkeep);
	check->failures = 0;
}

void check_destroy(struct check *check)
{
	if (!check)
		return;
	check_release(check);
	check_renew_end(&check->renew);
	free(check->conns[0].state);
	free(check->conns[1].state);
	free(check);
}

bool check_running(const struct check *check)
{
	return check->running;
}

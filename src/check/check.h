/*
 * check: one configured question to one dependency, and the contract between
 * the generic engine (check.c) and the code that knows a protocol (a kind).
 *
 * A kind speaks on a connection.  How many connections there are and what they
 * are for is decided here, once for all kinds:
 *
 *	start ─ warm connection? ─ yes ─ ask ───────────────┬─ answered ─ done
 *		    │ no                  │ silent at 40 %   │
 *		    └─ admission ─ open ─ ready ─ ask        │
 *					  └─ open a second ─ ask (hedge)
 *	a warm connection that turns out dead: open another, once, inside the
 *	same deadline; deadline: `timeout`, and the connection is dropped.
 *	Of two connections the first good answer counts: a bad answer, or a
 *	second connection that fails, is the result only when the other one has
 *	nothing better until the deadline.
 *
 * A login that is refused is tried once more, within the same deadline, when a
 * file that the secret came from holds another one now (check_renew.h).
 *
 * Between runs a warm connection is watched (on_idle), replaced in the
 * background when it dies (backing off, with jitter) and renewed now and then,
 * since a warm green does not prove that logins still work.  With `keep = no`
 * every connection is closed after its run.
 *
 * Everything here belongs to the main thread of a worker and never blocks.  One
 * call that lasts for too long, or crashes, ends the worker (asker.h).  A kind:
 *  - must return at once from each of its functions;
 *  - ends open() in conn_ready(), conn_answered() or conn_failed(), and ask()
 *    in conn_answered() or conn_failed(), exactly once, then or later;
 *    open() may end in conn_answered() where opening and asking cannot be
 *    told apart (an HTTP request);
 *  - RETURNS at once after each of these three calls and touches nothing of
 *    the connection any more: close() may have run inside, and another open();
 *  - leaves the time limit of a run to the engine; conn_left_ms() is for
 *    kinds that divide it.
 *
 * check/ is for running one check.  It knows kinds by their contract below, and
 * no protocol.
 */
#ifndef HEALTH_CHECK_H
#define HEALTH_CHECK_H

#include "conf/conf.h"
#include "base/failure.h"
#include "check/policy.h"

struct admit;
struct check;
struct conn;
struct curlio;
struct dial_target;
struct loop;
struct offload;
struct resolver;
struct stream;

/* What a worker offers to kinds; borrowed, outlives all checks. */
struct check_env {
	struct loop *loop;
	struct admit *admit;
	struct resolver *resolver;
	struct offload *offload;
	struct curlio *curlio;
};

struct check_kind {
	const char *name;	     /* the word after `kind =` */
	const char *timeout;	     /* default, as the user would write it */
	const char *help;	     /* one line for the manual */
	const struct conf_key *keys; /* its settings; ends in CONF_END */
	size_t settings_size;	     /* the record these keys fill */
	size_t conn_size;	     /* zeroed private state per connection */
	/* The old name of a key and its new one: the old one is accepted with
	 * a warning while the new one is not set; NULL: none. */
	const char *renamed[2];
	bool open_asks; /* open() asks the question itself (an HTTP
			   request): never done in the background */

	/*
	 * Completes and judges the settings: conf_mistake() for what is
	 * wrong.  May allocate into the record; NULL: nothing to do.  Called
	 * in the main thread, before there is a worker; then again, for a new
	 * record, in other threads of a worker when a login was refused.
	 */
	void (*prepare)(struct conf *conf, struct conf_section *section,
			void *settings);
	/* Frees what prepare() allocated; NULL: nothing. */
	void (*dispose)(void *settings);
	/* Whether files that the settings name, beside those of keys that end
	 * in _file, hold other secrets than before; NULL: no such files. */
	bool (*secrets_differ)(const void *before, const void *now);
	/* Why `live = yes` must not be set (a remote dependency), in words;
	 * NULL: it may.  The function itself NULL: never allowed. */
	const char *(*live_refused)(const void *settings);

	void (*open)(struct conn *conn); /* NULL: always ready to be asked */
	void (*ask)(struct conn *conn);
	/* The watched descriptor is ready, while opening or asking. */
	void (*on_io)(struct conn *conn, short revents);
	/* ... while idle: serve it, or conn_failed().  NULL: any event means
	 * that the peer closed the connection. */
	void (*on_idle)(struct conn *conn, short revents);
	/* Drops everything, at any step; also before open() and twice. */
	void (*close)(struct conn *conn);
	/* What the run waits for now: "logging in".  Never NULL. */
	const char *(*step)(const struct conn *conn);
};

/* ---- for kinds ---- */

/* Private state, conn_size bytes, zeroed before each open(). */
void *conn_state(const struct conn *conn);
const void *conn_settings(const struct conn *conn);
const struct check_env *conn_env(const struct conn *conn);
/* Whether a fresh connection must be made, sharing nothing that is warm
 * (always so for a hedge or a renewal). */
bool conn_is_hedge(const struct conn *conn);
/* Whether the connection may stay open when the run is over. */
bool conn_is_kept(const struct conn *conn);
/* How much time the opening or the run under way has left, at least 0; for
 * kinds that divide it among several addresses. */
int64_t conn_left_ms(const struct conn *conn);
/* clock_ms(), for libraries that ask for the time; a kind keeps no deadlines of
 * its own. */
int64_t conn_now_ms(const struct conn *conn);

/*
 * In open(): opens a stream to the target, whose texts are borrowed.  Then
 * on_open() is called, now or later, and owns the stream; a failure ends the
 * opening.  The engine tells the step and drops what is under way.
 */
void conn_dial(struct conn *conn, const struct dial_target *target,
	       void (*on_open)(struct conn *conn, struct stream *stream));

/* Watches fd for events on behalf of the connection; replaces the last
 * interest; fd < 0: none. */
void conn_watch(struct conn *conn, int fd, short events);

/* Notes what the driver or peer said, for the log and trusted callers; cleaned
 * and masked here.  Call before conn_failed() or conn_answered(). */
void conn_detail(struct conn *conn, const char *text);

/* Names the peer: the detail of a failure that comes without another one.
 * conn_dial() does it by itself. */
void conn_peer(struct conn *conn, const char *peer);

void conn_ready(struct conn *conn);
/* The question was answered: code and, unless RESULT_OK, our words. */
void conn_answered(struct conn *conn, enum result_code code, const char *fmt,
		   ...) __attribute__((format(printf, 3, 4)));
/* The connection has failed: code and our words. */
void conn_failed(struct conn *conn, enum result_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* conn_failed(), with the detail. */
static inline void conn_failed_as(struct conn *conn,
				  const struct failure *failure)
{
	if (*failure->detail)
		conn_detail(conn, failure->detail);
	conn_failed(conn, failure->code, "%s", failure->words);
}

/* ---- for the prober ---- */

/* Fills a struct check_policy. */
extern const struct conf_key check_common_keys[];

/* One configured check, as main reads it; outlives the check. */
struct check_setup {
	const char *name;
	const struct check_kind *kind;
	struct check_policy policy;
	void *settings;
	const struct conf_section *section; /* of the settings; NULL: none */
	/* Not NULL: it is never opened, each run ends with code `config`. */
	const struct conf_refusal *refusal;
};

/* All checks of the service; read-only once there are threads or workers. */
struct check_list {
	size_t n;
	struct check_setup *setups;
};

/*
 * on_result(arg, check's arg, result) is called at the end of each run, exactly
 * once per run; the result is borrowed.
 */
typedef void check_on_result(void *arg, const struct result *result);

/* NULL when out of memory. */
struct check *check_create(const struct check_setup *setup,
			   const struct check_env *env,
			   check_on_result *on_result, void *arg);
/* Releases and frees it; NULL is allowed. */
void check_destroy(struct check *check);

/* Ends a run under way without a result and closes all connections, until the
 * next run needs one. */
void check_release(struct check *check);

/* Begins a run; joins the one under way. */
void check_start(struct check *check);
bool check_running(const struct check *check);

#endif

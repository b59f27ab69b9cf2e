#include "config.h"

#include "asker/asker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "asker/judge.h"
#include "asker/worker.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/text.h"
#include "board/board.h"
#include "board/plan.h"
#include "board/share.h"
#include "board/share_watch.h"
#include "check/check.h"

/* Place 0 runs all checks but those that have a place of their own.  A check
 * whose place would be the last one waits for another to become free. */
#define ASKER_PLACES 33
#define ASKER_NO_PLACE ASKER_PLACES
/* How often to look while something is under way, and otherwise. */
#define ASKER_LOOK_MS 50
#define ASKER_IDLE_MS 1000
/* How long it is looked often after that. */
#define ASKER_LINGER_MS 500
/* How long a worker may take to close its connections. */
#define ASKER_END_MS 500
/* How long to wait for the end of one that was killed: it has to give back its
 * memory. */
#define ASKER_KILL_MS 1000
/* A worker that holds no check for so long is not needed: another front has
 * one. */
#define ASKER_SPARE_MS 30000
/* Starts that follow each other wait: first so long, then twice as long each
 * time, up to the last. */
#define ASKER_BACKOFF_FIRST_MS 100
#define ASKER_BACKOFF_LAST_MS 30000
/* ... where nothing else runs the checks, well below BOARD_STUCK_MS. */
#define ASKER_BACKOFF_ONLY_MS 3000
/* A worker that lived for so long was no failure. */
#define ASKER_SETTLED_MS 10000
/* After so many good runs alone, a check goes back to the others. */
#define ASKER_GOOD_RUNS 10

/* A worker, and what the asker knows of it. */
struct asker_place {
	struct worker worker;
	/* Of the worker in the share, as it said once; 0: it cannot be called.
	 * Any thread. */
	_Atomic uint64_t token;
	struct judge judge;
	bool needed;  /* it is to run */
	size_t check; /* that has the place to itself, and its result */
	struct result last;
	int64_t runs;	  /* of that check when it was bad last */
	int64_t failures; /* of it so far */
	int64_t start_ms; /* of the worker; 0: never */
	int64_t retry_ms; /* not to be started before */
	int64_t backoff_ms;
	int64_t used_ms; /* when it held a check last */
	int64_t end_ms;	 /* when it was asked to end; 0: it was not */
};

struct asker {
	struct asker_options options;
	struct worker_plan plan;
	struct share_watch *watch; /* NULL: no other process has the share */
	int epoll_fd;
	int turn_fd; /* eventfd(2): a question waits, or a worker is ready */
	int heard_fd;
	atomic_bool looking; /* the main thread looks often */
	atomic_bool unheard; /* no process runs a check that is wanted */
	int64_t looking_until_ms;
	int64_t looked_ms; /* around */
	bool told_no_process;
	bool ending;
	uint64_t calls; /* of the first worker, and when they last changed */
	int64_t moved_ms;
	struct worker_page *pages; /* ASKER_PLACES, shared with workers */
	struct asker_place places[ASKER_PLACES + 1]; /* and one for no place */
};

/* ---- calls: any thread ---- */

/* The place of the worker that runs the check, or ASKER_NO_PLACE. */
static size_t asker_at(const struct asker *asker, size_t check)
{
	return atomic_load(&asker->plan.places[check]);
}

/* Calls that are made together. */
struct asker_calls {
	struct asker *asker;
	uint64_t places; /* bits: of the workers to be woken */
};

/* Sees to it that the check runs; asker_end_calls() is to follow. */
static void asker_call(void *arg, size_t check, uint64_t seen)
{
	struct asker_calls *calls = arg;
	struct asker *asker = calls->asker;
	size_t at = asker_at(asker, check);

	if (at == ASKER_NO_PLACE)
		return;
	switch (share_call(asker->options.share, check, seen,
			   atomic_load(&asker->places[at].token))) {
	case SHARE_CALL_MADE:
		calls->places |= UINT64_C(1) << at;
		break;
	case SHARE_CALL_NOBODY:
		/* A place of its own is filled when its time has come. */
		if (at == 0)
			atomic_store(&asker->unheard, true);
		break;
	case SHARE_CALL_NEEDLESS:
		break;
	}
}

/* Wakes those that were called; workers of other fronts hear the share. */
static void asker_end_calls(const struct asker_calls *calls)
{
	const struct asker *asker = calls->asker;
	size_t i;

	if (calls->places)
		share_tell(asker->options.share);
	for (i = 0; i < ASKER_PLACES; i++)
		if (calls->places & UINT64_C(1) << i)
			eventfd_write(asker->places[i].worker.wake_fd, 1);
}

/* Something is wanted: calls at once, and lets the main thread look. */
static void asker_on_wanted(void *arg)
{
	struct asker *asker = arg;
	struct asker_calls calls = { .asker = asker };

	board_take_wanted(asker->options.board, false, asker_call, &calls);
	asker_end_calls(&calls);
	if (!atomic_exchange(&asker->looking, true))
		eventfd_write(asker->turn_fd, 1);
}

/* ---- workers ---- */

static void asker_watch_life(struct asker *asker, const struct worker *worker)
{
	struct epoll_event event = { .events = EPOLLIN };

	if (worker->life_fd >= 0)
		epoll_ctl(asker->epoll_fd, EPOLL_CTL_ADD, worker->life_fd,
			  &event);
}

/* A worker was lost, or could not be started: after one that did not settle the
 * next one waits longer. */
static void asker_back_off(struct asker_place *place, int64_t now_ms)
{
	int64_t last_ms = place->worker.place ? ASKER_BACKOFF_LAST_MS
					      : ASKER_BACKOFF_ONLY_MS;

	if (place->start_ms && now_ms - place->start_ms > ASKER_SETTLED_MS)
		place->backoff_ms = 0;
	place->retry_ms = now_ms + place->backoff_ms;
	place->backoff_ms *= 2;
	if (place->backoff_ms < ASKER_BACKOFF_FIRST_MS)
		place->backoff_ms = ASKER_BACKOFF_FIRST_MS;
	if (place->backoff_ms > last_ms)
		place->backoff_ms = last_ms;
}

static void asker_start(struct asker *asker, struct asker_place *place,
			int64_t now_ms)
{
	place->start_ms = now_ms;
	place->end_ms = 0;
	place->judge = (struct judge){ .last_ms = now_ms };
	if (worker_start(&place->worker, &asker->plan)) {
		if (!asker->told_no_process)
			log_err("cannot start a process that runs the checks: "
				"%s; trying again",
				strerror(errno));
		asker->told_no_process = true;
		asker_back_off(place, now_ms);
		return;
	}
	asker->told_no_process = false;
	place->used_ms = now_ms;
	asker_watch_life(asker, &place->worker);
}

/* Takes over what the worker says of itself, once. */
static void asker_greet(struct asker_place *place)
{
	uint64_t token = atomic_load(&place->worker.page->token);

	if (!atomic_load(&place->token) && share_is_token(token))
		atomic_store(&place->token, token);
}

/* The worker is gone, or as good as gone: one in uninterruptible sleep outlives
 * SIGKILL.  Its leases are taken away, so that nothing it may still do counts.
 */
static void asker_forget(struct asker *asker, struct asker_place *place)
{
	/* It leads a session: what a library has forked goes with it. */
	kill(-place->worker.pid, SIGKILL);
	asker_greet(place);
	share_revoke(asker->options.share, atomic_exchange(&place->token, 0));
	worker_forget(&place->worker);
}

/* Publishes, in place of the worker that could not, what became of the check.
 */
static void asker_blame(struct asker *asker, size_t check,
			const struct result *what)
{
	struct share *share = asker->options.share;
	struct result result = *what;
	struct record before;

	result.ended_us = clock_us();
	/* Another process may have taken it over. */
	if (!share_take(share, check, clock_ms() + SHARE_CALL_MS, false))
		return;
	board_publish(asker->options.board, check, &result, &before);
	share_leave(share, check);
	eventfd_write(asker->heard_fd, 1);
}

/* Gives the place to the check alone. */
static void asker_settle(struct asker *asker, struct asker_place *place,
			 size_t check)
{
	struct record record = { .runs = 0 };
	uint64_t seen = 0;

	share_read(asker->options.share, check, &seen, &record);
	place->needed = true;
	place->check = check;
	place->runs = record.runs;
	place->failures = record.failures;
	place->last = record.result;
	atomic_store(&asker->plan.places[check], place->worker.place);
}

/* A place for the check alone, or none while all are taken: others must not
 * suffer from it. */
static void asker_separate(struct asker *asker, size_t check)
{
	size_t i;

	atomic_store(&asker->plan.places[check], ASKER_NO_PLACE);
	for (i = 1; i < ASKER_PLACES; i++) {
		struct asker_place *place = &asker->places[i];

		if (place->needed || place->worker.pid)
			continue;
		place->start_ms = place->retry_ms = place->backoff_ms = 0;
		asker_settle(asker, place, check);
		return;
	}
}

/* Lets a check that waits for a place have this one, whose check waits for its
 * next start. */
static void asker_take_turns(struct asker *asker, struct asker_place *place)
{
	size_t i, check, n = asker->options.checks->n;

	for (i = 1; i < n; i++) {
		check = (place->check + i) % n;
		if (asker_at(asker, check) != ASKER_NO_PLACE)
			continue;
		atomic_store(&asker->plan.places[place->check], ASKER_NO_PLACE);
		asker_settle(asker, place, check);
		return;
	}
}

/* The check whose code the worker was in; SIZE_MAX: in none. */
static size_t asker_culprit(const struct asker *asker,
			    const struct asker_place *place)
{
	const struct loop_beat *beat = &place->worker.page->beat;
	uint32_t owner = atomic_load(&beat->owner);

	/* The worker may have written anything. */
	if (!atomic_load(&beat->call) || owner == 0 ||
	    owner > asker->options.checks->n ||
	    asker_at(asker, owner - 1) != place->worker.place)
		return SIZE_MAX;
	return owner - 1;
}

static void asker_lose(struct asker *asker, struct asker_place *place,
		       const char *how, struct result *result)
{
	size_t check = asker_culprit(asker, place);
	long pid = (long)place->worker.pid;
	bool alone = place != &asker->places[0];
	const char *name;

	asker_forget(asker, place);
	asker_back_off(place, clock_ms());
	if (check == SIZE_MAX) {
		log_warn("worker %ld %s", pid, how);
		return;
	}
	name = asker->options.checks->setups[check].name;
	asker_blame(asker, check, result);
	if (alone) {
		place->last = *result;
	} else {
		asker_separate(asker, check);
		/* What was wrong with it has gone. */
		place->retry_ms = place->backoff_ms = 0;
	}
	/* Again and again, while it is alone. */
	log_masked(alone ? LOG_DEBUG : LOG_WARN, "worker %ld %s: check=%s%s",
		   pid, how, name,
		   alone ? "" : ", which is asked alone from now on");
}

static void asker_kill(struct asker *asker, struct asker_place *place,
		       enum judge_verdict verdict, int64_t held_ms)
{
	struct result result = { .code = RESULT_TIMEOUT };
	char step[LOOP_STEP_BYTES], how[200];

	result.latency_us = held_ms < INT_MAX / 1000 ? (int32_t)held_ms * 1000
						     : INT_MAX;
	snprintf(result.error, sizeof(result.error),
		 "check was ended: one call took %" PRId64 "ms", held_ms);
	/* It may hold anything. */
	memcpy(step, place->worker.page->beat.step, sizeof(step));
	text_clean(result.step, sizeof(result.step), step,
		   strnlen(step, sizeof(step)));
	snprintf(how, sizeof(how),
		 "was killed: it was held by one call, %s, for %.1f s%s%s",
		 verdict == JUDGE_SLEEPS ? "asleep" : "computing",
		 (double)held_ms / 1e3, *result.step ? ", " : "", result.step);
	kill(place->worker.pid, SIGKILL);
	asker_lose(asker, place, how, &result);
}

/* It has ended by itself. */
static void asker_bury(struct asker *asker, struct asker_place *place,
		       int status)
{
	struct result result = { .code = RESULT_INTERNAL,
				 .error = "check ended its process" };
	char how[64];

	if (place->end_ms || asker->ending) {
		asker_forget(asker, place);
		return;
	}
	if (WIFSIGNALED(status))
		snprintf(how, sizeof(how), "was ended by SIG%s",
			 sigabbrev_np(WTERMSIG(status)));
	else
		snprintf(how, sizeof(how), "ended with status %d",
			 WEXITSTATUS(status));
	asker_lose(asker, place, how, &result);
}

/* Also children of closer. */
static void asker_reap(struct asker *asker)
{
	int status;
	pid_t pid;
	size_t i;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (i = 0; i < ASKER_PLACES; i++)
			if (asker->places[i].worker.pid == pid)
				asker_bury(asker, &asker->places[i], status);
}

/* ---- looks ---- */

/* Reads the beginning of a file below /proc/PID; false: it is not there. */
static bool asker_read(pid_t pid, const char *name, char *text, size_t size)
{
	char path[64];
	ssize_t len;
	int fd;

	snprintf(path, sizeof(path), "/proc/%ld/%s", (long)pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	len = read(fd, text, size - 1);
	close(fd);
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/*
 * How the main thread of the worker spends its time: schedstat has the ns on a
 * processor and those of waiting for one (proc_pid_schedstat(5)), stat the
 * state. false: this kernel does not tell.
 */
static bool asker_read_times(pid_t pid, struct judge_look *look)
{
	uint64_t ran_ns, waited_ns;
	char text[256];
	const char *state;

	if (!asker_read(pid, "schedstat", text, sizeof(text)) ||
	    sscanf(text, "%" SCNu64 " %" SCNu64, &ran_ns, &waited_ns) != 2 ||
	    ran_ns == 0 || !asker_read(pid, "stat", text, sizeof(text)))
		return false;
	look->cpu_us = (int64_t)(ran_ns / 1000);
	look->waited_us = (int64_t)(waited_ns / 1000);
	state = strrchr(text, ')');
	look->runnable = state && strncmp(state, ") R", 3) == 0;
	return true;
}

/* Where the kernel does not tell how a call spends its time, it may last for
 * BOARD_STUCK_MS. */
static enum judge_verdict asker_judge_blindly(const struct judge_look *look)
{
	return judge_age_ms(look) >= BOARD_STUCK_MS ? JUDGE_SLEEPS : JUDGE_FINE;
}

/* true: the worker is in a call. */
static bool asker_look(struct asker *asker, struct asker_place *place,
		       int64_t now_ms)
{
	const struct loop_beat *beat = &place->worker.page->beat;
	struct judge_look look = { .now_ms = now_ms,
				   .call = atomic_load(&beat->call),
				   .owner = atomic_load(&beat->owner),
				   .since_ms = atomic_load(&beat->since_ms) };
	enum judge_verdict verdict;

	/* Most calls are over before the next look. */
	if (judge_age_ms(&look) < ASKER_LOOK_MS / 2)
		look.call = 0;
	if (look.call && !asker_read_times(place->worker.pid, &look))
		verdict = asker_judge_blindly(&look);
	else
		verdict = judge_call(&place->judge, &look);
	if (verdict != JUDGE_FINE)
		asker_kill(asker, place, verdict, judge_age_ms(&look));
	return atomic_load(&beat->call) != 0;
}

/* ---- places ---- */

/* Whether the worker holds a check. */
static bool asker_holds(const struct asker *asker,
			const struct asker_place *place)
{
	uint64_t token = atomic_load(&place->token);
	size_t i, n = asker->options.checks->n;

	/* It looks whether the service drains. */
	if (n == 0)
		return true;
	for (i = 0; i < n; i++)
		if (share_holds(asker->options.share, i, token))
			return true;
	return false;
}

/* A check that has been good for a while goes back to the others. */
static void asker_reunite(struct asker *asker, struct asker_place *place)
{
	struct asker_calls calls = { .asker = asker };
	struct record record = { .runs = 0 };
	uint64_t seen = 0;

	if (!share_read(asker->options.share, place->check, &seen, &record))
		return;
	if (record.failures != place->failures) {
		place->failures = record.failures;
		place->runs = record.runs;
	}
	if (record.runs - place->runs < ASKER_GOOD_RUNS)
		return;
	place->needed = false;
	atomic_store(&asker->plan.places[place->check], 0);
	share_revoke(asker->options.share, atomic_exchange(&place->token, 0));
	asker_call(&calls, place->check, SHARE_SEEN_ANY);
	asker_end_calls(&calls);
	log_masked(LOG_INFO, "check=%s is asked together with the others again",
		   asker->options.checks->setups[place->check].name);
}

/* Asks the worker to end, and kills it when it does not. */
static void asker_end(struct asker *asker, struct asker_place *place,
		      int64_t now_ms)
{
	if (!place->end_ms) {
		place->end_ms = now_ms;
		worker_end(&place->worker);
	} else if (now_ms - place->end_ms >= ASKER_END_MS) {
		kill(place->worker.pid, SIGKILL);
		asker_forget(asker, place);
	}
}

/* true: look at it again soon. */
static bool asker_tend(struct asker *asker, struct asker_place *place,
		       int64_t now_ms)
{
	bool busy = false, alone = place != &asker->places[0];

	if (place->worker.pid && !place->end_ms)
		busy = asker_look(asker, place, now_ms);
	if (alone && place->needed)
		asker_reunite(asker, place);
	if (alone && place->needed && !place->worker.pid &&
	    now_ms < place->retry_ms)
		asker_take_turns(asker, place);
	/* One that is ending is not needed again, but replaced. */
	if (place->worker.pid && (place->end_ms || !place->needed))
		asker_end(asker, place, now_ms);
	if (place->worker.pid && place->end_ms)
		return true;
	if (!place->worker.pid && place->needed && now_ms >= place->retry_ms)
		asker_start(asker, place, now_ms);
	return busy || (place->needed && !place->worker.pid);
}

/* Whether this front needs a worker for place 0, or that of another front
 * will do. */
static void asker_plan_first(struct asker *asker, int64_t now_ms)
{
	struct asker_place *first = &asker->places[0];

	if (atomic_exchange(&asker->unheard, false)) {
		first->needed = true;
		first->used_ms = now_ms;
	}
	if (share_is_alone(asker->options.share) || !first->needed)
		return;
	if (asker_holds(asker, first))
		first->used_ms = now_ms;
	if (now_ms - first->used_ms >= ASKER_SPARE_MS)
		first->needed = false;
}

/* ---- the file of the share ---- */

/* All workers have the old file. */
static void asker_use_other_share(struct asker *asker)
{
	size_t i;

	for (i = 0; i < ASKER_PLACES; i++) {
		struct worker *worker = &asker->places[i].worker;

		if (!worker->pid)
			continue;
		kill(worker->pid, SIGKILL);
		kill(-worker->pid, SIGKILL);
		atomic_store(&asker->places[i].token, 0);
		worker_forget(worker);
	}
	board_forget_seen(asker->options.board);
	atomic_store(&asker->unheard, true);
}

/* The file may be removed at any time: systemd-logind, for one, removes what a
 * user has in /dev/shm when the user logs out (logind.conf(5), RemoveIPC). */
static void asker_look_at_share(struct asker *asker)
{
	struct share *share = asker->options.share;
	bool alone = share_is_alone(share);
	char reason[PATH_MAX + 64];

	if (!asker->watch ||
	    (!alone && share_intact(share, reason, sizeof(reason))))
		return;
	if (!alone)
		log_warn("%s; this process shares no results any more", reason);
	if (!share_rejoin(share))
		return;
	asker_use_other_share(asker);
	if (!share_is_alone(share))
		log_info("%s: this process shares results again",
			 share_path(share));
}

/* ---- turns ---- */

/* As asker_call(), in the main thread.  A check whose worker must not be
 * started yet has the result that it had. */
static void asker_call_again(void *arg, size_t check, uint64_t seen)
{
	static const struct result waiting = {
		.code = RESULT_INTERNAL,
		.error = "too many checks hang or end their process"
	};
	struct asker_calls *calls = arg;
	size_t at = asker_at(calls->asker, check);
	struct asker_place *place = &calls->asker->places[at];

	if (at == ASKER_NO_PLACE)
		asker_blame(calls->asker, check, &waiting);
	else if (at && !place->worker.pid && clock_ms() < place->retry_ms)
		asker_blame(calls->asker, check, &place->last);
	else
		asker_call(calls, check, seen);
}

/* Calls the checks with an interval whose result is missing: the process that
 * runs them is stopped, or gone. */
static void asker_mind_intervals(struct asker *asker)
{
	const struct check_list *checks = asker->options.checks;
	struct asker_calls calls = { .asker = asker };
	int64_t age_ms, now_ms = clock_ms();
	size_t i;

	for (i = 0; i < checks->n; i++) {
		const struct check_policy *policy = &checks->setups[i].policy;

		if (!policy->interval_ms)
			continue;
		board_catch_up_with(asker->options.board, i);
		age_ms = now_ms -
			 board_state(asker->options.board, i).result.ended_us /
				 1000;
		if (age_ms >
		    policy->interval_ms + policy->timeout_ms + SHARE_SLACK_MS)
			asker_call(&calls, i, SHARE_SEEN_ANY);
	}
	asker_end_calls(&calls);
}

/* What is looked at once a second. */
static void asker_look_around(struct asker *asker, int64_t now_ms)
{
	if (now_ms - asker->looked_ms < ASKER_IDLE_MS)
		return;
	asker->looked_ms = now_ms;
	asker_look_at_share(asker);
	if (asker->options.warm)
		asker_mind_intervals(asker);
}

/* Whether the worker has begun a call since it was wanted, or nothing is. */
static bool asker_is_moving(struct asker *asker, bool wanted, int64_t now_ms)
{
	const struct worker *worker = &asker->places[0].worker;
	uint64_t calls = atomic_load(&worker->page->beat.calls);

	if (!wanted || calls != asker->calls) {
		asker->calls = calls;
		asker->moved_ms = now_ms;
	}
	return now_ms - asker->moved_ms < BOARD_STUCK_MS;
}

/* Whether checks can be run, as far as this process knows: by its worker, or by
 * those of others. */
static bool asker_is_well(struct asker *asker, bool wanted, int64_t now_ms)
{
	const struct asker_place *first = &asker->places[0];
	bool moving = asker_is_moving(asker, wanted, now_ms);
	size_t i;

	if (!first->needed)
		return true;
	if (first->worker.pid && atomic_load(&first->token))
		return moving;
	for (i = 0; i < asker->options.checks->n; i++)
		if (!share_theirs(asker->options.share, i))
			return false;
	return asker->options.checks->n > 0;
}

int asker_turn(struct asker *asker)
{
	struct asker_calls calls = { .asker = asker };
	int64_t now_ms = clock_ms();
	bool busy = false, wanted;
	eventfd_t times;
	size_t i;

	eventfd_read(asker->turn_fd, &times);
	atomic_store(&asker->looking, false);
	asker_reap(asker);
	/* Before the calls, which they wait for. */
	for (i = 0; i < ASKER_PLACES; i++)
		if (asker->places[i].worker.pid && !asker->places[i].end_ms)
			asker_greet(&asker->places[i]);
	asker_look_around(asker, now_ms);
	wanted = board_take_wanted(asker->options.board, true, asker_call_again,
				   &calls);
	asker_end_calls(&calls);
	if (wanted)
		asker->looking_until_ms = now_ms + ASKER_LINGER_MS;
	if (board_wants_drain(asker->options.board))
		atomic_store(&asker->unheard, true);
	asker_plan_first(asker, now_ms);
	for (i = 0; i < ASKER_PLACES; i++)
		busy = asker_tend(asker, &asker->places[i], now_ms) || busy;
	if (asker_is_well(asker, wanted, now_ms))
		board_beat(asker->options.board);
	busy = busy || now_ms < asker->looking_until_ms;
	if (asker->watch)
		share_watch_set(asker->watch, busy);
	if (busy)
		atomic_store(&asker->looking, true);
	return busy ? ASKER_LOOK_MS : ASKER_IDLE_MS;
}

/* ---- start and end ---- */

/* Zeroed memory that children share; NULL: none. */
static void *asker_share(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

static int asker_open(struct asker *asker)
{
	struct epoll_event event = { .events = EPOLLIN };
	size_t i;

	asker->pages = asker_share(ASKER_PLACES * sizeof(*asker->pages));
	asker->plan.places_bytes = asker->options.plan->n + 1;
	asker->plan.places = asker_share(asker->plan.places_bytes);
	if (!asker->pages || !asker->plan.places)
		return -1;
	asker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	asker->turn_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	asker->heard_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (asker->epoll_fd < 0 || asker->turn_fd < 0 || asker->heard_fd < 0 ||
	    epoll_ctl(asker->epoll_fd, EPOLL_CTL_ADD, asker->turn_fd, &event))
		return -1;
	for (i = 0; i < ASKER_PLACES; i++) {
		struct worker *worker = &asker->places[i].worker;

		worker->place = (uint8_t)i;
		worker->page = &asker->pages[i];
	}
	if (share_is_alone(asker->options.share))
		return 0;
	asker->watch = share_watch_create(asker->options.share,
					  asker->heard_fd);
	return asker->watch ? 0 : -1;
}

static bool asker_begins(const struct asker *asker)
{
	size_t i;

	if (!asker->options.warm)
		return false;
	if (asker->options.drain_file[0])
		return true;
	for (i = 0; i < asker->options.checks->n; i++)
		if (!share_theirs(asker->options.share, i))
			return true;
	return false;
}

struct asker *asker_create(const struct asker_options *options)
{
	struct asker *asker = calloc(1, sizeof(*asker));
	size_t i;

	if (!asker) {
		log_err("cannot run the checks: out of memory");
		return NULL;
	}
	asker->options = *options;
	asker->epoll_fd = asker->turn_fd = asker->heard_fd = -1;
	for (i = 0; i < ASKER_PLACES; i++)
		asker->places[i].worker.wake_fd =
			asker->places[i].worker.life_fd = -1;
	if (asker_open(asker)) {
		log_err("cannot run the checks: "
			"out of memory, descriptors or threads");
		asker_destroy(asker);
		return NULL;
	}
	asker->plan.checks = options->checks;
	asker->plan.drain_file = options->drain_file;
	asker->plan.plan = options->plan;
	asker->plan.share = options->share;
	asker->plan.warm = options->warm;
	asker->plan.heard_fd = asker->heard_fd;
	asker->plan.ready_fd = asker->turn_fd;
	asker->plan.first_fd = worker_first_fd();
	/* The web server may ignore it, and that is inherited. */
	signal(SIGCHLD, SIG_DFL);
	atomic_store(&asker->unheard, asker_begins(asker));
	asker_turn(asker);
	board_on_wanted(options->board, asker_on_wanted, asker);
	return asker;
}

int asker_heard_fd(const struct asker *asker)
{
	return asker->heard_fd;
}

int asker_turn_fd(const struct asker *asker)
{
	return asker->epoll_fd;
}

/* Whether a worker is still there. */
static bool asker_has_workers(struct asker *asker)
{
	bool any = false;
	size_t i;

	asker_reap(asker);
	for (i = 0; i < ASKER_PLACES; i++)
		any = any || asker->places[i].worker.pid;
	return any;
}

/* Asks them to end, kills them when they do not, and waits no longer for what
 * SIGKILL does not end. */
static void asker_end_workers(struct asker *asker)
{
	struct pollfd ended = { .fd = asker->epoll_fd, .events = POLLIN };
	int64_t kill_ms = clock_ms() + ASKER_END_MS;
	size_t i;

	for (i = 0; i < ASKER_PLACES; i++)
		if (asker->places[i].worker.pid)
			worker_end(&asker->places[i].worker);
	while (asker_has_workers(asker) &&
	       clock_ms() < kill_ms + ASKER_KILL_MS) {
		for (i = 0; i < ASKER_PLACES; i++)
			if (asker->places[i].worker.pid &&
			    clock_ms() >= kill_ms)
				kill(asker->places[i].worker.pid, SIGKILL);
		poll(&ended, 1, ASKER_LOOK_MS / 10);
	}
}

void asker_destroy(struct asker *asker)
{
	size_t i;

	if (!asker)
		return;
	board_on_wanted(asker->options.board, NULL, NULL);
	asker->ending = true;
	if (asker->pages)
		asker_end_workers(asker);
	share_watch_destroy(asker->watch);
	for (i = 0; i < ASKER_PLACES; i++) {
		if (asker->places[i].worker.life_fd >= 0)
			close(asker->places[i].worker.life_fd);
		if (asker->places[i].worker.wake_fd >= 0)
			close(asker->places[i].worker.wake_fd);
	}
	if (asker->heard_fd >= 0)
		close(asker->heard_fd);
	if (asker->turn_fd >= 0)
		close(asker->turn_fd);
	if (asker->epoll_fd >= 0)
		close(asker->epoll_fd);
	if (asker->pages)
		munmap(asker->pages, ASKER_PLACES * sizeof(*asker->pages));
	if (asker->plan.places)
		munmap(asker->plan.places, asker->plan.places_bytes);
	free(asker);
}

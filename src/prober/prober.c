#include "config.h"

#include "prober/prober.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "check/admit.h"
#include "board/board.h"
#include "base/clock.h"
#include "io/curlio.h"
#include "prober/drain.h"
#include "prober/schedule.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/offload.h"
#include "io/resolve.h"
#include "board/share.h"

/* How long prober_stop() waits for the thread. */
#define PROBER_STOP_MS 500
#define PROBER_STACK_BYTES (1024 * 1024)
/* How often to look at a share without news. */
#define PROBER_LOOK_MS 1000

struct prober {
	struct board *board;
	struct schedule_world world; /* its share is NULL while it is lost */
	struct share *share;	     /* NULL: we are alone */
	struct prober_watch {	     /* with a share */
		struct share *share; /* NULL: it does not run */
		struct loop *loop;
		pthread_t thread;
		pthread_mutex_t lock;
		pthread_cond_t changed;
		bool on, ending;
	} watch;
	uint32_t news; /* of the share, as last looked at */
	struct loop_timer look;
	struct check_env env;
	struct drain *drain;
	pthread_t thread;
	int ended_fd; /* readable when the thread has ended */
	size_t n;
	struct schedule schedules[];
};

/* ---- a thread that turns what is new in the share into turns of the loop ----
 */

/* futex(2) cannot be polled, so a thread has to wait in it, while there is
 * something to wait for. */
static void *prober_watch_main(void *arg)
{
	struct prober_watch *watch = arg;
	uint32_t seen;
	bool ending;

	for (;;) {
		pthread_mutex_lock(&watch->lock);
		while (!watch->on && !watch->ending)
			pthread_cond_wait(&watch->changed, &watch->lock);
		ending = watch->ending;
		pthread_mutex_unlock(&watch->lock);
		if (ending)
			return NULL;
		seen = share_news(watch->share);
		loop_wake(watch->loop);
		share_wait(watch->share, seen);
	}
}

static int prober_watch_start(struct prober_watch *watch, struct share *share,
			      struct loop *loop)
{
	watch->loop = loop;
	pthread_mutex_init(&watch->lock, NULL);
	pthread_cond_init(&watch->changed, NULL);
	watch->share = share;
	if (pthread_create(&watch->thread, NULL, prober_watch_main, watch)) {
		watch->share = NULL;
		return -1;
	}
	pthread_setname_np(watch->thread, "prober_watch");
	return 0;
}

static void prober_watch_set(struct prober_watch *watch, bool on, bool ending)
{
	pthread_mutex_lock(&watch->lock);
	watch->on = on;
	watch->ending = ending;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
}

/* While it is on, the loop turns whenever share_news() changes, and once when
 * it is switched on, for what changed before. */
static void prober_listen(struct prober *prober, bool on)
{
	if (on != prober->watch.on) /* only this thread changes it */
		prober_watch_set(&prober->watch, on, false);
}

static void prober_watch_stop(struct prober_watch *watch)
{
	if (!watch->share)
		return;
	prober_watch_set(watch, false, true);
	/* It may be waiting for news, so there must be some. */
	share_tell(watch->share);
	pthread_join(watch->thread, NULL);
	pthread_cond_destroy(&watch->changed);
	pthread_mutex_destroy(&watch->lock);
}

/* ---- the other processes ---- */

/* Never later than planned. */
static void prober_look_soon(void *arg)
{
	struct prober *prober = arg;
	int64_t soon_ms = clock_ms() + SCHEDULE_LOOK_MS;

	if (!loop_timer_armed(&prober->look) || prober->look.at_ms > soon_ms)
		loop_timer_set(prober->env.loop, &prober->look, soon_ms);
	prober_listen(prober, true);
}

static void prober_attend(struct prober *prober)
{
	bool listen = false;
	size_t i;

	prober->news = share_news(prober->share);
	for (i = 0; i < prober->n; i++) {
		schedule_attend(&prober->schedules[i]);
		listen = listen || prober->schedules[i].held ||
			 prober->schedules[i].waiting;
	}
	/* A process that neither holds a check nor waits for one needs no news.
	 */
	prober_listen(prober, listen);
}

/* Goes on alone. */
static void prober_part(struct prober *prober)
{
	size_t i;

	prober_listen(prober, false);
	board_use_share(prober->board, NULL);
	prober->world.share = NULL;
	for (i = 0; i < prober->n; i++)
		schedule_part(&prober->schedules[i]);
}

static void prober_join(struct prober *prober)
{
	size_t i;

	prober->world.share = prober->share;
	board_use_share(prober->board, prober->share);
	for (i = 0; i < prober->n; i++)
		schedule_join(&prober->schedules[i]);
	prober_attend(prober);
}

/* The file may be removed at any time: systemd-logind, for one, removes what a
 * user has in /dev/shm when the user logs out (logind.conf(5), RemoveIPC). */
static void prober_on_look(void *arg)
{
	struct prober *prober = arg;
	char reason[PATH_MAX + 64];

	loop_timer_in(prober->env.loop, &prober->look, PROBER_LOOK_MS);
	if (!prober->world.share) {
		if (!share_rejoin(prober->share))
			return;
		log_info("%s: this process shares results again",
			 share_path(prober->share));
		prober_join(prober);
	} else if (share_intact(prober->share, reason, sizeof(reason))) {
		prober_attend(prober);
	} else {
		log_warn("%s; this process shares no results any more", reason);
		prober_part(prober);
	}
}

/* ---- the thread ---- */

static void prober_want(void *arg, size_t index)
{
	struct prober *prober = arg;

	schedule_run(&prober->schedules[index], false);
}

static void prober_on_turn(void *arg)
{
	struct prober *prober = arg;

	board_beat(prober->board);
	if (prober->world.share && share_news(prober->share) != prober->news)
		prober_attend(prober);
	board_take_wanted(prober->board, prober_want, prober);
}

static void *prober_main(void *arg)
{
	struct prober *prober = arg;
	size_t i;

	for (i = 0; prober->world.ahead && i < prober->n; i++)
		schedule_warm_up(&prober->schedules[i]);
	if (prober->share)
		prober_on_look(prober);
	loop_run(prober->env.loop, prober_on_turn, prober);
	eventfd_write(prober->ended_fd, 1);
	return NULL;
}

/* ---- start and stop ---- */

static void prober_wake(void *arg)
{
	loop_wake(arg);
}

static void prober_free(struct prober *prober)
{
	size_t i;

	for (i = 0; i < prober->n; i++)
		schedule_end(&prober->schedules[i]);
	prober_watch_stop(&prober->watch);
	drain_destroy(prober->drain);
	curlio_destroy(prober->env.curlio);
	offload_destroy(prober->env.offload);
	resolver_destroy(prober->env.resolver);
	admit_destroy(prober->env.admit);
	loop_destroy(prober->env.loop);
	if (prober->ended_fd >= 0)
		close(prober->ended_fd);
	free(prober);
}

/* cJSON and Proton go down one call per level of what peers send: up to 1,000
 * and 1,820 levels, for which some systems' small default is not enough. */
static int prober_spawn(struct prober *prober)
{
	pthread_attr_t attr;
	int error;

	if (pthread_attr_init(&attr))
		return -1;
	error = pthread_attr_setstacksize(&attr, PROBER_STACK_BYTES);
	if (!error)
		error = pthread_create(&prober->thread, &attr, prober_main,
				       prober);
	pthread_attr_destroy(&attr);
	return error ? -1 : 0;
}

static int prober_make(struct prober *prober, const struct check_list *checks,
		       const char *drain_file)
{
	struct check_env *env = &prober->env;
	size_t i;

	prober->ended_fd = eventfd(0, EFD_CLOEXEC);
	env->loop = loop_create();
	if (prober->ended_fd < 0 || !env->loop)
		return -1;
	env->admit = admit_create(env->loop);
	env->resolver = resolver_create(env->loop);
	env->offload = offload_create(env->loop);
	/* A warm connection and a hedge for each. */
	env->curlio = curlio_create(env->loop, (long)checks->n * 2);
	if (!env->admit || !env->resolver || !env->offload || !env->curlio)
		return -1;
	prober->world.loop = env->loop;
	for (i = 0; i < checks->n; i++)
		if (schedule_begin(&prober->schedules[i], &prober->world,
				   &checks->setups[i], i, env))
			return -1;
	if (prober->share &&
	    prober_watch_start(&prober->watch, prober->share, env->loop))
		return -1;
	if (drain_file[0]) {
		prober->drain = drain_create(drain_file, prober->board,
					     env->loop, env->offload);
		if (!prober->drain)
			return -1;
	}
	if (prober_spawn(prober))
		return -1;
	/* Not earlier: responders would wake a loop that is gone. This wake
	 * finds what became wanted meanwhile. */
	board_on_wanted(prober->board, prober_wake, env->loop);
	loop_wake(env->loop);
	return 0;
}

struct prober *prober_start(const struct check_list *checks,
			    const char *drain_file, struct board *board,
			    struct share *share, bool warm)
{
	struct prober *prober;

	prober = calloc(1, sizeof(*prober) +
				   checks->n * sizeof(*prober->schedules));
	if (!prober) {
		log_err("cannot start the prober: out of memory");
		return NULL;
	}
	*prober = (struct prober){
		.board = board,
		.share = share,
		.look = { .on_time = prober_on_look, .arg = prober },
		.world = { .board = board,
			   .share = share,
			   .ahead = warm,
			   .look_soon = prober_look_soon,
			   .arg = prober },
		.n = checks->n,
	};
	if (prober_make(prober, checks, drain_file)) {
		log_err("cannot start the prober: "
			"out of memory, descriptors or threads");
		prober_free(prober);
		return NULL;
	}
	pthread_setname_np(prober->thread, "prober");
	return prober;
}

int prober_stop(struct prober *prober)
{
	struct pollfd ended = { .fd = prober->ended_fd, .events = POLLIN };
	int n;

	loop_stop(prober->env.loop);
	/* ThreadSanitizer does not know pthread_clockjoin_np(). */
	do
		n = poll(&ended, 1, PROBER_STOP_MS);
	while (n < 0 && errno == EINTR);
	if (n <= 0) {
		log_err("prober thread did not stop within %d ms",
			PROBER_STOP_MS);
		return -1;
	}
	pthread_join(prober->thread, NULL);
	prober_free(prober);
	return 0;
}

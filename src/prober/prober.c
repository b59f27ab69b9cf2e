#include "config.h"

#include "prober/prober.h"

#include <stdlib.h>

#include "check/admit.h"
#include "board/board.h"
#include "io/curlio.h"
#include "prober/drain.h"
#include "prober/schedule.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/offload.h"
#include "io/resolve.h"
#include "board/share.h"
#include "board/share_watch.h"

struct prober {
	const struct prober_options *options;
	struct schedule_world world;
	struct share_watch *watch; /* NULL: no other process has the share */
	uint32_t news;		   /* of the share, as last looked at */
	struct check_env env;
	struct drain *drain;
	size_t n;
	struct schedule schedules[];
};

/* ---- turns ---- */

static void prober_attend(struct prober *prober)
{
	bool listen = false;
	size_t i;

	prober->news = share_news(prober->world.share);
	for (i = 0; i < prober->n; i++) {
		schedule_attend(&prober->schedules[i]);
		listen = listen || prober->schedules[i].held;
	}
	/* A process that holds no check needs no news of others. */
	if (prober->watch)
		share_watch_set(prober->watch, listen);
}

static void prober_on_turn(void *arg)
{
	struct prober *prober = arg;

	if (prober->options->ending(prober->options->arg))
		loop_stop(prober->env.loop);
	else if (share_news(prober->world.share) != prober->news)
		prober_attend(prober);
}

/* ---- start and end ---- */

static void prober_free(struct prober *prober)
{
	size_t i;

	for (i = 0; i < prober->n; i++)
		schedule_end(&prober->schedules[i]);
	share_watch_destroy(prober->watch);
	drain_destroy(prober->drain);
	curlio_destroy(prober->env.curlio);
	offload_destroy(prober->env.offload);
	resolver_destroy(prober->env.resolver);
	admit_destroy(prober->env.admit);
	loop_destroy(prober->env.loop);
	free(prober);
}

static int prober_make(struct prober *prober)
{
	const struct prober_options *options = prober->options;
	struct check_env *env = &prober->env;
	size_t i;

	env->loop = loop_create_for(options->wake_fd, options->beat);
	if (!env->loop)
		return -1;
	env->admit = admit_create(env->loop);
	env->resolver = resolver_create(env->loop);
	env->offload = offload_create(env->loop);
	/* A warm connection and a hedge for each. */
	env->curlio = curlio_create(env->loop, (long)prober->n * 2);
	if (!env->admit || !env->resolver || !env->offload || !env->curlio)
		return -1;
	prober->world = (struct schedule_world){
		.board = options->board,
		.share = options->share,
		.loop = env->loop,
		.ahead = options->warm,
		.elsewhere = options->elsewhere,
		.arg = options->arg,
	};
	for (i = 0; i < prober->n; i++)
		if (schedule_begin(&prober->schedules[i], &prober->world,
				   &options->checks->setups[i], i, env))
			return -1;
	if (!share_is_alone(options->share)) {
		prober->watch = share_watch_create(options->share,
						   options->wake_fd);
		if (!prober->watch)
			return -1;
	}
	if (options->drain_file[0]) {
		prober->drain = drain_create(options->drain_file,
					     options->board, env->loop,
					     env->offload);
		if (!prober->drain)
			return -1;
	}
	return 0;
}

int prober_run(const struct prober_options *options)
{
	size_t i, n = options->checks->n;
	struct prober *prober;

	prober = calloc(1, sizeof(*prober) + n * sizeof(*prober->schedules));
	if (!prober) {
		log_err("cannot run the checks: out of memory");
		return -1;
	}
	prober->options = options;
	prober->n = n;
	if (prober_make(prober)) {
		log_err("cannot run the checks: "
			"out of memory, descriptors or threads");
		prober_free(prober);
		return -1;
	}
	for (i = 0; options->warm && i < n; i++)
		schedule_warm_up(&prober->schedules[i]);
	prober_attend(prober);
	options->ready(options->arg);
	loop_run(prober->env.loop, prober_on_turn, prober);
	prober_free(prober);
	return 0;
}

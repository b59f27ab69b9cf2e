#include "config.h"

#include "drain.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "board.h"
#include "clock.h"
#include "log.h"
#include "loop.h"
#include "offload.h"

struct drain_look {
	char path[PATH_MAX];
	bool found;
};

struct drain {
	struct board *board;
	struct loop *loop;
	struct offload *offload;
	struct loop_timer next;
	struct offload_job *job;
	struct drain_look look;
};

static void drain_work(void *copy)
{
	struct drain_look *look = copy;

	look->found = access(look->path, F_OK) == 0;
}

static void drain_done(void *arg, const void *copy)
{
	struct drain *drain = arg;
	const struct drain_look *look = copy;

	drain->job = NULL;
	if (look->found != drain->look.found) {
		log_info("%s: %s", look->found ? "draining" : "draining ended",
			 drain->look.path);
		drain->look.found = look->found;
	}
	board_set_draining(drain->board, look->found);
}

static void drain_start(void *arg)
{
	struct drain *drain = arg;

	/* The last look may still hang. */
	if (drain->job)
		board_keep_draining(drain->board);
	else
		drain->job = offload_start(drain->offload, &drain->look,
					   sizeof(drain->look), drain_work,
					   drain_done, drain);
	loop_timer_set(drain->loop, &drain->next, clock_ms() + DRAIN_LOOK_MS);
}

struct drain *drain_create(const char *path, struct board *board,
			   struct loop *loop, struct offload *offload)
{
	struct drain *drain = calloc(1, sizeof(*drain));
	int len;

	if (!drain)
		return NULL;
	len = snprintf(drain->look.path, sizeof(drain->look.path), "%s", path);
	if (len < 0 || (size_t)len >= sizeof(drain->look.path)) {
		free(drain);
		return NULL;
	}
	drain->board = board;
	drain->loop = loop;
	drain->offload = offload;
	drain->next.on_time = drain_start;
	drain->next.arg = drain;
	drain_start(drain);
	return drain;
}

void drain_destroy(struct drain *drain)
{
	if (!drain)
		return;
	loop_timer_clear(drain->loop, &drain->next);
	offload_forget(drain->job);
	free(drain);
}

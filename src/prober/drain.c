#include "config.h"

#include "prober/drain.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "board/board.h"
#include "base/clock.h"
#include "base/log.h"
#include "io/loop.h"
#include "io/offload.h"

struct drain_look {
	char path[PATH_MAX];
	int error; /* errno of access(2); 0: the file is there */
};

struct drain {
	struct board *board;
	struct loop *loop;
	struct offload *offload;
	struct loop_timer next;
	struct offload_job *job;
	struct drain_look look; /* with the last error */
	bool draining;		/* as it was last told */
};

static void drain_work(void *copy)
{
	struct drain_look *look = copy;

	look->error = access(look->path, F_OK) ? errno : 0;
}

/* EACCES, EIO, ESTALE and so on say nothing about the file. At the start,
 * without a last state, assume that the operator has made it. */
static void drain_doubt(struct drain *drain, int error)
{
	drain->draining = board_keep_draining(drain->board, true);
	if (error != drain->look.error)
		log_masked(LOG_ERR,
			   "drain_file: cannot look for %s: %s; until this is "
			   "fixed, readiness is %s",
			   drain->look.path, strerror(error),
			   drain->draining ? "\"draining\""
					   : "not \"draining\"");
}

static void drain_done(void *arg, const void *copy)
{
	struct drain *drain = arg;
	const struct drain_look *look = copy;
	bool draining = look->error == 0;

	drain->job = NULL;
	if (!draining && look->error != ENOENT) {
		drain_doubt(drain, look->error);
	} else {
		if (draining != drain->draining)
			log_masked(LOG_INFO, "%s: %s",
				   draining ? "draining" : "draining ended",
				   drain->look.path);
		drain->draining = draining;
		board_set_draining(drain->board, draining);
	}
	drain->look.error = look->error;
}

static void drain_start(void *arg)
{
	struct drain *drain = arg;
	struct offload_order order = { .data = &drain->look,
				       .size = sizeof(drain->look),
				       .path = drain->look.path,
				       .room = OFFLOAD_RESERVED,
				       .work = drain_work };

	/* The last look may still hang. */
	if (drain->job)
		drain->draining = board_keep_draining(drain->board, false);
	else
		drain->job = offload_start(drain->offload, &order, drain_done,
					   drain);
	loop_timer_in(drain->loop, &drain->next, DRAIN_LOOK_MS);
}

struct drain *drain_create(const char *path, struct board *board,
			   struct loop *loop, struct offload *offload)
{
	struct drain *drain;

	if (strlen(path) >= sizeof(drain->look.path))
		return NULL;
	drain = calloc(1, sizeof(*drain));
	if (!drain)
		return NULL;
	*drain = (struct drain){
		.board = board,
		.loop = loop,
		.offload = offload,
		.next = { .on_time = drain_start, .arg = drain },
		.look = { .error = ENOENT },
		.draining = board_is_draining(board),
	};
	memcpy(drain->look.path, path, strlen(path) + 1);
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

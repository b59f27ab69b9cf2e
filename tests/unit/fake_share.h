/* A real share of n checks in memory without a name, and runs of them. */
#ifndef FAKE_SHARE_H
#define FAKE_SHARE_H

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "board/board.h"
#include "board/share.h"

static inline struct share *fake_share(size_t n)
{
	const struct share_options options = { .alone = true, .n = n };
	char reason[256];
	struct share *share = share_open(&options, reason, sizeof(reason));

	if (!share)
		abort();
	return share;
}

/* As the only worker: false when the result does not count. */
static inline bool fake_share_publish(struct share *share, struct board *board,
				      size_t check, const struct result *result)
{
	struct record before;

	return share_take(share, check, clock_ms() + 1000, false) &&
	       board_publish(board, check, result, &before);
}

#endif

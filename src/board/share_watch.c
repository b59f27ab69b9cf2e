#include "config.h"

#include "board/share_watch.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/eventfd.h>

#include "board/share.h"

struct share_watch {
	struct share *share;
	int bell_fd;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool on, ending;
};

static void *share_watch_main(void *arg)
{
	struct share_watch *watch = arg;
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
		eventfd_write(watch->bell_fd, 1);
		share_wait(watch->share, seen);
	}
}

static void share_watch_change(struct share_watch *watch, bool on, bool ending)
{
	pthread_mutex_lock(&watch->lock);
	watch->on = on;
	watch->ending = ending;
	pthread_cond_signal(&watch->changed);
	pthread_mutex_unlock(&watch->lock);
}

struct share_watch *share_watch_create(struct share *share, int bell_fd)
{
	struct share_watch *watch = calloc(1, sizeof(*watch));

	if (!watch)
		return NULL;
	watch->share = share;
	watch->bell_fd = bell_fd;
	pthread_mutex_init(&watch->lock, NULL);
	pthread_cond_init(&watch->changed, NULL);
	if (pthread_create(&watch->thread, NULL, share_watch_main, watch)) {
		free(watch);
		return NULL;
	}
	pthread_setname_np(watch->thread, "share_watch");
	return watch;
}

void share_watch_set(struct share_watch *watch, bool on)
{
	if (on != watch->on) /* only this thread changes it */
		share_watch_change(watch, on, false);
}

void share_watch_destroy(struct share_watch *watch)
{
	if (!watch)
		return;
	share_watch_change(watch, false, true);
	/* It may be waiting for news, so there must be some. */
	share_tell(watch->share);
	pthread_join(watch->thread, NULL);
	pthread_cond_destroy(&watch->changed);
	pthread_mutex_destroy(&watch->lock);
	free(watch);
}

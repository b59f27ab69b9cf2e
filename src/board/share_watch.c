#include "config.h"

#include "board/share_watch.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>

#include "io/loop.h"
#include "board/share.h"

struct ear {
	struct share *share;
	struct loop *loop;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool on, ending;
};

/* Waits until there is something to listen for; false at the end. */
static bool ear_attend(struct ear *ear)
{
	bool ending;

	pthread_mutex_lock(&ear->lock);
	while (!ear->on && !ear->ending)
		pthread_cond_wait(&ear->changed, &ear->lock);
	ending = ear->ending;
	pthread_mutex_unlock(&ear->lock);
	return !ending;
}

static void *ear_main(void *arg)
{
	struct ear *ear = arg;
	uint32_t seen;

	while (ear_attend(ear)) {
		seen = share_news(ear->share);
		loop_wake(ear->loop);
		share_wait(ear->share, seen);
	}
	return NULL;
}

struct ear *ear_start(struct share *share, struct loop *loop)
{
	struct ear *ear = calloc(1, sizeof(*ear));

	if (!ear)
		return NULL;
	ear->share = share;
	ear->loop = loop;
	pthread_mutex_init(&ear->lock, NULL);
	pthread_cond_init(&ear->changed, NULL);
	if (pthread_create(&ear->thread, NULL, ear_main, ear)) {
		free(ear);
		return NULL;
	}
	pthread_setname_np(ear->thread, "ear");
	return ear;
}

static void ear_set(struct ear *ear, bool on, bool ending)
{
	pthread_mutex_lock(&ear->lock);
	ear->on = on;
	ear->ending = ending;
	pthread_cond_signal(&ear->changed);
	pthread_mutex_unlock(&ear->lock);
}

void ear_stop(struct ear *ear)
{
	if (!ear)
		return;
	ear_set(ear, false, true);
	/* It may be waiting for news, so there must be some. */
	share_tell(ear->share);
	pthread_join(ear->thread, NULL);
	pthread_cond_destroy(&ear->changed);
	pthread_mutex_destroy(&ear->lock);
	free(ear);
}

void ear_listen(struct ear *ear, bool on)
{
	if (on != ear->on) /* only this thread changes it */
		ear_set(ear, on, false);
}

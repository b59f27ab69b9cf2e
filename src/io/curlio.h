/*
 * curlio: ties one CURLM (libcurl-multi(3)) to the loop.
 *
 * All HTTP checks share its connection cache.  Completed transfers are
 * reported from the loop, never from inside a libcurl callback, so handles may
 * be added, removed and freed there.
 *
 * Belongs to the main thread of a worker.  libcurl is initialised at the first
 * transfer, so a configuration without HTTP checks does not pay for it.
 */
#ifndef HEALTH_CURLIO_H
#define HEALTH_CURLIO_H

#include <curl/curl.h>
#include <stdint.h>

struct curlio;
struct loop;

/* Embedded in its owner; zeroed means idle. */
struct curlio_transfer {
	void (*on_done)(void *arg, CURLcode code);
	void *arg;
	CURL *easy;	/* private to curlio.c while the transfer runs */
	int running;	/* likewise */
	uint32_t owner; /* of the loop when it was started */
};

/* connections: the maximum of warm ones to keep.  NULL: out of memory. */
struct curlio *curlio_create(struct loop *loop, long connections);
void curlio_destroy(struct curlio *curlio);

/* A new handle with the settings that all transfers have in common; owned by
 * the caller.  NULL: libcurl failed. */
CURL *curlio_handle(struct curlio *curlio);

/* Starts; -1: libcurl failed.  easy is still owned by the caller. */
int curlio_start(struct curlio *curlio, struct curlio_transfer *transfer,
		 CURL *easy) __attribute__((warn_unused_result));
/* Stops the transfer; its connection is closed unless the transfer had ended.
 * Idle is allowed. */
void curlio_cancel(struct curlio *curlio, struct curlio_transfer *transfer);

#endif

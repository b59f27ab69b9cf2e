/*
 * helper: starts a detached thread.
 *
 * It takes no signals: those belong to the main thread.  It may still
 * run when the process ends, so what it uses is never freed.
 */
#ifndef HEALTH_HELPER_H
#define HEALTH_HELPER_H

/* With a stack for a few frames and the C library's own use.  Any thread; -1
 * when no thread can be created. */
int helper_start(void *(*run)(void *arg), void *arg)
	__attribute__((warn_unused_result));

#endif

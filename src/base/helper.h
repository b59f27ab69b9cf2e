/*
 * helper: starts a thread that nobody waits for.
 *
 * It takes no signals: those belong to the main thread.  At the end of the
 * process it may be anywhere, so what it uses is never freed under it.
 */
#ifndef HEALTH_HELPER_H
#define HEALTH_HELPER_H

/* With a stack for a few frames and the C library's own use.  Any thread; -1
 * when no thread can be created. */
int helper_start(void *(*run)(void *arg), void *arg)
	__attribute__((warn_unused_result));

#endif

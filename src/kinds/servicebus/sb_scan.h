/*
 * sb_scan: is what the peer sends safe to give to Qpid Proton?
 *
 * Release 0.37, which Debian has, ends the process (an assertion, PROTON-2853)
 * at the first of several transfers for a message when it has no delivery-id,
 * and forgets a piece of memory for each list of mechanisms behind the first.
 * So each frame is looked at before, and a transfer must be one to the letter
 * (AMQP 1.0 part 2, sections 2.3 and 2.7.5).
 *
 * Pure; any thread.
 */
#ifndef HEALTH_SB_SCAN_H
#define HEALTH_SB_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest frame there may be. */
#define SB_SCAN_FRAME_BYTES (16 * 1024)

/* Of one connection; zeroed: nothing was seen. */
struct sb_scan {
	bool mechanisms; /* were there */
	bool more;	 /* the last message of this link goes on */
	uint16_t channel;
	uint32_t handle;
};

enum sb_scan_state {
	SB_SCAN_PART, /* more must come */
	SB_SCAN_GOOD, /* *length bytes: a frame, or the header of a protocol */
	SB_SCAN_BAD
};

/* Looks at what begins at `bytes`. */
enum sb_scan_state sb_scan(struct sb_scan *scan, const unsigned char *bytes,
			   size_t n, size_t *length);

#endif

/*
 * sb_scan: checks frames from the peer before Qpid Proton gets them.
 *
 * Release 0.37, which Debian has, aborts the process (an assertion,
 * PROTON-2853) when the first of several transfers of a message has no
 * delivery-id, and leaks memory for each list of mechanisms after the first.
 * So each frame is checked, and a transfer must follow the specification
 * strictly (AMQP 1.0 part 2, sections 2.3 and 2.7.5).
 *
 * Pure; any thread.
 */
#ifndef HEALTH_SB_SCAN_H
#define HEALTH_SB_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The longest frame that is accepted. */
#define SB_SCAN_FRAME_BYTES (16 * 1024)

/* State of one connection; zeroed at its start. */
struct sb_scan {
	bool mechanisms; /* were seen */
	bool more;	 /* a message of this link is incomplete */
	uint16_t channel;
	uint32_t handle;
};

enum sb_scan_state {
	SB_SCAN_PART, /* more must come */
	SB_SCAN_GOOD, /* *length bytes: a frame or a protocol header */
	SB_SCAN_BAD
};

/* Checks the frame that begins at `bytes`. */
enum sb_scan_state sb_scan(struct sb_scan *scan, const unsigned char *bytes,
			   size_t n, size_t *length);

#endif

/*
 * result: what one run of a check ended with, and what is kept of all its runs.
 *
 * Plain data without pointers: it is copied between threads and stored in the
 * shared file.  One table has the codes and their words in JSON, the log and
 * the manual (a test compares the manual with it).
 *
 * base/ is for words, time, codes and the log.  It depends on no other
 * directory.
 */
#ifndef HEALTH_RESULT_H
#define HEALTH_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#define RESULT_CODES(X)                                                    \
	X(UNKNOWN, "unknown", "no run has ended yet")                      \
	X(OK, "ok", "answered as expected")                                \
	X(TIMEOUT, "timeout", "no answer before the deadline")             \
	X(STALE, "stale", "the last result is older than allowed")         \
	X(RESOLVE, "resolve", "the host name could not be resolved")       \
	X(CONNECT, "connect", "no connection could be made, or it broke")  \
	X(REFUSED, "refused", "the peer refused the connection")           \
	X(TLS, "tls", "the TLS handshake or the certificate failed")       \
	X(AUTH, "auth", "the peer refused the credentials or the access")  \
	X(PROTOCOL, "protocol", "the answer was not understood")           \
	X(BUSY, "busy", "the peer is up but does not serve now")           \
	X(THROTTLED, "throttled", "the peer limits the rate of questions") \
	X(UPSTREAM, "upstream", "the peer reports an error of its own")    \
	X(STATUS, "status", "an HTTP status other than the expected")      \
	X(MISMATCH, "mismatch", "an answer other than the expected")       \
	X(MISSING, "missing", "what was looked for does not exist")        \
	X(CONFIG, "config", "the check is not configured completely")      \
	X(INTERNAL, "internal", "this program could not run the check")

enum result_code {
#define X(name, word, help) RESULT_##name,
	RESULT_CODES(X)
#undef X
		RESULT_CODE_COUNT
};

#define RESULT_ERROR_BYTES 96	/* our own words */
#define RESULT_STEP_BYTES 48	/* our own words: what a timeout interrupted */
#define RESULT_DETAIL_BYTES 160 /* what the driver or peer said, cleaned */

struct result {
	int32_t code;	    /* enum result_code */
	int32_t latency_us; /* from the start of the run to its end */
	int64_t ended_us;   /* clock_us() then; 0: no run has ended */
	char error[RESULT_ERROR_BYTES]; /* "" when ok; shown to every caller */
	char step[RESULT_STEP_BYTES];	/* "" unless code is timeout */
	char detail[RESULT_DETAIL_BYTES]; /* log and trusted callers only */
};

static inline bool result_healthy(const struct result *result)
{
	return result->code == RESULT_OK;
}

/* The word of a code ("timeout"); never NULL.  Any thread. */
const char *result_word(int32_t code);

/* What is kept of one check: the result of its last run, and its past. */
struct record {
	struct result result;
	int64_t first_ok_us;	  /* end of the first healthy run; 0: none */
	int64_t failing_since_us; /* end of the first run of this outage; 0:
				     healthy, or nothing known */
	int64_t runs;
	int64_t failures;
};

/* Adds the result of another run. */
void record_add(struct record *record, const struct result *result);

/*
 * Makes a record from outside one that is safe to use: texts end and are
 * clean, latencies are not negative, and counters do not overflow.  false: the
 * record is invalid, its code is unknown, or it was made after now_us.
 */
bool record_sane(struct record *record, int64_t now_us);

#endif

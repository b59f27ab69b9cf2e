/*
 * stream_words: what the kernel or OpenSSL reported about a stream, as our
 * code and words.
 *
 * Pure; any thread.  Nothing can fail.
 */
#ifndef HEALTH_STREAM_WORDS_H
#define HEALTH_STREAM_WORDS_H

#include "base/result.h"

struct stream_failure {
	enum result_code code;		  /* RESULT_UNKNOWN: none */
	const char *words;		  /* ours; static */
	char detail[RESULT_DETAIL_BYTES]; /* what they said, or "" */
};

/* Ours alone; nobody else said anything. */
struct stream_failure stream_words_own(enum result_code code,
				       const char *words);

/* errno of a system call. */
struct stream_failure stream_words_errno(int error);

/* words: tls_words_handshake(); result: SSL_get_verify_result(). */
struct stream_failure stream_words_verify(const char *words, long result);

/* ERR_peek_error(), and our words (static) for what is not known here. */
struct stream_failure stream_words_library(unsigned long error,
					   const char *otherwise);

#endif

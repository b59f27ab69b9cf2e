/*
 * failure: why a connection or a question failed, in the same words for every
 * kind of check, whichever library reported it.
 *
 * Any thread.  Nothing can fail; errno may change.
 */
#ifndef HEALTH_FAILURE_H
#define HEALTH_FAILURE_H

#include <stdbool.h>

#include "base/result.h"

struct ssl_st;
struct stack_st_X509;

/* More than is shown: it is masked before it is cut. */
#define FAILURE_DETAIL_BYTES 1024

#define FAILURE_OTHER_HOST "TLS: certificate is for another host"

struct failure {
	enum result_code code;		/* RESULT_UNKNOWN: nothing failed */
	char words[RESULT_ERROR_BYTES]; /* ours, without hosts: for every caller
					 */
	/* Which peer, and what it or a library said; "": unknown.  For the log
	 * and trusted callers, after conn_detail(). */
	char detail[FAILURE_DETAIL_BYTES];
};

struct failure failure_make(enum result_code code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Puts a text in front of the detail: the peer. */
void failure_of_peer(struct failure *failure, const char *peer);

/* An errno of a system call. */
struct failure failure_errno(int error);

/* The same, from a library's message that has the text of strerror(3) in it;
 * otherwise: our words for a message that has none. */
struct failure failure_errno_said(const char *message, const char *otherwise);

/* A reason of OpenSSL, found in a library's message; otherwise: our words for
 * another one; NULL: the code is RESULT_UNKNOWN then. */
struct failure failure_tls(const char *message, const char *otherwise);

/* The words for an X509_V_ERR_... of X509_STORE_CTX_get_error(3ssl). */
const char *failure_verify(long result);

/* A server's certificate and that X509_V_ERR_..., with subject and dates of the
 * certificate that it is about; X509_V_OK: RESULT_UNKNOWN. */
struct failure failure_certificate(long result,
				   const struct stack_st_X509 *chain);

/* The same of a handshake. */
struct failure failure_handshake(const struct ssl_st *ssl);

#endif

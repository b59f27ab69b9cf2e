/*
 * http_words: how a transfer of libcurl or an HTTP answer went wrong, as our
 * code and words.
 *
 * Pure; any thread.  Nothing can fail.
 */
#ifndef HEALTH_HTTP_WORDS_H
#define HEALTH_HTTP_WORDS_H

#include <curl/curl.h>

#include "base/failure.h"

/* os_errno, verified and said are CURLINFO_OS_ERRNO, CURLINFO_SSL_VERIFYRESULT
 * and what libcurl wrote to CURLOPT_ERRORBUFFER, which tell more about some of
 * the codes. */
struct failure http_words_transfer(CURLcode code, long os_errno, long verified,
				   const char *said);

/* A status other than the expected. */
enum result_code http_words_status(long status);

#endif

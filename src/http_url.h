/*
 * http_url: what a URL says about where a question goes to.
 *
 * Pure, but for memory; any thread.
 */
#ifndef HEALTH_HTTP_URL_H
#define HEALTH_HTTP_URL_H

#include <curl/curl.h>

#include <stdbool.h>

/* A part of a URL, for curl_free(); NULL: it has none, or no memory. */
char *http_url_part(CURLU *url, CURLUPart part, unsigned flags);

/* A host as it stands in a URL: IPv6 in brackets. */
bool http_url_is_loopback(const char *host);
bool http_url_is_numeric(const char *host);

/* Whether scheme, host and port are the same (RFC 6454); false also when one
 * is no URL or there is no memory. */
bool http_url_same_origin(const char *one, const char *two);

#endif

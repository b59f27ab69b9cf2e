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

/* The path of a URL as it is written there, without slashes at its end, for
 * free(); NULL: it cannot be parsed, or no memory. */
char *http_url_path(const char *url);

/*
 * The URL with another path, and with `query` ("name=value", or "") behind
 * what it asks for already; a fragment, which is never sent, is removed.  For
 * free(); NULL: it cannot be parsed, or no memory.
 */
char *http_url_move(const char *url, const char *path, const char *query);

/* A host as it stands in a URL: IPv6 in brackets. */
bool http_url_is_loopback(const char *host);
bool http_url_is_numeric(const char *host);

/* Whether scheme, host and port are the same (RFC 6454); also false when one
 * is invalid, or out of memory. */
bool http_url_same_origin(const char *one, const char *two);

#endif

#include "config.h"

#include "kinds/http/http_url.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

char *http_url_part(CURLU *url, CURLUPart part, unsigned flags)
{
	char *text = NULL;

	if (!curl_url_get(url, part, &text, flags))
		return text;
	/* Of a name that it cannot convert libcurl hands out a copy. */
	curl_free(text);
	return NULL;
}

/* As http_url_part(), for free(). */
static char *http_url_copy(CURLU *url, CURLUPart part)
{
	char *text = http_url_part(url, part, 0);
	char *copy = text ? strdup(text) : NULL;

	curl_free(text);
	return copy;
}

char *http_url_path(const char *url)
{
	CURLU *parsed = curl_url();
	char *path = NULL;
	size_t len;

	if (parsed && !curl_url_set(parsed, CURLUPART_URL, url, 0))
		path = http_url_copy(parsed, CURLUPART_PATH);
	curl_url_cleanup(parsed);
	for (len = path ? strlen(path) : 0; len && path[len - 1] == '/'; len--)
		path[len - 1] = '\0';
	return path;
}

char *http_url_move(const char *url, const char *path, const char *query)
{
	CURLU *parsed = curl_url();
	char *moved = NULL;

	if (parsed && !curl_url_set(parsed, CURLUPART_URL, url, 0) &&
	    !curl_url_set(parsed, CURLUPART_PATH, path, 0) &&
	    !curl_url_set(parsed, CURLUPART_FRAGMENT, NULL, 0) &&
	    (!*query ||
	     !curl_url_set(parsed, CURLUPART_QUERY, query, CURLU_APPENDQUERY)))
		moved = http_url_copy(parsed, CURLUPART_URL);
	curl_url_cleanup(parsed);
	return moved;
}

bool http_url_is_loopback(const char *host)
{
	struct in_addr in;

	if (inet_pton(AF_INET, host, &in) == 1)
		return ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET;
	return strcmp(host, "[::1]") == 0 || strcasecmp(host, "localhost") == 0;
}

bool http_url_is_numeric(const char *host)
{
	struct in_addr in;

	return host[0] == '[' || inet_pton(AF_INET, host, &in) == 1;
}

static bool http_url_same_part(CURLU *one, CURLU *two, CURLUPart part)
{
	char *first = http_url_part(one, part, CURLU_DEFAULT_PORT);
	char *second = http_url_part(two, part, CURLU_DEFAULT_PORT);
	bool same = first && second && strcasecmp(first, second) == 0;

	curl_free(first);
	curl_free(second);
	return same;
}

bool http_url_same_origin(const char *one, const char *two)
{
	CURLU *first = curl_url(), *second = curl_url();
	bool same = first && second &&
		    !curl_url_set(first, CURLUPART_URL, one, 0) &&
		    !curl_url_set(second, CURLUPART_URL, two, 0) &&
		    http_url_same_part(first, second, CURLUPART_SCHEME) &&
		    http_url_same_part(first, second, CURLUPART_HOST) &&
		    http_url_same_part(first, second, CURLUPART_PORT);

	curl_url_cleanup(first);
	curl_url_cleanup(second);
	return same;
}

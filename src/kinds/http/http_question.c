#include "config.h"

#include "kinds/http/http_ask.h"

#include <curl/curl.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "kinds/http/http_url.h"
#include "base/text.h"

#define HTTP_CA_MAX_BYTES (1024 * 1024)

static const char http_question_no_memory[] = "out of memory";
static const char http_question_no_host[] = "the host name is not valid";

/* Notes the host and port that connections go to. */
static const char *http_question_peer(struct http_question *question,
				      const char *host, const char *port)
{
	size_t len = text_undotted(host);
	char name[256], place[300];

	if (len >= sizeof(name))
		return "the host name is too long";
	snprintf(name, sizeof(name), "%.*s", (int)len, host);
	if (name[len - 1] == '.')
		return http_question_no_host;
	question->loopback = http_url_is_loopback(name);
	free(question->host);
	free(question->place);
	question->host = question->place = NULL;
	/* libcurl takes numeric addresses without any look-up. */
	if (http_url_is_numeric(name))
		return NULL;
	snprintf(place, sizeof(place), "%s:%.5s:", name, port);
	question->host = strdup(host);
	question->place = strdup(place);
	question->port = (uint16_t)strtoul(port, NULL, 10);
	return question->host && question->place ? NULL
						 : http_question_no_memory;
}

/* The URL as libcurl gets it: as it was written, but for the dot. */
static const char *http_question_text(CURLU *parsed, const char *url,
				      char **text)
{
	char *host = http_url_part(parsed, CURLUPART_HOST, 0), *whole = NULL;
	size_t len = host ? text_undotted(host) : 0;
	bool bad = !host;

	if (host && host[len]) {
		host[len] = '\0';
		bad = curl_url_set(parsed, CURLUPART_HOST, host, 0) ||
		      !(whole = http_url_part(parsed, CURLUPART_URL, 0));
	}
	if (!bad)
		*text = strdup(whole ? whole : url);
	curl_free(whole);
	curl_free(host);
	return bad || !*text ? http_question_no_memory : NULL;
}

static const char *http_question_parse(struct http_question *question,
				       CURLU *parsed)
{
	char *scheme = http_url_part(parsed, CURLUPART_SCHEME, 0);
	char *host = http_url_part(parsed, CURLUPART_HOST, CURLU_PUNYCODE);
	char *port = http_url_part(parsed, CURLUPART_PORT, CURLU_DEFAULT_PORT);
	const char *wrong;

	if (!scheme || (strcmp(scheme, "http") && strcmp(scheme, "https")))
		wrong = "write http://... or https://...";
	else if (!host || !host[0] || !port)
		wrong = http_question_no_host;
	else
		wrong = http_question_peer(question, host, port);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	return wrong;
}

const char *http_question_url(struct http_question *question, const char *url)
{
	CURLU *parsed = curl_url();
	const char *wrong;
	CURLUcode code;

	if (!parsed)
		return http_question_no_memory;
	code = curl_url_set(parsed, CURLUPART_URL, url, 0);
	if (code == CURLUE_BAD_SCHEME || code == CURLUE_UNSUPPORTED_SCHEME ||
	    code == CURLUE_BAD_FILE_URL)
		wrong = "write http://... or https://...";
	else if (code && strpbrk(url, " \t"))
		wrong = "must not hold a blank; write %20 for one in a path";
	else if (code)
		wrong = curl_url_strerror(code);
	else
		wrong = http_question_parse(question, parsed);
	if (!wrong)
		wrong = http_question_text(parsed, url, &question->url);
	curl_url_cleanup(parsed);
	return wrong;
}

const char *http_question_proxy(struct http_question *question, const char *url)
{
	static const char form[] = "write http://HOST:PORT";
	CURLU *parsed = curl_url();
	char *scheme, *host, *port;
	const char *wrong = form;

	if (!parsed)
		return http_question_no_memory;
	if (curl_url_set(parsed, CURLUPART_URL, url, 0)) {
		curl_url_cleanup(parsed);
		return form;
	}
	scheme = http_url_part(parsed, CURLUPART_SCHEME, 0);
	host = http_url_part(parsed, CURLUPART_HOST, CURLU_PUNYCODE);
	/* Without a port libcurl would take 1080, others 80 or 3128.  Other
	 * schemes: SOCKS would make libcurl look up names. */
	port = http_url_part(parsed, CURLUPART_PORT, 0);
	if (scheme && !strcmp(scheme, "http") && host && host[0] && port)
		wrong = http_question_peer(question, host, port);
	curl_free(scheme);
	curl_free(host);
	curl_free(port);
	/* Wherever the proxy is, it may lead anywhere. */
	question->loopback = false;
	if (!wrong)
		wrong = http_question_text(parsed, url, &question->proxy);
	curl_url_cleanup(parsed);
	return wrong;
}

/* RFC 9110, 5.6.2 and 5.5: a name is a token, a value has no control bytes. */
static const char *http_question_header_wrong(const char *line)
{
	const char *colon = strchr(line, ':');
	const char *at;

	if (!colon || colon == line)
		return "write `Name: value`";
	for (at = line; at < colon; at++)
		if (!isalnum((unsigned char)*at) &&
		    !strchr("!#$%&'*+-.^_`|~", *at))
			return "the name of a header is letters, digits and -";
	for (at = colon; *at; at++)
		if (iscntrl((unsigned char)*at) && *at != '\t')
			return "a header is one line without control bytes";
	return NULL;
}

const char *http_question_header(struct http_question *question,
				 const char *line)
{
	const char *wrong = http_question_header_wrong(line);
	struct curl_slist *grown;
	const char *colon;
	char *own;

	if (wrong)
		return wrong;
	own = strdup(line);
	if (!own)
		return http_question_no_memory;
	/* "Name:" would remove the header, "Name;" sends it empty. */
	colon = strchr(line, ':');
	if (!colon[1 + strspn(colon + 1, " \t")])
		memcpy(own + (colon - line), ";", 2);
	grown = curl_slist_append(question->headers, own);
	free(own);
	if (!grown)
		return http_question_no_memory;
	question->headers = grown;
	return NULL;
}

int http_question_accept(struct http_question *question, const char *codings)
{
	static const char name[] = "Accept-Encoding:";
	const struct curl_slist *header;
	char line[64];

	for (header = question->headers; header; header = header->next)
		if (strncasecmp(header->data, name, sizeof(name) - 2) == 0 &&
		    strchr(":;", header->data[sizeof(name) - 2]))
			return 0;
	snprintf(line, sizeof(line), "%s %s", name, codings);
	return http_question_header(question, line) ? -1 : 0;
}

int http_question_ca(struct http_question *question, const char *path,
		     char *reason, size_t reason_size)
{
	if (conf_slurp(path, HTTP_CA_MAX_BYTES, &question->ca,
		       &question->ca_len, reason, reason_size))
		return -1;
	if (strstr(question->ca, "-----BEGIN CERTIFICATE-----") ||
	    strstr(question->ca, "-----BEGIN TRUSTED CERTIFICATE-----"))
		return 0;
	snprintf(reason, reason_size, "has no PEM certificate in it");
	return -1;
}

void http_question_dispose(struct http_question *question)
{
	free(question->url);
	free(question->host);
	free(question->place);
	free(question->proxy);
	free(question->ca);
	curl_slist_free_all(question->headers);
}

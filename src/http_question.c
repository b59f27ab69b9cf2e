#include "config.h"

#include "http_ask.h"

#include <curl/curl.h>

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http_url.h"

#define HTTP_CA_MAX_BYTES (1024 * 1024)

static const char http_question_no_memory[] = "out of memory";

/* Notes the host and port that connections go to. */
static const char *http_question_peer(struct http_question *question,
				      const char *host, const char *port)
{
	char place[300];
	int len = snprintf(place, sizeof(place), "%s:%s:", host, port);

	if (len < 0 || (size_t)len >= sizeof(place))
		return "the host name is too long";
	question->loopback = http_url_is_loopback(host);
	free(question->host);
	free(question->place);
	question->host = question->place = NULL;
	/* libcurl takes numeric addresses without any look-up. */
	if (http_url_is_numeric(host))
		return NULL;
	/* libcurl and c-ares differ on whether the dot is part of the name. */
	if (host[strlen(host) - 1] == '.')
		return "write the host name without the dot at its end";
	question->host = strdup(host);
	question->place = strdup(place);
	question->port = (uint16_t)strtoul(port, NULL, 10);
	return question->host && question->place ? NULL
						 : http_question_no_memory;
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
		wrong = "the host name is not valid";
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
	if (code == CURLUE_BAD_SCHEME || code == CURLUE_UNSUPPORTED_SCHEME)
		wrong = "write http://... or https://...";
	else if (code)
		wrong = curl_url_strerror(code);
	else
		wrong = http_question_parse(question, parsed);
	curl_url_cleanup(parsed);
	if (wrong)
		return wrong;
	question->url = strdup(url);
	return question->url ? NULL : http_question_no_memory;
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
	curl_url_cleanup(parsed);
	if (wrong)
		return wrong;
	/* Wherever the proxy is, it may lead anywhere. */
	question->loopback = false;
	question->proxy = strdup(url);
	return question->proxy ? NULL : http_question_no_memory;
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

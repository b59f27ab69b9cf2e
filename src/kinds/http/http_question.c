#include "config.h"

#include "io/stream.h"
#include "kinds/http/http_ask.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/text.h"

#define HTTP_CA_MAX_BYTES (1024 * 1024)

static const char http_no_memory[] = "out of memory";
static const char http_no_host[] = "the host name is not valid";

/* ---- URLs ---- */

CURLU *http_url_parse(const char *url)
{
	CURLU *parsed = curl_url();

	if (!curl_url_set(parsed, CURLUPART_URL, url, 0))
		return parsed;
	curl_url_cleanup(parsed);
	return NULL;
}

char *http_url_part(CURLU *url, CURLUPart part, unsigned flags)
{
	char *text = NULL, *copy = NULL;

	/* libcurl returns a text along with an error for a host name that it
	 * cannot convert. */
	if (!curl_url_get(url, part, &text, flags))
		copy = strdup(text);
	curl_free(text);
	return copy;
}

bool http_url_same_origin(const char *one, const char *two)
{
	static const CURLUPart parts[] = { CURLUPART_SCHEME, CURLUPART_HOST,
					   CURLUPART_PORT };
	CURLU *first = http_url_parse(one), *second = http_url_parse(two);
	bool same = true;
	size_t i;

	for (i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
		char *a = http_url_part(first, parts[i], CURLU_DEFAULT_PORT);
		char *b = http_url_part(second, parts[i], CURLU_DEFAULT_PORT);

		same = same && a && b && strcasecmp(a, b) == 0;
		free(a);
		free(b);
	}
	curl_url_cleanup(first);
	curl_url_cleanup(second);
	return same;
}

/* ---- where a question goes ---- */

/* Notes the host and port that connections go to. */
static const char *http_question_peer(struct http_question *question,
				      const char *host, const char *port)
{
	size_t len = text_undotted(host);
	char name[256];
	struct in_addr in;
	bool numeric;

	if (len >= sizeof(name))
		return "the host name is too long";
	snprintf(name, sizeof(name), "%.*s", (int)len, host);
	if (name[len - 1] == '.')
		return http_no_host;
	numeric = inet_pton(AF_INET, name, &in) == 1;
	question->loopback = numeric ? ntohl(in.s_addr) >> 24 == IN_LOOPBACKNET
				     : strcmp(name, "[::1]") == 0 ||
					       !strcasecmp(name, "localhost");
	/* libcurl takes numeric addresses without any look-up. */
	snprintf(question->host, sizeof(question->host), "%s",
		 numeric || name[0] == '[' ? "" : host);
	snprintf(question->place, sizeof(question->place), "%s:%.5s:", name,
		 port);
	question->port = (uint16_t)strtoul(port, NULL, 10);
	return NULL;
}

/* The URL for libcurl: as configured, without a dot at the end of the host. */
static const char *http_question_text(CURLU *parsed, const char *url,
				      char **text)
{
	char *host = http_url_part(parsed, CURLUPART_HOST, 0);
	size_t len = host ? text_undotted(host) : 0;

	if (host && !host[len]) {
		*text = strdup(url);
	} else if (host) {
		host[len] = '\0';
		if (!curl_url_set(parsed, CURLUPART_HOST, host, 0))
			*text = http_url_part(parsed, CURLUPART_URL, 0);
	}
	free(host);
	return *text ? NULL : http_no_memory;
}

/* What is wrong with a URL that libcurl cannot parse. */
static const char *http_question_why(CURLUcode code, const char *url,
				     const char *form)
{
	if (code == CURLUE_BAD_SCHEME || code == CURLUE_UNSUPPORTED_SCHEME ||
	    code == CURLUE_BAD_FILE_URL)
		return form;
	if (strpbrk(url, " \t"))
		return "must not hold a blank; write %20 for one in a path";
	return curl_url_strerror(code);
}

/*
 * A proxy's URL must have a port: libcurl would take 1080 without one, others
 * take 80 or 3128.  It must be HTTP: libcurl looks up names for SOCKS.
 */
const char *http_question_url(struct http_question *question, const char *url,
			      bool proxy)
{
	const char *form = proxy ? "write http://HOST:PORT"
				 : "write http://... or https://...";
	const char *no_host = proxy ? form : http_no_host, *wrong;
	CURLU *parsed = curl_url();
	CURLUcode code = curl_url_set(parsed, CURLUPART_URL, url, 0);
	char *scheme = http_url_part(parsed, CURLUPART_SCHEME, 0);
	char *host = http_url_part(parsed, CURLUPART_HOST, CURLU_PUNYCODE);
	char *port = http_url_part(parsed, CURLUPART_PORT,
				   proxy ? 0 : CURLU_DEFAULT_PORT);
	char server[272];

	if (!parsed)
		wrong = http_no_memory;
	else if (code)
		wrong = proxy ? form : http_question_why(code, url, form);
	else if (!scheme ||
		 (strcmp(scheme, "http") && (proxy || strcmp(scheme, "https"))))
		wrong = form;
	else if (!host || !host[0] || !port)
		wrong = no_host;
	else
		wrong = http_question_peer(question, host, port);
	if (!wrong)
		wrong = http_question_text(
			parsed, url, proxy ? &question->proxy : &question->url);
	if (!wrong) {
		snprintf(server, sizeof(server), "%.270s", question->server);
		snprintf(question->server, sizeof(question->server),
			 "%.255s port %.5s%s%s", host, port,
			 proxy ? ", proxy for " : "", proxy ? server : "");
	}
	/* A proxy on this machine may lead to any other. */
	question->loopback = question->loopback && !proxy;
	free(scheme);
	free(host);
	free(port);
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

static const char *http_question_add(struct http_question *question, char *line)
{
	const char *wrong = http_question_header_wrong(line);
	char *colon = strchr(line, ':');
	struct curl_slist *grown;

	if (wrong)
		return wrong;
	/* "Name:" would remove the header, "Name;" sends it empty. */
	if (!colon[1 + strspn(colon + 1, " \t")])
		memcpy(colon, ";", 2);
	grown = curl_slist_append(question->headers, line);
	if (!grown)
		return http_no_memory;
	question->headers = grown;
	return NULL;
}

void http_question_header(struct http_question *question, struct conf *conf,
			  const struct conf_section *section, const char *key,
			  const char *prefix, const char *value)
{
	const char *wrong = http_no_memory;
	char *line;

	if (*prefix && !*value)
		return;
	if (asprintf(&line, "%s%s", prefix, value) >= 0) {
		wrong = http_question_add(question, line);
		free(line);
	}
	if (wrong)
		conf_mistake(conf, section, key, "%s", wrong);
}

void http_question_accept(struct http_question *question, struct conf *conf,
			  const struct conf_section *section)
{
	static const char name[] = "Accept-Encoding";
	const size_t len = sizeof(name) - 1;
	const struct curl_slist *header;

	for (header = question->headers; header; header = header->next)
		if (strncasecmp(header->data, name, len) == 0 &&
		    strchr(":;", header->data[len]))
			return;
	http_question_header(question, conf, section, NULL,
			     "Accept-Encoding: ", "gzip, deflate");
}

void http_question_prepare(struct http_question *question, struct conf *conf,
			   const struct conf_section *section,
			   const char *url_key, const char *url,
			   const char *proxy, const char *ca_file)
{
	const char *wrong;
	char reason[256];

	wrong = url ? NULL : http_no_memory;
	if (url && *url)
		wrong = http_question_url(question, url, false);
	if (wrong)
		conf_mistake(conf, section, url_key, "%s", wrong);
	wrong = *proxy ? http_question_url(question, proxy, true) : NULL;
	if (wrong)
		conf_mistake(conf, section, "proxy", "%s", wrong);
	if (!*ca_file)
		return;
	if (conf_slurp(ca_file, HTTP_CA_MAX_BYTES, &question->ca,
		       &question->ca_len, reason, sizeof(reason)))
		conf_mistake(conf, section, "ca_file", "%s", reason);
	else if ((wrong = stream_pem_wrong(question->ca, question->ca_len)))
		conf_mistake(conf, section, "ca_file", "%s", wrong);
}

void http_question_dispose(struct http_question *question)
{
	free(question->url);
	free(question->proxy);
	free(question->ca);
	curl_slist_free_all(question->headers);
}

#include "config.h"

#include "kinds/redis/redis_url.h"

#include "base/text.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDIS_PORT 6379
#define REDIS_HOST_MAX 254 /* with the last dot */
#define REDIS_DATABASE_MAX INT32_MAX

/* ---- a URL ---- */

static const char *redis_url_decode(char *text, const char **to)
{
	*to = text;
	return text_unescape(text, text, strlen(text))
		       ? NULL
		       : "a \"%\" is not followed by two hexadecimal digits "
			 "(write \"%25\" for the sign itself)";
}

/* Digits only, up to max; otherwise -1. */
static int64_t redis_url_number(const char *text, int64_t max)
{
	char *end;
	int64_t number = strtoll(text, &end, 10);

	return isdigit((unsigned char)*text) && !*end && number <= max ? number
								       : -1;
}

static const char *redis_url_database(struct redis_url *url, const char *text)
{
	int64_t number = redis_url_number(text, REDIS_DATABASE_MAX);

	url->database = number < 0 ? 0 : number;
	return number < 0 ? "the database is not a number" : NULL;
}

static const char *redis_url_user(struct redis_url *url, char *text)
{
	char *colon = strchr(text, ':');
	const char *mistake = NULL;

	if (colon) {
		*colon = '\0';
		mistake = redis_url_decode(colon + 1, &url->password);
	}
	return mistake || colon == text ? mistake
					: redis_url_decode(text, &url->user);
}

static const char *redis_url_host(struct redis_url *url, char *text,
				  bool brackets)
{
	const char *mistake = redis_url_decode(text, &url->host), *at;
	struct in6_addr bits;

	if (mistake)
		return mistake;
	if (brackets)
		return inet_pton(AF_INET6, text, &bits) == 1
			       ? NULL
			       : "the address in brackets is not an IPv6 "
				 "address";
	/* The scheme's registration makes localhost the default. */
	if (!*text)
		url->host = "localhost";
	if (strlen(text) > REDIS_HOST_MAX)
		return "the host name is too long";
	if (strchr(text, ','))
		return "only one host can be given";
	if (strchr(text, ':'))
		return "put IPv6 addresses in brackets";
	for (at = text; *at; at++)
		if (!isgraph((unsigned char)*at))
			return "invalid character in host name";
	return NULL;
}

/* [user:password@]host[:port], which ends at `end`. */
static const char *redis_url_authority(struct redis_url *url, char *at,
				       char *end)
{
	char *sign = memrchr(at, '@', (size_t)(end - at)), *colon, separator;
	const char *mistake = NULL;
	int64_t port;
	bool brackets;

	if (sign) {
		*sign = '\0';
		mistake = redis_url_user(url, at);
		at = sign + 1;
	}
	if (url->path && !mistake && at != end)
		mistake = "a socket's path begins with a third \"/\"";
	if (url->path || mistake)
		return mistake;
	*end = '\0';
	colon = *at == '[' ? strchr(at, ']') : NULL;
	brackets = colon;
	if (brackets)
		*colon++ = '\0';
	else if (!(colon = strrchr(at, ':')))
		colon = end;
	separator = *colon;
	*colon = '\0';
	mistake = redis_url_host(url, at + brackets, brackets);
	if (mistake || !separator)
		return mistake;
	port = redis_url_number(colon + 1, UINT16_MAX);
	if (separator != ':' || port < 1)
		return "the port is not a number from 1 to 65535 (\"/\", "
		       "\"?\", \"#\" and \"@\" in a password are written as "
		       "%2F, %3F, %23 and %40)";
	url->port = (uint16_t)port;
	return NULL;
}

static const char *redis_url_query(struct redis_url *url, char *query)
{
	const char *mistake = NULL;
	char *part;

	while (!mistake && (part = strsep(&query, "&"))) {
		if (strncmp(part, "db=", 3) == 0)
			mistake = redis_url_database(url, part + 3);
		else if (strncmp(part, "password=", 9) == 0)
			mistake = redis_url_decode(part + 9, &url->password);
		else if (strncmp(part, "username=", 9) == 0)
			mistake = redis_url_decode(part + 9, &url->user);
	}
	return mistake;
}

/* What follows the scheme. */
static const char *redis_url_rest(struct redis_url *url, char *at)
{
	char *path = at + strcspn(at, "/?#");
	char *end = path + strcspn(path, "?#");
	const char sign = *end, *mistake;
	bool has_path = end - path > 1;

	*end = '\0';
	mistake = redis_url_authority(url, at, path);
	if (!mistake && url->path)
		mistake = has_path ? redis_url_decode(path, &url->path)
				   : "the path of the socket is missing";
	else if (!mistake && has_path)
		mistake = redis_url_database(url, path + 1);
	if (!mistake && sign == '?')
		mistake = redis_url_query(url, end + 1);
	else if (!mistake && sign == '#')
		mistake = "has a \"#\" (in a password it is written as %23)";
	return mistake;
}

const char *redis_url_parse(struct redis_url *url, char *text)
{
	static const struct {
		const char *name;
		bool tls;
		const char *path;
	} schemes[] = {
		{ "redis", false, NULL },     { "rediss", true, NULL },
		{ "valkey", false, NULL },    { "valkeys", true, NULL },
		{ "unix", false, "" },	      { "redis+unix", false, "" },
		{ "valkey+unix", false, "" }, { "redis+socket", false, "" },
	};
	char *at = strstr(text, "://");
	size_t i;

	*url = (struct redis_url){ .port = REDIS_PORT };
	if (at)
		*at = '\0';
	for (i = 0; at && i < sizeof(schemes) / sizeof(*schemes); i++)
		if (strcasecmp(text, schemes[i].name) == 0) {
			url->tls = schemes[i].tls;
			url->path = schemes[i].path;
			return redis_url_rest(url, at + 3);
		}
	return "a URL begins with redis://, rediss:// or unix://";
}

/* ---- options ---- */

bool redis_url_has_options(const char *text)
{
	const char *comma = strchr(text, ',');

	return comma && strchr(comma, '=') && !strstr(text, "://");
}

static const char *redis_url_option(struct redis_url *url, const char *name,
				    const char *value)
{
	char *end;

	if (strcasecmp(name, "user") == 0)
		url->user = value;
	if (strcasecmp(name, "password") == 0)
		url->password = value;
	if (strcasecmp(name, "ssl") == 0) {
		url->tls = strcasecmp(value, "true") == 0;
		if (!url->tls && strcasecmp(value, "false") != 0)
			return "has an ssl that is neither True nor False";
	}
	if (strcasecmp(name, "defaultDatabase") == 0) {
		url->database = strtoll(value, &end, 10);
		if (!*value || *end || url->database < 0 ||
		    url->database > REDIS_DATABASE_MAX)
			return "has a defaultDatabase that is not a number";
	}
	return NULL;
}

const char *redis_url_options_host(struct redis_url *url, char *text)
{
	const char *part, *mistake;
	bool others = false;

	*url = (struct redis_url){ .port = REDIS_PORT };
	if (*text == ',')
		return "the host is missing";
	mistake = redis_url_rest(url, strsep(&text, ","));
	/* The ports for which the client uses TLS: those of Azure. */
	url->tls = url->port == 6380 || url->port == 10000;
	while ((part = strsep(&text, ",")))
		others |= *part && !strchr(part, '=');
	return mistake || !others ? mistake : "only one host can be given";
}

const char *redis_url_options(struct redis_url *url, char *options)
{
	const char *mistake = NULL;
	char *part, *value;

	while (!mistake && (part = strsep(&options, ","))) {
		part += strspn(part, " ");
		value = strchr(part, '=');
		if (!value)
			continue;
		*value++ = '\0';
		mistake = redis_url_option(url, part, value);
	}
	return mistake;
}

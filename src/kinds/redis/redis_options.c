#include "config.h"

#include "kinds/redis/redis_options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char redis_options_memory[] = "out of memory";

bool redis_options_fit(const char *text)
{
	const char *comma = strchr(text, ',');

	return comma && strchr(comma, '=') && !strstr(text, "://");
}

static const char *redis_options_copy(char **to, const char *value)
{
	free(*to);
	*to = strdup(value);
	return *to ? NULL : redis_options_memory;
}

static const char *redis_options_set(struct redis_url *url, const char *name,
				     const char *value)
{
	char *end;

	if (strcasecmp(name, "user") == 0)
		return redis_options_copy(&url->user, value);
	if (strcasecmp(name, "password") == 0)
		return redis_options_copy(&url->password, value);
	if (strcasecmp(name, "ssl") == 0) {
		url->tls = strcasecmp(value, "true") == 0;
		return url->tls || strcasecmp(value, "false") == 0
			       ? NULL
			       : "has an ssl that is neither True nor False";
	}
	if (strcasecmp(name, "defaultDatabase") == 0) {
		url->database = strtoll(value, &end, 10);
		return *value && !*end && url->database >= 0 &&
				       url->database <= REDIS_DATABASE_MAX
			       ? NULL
			       : "has a defaultDatabase that is not a number";
	}
	return NULL;
}

/* Whether all behind the first comma are options, and none another host. */
static bool redis_options_one_host(const char *text)
{
	while ((text = strchr(text, ','))) {
		text++;
		if (*text && text[strcspn(text, ",=")] != '=')
			return false;
	}
	return true;
}

const char *redis_options_host(struct redis_url *url, const char *text)
{
	const char *mistake;
	char *address;

	if (asprintf(&address, "redis://%.*s", (int)strcspn(text, ","), text) <
	    0)
		return redis_options_memory;
	mistake = redis_url_parse(url, address);
	free(address);
	/* Azure's ports for TLS, which is what the client takes them for. */
	url->tls = url->port == 6380 || url->port == 10000;
	if (!mistake && !redis_options_one_host(text))
		mistake = "only one host can be given";
	return mistake;
}

const char *redis_options_read(struct redis_url *url, const char *options)
{
	char *copy = strdup(options), *rest = copy, *part, *value;
	const char *mistake = copy ? NULL : redis_options_memory;

	while (!mistake && (part = strsep(&rest, ","))) {
		part += strspn(part, " ");
		value = strchr(part, '=');
		if (!value)
			continue;
		*value++ = '\0';
		mistake = redis_options_set(url, part, value);
	}
	if (copy)
		explicit_bzero(copy, strlen(options));
	free(copy);
	return mistake;
}

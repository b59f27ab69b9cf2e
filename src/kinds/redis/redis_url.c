#include "config.h"

#include "kinds/redis/redis_url.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define REDIS_PORT 6379
#define REDIS_HOST_MAX 254 /* with the last dot */

static const char redis_url_memory[] = "out of memory";

/* A piece of the text. */
struct redis_piece {
	const char *at;
	size_t len;
};

static struct redis_piece redis_piece(const char *at, const char *end)
{
	return (struct redis_piece){ at, (size_t)(end - at) };
}

static int redis_url_hex(char digit)
{
	const char *digits = "0123456789abcdef", *found;

	if (!digit)
		return -1;
	found = strchr(digits, tolower((unsigned char)digit));
	return found ? (int)(found - digits) : -1;
}

/* Undoes the percent-encoding of RFC 3986 section 2.1. */
static const char *redis_url_decode(struct redis_piece from, char **to)
{
	char *out = malloc(from.len + 1);
	size_t i, n = 0;
	int high, low;

	if (!out)
		return redis_url_memory;
	free(*to);
	*to = out;
	for (i = 0; i < from.len; i++) {
		out[n] = from.at[i];
		if (from.at[i] == '%') {
			high = i + 2 < from.len ? redis_url_hex(from.at[i + 1])
						: -1;
			low = i + 2 < from.len ? redis_url_hex(from.at[i + 2])
					       : -1;
			if (high < 0 || low < 0 || high + low == 0) {
				out[n] = '\0';
				return "a \"%\" is not followed by two "
				       "hexadecimal digits (write \"%25\" for "
				       "the sign itself)";
			}
			out[n] = (char)(high * 16 + low);
			i += 2;
		}
		n++;
	}
	out[n] = '\0';
	return NULL;
}

/* Digits only, up to max; -1 when it is not. */
static int64_t redis_url_number(struct redis_piece piece, int64_t max)
{
	int64_t number = 0;
	size_t i;

	if (piece.len == 0)
		return -1;
	for (i = 0; i < piece.len; i++) {
		if (!isdigit((unsigned char)piece.at[i]))
			return -1;
		number = number * 10 + (piece.at[i] - '0');
		if (number > max)
			return -1;
	}
	return number;
}

static const char *redis_url_set_database(struct redis_url *url,
					  struct redis_piece piece)
{
	url->database = redis_url_number(piece, REDIS_DATABASE_MAX);
	if (url->database >= 0)
		return NULL;
	url->database = 0;
	return "the database is not a number";
}

static const char *redis_url_user(struct redis_url *url,
				  struct redis_piece piece)
{
	const char *colon = memchr(piece.at, ':', piece.len);
	const char *end = piece.at + piece.len, *mistake = NULL;

	if (colon)
		mistake = redis_url_decode(redis_piece(colon + 1, end),
					   &url->password);
	if (!mistake && colon != piece.at)
		mistake = redis_url_decode(
			redis_piece(piece.at, colon ? colon : end), &url->user);
	return mistake;
}

static const char *redis_url_host(struct redis_url *url,
				  struct redis_piece piece)
{
	/* The scheme's registration makes localhost the default. */
	static const struct redis_piece nearest = { "localhost", 9 };
	const char *mistake, *at;

	mistake = redis_url_decode(piece.len ? piece : nearest, &url->host);
	if (mistake)
		return mistake;
	if (strlen(url->host) > REDIS_HOST_MAX)
		return "the host name is too long";
	if (strchr(url->host, ','))
		return "only one host can be given";
	if (strchr(url->host, ':'))
		return "put IPv6 addresses in brackets";
	for (at = url->host; *at; at++)
		if (!isgraph((unsigned char)*at))
			return "invalid character in host name";
	return NULL;
}

static const char *redis_url_brackets(struct redis_url *url,
				      struct redis_piece piece)
{
	struct in6_addr bits;
	const char *mistake = redis_url_decode(piece, &url->host);

	if (mistake)
		return mistake;
	return inet_pton(AF_INET6, url->host, &bits) == 1
		       ? NULL
		       : "the address in brackets is not an IPv6 address";
}

/* [user:password@]host[:port] */
static const char *redis_url_authority(struct redis_url *url,
				       struct redis_piece piece)
{
	const char *at = piece.at, *end = piece.at + piece.len;
	const char *sign = memrchr(at, '@', piece.len), *colon, *mistake;
	int64_t port;

	if (sign) {
		mistake = redis_url_user(url, redis_piece(at, sign));
		if (mistake)
			return mistake;
		at = sign + 1;
	}
	if (url->path)
		return at == end ? NULL
				 : "a socket's path begins with a third \"/\"";
	colon = at < end && *at == '[' ? memchr(at, ']', (size_t)(end - at))
				       : NULL;
	if (colon) {
		mistake = redis_url_brackets(url, redis_piece(at + 1, colon));
		colon++;
	} else {
		colon = memrchr(at, ':', (size_t)(end - at));
		colon = colon ? colon : end;
		mistake = redis_url_host(url, redis_piece(at, colon));
	}
	if (mistake || colon == end)
		return mistake;
	port = *colon == ':' ? redis_url_number(redis_piece(colon + 1, end),
						UINT16_MAX)
			     : -1;
	if (port < 1)
		return "the port is not a number from 1 to 65535 (\"/\", "
		       "\"?\", \"#\" and \"@\" in a password are written as "
		       "%2F, %3F, %23 and %40)";
	url->port = (uint16_t)port;
	return NULL;
}

static const char *redis_url_path(struct redis_url *url,
				  struct redis_piece piece)
{
	if (url->path) {
		if (piece.len < 2)
			return "the path of the socket is missing";
		return redis_url_decode(piece, &url->path);
	}
	if (piece.len < 2)
		return NULL;
	return redis_url_set_database(
		url, (struct redis_piece){ piece.at + 1, piece.len - 1 });
}

static const char *redis_url_query(struct redis_url *url, const char *query)
{
	const char *mistake = NULL;
	size_t len;

	for (; *query && !mistake; query += len + (query[len] == '&')) {
		len = strcspn(query, "&");
		if (strncmp(query, "db=", 3) == 0)
			mistake = redis_url_set_database(
				url, redis_piece(query + 3, query + len));
		else if (strncmp(query, "password=", 9) == 0)
			mistake = redis_url_decode(
				redis_piece(query + 9, query + len),
				&url->password);
		else if (strncmp(query, "username=", 9) == 0)
			mistake = redis_url_decode(
				redis_piece(query + 9, query + len),
				&url->user);
	}
	return mistake;
}

static const struct redis_scheme {
	const char *name;
	bool tls, unix_socket;
} redis_schemes[] = {
	{ "redis", false, false },	{ "rediss", true, false },
	{ "valkey", false, false },	{ "valkeys", true, false },
	{ "unix", false, true },	{ "redis+unix", false, true },
	{ "valkey+unix", false, true }, { "redis+socket", false, true },
};

static const struct redis_scheme *redis_url_scheme(struct redis_piece piece)
{
	size_t i;

	for (i = 0; i < sizeof(redis_schemes) / sizeof(*redis_schemes); i++)
		if (strlen(redis_schemes[i].name) == piece.len &&
		    strncasecmp(redis_schemes[i].name, piece.at, piece.len) ==
			    0)
			return &redis_schemes[i];
	return NULL;
}

const char *redis_url_parse(struct redis_url *url, const char *text)
{
	const char *at = strstr(text, "://"), *path, *mistake;
	const struct redis_scheme *scheme = at ? redis_url_scheme(
							 redis_piece(text, at))
					       : NULL;
	size_t len;

	memset(url, 0, sizeof(*url));
	url->port = REDIS_PORT;
	if (!scheme)
		return "a URL begins with redis://, rediss:// or unix://";
	url->tls = scheme->tls;
	if (scheme->unix_socket && !(url->path = strdup("")))
		return redis_url_memory;
	at += 3;
	path = at + strcspn(at, "/?#");
	len = strcspn(path, "?#");
	mistake = redis_url_authority(url, redis_piece(at, path));
	if (!mistake)
		mistake = redis_url_path(url, redis_piece(path, path + len));
	path += len;
	if (!mistake && *path == '?')
		mistake = redis_url_query(url, path + 1);
	else if (!mistake && *path == '#')
		mistake = "has a \"#\" (in a password it is written as %23)";
	return mistake;
}

void redis_url_free(struct redis_url *url)
{
	if (url->password)
		explicit_bzero(url->password, strlen(url->password));
	free(url->password);
	free(url->user);
	free(url->host);
	free(url->path);
	memset(url, 0, sizeof(*url));
}

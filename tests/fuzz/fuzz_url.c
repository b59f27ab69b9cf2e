/*
 * What a user may write to say where something is: connection strings and
 * URLs of the kinds, what is asked for there, and where to listen.  The first
 * byte of the input says which of them the rest is.  What is accepted makes
 * sense, what is refused is refused in one clean line without a password.
 */
#include "config.h"

#include "front/listen.c"

#include "kinds/kinds.h"
#include "kinds/redis/redis_talk.h"
#include "kinds/servicebus/sb_conf.h"
#include "base/text.h"

#include <libpq-fe.h>

#include <ctype.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/url"
#include "fuzz.h"

#define FUZZ_SECRET "S3CR3T!"

/* ---- nothing is connected, and nothing but the text decides ---- */

int connect(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd, (void)address, (void)len;
	errno = ENOENT;
	return -1;
}

int bind(int fd, const struct sockaddr *address, socklen_t len)
{
	(void)fd, (void)address, (void)len;
	return 0;
}

int listen(int fd, int n)
{
	(void)fd, (void)n;
	return 0;
}

int unlink(const char *path)
{
	(void)path;
	return 0;
}

/* ---- the kinds ---- */

static bool fuzz_graphic(const char *text)
{
	const char *at;

	for (at = text; *at; at++)
		if (!isgraph((unsigned char)*at))
			return false;
	return at > text;
}

static void fuzz_redis(const void *record)
{
	const struct redis_settings *settings = record;
	const struct redis_url *target = &settings->target;

	FUZZ_CHECK(target->path ? target->path[0] == '/'
				: fuzz_graphic(target->host));
	FUZZ_CHECK(target->port > 0 && target->database >= 0);
}

static void fuzz_servicebus(const void *record)
{
	const struct sb_conf *settings = record;

	FUZZ_CHECK(fuzz_graphic(settings->host));
	FUZZ_CHECK(settings->port >= 1 && settings->port <= 65535);
	FUZZ_CHECK(*settings->key && *settings->key_name);
	FUZZ_CHECK(strstr(settings->node, "/$management"));
	FUZZ_CHECK(strlen(settings->audience) ==
		   5 + strlen(settings->host) + 1 + strlen(settings->node));
}

static const struct fuzz_place {
	const struct check_kind *kind;
	const char *key;
	/* What has to be there as well. */
	const char *other_key, *other;
	void (*good)(const void *record);
} places[] = {
	{ &check_postgres, "url", NULL, NULL, NULL },
	{ &check_redis, "url", NULL, NULL, fuzz_redis },
	{ &check_servicebus, "connection_string", NULL, NULL, fuzz_servicebus },
	{ &check_http, "url", NULL, NULL, NULL },
	{ &check_http, "proxy", "url", "http://shop.example/health", NULL },
	{ &check_http, "header", "url", "http://shop.example/health", NULL },
	{ &check_http, "json", "url", "http://shop.example/health", NULL },
	{ &check_http, "status", "url", "http://shop.example/health", NULL },
	{ &check_openai, "base_url", "api_key", "sk-0123456789", NULL },
	{ &check_azure_openai, "endpoint", "api_key", "0123456789", NULL },
};

#define FUZZ_PLACES (sizeof(places) / sizeof(places[0]))

/* Whether the one mark stands where a reader expects a password. */
static bool fuzz_is_password(const struct fuzz_place *place, const char *text)
{
	const char *mark = strstr(text, FUZZ_SECRET);
	PQconninfoOption *options, *option;
	bool found = false;

	if (!mark || strstr(mark + 1, FUZZ_SECRET))
		return false;
	if (place->kind != &check_postgres)
		return true;
	options = PQconninfoParse(text, NULL);
	for (option = options; option && option->keyword; option++)
		found |= option->val && strstr(option->val, FUZZ_SECRET) &&
			 strchr(option->dispchar, '*');
	PQconninfoFree(options);
	return found;
}

static void fuzz_mistakes(const struct conf *conf, bool password)
{
	const char *mistake;
	size_t i;

	for (i = 0; (mistake = conf_note_at(conf, CONF_MISTAKE, i)); i++) {
		FUZZ_CHECK(*mistake && fuzz_clean(mistake));
		FUZZ_CHECK(!password || !strstr(mistake, FUZZ_SECRET));
	}
}

static void fuzz_kind(const struct fuzz_place *place, const char *text)
{
	const struct check_kind *kind = place->kind;
	struct conf *conf = conf_create();
	struct conf_section *section;
	struct conf_target target = { kind->keys,
				      calloc(1, kind->settings_size) };

	FUZZ_CHECK(conf && target.record);
	FUZZ_CHECK(!conf_set(conf, "check", place->key, text, "URL"));
	if (place->other_key)
		FUZZ_CHECK(!conf_set(conf, "check", place->other_key,
				     place->other, "OTHER"));
	section = conf_section_find(conf, "check");
	conf_apply(conf, section, &target, 1);
	kind->prepare(conf, section, target.record);
	fuzz_mistakes(conf, fuzz_is_password(place, text));
	if (conf_mistakes(conf) == 0 && place->good)
		place->good(target.record);
	if (kind->dispose)
		kind->dispose(target.record);
	free(target.record);
	conf_destroy(conf);
	text_forget_secrets();
}

/* ---- where to listen ---- */

static void fuzz_listen(const char *where)
{
	struct listener listener = { .fd = -1 };
	const char *port = strrchr(where, ':');

	if (listen_open(&listener, where, 0600)) {
		FUZZ_CHECK(*listener.reason);
		return;
	}
	FUZZ_CHECK(port && strlen(where) < sizeof(listener.path) + 5);
	if (strncmp(where, "unix:", 5) != 0)
		FUZZ_CHECK(port[1 + strspn(port + 1, "0123456789")] == '\0');
	listen_leave(&listener);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct fuzz_input input = { data, size };
	size_t place = fuzz_byte(&input) % (FUZZ_PLACES + 1);
	char *text = fuzz_text(input.at, input.left);

	if (place < FUZZ_PLACES)
		fuzz_kind(&places[place], text);
	else
		fuzz_listen(text);
	free(text);
	return 0;
}

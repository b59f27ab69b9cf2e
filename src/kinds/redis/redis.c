/*
 * redis: is a Redis (or Valkey) server there, logged in to, and does it answer
 * PING?  On request also: in its role, in a working cluster.
 *
 * hiredis reads and writes the protocol only: its own input and output would
 * look names up in this thread and, in the versions of Debian 12, has no TLS.
 */
#include "config.h"

#include "check/check.h"
#include "kinds/kinds.h"
#include "conf/dialect.h"
#include "kinds/redis/redis_options.h"
#include "kinds/redis/redis_talk.h"
#include "io/dial.h"
#include "io/stream.h"
#include "base/text.h"

#include <hiredis/hiredis.h>

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

/* ---- settings ---- */

#define REDIS_FIELD(name) offsetof(struct redis_settings, name)

/* clang-format off */
static const struct conf_key redis_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "ca_file", CONF_STR, REDIS_FIELD(ca_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the CAs to trust with TLS, instead of the system's" },
	{ "cert_file", CONF_STR, REDIS_FIELD(cert_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the certificate to show, for a server that wants one" },
	{ "cluster", CONF_BOOL, REDIS_FIELD(cluster), "no", NULL, NULL, 0,
	  "whether the server must be a node of a cluster that works" },
	{ "database", CONF_INT, REDIS_FIELD(database), "0", "0", "2147483647", 0,
	  "number of the database to select; overrides the one in url" },
	{ "key_file", CONF_STR, REDIS_FIELD(key_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the key that belongs to cert_file" },
	{ "password", CONF_STR, REDIS_FIELD(password), "", NULL, NULL, CONF_SECRET,
	  "sent to log in; overrides the one in url" },
	{ "role", CONF_CHOICE, REDIS_FIELD(role), "any", NULL, "any|master|replica|sentinel", 0,
	  "what the server must be (any: all but a Sentinel)" },
	{ "socket", CONF_STR, REDIS_FIELD(socket), "", NULL, NULL, CONF_PATH,
	  "path of a Unix socket, instead of url" },
	{ "url", CONF_STR, REDIS_FIELD(url), "redis://127.0.0.1:6379/0", NULL, NULL, CONF_URL,
	  "redis://[[user]:password@]host[:port][/database], rediss:// with TLS, or unix:///path" },
	{ "user", CONF_STR, REDIS_FIELD(user), "", NULL, NULL, 0,
	  "ACL user to log in as; overrides the one in url" },
	CONF_END
};
/* clang-format on */

struct redis_prepare {
	struct conf *conf;
	struct conf_section *section;
	struct redis_settings *settings;
};

static void redis_no_memory(const struct redis_prepare *prepare)
{
	conf_mistake(prepare->conf, prepare->section, NULL, "out of memory");
}

/* Puts a copy of a setting that is given into the place of the URL's part. */
static void redis_override(const struct redis_prepare *prepare, char **part,
			   const char *value)
{
	if (!*value)
		return;
	if (*part)
		explicit_bzero(*part, strlen(*part));
	free(*part);
	*part = strdup(value);
	if (!*part)
		redis_no_memory(prepare);
}

/* NULL, or what is wrong and was not said yet. */
static const char *redis_prepare_url(const struct redis_prepare *prepare)
{
	const char *url = prepare->settings->url, *mistake;
	struct redis_url *target = &prepare->settings->target;
	bool options = redis_options_fit(url);

	mistake = options ? redis_options_host(target, url) : NULL;
	if (mistake)
		return mistake;
	url = dialect_read(prepare->conf, prepare->section, "url",
			   options ? strchr(url, ',') + 1 : url,
			   options ? dialect_redis_options : dialect_redis,
			   NULL);
	if (!url)
		return NULL;
	return options ? redis_options_read(target, url)
		       : redis_url_parse(target, url);
}

static void redis_prepare_target(const struct redis_prepare *prepare)
{
	struct redis_settings *settings = prepare->settings;
	struct redis_url *target = &settings->target;
	const char *mistake = redis_prepare_url(prepare);

	if (mistake)
		conf_mistake(prepare->conf, prepare->section, "url", "%s",
			     mistake);
	if (*settings->socket && conf_section_has(prepare->section, "url"))
		conf_mistake(prepare->conf, prepare->section, "socket",
			     "give either url or socket, not both");
	redis_override(prepare, &target->path, settings->socket);
	redis_override(prepare, &target->user, settings->user);
	redis_override(prepare, &target->password, settings->password);
	if (conf_section_has(prepare->section, "database"))
		target->database = settings->database;
	if (target->path &&
	    strlen(target->path) >=
		    sizeof(((struct sockaddr_un *)NULL)->sun_path))
		conf_mistake(prepare->conf, prepare->section,
			     *settings->socket ? "socket" : "url",
			     "the path of a socket can have at most %zu bytes",
			     sizeof(((struct sockaddr_un *)NULL)->sun_path) -
				     1);
	if (target->password && text_secret(target->password))
		redis_no_memory(prepare);
}

/* The content of a PEM file, owned by the caller; NULL: an error was
 * collected. */
static char *redis_pem(const struct redis_prepare *prepare, const char *key,
		       const char *path, size_t *len)
{
	char reason[160], *text;

	if (conf_slurp(path, STREAM_PEM_BYTES, &text, len, reason,
		       sizeof(reason)) == 0)
		return text;
	conf_mistake(prepare->conf, prepare->section, key, "%s %s", path,
		     reason);
	return NULL;
}

static void redis_prepare_identity(const struct redis_prepare *prepare)
{
	struct redis_settings *settings = prepare->settings;
	char words[96], *cert, *key = NULL;
	size_t cert_len, key_len = 0;

	cert = redis_pem(prepare, "cert_file", settings->cert_file, &cert_len);
	if (cert)
		key = redis_pem(prepare, "key_file", settings->key_file,
				&key_len);
	if (key && settings->trust &&
	    stream_trust_identify(settings->trust, cert, cert_len, key, key_len,
				  words, sizeof(words)))
		conf_mistake(prepare->conf, prepare->section, "cert_file",
			     "and key_file cannot be used: %s", words);
	if (key)
		explicit_bzero(key, key_len);
	free(key);
	free(cert);
}

static void redis_prepare(struct conf *conf, struct conf_section *section,
			  void *record)
{
	struct redis_settings *settings = record;
	const struct redis_prepare prepare = { conf, section, settings };

	redis_prepare_target(&prepare);
	if (!*settings->cert_file != !*settings->key_file)
		conf_mistake(conf, section,
			     *settings->key_file ? "key_file" : "cert_file",
			     "cert_file and key_file belong together");
	if (settings->target.tls && !settings->target.path) {
		settings->trust = stream_trust_prepare(conf, section,
						       settings->ca_file);
		if (*settings->cert_file && *settings->key_file)
			redis_prepare_identity(&prepare);
	} else if (*settings->ca_file || *settings->cert_file) {
		conf_mistake(conf, section,
			     *settings->ca_file ? "ca_file" : "cert_file",
			     "is for TLS only: url must begin with rediss://");
	}
}

static void redis_dispose(void *record)
{
	struct redis_settings *settings = record;

	redis_url_free(&settings->target);
	stream_trust_destroy(settings->trust);
	settings->trust = NULL;
}

/* ---- the kind ---- */

static void redis_on_open(struct conn *conn, struct stream *stream)
{
	struct redis_conn *redis = conn_state(conn);

	redis->stream = stream;
	if (redis_answer_open(&redis->answer))
		conn_failed(conn, RESULT_INTERNAL, "out of memory");
	else
		redis_talk_next(conn);
}

static void redis_open(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	const struct dial_target target = { .path = settings->target.path,
					    .host = settings->target.host,
					    .port = settings->target.port,
					    .trust = settings->trust };

	conn_dial(conn, &target, redis_on_open);
}

static void redis_ask(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	redis->step = REDIS_READY;
	redis_talk_next(conn);
}

static void redis_on_io(struct conn *conn, short revents)
{
	(void)revents;
	redis_talk(conn);
}

static void redis_on_idle(struct conn *conn, short revents)
{
	(void)revents;
	redis_talk_idle(conn);
}

static void redis_close(struct conn *conn)
{
	struct redis_conn *redis = conn_state(conn);

	stream_close(redis->stream);
	redis->stream = NULL;
	if (redis->answer.reader)
		redisReaderFree(redis->answer.reader);
	redis->answer.reader = NULL;
	redis_talk_drop(redis);
}

static const char *redis_step(const struct conn *conn)
{
	const struct redis_conn *redis = conn_state_const(conn);

	return redis_talk_step(redis->step);
}

const struct check_kind check_redis = {
	.name = "redis",
	.timeout = "1s",
	.help = "a Redis or Valkey server that answers PING",
	.keys = redis_keys,
	.settings_size = sizeof(struct redis_settings),
	.conn_size = sizeof(struct redis_conn),
	.prepare = redis_prepare,
	.dispose = redis_dispose,
	.open = redis_open,
	.ask = redis_ask,
	.on_io = redis_on_io,
	.on_idle = redis_on_idle,
	.close = redis_close,
	.step = redis_step,
};

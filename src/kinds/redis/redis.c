/*
 * redis: checks that a Redis (or Valkey) server accepts the login and answers
 * PING.  On request also that it has a role, or is a node of a working cluster.
 */
#include "config.h"

#include "check/check.h"
#include "kinds/kinds.h"
#include "conf/dialect.h"
#include "kinds/redis/redis_talk.h"
#include "io/dial.h"
#include "io/stream.h"
#include "base/text.h"

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

/* NULL, or an error message that was not collected yet. */
static const char *redis_prepare_url(struct conf *conf,
				     const struct conf_section *section,
				     struct redis_settings *settings)
{
	struct redis_url *target = &settings->target;
	const char *url = settings->url, *mistake = NULL;
	bool options = redis_url_has_options(url);
	char *text = conf_keep(conf, url);

	if (options && text) {
		mistake = redis_url_options_host(target, text);
		url = strchr(url, ',') + 1;
	}
	if (!text || mistake)
		return mistake;
	url = dialect_read(conf, section, "url", url,
			   options ? dialect_redis_options : dialect_redis,
			   NULL);
	text = url ? conf_keep(conf, url) : NULL;
	if (!text)
		return NULL;
	return options ? redis_url_options(target, text)
		       : redis_url_parse(target, text);
}

static void redis_prepare_target(struct conf *conf,
				 const struct conf_section *section,
				 struct redis_settings *settings)
{
	const size_t path_max = sizeof((struct sockaddr_un){ 0 }.sun_path) - 1;
	struct redis_url *target = &settings->target;
	const char *mistake = redis_prepare_url(conf, section, settings);

	if (mistake)
		conf_mistake(conf, section, "url", "%s", mistake);
	if (*settings->socket && conf_section_has(section, "url"))
		conf_mistake(conf, section, "socket",
			     "give either url or socket, not both");
	if (*settings->socket)
		target->path = settings->socket;
	if (*settings->user)
		target->user = settings->user;
	if (*settings->password)
		target->password = settings->password;
	if (conf_section_has(section, "database"))
		target->database = settings->database;
	if (target->path && strlen(target->path) > path_max)
		conf_mistake(conf, section,
			     *settings->socket ? "socket" : "url",
			     "the path of a socket can have at most %zu bytes",
			     path_max);
	if (target->password && text_secret(target->password))
		conf_mistake(conf, section, NULL, "out of memory");
}

static void redis_prepare_identity(struct conf *conf,
				   const struct conf_section *section,
				   const struct redis_settings *settings)
{
	static const char *const keys[] = { "cert_file", "key_file" };
	const char *const paths[] = { settings->cert_file, settings->key_file };
	char reason[160], *pem[2] = { NULL, NULL };
	size_t len[2] = { 0, 0 }, i;

	for (i = 0; i < 2; i++)
		if (conf_slurp(paths[i], STREAM_PEM_BYTES, &pem[i], &len[i],
			       reason, sizeof(reason))) {
			conf_mistake(conf, section, keys[i], "%s %s", paths[i],
				     reason);
			break;
		}
	if (i == 2 && settings->trust &&
	    stream_trust_identify(settings->trust, pem[0], len[0], pem[1],
				  len[1], reason, sizeof(reason)))
		conf_mistake(conf, section, keys[0],
			     "and key_file cannot be used: %s", reason);
	if (i == 2)
		explicit_bzero(pem[1], len[1]);
	free(pem[0]);
	free(pem[1]);
}

static void redis_prepare(struct conf *conf, struct conf_section *section,
			  void *record)
{
	struct redis_settings *settings = record;

	redis_prepare_target(conf, section, settings);
	if (!*settings->cert_file != !*settings->key_file)
		conf_mistake(conf, section,
			     *settings->key_file ? "key_file" : "cert_file",
			     "cert_file and key_file belong together");
	if (settings->target.tls && !settings->target.path) {
		settings->trust = stream_trust_prepare(conf, section,
						       settings->ca_file);
		if (*settings->cert_file && *settings->key_file)
			redis_prepare_identity(conf, section, settings);
	} else if (*settings->ca_file || *settings->cert_file) {
		conf_mistake(conf, section,
			     *settings->ca_file ? "ca_file" : "cert_file",
			     "is for TLS only: url must begin with rediss://");
	}
}

static void redis_dispose(void *record)
{
	struct redis_settings *settings = record;

	stream_trust_destroy(settings->trust);
	settings->trust = NULL;
}

/* ---- the kind ---- */

static void redis_open(struct conn *conn)
{
	const struct redis_settings *settings = conn_settings(conn);
	const struct dial_target target = { .path = settings->target.path,
					    .host = settings->target.host,
					    .port = settings->target.port,
					    .trust = settings->trust };

	conn_dial(conn, &target, redis_talk_open);
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
	.ask = redis_talk_next,
	.on_io = redis_talk,
	.on_idle = redis_talk_idle,
	.close = redis_talk_close,
	.step = redis_talk_step,
};

#include "config.h"

#include "kinds/servicebus/sb_conf.h"

#include "conf/dialect.h"
#include "io/stream.h"
#include "base/text.h"

#include <ctype.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define SB_DOMAIN ".servicebus.windows.net"
#define SB_PORT_PLAIN 5672 /* the emulator's */
#define SB_BLANKS " \t\r\n"
#define SB_HOST_MAX 253	  /* RFC 1035 section 2.3.4, without the last dot */
#define SB_ENTITY_MAX 260 /* the service's limit */

struct sb_prepare {
	struct conf *conf;
	struct conf_section *section;
	struct sb_conf *settings;
	char *entity_path;     /* of the connection string; NULL: none */
	int64_t endpoint_port; /* 0: none is given */
};

/* ---- the connection string ---- */

/* Strips blanks at both ends, in place. */
static char *sb_trim(char *text)
{
	size_t len;

	text += strspn(text, SB_BLANKS);
	len = strlen(text);
	while (len > 0 && strchr(SB_BLANKS, text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
}

static bool sb_is_host(const char *text)
{
	const char *at;

	for (at = text; isgraph((unsigned char)*at); at++)
		;
	return at > text && !*at && at - text <= SB_HOST_MAX;
}

/* "sb://host[:port][/]", cut in place; NULL, or an error message. */
static const char *sb_read_endpoint(struct sb_prepare *prepare, char *text)
{
	char *port, *end;

	if (strncasecmp(text, "sb://", 5) != 0)
		return "Endpoint must begin with sb://";
	text += 5;
	text[strcspn(text, "/")] = '\0';
	port = strrchr(text, ':');
	if (port) {
		*port++ = '\0';
		prepare->endpoint_port = strtol(port, &end, 10);
		if (*port < '0' || *port > '9' || *end ||
		    prepare->endpoint_port < 1 ||
		    prepare->endpoint_port > 65535)
			return "Endpoint has an invalid port";
	}
	if (!sb_is_host(text))
		return "Endpoint has no valid host name";
	prepare->settings->host = text;
	return NULL;
}

/* One NAME=VALUE; NULL, or an error message.  Unknown names belong to other
 * transports and older clients. */
static const char *sb_read_part(struct sb_prepare *prepare, const char *name,
				char *value)
{
	struct sb_conf *settings = prepare->settings;

	if (strcasecmp(name, "Endpoint") == 0)
		return sb_read_endpoint(prepare, value);
	if (strcasecmp(name, "SharedAccessKeyName") == 0)
		settings->key_name = value;
	else if (strcasecmp(name, "SharedAccessKey") == 0)
		settings->key = value;
	else if (strcasecmp(name, "EntityPath") == 0)
		prepare->entity_path = value;
	else if (strcasecmp(name, "UseDevelopmentEmulator") == 0)
		settings->plain = strcasecmp(value, "true") == 0;
	else if (strcasecmp(name, "SharedAccessSignature") == 0)
		return "has a SharedAccessSignature, which expires: use the "
		       "string with the SharedAccessKey";
	return NULL;
}

/* NULL, or an error message that shows no part of the text. */
static const char *sb_read_string(struct sb_prepare *prepare, char *text)
{
	const char *mistake = NULL;
	char *part, *value;

	while (!mistake && (part = strsep(&text, ";"))) {
		part = sb_trim(part);
		/* Keys are base64, which may end in "=". */
		value = strchr(part, '=');
		if (!*part)
			continue;
		if (!value)
			return "must be NAME=VALUE parts with \";\" between "
			       "them";
		*value++ = '\0';
		mistake = sb_read_part(prepare, sb_trim(part), sb_trim(value));
	}
	if (mistake)
		return mistake;
	if (!prepare->settings->host)
		return "has no Endpoint=sb://...";
	if (!*prepare->settings->key_name || !*prepare->settings->key)
		return "needs SharedAccessKeyName and SharedAccessKey";
	return NULL;
}

/* ---- the keys ---- */

static bool sb_has(const struct sb_prepare *prepare, const char *key)
{
	return conf_section_has(prepare->section, key);
}

static void sb_prepare_string(struct sb_prepare *prepare)
{
	static const char *const instead[] = { "namespace", "key_name", "key" };
	const char *mistake, *from;
	char *text;
	size_t i;

	for (i = 0; i < sizeof(instead) / sizeof(*instead); i++)
		if (sb_has(prepare, instead[i]))
			conf_mistake(prepare->conf, prepare->section,
				     instead[i],
				     "give either connection_string or "
				     "namespace, key_name and key");
	from = dialect_read(
		prepare->conf, prepare->section, "connection_string",
		prepare->settings->connection_string, dialect_servicebus, NULL);
	text = from ? conf_keep(prepare->conf, from) : NULL;
	if (!text)
		return;
	mistake = sb_read_string(prepare, text);
	if (mistake)
		conf_mistake(prepare->conf, prepare->section,
			     "connection_string", "%s", mistake);
	if (*prepare->settings->key && text_secret(prepare->settings->key))
		conf_mistake(prepare->conf, prepare->section, NULL,
			     "out of memory");
}

static void sb_prepare_parts(struct sb_prepare *prepare)
{
	const struct sb_conf *settings = prepare->settings;
	char host[320];

	if (!*settings->namespace) {
		conf_mistake(prepare->conf, prepare->section,
			     "connection_string",
			     "must be set, or namespace, key_name and key");
		return;
	}
	if (!*settings->key_name || !*settings->key)
		conf_mistake(prepare->conf, prepare->section,
			     *settings->key_name ? "key" : "key_name",
			     "must be set beside namespace");
	snprintf(host, sizeof(host), "%s%s", settings->namespace,
		 strpbrk(settings->namespace, ".:") ? "" : SB_DOMAIN);
	if (!sb_is_host(host))
		conf_mistake(prepare->conf, prepare->section, "namespace",
			     "not a valid host name");
	prepare->settings->host = conf_keep(prepare->conf, host);
}

/* The entity to ask: NULL and a mistake when it is not clear. */
static const char *sb_entity(const struct sb_prepare *prepare)
{
	const struct sb_conf *settings = prepare->settings;
	bool topic = *settings->topic || *settings->subscription;
	const char *name = topic ? settings->topic : settings->queue;
	const char *mistake = NULL;

	if (*settings->queue && topic)
		mistake = "give either queue or topic, not both";
	else if (!*name && !prepare->entity_path)
		mistake = "set queue, or topic and subscription";
	else if (!*name && strlen(prepare->entity_path) > SB_ENTITY_MAX)
		mistake = "EntityPath in connection_string is too long";
	else if (*name && prepare->entity_path &&
		 strcmp(name, prepare->entity_path) != 0)
		mistake = "differs from EntityPath in connection_string";
	else if (settings->right == SB_RIGHT_SEND && *settings->subscription)
		mistake =
			"with right = send, remove subscription: messages are "
			"sent to the topic";
	else if (settings->right == SB_RIGHT_LISTEN && *settings->topic &&
		 !*settings->subscription)
		mistake = "needs a subscription: a topic itself cannot be "
			  "peeked at";
	if (mistake) {
		conf_mistake(prepare->conf, prepare->section,
			     topic ? "topic" : "queue", "%s", mistake);
		return NULL;
	}
	return *name ? name : prepare->entity_path;
}

static void sb_prepare_names(struct sb_prepare *prepare)
{
	struct sb_conf *settings = prepare->settings;
	const char *entity = sb_entity(prepare);
	char host[320], node[512], audience[1024];

	if (!entity || !settings->host)
		return;
	snprintf(host, sizeof(host), "%.*s", (int)text_undotted(settings->host),
		 settings->host);
	settings->look_up = settings->host;
	settings->host = conf_keep(prepare->conf, host);
	snprintf(node, sizeof(node), "%s%s%s%s", entity,
		 *settings->subscription ? "/Subscriptions/" : "",
		 settings->subscription,
		 settings->right == SB_RIGHT_LISTEN ? "/$management" : "");
	snprintf(audience, sizeof(audience), "sb://%s/%s", settings->host,
		 node);
	settings->node = conf_keep(prepare->conf, node);
	settings->audience = conf_keep(prepare->conf, audience);
}

void sb_conf_prepare(struct conf *conf, struct conf_section *section,
		     void *record)
{
	struct sb_conf *settings = record;
	struct sb_prepare prepare = { conf, section, settings, NULL, 0 };

	if (*settings->connection_string)
		sb_prepare_string(&prepare);
	else
		sb_prepare_parts(&prepare);
	sb_prepare_names(&prepare);
	if (!sb_has(&prepare, "port") && prepare.endpoint_port)
		settings->port = prepare.endpoint_port;
	else if (!sb_has(&prepare, "port") && settings->plain)
		settings->port = SB_PORT_PLAIN;
	if (!settings->plain)
		settings->trust = stream_trust_prepare(conf, section,
						       settings->ca_file);
	else if (*settings->ca_file)
		conf_mistake(conf, section, "ca_file",
			     "is for TLS only, and the emulator has none");
}

void sb_conf_dispose(void *record)
{
	struct sb_conf *settings = record;

	stream_trust_destroy(settings->trust);
	settings->trust = NULL;
}

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
static const char *sb_read_endpoint(struct sb_conf *settings, char *text)
{
	char *port, *end;

	if (strncasecmp(text, "sb://", 5) != 0)
		return "Endpoint must begin with sb://";
	text += 5;
	text[strcspn(text, "/")] = '\0';
	port = strrchr(text, ':');
	if (port) {
		*port++ = '\0';
		settings->endpoint_port = strtol(port, &end, 10);
		if (!isdigit((unsigned char)*port) || *end ||
		    settings->endpoint_port < 1 ||
		    settings->endpoint_port > 65535)
			return "Endpoint has an invalid port";
	}
	if (!sb_is_host(text))
		return "Endpoint has no valid host name";
	settings->host = text;
	return NULL;
}

/* One NAME=VALUE; NULL, or an error message.  Unknown names belong to other
 * transports and older clients. */
static const char *sb_read_part(struct sb_conf *settings, const char *name,
				char *value)
{
	if (strcasecmp(name, "Endpoint") == 0)
		return sb_read_endpoint(settings, value);
	if (strcasecmp(name, "SharedAccessKeyName") == 0)
		settings->key_name = value;
	else if (strcasecmp(name, "SharedAccessKey") == 0)
		settings->key = value;
	else if (strcasecmp(name, "EntityPath") == 0)
		settings->entity_path = value;
	else if (strcasecmp(name, "UseDevelopmentEmulator") == 0)
		settings->plain = strcasecmp(value, "true") == 0;
	else if (strcasecmp(name, "SharedAccessSignature") == 0)
		return "has a SharedAccessSignature, which expires: use the "
		       "string with the SharedAccessKey";
	return NULL;
}

/* NULL, or an error message that shows no part of the text. */
static const char *sb_read_string(struct sb_conf *settings, char *text)
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
		mistake = sb_read_part(settings, sb_trim(part), sb_trim(value));
	}
	if (mistake)
		return mistake;
	if (!settings->host)
		return "has no Endpoint=sb://...";
	if (!*settings->key_name || !*settings->key)
		return "needs SharedAccessKeyName and SharedAccessKey";
	return NULL;
}

/* ---- the keys ---- */

static void sb_prepare_string(struct conf *conf, struct conf_section *section,
			      struct sb_conf *settings)
{
	static const char *const instead[] = { "namespace", "key_name", "key" };
	const char *mistake, *from;
	char *text;
	size_t i;

	for (i = 0; i < sizeof(instead) / sizeof(*instead); i++)
		if (conf_section_has(section, instead[i]))
			conf_mistake(conf, section, instead[i],
				     "give either connection_string or "
				     "namespace, key_name and key");
	from = dialect_read(conf, section, "connection_string",
			    settings->connection_string, dialect_servicebus,
			    NULL);
	text = from ? conf_keep(conf, from) : NULL;
	if (!text)
		return;
	mistake = sb_read_string(settings, text);
	if (mistake)
		conf_mistake(conf, section, "connection_string", "%s", mistake);
	if (*settings->key && text_secret(settings->key))
		conf_mistake(conf, section, NULL, "out of memory");
}

static void sb_prepare_parts(struct conf *conf, struct conf_section *section,
			     struct sb_conf *settings)
{
	char host[320];

	if (!*settings->namespace) {
		conf_mistake(conf, section, "connection_string",
			     "must be set, or namespace, key_name and key");
		return;
	}
	if (!*settings->key_name || !*settings->key)
		conf_mistake(conf, section,
			     *settings->key_name ? "key" : "key_name",
			     "must be set beside namespace");
	snprintf(host, sizeof(host), "%s%s", settings->namespace,
		 strpbrk(settings->namespace, ".:") ? "" : SB_DOMAIN);
	if (!sb_is_host(host))
		conf_mistake(conf, section, "namespace",
			     "not a valid host name");
	settings->host = conf_keep(conf, host);
}

/* NULL, or why it is not clear what to ask. */
static const char *sb_entity_mistake(const struct sb_conf *settings)
{
	const char *path = settings->entity_path;
	const char *name = *settings->queue ? settings->queue : settings->topic;
	bool send = settings->right == SB_RIGHT_SEND;

	if (*settings->queue && (*settings->topic || *settings->subscription))
		return "give either queue or topic, not both";
	if (!*name && !path)
		return "set queue, or topic and subscription";
	if (!*name && strlen(path) > SB_ENTITY_MAX)
		return "EntityPath in connection_string is too long";
	if (*name && path && strcmp(name, path) != 0)
		return "differs from EntityPath in connection_string";
	if (send && *settings->subscription)
		return "with right = send, remove subscription: messages are "
		       "sent to the topic";
	if (!send && *settings->topic && !*settings->subscription)
		return "needs a subscription: a topic itself cannot be peeked "
		       "at";
	return NULL;
}

static void sb_prepare_names(struct conf *conf, struct conf_section *section,
			     struct sb_conf *settings)
{
	const char *mistake = sb_entity_mistake(settings);
	bool topic = *settings->topic || *settings->subscription;
	const char *entity = topic ? settings->topic : settings->queue;
	char node[512], audience[1024];

	if (mistake)
		conf_mistake(conf, section, topic ? "topic" : "queue", "%s",
			     mistake);
	if (mistake || !settings->host)
		return;
	settings->look_up = settings->host;
	settings->host = conf_keep(conf, settings->look_up);
	if (!settings->host)
		return;
	settings->host[text_undotted(settings->host)] = '\0';
	snprintf(node, sizeof(node), "%s%s%s%s",
		 *entity ? entity : settings->entity_path,
		 *settings->subscription ? "/Subscriptions/" : "",
		 settings->subscription,
		 settings->right == SB_RIGHT_LISTEN ? "/$management" : "");
	snprintf(audience, sizeof(audience), "sb://%s/%s", settings->host,
		 node);
	settings->node = conf_keep(conf, node);
	settings->audience = conf_keep(conf, audience);
}

void sb_conf_prepare(struct conf *conf, struct conf_section *section,
		     void *record)
{
	struct sb_conf *settings = record;

	if (*settings->connection_string)
		sb_prepare_string(conf, section, settings);
	else
		sb_prepare_parts(conf, section, settings);
	sb_prepare_names(conf, section, settings);
	if (!conf_section_has(section, "port") && settings->endpoint_port)
		settings->port = settings->endpoint_port;
	else if (!conf_section_has(section, "port") && settings->plain)
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

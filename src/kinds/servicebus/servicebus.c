/*
 * servicebus: checks the namespace, the key and the entity of Azure Service
 * Bus.  It peeks at one message, which locks, consumes and sends nothing; or it
 * opens a sender that sends nothing.
 *
 * A build without Qpid Proton has the settings, too, so that it reports one
 * error, not one for each key.
 */
#include "config.h"

#include "check/check.h"
#include "kinds/kinds.h"
#include "kinds/servicebus/sb_conf.h"

#ifdef HAVE_PROTON
#include "kinds/servicebus/sb_talk.h"
#endif

#include <stddef.h>

#define SERVICEBUS_FIELD(name) offsetof(struct sb_conf, name)

/* clang-format off */
static const struct conf_key servicebus_keys[] = {
	/* key, type, field, default, min, max, flags, one line of help */
	{ "auth", CONF_CHOICE, SERVICEBUS_FIELD(auth), "cbs", NULL, "cbs|sas-plain", 0,
	  "how to log in: with a signed token, or the key as a password" },
	{ "ca_file", CONF_STR, SERVICEBUS_FIELD(ca_file), "", NULL, NULL, CONF_PATH,
	  "PEM file of the CAs to trust, instead of the system's" },
	{ "connection_string", CONF_STR, SERVICEBUS_FIELD(connection_string), "", NULL, "4096", CONF_SECRET | CONF_MIXED,
	  "Endpoint=sb://...;SharedAccessKeyName=...;SharedAccessKey=..." },
	{ "key", CONF_STR, SERVICEBUS_FIELD(key), "", NULL, "256", CONF_SECRET,
	  "shared access key, without connection_string" },
	{ "key_name", CONF_STR, SERVICEBUS_FIELD(key_name), "", NULL, "256", 0,
	  "name of the policy that the key belongs to" },
	{ "namespace", CONF_STR, SERVICEBUS_FIELD(namespace), "", NULL, "253", 0,
	  "NAME or NAME.servicebus.windows.net" },
	{ "port", CONF_INT, SERVICEBUS_FIELD(port), "5671", "1", "65535", 0,
	  "port of AMQP; overrides the one in connection_string" },
	{ "queue", CONF_STR, SERVICEBUS_FIELD(queue), "", NULL, "260", 0,
	  "the queue to ask; otherwise EntityPath of the connection string" },
	{ "right", CONF_CHOICE, SERVICEBUS_FIELD(right), "listen", NULL, "listen|send", 0,
	  "which right of the key to use: to peek, or to open a sender" },
	{ "subscription", CONF_STR, SERVICEBUS_FIELD(subscription), "", NULL, "50", 0,
	  "the subscription of topic to ask" },
	{ "token_life", CONF_DURATION, SERVICEBUS_FIELD(token_life_ms), "1h", "4s", "1d", 0,
	  "how long a token is valid; renewed after three quarters of it" },
	{ "topic", CONF_STR, SERVICEBUS_FIELD(topic), "", NULL, "260", 0,
	  "the topic to ask, instead of a queue" },
	CONF_END
};
/* clang-format on */

static void servicebus_prepare(struct conf *conf, struct conf_section *section,
			       void *settings)
{
#ifdef HAVE_PROTON
	sb_conf_prepare(conf, section, settings);
#else
	(void)settings;
	conf_mistake(conf, section, "kind",
		     "this build has no servicebus: it was built without "
		     "Qpid Proton (libqpid-proton11-dev on Debian)");
#endif
}

const struct check_kind check_servicebus = {
	.name = "servicebus",
	.timeout = "2s",
	.help = "a queue or subscription of Azure Service Bus",
	.keys = servicebus_keys,
	.settings_size = sizeof(struct sb_conf),
	.prepare = servicebus_prepare,
	.dispose = sb_conf_dispose,
#ifdef HAVE_PROTON
	.conn_size = sizeof(struct sb_talk),
	.open = sb_talk_open,
	.ask = sb_talk_ask,
	.on_io = sb_talk_on_io,
	.on_idle = sb_talk_on_io,
	.close = sb_talk_close,
	.step = sb_talk_step,
#endif
};

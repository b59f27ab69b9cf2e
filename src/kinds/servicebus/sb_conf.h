/*
 * sb_conf: which entity of Azure Service Bus is asked, where, and with which
 * key; from a connection string or from single settings.
 *
 * Needs no AMQP library: a build without one has the settings as well, to say
 * about them what is to be said.  The main thread, before there are others.
 */
#ifndef HEALTH_SB_CONF_H
#define HEALTH_SB_CONF_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

struct stream_trust;

enum sb_auth { SB_AUTH_CBS, SB_AUTH_PLAIN };
enum sb_right { SB_RIGHT_LISTEN, SB_RIGHT_SEND };

struct sb_conf {
	char *connection_string, *namespace, *key_name, *key;
	char *queue, *topic, *subscription, *ca_file;
	int64_t port, token_life_ms;
	int auth, right;

	/* Made of these by sb_conf_prepare(); the strings belong to conf. */
	char *host;	/* without a dot at its end */
	char *look_up;	/* the same as it was written */
	char *node;	/* the address of the link: "orders/$management" */
	char *audience; /* what a token is for: "sb://HOST/" and the node */
	bool plain;	/* the emulator: without TLS */
	struct stream_trust *trust; /* NULL without TLS */
};

/* As prepare() and dispose() of a kind. */
void sb_conf_prepare(struct conf *conf, struct conf_section *section,
		     void *settings);
void sb_conf_dispose(void *settings);

#endif

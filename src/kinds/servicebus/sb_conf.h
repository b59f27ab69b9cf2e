/*
 * sb_conf: the settings of the kind servicebus: namespace, entity and key, from
 * a connection string or from single keys.
 *
 * Needs no AMQP library, so that a build without one can check them, too.  As
 * prepare() and dispose() in check.h.
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

	/* Set by sb_conf_prepare(); the strings belong to conf. */
	char *entity_path;     /* of the connection string; NULL: none */
	int64_t endpoint_port; /* of the connection string; 0: none */
	char *host;	       /* without a trailing dot */
	char *look_up;	       /* the same, as written */
	char *node;	/* the address of the link: "orders/$management" */
	char *audience; /* what a token is for: "sb://HOST/" and the node */
	bool plain;	/* the emulator, without TLS */
	struct stream_trust *trust; /* NULL without TLS */
};

/* prepare() and dispose() of struct check_kind. */
void sb_conf_prepare(struct conf *conf, struct conf_section *section,
		     void *settings);
void sb_conf_dispose(void *settings);

#endif

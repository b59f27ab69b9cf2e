#include "config.h"

#include "kinds/servicebus/sb_conf.c"

#include "kinds/kinds.h"

#include "unit.h"

static struct conf *conf;
static struct sb_conf settings;

static const char *mistake_of(const char *text)
{
	static char all[1024];
	char file[4096];
	struct conf_target target = { check_servicebus.keys, &settings };
	struct conf_section *section;
	const char *mistake;
	size_t i;

	conf_destroy(conf);
	conf = conf_create();
	memset(&settings, 0, sizeof(settings));
	snprintf(file, sizeof(file), "[bus]\n%s\n", text);
	conf_read_text(conf, "t", file);
	section = conf_section_find(conf, "bus");
	conf_apply(conf, section, &target, 1);
	sb_conf_prepare(conf, section, &settings);
	all[0] = '\0';
	for (i = 0; (mistake = conf_note_at(conf, CONF_MISTAKE, i)); i++)
		snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%s",
			 i ? "\n" : "", strstr(mistake, "[bus] ") + 6);
	return all;
}

static void done(void)
{
	sb_conf_dispose(&settings);
	sb_conf_dispose(&settings);
	/* A connection string begins with words that are not secret. */
	text_forget_secrets();
}

#define ENDPOINT "Endpoint=sb://ns.servicebus.windows.net/;"
#define KEY "SharedAccessKeyName=name;SharedAccessKey=c2VjcmV0LWtleQ=="
#define GOOD "connection_string = " ENDPOINT KEY "\n"

static void test_connection_string(void)
{
	CHECK_STR(mistake_of(GOOD "queue = orders"), "");
	CHECK_STR(settings.host, "ns.servicebus.windows.net");
	CHECK_STR(settings.key_name, "name");
	CHECK_STR(settings.key, "c2VjcmV0LWtleQ==");
	CHECK_INT(settings.port, 5671);
	CHECK_STR(settings.node, "orders/$management");
	CHECK_STR(settings.audience,
		  "sb://ns.servicebus.windows.net/orders/$management");
	CHECK(settings.trust && !settings.plain);
	CHECK_INT(settings.auth, SB_AUTH_CBS);
	CHECK_INT(settings.right, SB_RIGHT_LISTEN);
	done();

	/* A dot at the end of the name is for the look-up only. */
	CHECK_STR(mistake_of("connection_string = Endpoint=sb://ns.test./;" KEY
			     "\nqueue = q"),
		  "");
	CHECK_STR(settings.look_up, "ns.test.");
	CHECK_STR(settings.host, "ns.test");
	CHECK_STR(settings.audience, "sb://ns.test/q/$management");
	done();

	/* Order, case, blanks, what is not known, and the end do not count. */
	CHECK_STR(mistake_of("connection_string = sharedaccesskey=a=b=; "
			     "TransportType=Amqp;ENTITYPATH=q/r;"
			     "SharedAccessKeyName=n;endpoint=SB://h:5673;"),
		  "");
	CHECK_STR(settings.host, "h");
	CHECK_STR(settings.key, "a=b=");
	CHECK_INT(settings.port, 5673);
	CHECK_STR(settings.node, "q/r/$management");
	done();

	CHECK_STR(mistake_of("connection_string = Endpoint=sb://h:5673;" KEY
			     "\nport = 1234\nqueue = q"),
		  "");
	CHECK_INT(settings.port, 1234);
	done();

	CHECK_STR(mistake_of("connection_string = Endpoint=sb://localhost;" KEY
			     ";UseDevelopmentEmulator=true\nqueue = q"),
		  "");
	CHECK(settings.plain && !settings.trust);
	CHECK_INT(settings.port, 5672);
	done();
	CHECK_STR(mistake_of("connection_string = Endpoint=sb://localhost;" KEY
			     ";UseDevelopmentEmulator=false\nqueue = q"),
		  "");
	CHECK(!settings.plain && settings.trust);
	done();
}

static void test_parts(void)
{
	CHECK_STR(mistake_of("namespace = ns\nkey_name = n\nkey = secret\n"
			     "queue = q"),
		  "");
	CHECK_STR(settings.host, "ns.servicebus.windows.net");
	done();
	CHECK_STR(mistake_of("namespace = ns.example\nkey_name = n\n"
			     "key = secret\nqueue = q"),
		  "");
	CHECK_STR(settings.host, "ns.example");
	done();
}

static void test_entities(void)
{
	CHECK_STR(mistake_of(GOOD "topic = events\nsubscription = audit"), "");
	CHECK_STR(settings.node, "events/Subscriptions/audit/$management");
	done();
	CHECK_STR(mistake_of("connection_string = " ENDPOINT KEY
			     ";EntityPath=events\nsubscription = audit"),
		  "");
	CHECK_STR(settings.node, "events/Subscriptions/audit/$management");
	done();
	CHECK_STR(mistake_of(GOOD "queue = orders\nright = send"), "");
	CHECK_STR(settings.node, "orders");
	CHECK_STR(settings.audience, "sb://ns.servicebus.windows.net/orders");
	done();
	CHECK_STR(mistake_of(GOOD "topic = events\nright = send"), "");
	CHECK_STR(settings.node, "events");
	done();
	CHECK_STR(mistake_of("connection_string = " ENDPOINT KEY
			     ";EntityPath=orders\nqueue = orders"),
		  "");
	done();
}

/* 300 characters, more than an entity has. */
#define TEN "xxxxxxxxxx"
#define HUNDRED TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
#define LONG HUNDRED HUNDRED HUNDRED

static const struct {
	const char *text, *mistake;
} mistakes[] = {
	{ "queue = q", "connection_string: must be set, or namespace, key_name "
		       "and key" },
	{ "namespace = n\nqueue = q",
	  "key_name: must be set beside namespace" },
	{ "namespace = n\nkey_name = n\nqueue = q",
	  "key: must be set beside namespace" },
	{ "namespace = a b\nkey_name = n\nkey = secret\nqueue = q",
	  "namespace: not a valid host name" },
	{ "connection_string = Endpoint=sb://a b/;" KEY "\nqueue = q",
	  "connection_string: Endpoint has no valid host name" },
	{ "connection_string = " ENDPOINT KEY ";EntityPath=" LONG,
	  "queue: EntityPath in connection_string is too long" },
	{ GOOD, "queue: set queue, or topic and subscription" },
	{ GOOD "topic = t",
	  "topic: needs a subscription: a topic itself cannot be peeked at" },
	{ GOOD "queue = q\ntopic = t\nsubscription = s",
	  "topic: give either queue or topic, not both" },
	{ GOOD "topic = t\nsubscription = s\nright = send",
	  "topic: with right = send, remove subscription: messages are sent to "
	  "the topic" },
	{ GOOD "queue = q\nkey = abcdef",
	  "key: give either connection_string or namespace, key_name and key" },
	{ "connection_string = " ENDPOINT KEY ";EntityPath=p\nqueue = q",
	  "queue: differs from EntityPath in connection_string" },
	{ "connection_string = secret-secret\nqueue = q",
	  "connection_string: must be NAME=VALUE parts with \";\" between "
	  "them" },
	{ "connection_string = " KEY "\nqueue = q",
	  "connection_string: has no Endpoint=sb://..." },
	{ "connection_string = " ENDPOINT "\nqueue = q",
	  "connection_string: needs SharedAccessKeyName and SharedAccessKey" },
	{ "connection_string = Endpoint=https://h;" KEY "\nqueue = q",
	  "connection_string: Endpoint must begin with sb://" },
	{ "connection_string = Endpoint=sb:///x;" KEY "\nqueue = q",
	  "connection_string: Endpoint has no valid host name" },
	{ "connection_string = Endpoint=sb://h:0;" KEY "\nqueue = q",
	  "connection_string: Endpoint has an invalid port" },
	{ "connection_string = Endpoint=sb://h:70000;" KEY "\nqueue = q",
	  "connection_string: Endpoint has an invalid port" },
	{ "connection_string = Endpoint=sb://h:;" KEY "\nqueue = q",
	  "connection_string: Endpoint has an invalid port" },
	{ "connection_string = Endpoint=sb://h:5x;" KEY "\nqueue = q",
	  "connection_string: Endpoint has an invalid port" },
	{ "connection_string = " ENDPOINT
	  "SharedAccessSignature=secret-secret\nqueue = q",
	  "connection_string: has a SharedAccessSignature, which expires: use "
	  "the string with the SharedAccessKey" },
	{ "connection_string = Endpoint=sb://localhost;" KEY
	  ";UseDevelopmentEmulator=true\nqueue = q\nca_file = /ca.pem",
	  "ca_file: is for TLS only, and the emulator has none" },
	{ GOOD "queue = q\nca_file = /nonexistent/ca.pem",
	  "ca_file: /nonexistent/ca.pem cannot be opened: No such file or "
	  "directory" },
};

static void test_mistakes(void)
{
	const char *mistake;
	size_t i;

	for (i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		mistake = mistake_of(mistakes[i].text);
		CHECK_STR(mistake, mistakes[i].mistake);
		CHECK(!strstr(mistake, "secret") && !strstr(mistake, "c2Vj"));
		done();
	}
}

int main(void)
{
	test_connection_string();
	test_parts();
	test_entities();
	test_mistakes();
	conf_destroy(conf);
	text_forget_secrets();
	return unit_report();
}

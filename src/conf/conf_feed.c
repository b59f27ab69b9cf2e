#include "config.h"

#include "conf/conf.h"

#include "conf/conf_value.h"

#include <string.h>

struct conf_feed {
	void (*feed)(void *arg, const void *bytes, size_t len);
	void *arg;
};

/* With its end, so that "ab" "c" is not "a" "bc". */
static void conf_feed_text(const struct conf_feed *to, const char *text)
{
	to->feed(to->arg, text, strlen(text) + 1);
}

static void conf_feed_list(const struct conf_feed *to,
			   const struct conf_list *list)
{
	size_t i;

	to->feed(to->arg, &list->n, sizeof(list->n));
	for (i = 0; i < list->n; i++)
		conf_feed_text(to, list->items[i]);
}

static void conf_feed_value(const struct conf_feed *to,
			    const struct conf_key *key, const void *record)
{
	const void *field = (const char *)record + key->offset;
	int64_t value;

	if (key->type == CONF_STR) {
		conf_feed_text(to, *(char *const *)field);
	} else if (key->type == CONF_LIST) {
		conf_feed_list(to, field);
	} else {
		value = conf_value_load(key, record);
		to->feed(to->arg, &value, sizeof(value));
	}
}

void conf_feed(const struct conf_key *keys, const void *record,
	       void (*feed)(void *arg, const void *bytes, size_t len),
	       void *arg)
{
	const struct conf_feed to = { feed, arg };

	for (; keys->name; keys++) {
		conf_feed_text(&to, keys->name);
		conf_feed_value(&to, keys, record);
	}
}

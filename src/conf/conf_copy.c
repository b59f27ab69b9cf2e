#include "config.h"

#include "conf/conf.h"

#include "conf/conf_store.h"

#include <string.h>

bool conf_section_has_secret_file(const struct conf_section *section)
{
	const struct conf_entry *entry;

	for (entry = section->entries; entry; entry = entry->next)
		if (entry->secret_file)
			return true;
	return false;
}

static bool conf_copy_entry(struct conf *conf, struct conf_section *section,
			    const struct conf_entry *from)
{
	struct conf_entry *entry = conf_add_entry(conf, section, from->key,
						  from->written, from->origin,
						  from->line);

	if (!entry)
		return false;
	if (from->value)
		entry->value = conf_keep(conf, from->value);
	if (from->variable)
		entry->variable = conf_keep(conf, from->variable);
	return !from->value == !entry->value &&
	       !from->variable == !entry->variable;
}

struct conf *conf_copy(const struct conf_section *section)
{
	const struct conf_entry *entry = section->entries;
	struct conf *conf = conf_create();
	struct conf_section *copy;

	if (!conf)
		return NULL;
	copy = conf_add_section(conf, section->name, section->origin,
				section->line);
	while (copy && entry && conf_copy_entry(conf, copy, entry))
		entry = entry->next;
	if (copy && !entry)
		return conf;
	conf_destroy(conf);
	return NULL;
}

static bool conf_same_lists(const struct conf_list *one,
			    const struct conf_list *other)
{
	size_t i;

	for (i = 0; i < one->n && i < other->n; i++)
		if (strcmp(one->items[i], other->items[i]) != 0)
			return false;
	return one->n == other->n;
}

bool conf_same_texts(const struct conf_key *keys, const void *one,
		     const void *other)
{
	for (; keys->name; keys++) {
		const void *a = (const char *)one + keys->offset;
		const void *b = (const char *)other + keys->offset;

		if (keys->type == CONF_STR &&
		    strcmp(*(char *const *)a, *(char *const *)b) != 0)
			return false;
		if (keys->type == CONF_LIST && !conf_same_lists(a, b))
			return false;
	}
	return true;
}

#include "config.h"

#include "conf/conf.h"

#include "conf/conf_store.h"
#include "base/text.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CONF_MISTAKES_MAX 100
#define CONF_MISTAKE_BYTES 512
#define CONF_KEY_SHOWN_BYTES 41

struct conf_block {
	struct conf_block *next;
	size_t size;
	max_align_t bytes[];
};

struct conf_mistake_entry {
	struct conf_mistake_entry *next;
	int line;
	const struct conf_section *section;
	const char *key;
	char *text;
};

struct conf_refused {
	struct conf_refused *next;
	const struct conf_section *section;
	struct conf_refusal refusal;
};

struct conf_variable {
	struct conf_variable *next;
	char *name;
};

struct conf {
	struct conf_block *blocks;
	struct conf_section *sections, **sections_end;
	struct conf_mistake_entry *mistakes, *warnings;
	struct conf_refused *refused;
	struct conf_variable *secret_variables;
	bool out_of_memory;
};

/* ---- memory ---- */

struct conf *conf_create(void)
{
	struct conf *conf = calloc(1, sizeof(*conf));

	if (conf)
		conf->sections_end = &conf->sections;
	return conf;
}

void conf_destroy(struct conf *conf)
{
	struct conf_block *block;

	if (!conf)
		return;
	while ((block = conf->blocks)) {
		conf->blocks = block->next;
		explicit_bzero(block->bytes, block->size);
		free(block);
	}
	free(conf);
}

void conf_out_of_memory(struct conf *conf)
{
	conf->out_of_memory = true;
}

void *conf_take(struct conf *conf, size_t size)
{
	struct conf_block *block = calloc(1, sizeof(*block) + size);

	if (!block) {
		conf_out_of_memory(conf);
		return NULL;
	}
	block->next = conf->blocks;
	block->size = size;
	conf->blocks = block;
	return block->bytes;
}

char *conf_keep_bytes(struct conf *conf, const char *text, size_t len)
{
	char *copy = conf_take(conf, len + 1);

	if (copy)
		memcpy(copy, text, len);
	return copy;
}

char *conf_keep(struct conf *conf, const char *text)
{
	return conf_keep_bytes(conf, text, strlen(text));
}

/* ---- sections and entries ---- */

struct conf_section *conf_add_section(struct conf *conf, const char *name,
				      const char *origin, int line)
{
	struct conf_section *section = conf_take(conf, sizeof(*section));

	if (!section)
		return NULL;
	section->name = conf_keep(conf, name);
	section->origin = conf_keep(conf, origin);
	if (!section->name || !section->origin)
		return NULL;
	section->line = line;
	section->entries_end = &section->entries;
	*conf->sections_end = section;
	conf->sections_end = &section->next;
	return section;
}

struct conf_entry *conf_add_entry(struct conf *conf,
				  struct conf_section *section, const char *key,
				  const char *written, const char *origin,
				  int line)
{
	struct conf_entry *entry = conf_take(conf, sizeof(*entry));

	if (!entry)
		return NULL;
	entry->key = conf_keep(conf, key);
	entry->written = conf_keep(conf, written);
	entry->origin = conf_keep(conf, origin);
	if (!entry->key || !entry->written || !entry->origin)
		return NULL;
	entry->line = line;
	*section->entries_end = entry;
	section->entries_end = &entry->next;
	section->n_entries++;
	return entry;
}

int conf_set(struct conf *conf, const char *section_name, const char *key,
	     const char *value, const char *origin)
{
	struct conf_section *section = conf_section_find(conf, section_name);
	struct conf_entry *entry;

	if (!section)
		section = conf_add_section(conf, section_name, origin, 0);
	if (!section)
		return -1;
	entry = conf_add_entry(conf, section, key, value, origin, 0);
	if (!entry)
		return -1;
	entry->value = entry->written;
	entry->variable = entry->origin;
	return 0;
}

struct conf_section *conf_section_at(struct conf *conf, size_t index)
{
	struct conf_section *section = conf->sections;

	while (section && index--)
		section = section->next;
	return section;
}

struct conf_section *conf_section_find(struct conf *conf, const char *name)
{
	struct conf_section *section = conf->sections;

	while (section && strcmp(section->name, name) != 0)
		section = section->next;
	return section;
}

size_t conf_count_sections(const struct conf *conf)
{
	const struct conf_section *section;
	size_t n = 0;

	for (section = conf->sections; section; section = section->next)
		n++;
	return n;
}

const char *conf_section_name(const struct conf_section *section)
{
	return section->name;
}

static const struct conf_entry *conf_find_entry(
	const struct conf_section *section, const char *key)
{
	const struct conf_entry *entry = section->entries;

	while (entry && strcmp(entry->key, key) != 0)
		entry = entry->next;
	return entry;
}

/* The entry that sets the key, as `key` or as `key_file`. */
static const struct conf_entry *conf_find_setter(
	const struct conf_section *section, const char *key)
{
	char key_file[CONF_KEY_BYTES + sizeof("_file")];
	const struct conf_entry *entry = conf_find_entry(section, key);

	if (entry)
		return entry;
	snprintf(key_file, sizeof(key_file), "%s_file", key);
	return conf_find_entry(section, key_file);
}

const char *conf_section_get(const struct conf_section *section,
			     const char *key)
{
	const struct conf_entry *entry = conf_find_entry(section, key);

	return entry ? entry->value : NULL;
}

const char *conf_section_key_at(const struct conf_section *section,
				size_t index)
{
	const struct conf_entry *entry = section->entries;

	while (entry && index--)
		entry = entry->next;
	return entry ? entry->key : NULL;
}

bool conf_section_has(const struct conf_section *section, const char *key)
{
	return conf_find_setter(section, key) != NULL;
}

const char *conf_section_variable(const struct conf_section *section,
				  const char *key)
{
	const struct conf_entry *entry = conf_find_entry(section, key);

	return entry ? entry->variable : NULL;
}

void conf_section_lenient(struct conf_section *section)
{
	section->lenient = true;
}

/* ---- mistakes ---- */

struct conf_place conf_place_of(const struct conf_section *section,
				const struct conf_entry *entry, const char *key)
{
	return (struct conf_place){
		.origin = entry->origin,
		.line = entry->line,
		.section = section,
		.key = key,
		.shown = entry->key,
	};
}

/*
 * What a file calls a key may be a line of a secret that was broken into
 * several: what does not look like a key is not shown.  The figures in it are
 * what base64 has, and no key.
 */
static bool conf_showable(const char *key)
{
	return strlen(key) < CONF_KEY_SHOWN_BYTES &&
	       key[strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-."
			       "abcdefghijklmnopqrstuvwxyz")] == '\0';
}

/* "health.conf:12: [redis] timeout: " */
static size_t conf_place_print(char *to, size_t size,
			       const struct conf_place *place)
{
	char name[CONF_KEY_SHOWN_BYTES + 30];
	int len = 0;

	if (place->origin && place->line)
		len = snprintf(to, size, "%.200s:%d: ", place->origin,
			       place->line);
	else if (place->origin)
		len = snprintf(to, size, "%.200s: ", place->origin);
	if (place->section) {
		text_clean(name, sizeof(name), place->section->name,
			   strlen(place->section->name));
		len += snprintf(to + len, size - (size_t)len, "[%s] ", name);
	}
	if (place->shown && conf_showable(place->shown))
		len += snprintf(to + len, size - (size_t)len,
				place->variable && place->line ? "%s (${%s}): "
							       : "%s: ",
				place->shown, place->variable);
	return (size_t)len;
}

__attribute__((format(printf, 3, 0))) static char *conf_sentence(
	struct conf *conf, const struct conf_place *place, const char *fmt,
	va_list args)
{
	char raw[CONF_MISTAKE_BYTES * 2], clean[CONF_MISTAKE_BYTES];
	size_t len = conf_place_print(raw, sizeof(raw), place);

	if (vsnprintf(raw + len, sizeof(raw) - len, fmt, args) < 0)
		raw[len] = '\0';
	/* The place is in our words. */
	text_mask(raw + len);
	text_clean(clean, sizeof(clean), raw, strlen(raw));
	return conf_keep(conf, clean);
}

/* Into the order of the file; what has no line stands first. */
static void conf_insert(struct conf *conf, struct conf_mistake_entry **at,
			const struct conf_place *place, int line, char *text)
{
	struct conf_mistake_entry *mistake = conf_take(conf, sizeof(*mistake));

	if (!mistake || !text)
		return;
	mistake->line = line;
	mistake->section = place->section;
	mistake->key = place->key ? conf_keep(conf, place->key) : NULL;
	mistake->text = text;
	while (*at && (*at)->line <= line)
		at = &(*at)->next;
	mistake->next = *at;
	*at = mistake;
}

__attribute__((format(printf, 3, 0))) static void conf_refuse(
	struct conf *conf, const struct conf_place *place, const char *fmt,
	va_list args)
{
	struct conf_refused *refused;

	if (conf_section_refusal(conf, place->section))
		return;
	refused = conf_take(conf, sizeof(*refused));
	if (!refused)
		return;
	refused->section = place->section;
	refused->refusal.variable = place->variable;
	refused->refusal.sentence = conf_sentence(conf, place, fmt, args);
	refused->next = conf->refused;
	conf->refused = refused;
}

__attribute__((format(printf, 3, 0))) static void conf_collect_args(
	struct conf *conf, const struct conf_place *place, const char *fmt,
	va_list args)
{
	size_t n = conf_mistakes(conf);

	if (place->variable && place->section && place->section->lenient)
		conf_refuse(conf, place, fmt, args);
	else if (n < CONF_MISTAKES_MAX - 1)
		conf_insert(conf, &conf->mistakes, place, place->line,
			    conf_sentence(conf, place, fmt, args));
	else if (n == CONF_MISTAKES_MAX - 1)
		conf_insert(conf, &conf->mistakes, place, INT_MAX,
			    conf_keep(conf, "there are more mistakes; these "
					    "are the first"));
}

void conf_collect(struct conf *conf, const struct conf_place *place,
		  const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	conf_collect_args(conf, place, fmt, args);
	va_end(args);
}

bool conf_is_mistaken(const struct conf *conf,
		      const struct conf_section *section, const char *key)
{
	const struct conf_mistake_entry *mistake = conf->mistakes;

	while (mistake && !(mistake->section == section && mistake->key &&
			    strcmp(mistake->key, key) == 0))
		mistake = mistake->next;
	return mistake != NULL;
}

/* Where a key is set, or else its section begins. */
static struct conf_place conf_find_place(const struct conf_section *section,
					 const char *key)
{
	struct conf_place place = { .section = section,
				    .key = key,
				    .shown = key };
	const struct conf_entry *entry = NULL;

	if (section && key)
		entry = conf_find_setter(section, key);
	if (entry) {
		place = conf_place_of(section, entry, key);
		place.variable = entry->variable;
	} else if (section) {
		place.origin = section->origin;
		place.line = section->line;
		place.variable = section->line ? NULL : section->origin;
	}
	return place;
}

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	struct conf_place place = conf_find_place(section, key);
	va_list args;

	if (section && (conf_section_refusal(conf, section) ||
			(key && conf_is_mistaken(conf, section, key))))
		return;
	va_start(args, fmt);
	conf_collect_args(conf, &place, fmt, args);
	va_end(args);
}

const struct conf_refusal *conf_section_refusal(
	const struct conf *conf, const struct conf_section *section)
{
	const struct conf_refused *refused = conf->refused;

	while (refused && refused->section != section)
		refused = refused->next;
	return refused ? &refused->refusal : NULL;
}

__attribute__((format(printf, 3, 0))) static void conf_warn_args(
	struct conf *conf, const struct conf_place *place, const char *fmt,
	va_list args)
{
	conf_insert(conf, &conf->warnings, place, place->line,
		    conf_sentence(conf, place, fmt, args));
}

void conf_collect_warning(struct conf *conf, const struct conf_place *place,
			  const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	conf_warn_args(conf, place, fmt, args);
	va_end(args);
}

void conf_warn(struct conf *conf, const struct conf_section *section,
	       const char *key, const char *fmt, ...)
{
	struct conf_place place = conf_find_place(section, key);
	va_list args;

	va_start(args, fmt);
	conf_warn_args(conf, &place, fmt, args);
	va_end(args);
}

static const char *conf_text_at(const struct conf_mistake_entry *list,
				size_t index)
{
	while (list && index--)
		list = list->next;
	return list ? list->text : NULL;
}

const char *conf_warning_at(const struct conf *conf, size_t index)
{
	return conf_text_at(conf->warnings, index);
}

size_t conf_mistakes(const struct conf *conf)
{
	const struct conf_mistake_entry *mistake;
	size_t n = conf->out_of_memory ? 1 : 0;

	for (mistake = conf->mistakes; mistake; mistake = mistake->next)
		n++;
	return n;
}

const char *conf_mistake_at(const struct conf *conf, size_t index)
{
	const struct conf_mistake_entry *mistake = conf->mistakes;

	for (; mistake; mistake = mistake->next)
		if (index-- == 0)
			return mistake->text;
	return conf->out_of_memory && index == 0 ? "out of memory" : NULL;
}

/* ---- variables that held secrets ---- */

void conf_add_secret_variable(struct conf *conf, const char *name, size_t len)
{
	struct conf_variable *variable = conf_take(conf, sizeof(*variable));

	if (!variable)
		return;
	variable->name = conf_keep_bytes(conf, name, len);
	if (!variable->name)
		return;
	variable->next = conf->secret_variables;
	conf->secret_variables = variable;
}

const char *conf_secret_variable_at(const struct conf *conf, size_t index)
{
	const struct conf_variable *variable = conf->secret_variables;

	while (variable && index--)
		variable = variable->next;
	return variable ? variable->name : NULL;
}

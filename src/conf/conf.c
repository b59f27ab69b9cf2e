#include "config.h"

#include "conf/conf.h"

#include "conf/conf_store.h"
#include "base/text.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define CONF_MISTAKES_MAX 100
#define CONF_NOTE_BYTES 512
#define CONF_KEY_SHOWN_BYTES 41

struct conf_block {
	struct conf_block *next;
	size_t size;
	max_align_t bytes[];
};

/* An error, a warning, or the refusal of a section. */
struct conf_note {
	struct conf_note *next;
	enum conf_note_type type;
	int line;
	const struct conf_section *section;
	const char *key;
	struct conf_refusal said;
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

	while (conf && (block = conf->blocks)) {
		conf->blocks = block->next;
		explicit_bzero(block->bytes, block->size);
		free(block);
	}
	free(conf);
}

void *conf_take(struct conf *conf, size_t size)
{
	struct conf_block *block = calloc(1, sizeof(*block) + size);

	if (!block) {
		conf->out_of_memory = true;
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

	return copy ? memcpy(copy, text, len) : NULL;
}

char *conf_keep(struct conf *conf, const char *text)
{
	return text ? conf_keep_bytes(conf, text, strlen(text)) : NULL;
}

/* When the array is full, at a power of two, its size doubles. */
void conf_list_add(struct conf *conf, struct conf_list *list, const char *item,
		   size_t len)
{
	char **items = list->items, *copy = conf_keep_bytes(conf, item, len);
	size_t n = list->n;

	if ((n & (n - 1)) == 0)
		items = conf_take(conf, (n ? 2 * n : 1) * sizeof(*items));
	if (!copy || !items)
		return;
	if (items != list->items && n)
		memcpy(items, list->items, n * sizeof(*items));
	list->items = items;
	list->items[list->n++] = copy;
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
	conf->n_sections++;
	return section;
}

struct conf_entry *conf_add_entry(struct conf *conf,
				  struct conf_section *section,
				  const struct conf_entry *from)
{
	struct conf_entry *entry = conf_take(conf, sizeof(*entry));

	if (!entry)
		return NULL;
	*entry = (struct conf_entry){
		.section = section,
		.key = conf_keep(conf, from->key),
		.written = conf_keep(conf, from->written),
		.value = conf_keep(conf, from->value),
		.origin = conf_keep(conf, from->origin),
		.variable = conf_keep(conf, from->variable),
		.line = from->line,
		.commented = from->commented,
	};
	if (conf->out_of_memory)
		return NULL;
	entry->shown = entry->key;
	*section->entries_end = entry;
	section->entries_end = &entry->next;
	section->n_entries++;
	return entry;
}

int conf_set(struct conf *conf, const char *section_name, const char *key,
	     const char *value, const char *origin)
{
	struct conf_section *section = conf_section_find(conf, section_name);
	const struct conf_entry entry = { .key = key,
					  .written = value,
					  .value = value,
					  .origin = origin,
					  .variable = origin };

	if (!section)
		section = conf_add_section(conf, section_name, origin, 0);
	return section && conf_add_entry(conf, section, &entry) ? 0 : -1;
}

struct conf *conf_copy(const struct conf_section *section)
{
	const struct conf_entry *entry = section->entries;
	struct conf *conf = conf_create();
	struct conf_section *copy = NULL;

	if (conf)
		copy = conf_add_section(conf, section->name, section->origin,
					section->line);
	while (copy && entry && conf_add_entry(conf, copy, entry))
		entry = entry->next;
	if (copy && !entry)
		return conf;
	conf_destroy(conf);
	return NULL;
}

struct conf_section *conf_section_find(struct conf *conf, const char *name)
{
	struct conf_section *section = conf->sections;

	while (section && strcmp(section->name, name) != 0)
		section = section->next;
	return section;
}

void conf_section_rename(struct conf *conf, struct conf_section *section,
			 const char *old, const char *key)
{
	char name[2 * CONF_KEY_BYTES];
	struct conf_entry *entry;
	size_t len = strlen(old);
	const char *rest, *kept;

	if (!conf_section_has(section, old) || conf_section_has(section, key))
		return;
	conf_warn(conf, section, old,
		  "is now called %s; the old name works until 2.0", key);
	for (entry = section->entries; entry; entry = entry->next) {
		rest = entry->key + len;
		if (strncmp(entry->key, old, len) != 0 ||
		    (*rest && strcmp(rest, "_file") != 0))
			continue;
		snprintf(name, sizeof(name), "%s%s", key, rest);
		kept = conf_keep(conf, name);
		if (kept)
			entry->key = kept;
	}
}

const struct conf_entry *conf_section_entry(const struct conf_section *section,
					    const char *key)
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
	const struct conf_entry *entry = conf_section_entry(section, key);

	snprintf(key_file, sizeof(key_file), "%s_file", key);
	return entry ? entry : conf_section_entry(section, key_file);
}

bool conf_section_has(const struct conf_section *section, const char *key)
{
	return conf_find_setter(section, key) != NULL;
}

const char *conf_section_variable(const struct conf_section *section,
				  const char *key)
{
	const struct conf_entry *entry = conf_section_entry(section, key);

	return entry ? entry->variable : NULL;
}

/* ---- errors and warnings ---- */

bool conf_showable(const char *key)
{
	return strlen(key) < CONF_KEY_SHOWN_BYTES &&
	       key[strspn(key, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_-."
			       "abcdefghijklmnopqrstuvwxyz")] == '\0';
}

/* The first note about a section, and key when it is not NULL; or NULL. */
static const struct conf_note *conf_find_note(
	const struct conf *conf, enum conf_note_type type,
	const struct conf_section *section, const char *key)
{
	const struct conf_note *note = conf->notes;

	while (note && (note->type != type || note->section != section ||
			(key && (!note->key || strcmp(note->key, key) != 0))))
		note = note->next;
	return note;
}

bool conf_is_mistaken(const struct conf *conf,
		      const struct conf_section *section, const char *key)
{
	return conf_find_note(conf, CONF_MISTAKE, section, key) != NULL;
}

const struct conf_refusal *conf_section_refusal(
	const struct conf *conf, const struct conf_section *section)
{
	const struct conf_note *note = conf_find_note(conf, CONF_REFUSAL,
						      section, NULL);

	return note ? &note->said : NULL;
}

/* "health.conf:12: [redis] timeout: " */
static size_t conf_print_place(char *to, size_t size,
			       const struct conf_entry *place)
{
	char name[CONF_KEY_SHOWN_BYTES + 30];
	int len = 0;

	if (place->origin)
		len = snprintf(to, size,
			       place->line ? "%.200s:%d: " : "%.200s: ",
			       place->origin, place->line);
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

/* In the order of the file; what has no line comes first. */
static void conf_insert(struct conf *conf, enum conf_note_type type,
			const struct conf_entry *place, int line,
			const char *text)
{
	const char *key = place->row ? place->row->name : place->key;
	struct conf_note *note = conf_take(conf, sizeof(*note));
	struct conf_note **at = &conf->notes;

	text = conf_keep(conf, text);
	if (!note || !text)
		return;
	while (*at && (*at)->line <= line)
		at = &(*at)->next;
	*note = (struct conf_note){
		.next = *at,
		.type = type,
		.line = line,
		.section = place->section,
		.key = conf_keep(conf, key),
		.said = { place->variable, text },
	};
	*at = note;
	conf->n_mistakes += type == CONF_MISTAKE;
}

__attribute__((format(printf, 4, 0))) static void conf_note_args(
	struct conf *conf, enum conf_note_type type,
	const struct conf_entry *place, const char *fmt, va_list args)
{
	const struct conf_section *section = place->section;
	char raw[CONF_NOTE_BYTES * 2], clean[CONF_NOTE_BYTES];
	size_t len = conf_print_place(raw, sizeof(raw), place);

	if (type == CONF_MISTAKE && place->variable && section &&
	    section->lenient)
		type = CONF_REFUSAL;
	if (type == CONF_REFUSAL && conf_section_refusal(conf, section))
		return;
	if (type == CONF_MISTAKE && conf->n_mistakes >= CONF_MISTAKES_MAX - 1) {
		if (conf->n_mistakes < CONF_MISTAKES_MAX)
			conf_insert(conf, type, place, INT_MAX,
				    "there are more errors; these are the "
				    "first");
		return;
	}
	if (vsnprintf(raw + len, sizeof(raw) - len, fmt, args) < 0)
		raw[len] = '\0';
	/* The place is in our words. */
	text_mask(raw + len);
	text_clean(clean, sizeof(clean), raw, strlen(raw));
	conf_insert(conf, type, place, place->line, clean);
}

void conf_note(struct conf *conf, enum conf_note_type type,
	       const struct conf_entry *place, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	conf_note_args(conf, type, place, fmt, args);
	va_end(args);
}

/* Where a key is set, or else where its section begins. */
static struct conf_entry conf_find_place(const struct conf_section *section,
					 const char *key)
{
	struct conf_entry place = { .shown = key };
	const struct conf_entry *entry = NULL;

	if (section && key)
		entry = conf_find_setter(section, key);
	if (entry) {
		place = *entry;
	} else if (section) {
		place.section = section;
		place.origin = section->origin;
		place.line = section->line;
		place.variable = section->line ? NULL : section->origin;
	}
	place.key = key;
	place.row = NULL;
	return place;
}

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	struct conf_entry place = conf_find_place(section, key);
	va_list args;

	if (section && (conf_section_refusal(conf, section) ||
			(key && conf_is_mistaken(conf, section, key))))
		return;
	va_start(args, fmt);
	conf_note_args(conf, CONF_MISTAKE, &place, fmt, args);
	va_end(args);
}

void conf_warn(struct conf *conf, const struct conf_section *section,
	       const char *key, const char *fmt, ...)
{
	struct conf_entry place = conf_find_place(section, key);
	va_list args;

	va_start(args, fmt);
	conf_note_args(conf, CONF_WARNING, &place, fmt, args);
	va_end(args);
}

const char *conf_note_at(const struct conf *conf, enum conf_note_type type,
			 size_t index)
{
	const struct conf_note *note = conf->notes;

	if (type == CONF_MISTAKE && conf->out_of_memory &&
	    index == conf->n_mistakes)
		return "out of memory";
	while (note && (note->type != type || index-- > 0))
		note = note->next;
	return note ? note->said.sentence : NULL;
}

size_t conf_mistakes(const struct conf *conf)
{
	return conf->n_mistakes + conf->out_of_memory;
}

#include "config.h"

#include "conf/conf.h"

#include "conf/conf_secret.h"
#include "conf/conf_store.h"
#include "conf/conf_value.h"
#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CONF_FILE_SUFFIX "_file"
#define CONF_WORD_ENDS " \t\r\n,"
#define CONF_NAMES_MAX 256
/* More than any system call takes, so that a path is refused, not cut. */
#define CONF_PATH_BYTES 8192

/* One call of conf_apply(). */
struct conf_apply {
	struct conf *conf;
	struct conf_section *section;
	const struct conf_target *targets;
	size_t n;
};

/* ---- which key is meant ---- */

/* Later tables hide keys of earlier ones. */
static const struct conf_key *conf_find_row(const struct conf_apply *apply,
					    const char *name, size_t len)
{
	const struct conf_key *key;
	size_t i;

	for (i = apply->n; i-- > 0;)
		for (key = apply->targets[i].keys; key->name; key++)
			if (strlen(key->name) == len &&
			    memcmp(key->name, name, len) == 0)
				return key;
	return NULL;
}

/* The length of a name without "_file" at its end, 0 when it has none. */
static size_t conf_stem(const char *name)
{
	size_t len = strlen(name), suffix = strlen(CONF_FILE_SUFFIX);

	if (len <= suffix || strcmp(name + len - suffix, CONF_FILE_SUFFIX) != 0)
		return 0;
	return len - suffix;
}

/* Keys may themselves end in "_file" ("ca_file"): the whole name first. */
static const struct conf_key *conf_row_of(const struct conf_apply *apply,
					  const char *name, bool *from_file)
{
	const struct conf_key *key = conf_find_row(apply, name, strlen(name));
	size_t stem = conf_stem(name);

	*from_file = false;
	if (key || stem == 0)
		return key;
	*from_file = true;
	return conf_find_row(apply, name, stem);
}

static void conf_all_names(const struct conf_apply *apply,
			   const char *names[CONF_NAMES_MAX])
{
	const struct conf_key *key;
	size_t i, n = 0;

	for (i = 0; i < apply->n; i++)
		for (key = apply->targets[i].keys; key->name; key++)
			if (n < CONF_NAMES_MAX - 1)
				names[n++] = key->name;
	names[n] = NULL;
}

static void conf_unknown(const struct conf_apply *apply,
			 const struct conf_entry *entry)
{
	struct conf_place place = conf_place_of(apply->section, entry,
						entry->key);
	const char *names[CONF_NAMES_MAX], *nearest, *suffix = "";
	char stem[CONF_KEY_BYTES + 1];
	size_t len = conf_stem(entry->key);

	if (conf_is_mistaken(apply->conf, apply->section, entry->key))
		return;
	conf_all_names(apply, names);
	nearest = text_nearest(entry->key, names);
	if (!nearest && len > 0 && len < sizeof(stem)) {
		memcpy(stem, entry->key, len);
		stem[len] = '\0';
		nearest = text_nearest(stem, names);
		suffix = CONF_FILE_SUFFIX;
	}
	if (nearest)
		conf_collect(apply->conf, &place,
			     "unknown key, did you mean \"%s%s\"?", nearest,
			     suffix);
	else
		conf_collect(apply->conf, &place, "unknown key");
}

/* ---- from text to records ---- */

static void conf_keep_secret(struct conf *conf, const struct conf_key *key,
			     const char *text)
{
	int bad = 0;

	if (key->flags & CONF_MIXED)
		return;
	if (key->flags & CONF_SECRET)
		bad = text_secret(text);
	else if (key->flags & CONF_URL)
		bad = conf_secret_register_url(text);
	if (bad)
		conf_out_of_memory(conf);
}

static void *conf_field(const struct conf_key *key, void *record)
{
	return (char *)record + key->offset;
}

/* The room grows to the next power of two when that is full. */
static void conf_list_add(struct conf *conf, struct conf_list *list,
			  const char *item, size_t len)
{
	char **items, *copy = conf_keep_bytes(conf, item, len);

	if (!copy)
		return;
	if ((list->n & (list->n - 1)) == 0) {
		items = conf_take(conf,
				  (list->n ? 2 * list->n : 1) * sizeof(*items));
		if (!items)
			return;
		if (list->n)
			memcpy(items, list->items, list->n * sizeof(*items));
		list->items = items;
	}
	list->items[list->n++] = copy;
}

/* The length of the next word, and to *text its beginning; 0: none is left. */
static size_t conf_next_word(const char **text)
{
	*text += strspn(*text, CONF_WORD_ENDS);
	return strcspn(*text, CONF_WORD_ENDS);
}

static void conf_list_add_words(struct conf *conf, struct conf_list *list,
				const char *text)
{
	size_t len;

	for (; (len = conf_next_word(&text)); text += len)
		conf_list_add(conf, list, text, len);
}

/* Stores a text that keeps the limits. */
static void conf_store_text(struct conf *conf, const struct conf_key *key,
			    void *record, const char *text)
{
	struct conf_list *list = conf_field(key, record);
	char **string = conf_field(key, record), *copy;

	if (key->type == CONF_STR) {
		copy = conf_keep(conf, text);
		if (copy)
			*string = copy;
	} else if (key->flags & CONF_WORDS) {
		conf_list_add_words(conf, list, text);
	} else if (*text) {
		conf_list_add(conf, list, text, strlen(text));
	}
}

static void conf_store_default(struct conf *conf, const struct conf_key *key,
			       void *record)
{
	static char empty[] = "";
	char words[160];
	int64_t value = 0;
	int bad = 0;

	if (key->type == CONF_LIST) {
		*(struct conf_list *)conf_field(
			key, record) = (struct conf_list){ .n = 0 };
		conf_store_text(conf, key, record, key->dflt ? key->dflt : "");
	} else if (key->type == CONF_STR) {
		*(char **)conf_field(key, record) = empty;
		conf_store_text(conf, key, record, key->dflt ? key->dflt : "");
	} else {
		if (key->dflt)
			bad = conf_value_read(key, key->dflt, &value, words,
					      sizeof(words));
		assert(bad == 0);
		(void)bad;
		conf_value_store(key, record, value);
	}
}

/* ---- one entry ---- */

/*
 * How a sentence calls the value.  What came from a file or a variable is not
 * shown: it may be a secret under the wrong key.
 */
static void conf_call(char *to, size_t size, const struct conf_key *key,
		      const struct conf_entry *entry, bool from_file)
{
	char clean[48];

	if (from_file) {
		snprintf(to, size, "the content of the file");
	} else if (key->type == CONF_STR || key->type == CONF_LIST ||
		   key->flags & (CONF_SECRET | CONF_URL) || entry->variable) {
		snprintf(to, size, "the value");
	} else {
		text_clean(clean, sizeof(clean), entry->written,
			   strlen(entry->written));
		snprintf(to, size, "\"%s\"", clean);
	}
}

/* Words for what is wrong with the length of a text; NULL: nothing. */
static const char *conf_check_length(const struct conf_key *key,
				     const char *text, char *words, size_t size)
{
	size_t len = strlen(text);
	size_t min = conf_value_length(key->min, 0);
	size_t max = conf_value_length(key->max, CONF_VALUE_BYTES);

	if (len == 0 && (min > 0 || key->flags & CONF_REQUIRED))
		snprintf(words, size, "must not be empty");
	else if (len < min)
		snprintf(words, size, "must have at least %zu characters", min);
	else if (len > max)
		snprintf(words, size, "must have at most %zu characters", max);
	else
		return NULL;
	return words;
}

/* The same for a list of words: each has the limit, and so has their number. */
static const char *conf_check_words(const struct conf_key *key,
				    const struct conf_list *list,
				    const char *text, char *words, size_t size)
{
	size_t max = conf_value_length(key->max, CONF_VALUE_BYTES);
	size_t n = list->n, len;

	for (; (len = conf_next_word(&text)); text += len, n++)
		if (len > max) {
			snprintf(words, size,
				 "has an item of more than %zu characters",
				 max);
			return words;
		}
	if (n <= CONF_LIST_MAX)
		return NULL;
	snprintf(words, size, "makes a list of more than %d items",
		 CONF_LIST_MAX);
	return words;
}

/* Words for what is wrong with a text; NULL: it is stored. */
static const char *conf_store(struct conf *conf, const struct conf_key *key,
			      void *record, const char *text, char *words,
			      size_t size)
{
	int64_t value;

	if (key->type == CONF_STR || key->type == CONF_LIST) {
		if (key->flags & CONF_WORDS
			    ? conf_check_words(key, conf_field(key, record),
					       text, words, size)
			    : conf_check_length(key, text, words, size))
			return words;
		conf_store_text(conf, key, record, text);
		return NULL;
	}
	if (conf_value_read(key, text, &value, words, size) != 0)
		return words;
	conf_value_store(key, record, value);
	return NULL;
}

/* The path as it stands, or from the folder of the configuration file. */
static void conf_file_path(char *to, size_t size,
			   const struct conf_entry *entry, const char *path)
{
	const char *slash = entry->line ? strrchr(entry->origin, '/') : NULL;
	int folder = 0;

	if (path[0] != '/' && slash)
		folder = (int)(slash + 1 - entry->origin);
	snprintf(to, size, "%.*s%s", folder, entry->origin, path);
}

/* The content of the file that an entry names, owned by the caller; NULL: a
 * mistake was collected. */
static char *conf_read_value_file(struct conf *conf,
				  const struct conf_place *place,
				  const struct conf_entry *entry)
{
	char path[CONF_PATH_BYTES], reason[128];
	const char *called = path;
	char *text;
	size_t len;

	/* The secret itself may have been written there. */
	if (entry->row->flags & (CONF_SECRET | CONF_URL) &&
	    !strchr("./", entry->value[0]))
		called = "the file named here";
	conf_file_path(path, sizeof(path), entry, entry->value);
	if (conf_slurp(path, CONF_VALUE_BYTES, &text, &len, reason,
		       sizeof(reason)) != 0) {
		conf_collect(conf, place, "%.200s %s", called, reason);
		return NULL;
	}
	len = text_line_len(text, len);
	text[len] = '\0';
	if (len > 0 && !memchr(text, '\0', len))
		return text;
	conf_collect(conf, place, "%.200s %s", called,
		     len ? "holds a NUL byte" : "is empty");
	explicit_bzero(text, len);
	free(text);
	return NULL;
}

/* Names what a secret cannot be, where a server would only say that it is
 * wrong.  In a file of its own it is taken as it is. */
static bool conf_judge_secret(const struct conf_apply *apply,
			      const struct conf_entry *entry,
			      const struct conf_place *place)
{
	const struct conf_key *key = entry->row;
	const char *wrong = NULL;

	if (key->flags & CONF_SECRET && entry->commented)
		conf_warn(apply->conf, apply->section, key->name,
			  "what stands behind \" ;\" is a comment and no part "
			  "of the secret; if it is, write %s_file",
			  key->name);
	/* "$${" was meant as it stands. */
	if (entry->line && strstr(entry->written, "$${"))
		return true;
	if (key->flags & CONF_SECRET)
		wrong = conf_secret_wrong(entry->value);
	else if (key->flags & CONF_URL)
		wrong = conf_secret_wrong_in_url(entry->value);
	if (wrong)
		conf_collect(apply->conf, place,
			     "the value %s (if it is right as it is, put it "
			     "into a file and name that with %s_file)",
			     wrong, key->name);
	return !wrong;
}

static void conf_apply_entry(const struct conf_apply *apply,
			     struct conf_entry *entry, bool from_file,
			     void *record)
{
	const struct conf_key *key = entry->row;
	struct conf_place place = conf_place_of(apply->section, entry,
						key->name);
	char *content = NULL, called[64], words[200];
	char path[CONF_PATH_BYTES];
	const char *text = entry->value;

	place.variable = entry->variable;
	if (!text)
		return;
	if (from_file) {
		entry->secret_file = key->flags & (CONF_SECRET | CONF_URL);
		content = conf_read_value_file(apply->conf, &place, entry);
		if (!content)
			return;
		text = content;
	}
	if (key->flags & CONF_PATH && *text) {
		conf_file_path(path, sizeof(path), entry, text);
		text = path;
	}
	conf_keep_secret(apply->conf, key, text);
	if (key->flags & (CONF_SECRET | CONF_URL) && entry->line)
		conf_expand_was_secret(apply->conf, entry->written);
	if (!from_file && !conf_judge_secret(apply, entry, &place))
		return;
	if (conf_store(apply->conf, key, record, text, words, sizeof(words))) {
		conf_call(called, sizeof(called), key, entry, from_file);
		conf_collect(apply->conf, &place, "%s %s", called, words);
	}
	if (content)
		explicit_bzero(content, strlen(content));
	free(content);
}

/* ---- all entries ---- */

/* The entry before this one that sets the same key. */
static const struct conf_entry *conf_set_before(const struct conf_apply *apply,
						const struct conf_entry *entry)
{
	const struct conf_entry *other = apply->section->entries;

	while (other != entry && other->row != entry->row)
		other = other->next;
	return other == entry ? NULL : other;
}

static void conf_twice(const struct conf_apply *apply,
		       const struct conf_entry *entry,
		       const struct conf_entry *first)
{
	struct conf_place place = conf_place_of(apply->section, entry,
						entry->row->name);

	if (strcmp(entry->key, first->key) == 0)
		conf_collect(apply->conf, &place,
			     "is set in line %d already; keep one of them",
			     first->line);
	else
		conf_collect(apply->conf, &place,
			     "%s is set in line %d already; keep one of the "
			     "two",
			     first->key, first->line);
}

static void *conf_record_of(const struct conf_apply *apply,
			    const struct conf_key *row)
{
	const struct conf_key *key;
	size_t i;

	for (i = 0; i < apply->n; i++)
		for (key = apply->targets[i].keys; key->name; key++)
			if (key == row)
				return apply->targets[i].record;
	return NULL;
}

static void conf_apply_entries(const struct conf_apply *apply)
{
	const struct conf_entry *first;
	struct conf_entry *entry;
	bool from_file;
	void *record;

	for (entry = apply->section->entries; entry; entry = entry->next) {
		entry->row = conf_row_of(apply, entry->key, &from_file);
		if (!entry->row) {
			conf_unknown(apply, entry);
			continue;
		}
		first = conf_set_before(apply, entry);
		if (first && entry->row->type != CONF_LIST) {
			conf_twice(apply, entry, first);
			continue;
		}
		record = conf_record_of(apply, entry->row);
		if (!first && entry->row->type == CONF_LIST)
			((struct conf_list *)conf_field(entry->row, record))
				->n = 0;
		conf_apply_entry(apply, entry, from_file, record);
	}
}

static bool conf_is_set(const struct conf_section *section,
			const struct conf_key *key)
{
	const struct conf_entry *entry = section->entries;

	while (entry && entry->row != key)
		entry = entry->next;
	return entry != NULL;
}

void conf_apply(struct conf *conf, struct conf_section *section,
		const struct conf_target targets[], size_t n)
{
	struct conf_apply apply = { conf, section, targets, n };
	const struct conf_key *key;
	size_t i;

	for (i = 0; i < n; i++)
		for (key = targets[i].keys; key->name; key++)
			conf_store_default(conf, key, targets[i].record);
	if (!section)
		return;
	conf_apply_entries(&apply);
	for (i = 0; i < n; i++)
		for (key = targets[i].keys; key->name; key++)
			if (key->flags & CONF_REQUIRED &&
			    !conf_is_set(section, key))
				conf_mistake(conf, section, key->name,
					     "must be set: %s", key->help);
}

#include "config.h"

#include "conf/conf.h"

#include "conf/conf_store.h"
#include "base/text.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define CONF_FILE_SUFFIX "_file"
#define CONF_WORD_ENDS " \t\r\n,"
#define CONF_NAMES_MAX 256
/* Longer than any system call accepts, so that a path is refused, not cut. */
#define CONF_PATH_BYTES 8192

/* One call of conf_apply(). */
struct conf_apply {
	struct conf *conf;
	struct conf_section *section;
	const struct conf_target *targets;
	size_t n;
};

static void *conf_field(const struct conf_key *key, void *record)
{
	return (char *)record + key->offset;
}

static bool conf_is_text(const struct conf_key *key)
{
	return key->type == CONF_STR || key->type == CONF_LIST;
}

/* ---- finding the key of an entry ---- */

/* Later tables hide keys of earlier ones. */
static const struct conf_key *conf_find_row(const struct conf_apply *apply,
					    const char *name, size_t len,
					    void **record)
{
	const struct conf_key *key;
	size_t i;

	for (i = apply->n; i-- > 0;) {
		*record = apply->targets[i].record;
		for (key = apply->targets[i].keys; key->name; key++)
			if (strlen(key->name) == len &&
			    memcmp(key->name, name, len) == 0)
				return key;
	}
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

/* A key of a table may itself end in "_file" ("ca_file"), so the whole name is
 * looked up first. */
static const struct conf_key *conf_row_of(const struct conf_apply *apply,
					  const char *name, bool *from_file,
					  void **record)
{
	const struct conf_key *key = conf_find_row(apply, name, strlen(name),
						   record);
	size_t stem = conf_stem(name);

	*from_file = !key && stem > 0;
	return *from_file ? conf_find_row(apply, name, stem, record) : key;
}

static void conf_unknown(const struct conf_apply *apply,
			 const struct conf_entry *entry)
{
	struct conf_place place = conf_place_of(apply->section, entry,
						entry->key);
	const char *names[CONF_NAMES_MAX] = { NULL }, *nearest, *suffix = "";
	char stem[CONF_KEY_BYTES + 1];
	const struct conf_key *key;
	size_t i, n = 0;

	if (conf_is_mistaken(apply->conf, apply->section, entry->key))
		return;
	for (i = 0; i < apply->n; i++)
		for (key = apply->targets[i].keys; key->name; key++)
			if (n < CONF_NAMES_MAX - 1)
				names[n++] = key->name;
	nearest = text_nearest(entry->key, names);
	if (!nearest && conf_stem(entry->key) > 0) {
		snprintf(stem, sizeof(stem), "%.*s", (int)conf_stem(entry->key),
			 entry->key);
		nearest = text_nearest(stem, names);
		suffix = CONF_FILE_SUFFIX;
	}
	if (nearest)
		conf_collect(apply->conf, CONF_MISTAKE, &place,
			     "unknown key, did you mean \"%s%s\"?", nearest,
			     suffix);
	else
		conf_collect(apply->conf, CONF_MISTAKE, &place, "unknown key");
}

/* ---- from text to records ---- */

/* The length of the next word, and to *text its beginning; 0: none is left. */
static size_t conf_next_word(const char **text)
{
	*text += strspn(*text, CONF_WORD_ENDS);
	return strcspn(*text, CONF_WORD_ENDS);
}

/* Words for what is wrong with the length of a text; NULL: nothing. */
static const char *conf_check_length(const struct conf_key *key,
				     const char *text,
				     char words[CONF_WORDS_BYTES])
{
	size_t len = strlen(text);
	size_t min = conf_value_length(key->min, 0);
	size_t max = conf_value_length(key->max, CONF_VALUE_BYTES);

	if (len == 0 && (min > 0 || key->flags & CONF_REQUIRED))
		return "must not be empty";
	if (len >= min && len <= max)
		return NULL;
	snprintf(words, CONF_WORDS_BYTES, "must have at %s %zu characters",
		 len < min ? "least" : "most", len < min ? min : max);
	return words;
}

/* The same for a list of words: the limit is that of each word. */
static const char *conf_check_words(const struct conf_key *key,
				    const struct conf_list *list,
				    const char *text,
				    char words[CONF_WORDS_BYTES])
{
	size_t max = conf_value_length(key->max, CONF_VALUE_BYTES);
	size_t n = list->n, len;

	words[0] = '\0';
	for (; !words[0] && (len = conf_next_word(&text)); text += len)
		if (len > max)
			snprintf(words, CONF_WORDS_BYTES,
				 "has an item of more than %zu characters",
				 max);
		else if (++n > CONF_LIST_MAX)
			snprintf(words, CONF_WORDS_BYTES,
				 "makes a list of more than %d items",
				 CONF_LIST_MAX);
	return words[0] ? words : NULL;
}

/* Stores a text that is within the limits. */
static void conf_store_text(struct conf *conf, const struct conf_key *key,
			    void *record, const char *text)
{
	struct conf_list *list = conf_field(key, record);
	char **string = conf_field(key, record), *copy;
	size_t len;

	if (key->type == CONF_STR) {
		copy = conf_keep(conf, text);
		if (copy)
			*string = copy;
	} else if (key->flags & CONF_WORDS) {
		for (; (len = conf_next_word(&text)); text += len)
			conf_list_add(conf, list, text, len);
	} else if (*text) {
		conf_list_add(conf, list, text, strlen(text));
	}
}

/* Words for what is wrong with a value; NULL: it is stored. */
static const char *conf_store(struct conf *conf, const struct conf_key *key,
			      void *record, const char *text,
			      char words[CONF_WORDS_BYTES])
{
	const char *wrong;
	int64_t value;

	if (!conf_is_text(key)) {
		if (conf_value_read(key, text, &value, words) != 0)
			return words;
		conf_value_store(key, record, value);
		return NULL;
	}
	wrong = key->flags & CONF_WORDS
			? conf_check_words(key, conf_field(key, record), text,
					   words)
			: conf_check_length(key, text, words);
	if (!wrong)
		conf_store_text(conf, key, record, text);
	return wrong;
}

static void conf_store_default(struct conf *conf, const struct conf_key *key,
			       void *record)
{
	static char empty[] = "";
	char words[CONF_WORDS_BYTES];
	const char *bad = NULL;

	if (key->type == CONF_STR)
		*(char **)conf_field(key, record) = empty;
	else if (key->type == CONF_LIST)
		*(struct conf_list *)conf_field(
			key, record) = (struct conf_list){ .n = 0 };
	else
		conf_value_store(key, record, 0);
	if (key->dflt && conf_is_text(key))
		conf_store_text(conf, key, record, key->dflt);
	else if (key->dflt)
		bad = conf_store(conf, key, record, key->dflt, words);
	assert(!bad);
	(void)bad;
}

/* ---- one entry ---- */

/* The path as it is, or relative to the directory of the configuration file. */
static void conf_file_path(char to[CONF_PATH_BYTES],
			   const struct conf_entry *entry, const char *path)
{
	const char *slash = entry->line ? strrchr(entry->origin, '/') : NULL;
	int directory = 0;

	if (path[0] != '/' && slash)
		directory = (int)(slash + 1 - entry->origin);
	snprintf(to, CONF_PATH_BYTES, "%.*s%s", directory, entry->origin, path);
}

/* The content of the file that an entry names, owned by the caller; NULL: an
 * error was collected. */
static char *conf_read_value_file(struct conf *conf,
				  const struct conf_place *place,
				  const struct conf_entry *entry)
{
	char path[CONF_PATH_BYTES], reason[128];
	const char *called = path;
	char *text = NULL;
	size_t len = 0;

	/* In place of the path, the secret itself may have been written. */
	if (entry->row->flags & (CONF_SECRET | CONF_URL) &&
	    !strchr("./", entry->value[0]))
		called = "the file named here";
	conf_file_path(path, entry, entry->value);
	if (conf_slurp(path, CONF_VALUE_BYTES, &text, &len, reason,
		       sizeof(reason)) == 0) {
		len = text_line_len(text, len);
		text[len] = '\0';
		if (len > 0 && !memchr(text, '\0', len))
			return text;
		snprintf(reason, sizeof(reason),
			 len ? "has a NUL byte" : "is empty");
		explicit_bzero(text, len);
		free(text);
	}
	conf_collect(conf, CONF_MISTAKE, place, "%.200s %s", called, reason);
	return NULL;
}

/* Finds what is certainly not a secret, where a server would only say that it
 * is wrong.  A file of its own may hold anything. */
static bool conf_judge_secret(const struct conf_apply *apply,
			      const struct conf_entry *entry,
			      const struct conf_place *place)
{
	const struct conf_key *key = entry->row;
	const char *wrong = NULL;

	if (key->flags & CONF_SECRET && entry->commented)
		conf_warn(apply->conf, apply->section, key->name,
			  "the text after \" ;\" is a comment, not part of the "
			  "secret; if it is part of it, write %s_file",
			  key->name);
	/* "$${" was written on purpose. */
	if (entry->line && strstr(entry->written, "$${"))
		return true;
	if (key->flags & CONF_SECRET)
		wrong = conf_secret_wrong(entry->value);
	else if (key->flags & CONF_URL)
		wrong = conf_secret_wrong_in_url(entry->value);
	if (wrong)
		conf_collect(apply->conf, CONF_MISTAKE, place,
			     "the value %s (if it is correct, put it into a "
			     "file and name the file with %s_file)",
			     wrong, key->name);
	return !wrong;
}

/* Registers what is secret in a value, and notes the variables in it. */
static void conf_keep_secret(struct conf *conf, const struct conf_entry *entry,
			     const char *text)
{
	unsigned flags = entry->row->flags;
	const char *at = entry->written;

	if (!(flags & CONF_MIXED) &&
	    ((flags & CONF_SECRET && text_secret(text) != 0) ||
	     (flags & CONF_URL && !(flags & CONF_SECRET) &&
	      conf_secret_register_url(text) != 0)))
		conf->out_of_memory = true;
	if (!(flags & (CONF_SECRET | CONF_URL)) || !entry->line)
		return;
	for (; (at = strstr(at, "${")); at += 2)
		if (at == entry->written || at[-1] != '$')
			conf_list_add(conf, &conf->secret_variables, at + 2,
				      conf_variable_len(at) - strlen("${}"));
}

static void conf_apply_entry(const struct conf_apply *apply,
			     struct conf_entry *entry, bool from_file,
			     void *record)
{
	const struct conf_key *key = entry->row;
	struct conf_place place = conf_place_of(apply->section, entry,
						key->name);
	char *content = NULL, words[CONF_WORDS_BYTES], clean[48];
	char path[CONF_PATH_BYTES];
	const char *text = entry->value, *wrong = NULL;

	place.variable = entry->variable;
	if (text && from_file) {
		entry->secret_file = key->flags & (CONF_SECRET | CONF_URL);
		text = content = conf_read_value_file(apply->conf, &place,
						      entry);
	}
	if (!text)
		return;
	if (key->flags & CONF_PATH && *text) {
		conf_file_path(path, entry, text);
		text = path;
	}
	conf_keep_secret(apply->conf, entry, text);
	if (from_file || conf_judge_secret(apply, entry, &place))
		wrong = conf_store(apply->conf, key, record, text, words);
	/* The content of a file or a variable is not shown: it may be a secret
	 * under the wrong key. */
	text_clean(clean, sizeof(clean), entry->written,
		   strlen(entry->written));
	if (wrong && from_file)
		conf_collect(apply->conf, CONF_MISTAKE, &place,
			     "the content of the file %s", wrong);
	else if (wrong && (conf_is_text(key) || entry->variable))
		conf_collect(apply->conf, CONF_MISTAKE, &place, "the value %s",
			     wrong);
	else if (wrong)
		conf_collect(apply->conf, CONF_MISTAKE, &place, "\"%s\" %s",
			     clean, wrong);
	if (content)
		explicit_bzero(content, strlen(content));
	free(content);
}

/* ---- all entries ---- */

/* Reports a key that an earlier entry has set. */
static void conf_twice(const struct conf_apply *apply,
		       const struct conf_entry *entry,
		       const struct conf_entry *first)
{
	struct conf_place place = conf_place_of(apply->section, entry,
						entry->row->name);
	bool same = strcmp(entry->key, first->key) == 0;

	conf_collect(apply->conf, CONF_MISTAKE, &place,
		     "%s%sis already set in line %d; keep one of them",
		     same ? "" : first->key, same ? "" : " ", first->line);
}

static void conf_apply_entries(const struct conf_apply *apply)
{
	struct conf_entry *entry, *first;
	bool from_file;
	void *record;

	for (entry = apply->section->entries; entry; entry = entry->next) {
		entry->row = conf_row_of(apply, entry->key, &from_file,
					 &record);
		first = apply->section->entries;
		while (first->row != entry->row && first != entry)
			first = first->next;
		if (!entry->row) {
			conf_unknown(apply, entry);
		} else if (first != entry && entry->row->type != CONF_LIST) {
			conf_twice(apply, entry, first);
		} else {
			if (first == entry && entry->row->type == CONF_LIST)
				((struct conf_list *)conf_field(entry->row,
								record))
					->n = 0;
			conf_apply_entry(apply, entry, from_file, record);
		}
	}
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
			    !conf_section_has(section, key->name))
				conf_mistake(conf, section, key->name,
					     "must be set: %s", key->help);
}

/* ---- from records to text ---- */

/* The texts of a field; NULL: it is a number. */
static char *const *conf_texts(const struct conf_key *key, const void *record,
			       size_t *n)
{
	const void *field = (const char *)record + key->offset;
	const struct conf_list *list = field;

	*n = key->type == CONF_LIST ? list->n : key->type == CONF_STR;
	if (key->type == CONF_LIST)
		return list->items;
	return key->type == CONF_STR ? field : NULL;
}

bool conf_same_texts(const struct conf_key *keys, const void *one,
		     const void *other)
{
	char *const *a, *const *b;
	size_t n, m, i;

	for (; keys->name; keys++) {
		a = conf_texts(keys, one, &n);
		b = conf_texts(keys, other, &m);
		if (n != m)
			return false;
		for (i = 0; i < n; i++)
			if (strcmp(a[i], b[i]) != 0)
				return false;
	}
	return true;
}

void conf_feed(const struct conf_key *keys, const void *record,
	       void (*feed)(void *arg, const void *bytes, size_t len),
	       void *arg)
{
	char *const *texts;
	size_t n, i;
	int64_t value;

	for (; keys->name; keys++) {
		texts = conf_texts(keys, record, &n);
		value = conf_is_text(keys) ? (int64_t)n
					   : conf_value_load(keys, record);
		/* Texts with their end, so that "ab" "c" is not "a" "bc". */
		feed(arg, keys->name, strlen(keys->name) + 1);
		feed(arg, &value, sizeof(value));
		for (i = 0; i < n; i++)
			feed(arg, texts[i], strlen(texts[i]) + 1);
	}
}

/* Whether a line can hold the value, so that reading it gives the same. */
static bool conf_printable(const char *text)
{
	const char *at;

	if (strchr(" \t;", text[0]) || strlen(text) > CONF_LINE_BYTES / 2)
		return false;
	for (at = text; *at; at++) {
		if ((unsigned char)*at < 0x20 || *at == 0x7f)
			return false;
		if (*at == ' ' && (at[1] == ';' || at[1] == '\0'))
			return false;
	}
	return true;
}

static void conf_print_text(FILE *to, const struct conf_key *key, int width,
			    const char *text, bool hide_urls)
{
	bool hidden = key->flags & CONF_SECRET ||
		      (hide_urls && key->flags & CONF_URL);
	bool in_url = key->flags & CONF_URL && conf_secret_in_url(text);
	bool unset = !*text && (!key->dflt || !*key->dflt);
	bool odd = *text && !conf_printable(text);

	fprintf(to, "%s%-*s =%s",
		unset || (*text && (hidden || odd || in_url)) ? "# " : "",
		width, key->name, unset ? "" : " ");
	if (*text && hidden)
		fputs("(set, not shown)", to);
	else if (odd)
		fputs("(set; does not fit into a line)", to);
	else if (in_url)
		conf_secret_print_url(to, text);
	else
		for (; *text; text++)
			fprintf(to, strncmp(text, "${", 2) ? "%c" : "$%c",
				*text);
	fprintf(to, "  ; %s\n", key->help);
}

void conf_print(FILE *to, const struct conf_key *keys, const void *record,
		bool hide_urls)
{
	const struct conf_key *key;
	char *const *texts;
	int width = 0;
	size_t n, i;

	for (key = keys; key->name; key++)
		if ((int)strlen(key->name) > width)
			width = (int)strlen(key->name);
	for (key = keys; key->name; key++) {
		texts = conf_texts(key, record, &n);
		for (i = 0; i < n; i++)
			conf_print_text(to, key, width, texts[i], hide_urls);
		if (n == 0 && conf_is_text(key))
			conf_print_text(to, key, width, "", hide_urls);
		if (conf_is_text(key))
			continue;
		fprintf(to, "%-*s = ", width, key->name);
		conf_value_print(to, key, conf_value_load(key, record));
		fprintf(to, "  ; %s\n", key->help);
	}
}

#include "config.h"

#include "conf/conf.h"

#include "conf/conf_store.h"
#include "base/text.h"

#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define CONF_FILE_SUFFIX "_file"
#define CONF_WORD_ENDS " \t\r\n,"
#define CONF_NAMES_MAX 256
/* Longer than any system call accepts, so that a path is refused, not cut. */
#define CONF_PATH_BYTES 8192

#define CONF_WORDS_BYTES 200 /* what is wrong with a value, in words */

struct conf_unit {
	const char *name;
	int64_t factor;
};

/* Descending: values are shown in the largest unit that divides them. */
static const struct conf_unit conf_duration_units[] = {
	{ "d", 86400000 }, { "h", 3600000 }, { "m", 60000 },
	{ "s", 1000 },	   { "ms", 1 },	     { NULL, 0 },
};
static const struct conf_unit conf_size_units[] = {
	{ "G", 1 << 30 }, { "M", 1 << 20 }, { "k", 1 << 10 },
	{ "K", 1 << 10 }, { "", 1 },	    { NULL, 0 },
};
static const struct conf_unit conf_plain_units[] = { { "", 1 }, { NULL, 0 } };

/* One call of conf_apply(). */
struct conf_apply {
	struct conf *conf;
	struct conf_section *section;
	const struct conf_target *targets;
	size_t n;
};

/* A field of a record, by each type that it may have. */
union conf_field {
	void *any;
	bool *truth;
	int *choice;
	int64_t *number;
	char **text;
	struct conf_list *list;
};

static union conf_field conf_field(const struct conf_key *key,
				   const void *record)
{
	return (union conf_field){ .any = (char *)record + key->offset };
}

static bool conf_is_text(const struct conf_key *key)
{
	return key->type == CONF_STR || key->type == CONF_LIST;
}

static bool conf_is_word(const struct conf_key *key)
{
	return key->type == CONF_BOOL || key->type == CONF_CHOICE;
}

/* ---- numbers and words ---- */

/*
 * The number at the start of a text; returns what follows, NULL: not a number.
 * One that is too large becomes INT64_MAX, which no limit allows.
 */
static const char *conf_read_digits(const char *text, int64_t *number)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return NULL;
	*number = strtoll(text, &end, 10);
	return end;
}

static const struct conf_unit *conf_units(const struct conf_key *key)
{
	if (key->type == CONF_DURATION)
		return conf_duration_units;
	return key->type == CONF_SIZE ? conf_size_units : conf_plain_units;
}

/* Words for what is wrong with a number; NULL: nothing. */
static const char *conf_read_number(const struct conf_key *key,
				    const char *text, int64_t *value,
				    char words[CONF_WORDS_BYTES])
{
	bool negative = key->type == CONF_INT && text[0] == '-';
	const char *end = conf_read_digits(text + negative, value);
	const struct conf_unit *unit = conf_units(key);

	if (key->type == CONF_DURATION && end && !*end && *value == 0)
		return NULL;
	while (end && unit->name && strcmp(unit->name, end) != 0)
		unit++;
	if (end && unit->name) {
		if (__builtin_mul_overflow(*value, unit->factor, value))
			*value = INT64_MAX;
		if (negative)
			*value = -*value;
		return NULL;
	}
	if (key->type == CONF_INT)
		return "is not a whole number";
	if (key->type == CONF_SIZE)
		return "is not a size; write a number of bytes such as 100, "
		       "4k, 10M or 1G";
	if (!end || *end)
		return "is not a duration; write a whole number and a unit "
		       "(ms, s, m, h, d), such as 500ms or 2s";
	snprintf(words, CONF_WORDS_BYTES, "needs a unit; write %.19ss or 500ms",
		 text);
	return words;
}

/* Those of a bool alternate. */
static const char *conf_choices(const struct conf_key *key)
{
	return key->type == CONF_BOOL ? "no|yes|off|on|false|true" : key->max;
}

/* The same for any type but CONF_STR and CONF_LIST, without limits. */
static const char *conf_read_any(const struct conf_key *key, const char *text,
				 int64_t *value, char words[CONF_WORDS_BYTES])
{
	if (!conf_is_word(key))
		return conf_read_number(key, text, value, words);
	*value = conf_which(conf_choices(key), text, strlen(text));
	if (key->type == CONF_BOOL && *value >= 0)
		*value %= 2;
	if (*value >= 0)
		return NULL;
	if (key->type == CONF_BOOL)
		return "must be yes or no";
	snprintf(words, CONF_WORDS_BYTES, "must be one of: %s", key->max);
	return words;
}

/* A limit comes from our own table and is valid. */
static int64_t conf_limit(const struct conf_key *key, const char *limit,
			  int64_t otherwise)
{
	char words[CONF_WORDS_BYTES];

	if (limit && conf_read_number(key, limit, &otherwise, words))
		assert(!"a limit in a table is not a number");
	return otherwise;
}

/* With its limits. */
static const char *conf_read_value(const struct conf_key *key, const char *text,
				   int64_t *value, char words[CONF_WORDS_BYTES])
{
	const char *wrong = *text ? conf_read_any(key, text, value, words)
				  : "must not be empty";
	bool below;

	if (wrong || conf_is_word(key))
		return wrong;
	below = *value < conf_limit(key, key->min, INT64_MIN);
	if (!below && *value <= conf_limit(key, key->max, INT64_MAX - 1))
		return NULL;
	if (key->min && key->max)
		snprintf(words, CONF_WORDS_BYTES, "must be between %s and %s",
			 key->min, key->max);
	else if (below || key->max)
		snprintf(words, CONF_WORDS_BYTES, "must be at %s %s",
			 below ? "least" : "most", below ? key->min : key->max);
	else
		return "is too large";
	return words;
}

/* As the user would write it. */
static void conf_print_value(FILE *to, const struct conf_key *key,
			     int64_t value)
{
	const struct conf_unit *unit = conf_units(key);
	const char *choices = conf_choices(key);

	if (conf_is_word(key)) {
		while (value-- > 0)
			choices += strcspn(choices, "|") + 1;
		fprintf(to, "%.*s", (int)strcspn(choices, "|"), choices);
	} else if (value == 0) {
		fputs(key->type == CONF_DURATION ? "0s" : "0", to);
	} else {
		while (value % unit->factor != 0)
			unit++;
		fprintf(to, "%" PRId64 "%s", value / unit->factor, unit->name);
	}
}

static int64_t conf_load(const struct conf_key *key, const void *record)
{
	union conf_field field = conf_field(key, record);

	return key->type == CONF_BOOL	  ? *field.truth
	       : key->type == CONF_CHOICE ? *field.choice
					  : *field.number;
}

/* ---- finding the key of an entry ---- */

/* Sets the row of an entry and its record; false: no table has that name.
 * Later tables hide keys of earlier ones. */
static bool conf_find_row(const struct conf_apply *apply,
			  struct conf_entry *entry, size_t len)
{
	const struct conf_key *key;
	size_t i;

	for (i = apply->n; i-- > 0;)
		for (key = apply->targets[i].keys; key->name; key++)
			if (strlen(key->name) == len &&
			    memcmp(key->name, entry->key, len) == 0) {
				entry->row = key;
				entry->record = apply->targets[i].record;
				return true;
			}
	return false;
}

/* The length of a name without "_file" at its end, 0 when it has none. */
static size_t conf_stem(const char *name)
{
	size_t len = strlen(name), suffix = strlen(CONF_FILE_SUFFIX);

	if (len <= suffix || strcmp(name + len - suffix, CONF_FILE_SUFFIX) != 0)
		return 0;
	return len - suffix;
}

static void conf_unknown(const struct conf_apply *apply,
			 const struct conf_entry *entry)
{
	struct conf_entry place = *entry;
	const char *names[CONF_NAMES_MAX] = { NULL }, *nearest, *suffix = "";
	char stem[CONF_KEY_BYTES + 1];
	const struct conf_key *key;
	size_t i, n = 0;

	if (conf_is_mistaken(apply->conf, apply->section, entry->key))
		return;
	place.variable = NULL; /* the key was typed */
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
		conf_wrong(apply->conf, &place,
			   "unknown key, did you mean \"%s%s\"?", nearest,
			   suffix);
	else
		conf_wrong(apply->conf, &place, "unknown key");
}

/* ---- from text to records ---- */

/* The length of the next word, and to *text its beginning; 0: none is left. */
static size_t conf_next_word(const char **text)
{
	*text += strspn(*text, CONF_WORD_ENDS);
	return strcspn(*text, CONF_WORD_ENDS);
}

/* Words for what is wrong with the length of a text; NULL: nothing.  Of a list
 * of words, the limit is that of each word. */
static const char *conf_check_text(const struct conf_key *key,
				   const void *record, const char *text,
				   char words[CONF_WORDS_BYTES])
{
	const struct conf_key plain = { .type = CONF_INT };
	size_t min = (size_t)conf_limit(&plain, key->min, 0);
	size_t max = (size_t)conf_limit(&plain, key->max, CONF_VALUE_BYTES);
	size_t len = strlen(text), n;

	words[0] = '\0';
	if (key->flags & CONF_WORDS) {
		n = conf_field(key, record).list->n;
		for (; !words[0] && (len = conf_next_word(&text)); text += len)
			if (len > max)
				snprintf(words, CONF_WORDS_BYTES,
					 "has an item of more than %zu "
					 "characters",
					 max);
			else if (++n > CONF_LIST_MAX)
				snprintf(words, CONF_WORDS_BYTES,
					 "makes a list of more than %d items",
					 CONF_LIST_MAX);
		return words[0] ? words : NULL;
	}
	if (len == 0 && (min > 0 || key->flags & CONF_REQUIRED))
		return "must not be empty";
	if (len >= min && len <= max)
		return NULL;
	snprintf(words, CONF_WORDS_BYTES, "must have at %s %zu characters",
		 len < min ? "least" : "most", len < min ? min : max);
	return words;
}

/* Stores a text that is within the limits. */
static void conf_store_text(struct conf *conf, const struct conf_key *key,
			    void *record, const char *text)
{
	union conf_field field = conf_field(key, record);
	char *copy;
	size_t len;

	if (key->type == CONF_STR) {
		copy = conf_keep(conf, text);
		if (copy)
			*field.text = copy;
	} else if (key->flags & CONF_WORDS) {
		for (; (len = conf_next_word(&text)); text += len)
			conf_list_add(conf, field.list, text, len);
	} else if (*text) {
		conf_list_add(conf, field.list, text, strlen(text));
	}
}

/* Words for what is wrong with a value; NULL: it is stored. */
static const char *conf_store(struct conf *conf, const struct conf_key *key,
			      void *record, const char *text,
			      char words[CONF_WORDS_BYTES])
{
	union conf_field field = conf_field(key, record);
	const char *wrong;
	int64_t value;

	if (conf_is_text(key)) {
		wrong = conf_check_text(key, record, text, words);
		if (!wrong)
			conf_store_text(conf, key, record, text);
		return wrong;
	}
	wrong = conf_read_value(key, text, &value, words);
	if (wrong)
		return wrong;
	if (key->type == CONF_BOOL)
		*field.truth = value != 0;
	else if (key->type == CONF_CHOICE)
		*field.choice = (int)value;
	else
		*field.number = value;
	return NULL;
}

static void conf_store_default(struct conf *conf, const struct conf_key *key,
			       void *record)
{
	static char empty[] = "";
	union conf_field field = conf_field(key, record);
	char words[CONF_WORDS_BYTES];
	const char *wrong = NULL;

	if (key->type == CONF_STR)
		*field.text = empty;
	else if (key->type == CONF_LIST)
		*field.list = (struct conf_list){ .n = 0 };
	else if (key->type == CONF_BOOL)
		*field.truth = false;
	else if (key->type == CONF_CHOICE)
		*field.choice = 0;
	else
		*field.number = 0;
	if (key->dflt && conf_is_text(key))
		conf_store_text(conf, key, record, key->dflt);
	else if (key->dflt)
		wrong = conf_store(conf, key, record, key->dflt, words);
	assert(!wrong);
	(void)wrong;
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
	conf_wrong(conf, entry, "%.200s %s", called, reason);
	return NULL;
}

/* Finds what is certainly not a secret, where a server would only say that it
 * is wrong.  A file of its own may hold anything. */
static bool conf_judge_secret(const struct conf_apply *apply,
			      const struct conf_entry *entry)
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
		conf_wrong(apply->conf, entry,
			   "the value %s (if it is correct, put it into a file "
			   "and name the file with %s_file)",
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
			     const struct conf_entry *entry)
{
	const struct conf_key *key = entry->row;
	char *content = NULL, words[CONF_WORDS_BYTES], clean[48];
	char path[CONF_PATH_BYTES];
	const char *text = entry->value, *wrong = NULL;

	if (text && entry->from_file) {
		if (key->flags & (CONF_SECRET | CONF_URL))
			apply->section->secret_file = true;
		text = content = conf_read_value_file(apply->conf, entry);
	}
	if (!text)
		return;
	if (key->flags & CONF_PATH && *text) {
		conf_file_path(path, entry, text);
		text = path;
	}
	conf_keep_secret(apply->conf, entry, text);
	if (entry->from_file || conf_judge_secret(apply, entry))
		wrong = conf_store(apply->conf, key, entry->record, text,
				   words);
	/* The content of a file or a variable is not shown: it may be a secret
	 * under the wrong key. */
	text_clean(clean, sizeof(clean), entry->written,
		   strlen(entry->written));
	if (wrong && entry->from_file)
		conf_wrong(apply->conf, entry, "the content of the file %s",
			   wrong);
	else if (wrong && (conf_is_text(key) || entry->variable))
		conf_wrong(apply->conf, entry, "the value %s", wrong);
	else if (wrong)
		conf_wrong(apply->conf, entry, "\"%s\" %s", clean, wrong);
	if (content)
		explicit_bzero(content, strlen(content));
	free(content);
}

/* ---- all entries ---- */

/* Reports a key that an earlier entry has set. */
static void conf_twice(struct conf *conf, const struct conf_entry *entry,
		       const struct conf_entry *first)
{
	struct conf_entry place = *entry;
	bool same = strcmp(entry->key, first->key) == 0;

	place.variable = NULL; /* the key was typed */
	conf_wrong(conf, &place,
		   "%s%sis already set in line %d; keep one of them",
		   same ? "" : first->key, same ? "" : " ", first->line);
}

static void conf_apply_entries(const struct conf_apply *apply)
{
	struct conf_entry *entry, *first;
	bool list;

	for (entry = apply->section->entries; entry; entry = entry->next) {
		/* A key of a table may itself end in "_file" ("ca_file"), so
		 * the whole name is looked up first. */
		entry->row = NULL;
		entry->from_file = !conf_find_row(apply, entry,
						  strlen(entry->key)) &&
				   conf_stem(entry->key) > 0 &&
				   conf_find_row(apply, entry,
						 conf_stem(entry->key));
		if (!entry->row) {
			conf_unknown(apply, entry);
			continue;
		}
		first = apply->section->entries;
		while (first->row != entry->row && first != entry)
			first = first->next;
		list = entry->row->type == CONF_LIST;
		if (first == entry && list)
			conf_field(entry->row, entry->record).list->n = 0;
		if (first == entry || list)
			conf_apply_entry(apply, entry);
		else
			conf_twice(apply->conf, entry, first);
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
					   : conf_load(keys, record);
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
	size_t len = strlen(text);

	return len <= CONF_LINE_BYTES / 2 && !strchr(" \t;", text[0]) &&
	       text[len - 1] != ' ' && !strstr(text, " ;") &&
	       !strpbrk(text, CONF_CONTROLS "\t");
}

static void conf_print_text(FILE *to, const struct conf_key *key, int width,
			    const char *text, bool hide_urls)
{
	bool hidden = key->flags & CONF_SECRET ||
		      (hide_urls && key->flags & CONF_URL);
	bool in_url = key->flags & CONF_URL &&
		      conf_secret_print_url(NULL, text);
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
		conf_print_value(to, key, conf_load(key, record));
		fprintf(to, "  ; %s\n", key->help);
	}
}

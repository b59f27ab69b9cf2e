#include "config.h"

#include "conf/conf_value.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <strings.h>

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

struct conf_words {
	char *text;
	size_t size;
};

static int conf_wrong(const struct conf_words *words, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

static int conf_wrong(const struct conf_words *words, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(words->text, words->size, fmt, args);
	va_end(args);
	return -1;
}

/* ---- reading ---- */

/*
 * The whole number that a text begins with; what follows it to *end.  false:
 * there is none.  One that is too large becomes the largest, so that the
 * limits refuse it.
 */
static bool conf_read_digits(const char *text, int64_t *number,
			     const char **end)
{
	const char *at = text;

	for (*number = 0; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, *at - '0', number))
			*number = INT64_MAX;
	*end = at;
	return at > text;
}

static const struct conf_unit *conf_find_unit(const struct conf_unit units[],
					      const char *name)
{
	for (; units->name; units++)
		if (strcmp(units->name, name) == 0)
			return units;
	return NULL;
}

static int64_t conf_times(int64_t number, const struct conf_unit *unit)
{
	int64_t product;

	if (__builtin_mul_overflow(number, unit->factor, &product))
		return INT64_MAX;
	return product;
}

static int conf_read_duration(const char *text, int64_t *value,
			      const struct conf_words *words)
{
	const struct conf_unit *unit;
	const char *end;

	if (!conf_read_digits(text, value, &end))
		return conf_wrong(words, "is not a duration, write a whole "
					 "number and a unit: 500ms, 2s, 1m");
	if (*end == '\0' && *value == 0)
		return 0;
	if (*end == '\0')
		return conf_wrong(words, "needs a unit, write %.19ss or 500ms",
				  text);
	unit = conf_find_unit(conf_duration_units, end);
	if (!unit)
		return conf_wrong(words, "is not a duration, write a whole "
					 "number and one of ms, s, m, h, d");
	*value = conf_times(*value, unit);
	return 0;
}

static int conf_read_size(const char *text, int64_t *value,
			  const struct conf_words *words)
{
	const struct conf_unit *unit = NULL;
	const char *end;

	if (conf_read_digits(text, value, &end))
		unit = conf_find_unit(conf_size_units, end);
	if (!unit)
		return conf_wrong(words, "is not a size, write a number of "
					 "bytes as 100, 4k, 10M or 1G");
	*value = conf_times(*value, unit);
	return 0;
}

static int conf_read_int(const char *text, int64_t *value,
			 const struct conf_words *words)
{
	bool negative = text[0] == '-';
	const char *end;

	if (!conf_read_digits(text + negative, value, &end) || *end)
		return conf_wrong(words, "is not a whole number");
	if (negative)
		*value = -*value;
	return 0;
}

static int conf_read_bool(const char *text, int64_t *value,
			  const struct conf_words *words)
{
	static const char *const spelled[] = { "no", "yes",   "off",
					       "on", "false", "true" };
	size_t i;

	for (i = 0; i < sizeof(spelled) / sizeof(spelled[0]); i++) {
		if (strcasecmp(text, spelled[i]) == 0) {
			*value = (int64_t)(i % 2);
			return 0;
		}
	}
	return conf_wrong(words, "is not understood, write yes or no");
}

/* The index of a word in "one|two|three"; -1: it is none of them. */
static int conf_choice_of(const char *choices, const char *text)
{
	size_t len = strlen(text), other;
	int index;

	for (index = 0;; index++) {
		other = strcspn(choices, "|");
		if (other == len && strncasecmp(choices, text, len) == 0)
			return index;
		if (choices[other] == '\0')
			return -1;
		choices += other + 1;
	}
}

static int conf_read_choice(const char *choices, const char *text,
			    int64_t *value, const struct conf_words *words)
{
	char list[160];
	size_t len = 0;

	*value = conf_choice_of(choices, text);
	if (*value >= 0)
		return 0;
	for (; *choices && len + 3 < sizeof(list); choices++) {
		if (*choices == '|') {
			list[len++] = ',';
			list[len++] = ' ';
		} else {
			list[len++] = *choices;
		}
	}
	list[len] = '\0';
	return conf_wrong(words, "is none of: %s", list);
}

static int conf_read_any(const struct conf_key *key, const char *text,
			 int64_t *value, const struct conf_words *words)
{
	switch (key->type) {
	case CONF_BOOL:
		return conf_read_bool(text, value, words);
	case CONF_INT:
		return conf_read_int(text, value, words);
	case CONF_DURATION:
		return conf_read_duration(text, value, words);
	case CONF_SIZE:
		return conf_read_size(text, value, words);
	case CONF_CHOICE:
		return conf_read_choice(key->max, text, value, words);
	case CONF_STR:
	case CONF_LIST:
		break;
	}
	assert(!"a type that is no number");
	return -1;
}

/* ---- limits ---- */

/* A limit stands in our own table: it is right. */
static int64_t conf_limit(const struct conf_key *key, const char *limit)
{
	char words[160];
	struct conf_words unused = { words, sizeof(words) };
	int64_t value = 0;
	int bad = conf_read_any(key, limit, &value, &unused);

	assert(bad == 0);
	(void)bad;
	return value;
}

static int conf_check_limits(const struct conf_key *key, int64_t value,
			     const struct conf_words *words)
{
	bool below, above;

	if (key->type == CONF_BOOL || key->type == CONF_CHOICE)
		return 0;
	below = key->min && value < conf_limit(key, key->min);
	above = key->max && value > conf_limit(key, key->max);
	if (!below && !above && value != INT64_MAX)
		return 0;
	if (key->min && key->max)
		return conf_wrong(words, "must be between %s and %s", key->min,
				  key->max);
	if (key->min && below)
		return conf_wrong(words, "must be at least %s", key->min);
	if (key->max)
		return conf_wrong(words, "must be at most %s", key->max);
	return conf_wrong(words, "is too large");
}

int conf_value_read(const struct conf_key *key, const char *text,
		    int64_t *value, char *words, size_t words_size)
{
	struct conf_words wrong = { words, words_size };

	if (text[0] == '\0')
		return conf_wrong(&wrong, "must not be empty");
	if (conf_read_any(key, text, value, &wrong) != 0)
		return -1;
	return conf_check_limits(key, *value, &wrong);
}

size_t conf_value_length(const char *limit, size_t otherwise)
{
	const char *end;
	int64_t length;
	bool is_number;

	if (!limit)
		return otherwise;
	is_number = conf_read_digits(limit, &length, &end) && !*end;
	assert(is_number);
	return is_number ? (size_t)length : otherwise;
}

/* ---- showing ---- */

static void conf_print_units(FILE *to, const struct conf_unit units[],
			     int64_t value)
{
	while (value % units->factor != 0)
		units++;
	fprintf(to, "%" PRId64 "%s", value / units->factor, units->name);
}

static void conf_print_choice(FILE *to, const char *choices, int64_t index)
{
	while (index-- > 0)
		choices += strcspn(choices, "|") + 1;
	fprintf(to, "%.*s", (int)strcspn(choices, "|"), choices);
}

void conf_value_print(FILE *to, const struct conf_key *key, int64_t value)
{
	switch (key->type) {
	case CONF_BOOL:
		fputs(value ? "yes" : "no", to);
		break;
	case CONF_INT:
		fprintf(to, "%" PRId64, value);
		break;
	case CONF_DURATION:
		if (value == 0)
			fputs("0s", to);
		else
			conf_print_units(to, conf_duration_units, value);
		break;
	case CONF_SIZE:
		if (value == 0)
			fputs("0", to);
		else
			conf_print_units(to, conf_size_units, value);
		break;
	case CONF_CHOICE:
		conf_print_choice(to, key->max, value);
		break;
	case CONF_STR:
	case CONF_LIST:
		assert(!"a type that is no number");
	}
}

/* ---- records ---- */

int64_t conf_value_load(const struct conf_key *key, const void *record)
{
	const char *field = (const char *)record + key->offset;

	if (key->type == CONF_BOOL)
		return *(const bool *)(const void *)field;
	if (key->type == CONF_CHOICE)
		return *(const int *)(const void *)field;
	return *(const int64_t *)(const void *)field;
}

void conf_value_store(const struct conf_key *key, void *record, int64_t value)
{
	char *field = (char *)record + key->offset;

	if (key->type == CONF_BOOL)
		*(bool *)(void *)field = value != 0;
	else if (key->type == CONF_CHOICE)
		*(int *)(void *)field = (int)value;
	else
		*(int64_t *)(void *)field = value;
}

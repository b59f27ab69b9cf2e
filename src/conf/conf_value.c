#include "config.h"

#include "conf/conf_store.h"

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
static const struct conf_unit conf_plain_units[] = { { "", 1 }, { NULL, 0 } };

__attribute__((format(printf, 2, 3))) static int conf_wrong(
	char words[CONF_WORDS_BYTES], const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(words, CONF_WORDS_BYTES, fmt, args);
	va_end(args);
	return -1;
}

/* ---- numbers ---- */

/* The number at the start of a text; returns what follows, NULL: not a number.
 * A number that is too large becomes INT64_MAX, which no limit allows. */
static const char *conf_read_digits(const char *text, int64_t *number)
{
	const char *at = text;

	for (*number = 0; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(*number, 10, number) ||
		    __builtin_add_overflow(*number, *at - '0', number))
			*number = INT64_MAX;
	return at > text ? at : NULL;
}

static const struct conf_unit *conf_units(const struct conf_key *key)
{
	if (key->type == CONF_DURATION)
		return conf_duration_units;
	return key->type == CONF_SIZE ? conf_size_units : conf_plain_units;
}

static int conf_read_number(const struct conf_key *key, const char *text,
			    int64_t *value, char words[CONF_WORDS_BYTES])
{
	bool negative = key->type == CONF_INT && text[0] == '-';
	const char *end = conf_read_digits(text + negative, value);
	const struct conf_unit *unit = conf_units(key);

	if (key->type == CONF_DURATION && end && !*end && *value == 0)
		return 0;
	while (end && unit->name && strcmp(unit->name, end) != 0)
		unit++;
	if (end && unit->name) {
		if (__builtin_mul_overflow(*value, unit->factor, value))
			*value = INT64_MAX;
		if (negative)
			*value = -*value;
		return 0;
	}
	if (key->type == CONF_INT)
		return conf_wrong(words, "is not a whole number");
	if (key->type == CONF_SIZE)
		return conf_wrong(words, "is not a size; write a number of "
					 "bytes such as 100, 4k, 10M or 1G");
	if (end && !*end)
		return conf_wrong(words, "needs a unit; write %.19ss or 500ms",
				  text);
	return conf_wrong(words, "is not a duration; write a whole number and "
				 "a unit (ms, s, m, h, d), such as 500ms or "
				 "2s");
}

/* ---- words ---- */

/* Those of a bool alternate. */
static const char *conf_choices(const struct conf_key *key)
{
	return key->type == CONF_BOOL ? "no|yes|off|on|false|true" : key->max;
}

static int conf_read_choice(const struct conf_key *key, const char *text,
			    int64_t *value, char words[CONF_WORDS_BYTES])
{
	const char *choices = conf_choices(key);
	size_t other;

	for (*value = 0;; ++*value) {
		other = strcspn(choices, "|");
		if (other == strlen(text) &&
		    strncasecmp(choices, text, other) == 0)
			break;
		choices += other;
		if (!*choices++) {
			*value = -1;
			break;
		}
	}
	if (key->type == CONF_BOOL && *value < 0)
		return conf_wrong(words, "must be yes or no");
	if (key->type == CONF_BOOL)
		*value %= 2;
	if (*value >= 0)
		return 0;
	return conf_wrong(words, "must be one of: %s", key->max);
}

/* ---- any type ---- */

static int conf_read_any(const struct conf_key *key, const char *text,
			 int64_t *value, char words[CONF_WORDS_BYTES])
{
	assert(key->type != CONF_STR && key->type != CONF_LIST);
	if (key->type == CONF_BOOL || key->type == CONF_CHOICE)
		return conf_read_choice(key, text, value, words);
	return conf_read_number(key, text, value, words);
}

/* A limit comes from our own table and is valid. */
static int64_t conf_limit(const struct conf_key *key, const char *limit)
{
	char words[CONF_WORDS_BYTES];
	int64_t value = 0;
	int bad = conf_read_any(key, limit, &value, words);

	assert(bad == 0);
	(void)bad;
	return value;
}

int conf_value_read(const struct conf_key *key, const char *text,
		    int64_t *value, char words[CONF_WORDS_BYTES])
{
	bool below, above;

	if (text[0] == '\0')
		return conf_wrong(words, "must not be empty");
	if (conf_read_any(key, text, value, words) != 0)
		return -1;
	if (key->type == CONF_BOOL || key->type == CONF_CHOICE)
		return 0;
	below = key->min && *value < conf_limit(key, key->min);
	above = key->max && *value > conf_limit(key, key->max);
	if (!below && !above && *value != INT64_MAX)
		return 0;
	if (key->min && key->max)
		return conf_wrong(words, "must be between %s and %s", key->min,
				  key->max);
	if (below)
		return conf_wrong(words, "must be at least %s", key->min);
	if (key->max)
		return conf_wrong(words, "must be at most %s", key->max);
	return conf_wrong(words, "is too large");
}

size_t conf_value_length(const char *limit, size_t otherwise)
{
	int64_t length;
	const char *end;

	if (!limit)
		return otherwise;
	end = conf_read_digits(limit, &length);
	assert(end && !*end);
	(void)end;
	return (size_t)length;
}

void conf_value_print(FILE *to, const struct conf_key *key, int64_t value)
{
	const struct conf_unit *unit = conf_units(key);
	const char *choices = conf_choices(key);

	if (key->type == CONF_BOOL || key->type == CONF_CHOICE) {
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

#include "config.h"

#include "conf/conf_store.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define CONF_VARIABLE_BYTES 128

/* The length of the name in "${NAME}", 0 when there is none. */
static size_t conf_variable_len(const char *at)
{
	size_t len = strspn(at + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
				    "abcdefghijklmnopqrstuvwxyz0123456789");

	if (at[2 + len] != '}' || len >= CONF_VARIABLE_BYTES ||
	    (at[2] >= '0' && at[2] <= '9'))
		return 0;
	return len;
}

/* What "${NAME}" at `at` stands for, NULL after a mistake. */
static const char *conf_variable(struct conf *conf,
				 const struct conf_place *place, const char *at)
{
	char name[CONF_VARIABLE_BYTES];
	size_t len = conf_variable_len(at);
	const char *value;

	if (len == 0) {
		conf_collect(conf, place,
			     "${ must be followed by NAME}; write $${ when it "
			     "is meant as it stands");
		return NULL;
	}
	memcpy(name, at + 2, len);
	name[len] = '\0';
	value = getenv(name);
	if (!value)
		conf_collect(conf, place, "${%s} is not set in the environment",
			     name);
	return value;
}

/*
 * Finds the next piece of a text: returns how much of it is used up, and sets
 * what it becomes.  0 after a mistake.
 */
static size_t conf_expand_piece(struct conf *conf,
				const struct conf_place *place, const char *at,
				const char **piece, size_t *len)
{
	size_t plain;

	if (strncmp(at, "$${", 3) == 0) {
		*piece = at + 1;
		*len = 2;
		return 3;
	}
	if (strncmp(at, "${", 2) == 0) {
		*piece = conf_variable(conf, place, at);
		if (!*piece)
			return 0;
		/* Secrets of container platforms that were made with echo end
		 * in one. */
		*len = text_line_len(*piece, strlen(*piece));
		return conf_variable_len(at) + sizeof("${}") - 1;
	}
	plain = 1 + strcspn(at + 1, "$");
	*piece = at;
	*len = plain;
	return plain;
}

char *conf_expand(struct conf *conf, const struct conf_place *place,
		  const char *text)
{
	char *expanded = malloc(CONF_VALUE_BYTES + 1);
	char *kept = NULL;
	const char *piece;
	size_t at = 0, used, len;

	if (!expanded) {
		conf_out_of_memory(conf);
		return NULL;
	}
	for (; *text; text += used, at += len) {
		used = conf_expand_piece(conf, place, text, &piece, &len);
		if (used == 0)
			goto out;
		if (len > CONF_VALUE_BYTES - at) {
			conf_collect(conf, place,
				     "the value is longer than %d bytes",
				     CONF_VALUE_BYTES);
			goto out;
		}
		memcpy(expanded + at, piece, len);
	}
	kept = conf_keep_bytes(conf, expanded, at);
out:
	explicit_bzero(expanded, at);
	free(expanded);
	return kept;
}

const char *conf_expand_sole(struct conf *conf, const char *text)
{
	size_t len = strncmp(text, "${", 2) == 0 ? conf_variable_len(text) : 0;

	if (len == 0 || text[len + sizeof("${}") - 1] != '\0')
		return NULL;
	return conf_keep_bytes(conf, text + 2, len);
}

void conf_expand_was_secret(struct conf *conf, const char *text)
{
	size_t len;

	for (; *text; text++) {
		if (strncmp(text, "$${", 3) == 0) {
			text += 2;
		} else if (strncmp(text, "${", 2) == 0) {
			len = conf_variable_len(text);
			conf_add_secret_variable(conf, text + 2, len);
		}
	}
}

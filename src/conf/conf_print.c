#include "config.h"

#include "conf/conf.h"

#include "conf/conf_secret.h"
#include "conf/conf_store.h"
#include "conf/conf_value.h"

#include <string.h>

/* Whether a line can hold the value, so that it is read back the same. */
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

static void conf_print_escaped(FILE *to, const char *text)
{
	for (; *text; text++) {
		if (strncmp(text, "${", 2) == 0)
			fputc('$', to);
		fputc(*text, to);
	}
}

static void conf_print_text(FILE *to, const struct conf_key *key, int width,
			    const char *text, bool hide_urls)
{
	int hidden = hide_urls ? CONF_SECRET | CONF_URL : CONF_SECRET;

	if (key->flags & hidden && *text) {
		fprintf(to, "# %-*s = (set, not shown)", width, key->name);
	} else if (*text && !conf_printable(text)) {
		fprintf(to, "# %-*s = (set; no line can hold it)", width,
			key->name);
	} else if (key->flags & CONF_URL && conf_secret_in_url(text)) {
		fprintf(to, "# %-*s = ", width, key->name);
		conf_secret_print_url(to, text);
	} else if (*text == '\0' && (!key->dflt || *key->dflt == '\0')) {
		fprintf(to, "# %-*s =", width, key->name);
	} else {
		fprintf(to, "%-*s = ", width, key->name);
		conf_print_escaped(to, text);
	}
	fprintf(to, "  ; %s\n", key->help);
}

static void conf_print_list(FILE *to, const struct conf_key *key, int width,
			    const struct conf_list *list, bool hide_urls)
{
	size_t i;

	for (i = 0; i < list->n; i++)
		conf_print_text(to, key, width, list->items[i], hide_urls);
	if (list->n == 0)
		conf_print_text(to, key, width, "", hide_urls);
}

void conf_print(FILE *to, const struct conf_key *keys, const void *record,
		bool hide_urls)
{
	const struct conf_key *key;
	const char *field;
	int width = 0;

	for (key = keys; key->name; key++)
		if ((int)strlen(key->name) > width)
			width = (int)strlen(key->name);
	for (key = keys; key->name; key++) {
		field = (const char *)record + key->offset;
		if (key->type == CONF_STR) {
			conf_print_text(to, key, width,
					*(char *const *)(const void *)field,
					hide_urls);
		} else if (key->type == CONF_LIST) {
			conf_print_list(
				to, key, width,
				(const struct conf_list *)(const void *)field,
				hide_urls);
		} else {
			fprintf(to, "%-*s = ", width, key->name);
			conf_value_print(to, key, conf_value_load(key, record));
			fprintf(to, "  ; %s\n", key->help);
		}
	}
}

#include "config.h"

#include "conf/conf.h"

#include "conf/conf_store.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

#define CONF_BLANKS " \t"
#define CONF_BOM "\xef\xbb\xbf"
#define CONF_VARIABLE_BYTES 128

/* ---- ${VARIABLE} ---- */

size_t conf_variable_len(const char *text)
{
	size_t len;

	if (strncmp(text, "${", 2) != 0 || (text[2] >= '0' && text[2] <= '9'))
		return 0;
	len = 2 + strspn(text + 2, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
				   "abcdefghijklmnopqrstuvwxyz0123456789");
	return text[len] == '}' && len > 2 && len < CONF_VARIABLE_BYTES + 2
		       ? len + 1
		       : 0;
}

/* The value of "${NAME}", NULL after an error. */
static const char *conf_variable(struct conf *conf,
				 const struct conf_entry *place,
				 const char *text)
{
	char name[CONF_VARIABLE_BYTES];
	size_t len = conf_variable_len(text);
	const char *value;

	if (len == 0) {
		conf_wrong(conf, place,
			   "${ must be followed by NAME}; for a literal ${ "
			   "write $${");
		return NULL;
	}
	snprintf(name, sizeof(name), "%.*s", (int)(len - strlen("${}")),
		 text + 2);
	value = getenv(name);
	if (!value)
		conf_wrong(conf, place, "${%s} is not set in the environment",
			   name);
	return value;
}

/* Replaces each ${NAME}; NULL: an error was collected. */
static char *conf_expand(struct conf *conf, const struct conf_entry *place,
			 const char *text)
{
	char *expanded = malloc(CONF_VALUE_BYTES + 1), *kept = NULL;
	const char *piece;
	size_t at = 0, used, len;

	if (!expanded) {
		conf->out_of_memory = true;
		return NULL;
	}
	for (; *text; text += used, at += len) {
		piece = text;
		len = used = 1 + strcspn(text + 1, "$");
		if (strncmp(text, "$${", 3) == 0) {
			piece = "${";
			len = 2;
			used = 3;
		} else if (strncmp(text, "${", 2) == 0) {
			piece = conf_variable(conf, place, text);
			if (!piece)
				break;
			/* Secrets of container platforms often end in a
			 * newline that echo has added. */
			len = text_line_len(piece, strlen(piece));
			used = conf_variable_len(text);
		}
		if (len > CONF_VALUE_BYTES - at) {
			conf_wrong(conf, place,
				   "the value is longer than %d bytes",
				   CONF_VALUE_BYTES);
			break;
		}
		memcpy(expanded + at, piece, len);
	}
	if (!*text)
		kept = conf_keep_bytes(conf, expanded, at);
	explicit_bzero(expanded, at);
	free(expanded);
	return kept;
}

/* ---- lines ---- */

struct conf_reader {
	struct conf *conf;
	struct conf_entry place; /* the line under way */
	struct conf_section *section;
	bool lost; /* below a heading with an error */
	bool full; /* too many sections, which was reported */
};

/* Without blanks at both ends, cut in place. */
static char *conf_trim(char *text)
{
	char *end = text + strlen(text);

	while (end > text && strchr(CONF_BLANKS, end[-1]))
		*--end = '\0';
	return text + strspn(text, CONF_BLANKS);
}

/* The comment in a line, which follows a blank; or the end of the line. */
static char *conf_comment(char *line)
{
	char *at = line;

	while ((at = strchr(at, ';')) &&
	       (at == line || !strchr(CONF_BLANKS, at[-1])))
		at++;
	return at ? at : line + strlen(line);
}

static void conf_add_line(struct conf_reader *reader, char *key, char *value,
			  bool colon, bool commented)
{
	struct conf *conf = reader->conf;
	struct conf_entry place = reader->place, *entry;

	place.key = key;
	place.written = value;
	place.commented = commented;
	entry = conf_add_entry(conf, reader->section, &place);
	if (!entry)
		return;
	if (colon)
		conf_note(conf, CONF_WARNING, entry,
			  "write \"key = value\"; \":\" works until 2.0");
	entry->value = conf_expand(conf, entry, value);
	if (*value && conf_variable_len(value) == strlen(value))
		entry->variable = conf_keep_bytes(
			conf, value + 2, strlen(value) - strlen("${}"));
}

static void conf_read_entry(struct conf_reader *reader, char *line)
{
	struct conf_section *section = reader->section;
	char *separator = line + strcspn(line, "=:"), *key, *value;
	char *comment = conf_comment(line);
	const char *wrong = NULL;
	bool colon = *separator == ':', commented;

	if (separator >= comment)
		wrong = "expected key = value, [section] or a comment";
	else if (!section)
		wrong = "a key must follow a [section], such as [health]";
	if (wrong) {
		conf_wrong(reader->conf, &reader->place, "%s", wrong);
		return;
	}
	*separator = '\0';
	comment = conf_comment(separator + 1);
	/* "secret ;rest" may be meant to be one value */
	commented = *comment && comment[1] && !strchr(CONF_BLANKS, comment[1]);
	*comment = '\0';
	key = conf_trim(line);
	value = conf_trim(separator + 1);
	if (key[0] == '\0' || strlen(key) > CONF_KEY_BYTES)
		conf_wrong(reader->conf, &reader->place,
			   "there is no key before the \"=\"");
	else if (section->n_entries < CONF_ENTRIES_MAX)
		conf_add_line(reader, key, value, colon, commented);
	else if (section->n_entries++ == CONF_ENTRIES_MAX)
		/* Reported once, for the first one that is too many. */
		conf_wrong(reader->conf, &reader->place,
			   "a section may have at most %d keys",
			   CONF_ENTRIES_MAX);
}

/* The name in a heading, cut in place; NULL: it is not a heading. */
static char *conf_heading(char *line)
{
	char *end = strchr(line, ']'), *rest;

	if (!end)
		return NULL;
	*end = '\0';
	rest = end + 1 + strspn(end + 1, CONF_BLANKS);
	line = conf_trim(line + 1);
	return *line && (!*rest || strchr(";#", *rest)) ? line : NULL;
}

static void conf_read_section(struct conf_reader *reader, char *line)
{
	struct conf *conf = reader->conf;
	char *name = conf_heading(line);
	const struct conf_section *first = name ? conf_section_find(conf, name)
						: NULL;

	reader->section = NULL;
	reader->place.section = NULL;
	if (!name) {
		conf_wrong(conf, &reader->place,
			   "a heading must be [name] and nothing else");
	} else if (first) {
		conf_wrong(conf, &reader->place,
			   "[%s] already begins in line %d; put its keys "
			   "there or choose another name",
			   name, first->line);
	} else if (conf->n_sections < CONF_SECTIONS_MAX) {
		reader->section = conf_add_section(
			conf, name, reader->place.origin, reader->place.line);
		reader->place.section = reader->section;
	} else if (!reader->full) {
		conf_wrong(conf, &reader->place,
			   "a file may have at most %d sections",
			   CONF_SECTIONS_MAX);
		reader->full = true;
	}
	reader->lost = !reader->section;
}

/* A line as it is in the file, without its end. */
static void conf_read_line(struct conf_reader *reader, const char *from,
			   size_t len)
{
	char line[CONF_LINE_BYTES + 1], *start;

	if (len > 0 && from[len - 1] == '\r')
		len--;
	if (len > CONF_LINE_BYTES) {
		conf_wrong(reader->conf, &reader->place,
			   "the line is longer than %d bytes; put the "
			   "value into a file and name it with key_file",
			   CONF_LINE_BYTES);
		return;
	}
	memcpy(line, from, len);
	line[len] = '\0';
	/* Such as a carriage return without a line feed, or the escape of a
	 * terminal. */
	start = strpbrk(line, CONF_CONTROLS);
	if (start) {
		conf_wrong(reader->conf, &reader->place,
			   "the line has a control character (0x%02x)", *start);
	} else {
		start = line + strspn(line, CONF_BLANKS);
		if (*start == '[')
			conf_read_section(reader, start);
		else if (*start && !strchr(";#", *start) && !reader->lost)
			conf_read_entry(reader, start);
	}
	explicit_bzero(line, len);
}

void conf_read_text(struct conf *conf, const char *name, const char *text)
{
	struct conf_reader reader = { .conf = conf, .place.origin = name };
	size_t len;

	if (strncmp(text, CONF_BOM, strlen(CONF_BOM)) == 0)
		text += strlen(CONF_BOM);
	for (; *text; text += len + (text[len] == '\n')) {
		len = strcspn(text, "\n");
		reader.place.line++;
		conf_read_line(&reader, text, len);
	}
	/* A file that was cut, such as by a full disk, mostly ends within a
	 * line. */
	reader.place.section = NULL;
	if (reader.place.line && text[-1] != '\n')
		conf_note(conf, CONF_WARNING, &reader.place,
			  "the last line does not end in a newline; make sure "
			  "that the file is complete");
}

int conf_read_file(struct conf *conf, const char *path)
{
	struct conf_entry place = { .origin = path };
	char reason[128], *text, *at, *nul;
	size_t len;

	if (conf_slurp(path, CONF_FILE_BYTES, &text, &len, reason,
		       sizeof(reason)) != 0) {
		conf_wrong(conf, &place, "%s", reason);
		return -1;
	}
	nul = memchr(text, '\0', len);
	if (nul) {
		for (place.line = 1, at = text; at < nul; at++)
			place.line += *at == '\n';
		conf_wrong(conf, &place,
			   "the file has a NUL byte; save it as plain text in "
			   "UTF-8");
	} else {
		conf_read_text(conf, path, text);
	}
	explicit_bzero(text, len);
	free(text);
	return 0;
}

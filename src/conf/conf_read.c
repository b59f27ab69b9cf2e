#include "config.h"

#include "conf/conf.h"

#include "conf/conf_store.h"

#include <ini.h>
#include <stdlib.h>
#include <string.h>

#define CONF_BLANKS " \t"
#define CONF_BOM "\xef\xbb\xbf"

struct conf_reader {
	struct conf *conf;
	const char *origin;
	int line;
	struct conf_section *section;
	bool lost;  /* below a heading with a mistake */
	bool full;  /* of sections, which was said */
	bool colon; /* the line is "key : value" */
	bool cut;   /* its comment may be the end of the value */
};

static struct conf_place conf_reader_place(const struct conf_reader *reader)
{
	return (struct conf_place){
		.origin = reader->origin,
		.line = reader->line,
		.section = reader->section,
	};
}

/* ---- key = value ---- */

/* Whether the comment in a line may be the end of a value: "secret ;rest". */
static bool conf_is_cut(const char *line)
{
	const char *at = line + strcspn(line, "=:");

	while ((at = strchr(at, ';'))) {
		if (strchr(CONF_BLANKS, at[-1]))
			return at[1] && !strchr(CONF_BLANKS, at[1]);
		at++;
	}
	return false;
}

static void conf_read_entry(struct conf_reader *reader, const char *key,
			    const char *written)
{
	struct conf_place place = conf_reader_place(reader);
	struct conf_entry *entry;

	if (key[0] == '\0' || strlen(key) > CONF_KEY_BYTES) {
		conf_collect(reader->conf, &place,
			     "there is no key before the \"=\"");
		return;
	}
	if (reader->section->n_entries >= CONF_ENTRIES_MAX) {
		/* Said once, about the first that is too many. */
		if (reader->section->n_entries++ == CONF_ENTRIES_MAX)
			conf_collect(reader->conf, &place,
				     "a section may hold %d keys and no more",
				     CONF_ENTRIES_MAX);
		return;
	}
	entry = conf_add_entry(reader->conf, reader->section, key, written,
			       reader->origin, reader->line);
	if (!entry)
		return;
	place = conf_place_of(reader->section, entry, key);
	if (reader->colon)
		conf_collect_warning(reader->conf, &place,
				     "write \"key = value\"; with \":\" it "
				     "works until 2.0");
	entry->commented = reader->cut;
	entry->variable = conf_expand_sole(reader->conf, written);
	entry->value = conf_expand(reader->conf, &place, written);
}

static int conf_on_entry(void *arg, const char *section, const char *key,
			 const char *value)
{
	struct conf_reader *reader = arg;
	struct conf_place place = conf_reader_place(reader);

	(void)section; /* inih is shown one line: it knows none */
	if (reader->lost)
		return 1;
	if (reader->section)
		conf_read_entry(reader, key, value);
	else
		conf_collect(reader->conf, &place,
			     "a key must stand below a [section], such as "
			     "[health]");
	return 1;
}

/* ---- [section] ---- */

/* The name in a heading, cut out in place; NULL: it is no heading. */
static char *conf_heading(char *line)
{
	char *end = strchr(line, ']'), *rest;

	if (!end)
		return NULL;
	*end = '\0';
	rest = end + 1 + strspn(end + 1, CONF_BLANKS);
	if (*rest && *rest != ';' && *rest != '#')
		return NULL;
	line += 1 + strspn(line + 1, CONF_BLANKS);
	while (end > line && strchr(CONF_BLANKS, end[-1]))
		*--end = '\0';
	return *line ? line : NULL;
}

static void conf_read_section(struct conf_reader *reader, char *line)
{
	const struct conf_section *first;
	struct conf_place place;
	char *name = conf_heading(line);

	reader->section = NULL;
	reader->lost = true;
	place = conf_reader_place(reader);
	if (!name) {
		conf_collect(reader->conf, &place,
			     "a heading must be [name] and nothing else");
		return;
	}
	first = conf_section_find(reader->conf, name);
	if (first) {
		conf_collect(reader->conf, &place,
			     "[%s] stands in line %d already; put its keys "
			     "there or choose another name",
			     name, first->line);
		return;
	}
	if (conf_count_sections(reader->conf) == CONF_SECTIONS_MAX) {
		if (!reader->full)
			conf_collect(reader->conf, &place,
				     "there may be %d sections and no more",
				     CONF_SECTIONS_MAX);
		reader->full = true;
		return;
	}
	reader->section = conf_add_section(reader->conf, name, reader->origin,
					   reader->line);
	reader->lost = !reader->section;
}

/* ---- lines ---- */

/*
 * inih reports the first bad line only, tells its handler no line number and
 * silently cuts names of sections at 49 bytes; so it is given one line at a
 * time, and headings are read here.  Its options are variables in Debian's
 * build of it.
 */
static void conf_inih_options(void)
{
	ini_allow_multiline = false;
	ini_allow_bom = false; /* it would be skipped in every line */
	ini_allow_inline_comments = true;
	ini_allow_no_value = false;
	ini_use_stack = false;
	ini_initial_alloc = CONF_LINE_BYTES + 3;
	ini_max_line = CONF_LINE_BYTES + 3;
}

static void conf_read_line(struct conf_reader *reader, char *line)
{
	struct conf_place place = conf_reader_place(reader);
	char *start = line + strspn(line, CONF_BLANKS);
	int bad;

	if (*start == '[') {
		conf_read_section(reader, start);
		return;
	}
	/* inih takes either for the end of the key. */
	reader->colon = start[strcspn(start, "=:")] == ':';
	reader->cut = conf_is_cut(line);
	bad = ini_parse_string(line, conf_on_entry, reader);
	if (bad < 0)
		conf_out_of_memory(reader->conf);
	else if (bad > 0 && !reader->lost)
		conf_collect(reader->conf, &place,
			     "the line is neither key = value nor [section] "
			     "nor a comment");
}

/* The first control byte, as a carriage return without a line feed or the
 * escape of a terminal; 0: none. */
static unsigned conf_control_in(const char *line, size_t len)
{
	unsigned char c;
	size_t i;

	for (i = 0; i < len; i++) {
		c = (unsigned char)line[i];
		if ((c < 0x20 && c != '\t') || c == 0x7f)
			return c;
	}
	return 0;
}

/* A line as it stands in the text, without its end. */
static void conf_read_raw_line(struct conf_reader *reader, const char *from,
			       size_t len)
{
	struct conf_place place = conf_reader_place(reader);
	char line[CONF_LINE_BYTES + 1];
	unsigned control;

	if (len > 0 && from[len - 1] == '\r')
		len--;
	control = conf_control_in(from, len);
	if (len > CONF_LINE_BYTES) {
		conf_collect(reader->conf, &place,
			     "the line is longer than %d bytes; put the value "
			     "into a file and name it with key_file",
			     CONF_LINE_BYTES);
	} else if (control) {
		conf_collect(reader->conf, &place,
			     "the line holds a control character (0x%02x)",
			     control);
	} else {
		memcpy(line, from, len);
		line[len] = '\0';
		conf_read_line(reader, line);
		explicit_bzero(line, len);
	}
}

/* A file that was cut, by a full disk for example, mostly ends within a line.
 */
static void conf_read_cut(struct conf_reader *reader)
{
	struct conf_place place = { .origin = reader->origin,
				    .line = reader->line };

	conf_collect_warning(reader->conf, &place,
			     "the last line does not end in a newline; make "
			     "sure that the file is complete");
}

void conf_read_text(struct conf *conf, const char *name, const char *text)
{
	struct conf_reader reader = { .conf = conf, .origin = name };
	size_t len;

	conf_inih_options();
	if (strncmp(text, CONF_BOM, strlen(CONF_BOM)) == 0)
		text += strlen(CONF_BOM);
	while (*text) {
		len = strcspn(text, "\n");
		reader.line++;
		conf_read_raw_line(&reader, text, len);
		if (len > 0 && text[len] == '\0')
			conf_read_cut(&reader);
		text += len + (text[len] == '\n');
	}
}

/* ---- files ---- */

static int conf_line_of(const char *text, const char *at)
{
	int line = 1;

	for (; text < at; text++)
		line += *text == '\n';
	return line;
}

int conf_read_file(struct conf *conf, const char *path)
{
	struct conf_place place = { .origin = path };
	char reason[128];
	char *text, *nul;
	size_t len;

	if (conf_slurp(path, CONF_FILE_BYTES, &text, &len, reason,
		       sizeof(reason)) != 0) {
		conf_collect(conf, &place, "%s", reason);
		return -1;
	}
	nul = memchr(text, '\0', len);
	if (nul) {
		place.line = conf_line_of(text, nul);
		conf_collect(conf, &place,
			     "the file holds a NUL byte; save it as plain text "
			     "in UTF-8");
	} else {
		conf_read_text(conf, path, text);
	}
	explicit_bzero(text, len);
	free(text);
	return 0;
}

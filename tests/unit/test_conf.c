#include "conf/conf.c"
#include "conf/conf_read.c"
#include "conf/conf_secret.c"
#include "conf/conf_table.c"
#include "base/text.c"

#include "unit.h"

#include <errno.h>

/* ---- a table with every type ---- */

struct all {
	char *name;
	char *password;
	char *url;
	char *ca_file;
	char *path;
	bool on;
	int64_t count;
	int64_t delta;
	int64_t timeout;
	int64_t age;
	int64_t room;
	int level;
	struct conf_list lines;
	struct conf_list words;
	struct conf_list tokens;
};

/* clang-format off */
static const struct conf_key keys[] = {
	{ "name", CONF_STR, offsetof(struct all, name), "someone", "2", "10", 0, "a name" },
	{ "password", CONF_STR, offsetof(struct all, password), "", "0", "1024", CONF_SECRET, "never shown" },
	{ "url", CONF_STR, offsetof(struct all, url), "", "0", "2048", CONF_URL, "where" },
	{ "ca_file", CONF_STR, offsetof(struct all, ca_file), NULL, NULL, NULL, 0, "a path" },
	{ "path", CONF_STR, offsetof(struct all, path), "", NULL, "4095", CONF_PATH, "a path from the directory of the file" },
	{ "on", CONF_BOOL, offsetof(struct all, on), "yes", NULL, NULL, 0, "on or off" },
	{ "count", CONF_INT, offsetof(struct all, count), "2", "1", "64", 0, "how many" },
	{ "delta", CONF_INT, offsetof(struct all, delta), "-5", NULL, NULL, 0, "may be negative" },
	{ "timeout", CONF_DURATION, offsetof(struct all, timeout), "2s", "10ms", "60s", 0, "how long" },
	{ "age", CONF_DURATION, offsetof(struct all, age), NULL, NULL, NULL, 0, "how old" },
	{ "room", CONF_SIZE, offsetof(struct all, room), "4k", NULL, "1G", 0, "how much" },
	{ "level", CONF_CHOICE, offsetof(struct all, level), "info", NULL, "error|warn|info", 0, "how loud" },
	{ "line", CONF_LIST, offsetof(struct all, lines), "", "1", "20", 0, "lines" },
	{ "words", CONF_LIST, offsetof(struct all, words), "a b", NULL, "20", CONF_WORDS, "words" },
	{ "token", CONF_LIST, offsetof(struct all, tokens), "", NULL, NULL, CONF_SECRET, "tokens" },
	CONF_END
};
static const struct conf_key needed[] = {
	{ "must", CONF_STR, 0, "", NULL, NULL, CONF_REQUIRED, "what must be" },
	CONF_END
};
/* clang-format on */

static struct conf *conf;
static struct all all;

/* Reads a text and applies its section "s". */
static void apply(const char *text)
{
	struct conf_target target = { keys, &all };

	conf_destroy(conf);
	conf = conf_create();
	memset(&all, 0xa5, sizeof(all));
	conf_read_text(conf, "t", text);
	conf_apply(conf, conf_section_find(conf, "s"), &target, 1);
}

/* Two lines of so many words each. */
static void apply_words(size_t first, size_t second)
{
	char text[4096];
	FILE *to = fmemopen(text, sizeof(text), "w");

	fprintf(to, "[s]\nwords =");
	while (first--)
		fprintf(to, " a");
	fprintf(to, "\nwords =");
	while (second--)
		fprintf(to, " b");
	fprintf(to, "\n");
	fclose(to);
	apply(text);
}

/* All mistakes, one per line. */
static const char *mistakes(void)
{
	static char text[16384];
	size_t i, len = 0;

	text[0] = '\0';
	for (i = 0; i < conf_mistakes(conf); i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
					i ? "\n" : "",
					conf_note_at(conf, CONF_MISTAKE, i));
	CHECK(conf_note_at(conf, CONF_MISTAKE, i) == NULL);
	return text;
}

static const char *printed(void)
{
	static char text[8192];
	FILE *to;

	memset(text, 0, sizeof(text));
	to = fmemopen(text, sizeof(text) - 1, "w");
	conf_print(to, keys, &all, false);
	fclose(to);
	return text;
}

/* The line of printed() for a key, without its help. */
static const char *printed_line(const char *key)
{
	static char line[512];
	const char *at = printed();
	size_t len, skip;

	for (; *at; at += len + (at[len] == '\n')) {
		len = strcspn(at, "\n");
		skip = *at == '#' ? 2 : 0;
		if (strncmp(at + skip, key, strlen(key)) != 0 ||
		    at[skip + strlen(key)] != ' ')
			continue;
		snprintf(line, sizeof(line), "%.*s", (int)len, at);
		if (strstr(line, "  ; "))
			*strstr(line, "  ; ") = '\0';
		return line;
	}
	return "";
}

/* ---- defaults and values ---- */

static void test_defaults(void)
{
	struct conf_target target = { keys, &all };

	apply("");
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.name, "someone");
	CHECK_STR(all.password, "");
	CHECK_STR(all.ca_file, "");
	CHECK(all.on);
	CHECK_INT(all.count, 2);
	CHECK_INT(all.delta, -5);
	CHECK_INT(all.timeout, 2000);
	CHECK_INT(all.age, 0);
	CHECK_INT(all.room, 4096);
	CHECK_INT(all.level, 2);
	CHECK_INT(all.lines.n, 0);
	CHECK_INT(all.words.n, 2);
	CHECK_STR(all.words.items[1], "b");
	conf_apply(conf, NULL, &target, 1);
	CHECK_STR(all.name, "someone");
}

#define DURATION_HINT                                                    \
	"is not a duration; write a whole number and a unit (ms, s, m, " \
	"h, d), such as 500ms or 2s"
#define SIZE_HINT \
	"is not a size; write a number of bytes such as 100, 4k, 10M or 1G"

/* want: the value, or with `wrong` what is said about it. */
static const struct {
	const char *key;
	const char *text;
	int64_t want;
	const char *wrong;
} value_rows[] = {
	{ "timeout", "500ms", 500, NULL },
	{ "timeout", "10ms", 10, NULL },
	{ "timeout", "60s", 60000, NULL },
	{ "timeout", "1m", 60000, NULL },
	{ "timeout", "9ms", 0, "must be between 10ms and 60s" },
	{ "timeout", "60001ms", 0, "must be between 10ms and 60s" },
	{ "timeout", "2m", 0, "must be between 10ms and 60s" },
	{ "timeout", "0", 0, "must be between 10ms and 60s" },
	{ "timeout", "5", 0, "needs a unit; write 5s or 500ms" },
	{ "timeout", "00005", 0, "needs a unit; write 00005s or 500ms" },
	{ "timeout", "s", 0, DURATION_HINT },
	{ "timeout", "-5s", 0, DURATION_HINT },
	{ "timeout", "+5s", 0, DURATION_HINT },
	{ "timeout", "soon", 0, DURATION_HINT },
	{ "timeout", ".5s", 0, DURATION_HINT },
	{ "timeout", "1.5s", 0, DURATION_HINT },
	{ "timeout", "5 s", 0, DURATION_HINT },
	{ "timeout", "5S", 0, DURATION_HINT },
	{ "timeout", "5sec", 0, DURATION_HINT },
	{ "timeout", "0x10s", 0, DURATION_HINT },
	{ "timeout", "", 0, "must not be empty" },
	{ "timeout", "9223372036854775807s", 0,
	  "must be between 10ms and 60s" },
	{ "timeout", "99999999999999999999999d", 0,
	  "must be between 10ms and 60s" },
	{ "age", "0", 0, NULL },
	{ "age", "0s", 0, NULL },
	{ "age", "2h", 7200000, NULL },
	{ "age", "3d", 259200000, NULL },
	{ "age", "106751991167d", 9223372036828800000, NULL },
	{ "age", "106751991168d", 0, "is too large" },
	{ "room", "0", 0, NULL },
	{ "room", "100", 100, NULL },
	{ "room", "1k", 1024, NULL },
	{ "room", "1K", 1024, NULL },
	{ "room", "10M", 10485760, NULL },
	{ "room", "1G", 1073741824, NULL },
	{ "room", "2G", 0, "must be at most 1G" },
	{ "room", "9999999999G", 0, "must be at most 1G" },
	{ "room", "1m", 0, SIZE_HINT },
	{ "room", "1kB", 0, SIZE_HINT },
	{ "room", "-1", 0, SIZE_HINT },
	{ "room", "k", 0, SIZE_HINT },
	{ "count", "1", 1, NULL },
	{ "count", "064", 64, NULL },
	{ "count", "65", 0, "must be between 1 and 64" },
	{ "count", "0", 0, "must be between 1 and 64" },
	{ "count", "-1", 0, "must be between 1 and 64" },
	{ "count", "3x", 0, "is not a whole number" },
	{ "count", "--3", 0, "is not a whole number" },
	{ "count", "-", 0, "is not a whole number" },
	{ "count", "18446744073709551617", 0, "must be between 1 and 64" },
	{ "delta", "-9223372036854775806", -9223372036854775806, NULL },
	{ "delta", "9223372036854775807", 0, "is too large" },
	{ "on", "yes", 1, NULL },
	{ "on", "On", 1, NULL },
	{ "on", "TRUE", 1, NULL },
	{ "on", "no", 0, NULL },
	{ "on", "off", 0, NULL },
	{ "on", "false", 0, NULL },
	{ "on", "1", 0, "must be yes or no" },
	{ "on", "yess", 0, "must be yes or no" },
	{ "level", "error", 0, NULL },
	{ "level", "Warn", 1, NULL },
	{ "level", "info", 2, NULL },
	{ "level", "err", 0, "must be one of: error|warn|info" },
	{ "level", "error|warn", 0, "must be one of: error|warn|info" },
	{ "level", "", 0, "must not be empty" },
};

static void test_values(void)
{
	char text[200], want[300];
	const struct conf_key *key;
	size_t i;

	for (i = 0; i < sizeof(value_rows) / sizeof(value_rows[0]); i++) {
		snprintf(text, sizeof(text), "[s]\n%s = %s\n",
			 value_rows[i].key, value_rows[i].text);
		apply(text);
		for (key = keys; strcmp(key->name, value_rows[i].key);)
			key++;
		if (value_rows[i].wrong) {
			snprintf(want, sizeof(want), "t:2: [s] %s: \"%s\" %s",
				 key->name, value_rows[i].text,
				 value_rows[i].wrong);
			CHECK_STR(mistakes(), want);
		} else {
			CHECK_STR(mistakes(), "");
			CHECK_INT(conf_load(key, &all), value_rows[i].want);
		}
	}
	/* a value with a mistake leaves the default */
	apply("[s]\ntimeout = 5\ncount = 3\n");
	CHECK_INT(all.timeout, 2000);
	CHECK_INT(all.count, 3);
}

static void test_texts(void)
{
	apply("[s]\nname = x\n");
	CHECK_STR(mistakes(), "t:2: [s] name: the value must have at least 2 "
			      "characters");
	CHECK_STR(all.name, "someone");
	apply("[s]\nname = 12345678901\n");
	CHECK_STR(mistakes(), "t:2: [s] name: the value must have at most 10 "
			      "characters");
	apply("[s]\nname =\n");
	CHECK_STR(mistakes(), "t:2: [s] name: the value must not be empty");
	apply("[s]\npassword =\nname = a b\n");
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.name, "a b");
}

static void test_lists(void)
{
	size_t i;
	char text[4096] = "[s]\n";

	apply("[s]\nline = one, two\nline = three ; not this\n"
	      "words = x, y,,z  w\nwords=v\n");
	CHECK_STR(mistakes(), "");
	CHECK_INT(all.lines.n, 2);
	CHECK_STR(all.lines.items[0], "one, two");
	CHECK_STR(all.lines.items[1], "three");
	CHECK_INT(all.words.n, 5);
	CHECK_STR(all.words.items[0], "x");
	CHECK_STR(all.words.items[3], "w");
	CHECK_STR(all.words.items[4], "v");
	apply("[s]\nwords =\n");
	CHECK_INT(all.words.n, 0);
	/* The limit is that of a word, not of the line. */
	apply("[s]\nwords = 12345678901234567890 12345678901234567890, x\n"
	      "words = y\n");
	CHECK_STR(mistakes(), "");
	CHECK_INT(all.words.n, 4);
	apply("[s]\nwords = x,123456789012345678901 y\n");
	CHECK_STR(mistakes(), "t:2: [s] words: the value has an item of more "
			      "than 20 characters");
	CHECK_INT(all.words.n, 0);
	apply_words(500, 500);
	CHECK_STR(mistakes(), "");
	CHECK_INT(all.words.n, 1000);
	apply_words(500, 501);
	CHECK_STR(mistakes(), "t:3: [s] words: the value makes a list of more "
			      "than 1000 items");
	apply("[s]\nline = 123456789012345678901\nline =\n");
	CHECK_STR(mistakes(),
		  "t:2: [s] line: the value must have at most 20 characters\n"
		  "t:3: [s] line: the value must not be empty");
	for (i = 0; i < 100; i++)
		strncat(text, "line = x\n", sizeof(text) - strlen(text) - 1);
	apply(text);
	CHECK_INT(all.lines.n, 100);
	CHECK_STR(all.lines.items[99], "x");
}

/* ---- form ---- */

static const struct {
	const char *text;
	const char *mistakes; /* NULL: none, and count is 7 */
} form_rows[] = {
	{ "[s]\ncount = 7\n", NULL },
	{ "[s]\ncount=7", NULL },
	{ "[s]\ncount =7 ; seven", NULL },
	{ "\xef\xbb\xbf[s]\r\ncount = 7\r\n", NULL },
	{ "  [ s ] ; section\n\n\t count = 7\t\n  ; c\n#c\n", NULL },
	{ "[s]#c\ncount = 7\n", NULL },
	{ "[other]\ncount = 9\n[s]\ncount = 7\n", NULL },
	{ "[s]\n\xef\xbb\xbf"
	  "count = 7\n",
	  "t:2: [s] unknown key, did you mean \"count\"?" },
	{ "count = 7\n", "t:1: a key must follow a [section], such as "
			 "[health]" },
	{ "[s\ncount = 1\n", "t:1: a heading must be [name] and nothing else" },
	{ "[]\n", "t:1: a heading must be [name] and nothing else" },
	{ "[ \t]\n", "t:1: a heading must be [name] and nothing else" },
	{ "[s] count = 7\n", "t:1: a heading must be [name] and nothing else" },
	{ "[s]]\n", "t:1: a heading must be [name] and nothing else" },
	{ "[s]\n\n[s]\ncount = 1\n",
	  "t:3: [s] already begins in line 1; put its keys there or choose "
	  "another name" },
	{ "[s]\ncount\n", "t:2: [s] expected key = value, [section] or a "
			  "comment" },
	/* no line goes on in the next one */
	{ "[s]\nname = one\n   two\n",
	  "t:3: [s] expected key = value, [section] or a comment" },
	{ "[s]\n= 7\n", "t:2: [s] there is no key before the \"=\"" },
	{ "[s]\ncount = 1\ncount = 2\n",
	  "t:3: [s] count: is already set in line 2; keep one of them" },
	{ "[s]\ncount = 1\ncount_file = /x\n",
	  "t:3: [s] count_file: count is already set in line 2; keep one of "
	  "them" },
	{ "[s]\ncount = 7\x1b[31m\n",
	  "t:2: [s] the line has a control character (0x1b)" },
	{ "[s]\rcount = 7\r", "t:1: the line has a control character (0x0d)" },
	{ "[s]\npasswrod = x\n",
	  "t:2: [s] passwrod: unknown key, did you mean \"password\"?" },
	{ "[s]\npasswrod_file = x\n",
	  "t:2: [s] passwrod_file: unknown key, did you mean "
	  "\"password_file\"?" },
	{ "[s]\nzebra = x\n", "t:2: [s] zebra: unknown key" },
	/* a line of a private key: not a word of it is shown */
	{ "[s]\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEA==\n",
	  "t:2: [s] unknown key" },
	{ "[s]\nQ0NxWTB==\n", "t:2: [s] unknown key" },
	/* in the order of the file, whatever is found first */
	{ "[s]\nfoo = 1\ntimeout = 5\nbar\n",
	  "t:2: [s] foo: unknown key\n"
	  "t:3: [s] timeout: \"5\" needs a unit; write 5s or 500ms\n"
	  "t:4: [s] expected key = value, [section] or a comment" },
};

static void test_form(void)
{
	size_t i;

	for (i = 0; i < sizeof(form_rows) / sizeof(form_rows[0]); i++) {
		apply(form_rows[i].text);
		if (form_rows[i].mistakes) {
			CHECK_STR(mistakes(), form_rows[i].mistakes);
		} else {
			CHECK_STR(mistakes(), "");
			CHECK_INT(all.count, 7);
		}
	}
}

static void test_long_lines(void)
{
	static char text[CONF_LINE_BYTES + 100];
	size_t fits = CONF_LINE_BYTES - strlen("ca_file = ");

	snprintf(text, sizeof(text), "[s]\nca_file = ");
	memset(text + strlen(text), 'x', fits);
	apply(text);
	CHECK_STR(mistakes(), "");
	CHECK_INT(strlen(all.ca_file), fits);
	strncat(text, "y\ncount = 7\n", 20);
	apply(text);
	CHECK_STR(mistakes(),
		  "t:2: [s] the line is longer than 8192 bytes; put the value "
		  "into a file and name it with key_file");
	CHECK_INT(all.count, 7);
}

/* Until 2.0; the manual does not name it. */
static void test_colon(void)
{
	apply("[s]\nname: abc\nurl = http://h/\nline : a = b\n");
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.name, "abc");
	CHECK_STR(all.lines.items[0], "a = b");
	CHECK_STR(
		conf_note_at(conf, CONF_WARNING, 0),
		"t:2: [s] name: write \"key = value\"; \":\" works until 2.0");
	CHECK_STR(
		conf_note_at(conf, CONF_WARNING, 1),
		"t:4: [s] line: write \"key = value\"; \":\" works until 2.0");
	CHECK(conf_note_at(conf, CONF_WARNING, 2) == NULL);
}

/* A file that was cut mostly ends within a line. */
static void test_cut(void)
{
	apply("[s]\nname = abc\n");
	CHECK(conf_note_at(conf, CONF_WARNING, 0) == NULL);
	apply("[s]\nname = abc\r\n\n");
	CHECK(conf_note_at(conf, CONF_WARNING, 0) == NULL);
	apply("");
	CHECK(conf_note_at(conf, CONF_WARNING, 0) == NULL);
	apply("[s]\nname = abc");
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.name, "abc");
	CHECK_STR(conf_note_at(conf, CONF_WARNING, 0),
		  "t:2: the last line does not end in a newline; make sure "
		  "that the file is complete");
	CHECK(conf_note_at(conf, CONF_WARNING, 1) == NULL);
	apply("[s]\nname = abc\n# url = ");
	CHECK(conf_note_at(conf, CONF_WARNING, 0) != NULL);
}

static void test_many(void)
{
	char *text = NULL;
	size_t size, i;
	FILE *to = open_memstream(&text, &size);

	for (i = 0; i < 1101; i++)
		fprintf(to, "[s%zu]\nkey = value\n", i);
	fclose(to);
	apply(text);
	CHECK_STR(mistakes(), "t:2003: a file may have at most 1001 sections");
	CHECK_INT(conf->n_sections, 1001);
	free(text);

	to = open_memstream(&text, &size);
	fprintf(to, "[s]\n");
	for (i = 0; i < 200; i++)
		fprintf(to, "no_such_%zu = x\n", i);
	fclose(to);
	apply(text);
	CHECK_INT(conf_mistakes(conf), 100);
	CHECK_STR(conf_note_at(conf, CONF_MISTAKE, 99),
		  "there are more errors; these are the first");
	free(text);

	to = open_memstream(&text, &size);
	fprintf(to, "[s]\n");
	for (i = 0; i < 1200; i++)
		fprintf(to, "line = x\n");
	fclose(to);
	apply(text);
	CHECK_STR(mistakes(),
		  "t:1002: [s] a section may have at most 1000 keys");
	CHECK_INT(all.lines.n, 1000);
	free(text);
}

/* ---- variables ---- */

static void test_variables(void)
{
	static char huge[CONF_VALUE_BYTES];

	setenv("T_NAME", "joe", 1);
	setenv("T_EMPTY", "", 1);
	unsetenv("T_UNSET");
	apply("[s]\nname = ${T_NAME}\nurl = a${T_NAME}${T_EMPTY}b$c$\n"
	      "password = $${T_NAME} $$\n");
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.name, "joe");
	CHECK_STR(all.url, "ajoeb$c$");
	CHECK_STR(all.password, "${T_NAME} $$");
	CHECK_STR(conf_section_entry(conf->sections, "name")->value, "joe");
	setenv("T_LINE", "line\r\n", 1);
	setenv("T_LINES", "two\n\n", 1);
	apply("[s]\nname = ${T_LINE}\nurl = ${T_LINE}-${T_LINES}.\n");
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.name, "line");
	CHECK_STR(all.url, "line-two\n.");
	apply("[s]\nname = ${T_UNSET}\npassword = ${T NAME}\nurl = x${\n"
	      "ca_file = ${}\nline = ${0T}\n");
	CHECK_STR(
		mistakes(),
		"t:2: [s] name: ${T_UNSET} is not set in the environment\n"
		"t:3: [s] password: ${ must be followed by NAME}; for a "
		"literal "
		"${ write $${\n"
		"t:4: [s] url: ${ must be followed by NAME}; for a literal "
		"${ write $${\n"
		"t:5: [s] ca_file: ${ must be followed by NAME}; for a literal "
		"${ write $${\n"
		"t:6: [s] line: ${ must be followed by NAME}; for a literal "
		"${ write $${");
	CHECK(!conf_section_entry(conf->sections, "name")->value);
	CHECK(conf_section_has(conf->sections, "name"));

	/* what a variable holds is not shown */
	setenv("T_NAME", "hush-hush", 1);
	apply("[s]\ntimeout = ${T_NAME}\n");
	CHECK(strstr(mistakes(), "hush") == NULL);
	CHECK(strstr(mistakes(), "the value is not a duration") != NULL);

	memset(huge, 'x', sizeof(huge) - 1);
	setenv("T_HUGE", huge, 1);
	apply("[s]\nca_file = ${T_HUGE}\n");
	CHECK_INT(strlen(all.ca_file), sizeof(huge) - 1);
	apply("[s]\nca_file = ${T_HUGE}12\n");
	CHECK_STR(mistakes(),
		  "t:2: [s] ca_file: the value is longer than 65536 bytes");
	unsetenv("T_HUGE");
}

/* A lenient section, and what its variables hold. */
static const struct {
	const char *text;
	const char *variable; /* that refuses the section; NULL: none does */
	const char *sentence;
	const char *mistakes;
} lenient_rows[] = {
	{ "[s]\ntimeout = ${T_BAD}\n", "T_BAD",
	  "t:2: [s] timeout (${T_BAD}): the value is not a duration; write "
	  "a whole number and a unit (ms, s, m, h, d), such as 500ms or 2s",
	  "" },
	{ "[s]\ncount = ${T_BIG}\nname = ${T_NAME}\n", "T_BIG",
	  "t:2: [s] count (${T_BIG}): the value must be between 1 and 64", "" },
	/* the first one counts, and what was typed stays a mistake */
	{ "[s]\ncount = ${T_BIG}\ntimeout = ${T_BAD}\ndelta = x\n", "T_BIG",
	  "t:2: [s] count (${T_BIG}): the value must be between 1 and 64",
	  "t:4: [s] delta: \"x\" is not a whole number" },
	{ "[s]\nname_file = ${T_GONE}\n", "T_GONE",
	  "t:2: [s] name_file (${T_GONE}): /nonexistent cannot be opened: No "
	  "such file or directory",
	  "" },
	/* more than one variable, or another: typed */
	{ "[s]\ntimeout = ${T_BAD}s\n", NULL, NULL,
	  "t:2: [s] timeout: \"${T_BAD}s\" is not a duration; write a "
	  "whole number and a unit (ms, s, m, h, d), such as 500ms or 2s" },
	{ "[s]\ncount = 0${T_BIG}\n", NULL, NULL,
	  "t:2: [s] count: \"0${T_BIG}\" must be between 1 and 64" },
	{ "[s]\ncount = $${T_BIG}\n", NULL, NULL,
	  "t:2: [s] count: \"$${T_BIG}\" is not a whole number" },
	{ "[s]\ncount = ${T_UNSET}\n", NULL, NULL,
	  "t:2: [s] count: ${T_UNSET} is not set in the environment" },
	{ "[s]\ncuont = ${T_BIG}\n", NULL, NULL,
	  "t:2: [s] cuont: unknown key, did you mean \"count\"?" },
	{ "[s]\ncount = 3\ncount = ${T_BIG}\n", NULL, NULL,
	  "t:3: [s] count: is already set in line 2; keep one of them" },
};

static void test_lenient(void)
{
	struct conf_target target = { keys, &all };
	const struct conf_refusal *refusal;
	struct conf_section *section;
	size_t i;

	setenv("T_BAD", "soon", 1);
	setenv("T_BIG", "65", 1);
	setenv("T_NAME", "joe", 1);
	setenv("T_GONE", "/nonexistent", 1);
	unsetenv("T_UNSET");
	for (i = 0; i < sizeof(lenient_rows) / sizeof(lenient_rows[0]); i++) {
		conf_destroy(conf);
		conf = conf_create();
		conf_read_text(conf, "t", lenient_rows[i].text);
		section = conf_section_find(conf, "s");
		section->lenient = true;
		conf_apply(conf, section, &target, 1);
		CHECK_STR(mistakes(), lenient_rows[i].mistakes);
		refusal = conf_section_refusal(conf, section);
		CHECK(!refusal == !lenient_rows[i].variable);
		if (!refusal || !lenient_rows[i].variable)
			continue;
		CHECK_STR(refusal->variable, lenient_rows[i].variable);
		CHECK_STR(refusal->sentence, lenient_rows[i].sentence);
		/* errors that follow from it are not reported */
		conf_mistake(conf, section, "name", "must be something else");
		CHECK_STR(mistakes(), lenient_rows[i].mistakes);
	}

	/* other sections are not lenient */
	apply("[s]\ncount = ${T_BIG}\n");
	CHECK_STR(mistakes(), "t:2: [s] count (${T_BIG}): the value must be "
			      "between 1 and 64");
	CHECK(!conf_section_refusal(conf, conf_section_find(conf, "s")));
}

/* None is lost, however many there are. */
static void test_lenient_many(void)
{
	const struct conf_section *section;
	char name[16];
	int i;

	conf_destroy(conf);
	conf = conf_create();
	for (i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "s%d", i);
		CHECK_INT(conf_set(conf, name, "url", "x", "T_URL"), 0);
		conf_section_find(conf, name)->lenient = true;
		conf_mistake(conf, conf_section_find(conf, name), "url", "no");
		/* of a variable's section, what is not set as well */
		conf_mistake(conf, conf_section_find(conf, name), "must", "no");
	}
	for (section = conf->sections; section; section = section->next)
		CHECK(conf_section_refusal(conf, section));
	CHECK_STR(mistakes(), "");
}

static void test_warnings(void)
{
	struct conf_section *section;

	setenv("T_NAME", "hush-hush", 1);
	apply("[s]\nname = x\nurl = ${T_NAME}\npassword = ${T_NAME}\n");
	section = conf_section_find(conf, "s");
	conf_warn(conf, section, "url", "holds %s and more", "hush-hush");
	conf_warn(conf, section, "name", "is short");
	CHECK_STR(conf_note_at(conf, CONF_WARNING, 0),
		  "t:2: [s] name: is short");
	CHECK_STR(conf_note_at(conf, CONF_WARNING, 1),
		  "t:3: [s] url (${T_NAME}): holds ********* and more");
	CHECK(!conf_note_at(conf, CONF_WARNING, 2));
	CHECK_STR(conf_section_variable(section, "url"), "T_NAME");
	CHECK(!conf_section_variable(section, "name"));
	CHECK(!conf_section_variable(section, "count"));
	conf_set(conf, "s", "count", "3", "T_COUNT");
	CHECK_STR(conf_section_variable(section, "count"), "T_COUNT");
	text_forget_secrets();
}

static void test_secret_variables(void)
{
	setenv("T_A", "aaaa", 1);
	setenv("T_B", "bbbb", 1);
	setenv("T_C", "cc", 1);
	apply("[s]\npassword = ${T_A}$${X}\nurl = x://u:${T_B}@h\n"
	      "name = ${T_C}\n");
	CHECK_STR(mistakes(), "");
	CHECK_STR(conf->secret_variables.items[0], "T_A");
	CHECK_STR(conf->secret_variables.items[1], "T_B");
	CHECK_INT(conf->secret_variables.n, 2);
}

/* ---- files ---- */

static char dir[] = "/tmp/test_conf.XXXXXX";

static const char *in_folder(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void put(const char *name, const char *content, size_t len)
{
	FILE *to = fopen(in_folder(name), "w");

	CHECK_INT(fwrite(content, 1, len, to), len);
	fclose(to);
}

/* Applies a text as if it stood in a file of the directory. */
static void apply_here(const char *text)
{
	struct conf_target target = { keys, &all };

	put("t", text, strlen(text));
	conf_destroy(conf);
	conf = conf_create();
	CHECK_INT(conf_read_file(conf, in_folder("t")), 0);
	conf_apply(conf, conf_section_find(conf, "s"), &target, 1);
}

/* mistakes() without the directory, which is random. */
static const char *mistakes_here(void)
{
	static char text[4096];
	const char *from = mistakes();
	size_t len = 0;

	while (*from && len < sizeof(text) - 1) {
		if (strncmp(from, dir, strlen(dir)) == 0)
			from += strlen(dir) + 1;
		else
			text[len++] = *from++;
	}
	text[len] = '\0';
	return text;
}

static void test_value_files(void)
{
	char text[256];

	put("secret", "hunter2\n", 8);
	put("crlf", "hunter3\r\n", 9);
	put("two", "a\nb\n\n", 5);
	put("empty", "\n", 1);
	put("nul", "a\0b", 3);
	put("count", "7\n", 2);
	CHECK_INT(mkfifo(in_folder("fifo"), 0600), 0);

	snprintf(text, sizeof(text), "[s]\npassword_file = %s\n",
		 in_folder("secret"));
	apply(text);
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.password, "hunter2");
	CHECK(conf_section_has(conf->sections, "password"));
	CHECK(!conf_section_entry(conf->sections, "password"));

	/* here it is taken as it is */
	put("quoted", "\"pw-1\"", 6);
	snprintf(text, sizeof(text), "[s]\npassword_file = %s\n",
		 in_folder("quoted"));
	apply(text);
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.password, "\"pw-1\"");
	unlink(in_folder("quoted"));

	/* from the directory of the configuration file; any key */
	apply_here("[s]\npassword_file = crlf\ncount_file = count\n"
		   "url_file = two\nca_file_file = secret\n"
		   "line_file = secret\nline = more\n");
	CHECK_STR(mistakes_here(), "");
	CHECK_STR(all.password, "hunter3");
	CHECK_STR(all.url, "a\nb\n");
	CHECK_STR(all.ca_file, "hunter2");
	CHECK_INT(all.count, 7);
	CHECK_INT(all.lines.n, 2);
	/* a key that itself ends in _file */
	apply_here("[s]\nca_file = secret\n");
	CHECK_STR(all.ca_file, "secret");

	/* paths, which are not read */
	apply_here("[s]\npath = a/b\n");
	CHECK_STR(mistakes_here(), "");
	CHECK_STR(all.path, in_folder("a/b"));
	apply_here("[s]\npath = /a/b\n");
	CHECK_STR(all.path, "/a/b");
	apply_here("[s]\npath =\n");
	CHECK_STR(all.path, "");

	apply_here("[s]\npassword_file = gone\nurl_file = fifo\n"
		   "name_file = empty\nca_file_file = nul\n"
		   "timeout_file = secret\nline_file = .\n");
	CHECK_STR(
		mistakes_here(),
		"t:2: [s] password_file: the file named here cannot be "
		"opened: No such file or directory\n"
		"t:3: [s] url_file: the file named here is not a regular file\n"
		"t:4: [s] name_file: empty is empty\n"
		"t:5: [s] ca_file_file: nul has a NUL byte\n"
		"t:6: [s] timeout_file: the content of the file is not a "
		"duration; write a whole number and a unit (ms, s, m, h, d), "
		"such as 500ms or 2s\n"
		"t:7: [s] line_file: . is not a regular file");
	CHECK(strstr(mistakes(), "hunter") == NULL);
}

static void test_files(void)
{
	char reason[128], *text;
	size_t len;

	conf_destroy(conf);
	conf = conf_create();
	CHECK_INT(conf_read_file(conf, in_folder("gone")), -1);
	CHECK_STR(mistakes_here(),
		  "gone: cannot be opened: No such file or directory");
	put("utf16", "\xff\xfe[\0s\0]\0\n\0", 10);
	conf_destroy(conf);
	conf = conf_create();
	CHECK_INT(conf_read_file(conf, in_folder("utf16")), 0);
	CHECK_STR(mistakes_here(), "utf16:1: the file has a NUL byte; save "
				   "it as plain text in UTF-8");

	CHECK_INT(conf_slurp(in_folder("secret"), 8, &text, &len, reason,
			     sizeof(reason)),
		  0);
	CHECK_INT(len, 8);
	CHECK_STR(text, "hunter2\n");
	free(text);
	CHECK_INT(conf_slurp(in_folder("secret"), 7, &text, NULL, reason,
			     sizeof(reason)),
		  -1);
	CHECK_STR(reason, "is larger than 7 bytes");
	CHECK_INT(
		conf_slurp("/dev/zero", 7, &text, NULL, reason, sizeof(reason)),
		-1);
	CHECK_STR(reason, "is not a regular file");
	/* its size is said to be 0 */
	if (access("/proc/self/status", R_OK) == 0) {
		CHECK_INT(conf_slurp("/proc/self/status", 65536, &text, &len,
				     reason, sizeof(reason)),
			  0);
		CHECK(len > 100);
		free(text);
	}
}

static void remove_folder(void)
{
	static const char *const names[] = { "t",     "secret", "crlf",
					     "two",   "empty",	"nul",
					     "count", "fifo",	"utf16" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		CHECK_INT(unlink(in_folder(names[i])), 0);
	CHECK_INT(rmdir(dir), 0);
}

/* ---- by program ---- */

static void test_set(void)
{
	struct conf_target target = { keys, &all };

	conf_destroy(conf);
	conf = conf_create();
	CHECK_INT(conf_set(conf, "s", "url", "x://${T}", "DATABASE_URL"), 0);
	CHECK_INT(conf_set(conf, "s", "timeout", "5", "T_TIMEOUT"), 0);
	conf_apply(conf, conf_section_find(conf, "s"), &target, 1);
	CHECK_STR(mistakes(), "T_TIMEOUT: [s] timeout: the value needs a unit; "
			      "write 5s or 500ms");
	CHECK_STR(all.url, "x://${T}");
	CHECK(conf->sections->next == NULL);
	CHECK(conf_section_find(conf, "x") == NULL);
	conf_mistake(conf, conf->sections, "url", "is bad");
	conf_mistake(conf, conf->sections, "url", "is worse");
	conf_mistake(conf, conf->sections, NULL, "is odd");
	conf_mistake(conf, NULL, NULL, "all is lost");
	CHECK_STR(mistakes(), "T_TIMEOUT: [s] timeout: the value needs a unit; "
			      "write 5s or 500ms\n"
			      "DATABASE_URL: [s] url: is bad\n"
			      "DATABASE_URL: [s] is odd\n"
			      "all is lost");
}

static void test_required(void)
{
	struct {
		char *must;
	} record;
	struct conf_target target = { needed, &record };
	static const char *const rows[][2] = {
		{ "[s]\n", "t:1: [s] must: must be set: what must be" },
		{ "[s]\nmust =\n",
		  "t:2: [s] must: the value must not be empty" },
		{ "[s]\nmust = ${T_UNSET}\n",
		  "t:2: [s] must: ${T_UNSET} is not set in the environment" },
		{ "[s]\nmust = x\n", "" },
	};
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		conf_destroy(conf);
		conf = conf_create();
		conf_read_text(conf, "t", rows[i][0]);
		conf_apply(conf, conf->sections, &target, 1);
		CHECK_STR(mistakes(), rows[i][1]);
	}
}

/* ---- secrets ---- */

static const struct {
	const char *url;
	const char *shown;  /* NULL: as it is */
	const char *secret; /* what must have been registered, or NULL */
	const char *kept;   /* what must not have been */
} url_rows[] = {
	{ "http://host:80/path", NULL, NULL, NULL },
	{ "postgresql://user@host/0", NULL, NULL, "user" },
	{ "PGSQL://user@host/0", NULL, NULL, "user" },
	{ "jdbc:postgresql://host/d?user=u&password=hush-9",
	  "jdbc:postgresql://host/d?********", "hush-9", "host" },
	{ "r2dbc:pool:postgresql://u:hush-8@host/d",
	  "r2dbc:pool:postgresql://u:********@host/d", "hush-8", "host" },
	{ "redis://:pass-1@host/0", "redis://:********@host/0", "pass-1",
	  "host" },
	{ "postgresql://app:p%40ss-2@db:5432,db2/app?sslmode=verify-full",
	  "postgresql://app:********@db:5432,db2/app?********", "p@ss-2",
	  "verify-full" },
	/* characters that ought to be encoded, and are not */
	{ "redis://u:a/b?c#d@e@host", "redis://u:********@host", "a/b?c#d@e",
	  NULL },
	/* a name without a password is one */
	{ "https://t0ken@h/", "https://********@h/", "t0ken", NULL },
	{ "https://t0ken:@h/", "https://********@h/", "t0ken", NULL },
	{ "redis://pw-77@h", "redis://********@h", "pw-77", NULL },
	{ "https://host/?a=b@c", "https://host/?********", NULL, "host" },
	{ "http:/u:pw-88@h/", "http:/u:********@h/", "pw-88", NULL },
	{ "http://h/p?x=abcd1234&y=verify-full", "http://h/p?********",
	  "abcd1234", "verify-full" },
	{ "http://h/p?api_key=sss-3&x=yyyy#frag", "http://h/p?********#frag",
	  "sss-3", "yyyy" },
	/* pairs where no query is, whatever separates them */
	{ "http://h/x%3Fcode=cc-11%26a=b", "http://h/x%3Fcode=********",
	  "cc-11", NULL },
	{ "http://h/x%3Fcode=cc%2611%26sig%3dcc-10",
	  "http://h/x%3Fcode=********", "cc&11&sig=cc-10", NULL },
	{ "http://h/x%3Fcode=cc%2611%26sig%3dcc-10",
	  "http://h/x%3Fcode=********", "cc-10", NULL },
	{ "http://h/x%253fa%253dverify%2526sig%253Dcc-12/y",
	  "http://h/x%253fa%253dverify%2526sig%253D********", "cc-12/y",
	  "verify" },
	{ "http://h/x;v=plain;code=cc-13;a=b",
	  "http://h/x;v=plain;code=********;a=b", "cc-13", "plain" },
	{ "http://h/code=cc-14?x=y#key=cc-15&a=b",
	  "http://h/code=********?********#key=********&a=b", "cc-15", NULL },
	{ "http://h/#access_token=cc-16", "http://h/#access_token=********",
	  "cc-16", NULL },
	{ "http://h#x=a1b2c3d4", "http://h#x=********", "a1b2c3d4", NULL },
	{ "http://u:p-17@h/,api-key=cc-17",
	  "http://u:********@h/,api-key=********", "cc-17", NULL },
	{ "http://h/encode=a/decode=%=z%=b", NULL, NULL, NULL },
	{ "jdbc:sqlserver://h:1433;user=u;password=cc-18;x=y",
	  "jdbc:sqlserver://h:1433;user=u;password=********;x=y", "cc-18",
	  NULL },
	{ "host=db password=pw-44 user=app",
	  "host=db password=******** user=app", "pw-44", "user" },
	{ "password = 'a \\' b-5' host=db", "password = ******** host=db",
	  "a ' b-5", NULL },
	{ "host=db sslpassword=pw-66", "host=db sslpassword=********", "pw-66",
	  NULL },
	{ "password='unterminated", "password=********", NULL, NULL },
	{ "password=", NULL, NULL, NULL },
	{ "just text", NULL, NULL, NULL },
	{ "://", NULL, NULL, NULL },
	{ "a://?", NULL, NULL, NULL },
};

static void test_urls(void)
{
	char text[256], want[256];
	size_t i;

	for (i = 0; i < sizeof(url_rows) / sizeof(url_rows[0]); i++) {
		text_forget_secrets();
		snprintf(text, sizeof(text), "[s]\nurl = %s\n",
			 url_rows[i].url);
		apply(text);
		CHECK_STR(all.url, url_rows[i].url);
		snprintf(want, sizeof(want), "%surl      = %s",
			 url_rows[i].shown ? "# " : "",
			 url_rows[i].shown ? url_rows[i].shown
					   : url_rows[i].url);
		CHECK_STR(printed_line("url"), want);
		if (url_rows[i].secret) {
			snprintf(text, sizeof(text), "%s", url_rows[i].secret);
			text_mask(text);
			CHECK_INT(strspn(text, "*"), strlen(text));
		}
		if (url_rows[i].kept) {
			snprintf(text, sizeof(text), "%s", url_rows[i].kept);
			text_mask(text);
			CHECK_STR(text, url_rows[i].kept);
		}
	}
	text_forget_secrets();
}

static void test_secrets(void)
{
	char text[] = "they said hunter2 and tok-1!";

	apply("[s]\npassword = hunter2\ntoken = tok-1\ntoken = tok-2\n");
	CHECK(strstr(printed(), "hunter2") == NULL);
	CHECK(strstr(printed(), "tok-") == NULL);
	CHECK_STR(printed_line("password"), "# password = (set, not shown)");
	text_mask(text);
	CHECK_STR(text, "they said ******* and *****!");
	/* and in sentences about other keys */
	conf_mistake(conf, conf->sections, "url", "%s", "x hunter2");
	CHECK_STR(mistakes(), "t:1: [s] url: x *******");
	text_forget_secrets();
}

static const char in_quotes[] = "is in quotes; write it without them",
		  padded[] = "begins or ends with a space",
		  placeholder[] = "is a placeholder that was not replaced",
		  in_url[] = "has a placeholder where a password belongs";

/* What a variable holds; typed, blanks at the ends do not count. */
static const struct {
	const char *key, *value, *wrong;
} odd_rows[] = {
	{ "password", "\"pw-1\"", in_quotes },
	{ "password", "'pw-1'", in_quotes },
	{ "token", "\"\"", in_quotes },
	{ "password", " pw-1", padded },
	{ "password", "pw-1\t", padded },
	{ "password", "pw-1\n\n", padded },
	{ "password", "$DB_PASSWORD", placeholder },
	{ "password", "${DB_PASSWORD}", placeholder },
	{ "password", "$(DB_PASSWORD)", placeholder },
	{ "password", "%(db_password)s", placeholder },
	{ "password", "%DB_PASSWORD%", placeholder },
	{ "password", "{{X}}", placeholder },
	{ "password", "{{ .Values.password }}", placeholder },
	{ "token", "<your-key>", placeholder },
	{ "password", "#{Password}#", placeholder },
	{ "password", "@Microsoft.KeyVault(SecretUri=https://v/s)",
	  placeholder },
	{ "url", "redis://:$REDIS_PASSWORD@h", in_url },
	{ "url", "postgresql://u:[YOUR-PASSWORD]@db/d", in_url },
	{ "url", "postgresql://u:<password>@db/d?a=b", in_url },
	{ "url", "host=db password={{pw}}", in_url },
	/* what a secret can be */
	{ "password", "pw-1\n", NULL },
	{ "password", "pw 1", NULL },
	{ "password", "\"", NULL },
	{ "password", "\"pw", NULL },
	{ "password", "pw'", NULL },
	{ "password", "$", NULL },
	{ "password", "$ecret", NULL },
	{ "password", "$1", NULL },
	{ "password", "$A$B", NULL },
	{ "password", "a${X}", NULL },
	{ "password", "${X}b", NULL },
	{ "password", "<a", NULL },
	{ "password", "%a%", NULL },
	{ "password", "{x}", NULL },
	{ "url", "redis://:p$W@h/<x>", NULL },
	{ "url", "http://h/?q=<x>", NULL },
	{ "name", "\"quoted\"", NULL },
	{ "name", "<n>", NULL },
};

static void test_odd_secrets(void)
{
	const struct conf_refusal *refusal;
	struct conf_target target = { keys, &all };
	struct conf_section *section;
	char text[256];
	size_t i;

	for (i = 0; i < sizeof(odd_rows) / sizeof(odd_rows[0]); i++) {
		setenv("T_ODD", odd_rows[i].value, 1);
		snprintf(text, sizeof(text), "[s]\n%s = ${T_ODD}\n",
			 odd_rows[i].key);
		conf_destroy(conf);
		conf = conf_create();
		conf_read_text(conf, "t", text);
		section = conf->sections;
		section->lenient = true;
		conf_apply(conf, section, &target, 1);
		CHECK_STR(mistakes(), "");
		refusal = conf_section_refusal(conf, section);
		CHECK(!refusal == !odd_rows[i].wrong);
		if (!refusal != !odd_rows[i].wrong)
			printf("\t%s\n", odd_rows[i].value);
		if (refusal && odd_rows[i].wrong)
			CHECK(strstr(refusal->sentence, odd_rows[i].wrong));
		if (refusal)
			CHECK(!strstr(refusal->sentence, "pw-1"));
		/* overwritten and masked all the same */
		if (strcmp(odd_rows[i].key, "name") != 0)
			CHECK_STR(conf->secret_variables.items[0], "T_ODD");
	}
	unsetenv("T_ODD");
	apply("[s]\npassword = \"pw-1\"\n");
	CHECK_STR(mistakes(),
		  "t:2: [s] password: the value is in quotes; write it "
		  "without them (if it is correct, put it into a file "
		  "and name the file with password_file)");
	apply("[s]\npassword = <pw-1>\n");
	CHECK(strstr(mistakes(), placeholder) != NULL);
	/* meant as they stand */
	apply("[s]\npassword = $${X}\nurl = redis://:$${Y}@h\n");
	CHECK_STR(mistakes(), "");
	CHECK_STR(all.password, "${X}");
	text_forget_secrets();
}

/* A comment, or the end of a secret?  Only the author knows. */
static void test_cut_secrets(void)
{
	static const char warned[] =
		"t:2: [s] password: the text after \" ;\" is a comment, not "
		"part of the secret; if it is part of it, write password_file";
	static const struct {
		const char *line, *value;
		bool warns;
	} rows[] = {
		{ "password = ab ;cd", "ab", true },
		{ "password = ab\t;cd", "ab", true },
		{ "password = ;cd", "", true },
		{ "password = ab;cd", "ab;cd", false },
		{ "password = ab;cd ;ef", "ab;cd", true },
		{ "password = ab ; the comment", "ab", false },
		{ "password = ab ;", "ab", false },
		{ "name = ab ;cd", "ab", false },
	};
	char text[64];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "[s]\n%s\n", rows[i].line);
		apply(text);
		CHECK_STR(mistakes(), "");
		CHECK_STR(strncmp(rows[i].line, "name", 4) ? all.password
							   : all.name,
			  rows[i].value);
		if (rows[i].warns)
			CHECK_STR(conf_note_at(conf, CONF_WARNING, 0), warned);
		else
			CHECK(!conf_note_at(conf, CONF_WARNING, 0));
	}
	text_forget_secrets();
}

/* ---- printing ---- */

/* What is printed reads back as the same. */
static void test_print(void)
{
	static char first[8192], text[8300];
	size_t i;
	static const char *const rows[] = {
		"",
		"name = a b\non = no\ncount = 64\ndelta = -1\ntimeout = "
		"1500ms\n"
		"age = 90m\nroom = 3k\nlevel = error\nline = x, y\nline = z\n"
		"words = p q\nurl = http://h/\nca_file = /x/$${y}\n",
		"words =\nca_file = $$${x}$\nage = 1d\nroom = 1G\n",
	};

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(text, sizeof(text), "[s]\n%s", rows[i]);
		apply(text);
		CHECK_STR(mistakes(), "");
		snprintf(first, sizeof(first), "%s", printed());
		snprintf(text, sizeof(text), "[s]\n%s", first);
		apply(text);
		CHECK_STR(mistakes(), "");
		CHECK_STR(printed(), first);
	}
	apply("[s]\ntimeout = 1500ms\nroom = 5120\nage=120m\n");
	CHECK_STR(printed_line("timeout"), "timeout  = 1500ms");
	CHECK_STR(printed_line("room"), "room     = 5k");
	CHECK_STR(printed_line("age"), "age      = 2h");
	CHECK_STR(printed_line("level"), "level    = info");
	CHECK_STR(printed_line("password"), "# password =");

	/* what no line can hold */
	conf_set(conf, "v", "url", "a ;b", "T_URL");
	conf_apply(conf, conf_section_find(conf, "v"),
		   &(struct conf_target){ keys, &all }, 1);
	CHECK_STR(printed_line("url"),
		  "# url      = (set; does not fit into a line)");
}

/* ---- garbage ---- */

static void test_garbage(void)
{
	static const char *const pieces[] = {
		"[",	"]",	"s",	  "=",	      "\n",    ";",    " ",
		"${",	"}",	"T_NAME", "$",	      "_file", "\r\n", "count",
		"line", "name", "[s]\n",  "5s",	      "\xff",  "#",    "url",
		"://",	"@",	":",	  "password", "'",     "\\",   "?",
	};
	unsigned seed = 7;
	char text[400];
	size_t round, i, n;

	for (round = 0; round < 5000; round++) {
		snprintf(text, sizeof(text), "[s]\n");
		for (i = 0; i < 40; i++) {
			seed = seed * 1103515245 + 12345;
			n = (seed >> 16) % (sizeof(pieces) / sizeof(*pieces));
			strncat(text, pieces[n],
				sizeof(text) - strlen(text) - 1);
		}
		apply(text);
		if (!all.name || strlen(printed()) == 0)
			CHECK(!"a record that is not whole");
	}
	text_forget_secrets();
	CHECK(round == 5000);
}

int main(void)
{
	CHECK(mkdtemp(dir) != NULL);
	test_defaults();
	test_values();
	test_texts();
	test_lists();
	test_form();
	test_long_lines();
	test_colon();
	test_cut();
	test_many();
	test_variables();
	test_lenient();
	test_lenient_many();
	test_warnings();
	test_secret_variables();
	test_value_files();
	test_files();
	remove_folder();
	test_set();
	test_required();
	test_urls();
	test_secrets();
	test_odd_secrets();
	test_cut_secrets();
	test_print();
	test_garbage();
	conf_destroy(conf);
	conf_destroy(NULL);
	text_forget_secrets();
	return unit_report();
}

/*
 * Any text as a configuration file, with a table that has every type of key.
 * Whatever it holds: the record is whole and within the limits, mistakes are
 * single clean lines, and what is printed is read back without a mistake.
 */
#include "config.h"

#include "conf/conf.h"
#include "base/text.h"

#include <string.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/conf"
#include "fuzz.h"

struct all {
	char *name;
	char *password;
	char *url;
	bool on;
	int64_t count;
	int64_t timeout;
	int64_t age;
	int64_t room;
	int level;
	struct conf_list lines;
	struct conf_list words;
};

/* clang-format off */
static const struct conf_key keys[] = {
	{ "name", CONF_STR, offsetof(struct all, name), "someone", "2", "10", 0, "a name" },
	{ "password", CONF_STR, offsetof(struct all, password), "", "0", "1024", CONF_SECRET, "never shown" },
	{ "url", CONF_STR, offsetof(struct all, url), "", "0", "2048", CONF_URL, "where" },
	{ "on", CONF_BOOL, offsetof(struct all, on), "yes", NULL, NULL, 0, "on or off" },
	{ "count", CONF_INT, offsetof(struct all, count), "2", "-1", "64", 0, "how many" },
	{ "timeout", CONF_DURATION, offsetof(struct all, timeout), "2s", "10ms", "60s", 0, "how long" },
	{ "age", CONF_DURATION, offsetof(struct all, age), NULL, NULL, NULL, 0, "how old" },
	{ "room", CONF_SIZE, offsetof(struct all, room), "4k", NULL, "1G", 0, "how much" },
	{ "level", CONF_CHOICE, offsetof(struct all, level), "info", NULL, "error|warn|info", 0, "how loud" },
	{ "line", CONF_LIST, offsetof(struct all, lines), "", "1", "20", 0, "lines" },
	{ "words", CONF_LIST, offsetof(struct all, words), "a b", NULL, "20", CONF_WORDS, "words" },
	CONF_END
};
/* clang-format on */

static void fuzz_record(const struct all *all)
{
	size_t i;

	FUZZ_CHECK(strlen(all->name) >= 2 && strlen(all->name) <= 10);
	FUZZ_CHECK(strlen(all->password) <= 1024);
	FUZZ_CHECK(strlen(all->url) <= 2048);
	FUZZ_CHECK(all->count >= -1 && all->count <= 64);
	FUZZ_CHECK(all->timeout >= 10 && all->timeout <= 60000);
	FUZZ_CHECK(all->age >= 0);
	FUZZ_CHECK(all->room >= 0 && all->room <= 1 << 30);
	FUZZ_CHECK(all->level >= 0 && all->level <= 2);
	for (i = 0; i < all->lines.n; i++)
		FUZZ_CHECK(strlen(all->lines.items[i]) - 1 < 20);
	for (i = 0; i < all->words.n; i++)
		FUZZ_CHECK(!strpbrk(all->words.items[i], " ,\t\r\n"));
}

static void fuzz_mistakes(const struct conf *conf)
{
	const char *at;
	size_t i;

	for (i = 0; i < conf_mistakes(conf); i++) {
		at = conf_note_at(conf, CONF_MISTAKE, i);
		FUZZ_CHECK(at && *at);
		for (; *at; at++)
			FUZZ_CHECK((unsigned char)*at >= 0x20 && *at != 0x7f);
	}
	FUZZ_CHECK(!conf_note_at(conf, CONF_MISTAKE, i));
}

/* Applies each section; prints the last one when `to` is not NULL. */
static size_t fuzz_apply(const char *text, FILE *to)
{
	struct conf *conf = conf_create();
	struct conf_section *section;
	struct all all;
	size_t mistakes;

	FUZZ_CHECK(conf);
	conf_apply(conf, NULL, &(struct conf_target){ keys, &all }, 1);
	conf_read_text(conf, "fuzz", text);
	for (section = conf->sections; section; section = section->next) {
		conf_apply(conf, section, &(struct conf_target){ keys, &all },
			   1);
		fuzz_record(&all);
	}
	fuzz_mistakes(conf);
	mistakes = conf_mistakes(conf);
	if (to) {
		fprintf(to, "[printed]\n");
		conf_print(to, keys, &all, false);
	}
	conf_destroy(conf);
	text_forget_secrets();
	return mistakes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size), *printed = NULL;
	size_t printed_size;
	FILE *to = open_memstream(&printed, &printed_size);

	FUZZ_CHECK(text && to);
	setenv("FUZZ_VARIABLE", "a value", 1);
	fuzz_apply(text, to);
	fclose(to);
	FUZZ_CHECK(fuzz_apply(printed, NULL) == 0);
	free(printed);
	free(text);
	return 0;
}

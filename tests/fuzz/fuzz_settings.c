/*
 * Any text as the whole configuration of the program, with the keys of all
 * kinds: it is read to its end, its mistakes are clean lines, and what is in
 * effect can be printed, and read again when it had no mistakes.
 */
#include "config.h"

#include "base/log.h"
#include "app/settings.h"
#include "base/text.h"

#include <sys/mman.h>
#include <unistd.h>

#define FUZZ_CORPUS "tests/fuzz/corpus/settings"
#include "fuzz.h"

/* The path of a file that holds the text. */
static int fuzz_file(const void *text, size_t len, char path[32])
{
	int fd = memfd_create("fuzz", MFD_CLOEXEC);

	FUZZ_CHECK(fd >= 0 && write(fd, text, len) == (ssize_t)len);
	snprintf(path, 32, "/proc/self/fd/%d", fd);
	return fd;
}

static void fuzz_mistakes(const struct conf *conf)
{
	const char *mistake;
	size_t i;

	for (i = 0; (mistake = conf_note_at(conf, CONF_MISTAKE, i)); i++)
		FUZZ_CHECK(*mistake && fuzz_clean(mistake));
	FUZZ_CHECK(i == conf_mistakes(conf));
}

static void fuzz_checks(const struct settings *settings)
{
	size_t i;

	for (i = 0; i < settings->checks.n; i++) {
		const struct check_setup *check = &settings->checks.setups[i];

		FUZZ_CHECK(*check->name && fuzz_clean(check->name));
		FUZZ_CHECK(check->kind && check->settings);
		FUZZ_CHECK(check->policy.timeout_ms > 0 &&
			   check->policy.max_age_ms >= 0);
	}
}

/* 0: no mistakes.  What is in effect is printed, for free(). */
static int fuzz_load(const void *text, size_t len, char **printed)
{
	struct settings settings;
	char path[32];
	int fd = fuzz_file(text, len, path), bad;
	size_t size;
	FILE *to = open_memstream(printed, &size);

	FUZZ_CHECK(to);
	bad = settings_load(&settings, path);
	FUZZ_CHECK(settings.conf && !bad == !conf_mistakes(settings.conf));
	fuzz_mistakes(settings.conf);
	if (!bad)
		fuzz_checks(&settings);
	settings_print(&settings, to);
	fclose(to);
	settings_free(&settings);
	text_forget_secrets();
	close(fd);
	return bad;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *printed, *again;

	log_set_level(LOG_ERR);
	fuzz_load(data, size, &printed);
	/* Secrets are not in it, so what needs one may be missing. */
	fuzz_load(printed, strlen(printed), &again);
	free(printed);
	free(again);
	return 0;
}

#include "config.h"

#include "kinds/file.c"
#include "kinds/look.c"

#include "fake_conn.h"
#include "fake_offload.h"
#include "unit.h"

/* ---- the neighbours ---- */

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	(void)conf;
	(void)section;
	(void)key;
	(void)fmt;
	CHECK(!"a mistake");
}

/* ---- files ---- */

static char dir[] = "/tmp/health-file-XXXXXX";
static char path[64];
static char empty[] = "";
static struct file_settings settings;
static struct conn conn;

static void file_write(const char *text, size_t len)
{
	FILE *file = fopen(path, "w");

	CHECK(file && fwrite(text, 1, len, file) == len);
	CHECK(file && !fclose(file));
}

static void file_touch(int64_t seconds_ago)
{
	struct timespec times[2];

	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= seconds_ago;
	times[1] = times[0];
	CHECK(!utimensat(AT_FDCWD, path, times, 0));
}

static void ask(void)
{
	conn = (struct conn){ .settings = &settings };
	check_file.ask(&conn);
	fake_offload_finish();
	CHECK_INT(fake_conn_ends(&conn), 1);
}

static void expect(enum result_code code, const char *words)
{
	ask();
	CHECK(conn.answered);
	CHECK_INT(conn.code, code);
	CHECK_STR(conn.words, words);
	/* The operator is told which file. */
	if (code != RESULT_OK)
		CHECK(!strncmp(conn.detail, settings.path,
			       strlen(settings.path)));
	else
		CHECK_STR(conn.detail, "");
}

static void settings_reset(void)
{
	check_file.dispose(&settings);
	settings = (struct file_settings){ .path = path, .contains = empty };
	check_file.prepare(NULL, NULL, &settings);
}

/* ---- tests ---- */

static void test_exists(void)
{
	settings_reset();
	expect(RESULT_MISSING, "file does not exist");
	file_write("", 0);
	expect(RESULT_OK, "");
	settings.path = dir;
	expect(RESULT_MISMATCH, "not a regular file");
	settings.path = (char[]){ "/dev/null/x" };
	expect(RESULT_MISSING, "file does not exist");
	CHECK_STR(conn.detail, "/dev/null/x: Not a directory");
}

static void test_age(void)
{
	settings_reset();
	settings.newer_than_ms = 5 * 60 * 1000;
	file_write("x", 1);
	expect(RESULT_OK, "");
	file_touch(299);
	expect(RESULT_OK, "");
	file_touch(432);
	ask();
	CHECK_INT(conn.code, RESULT_STALE);
	CHECK(strncmp(conn.words, "older than 5m: 7m1", 18) == 0);
	/* A little ahead is another clock; far ahead is a mistake. */
	file_touch(-200);
	expect(RESULT_OK, "");
	file_touch(-400);
	expect(RESULT_STALE, "modification time is in the future");
	settings.newer_than_ms = 0;
	expect(RESULT_OK, "");
}

/* A look that began before the run is not its answer, and there is one look at
 * a time. */
static void test_stuck(void)
{
	struct conn first = { .settings = &settings };

	settings_reset();
	unlink(path);
	fake_offload.started = 0;
	check_file.ask(&first);
	check_file.close(&first);
	conn = (struct conn){ .settings = &settings };
	check_file.ask(&conn);
	CHECK_INT(fake_offload.started, 1);
	check_file.close(&first); /* is not the one that waits */
	file_write("x", 1);
	fake_offload_finish();
	CHECK_INT(fake_offload.started, 2);
	CHECK_INT(conn.answered, 1);
	CHECK_INT(conn.code, RESULT_OK);
	CHECK_INT(fake_conn_ends(&first), 0);

	/* No run waits any more. */
	check_file.ask(&first);
	check_file.close(&first);
	fake_offload_finish();
	CHECK_INT(fake_offload.started, 3);
	CHECK_INT(fake_conn_ends(&first), 0);
	expect(RESULT_OK, "");
	CHECK_INT(fake_offload.started, 4);
}

static void test_ages_in_words(void)
{
	static const struct {
		int64_t ms;
		const char *words;
	} rows[] = {
		{ 0, "0ms" },		{ 999, "999ms" },
		{ 1000, "1s" },		{ 59999, "59s" },
		{ 432000, "7m12s" },	{ 3600000, "1h" },
		{ 86399000, "23h59m" }, { 180000000, "2d2h" },
	};
	char words[32];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		file_format_age(words, sizeof(words), rows[i].ms);
		CHECK_STR(words, rows[i].words);
	}
}

static void test_size(void)
{
	settings_reset();
	settings.min_size = 4;
	file_write("abc", 3);
	expect(RESULT_MISMATCH, "smaller than 4 bytes: 3");
	file_write("abcd", 4);
	expect(RESULT_OK, "");
}

static void test_text(void)
{
	static char large[FILE_READ_BYTES + 16];

	settings_reset();
	settings.contains = (char[]){ "done" };
	file_write("is\0done", 7);
	expect(RESULT_OK, "");
	file_write("is don", 6);
	expect(RESULT_MISMATCH, "text not found");
	file_write("", 0);
	expect(RESULT_MISMATCH, "text not found");
	/* Only so much is read. */
	memset(large, 'x', sizeof(large));
	memcpy(large + FILE_READ_BYTES - 4, "done", 4);
	file_write(large, sizeof(large));
	expect(RESULT_OK, "");
	memcpy(large + FILE_READ_BYTES - 4, "xxxdone", 7);
	file_write(large, sizeof(large));
	expect(RESULT_MISMATCH, "text not found");
}

/* Opening a FIFO without a writer blocks, unless O_NONBLOCK is set. */
static void test_fifo(void)
{
	struct file_job job = { .contains = "x" };

	settings_reset();
	unlink(path);
	CHECK(!mkfifo(path, 0600));
	settings.contains = (char[]){ "x" };
	expect(RESULT_MISMATCH, "not a regular file");
	/* Put into the place of a file after it was looked at. */
	snprintf(job.path, sizeof(job.path), "%s", path);
	file_open_and_search(&job);
	CHECK_INT(job.look.code, RESULT_MISMATCH);
	unlink(path);
}

static void test_permission(void)
{
	settings_reset();
	if (geteuid() == 0)
		return; /* root may read everything */
	file_write("x", 1);
	settings.contains = (char[]){ "x" };
	CHECK(!chmod(path, 0));
	expect(RESULT_INTERNAL, "file: permission denied");
	unlink(path);
}

static void test_engine(void)
{
	settings_reset();
	fake_offload.none = true;
	ask();
	CHECK(!conn.answered);
	CHECK_INT(conn.code, RESULT_INTERNAL);
	fake_offload.none = false;
	check_file.close(&conn);
	check_file.close(&conn);
	CHECK(check_file.step(&conn)[0]);
	CHECK(!check_file.live_refused(&settings));
}

int main(void)
{
	fake_offload.later = true;
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/f", dir);
	test_exists();
	test_age();
	test_stuck();
	test_ages_in_words();
	test_size();
	test_text();
	test_fifo();
	test_permission();
	test_engine();
	unlink(path);
	rmdir(dir);
	check_file.dispose(&settings);
	return unit_report();
}

#include "config.h"

#include "kinds/model.c"
#include "kinds/look.c"

#include "fake_conn.h"
#include "fake_offload.h"
#include "unit.h"

#include <sys/mman.h>
#include <sys/wait.h>

/* ---- the neighbours ---- */

static int mistakes;
static char mistake_key[32];

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	(void)conf;
	(void)section;
	(void)fmt;
	snprintf(mistake_key, sizeof(mistake_key), "%s", key ? key : "");
	mistakes++;
}

/* ---- files ---- */

static char dir[] = "/tmp/health-model-XXXXXX";
static char path[64], marker[64], mapped[64], empty[] = "";
static struct model_settings settings;

static void file_write(const char *to, const char *text)
{
	FILE *file = fopen(to, "w");

	CHECK(file && fputs(text, file) >= 0);
	CHECK(file && !fclose(file));
}

static void marker_write(pid_t pid)
{
	char text[32];

	snprintf(text, sizeof(text), "%d\n", (int)pid);
	file_write(marker, text);
}

/* The file that was looked at last, and why. */
static void expect_detail(const char *detail)
{
	const char *const paths[] = { settings.path, settings.marker,
				      settings.mapped };
	size_t i;

	for (i = 0; i < 3; i++)
		if (*paths[i] &&
		    strncmp(detail, paths[i], strlen(paths[i])) == 0)
			return;
	printf("detail: %s\n", detail);
	CHECK(!"the detail begins with a path of the settings");
}

static void expect(enum result_code code, const char *words)
{
	struct conn conn = { .settings = &settings };

	check_model.ask(&conn);
	fake_offload_finish();
	/* A local check has no connection that could fail. */
	CHECK_INT(conn.answered, 1);
	CHECK_INT(conn.failed, 0);
	CHECK_INT(conn.code, code);
	CHECK_STR(conn.words, words);
	if (code != RESULT_OK)
		expect_detail(conn.detail);
	else
		CHECK_STR(conn.detail, "");
	check_model.close(&conn);
}

static void settings_reset(char *new_path, char *new_marker, char *new_mapped)
{
	check_model.dispose(&settings);
	settings = (struct model_settings){ .path = new_path,
					    .marker = new_marker,
					    .mapped = new_mapped };
	mistakes = 0;
	check_model.prepare(NULL, NULL, &settings);
}

/* ---- tests ---- */

static void test_path(void)
{
	settings_reset(path, empty, empty);
	CHECK_INT(mistakes, 0);
	expect(RESULT_MISSING, "model file does not exist");
	file_write(path, "");
	expect(RESULT_MISMATCH, "model file is empty");
	file_write(path, "weights");
	expect(RESULT_OK, "");
}

/* A model may be a directory of files. */
static void test_directory(void)
{
	char inner[64], hidden[80], file[80];

	snprintf(inner, sizeof(inner), "%s/inner", dir);
	snprintf(hidden, sizeof(hidden), "%s/.cache", inner);
	snprintf(file, sizeof(file), "%s/config.json", inner);
	settings_reset(inner, empty, empty);
	CHECK_INT(mkdir(inner, 0700), 0);
	expect(RESULT_MISMATCH, "model directory has no file with content");
	/* as a download leaves it that was interrupted at once */
	file_write(hidden, "x");
	expect(RESULT_MISMATCH, "model directory has no file with content");
	file_write(file, "");
	expect(RESULT_MISMATCH, "model directory has no file with content");
	file_write(file, "{}");
	expect(RESULT_OK, "");
	unlink(file);
	/* or later; the cache of a hub keeps files in subdirectories */
	snprintf(file, sizeof(file), "%s/x.incomplete", inner);
	file_write(file, "x");
	expect(RESULT_MISMATCH, "model directory has no file with content");
	unlink(file);
	snprintf(file, sizeof(file), "%s/blobs", inner);
	CHECK_INT(mkdir(file, 0700), 0);
	expect(RESULT_MISMATCH, "model directory has no file with content");
	snprintf(file, sizeof(file), "%s/blobs/ab", inner);
	file_write(file, "x");
	expect(RESULT_OK, "");
	unlink(file);
	snprintf(file, sizeof(file), "%s/blobs", inner);
	rmdir(file);
	CHECK_INT(symlink("nowhere", file), 0);
	expect(RESULT_MISMATCH, "model directory has no file with content");
	unlink(file);
	expect(RESULT_MISMATCH, "model directory has no file with content");
	unlink(hidden);
	if (geteuid() != 0) {
		CHECK_INT(chmod(inner, 0), 0);
		expect(RESULT_INTERNAL, "model directory: permission denied");
	}
	CHECK_INT(rmdir(inner), 0);
	expect(RESULT_MISSING, "model file does not exist");
	CHECK_INT(mkfifo(inner, 0600), 0);
	expect(RESULT_MISMATCH, "model is not a regular file");
	CHECK_INT(unlink(inner), 0);
}

/* A look that began before the run is not its answer. */
static void test_stuck(void)
{
	struct conn first = { .settings = &settings };

	settings_reset(path, empty, empty);
	fake_offload.started = 0;
	check_model.ask(&first);
	check_model.close(&first);
	expect(RESULT_OK, "");
	CHECK_INT(fake_offload.started, 2);
}

static void test_marker(void)
{
	settings_reset(empty, marker, empty);
	CHECK_INT(mistakes, 0);
	expect(RESULT_MISSING, "not loaded yet: marker file does not exist");
	file_write(marker, "");
	expect(RESULT_OK, "");
	file_write(marker, "loaded\n");
	expect(RESULT_OK, "");
	unlink(marker);
	CHECK(!mkfifo(marker, 0600));
	expect(RESULT_MISMATCH, "marker is not a regular file");
	unlink(marker);
}

static void test_pids(void)
{
	CHECK_INT(model_parse_pid("123"), 123);
	CHECK_INT(model_parse_pid("  123\n"), 123);
	CHECK_INT(model_parse_pid("123 2026-01-01"), 123);
	CHECK_INT(model_parse_pid(""), 0);
	CHECK_INT(model_parse_pid("0"), 0);
	CHECK_INT(model_parse_pid("-1"), 0);
	CHECK_INT(model_parse_pid("2026-01-01"), 0);
	CHECK_INT(model_parse_pid("123abc"), 0);
	CHECK_INT(model_parse_pid("1769860800"), 0); /* a time */
	CHECK_INT(model_parse_pid("99999999999999999999"), 0);
}

/* A child that ends when it is told to. */
static pid_t child_begin(int *tell)
{
	int ends[2];
	char byte;
	pid_t pid;

	CHECK(!pipe(ends));
	pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		close(ends[1]);
		_exit(read(ends[0], &byte, 1) < 0);
	}
	close(ends[0]);
	*tell = ends[1];
	return pid;
}

static long long start_of(pid_t pid)
{
	long long start;
	char state;

	model_read_process(pid, &state, &start);
	CHECK(state && start > 0);
	return start;
}

static void marker_write_start(pid_t pid, long long start)
{
	char text[64];

	snprintf(text, sizeof(text), "%d start=%lld\n", (int)pid, start);
	file_write(marker, text);
}

static void marker_age(int64_t seconds)
{
	struct timespec times[2];

	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[0].tv_sec -= seconds;
	times[1] = times[0];
	CHECK(!utimensat(AT_FDCWD, marker, times, 0));
}

/* Which process wrote the marker? */
static void test_writer(void)
{
	char other[128];
	int tell;
	pid_t pid = child_begin(&tell);

	snprintf(other, sizeof(other),
		 "process %d did not write the marker: it started at another "
		 "time",
		 (int)pid);
	settings_reset(empty, marker, empty);
	marker_write(pid);
	expect(RESULT_OK, "");
	marker_age(60);
	expect(RESULT_MISSING, other);
	/* The start counts alone, and exactly. */
	marker_write_start(pid, start_of(pid));
	marker_age(60);
	expect(RESULT_OK, "");
	marker_write_start(pid, start_of(pid) + 1);
	expect(RESULT_MISSING, other);
	marker_write_start(pid, 0);
	expect(RESULT_MISSING, other);
	close(tell);
	CHECK(waitpid(pid, NULL, 0) == pid);

	/* These numbers mean another process in each container. */
	marker_write(1);
	expect(RESULT_MISMATCH, "process 1 of the marker may be any "
				"container's: write start=, too");
	marker_write_start(1, start_of(1));
	expect(RESULT_OK, "");
	snprintf(other, sizeof(other),
		 "process %d of the marker is health.fcgi: written in another "
		 "container?",
		 (int)getpid());
	marker_write(getpid());
	expect(RESULT_MISMATCH, other);
	marker_write_start(getpid(), start_of(getpid()));
	expect(RESULT_OK, "");
}

static void test_process(void)
{
	char words[64];
	siginfo_t info;
	int tell;
	pid_t pid = child_begin(&tell);

	settings_reset(empty, marker, empty);
	marker_write(pid);
	expect(RESULT_OK, "");
	close(tell);
	CHECK(!waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
	snprintf(words, sizeof(words), "process %d is a zombie", (int)pid);
	expect(RESULT_MISSING, words);
	CHECK(waitpid(pid, NULL, 0) == pid);
	snprintf(words, sizeof(words), "process %d of the marker is gone",
		 (int)pid);
	expect(RESULT_MISSING, words);
}

static void test_mapped(void)
{
	char words[128], linked[80];
	void *map;
	int fd;

	settings_reset(empty, marker, mapped);
	CHECK_INT(mistakes, 0);
	file_write(marker, "loaded");
	expect(RESULT_MISMATCH, "marker file holds no process id");
	marker_write(getpid());
	expect(RESULT_MISSING, "model file does not exist");
	file_write(mapped, "weights");
	snprintf(words, sizeof(words), "model file is not mapped by process %d",
		 (int)getpid());
	expect(RESULT_MISMATCH, words);

	fd = open(mapped, O_RDONLY | O_CLOEXEC);
	map = mmap(NULL, 7, PROT_READ, MAP_PRIVATE, fd, 0);
	CHECK(map != MAP_FAILED);
	close(fd);
	expect(RESULT_OK, "");
	snprintf(linked, sizeof(linked), "%s/link", dir);
	CHECK(!symlink(mapped, linked));
	settings.mapped = linked;
	expect(RESULT_OK, "");

	/* Another file in its place is not the one that is mapped. */
	snprintf(words, sizeof(words), "%s.new", mapped);
	file_write(words, "weights2");
	CHECK(!rename(words, mapped));
	snprintf(words, sizeof(words), "model file is not mapped by process %d",
		 (int)getpid());
	expect(RESULT_MISMATCH, words);
	munmap(map, 7);
	unlink(linked);
}

static void test_lines(void)
{
	struct stat status = { .st_dev = makedev(8, 0x11), .st_ino = 42 };
	static const char name[] = "/m/a b";

	CHECK(model_line_is("7f-80 r--p 0000 08:11 42    /m/other", &status,
			    name));
	CHECK(!model_line_is("7f-80 r--p 0000 08:11 43   /m/other", &status,
			     name));
	CHECK(!model_line_is("7f-80 r--p 0000 08:12 42   /m/other", &status,
			     name));
	CHECK(model_line_is("7f-80 r--p 0000 00:30 7     /m/a b", &status,
			    name));
	CHECK(!model_line_is("7f-80 r--p 0000 00:30 7    /m/a b (deleted)",
			     &status, name));
	CHECK(!model_line_is("7f-80 rw-p 0000 00:00 0 ", &status, name));
	CHECK(!model_line_is("7f-80 rw-p 0000 00:00 0    [heap]", &status,
			     name));
	CHECK(!model_line_is("", &status, name));
}

static void test_all_together(void)
{
	settings_reset(path, marker, empty);
	file_write(path, "weights");
	file_write(marker, "");
	expect(RESULT_OK, "");
	unlink(path);
	expect(RESULT_MISSING, "model file does not exist");
	file_write(path, "weights");
	unlink(marker);
	expect(RESULT_MISSING, "not loaded yet: marker file does not exist");
}

static void test_mistakes(void)
{
	settings_reset(empty, empty, empty);
	CHECK_INT(mistakes, 1);
	settings_reset(path, empty, mapped);
	CHECK_INT(mistakes, 1);
	CHECK_STR(mistake_key, "mapped");
	CHECK(!check_model.live_refused(&settings));
}

int main(void)
{
	fake_offload.later = true;
	CHECK(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/path", dir);
	snprintf(marker, sizeof(marker), "%s/marker", dir);
	snprintf(mapped, sizeof(mapped), "%s/mapped", dir);
	test_path();
	test_directory();
	test_stuck();
	test_marker();
	test_pids();
	test_writer();
	test_process();
	test_mapped();
	test_lines();
	test_all_together();
	test_mistakes();
	unlink(path);
	unlink(marker);
	unlink(mapped);
	rmdir(dir);
	check_model.dispose(&settings);
	return unit_report();
}

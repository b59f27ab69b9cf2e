/*
 * The file of shared results, and what others put in its place: nothing but a
 * file as this program makes it, of this user's alone, is touched, and one that
 * is cut or removed under us ends nothing.
 */
#include "config.h"

#include "board/share_file.c"
#include "unit.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/wait.h>

#define SIZE 8192

static char top[64], dir[128], path[256], reason[512];
static int filled;

static void fill(void *memory, const void *arg)
{
	memset(memory, *(const char *)arg, SIZE);
	filled++;
}

static int get(struct share_file *file, const char *where)
{
	file->ours = NULL;
	reason[0] = '\0';
	*file = (struct share_file){ .dir = where,
				     .name = "results",
				     .size = SIZE,
				     .fill = fill,
				     .arg = "x" };
	return share_file_open(file, reason, sizeof(reason));
}

static void refused(const char *where, const char *words)
{
	struct share_file file;

	CHECK_INT(get(&file, where), -1);
	CHECK(strstr(reason, words) != NULL);
	if (!strstr(reason, words))
		printf("\tgot \"%s\"\n", reason);
}

static bool has_mode(const char *name, mode_t mode)
{
	struct stat status;

	return lstat(name, &status) == 0 && (status.st_mode & 07777) == mode;
}

/* A directory with this name, and the file's path in it. */
static void begin(const char *name)
{
	snprintf(dir, sizeof(dir), "%s/%s", top, name);
	snprintf(path, sizeof(path), "%s/results", dir);
	filled = 0;
}

static void put(const char *name, size_t size, mode_t mode)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_EXCL, mode);

	CHECK(fd >= 0);
	CHECK_INT(fchmod(fd, mode), 0);
	CHECK_INT(ftruncate(fd, (off_t)size), 0);
	close(fd);
}

/* ---- tests ---- */

static void test_made_once(void)
{
	struct share_file first, second;
	mode_t before = umask(0);

	begin("made");
	CHECK_INT(get(&first, dir), 0);
	CHECK(has_mode(dir, 0700));
	CHECK(has_mode(path, 0600));
	CHECK_INT(((char *)first.memory)[SIZE - 1], 'x');
	((char *)first.memory)[0] = 'y';
	CHECK_INT(get(&second, dir), 0);
	CHECK_INT(filled, 1);
	CHECK_INT(((char *)second.memory)[0], 'y');
	CHECK(share_file_intact(&second, reason, sizeof(reason)));
	munmap(first.memory, SIZE);
	close(first.fd);
	share_file_close(&second);
	umask(before);
}

static void test_directory_of_others(void)
{
	char link[160];

	begin("open");
	CHECK_INT(mkdir(dir, 0700), 0);
	CHECK_INT(chmod(dir, 0770), 0);
	refused(dir, "other users have rights");
	CHECK_INT(chmod(dir, 0701), 0);
	refused(dir, "other users have rights");
	CHECK_INT(chmod(dir, 0700), 0);
	snprintf(link, sizeof(link), "%s/link", top);
	CHECK_INT(symlink(dir, link), 0);
	refused(link, link);
	if (geteuid() == 0) {
		CHECK_INT(chown(dir, 12345, 12345), 0);
		refused(dir, "belongs to another user");
	}
	CHECK_INT(access(path, F_OK), -1);
	CHECK_INT(filled, 0);
	begin("no/such");
	refused(dir, "No such file");
	begin("file");
	put(dir, 0, 0600);
	refused(dir, "Not a directory");
}

static void test_file_of_others(void)
{
	char target[160];

	begin("files");
	snprintf(target, sizeof(target), "%s/target", top);
	CHECK_INT(mkdir(dir, 0700), 0);
	put(target, SIZE, 0600);
	CHECK_INT(symlink(target, path), 0);
	refused(dir, path);
	unlink(path);
	/* One that points nowhere is not made to point somewhere. */
	CHECK_INT(symlink("nowhere", path), 0);
	refused(dir, path);
	unlink(path);
	CHECK_INT(mkfifo(path, 0600), 0);
	refused(dir, "not a regular file");
	unlink(path);
	CHECK_INT(mkdir(path, 0700), 0);
	refused(dir, path);
	rmdir(path);
	put(path, SIZE, 0640);
	refused(dir, "other users have rights");
	unlink(path);
	put(path, 0, 0600);
	refused(dir, "was not made by this program");
	unlink(path);
	put(path, SIZE + 1, 0600);
	refused(dir, "was not made by this program");
	unlink(path);
	if (geteuid() == 0) {
		put(path, SIZE, 0600);
		CHECK_INT(chown(path, 12345, 12345), 0);
		refused(dir, "belongs to another user");
		unlink(path);
	}
	CHECK_INT(filled, 0);
}

static bool is_x(const void *head, const void *arg)
{
	const char *bytes = head;

	return bytes[0] == *(const char *)arg &&
	       bytes[SHARE_FILE_HEAD_BYTES - 1] == bytes[0];
}

/* A file of the right size that is not ours is not mapped, and does not take
 * the place of one that is. */
static void test_foreign(void)
{
	struct share_file file = { .dir = dir,
				   .name = "results",
				   .size = SIZE,
				   .fill = fill,
				   .ours = is_x,
				   .arg = "x" };
	char *memory;

	begin("foreign");
	CHECK_INT(mkdir(dir, 0700), 0);
	put(path, SIZE, 0600);
	CHECK_INT(share_file_open(&file, reason, sizeof(reason)), -1);
	CHECK(strstr(reason, "was not made by this program") != NULL);
	CHECK(file.memory == NULL);
	unlink(path);
	CHECK_INT(share_file_open(&file, reason, sizeof(reason)), 0);
	memory = file.memory;
	unlink(path);
	put(path, SIZE, 0600);
	CHECK_INT(share_file_open(&file, reason, sizeof(reason)), -1);
	CHECK(strstr(reason, "was not made by this program") != NULL);
	CHECK(file.memory == memory && memory[0] == 'x' &&
	      memory[SIZE - 1] == 'x');
	unlink(path);
	CHECK_INT(share_file_open(&file, reason, sizeof(reason)), 0);
	share_file_close(&file);
}

static void test_removed(void)
{
	struct share_file file;

	begin("removed");
	CHECK_INT(get(&file, dir), 0);
	CHECK(!share_file_is_gone(&file));
	CHECK_INT(unlink(path), 0);
	CHECK(share_file_is_gone(&file));
	CHECK(!share_file_intact(&file, reason, sizeof(reason)));
	CHECK(strstr(reason, "was removed") != NULL);
	share_file_close(&file);
	CHECK_INT(get(&file, dir), 0);
	CHECK(share_file_intact(&file, reason, sizeof(reason)));
	/* Later processes would not find it. */
	CHECK_INT(rename(path, "elsewhere"), 0);
	reason[0] = '\0';
	CHECK(!share_file_intact(&file, reason, sizeof(reason)));
	CHECK(strstr(reason, "was removed") != NULL);
	CHECK_INT(unlink("elsewhere"), 0);
	/* The file that replaced it belongs to another process. */
	put(path, SIZE, 0600);
	share_file_remove(&file);
	CHECK_INT(access(path, F_OK), 0);
	share_file_close(&file);
	CHECK_INT(get(&file, dir), 0);
	share_file_remove(&file);
	CHECK_INT(access(path, F_OK), -1);
	share_file_close(&file);
}

static void test_cut(void)
{
	struct share_file file;
	volatile char *memory;

	begin("cut");
	CHECK_INT(get(&file, dir), 0);
	memory = file.memory;
	CHECK_INT(memory[SIZE - 1], 'x');
	CHECK_INT(truncate(path, 0), 0);
	CHECK_INT(memory[SIZE - 1], 0);
	memory[0] = 'z';
	CHECK(!share_file_intact(&file, reason, sizeof(reason)));
	CHECK(strstr(reason, "was cut") != NULL);
	/* Nor when it is as long as before again. */
	CHECK_INT(truncate(path, SIZE), 0);
	CHECK(!share_file_intact(&file, reason, sizeof(reason)));
	share_file_close(&file);
	CHECK_INT(get(&file, dir), 0);
	CHECK(share_file_intact(&file, reason, sizeof(reason)));
	share_file_close(&file);
}

/* Another mistake of ours must not be hidden by the handler. */
static void test_other_bus_errors(void)
{
	struct share_file file;
	volatile char *other;
	pid_t child;
	int fd, status = 0;

	begin("bus");
	CHECK_INT(get(&file, dir), 0);
	snprintf(path, sizeof(path), "%s/other", dir);
	put(path, 0, 0600);
	fd = open(path, O_RDWR);
	other = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(other != MAP_FAILED);
	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(other[0]);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	munmap((void *)other, SIZE);
	close(fd);
	share_file_close(&file);
}

static void test_no_room(void)
{
	struct share_file file = { .dir = dir,
				   .name = "results",
				   .size = (size_t)1 << 60,
				   .fill = fill,
				   .arg = "x" };

	begin("full");
	CHECK_INT(mkdir(dir, 0700), 0);
	/* Larger than files may be. */
	CHECK_INT(share_file_open(&file, reason, sizeof(reason)), -1);
	CHECK_INT(filled, 0);
	CHECK_INT(rmdir(dir), 0);
}

static int forget(const char *name, const struct stat *status, int type,
		  struct FTW *where)
{
	(void)status;
	(void)type;
	(void)where;
	return remove(name);
}

int main(void)
{
	snprintf(top, sizeof(top), "/tmp/health-unit.XXXXXX");
	if (!mkdtemp(top))
		return 77;
	test_made_once();
	test_directory_of_others();
	test_file_of_others();
	test_foreign();
	test_removed();
	test_cut();
	test_other_bus_errors();
	test_no_room();
	CHECK_INT(nftw(top, forget, 8, FTW_DEPTH | FTW_PHYS), 0);
	return unit_report();
}

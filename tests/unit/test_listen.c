#include "config.h"

#include <sys/resource.h>
#include <sys/socket.h>

/* What happens between two steps must have the time to happen. */
static int slow_bind(int fd, const struct sockaddr *address, socklen_t len);
static int slow_listen(int fd, int backlog);
#define bind slow_bind
#define listen slow_listen
#include "front/listen.c"
#undef bind
#undef listen

#include <dirent.h>
#include <sys/wait.h>

#include "unit.h"

static char dir[] = "/tmp/health-listen.XXXXXX";
static char path[64], where[80];
static struct listener listener, other;
static char reason[256], place_beside[80];

static int pause_ms;

static int slow_bind(int fd, const struct sockaddr *address, socklen_t len)
{
	poll(NULL, 0, pause_ms);
	return bind(fd, address, len);
}

static int slow_listen(int fd, int backlog)
{
	poll(NULL, 0, pause_ms);
	return listen(fd, backlog);
}

static enum listen_outcome open_at(struct listener *at, const char *place)
{
	enum listen_outcome outcome = listen_open(at, place, 0660);

	memcpy(reason, at->reason, sizeof(reason));
	return outcome;
}

static bool reachable(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	bool good;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	good = connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	close(fd);
	return good;
}

static void test_unix(void)
{
	struct stat st;
	mode_t before = umask(0);

	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 07777, 0660);
	CHECK_INT(umask(before), 0);
	CHECK(reachable());
	CHECK(listen_is_listening(listener.fd));
	/* The gate must never wait in accept(2). */
	CHECK(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);

	/* It is served: no other process gets it. */
	CHECK_INT(open_at(&other, where), LISTEN_FAILED);
	CHECK(strstr(reason, "cannot listen on") && strstr(reason, path));
	CHECK(reachable());
	listen_leave(&listener);
	CHECK(lstat(path, &st) < 0);
}

/* How many files are in the directory. */
static int files(void)
{
	struct dirent *entry;
	DIR *entries = opendir(dir);
	int n = 0;

	while ((entry = readdir(entries)))
		n += entry->d_name[0] != '.';
	closedir(entries);
	return n;
}

static void test_left_over(void)
{
	/* Its owner was killed. */
	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	close(listener.fd);
	CHECK(!reachable());
	CHECK_INT(open_at(&other, where), LISTEN_OPEN);
	CHECK(reachable());

	/* A successor was started with the file out of the way. */
	unlink(path);
	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	listen_leave(&other);
	CHECK(reachable());
	listen_leave(&listener);
	CHECK(!reachable());
	CHECK_INT(files(), 0);
}

static void test_leave(void)
{
	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	listen_leave(&listener);
	CHECK_INT(files(), 0);
	/* The next one has the path, while we still serve open connections. */
	CHECK_INT(open_at(&other, where), LISTEN_OPEN);
	CHECK(listen_is_listening(listener.fd));
	listen_leave(&listener);
	listen_leave(&listener);
	CHECK(reachable());

	/* A successor has replaced the serving process. */
	snprintf(place_beside, sizeof(place_beside), "unix:%s.new", path);
	CHECK_INT(open_at(&listener, place_beside), LISTEN_OPEN);
	CHECK_INT(rename(place_beside + 5, path), 0);
	listen_leave(&other);
	CHECK(reachable());
	unlink(path);
	listen_leave(&listener);
	CHECK_INT(files(), 0);
}

/* What a SIGKILL between two steps leaves behind does not block a start. */
static void test_killed_while_starting(void)
{
	snprintf(place_beside, sizeof(place_beside), "unix:%s~", path);
	CHECK_INT(open_at(&other, place_beside), LISTEN_OPEN);
	close(other.fd);
	CHECK_INT(files(), 1);
	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	CHECK_INT(files(), 1);
	CHECK(reachable());
	listen_leave(&listener);

	/* When that one lives, it is not ours to take away. */
	CHECK_INT(open_at(&other, place_beside), LISTEN_OPEN);
	CHECK_INT(open_at(&listener, where), LISTEN_FAILED);
	CHECK(strstr(reason, "in use"));
	CHECK_INT(files(), 1);
	listen_leave(&other);
	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	listen_leave(&listener);
	CHECK_INT(files(), 0);
}

/* Exits 0 when it listens and is reachable until all have tried. */
static int starter(int go, int done)
{
	struct pollfd others = { .fd = done, .events = POLLIN };
	char byte;

	if (read(go, &byte, 1) != 0)
		return 2;
	if (open_at(&listener, where) != LISTEN_OPEN)
		return 1;
	return poll(&others, 1, 10000) > 0 && reachable() &&
			       accept(listener.fd, NULL, NULL) >= 0
		       ? 0
		       : 3;
}

/* The longest path there can be leaves no room for a longer name. */
static void test_longest(void)
{
	static const char ends[] = "x~+";
	char longest[sizeof("unix:") + 107];
	size_t i;

	for (i = 0; i < sizeof(ends) - 1; i++) {
		memset(longest, ends[i], sizeof(longest));
		memcpy(longest, where, strlen(where));
		longest[sizeof(longest) - 1] = '\0';
		CHECK_INT(open_at(&listener, longest), LISTEN_OPEN);
		CHECK_STR(listener.path, longest + 5);
		CHECK_INT(files(), 1);
		CHECK_INT(open_at(&other, longest), LISTEN_FAILED);
		listen_leave(&listener);
		CHECK_INT(files(), 0);
	}
}

/* Several processes find the same left-over at once: exactly one gets the path,
 * and the others know that they did not. */
static void test_race(void)
{
	enum { STARTERS = 8 };
	int go[2], done[2], i, status, winners = 0, losers = 0;
	pid_t child;

	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	close(listener.fd);
	CHECK(pipe(go) == 0 && pipe(done) == 0);
	fflush(stdout);
	for (i = 0; i < STARTERS; i++) {
		child = fork();
		if (child == 0) {
			close(go[1]);
			close(done[1]);
			pause_ms = 10 * (i + 1);
			_exit(starter(go[0], done[0]));
		}
	}
	close(go[1]);
	for (i = 0; i < STARTERS - 1; i++) {
		CHECK(wait(&status) > 0);
		losers += WIFEXITED(status) && WEXITSTATUS(status) == 1;
	}
	close(done[1]);
	CHECK(wait(&status) > 0);
	winners += WIFEXITED(status) && WEXITSTATUS(status) == 0;
	CHECK_INT(losers, STARTERS - 1);
	CHECK_INT(winners, 1);
	close(go[0]);
	close(done[0]);
	unlink(path);
	CHECK_INT(files(), 0);
}

/* A client that finds the file can connect, however often it is replaced. */
static void test_no_gap(void)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int i, status = -1, refused = 0, found = 0, stop[2];
	pid_t child;
	char byte;

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CHECK(pipe2(stop, O_NONBLOCK) == 0);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(stop[1]);
		while (read(stop[0], &byte, 1) < 0) {
			int fd = socket(AF_UNIX, SOCK_STREAM, 0);

			if (connect(fd, (struct sockaddr *)&address,
				    sizeof(address)) == 0)
				found++;
			else
				refused += errno == ECONNREFUSED;
			close(fd);
		}
		printf("found %d, refused %d\n", found, refused);
		fflush(stdout);
		_exit(refused ? 1 : 0);
	}
	pause_ms = 1;
	for (i = 0; i < 100; i++) {
		CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
		listen_leave(&listener);
	}
	pause_ms = 0;
	close(stop[1]);
	close(stop[0]);
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_INT(status, 0);
}

/* Another program's lock on the directory must not block the start for ever. */
static void test_locked_folder(void)
{
	int lock = open(dir, O_RDONLY | O_DIRECTORY);

	CHECK(flock(lock, LOCK_EX) == 0);
	CHECK_INT(open_at(&listener, where), LISTEN_OPEN);
	CHECK(reachable());
	close(lock);
	listen_leave(&listener);
	CHECK_INT(files(), 0);
}

static void test_no_socket(void)
{
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	/* A file of another sort is never removed. */
	CHECK(write(fd, "x", 1) == 1);
	close(fd);
	CHECK_INT(open_at(&listener, where), LISTEN_FAILED);
	CHECK(lstat(path, &st) == 0 && st.st_size == 1);
	unlink(path);
	CHECK(symlink("/etc/passwd", path) == 0);
	CHECK_INT(open_at(&listener, where), LISTEN_FAILED);
	CHECK(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
	unlink(path);
}

static void test_bad(void)
{
	static const char *const bad[] = {
		"",
		"unix:",
		"9000",
		":9000",
		"localhost",
		"localhost:",
		"a:b",
		"127.0.0.1:0",
		"127.0.0.1:x",
		"127.0.0.1: 80",
		"127.0.0.1:+80",
		"host:-1",
		"[]:80",
		"127.0.0.1:65536",
		"example:80",
		"[::1:80",
		"::1]:80",
		"127.0.0.1:80 ",
		"1.2.3:80",
		"[::1]9000",
	};
	char longest[sizeof("unix:") + 108];
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		CHECK_INT(open_at(&listener, bad[i]), LISTEN_BAD_ADDRESS);
		CHECK(reason[0]);
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "unix:", 5);
	longest[sizeof(longest) - 1] = '\0';
	CHECK_INT(strlen(longest), 5 + 108);
	CHECK_INT(open_at(&listener, longest), LISTEN_BAD_ADDRESS);
	CHECK_STR(reason, "the path of the socket must be 1 to 107 bytes long");
	CHECK_INT(open_at(&listener, "unix:/nonexistent/socket"),
		  LISTEN_FAILED);
	CHECK(strstr(reason, "No such file"));
}

static int port_of(int fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	getsockname(fd, (struct sockaddr *)&address, &len);
	return ntohs(address.sin_port);
}

/* A port that was free a moment ago. */
static int free_port(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM, 0), port;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	port = port_of(fd);
	close(fd);
	return port;
}

/* Why, and not what came of trying to go on. */
static void test_no_descriptor(void)
{
	struct rlimit limit, none;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	none = limit;
	none.rlim_cur = 0;
	CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
	CHECK_INT(open_at(&listener, "127.0.0.1:9"), LISTEN_FAILED);
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	CHECK(strstr(listener.reason, "Too many open files") != NULL);
}

static void test_tcp(void)
{
	static const char *const hosts[] = { "127.0.0.1", "localhost", "*",
					     "[::1]" };
	char place[64];
	size_t i;
	int port;

	for (i = 0; i < sizeof(hosts) / sizeof(*hosts); i++) {
		port = free_port();
		snprintf(place, sizeof(place), "%s:%d", hosts[i], port);
		if (open_at(&listener, place)) {
			/* This machine has no IPv6. */
			CHECK_STR(hosts[i], "[::1]");
			continue;
		}
		CHECK_INT(port_of(listener.fd), port);
		CHECK(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
		CHECK_STR(listener.path, "");
		CHECK_INT(open_at(&other, place), LISTEN_FAILED);
		CHECK(strstr(reason, "in use"));
		listen_leave(&listener);
	}
}

/* ---- what is handed over: in a child, since descriptors are replaced ---- */

static int child_zero(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr name = { .sa_family = AF_UNIX };

	/* Neither bound nor listening, as libfcgi would take it to be. */
	dup2(fd, STDIN_FILENO);
	CHECK_INT(listen_inherit(&listener), -1);
	CHECK(bind(fd, &name, sizeof(sa_family_t)) == 0);
	CHECK(listen(fd, 1) == 0);
	CHECK_INT(listen_inherit(&listener), 0);
	CHECK_INT(listener.fd, STDIN_FILENO);
	CHECK(fcntl(STDIN_FILENO, F_GETFL) & O_NONBLOCK);
	CHECK_STR(listener.path, "");
	CHECK_INT(listener.parent, getppid());
	/* As under nohup(1): do not end with the parent. */
	signal(SIGHUP, SIG_IGN);
	CHECK_INT(listen_inherit(&listener), 0);
	CHECK_INT(listener.parent, 0);
	signal(SIGHUP, SIG_DFL);
	close(STDIN_FILENO);
	CHECK_INT(listen_inherit(&listener), -1);
	return unit_failed;
}

static int child_systemd(void)
{
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);
	struct sockaddr name = { .sa_family = AF_UNIX };
	char pid[16];

	close(STDIN_FILENO);
	CHECK(bind(fd, &name, sizeof(sa_family_t)) == 0);
	CHECK(listen(fd, 1) == 0);
	dup2(fd, LISTEN_SYSTEMD_FD);
	CHECK_INT(listen_inherit(&listener), -1);
	setenv("LISTEN_FDS", "1", 1);
	CHECK_INT(listen_inherit(&listener), -1);
	setenv("LISTEN_PID", "1", 1); /* meant for another process */
	CHECK_INT(listen_inherit(&listener), -1);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	CHECK_INT(listen_inherit(&listener), 0);
	CHECK_INT(listener.fd, LISTEN_SYSTEMD_FD);
	CHECK_INT(listener.parent, 0);
	setenv("LISTEN_FDS", "0", 1);
	CHECK_INT(listen_inherit(&listener), -1);
	return unit_failed;
}

static void in_child(int (*test)(void))
{
	int status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0) {
		unit_failed = 0;
		status = test() != 0;
		fflush(stdout);
		_exit(status);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK_INT(status, 0);
}

int main(void)
{
	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	if (!mkdtemp(dir))
		return 77;
	snprintf(path, sizeof(path), "%s/socket", dir);
	snprintf(where, sizeof(where), "unix:%s", path);
	test_unix();
	test_left_over();
	test_leave();
	test_killed_while_starting();
	test_longest();
	test_race();
	test_no_gap();
	test_locked_folder();
	test_no_socket();
	test_bad();
	test_no_descriptor();
	test_tcp();
	in_child(child_zero);
	in_child(child_systemd);
	unlink(path);
	CHECK(rmdir(dir) == 0);
	return unit_report();
}

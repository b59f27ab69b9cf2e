#include "listen.c"

#include <sys/wait.h>

#include "unit.h"

static char folder[] = "/tmp/health-listen.XXXXXX";
static char path[64], where[80];
static struct listener listener, other;
static char reason[256];

static int open_at(struct listener *at, const char *place)
{
	reason[0] = '\0';
	return listen_open(at, place, 0660, reason, sizeof(reason));
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

	CHECK_INT(open_at(&listener, where), 0);
	CHECK(stat(path, &st) == 0 && S_ISSOCK(st.st_mode));
	CHECK_INT(st.st_mode & 07777, 0660);
	CHECK_INT(umask(before), 0);
	CHECK(reachable());
	CHECK(listen_is_listening(listener.fd));
	/* The gate must never wait in accept(2). */
	CHECK(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
	CHECK(fcntl(listener.fd, F_GETFD) & FD_CLOEXEC);

	/* It is served: nobody else gets it. */
	CHECK_INT(open_at(&other, where), -1);
	CHECK(strstr(reason, "cannot listen on") && strstr(reason, path));
	CHECK(reachable());
	listen_close(&listener);
	CHECK(lstat(path, &st) < 0);
}

static void test_left_over(void)
{
	/* Its owner was killed. */
	CHECK_INT(open_at(&listener, where), 0);
	close(listener.fd);
	CHECK(!reachable());
	CHECK_INT(open_at(&other, where), 0);
	CHECK(reachable());

	/* A successor was started with the file out of the way. */
	unlink(path);
	CHECK_INT(open_at(&listener, where), 0);
	listen_close(&other);
	CHECK(reachable());
	listen_close(&listener);
	CHECK(!reachable());
}

static void test_no_socket(void)
{
	struct stat st;
	int fd = open(path, O_CREAT | O_WRONLY, 0600);

	/* A file of another sort is never removed. */
	CHECK(write(fd, "x", 1) == 1);
	close(fd);
	CHECK_INT(open_at(&listener, where), -1);
	CHECK(lstat(path, &st) == 0 && st.st_size == 1);
	unlink(path);
	CHECK(symlink("/etc/passwd", path) == 0);
	CHECK_INT(open_at(&listener, where), -1);
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
		CHECK_INT(open_at(&listener, bad[i]), -1);
		CHECK(reason[0]);
	}
	memset(longest, 'x', sizeof(longest));
	memcpy(longest, "unix:", 5);
	longest[sizeof(longest) - 1] = '\0';
	CHECK_INT(strlen(longest), 5 + 108);
	CHECK_INT(open_at(&listener, longest), -1);
	CHECK_STR(reason, "the path of the socket must have 1 to 107 bytes");
	CHECK_INT(open_at(&listener, "unix:/nonexistent/socket"), -1);
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
			/* No IPv6 here is no fault of ours. */
			CHECK_STR(hosts[i], "[::1]");
			continue;
		}
		CHECK_INT(port_of(listener.fd), port);
		CHECK(fcntl(listener.fd, F_GETFL) & O_NONBLOCK);
		CHECK_STR(listener.path, "");
		CHECK_INT(open_at(&other, place), -1);
		CHECK(strstr(reason, "in use"));
		listen_close(&listener);
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
	setenv("LISTEN_PID", "1", 1); /* meant for somebody else */
	CHECK_INT(listen_inherit(&listener), -1);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("LISTEN_PID", pid, 1);
	CHECK_INT(listen_inherit(&listener), 0);
	CHECK_INT(listener.fd, LISTEN_SYSTEMD_FD);
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
	if (!mkdtemp(folder))
		return 77;
	snprintf(path, sizeof(path), "%s/socket", folder);
	snprintf(where, sizeof(where), "unix:%s", path);
	test_unix();
	test_left_over();
	test_no_socket();
	test_bad();
	test_tcp();
	in_child(child_zero);
	in_child(child_systemd);
	unlink(path);
	CHECK(rmdir(folder) == 0);
	return unit_report();
}

/*
 * One answer, on standard output: the reader gets it, and its end, before we
 * wait for the workers' end.
 */
#include "front/oneshot.c"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>

#include "fake_log.h"
#include "unit.h"

/* ---- neighbours ---- */

static int asked;	     /* how often the board was */
static bool known;	     /* the board knows without being asked */
static int http = 200;	     /* what is answered; 0: no memory for it */
static bool silent;	     /* no result ever comes */
static int read_fd, told_fd; /* the answer's reader, and what it is told */
static int heard_fd, turn_fd, turns;

struct board_view *service_view(const struct service *service)
{
	(void)service;
	return calloc(1, sizeof(struct board_view));
}

void answer_begin(const struct service *service,
		  const struct route_request *request, const char *remote_addr,
		  struct pending *pending)
{
	(void)service;
	(void)remote_addr;
	CHECK_STR(request->method, "GET");
	pending->until_ms = clock_ms() + (silent ? 100 : 10000);
}

bool answer_ask(const struct service *service, const struct pending *pending,
		enum answer_how how, struct board_view *view)
{
	(void)service;
	(void)view;
	if (how == ANSWER_NOW) {
		CHECK(silent && clock_ms() >= pending->until_ms);
		return true;
	}
	CHECK_INT(how, ANSWER_IF_KNOWN);
	return known || (++asked > 3 && !silent);
}

void answer_render(const struct service *service, const struct pending *pending,
		   enum answer_how how, struct board_view *view,
		   struct response *response)
{
	(void)service;
	(void)pending;
	(void)how;
	(void)view;
	response->http = http;
	response->text = http ? strdup("head|body") : NULL;
	response->len = strlen("head|body");
	response->head_len = strlen("head|");
}

const char *response_no_memory(void)
{
	return "sorry";
}

struct asker *asker_create(const struct asker_options *options)
{
	CHECK(!options->warm);
	heard_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	turn_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return (struct asker *)&turns;
}

int asker_heard_fd(const struct asker *asker)
{
	CHECK(asker == (struct asker *)&turns);
	return heard_fd;
}

int asker_turn_fd(const struct asker *asker)
{
	CHECK(asker == (struct asker *)&turns);
	return turn_fd;
}

/* A worker is ready at first, and then there is a result. */
int asker_turn(struct asker *asker)
{
	eventfd_t times;

	CHECK(asker == (struct asker *)&turns);
	eventfd_read(turn_fd, &times);
	turns++;
	if (!silent)
		eventfd_write(turns == 1 ? turn_fd : heard_fd, 1);
	return silent ? 10 : 10000;
}

/* Tells whether the reader had all of the answer before this was called, and
 * whether it was called at all. */
void asker_destroy(struct asker *asker)
{
	struct pollfd reader = { .fd = read_fd, .events = POLLIN };
	eventfd_t times;

	if (!asker)
		return;
	CHECK(asker == (struct asker *)&turns);
	/* Often, as it wants, or when there is something. */
	CHECK(silent ? turns > 3 && turns < 20 : turns == 2);
	/* What was heard was taken. */
	CHECK(eventfd_read(heard_fd, &times) < 0);
	CHECK(write(told_fd, poll(&reader, 1, 3000) > 0 ? "y" : "n", 1) == 1);
}

/* ---- the program, and its parent ---- */

static int run(const char *probe)
{
	static const struct service service;
	static const struct oneshot_config config = { .service = &service };

	if (probe)
		return oneshot_once(&config, probe);
	setenv("REQUEST_METHOD", "GET", 1);
	return oneshot_cgi(&config);
}

/* All of what comes; waits for its end. */
static void take(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, text + len, size - 1 - len)) > 0)
		len += (size_t)n;
	text[len] = '\0';
	close(fd);
}

/* The exit status of a process that answers as CGI program (NULL) or --once. */
static int answered(const char *probe, char *text, size_t size, char *told)
{
	int out[2], reader[2], tells[2], status = -1;
	pid_t pid;

	CHECK(pipe(out) == 0 && pipe(reader) == 0 && pipe(tells) == 0);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(out[1], STDOUT_FILENO);
		close(out[0]);
		close(out[1]);
		close(reader[1]);
		close(tells[0]);
		read_fd = reader[0];
		told_fd = tells[1];
		status = run(probe);
		/* Failures here are not read, so the exit status counts. */
		_exit(unit_failed ? 99 : status);
	}
	close(out[1]);
	close(tells[1]);
	take(out[0], text, size);
	CHECK(write(reader[1], "", 1) == 1);
	take(tells[0], told, 3);
	close(reader[0]);
	close(reader[1]);
	CHECK(waitpid(pid, &status, 0) == pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void test_answer_before_end(void)
{
	char text[32], told[3];

	CHECK_INT(answered(NULL, text, sizeof(text), told), 0);
	CHECK_STR(text, "head|body");
	CHECK_STR(told, "y");
	CHECK_INT(answered("ready", text, sizeof(text), told), 0);
	CHECK_STR(text, "body");
	CHECK_STR(told, "y");
	http = 503;
	CHECK_INT(answered("ready", text, sizeof(text), told), 1);
	CHECK_STR(text, "body");
	CHECK_STR(told, "y");
	CHECK_INT(answered(NULL, text, sizeof(text), told), 0);
	CHECK_STR(text, "head|body");
	http = 0;
	CHECK_INT(answered(NULL, text, sizeof(text), told), 1);
	CHECK_STR(text, "sorry");
	CHECK_STR(told, "y");
	CHECK_INT(answered("ready", text, sizeof(text), told), 1);
	CHECK_STR(text, "");
	http = 200;
}

/* It answers when the time is up, with what is known. */
static void test_time_is_up(void)
{
	char text[32], told[3];

	silent = true;
	CHECK_INT(answered(NULL, text, sizeof(text), told), 0);
	CHECK_STR(text, "head|body");
	CHECK_STR(told, "y");
	silent = false;
}

static void test_nobody_asked(void)
{
	char text[32], told[3];

	known = true;
	CHECK_INT(answered(NULL, text, sizeof(text), told), 0);
	CHECK_STR(text, "head|body");
	CHECK_STR(told, "");
	CHECK_INT(answered("live", text, sizeof(text), told), 0);
	CHECK_STR(told, "");
	known = false;
}

/* How much of ten bytes on standard input is left; *ms: how long it took. */
static int left_of_body(const char *length, const char *encoding, bool ends,
			int64_t *ms)
{
	int in[2], left = 0;
	char byte;

	CHECK(pipe(in) == 0 && write(in[1], "0123456789", 10) == 10);
	CHECK(dup2(in[0], STDIN_FILENO) == STDIN_FILENO);
	close(in[0]);
	unsetenv("CONTENT_LENGTH");
	unsetenv("HTTP_TRANSFER_ENCODING");
	if (length)
		setenv("CONTENT_LENGTH", length, 1);
	if (encoding)
		setenv("HTTP_TRANSFER_ENCODING", encoding, 1);
	if (ends)
		close(in[1]);
	*ms = clock_ms();
	oneshot_skip_body();
	*ms = clock_ms() - *ms;
	if (!ends)
		close(in[1]);
	while (read(STDIN_FILENO, &byte, 1) == 1)
		left++;
	return left;
}

static void test_body(void)
{
	/* clang-format off */
	static const struct {
		const char *length, *encoding;
		bool ends;
		int left;
		bool waits; /* for more */
	} cases[] = {
		{ NULL, NULL, false, 10, false },
		{ "", NULL, false, 10, false },
		{ "0", NULL, false, 10, false },
		{ "x", NULL, false, 10, false },
		{ "4", NULL, false, 6, false },
		{ "10", NULL, false, 0, false },
		{ "11", NULL, true, 0, false },
		{ "11", NULL, false, 0, true },
		{ "-1", NULL, true, 0, false },
		{ "99999999999999999999999", NULL, true, 0, false },
		{ NULL, "chunked", true, 0, false },
		{ NULL, "chunked", false, 0, true },
		{ "4", "chunked", true, 6, false },
	};
	/* clang-format on */
	int64_t ms;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK_INT(left_of_body(cases[i].length, cases[i].encoding,
				       cases[i].ends, &ms),
			  cases[i].left);
		CHECK(cases[i].waits ? ms >= ONESHOT_BODY_MS
				     : ms < ONESHOT_BODY_MS);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_answer_before_end();
	test_time_is_up();
	test_nobody_asked();
	test_body();
	return unit_report();
}

#include "log.c"
#include "result.c"

#include "unit.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <termios.h>

/* ---- the neighbours ---- */

/* Hides and cuts as the real one does, and shows that it was called. */
void text_show(char *to, size_t size, const char *from)
{
	const char *secret = strstr(from, "hunter2");
	size_t i;

	for (i = 0; from[i] && i + 1 < size; i++) {
		to[i] = from[i] == '\n' ? '|' : from[i];
		if (secret && from + i >= secret && from + i < secret + 7)
			to[i] = '*';
	}
	to[i] = '\0';
}

/* ---- descriptor 2 as a pipe ---- */

static int saved_stderr;
static int out[2];

static void pipe_open(void)
{
	saved_stderr = dup(STDERR_FILENO);
	CHECK_INT(pipe2(out, O_NONBLOCK), 0);
	/* our own end blocks, as that of a web server does */
	CHECK_INT(fcntl(out[1], F_SETFL, 0), 0);
	dup2(out[1], STDERR_FILENO);
	close(out[1]);
}

static void pipe_close(void)
{
	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	if (out[0] >= 0)
		close(out[0]);
}

static const char *said(void)
{
	static char text[8192];
	ssize_t len = read(out[0], text, sizeof(text) - 1);

	text[len > 0 ? len : 0] = '\0';
	return text;
}

/* The line after its time and process, or NULL when that is not as it
 * should be. */
static const char *message(const char *line)
{
	char head[64];

	snprintf(head, sizeof(head), "Z health.fcgi[%d] ", (int)getpid());
	if (strlen(line) < 23 || line[4] != '-' || line[10] != 'T' ||
	    line[19] != '.' || strncmp(line + 23, head, strlen(head)) != 0)
		return NULL;
	return line + 23 + strlen(head);
}

static void test_lines(void)
{
	log_warn("check=%s code=%s", "redis", "timeout");
	CHECK_STR(message(said()), "warn: check=redis code=timeout\n");
	log_err("one\ntwo");
	CHECK_STR(message(said()), "error: one|two\n");
	log_info("password hunter2");
	CHECK_STR(message(said()), "info: password *******\n");
	errno = ENOENT;
	log_info("%m");
	CHECK_STR(message(said()), "info: No such file or directory\n");
	CHECK_INT(errno, ENOENT);
}

static void test_levels(void)
{
	log_debug("not shown");
	CHECK_STR(said(), "");
	log_set_level(LOG_DEBUG);
	log_debug("shown");
	CHECK_STR(message(said()), "debug: shown\n");
	log_set_level(LOG_ERR);
	log_warn("not shown");
	CHECK_STR(said(), "");
	log_err("shown");
	CHECK_STR(message(said()), "error: shown\n");
	log_set_level(LOG_INFO);
}

static void test_long(void)
{
	char text[3000];
	const char *line;

	memset(text, 'x', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	memcpy(text + LOG_LINE_BYTES - 70, "hunter2", 7);
	log_info("%s", text);
	line = said();
	CHECK(strlen(line) < LOG_LINE_BYTES);
	CHECK(line[strlen(line) - 1] == '\n');
	/* the cut goes through the secret, and shows no part of it */
	CHECK(strstr(line, "xhun") == NULL);
}

/* A web server that does not read must not stop us. */
static void test_full(void)
{
	int i, lines = 0;
	const char *text;

	for (i = 0; i < 5000; i++)
		log_info("filling the pipe, line %d of many", i);
	while (*(text = said()))
		for (; *text; text++)
			lines += *text == '\n';
	CHECK(lines > 100);
	CHECK(lines < 5000);
	log_info("room again");
	CHECK_STR(message(said()), "info: room again\n");
}

/* A terminal that is stopped, or whose other side is not read. */
static void test_terminal(void)
{
	int pipe_end = dup(STDERR_FILENO), i;
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK), slave = -1;
	char text[8192];
	ssize_t len;

	if (master >= 0 && grantpt(master) == 0 && unlockpt(master) == 0)
		slave = open(ptsname(master), O_RDWR | O_NOCTTY);
	if (slave < 0) {
		printf("no terminal: not tested\n");
		return;
	}
	dup2(slave, STDERR_FILENO);
	CHECK_INT(tcflow(slave, TCOOFF), 0);
	log_info("to a stopped terminal");
	CHECK_INT(read(master, text, sizeof(text)), -1);
	CHECK_INT(tcflow(slave, TCOON), 0);
	for (i = 0; i < 5000; i++)
		log_info("filling the terminal, line %d of many", i);
	len = read(master, text, sizeof(text) - 1);
	text[len > 0 ? len : 0] = '\0';
	CHECK(strstr(text, "info: filling the terminal, line 0 of many"));
	CHECK(!strstr(text, "stopped"));
	/* what others write there waits as before */
	CHECK_INT(fcntl(slave, F_GETFL) & O_NONBLOCK, 0);
	dup2(pipe_end, STDERR_FILENO);
	close(pipe_end);
	close(slave);
	close(master);
}

static void test_nobody_reads(void)
{
	signal(SIGPIPE, SIG_DFL);
	close(out[0]);
	out[0] = -1;
	log_info("to nobody");
	close(STDERR_FILENO);
	log_info("to nothing");
	CHECK(1);
}

static void test_result(void)
{
	int32_t code;

	CHECK_STR(result_word(RESULT_OK), "ok");
	CHECK_STR(result_word(RESULT_TIMEOUT), "timeout");
	CHECK_STR(result_help(RESULT_OK), "answered as expected");
	CHECK_STR(result_word(-1), "unknown");
	CHECK_STR(result_word(RESULT_CODE_COUNT), "unknown");
	CHECK_STR(result_word(INT32_MIN), "unknown");
	for (code = 0; code < RESULT_CODE_COUNT; code++) {
		CHECK(result_word(code)[0] != '\0');
		CHECK(result_help(code)[0] != '\0');
	}
}

int main(void)
{
	pipe_open();
	test_lines();
	test_levels();
	test_long();
	test_full();
	test_terminal();
	test_nobody_reads();
	pipe_close();
	test_result();
	return unit_report();
}

#include "config.h"

#include "kinds/postgres/pg_words.c"
#include "kinds/postgres/pg_conninfo.c"
#include "kinds/postgres/pg_open.c"
#include "kinds/postgres/postgres.c"

#include "fake_conn.h"
#include "fake_resolve.h"
#include "unit.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>

/* ---- the neighbours, faked ---- */

#define WATCHES_MAX 8

static struct loop_watch *watches[WATCHES_MAX];
static struct loop_timer *armed_timer;
static char mistake[512];

int loop_watch_set(struct loop *loop, struct loop_watch *watch, int fd,
		   short events)
{
	size_t i;

	(void)loop;
	if (!watch->index) {
		for (i = 0; i < WATCHES_MAX && watches[i]; i++)
			;
		if (i == WATCHES_MAX)
			return -1;
		watches[i] = watch;
		watch->index = i + 1;
	}
	watch->fd = fd;
	watch->events = events;
	return 0;
}

void loop_watch_clear(struct loop *loop, struct loop_watch *watch)
{
	(void)loop;
	if (watch->index)
		watches[watch->index - 1] = NULL;
	watch->index = 0;
}

void loop_timer_set(struct loop *loop, struct loop_timer *timer, int64_t at_ms)
{
	(void)loop;
	timer->at_ms = at_ms;
	timer->link = &armed_timer;
	armed_timer = timer;
}

void loop_timer_clear(struct loop *loop, struct loop_timer *timer)
{
	(void)loop;
	if (timer->link)
		armed_timer = NULL;
	timer->link = NULL;
}

uint32_t loop_own(struct loop *loop, uint32_t owner)
{
	(void)loop;
	return owner;
}

uint32_t loop_owner(const struct loop *loop)
{
	(void)loop;
	return 0;
}

const struct dialect dialect_postgres[] = { { .schemes = NULL } };

const char *dialect_read(struct conf *conf, const struct conf_section *section,
			 const char *key, const char *text,
			 const struct dialect *dialects,
			 bool (*known)(const char *name))
{
	(void)conf;
	(void)section;
	(void)key;
	(void)dialects;
	CHECK(known("sslmode"));
	CHECK(!known("schema"));
	return text;
}

void conf_mistake(struct conf *conf, const struct conf_section *section,
		  const char *key, const char *fmt, ...)
{
	va_list args;

	(void)conf, (void)section;
	CHECK_STR(key, "url");
	va_start(args, fmt);
	vsnprintf(mistake, sizeof(mistake), fmt, args);
	va_end(args);
}

/* ---- words ---- */

static void test_connect_words(void)
{
	/* clang-format off */
	static const struct {
		const char *message;
		enum result_code code;
		const char *words;
	} cases[] = {
		{ "connection to server at \"h\", port 1 failed: FATAL:  28P01: "
		  "password authentication failed for user \"SSL\"\nLOCATION:  x",
		  RESULT_AUTH, "authentication failed" },
		{ "failed: SCHWERWIEGEND:  53300: zu viele Verbindungen\n",
		  RESULT_BUSY, "too many connections" },
		{ "failed: FATAL:  3D000: database \"28P01\" does not exist\n",
		  RESULT_MISSING, "database does not exist" },
		{ "failed: FATAL:  57P03: the database system is starting up\n",
		  RESULT_BUSY, "the database system is starting up" },
		{ "failed: FATAL:  57P03: the database system is shutting down\n",
		  RESULT_BUSY, "the database system is shutting down" },
		{ "failed: FATAL:  57P03: das Datenbanksystem startet\n",
		  RESULT_BUSY,
		  "the database system does not accept connections" },
		{ "failed: FATAL:  28000: no encryption\nfailed: FATAL:  53300: "
		  "too many\n", RESULT_BUSY, "too many connections" },
		{ "failed: FATAL:  28000: no pg_hba.conf entry for host \"h\", "
		  "no encryption\n",
		  RESULT_AUTH,
		  "no pg_hba.conf entry without TLS; write sslmode=require" },
		{ "failed: FATAL:  28000: ... SSL encryption\n"
		  "failed: FATAL:  28000: ... no encryption\n",
		  RESULT_AUTH, "no pg_hba.conf entry" },
		{ "failed: FATAL:  28000: ... SSL off\n", RESULT_AUTH,
		  "no pg_hba.conf entry without TLS; write sslmode=require" },
		{ "failed: FATAL:  28000: SSL connection is required. Please\n",
		  RESULT_TLS,
		  "TLS: required by the server; write sslmode=require" },
		{ "failed: FATAL:  28000: connection requires a valid client "
		  "certificate\n",
		  RESULT_TLS, "TLS: peer wants a client certificate" },
		{ "failed: FATAL:  28000: kein Eintrag, keine "
		  "Verschluesselung\n",
		  RESULT_AUTH, "authentication failed" },
		{ "failed: FATAL:  08P01: SSL required\n", RESULT_TLS,
		  "TLS: required by the server; write sslmode=require" },
		{ "failed: FATAL:  08P01: no such user: x\n",
		  RESULT_AUTH, "authentication failed" },
		{ "failed: FATAL:  08P01: server login has been failing\n",
		  RESULT_CONNECT, "pooler cannot log in to the server" },
		{ "failed: FATAL:  XX000: internal\n",
		  RESULT_UPSTREAM, "login refused (SQLSTATE XX000)" },
		{ "failed: Connection refused\n\tIs the server running",
		  RESULT_REFUSED, "connection refused" },
		{ "failed: fe_sendauth: no password supplied",
		  RESULT_AUTH, "no password given" },
		{ "failed: server does not support SSL, but SSL was required",
		  RESULT_TLS, "TLS: not supported by the server" },
		{ "failed: SSL error: certificate verify failed",
		  RESULT_TLS, "TLS: certificate is not trusted" },
		{ "failed: SSL SYSCALL error: EOF detected",
		  RESULT_CONNECT, "server closed the connection" },
		{ "failed: server is in hot standby mode",
		  RESULT_MISMATCH, "server has another role" },
		{ "failed: session is not read-only",
		  RESULT_MISMATCH, "server has another role" },
		{ "failed: received invalid response to SSL negotiation: H",
		  RESULT_PROTOCOL, "not a PostgreSQL server" },
		{ "failed: FATAL:  28p01: lower case\n",
		  RESULT_CONNECT, "connection failed" },
		{ "failed: FATAL:  ", RESULT_CONNECT, "connection failed" },
		{ "", RESULT_CONNECT, "connection failed" },
	};
	/* clang-format on */
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct failure failure = pg_words_connect(cases[i].message);

		CHECK_INT(failure.code, cases[i].code);
		CHECK_STR(failure.words, cases[i].words);
	}
}

static void test_query_words(void)
{
	struct failure failure = pg_words_query("42P01", "no such table");

	CHECK_INT(failure.code, RESULT_UPSTREAM);
	CHECK_STR(failure.words, "query failed (SQLSTATE 42P01)");
	failure = pg_words_query("57014", "statement timeout");
	CHECK_INT(failure.code, RESULT_TIMEOUT);
	failure = pg_words_query("57P01", NULL);
	CHECK_INT(failure.code, RESULT_CONNECT);
	/* An invalid SQLSTATE must not be shown. */
	failure = pg_words_query("\033[1m x", "out of memory");
	CHECK_STR(failure.words, "out of memory");
	failure = pg_words_query(NULL, "SSL error: wrong version number\n");
	CHECK_INT(failure.code, RESULT_TLS);
	CHECK_STR(failure.words, "TLS: connection broken");
	failure = pg_words_query("42P01secret", NULL);
	CHECK(!strstr(failure.words, "secret"));
	failure = pg_words_query(NULL, NULL);
	CHECK_INT(failure.code, RESULT_CONNECT);
}

/* The name of the server comes from elsewhere, once and in one form. */
static void test_detail(void)
{
	static const char *const cases[][2] = {
		{ "FATAL:  x\nLOCATION:  y", "FATAL:  x: known" },
		{ "plain\n", "plain: known" },
		{ "connection to server at \"h\" (::1), port 1 failed: Network "
		  "is unreachable\n\tIs the server running on that host?",
		  "Network is unreachable: known" },
		{ "connection to server at \"h\", port 1 failed: Connection "
		  "refused\n\tIs the server running on that host?",
		  "known" },
		{ "the login failed: x", "the login failed: x: known" },
		{ "", "known" },
	};
	struct failure failure;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		failure = failure_errno(ECONNREFUSED);
		failure_of_peer(&failure, "known");
		pg_words_detail(&failure, cases[i][0]);
		CHECK_STR(failure.detail, cases[i][1]);
	}
}

/* What the log says of a failure, with the port in it. */
#define CHECK_DETAIL(got, fmt, ...)                                           \
	do {                                                                  \
		char want_detail[256];                                        \
		snprintf(want_detail, sizeof(want_detail), fmt, __VA_ARGS__); \
		CHECK_STR(got, want_detail);                                  \
	} while (0)

/* ---- plans ---- */

static struct pg_plan *plan_of(const char *conninfo)
{
	mistake[0] = '\0';
	return pg_plan_create(conninfo, "", mistake);
}

/* What libpq is given; NULL: not given. */
static const char *param(const struct pg_plan *plan, const char *keyword)
{
	size_t i;

	for (i = 0; i < plan->n_params; i++)
		if (strcmp(plan->keywords[i], keyword) == 0)
			return plan->values[i];
	return NULL;
}

static void test_targets(void)
{
	struct pg_plan *plan = plan_of("postgresql://u@a:1,b,[::1]:3/db");

	CHECK_INT(plan->n, 3);
	CHECK_STR(plan->targets[0].host, "a");
	CHECK_STR(plan->targets[0].port, "1");
	CHECK_STR(plan->targets[1].host, "b");
	CHECK_STR(plan->targets[1].port, "5432");
	CHECK_STR(plan->targets[2].host, "::1");
	CHECK_STR(plan->targets[2].port, "3");
	CHECK_STR(plan->role->attrs, "any");
	CHECK_STR(plan->role->words, "no server has the right role");
	pg_plan_destroy(plan);

	plan = plan_of("host=a,/run/pg,@abstract, hostaddr=10.0.0.1,,,::1 "
		       "port=7 target_session_attrs=prefer-standby");
	CHECK_INT(plan->n, 4);
	CHECK_STR(plan->targets[0].hostaddr, "10.0.0.1");
	CHECK_STR(plan->targets[3].port, "7");
	CHECK(!pg_target_is_socket(&plan->targets[0]));
	CHECK(pg_target_is_socket(&plan->targets[1]));
	CHECK(pg_target_is_socket(&plan->targets[2]));
	CHECK(!plan->targets[3].host);
	CHECK(!pg_target_is_socket(&plan->targets[3]));
	CHECK(plan->prefer);
	CHECK_STR(plan->role->attrs, "standby");
	CHECK_STR(plan->role->words, "no server is a standby");
	pg_plan_destroy(plan);

	plan = plan_of("user=me");
	CHECK_INT(plan->n, 1);
	CHECK(pg_target_is_socket(&plan->targets[0]));
	pg_plan_destroy(plan);
}

/* Nothing is left for libpq to look up. */
static void test_params(void)
{
	struct pg_plan *plan;

	setenv("PGSERVICE", "x", 1);
	setenv("PGPASSWORD", "x", 1);
	setenv("PGHOST", "x", 1);
	setenv("NOT_PG", "x", 1);
	pg_environment();
	CHECK(!getenv("PGSERVICE"));
	CHECK(!getenv("PGPASSWORD"));
	CHECK(!getenv("PGHOST"));
	CHECK(getenv("NOT_PG"));
	CHECK_STR(getenv("KRB5_CONFIG"), "/dev/null");

	plan = pg_plan_create("postgresql://app:first1@h", "second2", mistake);
	CHECK_STR(param(plan, "user"), "app");
	CHECK_STR(param(plan, "dbname"), "app");
	CHECK_STR(param(plan, "password"), "second2");
	CHECK_STR(param(plan, "gssencmode"), "disable");
	CHECK_STR(param(plan, "sslcert"), "/nonexistent");
	CHECK_STR(param(plan, "sslkey"), "/nonexistent");
	CHECK_STR(param(plan, "sslcrl"), "/nonexistent");
	CHECK_STR(param(plan, "sslrootcert"), "/nonexistent");
	CHECK_STR(param(plan, "passfile"), "/nonexistent");
	CHECK_STR(param(plan, "application_name"), "health.fcgi");
	CHECK(!param(plan, "host"));
	CHECK(!param(plan, "connect_timeout"));
	pg_plan_destroy(plan);

	plan = plan_of("host=h application_name=mine connect_timeout=3 "
		       "gssencmode=prefer dbname=d");
	CHECK_STR(param(plan, "application_name"), "mine");
	CHECK_STR(param(plan, "dbname"), "d");
	CHECK(param(plan, "user"));
	CHECK_STR(param(plan, "gssencmode"), "disable");
	pg_plan_destroy(plan);
}

/* With the authorities of the system; where it has none, nothing is trusted. */
static void test_system_trust(void)
{
	static const char *const rows[] = {
		"host=h sslmode=verify-full",
		"host=h sslmode=verify-full sslrootcert=system",
	};
	struct pg_plan *plan;
	size_t i;

	for (i = 0; i < 2; i++) {
		plan = plan_of(rows[i]);
		if (!plan) {
			CHECK(strstr(mistake, "sslrootcert that cannot be"));
			continue;
		}
		CHECK_STR(param(plan, "sslmode"), "verify-full");
		if (PQlibVersion() >= 160000)
			CHECK_STR(param(plan, "sslrootcert"), "system");
		else
			CHECK_INT(plan->n_files, 1);
		pg_plan_destroy(plan);
	}
}

static void test_files(void)
{
	char dir[] = "/tmp/test_postgres.XXXXXX";
	char path[64], fifo[64], conninfo[256], text[16] = "";
	struct pg_plan *plan;
	struct stat status;
	FILE *file;
	int fd;

	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/ca", dir);
	snprintf(fifo, sizeof(fifo), "%s/fifo", dir);
	file = fopen(path, "w");
	fputs("content", file);
	fclose(file);
	CHECK_INT(mkfifo(fifo, 0600), 0);

	snprintf(conninfo, sizeof(conninfo), "host=h sslkey=%s", path);
	plan = plan_of(conninfo);
	unlink(path); /* of no matter any more */
	fd = open(param(plan, "sslkey"), O_RDONLY);
	CHECK_INT(fstat(fd, &status), 0);
	CHECK(S_ISREG(status.st_mode));
	CHECK_INT(status.st_mode & 07777, 0600);
	CHECK_INT(read(fd, text, sizeof(text) - 1), 7);
	CHECK_STR(text, "content");
	close(fd);
	fd = plan->files[0];
	pg_plan_destroy(plan);
	CHECK_INT(fcntl(fd, F_GETFD), -1);

	/* libpq would pass over such a list, and take what is revoked. */
	file = fopen(path, "w");
	fputs("content", file);
	fclose(file);
	snprintf(conninfo, sizeof(conninfo), "host=h sslcrl=%s", path);
	CHECK(!plan_of(conninfo));
	CHECK(strstr(mistake, "sslcrl that holds no revocation list"));
	snprintf(conninfo, sizeof(conninfo), "host=h sslrootcert=%s", path);
	CHECK(!plan_of(conninfo));
	CHECK(strstr(mistake, "sslrootcert that holds no certificate"));
	unlink(path);

	snprintf(conninfo, sizeof(conninfo), "host=h sslrootcert=%s", fifo);
	CHECK(!plan_of(conninfo));
	CHECK(strstr(mistake, "sslrootcert"));
	unlink(fifo);
	rmdir(dir);
}

static void test_mistakes(void)
{
	/* clang-format off */
	static const struct { const char *conninfo, *part; } cases[] = {
		{ "postgresql://u:sec@ret:hunter2@h/d", "%40" },
		{ "postgresql://u:hun@ter@h/d", "%40" },
		{ "postgresql://u:hunter@@h/d", "%40" },
		{ "postgresql://u:sec@ret/hunter@h/d", "%40" },
		{ "postgresql://u:5432/hunter@h/d", "%40" },
		{ "postgresql://u:hun%40ter@hun%40ter/d", "%40" },
		{ "postgresql://h/d?host=hun@ter", "%40" },
		{ "host=hun@ter", "%40" },
		{ "host=a,hun@ter", "%40" },
		{ "postgresql://h/d?schema=hunter", "parameter \"schema\" that" },
		{ "host=h pool=hunter", "parameter \"pool\" that" },
		{ "postgresql://u:1/?hunter=x@h/d", "a parameter that" },
		{ "host=h password=x hunter=2", "a parameter that" },
		{ "host=h password=hunter2 hunter3", "quotes" },
		{ "host=h password='hunter2", "not closed" },
		{ "postgresql://u:hunter%zz@h", "%25" },
		{ "postgresql://u:hunter2@h/d?sslmod=require", "sslmode?" },
		{ "host=h hunter2=x", "does not know" },
		{ "mysql://u:hunter2@h", "neither" },
		{ "postgresql://[::1/d", "IPv6" },
		{ "service=x", "service" },
		{ "requirepeer=x", "requirepeer" },
		{ "sslcrldir=/x", "sslcrl with" },
		{ "gssencmode=require", "GSS" },
		{ "sslmode=verify-ca", "sslrootcert=FILE" },
		{ "sslmode=require sslrootcert=system", "verify-full" },
		{ "sslmode=maybe", "maybe" },
		{ "sslrootcert=/nonexistent/ca", "sslrootcert" },
		{ "host=a,b hostaddr=::1", "hostaddrs" },
		{ "host=a,b,c port=1,2", "one port" },
		{ "port=0", "65535" },
		{ "port=65536", "65535" },
		{ "port=12x", "65535" },
		{ "hostaddr=localhost", "not numeric" },
		{ "target_session_attrs=best", "best" },
		{ "host=,,,,,,,,,,,,,,,,", "more than 16" },
	};
	/* clang-format on */
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		CHECK(!plan_of(cases[i].conninfo));
		CHECK(!strstr(mistake, "hunter"));
		CHECK(!strstr(mistake, "sec"));
		if (!strstr(mistake, cases[i].part))
			CHECK_STR(mistake, cases[i].part);
	}
}

/* ---- the machine, with a server that is played here ---- */

#define LOGIN "R\0\0\0\010\0\0\0\0Z\0\0\0\005I"
#define ROW_ONE                                                            \
	"T\0\0\0\032\0\001a\0\0\0\0\0\0\0\0\0\0\027\0\004\377\377\377\377" \
	"\0\0D\0\0\0\013\0\001\0\0\0\0011"
#define DONE "C\0\0\0\015SELECT 1\0Z\0\0\0\005I"
#define SEND(fd, bytes) \
	CHECK_INT(write(fd, bytes, sizeof(bytes) - 1), sizeof(bytes) - 1)

static char nothing[] = "", select_one[] = "SELECT 1", two[] = "2";
static struct postgres_settings settings;
static struct conn conn;

static int listener(unsigned *port)
{
	struct sockaddr_in in = { .sin_family = AF_INET };
	socklen_t len = sizeof(in);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

	in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	CHECK_INT(bind(fd, (struct sockaddr *)&in, len), 0);
	CHECK_INT(listen(fd, 8), 0);
	getsockname(fd, (struct sockaddr *)&in, &len);
	*port = ntohs(in.sin_port);
	return fd;
}

/* Turns until `until` is not 0 or nothing happens any more. */
static void turn(const int *until)
{
	struct pollfd polled[WATCHES_MAX + 1];
	struct loop_watch *there[WATCHES_MAX];
	nfds_t n, i;
	int turns = 200;

	while (!*until && turns--) {
		for (n = 0, i = 0; i < WATCHES_MAX; i++)
			if (watches[i]) {
				there[n] = watches[i];
				polled[n].fd = watches[i]->fd;
				polled[n++].events = watches[i]->events;
			}
		polled[n].fd = conn.fd;
		polled[n].events = conn.events;
		if (poll(polled, n + 1, 50) <= 0)
			return;
		wire_refill();
		if (polled[n].revents) {
			if (conn.answered < 0)
				check_postgres.on_idle(&conn,
						       polled[n].revents);
			else
				check_postgres.on_io(&conn, polled[n].revents);
			continue;
		}
		for (i = 0; i < n; i++)
			if (polled[i].revents && there[i]->index)
				there[i]->on_io(there[i]->arg,
						polled[i].revents);
	}
}

/* Begins to open, with a connection string of the given format. */
static void begin(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

static void begin(const char *fmt, ...)
{
	char text[256];
	va_list args;

	memset(&conn, 0, sizeof(conn));
	memset(&settings, 0, sizeof(settings));
	conn.fd = -1;
	conn.kind = &check_postgres;
	conn.state = calloc(1, sizeof(struct postgres));
	conn.settings = &settings;
	fake_resolve_to(1);
	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	settings.url = text;
	settings.password = settings.expect = nothing;
	settings.query = select_one;
	mistake[0] = '\0';
	check_postgres.prepare(NULL, NULL, &settings);
	CHECK_STR(mistake, "");
	check_postgres.close(&conn);
	check_postgres.open(&conn);
}

static void end(void)
{
	size_t i;

	fake_conn_drop(&conn);
	check_postgres.dispose(&settings);
	check_postgres.dispose(&settings);
	CHECK(!fake_resolve.query);
	CHECK(!armed_timer);
	CHECK_INT(conn.fd, -1);
	for (i = 0; i < WATCHES_MAX; i++)
		CHECK(!watches[i]);
}

/* Logs the client in that has called; the server's side of the connection. */
static int serve_login(int listening)
{
	static const int never;
	char startup[512];
	int fd;

	turn(&never);
	fd = accept(listening, NULL, NULL);
	CHECK(fd >= 0);
	turn(&never);
	CHECK(read(fd, startup, sizeof(startup)) > 8);
	SEND(fd, LOGIN);
	turn(&conn.ready);
	CHECK_INT(conn.ready, 1);
	return fd;
}

#define ONE "host=h port=%u sslmode=disable user=u"

static void test_question(void)
{
	char question[64] = "";
	unsigned port;
	int listening = listener(&port), fd;

	fake_resolve.preferred = 0;
	begin(ONE, port);
	CHECK_STR(check_postgres.step(&conn), "connecting");
	fd = serve_login(listening);
	CHECK_INT(fake_resolve.preferred, 1);
	CHECK(conn.fd >= 0); /* watched while idle */
	check_postgres.ask(&conn);
	CHECK_STR(check_postgres.step(&conn), "waiting for the answer");
	CHECK_INT(read(fd, question, sizeof(question)), 14);
	CHECK_STR(question + 5, "SELECT 1");
	SEND(fd, ROW_ONE);
	turn(&conn.answered);
	CHECK_INT(conn.answered, 0);
	SEND(fd, DONE);
	turn(&conn.answered);
	CHECK_INT(conn.answered, 1);
	CHECK_INT(conn.code, RESULT_OK);

	/* An error of the query keeps the connection. */
	check_postgres.ask(&conn);
	SEND(fd, "E\0\0\0\027SERROR\0C42P01\0Mno\0\0Z\0\0\0\005I");
	conn.answered = 0;
	turn(&conn.answered);
	CHECK_INT(conn.answered, 1);
	CHECK_STR(conn.words, "query failed (SQLSTATE 42P01)");
	CHECK_DETAIL(conn.detail, "h (127.0.0.1) port %u: no", port);
	CHECK_INT(conn.failed, 0);

	/* The next one is not tainted by it, but finds another value. */
	settings.expect = two;
	check_postgres.ask(&conn);
	SEND(fd, ROW_ONE DONE);
	conn.answered = 0;
	turn(&conn.answered);
	CHECK_INT(conn.code, RESULT_MISMATCH);
	CHECK_STR(conn.words, "query gave another value");
	CHECK_STR(conn.detail, "the value is `1`, expected `2`");
	CHECK_DETAIL(conn.peer, "h (127.0.0.1) port %u", port);
	end();
	close(fd);
	close(listening);
}

static void test_limited_query(void)
{
	char question[128] = "";
	unsigned port;
	int listening = listener(&port), fd;

	begin(ONE, port);
	settings.limited = true;
	fd = serve_login(listening);
	check_postgres.ask(&conn);
	CHECK(read(fd, question, sizeof(question) - 1) > 5);
	CHECK(strstr(question + 5, "SET LOCAL statement_timeout = 1"));
	CHECK(strstr(question + 5, "; SELECT 1"));
	end();
	close(fd);
	close(listening);
}

static void test_idle_death(void)
{
	unsigned port;
	int listening = listener(&port), fd;

	begin(ONE, port);
	fd = serve_login(listening);
	conn.answered = -1; /* idle */
	SEND(fd, "E\0\0\0\046SFATAL\0VFATAL\0C57P01\0Mterminated\0\0");
	turn(&conn.failed);
	CHECK_INT(conn.failed, 1);
	CHECK_INT(conn.code, RESULT_CONNECT);
	CHECK_STR(conn.words, "connection terminated by the administrator");
	end();
	close(fd);

	begin(ONE, port);
	fd = serve_login(listening);
	conn.answered = -1;
	close(fd);
	turn(&conn.failed);
	CHECK_STR(conn.words, "server closed the connection");
	end();
	close(listening);
}

static void test_flood(void)
{
	static char flood[300 * 1024];
	unsigned port;
	int listening = listener(&port), fd;
	int turns = 100;

	/* One row that claims to be a gigabyte. */
	begin(ONE, port);
	fd = serve_login(listening);
	check_postgres.ask(&conn);
	SEND(fd, "T\0\0\0\032\0\001a\0\0\0\0\0\0\0\0\0\0\027\0\004\377\377\377"
		 "\377\0\0D\077\0\0\0");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	while (!conn.failed && turns--) {
		(void)!send(fd, flood, sizeof(flood), MSG_NOSIGNAL);
		turn(&conn.failed);
	}
	CHECK_INT(conn.code, RESULT_PROTOCOL);
	CHECK_STR(conn.words, "answer too long");
	end();
	close(fd);
	close(listening);
}

/* The first host is silent: the second is tried beside it, and remembered. */
static void test_silent_first(void)
{
	static const int never;
	unsigned silent_port, port;
	int silent = listener(&silent_port), listening = listener(&port), fd;
	struct loop_timer *timer;
	char byte;

	begin("host=a,b port=%u,%u sslmode=disable user=u", silent_port, port);
	turn(&never);
	CHECK(armed_timer != NULL);
	timer = armed_timer;
	loop_timer_clear(NULL, timer);
	timer->on_time(timer->arg);
	CHECK(!armed_timer); /* nothing is left to turn to */
	CHECK_DETAIL(conn.peer, "a (127.0.0.1) port %u, b (127.0.0.1) port %u",
		     silent_port, port);
	fd = serve_login(listening);
	CHECK_INT(settings.plan->first, 1);
	close(fd);
	/* The other attempt was dropped. */
	fd = accept(silent, NULL, NULL);
	while (read(fd, &byte, 1) > 0)
		;
	close(fd);
	end();
	close(silent);
	close(listening);
}

static void test_refused(void)
{
	unsigned port, second;
	int fd = listener(&port);

	close(listener(&second));
	close(fd);
	begin("host=a,b port=%u,%u sslmode=disable user=u", port, second);
	turn(&conn.failed);
	CHECK_INT(conn.failed, 1);
	CHECK_INT(conn.code, RESULT_REFUSED);
	CHECK_STR(conn.words, "connection refused");
	CHECK_DETAIL(conn.detail, "a (127.0.0.1) port %u", port);
	end();
}

/* A host that refuses the login speaks for the whole list. */
static void test_final_refusal(void)
{
	static const int never;
	unsigned port, second;
	int listening = listener(&port), other = listener(&second), fd;

	begin("host=a,b port=%u,%u sslmode=disable user=u", port, second);
	turn(&never);
	fd = accept(listening, NULL, NULL);
	SEND(fd, "E\0\0\0\044SFATAL\0VFATAL\0C28P01\0Mno entry\0\0");
	turn(&conn.failed);
	CHECK_INT(conn.failed, 1);
	CHECK_INT(conn.code, RESULT_AUTH);
	CHECK_STR(conn.words, "authentication failed");
	CHECK_DETAIL(conn.detail,
		     "a (127.0.0.1) port %u: FATAL:  28P01: no entry", port);
	CHECK_INT(accept(other, NULL, NULL), -1);
	end();
	close(fd);
	close(listening);
	close(other);
}

static void test_names(void)
{
	fake_resolve.waits = true;
	begin(ONE, 1u);
	CHECK(fake_resolve.query);
	CHECK_STR(check_postgres.step(&conn), "resolving the host name");
	fake_resolve_fail();
	CHECK_INT(conn.failed, 1);
	CHECK_INT(conn.code, RESULT_RESOLVE);
	CHECK_STR(conn.words, "no such host");
	CHECK_STR(conn.detail, "h");
	CHECK_STR(conn.peer, "h port 1");
	end();

	/* Closed while looking: the query is forgotten. */
	begin(ONE, 1u);
	CHECK(fake_resolve.query);
	end();
	fake_resolve.waits = false;
}

static void test_roles(void)
{
	static const struct {
		const char *attrs, *question, *wanted, *words;
	} roles[] = {
		{ "any", "", "", "no server has the right role" },
		{ "read-write", "SHOW transaction_read_only; ", "off",
		  "no server is writable" },
		{ "read-only", "SHOW transaction_read_only; ", "on",
		  "no server is read-only" },
		{ "primary", "SELECT pg_catalog.pg_is_in_recovery(); ", "f",
		  "no server is a primary" },
		{ "standby", "SELECT pg_catalog.pg_is_in_recovery(); ", "t",
		  "no server is a standby" },
	};
	char reason[PG_REASON_BYTES], url[128];
	struct pg_plan *plan;
	size_t i;

	for (i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
		snprintf(url, sizeof(url),
			 "postgresql://app@127.0.0.1/x?target_session_attrs=%s",
			 roles[i].attrs);
		plan = pg_plan_create(url, "", reason);
		CHECK(plan != NULL);
		if (!plan)
			continue;
		CHECK_STR(plan->role->attrs, roles[i].attrs);
		CHECK_STR(plan->role->question, roles[i].question);
		CHECK_STR(plan->role->wanted, roles[i].wanted);
		CHECK_STR(plan->role->words, roles[i].words);
		CHECK(plan->reason == NULL);
		pg_plan_destroy(plan);
	}
}

int main(void)
{
	signal(SIGPIPE, SIG_IGN);
	test_connect_words();
	test_query_words();
	test_detail();
	test_params(); /* reads the environment, as at the start */
	test_targets();
	test_system_trust();
	test_files();
	test_mistakes();
	test_question();
	test_limited_query();
	test_idle_death();
	test_flood();
	test_silent_first();
	test_refused();
	test_final_refusal();
	test_names();
	test_roles();
	text_forget_secrets();
	return unit_report();
}

#include "config.h"

#include <ares.h>

/* The fake name server stands where resolv.conf would be read; its waits are
 * shorter, so that "lost" is soon known. */
static int test_init_options(ares_channel *channel,
			     struct ares_options *options, int mask);
#define ares_init_options test_init_options
#include "io/resolve_dns.c"
#undef ares_init_options
#include "io/resolve.c"
/* A loop stops once and for all; here it runs once for each test. */
#include "io/loop.c"

#include "unit.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#define TYPE_A 1
#define TYPE_AAAA 28
#define CODE_SERVFAIL 2
#define CODE_NXDOMAIN 3

/* What the name server does with questions of one type. */
struct zone {
	bool silent;
	int rcode;
	int n; /* addresses; 0: there are none of this type */
	int ttl_s;
	int asked;
};

static struct zone zone_a, zone_aaaa;
static int server_fd;
static unsigned server_port;
static struct loop_watch server_watch;
static struct loop *loop;
static struct resolver *resolver;
static int init_failure; /* ARES_..., ARES_SUCCESS: none */

static int test_init_options(ares_channel *channel,
			     struct ares_options *options, int mask)
{
	char servers[32];
	int status;

	CHECK_INT(options->timeout, RESOLVE_TRY_MS);
	CHECK_INT(options->tries, RESOLVE_TRIES);
	if (init_failure != ARES_SUCCESS)
		return init_failure;
	options->timeout = 300;
	options->tries = 1;
	status = ares_init_options(channel, options, mask);
	snprintf(servers, sizeof(servers), "127.0.0.1:%u", server_port);
	if (status == ARES_SUCCESS)
		status = ares_set_servers_ports_csv(*channel, servers);
	return status;
}

/* Appends one record, the name being a pointer to the question (RFC 1035). */
static size_t server_record(unsigned char *to, int type, int ttl_s, int index)
{
	size_t len = type == TYPE_A ? 4 : 16;
	unsigned char head[] = { 0xc0, 12, 0, (unsigned char)type, 0, 1, 0, 0,
				 0,    0,  0, (unsigned char)len };

	head[8] = (unsigned char)(ttl_s >> 8);
	head[9] = (unsigned char)ttl_s;
	memcpy(to, head, sizeof(head));
	memset(to + sizeof(head), 0, len);
	to[sizeof(head)] = type == TYPE_A ? 192 : 0x20;
	to[sizeof(head) + len - 1] = (unsigned char)(index + 1);
	return sizeof(head) + len;
}

static void server_on_io(void *arg, short revents)
{
	unsigned char text[1024];
	struct sockaddr_in from;
	socklen_t from_len = sizeof(from);
	struct zone *zone;
	size_t end = 12;
	ssize_t got;
	int i, type;

	(void)arg, (void)revents;
	got = recvfrom(server_fd, text, 512, 0, (struct sockaddr *)&from,
		       &from_len);
	if (got < 17)
		return;
	while (end < (size_t)got && text[end])
		end += text[end] + 1u;
	type = text[end + 2];
	end += 5;
	zone = type == TYPE_A ? &zone_a : &zone_aaaa;
	zone->asked++;
	if (zone->silent)
		return;
	text[2] = 0x81;
	text[3] = (unsigned char)(0x80 | zone->rcode);
	memset(text + 6, 0, 6);
	text[7] = (unsigned char)zone->n;
	for (i = 0; i < zone->n; i++)
		end += server_record(text + end, type, zone->ttl_s, i);
	sendto(server_fd, text, end, 0, (struct sockaddr *)&from, from_len);
}

static void server_start(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET };
	socklen_t len = sizeof(at);

	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	server_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			   0);
	CHECK(bind(server_fd, (struct sockaddr *)&at, sizeof(at)) == 0);
	CHECK(getsockname(server_fd, (struct sockaddr *)&at, &len) == 0);
	server_port = ntohs(at.sin_port);
	server_watch.on_io = server_on_io;
	CHECK(loop_watch_set(loop, &server_watch, server_fd, POLLIN) == 0);
}

/* ---- one question ---- */

struct asked {
	struct resolve_query query;
	struct resolve_answer answer;
	int calls;
	struct asked *cancels; /* in its callback */
	bool again;	       /* asks once more in its callback */
	int64_t started_ms, took_ms;
};

static int waiting;

static void ask(struct asked *asked, const char *host);

static void on_done(void *arg, const struct resolve_answer *answer)
{
	struct asked *asked = arg;

	asked->answer = *answer;
	asked->calls++;
	asked->took_ms = clock_ms() - asked->started_ms;
	waiting--;
	CHECK(!asked->query.lookup);
	if (asked->cancels && asked->cancels->query.lookup) {
		resolve_cancel(resolver, &asked->cancels->query);
		waiting--;
	}
	if (asked->again) {
		asked->again = false;
		ask(asked, "again.test.");
	}
}

static void ask(struct asked *asked, const char *host)
{
	int calls = asked->calls;

	asked->query.on_done = on_done;
	asked->query.arg = asked;
	asked->started_ms = clock_ms();
	waiting++;
	resolve_start(resolver, &asked->query, host);
	CHECK_INT(asked->calls, calls);
}

static void on_turn(void *arg)
{
	(void)arg;
	if (waiting == 0)
		loop_stop(loop);
}

static void run(void)
{
	atomic_store(&loop->stopped, false);
	loop_run(loop, on_turn, NULL);
	CHECK_INT(waiting, 0);
	CHECK(!resolver->lookups);
}

static struct asked ask_and_run(const char *host)
{
	struct asked asked = { .calls = 0 };

	ask(&asked, host);
	run();
	CHECK_INT(asked.calls, 1);
	return asked;
}

static void zones(struct zone a, struct zone aaaa)
{
	zone_a = a;
	zone_aaaa = aaaa;
}

static int open_fds(void)
{
	int fd, n = 0;

	for (fd = 0; fd < 256; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* ---- tests ---- */

static void test_numeric(void)
{
	struct asked v4, v6;
	const struct resolve_answer *answer;

	answer = resolve_cached(resolver, "127.0.0.1");
	CHECK(answer && answer->n == 1);
	CHECK_INT(answer->addrs[0].sa.sa_family, AF_INET);
	CHECK_INT(answer->addrs[0].len, sizeof(struct sockaddr_in));
	answer = resolve_cached(resolver, "::1");
	CHECK(answer && answer->n == 1);
	CHECK_INT(answer->addrs[0].sa.sa_family, AF_INET6);
	CHECK_STR(answer->addrs[0].text, "::1");
	zones((struct zone){ .n = 1 }, (struct zone){ .n = 1 });
	v4 = ask_and_run("192.0.2.7");
	CHECK_STR(v4.answer.addrs[0].text, "192.0.2.7");
	v6 = ask_and_run("2001:db8::7");
	CHECK_STR(v6.answer.addrs[0].text, "2001:db8::7");
	CHECK_INT(zone_a.asked + zone_aaaa.asked, 0);
	CHECK(!resolve_cached(resolver, "never.test."));
	CHECK(!resolve_cached(resolver, "127.0.0.1.test."));
	CHECK(!resolve_cached(resolver, ""));
}

static void test_both_and_cache(void)
{
	const struct resolve_answer *kept;
	struct asked asked, more;
	struct sockaddr_in v4 = { .sin_family = AF_INET };

	zones((struct zone){ .n = 3, .ttl_s = 30 },
	      (struct zone){ .n = 1, .ttl_s = 600 });
	asked = ask_and_run("both.test.");
	CHECK_INT(asked.answer.code, RESULT_OK);
	CHECK_STR(asked.answer.words, "");
	CHECK_INT(asked.answer.n, 4);
	CHECK_STR(asked.answer.addrs[0].text, "2000::1");
	CHECK_STR(asked.answer.addrs[1].text, "192.0.0.1");
	CHECK_STR(asked.answer.addrs[3].text, "192.0.0.3");
	CHECK_INT(asked.answer.addrs[3].in.sin_port, 0);

	kept = resolve_cached(resolver, "BOTH.test.");
	CHECK(kept && kept->n == 4);
	CHECK(resolver->kept->until_ms <= clock_ms() + 30000);
	CHECK(resolver->kept->until_ms > clock_ms() + 29000);
	more = ask_and_run("both.test.");
	CHECK_INT(more.answer.n, 4);
	CHECK_INT(zone_a.asked, 1);
	CHECK_INT(zone_aaaa.asked, 1);

	v4.sin_port = htons(6379);
	v4.sin_addr.s_addr = htonl(0xc0000002);
	resolve_prefer(resolver, "both.test.", (struct sockaddr *)&v4);
	resolve_prefer(resolver, "unknown.test.", (struct sockaddr *)&v4);
	kept = resolve_cached(resolver, "both.test.");
	CHECK_STR(kept->addrs[0].text, "192.0.0.2");
	CHECK_STR(kept->addrs[1].text, "2000::1");
	CHECK_STR(kept->addrs[2].text, "192.0.0.1");
	CHECK_STR(kept->addrs[3].text, "192.0.0.3");

	/* Past its time it is asked again, and the preference outlives it. */
	resolver->kept->until_ms = clock_ms();
	CHECK(!resolve_cached(resolver, "both.test."));
	more = ask_and_run("both.test.");
	CHECK_INT(zone_a.asked, 2);
	CHECK_STR(more.answer.addrs[0].text, "192.0.0.2");
	zones((struct zone){ .n = 1 }, (struct zone){ .n = 1 });
	resolver->kept->until_ms = clock_ms();
	more = ask_and_run("both.test.");
	CHECK_INT(more.answer.n, 2);
	CHECK_STR(more.answer.addrs[0].text, "2000::1");
}

static void test_no_stale(void)
{
	struct asked asked;

	zones((struct zone){ .n = 1, .ttl_s = 0 }, (struct zone){ .n = 0 });
	asked = ask_and_run("stale.test.");
	CHECK_INT(asked.answer.code, RESULT_OK);
	CHECK_INT(asked.answer.n, 1);
	CHECK(resolver->kept->until_ms <= clock_ms() + 1000);
	resolver->kept->until_ms = clock_ms();
	zones((struct zone){ .silent = true }, (struct zone){ .silent = true });
	asked = ask_and_run("stale.test.");
	CHECK_INT(asked.answer.code, RESULT_RESOLVE);
	CHECK_INT(asked.answer.n, 0);
}

/* What leads nowhere is asked again, however long it might be kept. */
static void test_doubt(void)
{
	struct sockaddr_in other = { .sin_family = AF_INET }, good = other;
	struct resolve_kept *kept;
	struct asked asked;

	good.sin_addr.s_addr = htonl(0xc0000001);
	other.sin_addr.s_addr = htonl(0xc0000009);
	zones((struct zone){ .n = 1, .ttl_s = 60 }, (struct zone){ .n = 0 });
	asked = ask_and_run("doubt.test.");
	CHECK_STR(asked.answer.addrs[0].text, "192.0.0.1");
	kept = resolver->kept;
	/* For a moment, since several may try it at the same time. */
	CHECK(resolve_cached(resolver, "doubt.test."));
	CHECK(kept->doubted_at_ms > clock_ms());
	CHECK(kept->doubted_at_ms <= clock_ms() + 1000);
	kept->doubted_at_ms = clock_ms();
	CHECK(!resolve_cached(resolver, "doubt.test."));
	/* Another address does not prove it. */
	resolve_prefer(resolver, "doubt.test.", (struct sockaddr *)&other);
	CHECK(!resolve_cached(resolver, "doubt.test."));
	asked = ask_and_run("doubt.test.");
	CHECK_INT(zone_a.asked, 2);
	resolve_prefer(resolver, "doubt.test.", (struct sockaddr *)&good);
	CHECK_INT(kept->doubted_at_ms, 0);
	/* The proof holds until it is handed out again. */
	CHECK(resolve_cached(resolver, "doubt.test."));
	CHECK(kept->doubted_at_ms > clock_ms());
	kept->doubted_at_ms = clock_ms();
	CHECK(!resolve_cached(resolver, "doubt.test."));
}

static void test_lost(void)
{
	struct asked asked;

	zones((struct zone){ .n = 1, .ttl_s = 60 },
	      (struct zone){ .silent = true });
	asked = ask_and_run("lost6.test.");
	CHECK_INT(asked.answer.code, RESULT_OK);
	CHECK_INT(asked.answer.n, 1);
	CHECK(asked.took_ms >= RESOLVE_GRACE_MS);
	CHECK(asked.took_ms < 290);
	/* Half an answer is not kept for long. */
	CHECK(resolver->kept->until_ms <=
	      clock_ms() + RESOLVE_TTL_PARTIAL_S * 1000);

	zones((struct zone){ .silent = true },
	      (struct zone){ .n = 1, .ttl_s = 60 });
	asked = ask_and_run("lost4.test.");
	CHECK_STR(asked.answer.addrs[0].text, "2000::1");

	/* No record of this type does not end the lookup of the other type. */
	zones((struct zone){ .n = 0 }, (struct zone){ .silent = true });
	asked = ask_and_run("nodata.test.");
	CHECK_INT(asked.answer.code, RESULT_RESOLVE);
	CHECK_STR(asked.answer.words, "name server does not answer");
	CHECK(asked.took_ms > 200);

	zones((struct zone){ .silent = true }, (struct zone){ .silent = true });
	asked = ask_and_run("lost.test.");
	CHECK_INT(asked.answer.code, RESULT_RESOLVE);
	CHECK_STR(asked.answer.words, "name server does not answer");
	CHECK(asked.took_ms < 3000);
	CHECK(!resolve_cached(resolver, "lost.test."));
}

static void test_failures(void)
{
	struct asked asked;
	char host[400];

	zones((struct zone){ .rcode = CODE_NXDOMAIN },
	      (struct zone){ .rcode = CODE_NXDOMAIN });
	asked = ask_and_run("nx.test.");
	CHECK_INT(asked.answer.code, RESULT_RESOLVE);
	CHECK_STR(asked.answer.words, "host name not found");
	CHECK_INT(asked.answer.n, 0);
	CHECK(!resolve_cached(resolver, "nx.test."));

	zone_aaaa.silent = true;
	asked = ask_and_run("nx.test.");
	CHECK_STR(asked.answer.words, "host name not found");
	CHECK(asked.took_ms < 290);

	zones((struct zone){ .rcode = CODE_SERVFAIL },
	      (struct zone){ .rcode = CODE_SERVFAIL });
	asked = ask_and_run("servfail.test.");
	CHECK_STR(asked.answer.words, "no name server could answer");

	zones((struct zone){ .n = 0 }, (struct zone){ .n = 0 });
	asked = ask_and_run("empty.test.");
	CHECK_STR(asked.answer.words, "host name has no address");

	asked = ask_and_run("");
	CHECK_STR(asked.answer.words, "host name is not valid");
	memset(host, 'a', sizeof(host));
	host[sizeof(host) - 1] = '\0';
	asked = ask_and_run(host);
	CHECK_INT(asked.answer.code, RESULT_RESOLVE);
	CHECK_STR(asked.answer.words, "host name is not valid");
	asked = ask_and_run("a..b.test.");
	CHECK_INT(asked.answer.code, RESULT_RESOLVE);
	CHECK(asked.answer.words[0] != '\0');

	init_failure = ARES_ENOMEM;
	asked = ask_and_run("memory.test.");
	CHECK_INT(asked.answer.code, RESULT_INTERNAL);
	CHECK_STR(asked.answer.words, "out of memory");
	init_failure = ARES_SUCCESS;
}

static void test_localhost(void)
{
	struct asked asked;

	zones((struct zone){ .silent = true }, (struct zone){ .silent = true });
	asked = ask_and_run("LocalHost");
	CHECK_INT(asked.answer.code, RESULT_OK);
	CHECK_INT(asked.answer.n, 2);
	CHECK_STR(asked.answer.addrs[0].text, "127.0.0.1");
	CHECK_STR(asked.answer.addrs[1].text, "::1");
	CHECK(resolve_cached(resolver, "localhost."));
	CHECK_INT(zone_a.asked + zone_aaaa.asked, 0);
}

/* A name of hosts(5) other than localhost; there need not be one. */
static void test_hosts_file(void)
{
	FILE *hosts = fopen("/etc/hosts", "re");
	char line[1024], at[64], host[256];
	struct asked asked;
	bool found = false;

	while (hosts && !found && fgets(line, sizeof(line), hosts))
		found = sscanf(line, "%63s %255s", at, host) == 2 &&
			inet_addr(at) != INADDR_NONE &&
			!strstr(host, "localhost");
	if (hosts)
		fclose(hosts);
	if (!found)
		return;
	zones((struct zone){ .n = 0 }, (struct zone){ .n = 0 });
	asked = ask_and_run(host);
	CHECK_INT(asked.answer.code, RESULT_OK);
	CHECK_STR(asked.answer.addrs[0].text, at);
	CHECK_INT(zone_a.asked, 0);
}

static void test_sharing(void)
{
	struct asked first = { .calls = 0 }, second = { .calls = 0 };

	zones((struct zone){ .n = 1 }, (struct zone){ .n = 1 });
	ask(&first, "shared.test.");
	ask(&second, "Shared.test.");
	run();
	CHECK_INT(first.calls, 1);
	CHECK_INT(second.calls, 1);
	CHECK_INT(zone_a.asked, 1);
}

/* A lookup that waits for too long does not delay later ones. */
static void test_late(void)
{
	struct asked first = { .calls = 0 }, second = { .calls = 0 };

	zones((struct zone){ .silent = true }, (struct zone){ .silent = true });
	ask(&first, "late.test.");
	resolver->lookups->started_ms -= RESOLVE_JOIN_MS;
	ask(&second, "late.test.");
	CHECK(first.query.lookup != second.query.lookup);
	resolve_cancel(resolver, &first.query);
	waiting--;
	run();
	CHECK_INT(first.calls, 0);
	CHECK_INT(second.calls, 1);
}

/* The first question is lost; the same asked anew is not. */
static void test_repeat(void)
{
	struct asked asked = { .calls = 0 };
	unsigned char lost[512];

	zones((struct zone){ .n = 1 }, (struct zone){ .n = 1 });
	ask(&asked, "repeat.test.");
	CHECK(loop_timer_armed(&resolver->lookups->repeat));
	while (recv(server_fd, lost, sizeof(lost), 0) > 0)
		;
	resolve_on_repeat(resolver->lookups);
	CHECK(loop_timer_armed(&resolver->lookups->repeat));
	run();
	CHECK_INT(asked.calls, 1);
	CHECK_INT(asked.answer.n, 2);
	CHECK(asked.took_ms < 290);
	CHECK_INT(zone_a.asked, 1);

	/* Nor does the second one end it by failing. */
	zones((struct zone){ .silent = true }, (struct zone){ .silent = true });
	ask(&asked, "repeat2.test.");
	resolve_on_repeat(resolver->lookups);
	resolve_on_again(resolver->lookups,
			 &(struct resolve_answer){ .code = RESULT_RESOLVE }, 0);
	CHECK(asked.query.lookup);
	run();
	CHECK_INT(asked.calls, 2);
	CHECK_INT(asked.answer.code, RESULT_RESOLVE);
}

static void test_cancel(void)
{
	struct asked first = { .calls = 0 }, second = { .calls = 0 };
	struct asked idle = { .calls = 0 };

	resolve_cancel(resolver, &idle.query);

	/* The last waiter to leave ends the lookup. */
	zones((struct zone){ .silent = true }, (struct zone){ .silent = true });
	ask(&first, "cancel.test.");
	ask(&second, "cancel.test.");
	resolve_cancel(resolver, &first.query);
	CHECK(resolver->lookups);
	resolve_cancel(resolver, &second.query);
	resolve_cancel(resolver, &second.query);
	CHECK(!resolver->lookups);
	waiting = 0;

	/* Nor is an answer delivered that was there already. */
	ask(&first, "192.0.2.1");
	resolve_cancel(resolver, &first.query);
	waiting = 0;

	/* From inside a callback, the other one of the same look-up. */
	zones((struct zone){ .n = 1 }, (struct zone){ .n = 1 });
	ask(&first, "inside.test.");
	ask(&second, "inside.test.");
	first.cancels = &second;
	second.cancels = &first;
	run();
	CHECK_INT(first.calls + second.calls, 1);
}

static void test_again(void)
{
	struct asked asked = { .again = true };

	zones((struct zone){ .rcode = CODE_NXDOMAIN },
	      (struct zone){ .rcode = CODE_NXDOMAIN });
	ask(&asked, "again.test.");
	run();
	CHECK_INT(asked.calls, 2);
	CHECK_INT(zone_a.asked, 2);
}

static void test_bounded(void)
{
	struct resolve_kept *kept;
	struct asked asked;
	char host[32];
	size_t i, n = 0;

	zones((struct zone){ .n = 1, .ttl_s = 60 },
	      (struct zone){ .n = 8, .ttl_s = 60 });
	for (i = 0; i < RESOLVE_KEPT_MAX + 10; i++) {
		snprintf(host, sizeof(host), "host%zu.test.", i);
		asked = ask_and_run(host);
		CHECK_INT(asked.answer.n, RESOLVE_MAX);
	}
	for (kept = resolver->kept; kept; kept = kept->next)
		n++;
	CHECK_INT(n, RESOLVE_KEPT_MAX);
	CHECK(!resolve_cached(resolver, "host0.test."));
	CHECK(resolve_cached(resolver, host));
}

static void test_without_memory(void)
{
	struct asked asked = { .calls = 0 };

	/* What resolve_start() does without memory for a record. */
	resolve_fail(&resolver->spare, ARES_ENOMEM);
	asked.query.on_done = on_done;
	asked.query.arg = &asked;
	asked.query.lookup = &resolver->spare;
	resolver->spare.queries = &asked.query;
	waiting++;
	run();
	CHECK_INT(asked.calls, 1);
	CHECK_INT(asked.answer.code, RESULT_INTERNAL);
}

static void test_judge(void)
{
	struct resolve_part parts[RESOLVE_FAMILIES] = {
		[RESOLVE_V6] = { .done = true, .status = ARES_ENODATA },
		[RESOLVE_V4] = { .done = true, .n = 1, .ttl_s = 30 },
	};
	struct resolve_answer answer = { .n = 0 };

	CHECK_INT(resolve_judge(&answer, parts), 30);
	CHECK_INT(answer.code, RESULT_OK);
	CHECK_INT(answer.n, 1);
	parts[RESOLVE_V4].ttl_s = INT_MAX;
	answer.n = 0;
	CHECK_INT(resolve_judge(&answer, parts), RESOLVE_TTL_MAX_S);
	parts[RESOLVE_V4].ttl_s = 0;
	answer.n = 0;
	CHECK_INT(resolve_judge(&answer, parts), RESOLVE_TTL_MIN_S);
	parts[RESOLVE_V4].ttl_s = 30;
	parts[RESOLVE_V6].status = ARES_ESERVFAIL;
	answer.n = 0;
	CHECK_INT(resolve_judge(&answer, parts), RESOLVE_TTL_PARTIAL_S);

	/* Of two failures the one that tells more, whichever family's. */
	parts[RESOLVE_V4].n = answer.n = 0;
	parts[RESOLVE_V4].status = ARES_ENODATA;
	CHECK_INT(resolve_judge(&answer, parts), 0);
	CHECK_STR(answer.words, "no name server could answer");
	parts[RESOLVE_V6].done = false;
	CHECK_INT(resolve_judge(&answer, parts), 0);
	CHECK_STR(answer.words, "name server does not answer");
	resolve_judge_failure(&answer, ARES_EBADRESP);
	CHECK_INT(answer.code, RESULT_RESOLVE);
	CHECK_STR(answer.words, "name server's answer is unusable");
}

int main(void)
{
	struct asked left = { .calls = 0 };
	int fds;

	loop = loop_create();
	resolver = resolver_create(loop);
	CHECK(loop && resolver);
	server_start();
	fds = open_fds();

	test_judge();
	test_numeric();
	test_both_and_cache();
	test_no_stale();
	test_doubt();
	test_lost();
	test_failures();
	test_localhost();
	test_hosts_file();
	test_sharing();
	test_late();
	test_repeat();
	test_cancel();
	test_again();
	test_bounded();
	test_without_memory();
	CHECK_INT(open_fds(), fds);

	/* The end of the program does not wait for a look-up. */
	zones((struct zone){ .silent = true }, (struct zone){ .silent = true });
	ask(&left, "left.test.");
	resolver_destroy(resolver);
	CHECK_INT(left.calls, 0);
	CHECK_INT(open_fds(), fds);
	loop_watch_clear(loop, &server_watch);
	loop_destroy(loop);
	close(server_fd);
	return unit_report();
}

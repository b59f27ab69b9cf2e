/*
 * Each look-up owns a c-ares channel.  One channel for
 * all would read resolv.conf only once, could not cancel one question without
 * the others, and would make a new run wait for the late repetitions of an old
 * look-up although the name server is back.  A channel takes about 50 µs, only
 * for names that are not in the cache.
 */
#include "config.h"

#include "io/resolve_dns.h"

#include "base/clock.h"

#include <assert.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define RESOLVE_TRY_MS 400     /* first wait for a name server; doubles */
#define RESOLVE_TRIES 3	       /* of each name server */
#define RESOLVE_GRACE_MS 50    /* for the other family, RFC 8305 section 3 */
#define RESOLVE_LIMIT_MS 10000 /* many servers and search domains add up */

/* ---- addresses ---- */

bool resolve_addr_same(const struct sockaddr *a, const struct sockaddr *b)
{
	size_t len = a->sa_family == AF_INET ? sizeof(struct in_addr)
					     : sizeof(struct in6_addr);

	return a->sa_family == b->sa_family &&
	       memcmp(resolve_addr_bits(a), resolve_addr_bits(b), len) == 0;
}

bool resolve_addr_set(struct resolve_addr *addr, int family, const void *bits)
{
	memset(addr, 0, sizeof(*addr));
	if (family == AF_INET) {
		addr->in.sin_family = AF_INET;
		memcpy(&addr->in.sin_addr, bits, sizeof(addr->in.sin_addr));
		addr->len = sizeof(addr->in);
	} else {
		addr->in6.sin6_family = AF_INET6;
		memcpy(&addr->in6.sin6_addr, bits, sizeof(addr->in6.sin6_addr));
		addr->len = sizeof(addr->in6);
	}
	return inet_ntop(family, bits, addr->text, sizeof(addr->text)) != NULL;
}

/*
 * "localhost" needs no look-up (RFC 6761 section 6.3), the more so as c-ares
 * 1.18 loses memory each time it is asked for it and hosts(5) has one family
 * only.
 */
bool resolve_addr_known(const char *host, struct resolve_answer *answer)
{
	struct in_addr v4 = { .s_addr = htonl(INADDR_LOOPBACK) };
	struct in6_addr bits = in6addr_loopback;
	int family = strchr(host, ':') ? AF_INET6 : AF_INET;

	answer->code = RESULT_OK;
	answer->words[0] = '\0';
	if (!strcasecmp(host, "localhost") || !strcasecmp(host, "localhost.")) {
		answer->n = 2;
		return resolve_addr_set(&answer->addrs[0], AF_INET, &v4) &&
		       resolve_addr_set(&answer->addrs[1], AF_INET6, &bits);
	}
	answer->n = 1;
	return inet_pton(family, host, &bits) == 1 &&
	       resolve_addr_set(&answer->addrs[0], family, &bits);
}

/* ---- the results of both families as one answer ---- */

#define RESOLVE_TTL_MIN_S 1
#define RESOLVE_TTL_MAX_S 60	/* or a moved service stays lost for too long */
#define RESOLVE_TTL_PARTIAL_S 5 /* one family did not answer: ask soon */

/* The statuses of c-ares as codes and words.  Of two failures, the first in
 * this table is reported.  NODATA is the weakest: the other family may have had
 * addresses. c-ares 1.18 says ECONNREFUSED also when all servers answered
 * SERVFAIL or REFUSED, later versions tell them apart: one sentence for all. */
static const struct {
	int status;
	enum result_code code;
	const char *words;
} resolve_failures[] = {
	{ ARES_ENOMEM, RESULT_INTERNAL, "out of memory" },
	{ ARES_EBADNAME, RESULT_RESOLVE, "host name is not valid" },
	{ ARES_ENOTFOUND, RESULT_RESOLVE, "host name not found" },
	{ ARES_ETIMEOUT, RESULT_RESOLVE, "name server does not answer" },
	{ ARES_ECONNREFUSED, RESULT_RESOLVE, "no name server could answer" },
	{ ARES_ESERVFAIL, RESULT_RESOLVE, "no name server could answer" },
	{ ARES_EREFUSED, RESULT_RESOLVE, "no name server could answer" },
	{ ARES_ENODATA, RESULT_RESOLVE, "host name has no address" },
};
#define RESOLVE_FAILURES (sizeof(resolve_failures) / sizeof(*resolve_failures))

/* The row of a status; RESOLVE_FAILURES: it has none. */
static size_t resolve_failure_row(int status)
{
	size_t i = 0;

	while (i < RESOLVE_FAILURES && resolve_failures[i].status != status)
		i++;
	return i;
}

void resolve_judge_failure(struct resolve_answer *answer, int status)
{
	size_t i = resolve_failure_row(status);
	bool known = i < RESOLVE_FAILURES;

	answer->code = known ? resolve_failures[i].code : RESULT_RESOLVE;
	snprintf(answer->words, sizeof(answer->words), "%s",
		 known ? resolve_failures[i].words
		       : "name server's answer is unusable");
}

static int resolve_judge_status(const struct resolve_part *part)
{
	return part->done ? part->status : ARES_ETIMEOUT;
}

/* The status to report when neither family has an address. */
static int resolve_judge_worst(const struct resolve_part *parts)
{
	int v4 = resolve_judge_status(&parts[RESOLVE_V4]);
	int v6 = resolve_judge_status(&parts[RESOLVE_V6]);

	return resolve_failure_row(v6) < resolve_failure_row(v4) ? v6 : v4;
}

/* Takes addresses from both families in turn, RFC 8305 section 4. */
static void resolve_judge_merge(struct resolve_answer *answer,
				const struct resolve_part *parts)
{
	size_t i, family;

	for (i = 0; i < RESOLVE_MAX; i++)
		for (family = 0; family < RESOLVE_FAMILIES; family++)
			if (i < parts[family].n && answer->n < RESOLVE_MAX)
				answer->addrs[answer->n++] =
					parts[family].addrs[i];
}

/* How long an answer may be kept, as far as this family goes. */
static int resolve_judge_ttl_s(const struct resolve_part *part)
{
	if (part->n)
		return part->ttl_s;
	if (part->done &&
	    (part->status == ARES_ENODATA || part->status == ARES_ENOTFOUND))
		return RESOLVE_TTL_MAX_S;
	return RESOLVE_TTL_PARTIAL_S;
}

static int resolve_judge(struct resolve_answer *answer,
			 const struct resolve_part parts[RESOLVE_FAMILIES])
{
	int ttl_s = RESOLVE_TTL_MAX_S, of_part;
	size_t family;

	resolve_judge_merge(answer, parts);
	if (answer->n == 0) {
		resolve_judge_failure(answer, resolve_judge_worst(parts));
		return 0;
	}
	answer->code = RESULT_OK;
	for (family = 0; family < RESOLVE_FAMILIES; family++) {
		of_part = resolve_judge_ttl_s(&parts[family]);
		if (of_part < ttl_s)
			ttl_s = of_part;
	}
	/* /etc/hosts has a TTL of 0. */
	return ttl_s < RESOLVE_TTL_MIN_S ? RESOLVE_TTL_MIN_S : ttl_s;
}

/* ---- the look-up ---- */

void resolve_dns_stop(struct resolve_dns *dns)
{
	ares_channel channel = dns->channel;
	size_t i;

	if (!channel)
		return;
	dns->channel = NULL;
	ares_destroy(channel);
	for (i = 0; i < RESOLVE_SOCKETS; i++)
		loop_watch_clear(dns->loop, &dns->sockets[i].watch);
	loop_timer_clear(dns->loop, &dns->repeat);
	loop_timer_clear(dns->loop, &dns->end);
}

static void resolve_dns_on_end(void *arg)
{
	struct resolve_dns *dns = arg;
	struct resolve_answer answer = { .n = 0 };
	int ttl_s;

	resolve_dns_stop(dns);
	ttl_s = resolve_judge(&answer, dns->parts);
	dns->on_done(dns->arg, &answer, ttl_s);
}

/* Has c-ares called when it wants to repeat a question. */
static void resolve_dns_arm(struct resolve_dns *dns)
{
	struct timeval wait;

	if (!ares_timeout(dns->channel, NULL, &wait)) {
		loop_timer_clear(dns->loop, &dns->repeat);
		return;
	}
	/* Rounded up: a timer that fires too early would only be set again. */
	loop_timer_in(dns->loop, &dns->repeat,
		      wait.tv_sec * 1000 + wait.tv_usec / 1000 + 1);
}

static void resolve_dns_on_repeat(void *arg)
{
	struct resolve_dns *dns = arg;

	ares_process_fd(dns->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolve_dns_arm(dns);
}

static void resolve_dns_on_io(void *arg, short revents)
{
	struct resolve_socket *place = arg;
	struct resolve_dns *dns = place->dns;
	const short trouble = POLLERR | POLLHUP | POLLNVAL;
	ares_socket_t fd = place->fd;

	ares_process_fd(dns->channel,
			revents & (POLLIN | trouble) ? fd : ARES_SOCKET_BAD,
			revents & (POLLOUT | trouble) ? fd : ARES_SOCKET_BAD);
	resolve_dns_arm(dns);
}

/* A socket that finds no place here is not watched: its question is lost as
 * if the name server had not answered. */
static void resolve_dns_on_socket(void *arg, ares_socket_t fd, int readable,
				  int writable)
{
	struct resolve_dns *dns = arg;
	struct resolve_socket *place = NULL;
	short events = (short)((readable ? POLLIN : 0) |
			       (writable ? POLLOUT : 0));
	size_t i;

	for (i = 0; i < RESOLVE_SOCKETS; i++) {
		if (dns->sockets[i].fd == fd) {
			place = &dns->sockets[i];
			break;
		}
		if (!place && dns->sockets[i].fd == ARES_SOCKET_BAD)
			place = &dns->sockets[i];
	}
	if (!place)
		return;
	place->fd = fd;
	if (!events || loop_watch_set(dns->loop, &place->watch, fd, events)) {
		loop_watch_clear(dns->loop, &place->watch);
		place->fd = ARES_SOCKET_BAD;
	}
}

static void resolve_dns_fill(struct resolve_part *part,
			     const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *node;

	part->ttl_s = INT_MAX;
	for (node = info->nodes; node && part->n < RESOLVE_MAX;
	     node = node->ai_next) {
		if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
			continue;
		if (!resolve_addr_set(&part->addrs[part->n], node->ai_family,
				      resolve_addr_bits(node->ai_addr)))
			continue;
		part->n++;
		if (node->ai_ttl < part->ttl_s)
			part->ttl_s = node->ai_ttl;
	}
}

/* From inside c-ares, also from the call that asks and from the one that
 * destroys: only takes notes. */
static void resolve_dns_on_part(void *arg, int status, int timeouts,
				struct ares_addrinfo *info)
{
	struct resolve_part *part = arg;
	struct resolve_dns *dns = part->dns;

	(void)timeouts;
	if (dns->channel && status == ARES_SUCCESS)
		resolve_dns_fill(part, info);
	ares_freeaddrinfo(info);
	if (!dns->channel)
		return;
	part->done = true;
	part->status = status == ARES_SUCCESS ? ARES_ENODATA : status;
	if (dns->parts[RESOLVE_V4].done && dns->parts[RESOLVE_V6].done)
		loop_timer_in(dns->loop, &dns->end, 0);
	else if (part->n || status == ARES_ENOTFOUND)
		loop_timer_in(dns->loop, &dns->end, RESOLVE_GRACE_MS);
}

int resolve_dns_start(struct resolve_dns *dns, struct loop *loop,
		      const char *host)
{
	static const int families[] = {
		[RESOLVE_V6] = AF_INET6, [RESOLVE_V4] = AF_INET
	};
	struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
					     .ai_socktype = SOCK_STREAM };
	struct ares_options options = {
		.timeout = RESOLVE_TRY_MS,
		.tries = RESOLVE_TRIES,
		.sock_state_cb = resolve_dns_on_socket,
		.sock_state_cb_data = dns,
	};
	size_t i;
	int status;

	assert(!dns->channel);
	dns->loop = loop;
	dns->repeat = (struct loop_timer){ .on_time = resolve_dns_on_repeat,
					   .arg = dns };
	dns->end = (struct loop_timer){ .on_time = resolve_dns_on_end,
					.arg = dns };
	for (i = 0; i < RESOLVE_SOCKETS; i++)
		dns->sockets[i] = (struct resolve_socket){
			.dns = dns,
			.fd = ARES_SOCKET_BAD,
			.watch = { .on_io = resolve_dns_on_io,
				   .arg = &dns->sockets[i] },
		};
	for (i = 0; i < RESOLVE_FAMILIES; i++)
		dns->parts[i] = (struct resolve_part){ .dns = dns };
	status = ares_init_options(&dns->channel, &options,
				   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					   ARES_OPT_SOCK_STATE_CB);
	if (status != ARES_SUCCESS) {
		dns->channel = NULL;
		return status;
	}
	loop_timer_in(loop, &dns->end, RESOLVE_LIMIT_MS);
	for (i = 0; i < RESOLVE_FAMILIES; i++) {
		hints.ai_family = families[i];
		ares_getaddrinfo(dns->channel, host, NULL, &hints,
				 resolve_dns_on_part, &dns->parts[i]);
	}
	resolve_dns_arm(dns);
	return ARES_SUCCESS;
}

/*
 * Each look-up owns a c-ares channel.  A channel for all would read
 * resolv.conf once for ever, could not cancel one question without all the
 * others, and would let a new run wait for the long pauses between the late
 * repetitions of an old look-up although the name server is back.  Making one
 * takes some 50 µs, only for names that are not in the cache.
 */
#include "config.h"

#include "io/resolve_dns.h"

#include "base/clock.h"
#include "io/resolve_addr.h"

#include <assert.h>
#include <limits.h>
#include <netdb.h>
#include <poll.h>
#include <string.h>

#define RESOLVE_TRY_MS 400     /* first wait for a name server; doubles */
#define RESOLVE_TRIES 3	       /* of each name server */
#define RESOLVE_GRACE_MS 50    /* for the other family, RFC 8305 section 3 */
#define RESOLVE_LIMIT_MS 10000 /* many servers and search domains add up */

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

static void resolve_dns_end_in(struct resolve_dns *dns, int64_t ms)
{
	loop_timer_set(dns->loop, &dns->end, clock_ms() + ms);
}

/* Sees to it that c-ares is called when it wants to repeat a question. */
static void resolve_dns_arm(struct resolve_dns *dns)
{
	struct timeval wait;

	if (!ares_timeout(dns->channel, NULL, &wait)) {
		loop_timer_clear(dns->loop, &dns->repeat);
		return;
	}
	/* Rounded up: too early would be in vain, and again at once. */
	loop_timer_set(dns->loop, &dns->repeat,
		       clock_ms() + wait.tv_sec * 1000 + wait.tv_usec / 1000 +
			       1);
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
	bool all;

	(void)timeouts;
	if (!dns->channel) {
		ares_freeaddrinfo(info);
		return;
	}
	part->done = true;
	part->status = status == ARES_SUCCESS ? ARES_ENODATA : status;
	if (status == ARES_SUCCESS)
		resolve_dns_fill(part, info);
	ares_freeaddrinfo(info);

	all = dns->parts[RESOLVE_V4].done && dns->parts[RESOLVE_V6].done;
	if (all)
		resolve_dns_end_in(dns, 0);
	else if (part->n || status == ARES_ENOTFOUND)
		resolve_dns_end_in(dns, RESOLVE_GRACE_MS);
}

static int resolve_dns_open(struct resolve_dns *dns)
{
	struct ares_options options = {
		.timeout = RESOLVE_TRY_MS,
		.tries = RESOLVE_TRIES,
		.sock_state_cb = resolve_dns_on_socket,
		.sock_state_cb_data = dns,
	};

	return ares_init_options(&dns->channel, &options,
				 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					 ARES_OPT_SOCK_STATE_CB);
}

static void resolve_dns_init(struct resolve_dns *dns, struct loop *loop)
{
	size_t i;

	memset(dns->parts, 0, sizeof(dns->parts));
	dns->loop = loop;
	dns->repeat.on_time = resolve_dns_on_repeat;
	dns->repeat.arg = dns;
	dns->end.on_time = resolve_dns_on_end;
	dns->end.arg = dns;
	for (i = 0; i < RESOLVE_SOCKETS; i++) {
		struct resolve_socket *place = &dns->sockets[i];

		place->dns = dns;
		place->fd = ARES_SOCKET_BAD;
		place->watch.on_io = resolve_dns_on_io;
		place->watch.arg = place;
	}
	for (i = 0; i < RESOLVE_FAMILIES; i++)
		dns->parts[i].dns = dns;
}

int resolve_dns_start(struct resolve_dns *dns, struct loop *loop,
		      const char *host)
{
	struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
					     .ai_socktype = SOCK_STREAM };
	static const int families[] = {
		[RESOLVE_V6] = AF_INET6, [RESOLVE_V4] = AF_INET
	};
	size_t family;
	int status;

	assert(!dns->channel);
	resolve_dns_init(dns, loop);
	status = resolve_dns_open(dns);
	if (status != ARES_SUCCESS) {
		dns->channel = NULL;
		return status;
	}
	resolve_dns_end_in(dns, RESOLVE_LIMIT_MS);
	for (family = 0; family < RESOLVE_FAMILIES; family++) {
		hints.ai_family = families[family];
		ares_getaddrinfo(dns->channel, host, NULL, &hints,
				 resolve_dns_on_part, &dns->parts[family]);
	}
	resolve_dns_arm(dns);
	return ARES_SUCCESS;
}

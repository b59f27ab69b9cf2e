/*
 * Each look-up owns a c-ares channel.  A channel for all would read
 * resolv.conf once for ever, could not cancel one question without all the
 * others, and would let a new run wait for the long pauses between the late
 * repetitions of an old look-up although the name server is back.  Making one
 * takes some 50 µs, only for names that are not in the cache.
 */
#include "config.h"

#include "resolve.h"

#include "clock.h"
#include "loop.h"

#include <ares.h>

#include <arpa/inet.h>
#include <assert.h>
#include <netdb.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define RESOLVE_TRY_MS 400     /* first wait for a name server; doubles */
#define RESOLVE_TRIES 3	       /* of each name server */
#define RESOLVE_GRACE_MS 50    /* for the other family, RFC 8305 section 3 */
#define RESOLVE_LIMIT_MS 10000 /* many servers and search domains add up */
#define RESOLVE_TTL_MIN_S 1
#define RESOLVE_TTL_MAX_S 60	/* or a moved service stays lost for too long */
#define RESOLVE_TTL_PARTIAL_S 5 /* one family did not answer: ask soon */
#define RESOLVE_KEPT_MAX 64
#define RESOLVE_HOST_BYTES 256
#define RESOLVE_SOCKETS 16 /* UDP and TCP for eight name servers */

enum resolve_family { RESOLVE_V6, RESOLVE_V4, RESOLVE_FAMILIES };

/* What one family of addresses came to. */
struct resolve_part {
	struct resolve_lookup *lookup;
	bool done;
	int status; /* ARES_... */
	int ttl_s;
	size_t n;
	struct resolve_addr addrs[RESOLVE_MAX];
};

struct resolve_socket {
	struct resolve_lookup *lookup;
	struct loop_watch watch;
	ares_socket_t fd; /* ARES_SOCKET_BAD: free */
};

/* One look-up under way, for one or more queries. */
struct resolve_lookup {
	struct resolve_lookup *next;
	struct resolver *resolver;
	struct resolve_query *queries;
	char host[RESOLVE_HOST_BYTES];
	ares_channel channel;	  /* NULL: nothing has to be asked */
	struct loop_timer repeat; /* c-ares wants to be called */
	struct loop_timer end;	  /* the answer is taken as it stands */
	struct resolve_socket sockets[RESOLVE_SOCKETS];
	struct resolve_part parts[RESOLVE_FAMILIES];
	struct resolve_answer answer;
};

/* An answer that is kept. */
struct resolve_kept {
	struct resolve_kept *next; /* the latest used comes first */
	char host[RESOLVE_HOST_BYTES];
	int64_t until_ms;
	struct sockaddr_storage preferred; /* ss_family 0: none */
	struct resolve_answer answer;
};

struct resolver {
	struct loop *loop;
	struct resolve_lookup *lookups;
	struct resolve_kept *kept;
	struct resolve_answer known; /* lent by resolve_cached() */
	/* Serves the queries for which there was no memory. */
	struct resolve_lookup spare;
};

/* ---- addresses ---- */

static const void *resolve_bits(const struct sockaddr *sa, socklen_t *len)
{
	if (sa->sa_family == AF_INET) {
		*len = sizeof(struct in_addr);
		return &((const struct sockaddr_in *)(const void *)sa)
				->sin_addr;
	}
	*len = sizeof(struct in6_addr);
	return &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
}

static bool resolve_same_addr(const struct sockaddr *a,
			      const struct sockaddr *b)
{
	socklen_t len;
	const void *bits;

	if (a->sa_family != b->sa_family)
		return false;
	bits = resolve_bits(a, &len);
	return memcmp(bits, resolve_bits(b, &len), len) == 0;
}

static bool resolve_addr_set(struct resolve_addr *addr, int family,
			     const void *bits)
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
 * What needs no look-up.  "localhost" is one of these (RFC 6761 section 6.3),
 * the more so as c-ares 1.18 loses memory each time it is asked for it and
 * hosts(5) has one family only.
 */
static bool resolve_known(const char *host, struct resolve_answer *answer)
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

/* ---- what is kept ---- */

/* The record of a host, moved to the front; NULL when there is none. */
static struct resolve_kept *resolve_kept_find(struct resolver *resolver,
					      const char *host)
{
	struct resolve_kept **link, *kept;

	for (link = &resolver->kept; *link; link = &(*link)->next) {
		kept = *link;
		if (strcasecmp(kept->host, host) != 0)
			continue;
		*link = kept->next;
		kept->next = resolver->kept;
		resolver->kept = kept;
		return kept;
	}
	return NULL;
}

/* Drops all records but the first RESOLVE_KEPT_MAX. */
static void resolve_kept_trim(struct resolver *resolver)
{
	struct resolve_kept **link = &resolver->kept, *kept;
	size_t n = 0;

	while (*link && n < RESOLVE_KEPT_MAX) {
		link = &(*link)->next;
		n++;
	}
	while (*link) {
		kept = *link;
		*link = kept->next;
		free(kept);
	}
}

static void resolve_order(struct resolve_kept *kept)
{
	struct resolve_answer *answer = &kept->answer;
	struct resolve_addr first;
	size_t i;

	for (i = 1; i < answer->n; i++) {
		if (!resolve_same_addr(&answer->addrs[i].sa,
				       (struct sockaddr *)&kept->preferred))
			continue;
		first = answer->addrs[i];
		memmove(&answer->addrs[1], &answer->addrs[0],
			i * sizeof(first));
		answer->addrs[0] = first;
	}
}

/* Keeps the answer, and gives it the order that proved good.  When there is
 * no memory it is not kept, which only costs time. */
static void resolve_keep(struct resolver *resolver, const char *host,
			 struct resolve_answer *answer, int ttl_s)
{
	struct resolve_kept *kept = resolve_kept_find(resolver, host);

	if (!kept) {
		kept = calloc(1, sizeof(*kept));
		if (!kept)
			return;
		snprintf(kept->host, sizeof(kept->host), "%s", host);
		kept->next = resolver->kept;
		resolver->kept = kept;
		resolve_kept_trim(resolver);
	}
	kept->answer = *answer;
	kept->until_ms = clock_ms() + ttl_s * 1000;
	resolve_order(kept);
	*answer = kept->answer;
}

const struct resolve_answer *resolve_cached(struct resolver *resolver,
					    const char *host)
{
	struct resolve_kept *kept;

	if (resolve_known(host, &resolver->known))
		return &resolver->known;
	kept = resolve_kept_find(resolver, host);
	/* After its time an answer is never used, also when no name server
	 * answers: others could not find the host either. */
	return kept && kept->until_ms > clock_ms() ? &kept->answer : NULL;
}

void resolve_prefer(struct resolver *resolver, const char *host,
		    const struct sockaddr *address)
{
	struct resolve_kept *kept = resolve_kept_find(resolver, host);

	if (!kept)
		return;
	memset(&kept->preferred, 0, sizeof(kept->preferred));
	memcpy(&kept->preferred, address,
	       address->sa_family == AF_INET ? sizeof(struct sockaddr_in)
					     : sizeof(struct sockaddr_in6));
	resolve_order(kept);
}

/* ---- judging ---- */

/* c-ares' statuses as ours; of two failures the one that stands first tells
 * more.  NODATA is the weakest: the other family may have had addresses.
 * c-ares 1.18 says ECONNREFUSED also when all servers answered SERVFAIL or
 * REFUSED, later versions tell them apart: one sentence for all. */
static const struct resolve_failure {
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

static void resolve_fail(struct resolve_lookup *lookup,
			 const struct resolve_failure *failure)
{
	lookup->answer.code = failure->code;
	snprintf(lookup->answer.words, sizeof(lookup->answer.words), "%s",
		 failure->words);
}

static void resolve_fail_with(struct resolve_lookup *lookup, int status)
{
	static const struct resolve_failure other = {
		ARES_SUCCESS, RESULT_RESOLVE, "name server's answer is unusable"
	};
	size_t i;

	for (i = 0; i < RESOLVE_FAILURES; i++)
		if (resolve_failures[i].status == status) {
			resolve_fail(lookup, &resolve_failures[i]);
			return;
		}
	resolve_fail(lookup, &other);
}

/* The status to report when neither family has an address. */
static int resolve_worst(const struct resolve_lookup *lookup)
{
	int status[RESOLVE_FAMILIES];
	size_t i, family;

	for (family = 0; family < RESOLVE_FAMILIES; family++)
		status[family] = lookup->parts[family].done
					 ? lookup->parts[family].status
					 : ARES_ETIMEOUT;
	for (i = 0; i < RESOLVE_FAILURES; i++)
		for (family = 0; family < RESOLVE_FAMILIES; family++)
			if (status[family] == resolve_failures[i].status)
				return status[family];
	return status[RESOLVE_V4];
}

/* Takes addresses from both families in turn, RFC 8305 section 4. */
static void resolve_merge(struct resolve_lookup *lookup)
{
	struct resolve_answer *answer = &lookup->answer;
	size_t i, family;

	for (i = 0; i < RESOLVE_MAX; i++)
		for (family = 0; family < RESOLVE_FAMILIES; family++)
			if (i < lookup->parts[family].n &&
			    answer->n < RESOLVE_MAX)
				answer->addrs[answer->n++] =
					lookup->parts[family].addrs[i];
}

static void resolve_judge(struct resolve_lookup *lookup)
{
	int ttl_s = RESOLVE_TTL_MAX_S;
	size_t family;

	resolve_merge(lookup);
	if (lookup->answer.n == 0) {
		resolve_fail_with(lookup, resolve_worst(lookup));
		return;
	}
	lookup->answer.code = RESULT_OK;
	for (family = 0; family < RESOLVE_FAMILIES; family++) {
		const struct resolve_part *part = &lookup->parts[family];

		if (part->n && part->ttl_s < ttl_s)
			ttl_s = part->ttl_s;
		if ((!part->done || (!part->n && part->status != ARES_ENODATA &&
				     part->status != ARES_ENOTFOUND)) &&
		    RESOLVE_TTL_PARTIAL_S < ttl_s)
			ttl_s = RESOLVE_TTL_PARTIAL_S;
	}
	/* /etc/hosts has a TTL of 0. */
	if (ttl_s < RESOLVE_TTL_MIN_S)
		ttl_s = RESOLVE_TTL_MIN_S;
	resolve_keep(lookup->resolver, lookup->host, &lookup->answer, ttl_s);
}

/* ---- one look-up ---- */

static void resolve_channel_close(struct resolve_lookup *lookup)
{
	ares_channel channel = lookup->channel;
	size_t i;

	lookup->channel = NULL;
	if (channel)
		ares_destroy(channel);
	for (i = 0; i < RESOLVE_SOCKETS; i++)
		loop_watch_clear(lookup->resolver->loop,
				 &lookup->sockets[i].watch);
	loop_timer_clear(lookup->resolver->loop, &lookup->repeat);
	loop_timer_clear(lookup->resolver->loop, &lookup->end);
}

/* Takes the look-up off the list: a new query will start another. */
static void resolve_unlink(struct resolve_lookup *lookup)
{
	struct resolve_lookup **link = &lookup->resolver->lookups;

	while (*link && *link != lookup)
		link = &(*link)->next;
	if (*link)
		*link = lookup->next;
}

static void resolve_free(struct resolve_lookup *lookup)
{
	resolve_channel_close(lookup);
	resolve_unlink(lookup);
	if (lookup != &lookup->resolver->spare)
		free(lookup);
}

/* Tells the queries, each of which may start or cancel others.  The look-up is
 * off the list before, so that a new query starts a new one. */
static void resolve_on_end(void *arg)
{
	struct resolve_lookup *lookup = arg;
	struct resolve_query *query;

	if (lookup->channel) {
		resolve_channel_close(lookup);
		resolve_judge(lookup);
	}
	resolve_unlink(lookup);
	while ((query = lookup->queries)) {
		lookup->queries = query->next;
		query->next = NULL;
		query->lookup = NULL;
		query->on_done(query->arg, &lookup->answer);
	}
	resolve_free(lookup);
}

static void resolve_end_in(struct resolve_lookup *lookup, int64_t ms)
{
	loop_timer_set(lookup->resolver->loop, &lookup->end, clock_ms() + ms);
}

/* Sees to it that c-ares is called when it wants to repeat a question. */
static void resolve_arm(struct resolve_lookup *lookup)
{
	struct timeval wait;

	if (!ares_timeout(lookup->channel, NULL, &wait)) {
		loop_timer_clear(lookup->resolver->loop, &lookup->repeat);
		return;
	}
	/* Rounded up: too early would be in vain, and again at once. */
	loop_timer_set(lookup->resolver->loop, &lookup->repeat,
		       clock_ms() + wait.tv_sec * 1000 + wait.tv_usec / 1000 +
			       1);
}

static void resolve_on_repeat(void *arg)
{
	struct resolve_lookup *lookup = arg;

	ares_process_fd(lookup->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	resolve_arm(lookup);
}

static void resolve_on_io(void *arg, short revents)
{
	struct resolve_socket *place = arg;
	struct resolve_lookup *lookup = place->lookup;
	const short trouble = POLLERR | POLLHUP | POLLNVAL;
	ares_socket_t fd = place->fd;

	ares_process_fd(lookup->channel,
			revents & (POLLIN | trouble) ? fd : ARES_SOCKET_BAD,
			revents & (POLLOUT | trouble) ? fd : ARES_SOCKET_BAD);
	resolve_arm(lookup);
}

/* A socket that finds no place here is not watched: its question is lost as
 * if the name server had not answered. */
static void resolve_on_socket(void *arg, ares_socket_t fd, int readable,
			      int writable)
{
	struct resolve_lookup *lookup = arg;
	struct resolve_socket *place = NULL;
	short events = (short)((readable ? POLLIN : 0) |
			       (writable ? POLLOUT : 0));
	size_t i;

	for (i = 0; i < RESOLVE_SOCKETS; i++) {
		if (lookup->sockets[i].fd == fd) {
			place = &lookup->sockets[i];
			break;
		}
		if (!place && lookup->sockets[i].fd == ARES_SOCKET_BAD)
			place = &lookup->sockets[i];
	}
	if (!place)
		return;
	place->fd = fd;
	if (!events ||
	    loop_watch_set(lookup->resolver->loop, &place->watch, fd, events)) {
		loop_watch_clear(lookup->resolver->loop, &place->watch);
		place->fd = ARES_SOCKET_BAD;
	}
}

static void resolve_part_fill(struct resolve_part *part,
			      const struct ares_addrinfo *info)
{
	const struct ares_addrinfo_node *node;
	socklen_t len;

	part->ttl_s = RESOLVE_TTL_MAX_S;
	for (node = info->nodes; node && part->n < RESOLVE_MAX;
	     node = node->ai_next) {
		if (node->ai_family != AF_INET && node->ai_family != AF_INET6)
			continue;
		if (!resolve_addr_set(&part->addrs[part->n], node->ai_family,
				      resolve_bits(node->ai_addr, &len)))
			continue;
		part->n++;
		if (node->ai_ttl < part->ttl_s)
			part->ttl_s = node->ai_ttl;
	}
}

/* From inside c-ares, also from the call that asks and from the one that
 * destroys: only takes notes. */
static void resolve_on_part(void *arg, int status, int timeouts,
			    struct ares_addrinfo *info)
{
	struct resolve_part *part = arg;
	struct resolve_lookup *lookup = part->lookup;
	bool all;

	(void)timeouts;
	if (!lookup->channel) {
		ares_freeaddrinfo(info);
		return;
	}
	part->done = true;
	part->status = status == ARES_SUCCESS ? ARES_ENODATA : status;
	if (status == ARES_SUCCESS)
		resolve_part_fill(part, info);
	ares_freeaddrinfo(info);

	all = lookup->parts[RESOLVE_V4].done && lookup->parts[RESOLVE_V6].done;
	if (all)
		resolve_end_in(lookup, 0);
	else if (part->n || status == ARES_ENOTFOUND)
		resolve_end_in(lookup, RESOLVE_GRACE_MS);
}

static int resolve_channel_open(struct resolve_lookup *lookup)
{
	struct ares_options options = {
		.timeout = RESOLVE_TRY_MS,
		.tries = RESOLVE_TRIES,
		.sock_state_cb = resolve_on_socket,
		.sock_state_cb_data = lookup,
	};

	return ares_init_options(&lookup->channel, &options,
				 ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES |
					 ARES_OPT_SOCK_STATE_CB);
}

static void resolve_ask(struct resolve_lookup *lookup)
{
	struct ares_addrinfo_hints hints = { .ai_flags = ARES_AI_NOSORT,
					     .ai_socktype = SOCK_STREAM };
	static const int families[] = {
		[RESOLVE_V6] = AF_INET6, [RESOLVE_V4] = AF_INET
	};
	size_t family;
	int status = resolve_channel_open(lookup);

	if (status != ARES_SUCCESS) {
		lookup->channel = NULL;
		resolve_fail_with(lookup, status);
		resolve_end_in(lookup, 0);
		return;
	}
	resolve_end_in(lookup, RESOLVE_LIMIT_MS);
	for (family = 0; family < RESOLVE_FAMILIES; family++) {
		hints.ai_family = families[family];
		ares_getaddrinfo(lookup->channel, lookup->host, NULL, &hints,
				 resolve_on_part, &lookup->parts[family]);
	}
	resolve_arm(lookup);
}

/* ---- queries ---- */

static void resolve_lookup_init(struct resolve_lookup *lookup,
				struct resolver *resolver, const char *host)
{
	size_t i;

	lookup->resolver = resolver;
	snprintf(lookup->host, sizeof(lookup->host), "%s", host);
	lookup->repeat.on_time = resolve_on_repeat;
	lookup->repeat.arg = lookup;
	lookup->end.on_time = resolve_on_end;
	lookup->end.arg = lookup;
	for (i = 0; i < RESOLVE_SOCKETS; i++) {
		struct resolve_socket *place = &lookup->sockets[i];

		place->lookup = lookup;
		place->fd = ARES_SOCKET_BAD;
		place->watch.on_io = resolve_on_io;
		place->watch.arg = place;
	}
	for (i = 0; i < RESOLVE_FAMILIES; i++)
		lookup->parts[i].lookup = lookup;
}

static struct resolve_lookup *resolve_lookup_create(struct resolver *resolver,
						    const char *host)
{
	struct resolve_lookup *lookup = calloc(1, sizeof(*lookup));
	const struct resolve_answer *known;

	if (!lookup) {
		resolve_fail_with(&resolver->spare, ARES_ENOMEM);
		resolve_end_in(&resolver->spare, 0);
		return &resolver->spare;
	}
	resolve_lookup_init(lookup, resolver, host);
	lookup->next = resolver->lookups;
	resolver->lookups = lookup;
	known = resolve_cached(resolver, host);
	if (known) {
		lookup->answer = *known;
		resolve_end_in(lookup, 0);
	} else if (!*host || strlen(host) >= RESOLVE_HOST_BYTES) {
		resolve_fail_with(lookup, ARES_EBADNAME);
		resolve_end_in(lookup, 0);
	} else {
		resolve_ask(lookup);
	}
	return lookup;
}

void resolve_start(struct resolver *resolver, struct resolve_query *query,
		   const char *host)
{
	struct resolve_lookup *lookup = resolver->lookups;

	assert(!query->lookup);
	while (lookup && strcasecmp(lookup->host, host) != 0)
		lookup = lookup->next;
	if (!lookup)
		lookup = resolve_lookup_create(resolver, host);
	query->lookup = lookup;
	query->next = lookup->queries;
	lookup->queries = query;
}

void resolve_cancel(struct resolver *resolver, struct resolve_query *query)
{
	struct resolve_lookup *lookup = query->lookup;
	struct resolve_query **link;

	(void)resolver;
	if (!lookup)
		return;
	for (link = &lookup->queries; *link != query; link = &(*link)->next)
		;
	*link = query->next;
	query->next = NULL;
	query->lookup = NULL;
	/* Nobody waits: an armed end tells that it is not just ending. */
	if (!lookup->queries && loop_timer_armed(&lookup->end))
		resolve_free(lookup);
}

/* ---- the resolver ---- */

struct resolver *resolver_create(struct loop *loop)
{
	struct resolver *resolver;

	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS)
		return NULL;
	resolver = calloc(1, sizeof(*resolver));
	if (!resolver) {
		ares_library_cleanup();
		return NULL;
	}
	resolver->loop = loop;
	resolve_lookup_init(&resolver->spare, resolver, "");
	return resolver;
}

void resolver_destroy(struct resolver *resolver)
{
	struct resolve_lookup *lookup;
	struct resolve_kept *kept;

	if (!resolver)
		return;
	while ((lookup = resolver->lookups)) {
		resolver->lookups = lookup->next;
		resolve_free(lookup);
	}
	resolve_channel_close(&resolver->spare);
	while ((kept = resolver->kept)) {
		resolver->kept = kept->next;
		free(kept);
	}
	free(resolver);
	ares_library_cleanup();
}

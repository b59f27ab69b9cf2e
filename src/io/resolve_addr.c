#include "config.h"

#include "io/resolve_addr.h"

#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

const void *resolve_addr_bits(const struct sockaddr *sa)
{
	if (sa->sa_family == AF_INET)
		return &((const struct sockaddr_in *)(const void *)sa)
				->sin_addr;
	return &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr;
}

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

#include "config.h"

#include "base/cidr.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

/* The length of the prefix of IPv4-mapped IPv6 addresses. */
#define CIDR_MAPPED_BITS 96

/* An IPv4 address becomes its IPv4-mapped IPv6 address (RFC 4291, 2.5.5.2). */
static bool cidr_address(const char *text, struct in6_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->s6_addr[10] = addr->s6_addr[11] = 0xff;
	return inet_pton(AF_INET, text, &addr->s6_addr[12]) == 1 ||
	       inet_pton(AF_INET6, text, addr) == 1;
}

/* Digits only, at most `max`; -1 otherwise. */
static int cidr_prefix(const char *text, int max)
{
	size_t digits = strspn(text, "0123456789");
	long bits = strtol(text, NULL, 10);

	return digits == 0 || text[digits] || bits > max ? -1 : (int)bits;
}

bool cidr_parse(const char *text, struct cidr *network)
{
	char host[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	bool ipv4 = memchr(text, ':', len) == NULL;
	int width = ipv4 ? 32 : 128, bits = width;

	if (len >= sizeof(host))
		return false;
	memcpy(host, text, len);
	host[len] = '\0';
	if (text[len] == '/')
		bits = cidr_prefix(text + len + 1, width);
	network->bits = ipv4 ? bits + CIDR_MAPPED_BITS : bits;
	return bits >= 0 && cidr_address(host, &network->base);
}

bool cidr_contains(const struct cidr *network, const char *address)
{
	int bits = network->bits;
	size_t bytes = (size_t)bits / 8;
	struct in6_addr addr;

	if (!cidr_address(address, &addr) ||
	    (bits < CIDR_MAPPED_BITS && IN6_IS_ADDR_V4MAPPED(&addr)) ||
	    memcmp(&addr, &network->base, bytes) != 0)
		return false;
	return bits % 8 == 0 ||
	       (addr.s6_addr[bytes] ^ network->base.s6_addr[bytes]) >>
			       (8 - bits % 8) ==
		       0;
}

#include "config.h"

#include "base/cidr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
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

/* The address of a network, and how many of its 128 bits count; -1 when the
 * text is not valid. */
static int cidr_parse(const char *text, struct in6_addr *addr)
{
	char host[INET6_ADDRSTRLEN];
	size_t len = strcspn(text, "/");
	bool ipv4 = memchr(text, ':', len) == NULL;
	int width = ipv4 ? 32 : 128, bits = width;

	if (len >= sizeof(host))
		return -1;
	memcpy(host, text, len);
	host[len] = '\0';
	if (text[len] == '/')
		bits = cidr_prefix(text + len + 1, width);
	if (bits < 0 || !cidr_address(host, addr))
		return -1;
	return ipv4 ? bits + CIDR_MAPPED_BITS : bits;
}

bool cidr_valid(const char *text)
{
	struct in6_addr addr;

	return cidr_parse(text, &addr) >= 0;
}

bool cidr_contains(const char *network, const char *address)
{
	struct in6_addr base, addr;
	int bits = cidr_parse(network, &base);
	size_t bytes = (size_t)bits / 8;

	if (bits < 0 || !cidr_address(address, &addr) ||
	    (bits < CIDR_MAPPED_BITS && IN6_IS_ADDR_V4MAPPED(&addr)) ||
	    memcmp(&addr, &base, bytes) != 0)
		return false;
	return bits % 8 == 0 ||
	       (addr.s6_addr[bytes] ^ base.s6_addr[bytes]) >> (8 - bits % 8) ==
		       0;
}

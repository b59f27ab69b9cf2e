/*
 * cidr: addresses and networks in CIDR notation (RFC 4632, RFC 4291 2.3).
 *
 * Pure; any thread.
 */
#ifndef HEALTH_CIDR_H
#define HEALTH_CIDR_H

#include <netinet/in.h>
#include <stdbool.h>

/* A network; an IPv4 one in its IPv4-mapped form. */
struct cidr {
	struct in6_addr base;
	int bits; /* of base that count */
};

/* An address or a network: "127.0.0.1", "10.0.0.0/8", "::1/128"; false: it is
 * neither. */
bool cidr_parse(const char *text, struct cidr *network);

/*
 * Whether the address, as text, is inside the network.  An IPv4 address matches
 * also in its IPv4-mapped form, as servers that listen on [::] write it; a
 * network of IPv6 addresses with a prefix shorter than that ("::/0") contains
 * no IPv4 address.  false when the address is not valid.
 */
bool cidr_contains(const struct cidr *network, const char *address);

#endif

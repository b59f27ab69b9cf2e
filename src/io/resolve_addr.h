/*
 * resolve_addr: numeric addresses, and names that need no look-up.
 *
 * Pure; any thread.
 */
#ifndef HEALTH_RESOLVE_ADDR_H
#define HEALTH_RESOLVE_ADDR_H

#include <stdbool.h>

#include "io/resolve.h"

/* The bytes of an IPv4 or IPv6 address; borrowed from it. */
const void *resolve_addr_bits(const struct sockaddr *sa);

/* Whether both are the same address, whatever their ports. */
bool resolve_addr_same(const struct sockaddr *a, const struct sockaddr *b);

/* false: it has no text, and is of no use. */
bool resolve_addr_set(struct resolve_addr *addr, int family, const void *bits);

/* Fills the answer for a numeric address or "localhost"; false: the host is
 * neither, and the answer holds nothing. */
bool resolve_addr_known(const char *host, struct resolve_answer *answer);

#endif

/*
 * gate_peer: who may connect, by the address he comes from.
 *
 * Pure; any thread.
 */
#ifndef HEALTH_GATE_PEER_H
#define HEALTH_GATE_PEER_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

/*
 * allowed: as gate_create() takes it.  An address matches as inet_ntop(3)
 * writes it, one of IPv4 also when it came over an IPv6 socket.  NULL and ""
 * allow everybody; who comes over a Unix socket is always allowed.
 */
bool gate_peer_allowed(const char *allowed,
		       const struct sockaddr_storage *peer);

/* The address as inet_ntop(3) writes it, one of IPv4 also when it came over an
 * IPv6 socket; empty for a Unix socket. */
void gate_peer_address(const struct sockaddr_storage *peer, char *text,
		       size_t size);

#endif

#include "config.h"

#include "front/gate_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

void gate_peer_address(const struct sockaddr_storage *peer, char *text,
		       size_t size)
{
	const struct sockaddr_in *in = (const void *)peer;
	const struct in6_addr *in6 =
		&((const struct sockaddr_in6 *)peer)->sin6_addr;
	socklen_t room = (socklen_t)size;

	text[0] = '\0';
	if (peer->ss_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, text, room);
	else if (peer->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(in6))
		inet_ntop(AF_INET, &in6->s6_addr[12], text, room);
	else if (peer->ss_family == AF_INET6)
		inet_ntop(AF_INET6, in6, text, room);
}

bool gate_peer_allowed(const char *allowed, const struct sockaddr_storage *peer)
{
	char text[INET6_ADDRSTRLEN];
	const char *at = allowed;
	size_t len;

	/* Empty means everybody, as it does to libfcgi; and a Unix socket has
	 * file permissions. */
	if (!at || !*at ||
	    (peer->ss_family != AF_INET && peer->ss_family != AF_INET6))
		return true;
	gate_peer_address(peer, text, sizeof(text));
	for (; *at; at += len + (at[len] == ',')) {
		len = strcspn(at, ",");
		if (len == strlen(text) && !strncmp(at, text, len))
			return true;
	}
	return false;
}

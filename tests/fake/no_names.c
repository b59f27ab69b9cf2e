/*
 * no_names: preloaded (ld.so(8)), ends a program that looks up a host name with
 * a blocking call.  Numeric addresses pass.
 */
#include "config.h"

#include <dlfcn.h>
#include <netdb.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void no_names_die(const char *name)
{
	static const char words[] = "no_names: blocking lookup of ";
	ssize_t ignored;

	ignored = write(STDERR_FILENO, words, sizeof(words) - 1);
	while (*name)
		ignored = write(STDERR_FILENO, name++, 1);
	ignored = write(STDERR_FILENO, "\n", 1);
	(void)ignored;
	abort();
}

int getaddrinfo(const char *restrict node, const char *restrict service,
		const struct addrinfo *restrict hints,
		struct addrinfo **restrict res)
{
	struct addrinfo numeric = { .ai_family = AF_UNSPEC };
	int (*real)(const char *, const char *, const struct addrinfo *,
		    struct addrinfo **);

	*(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
	if (hints)
		numeric = *hints;
	numeric.ai_flags |= AI_NUMERICHOST;
	if (node && real(node, NULL, &numeric, res) == 0)
		freeaddrinfo(*res);
	else if (node)
		no_names_die(node);
	return real(node, service, hints, res);
}

struct hostent *gethostbyname(const char *name)
{
	no_names_die(name);
	return NULL;
}

struct hostent *gethostbyname2(const char *name, int family)
{
	(void)family;
	no_names_die(name);
	return NULL;
}

int gethostbyname_r(const char *restrict name, struct hostent *restrict ret,
		    char *restrict buf, size_t buflen,
		    struct hostent **restrict result, int *restrict h_errnop)
{
	(void)ret, (void)buf, (void)buflen, (void)result, (void)h_errnop;
	no_names_die(name);
	return -1;
}

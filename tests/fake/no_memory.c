/*
 * no_memory: of the calls of calloc(3) in the program itself, and not in its
 * libraries, the Nth finds no memory, as NO_MEMORY=N says.  Preloaded
 * (LD_PRELOAD) into the program.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* glibc's own, which needs no looking up: dlsym(3) itself uses calloc(3). */
void *__libc_calloc(size_t n, size_t size);

void *calloc(size_t n, size_t size)
{
	static int calls;
	const char *bad = getenv("NO_MEMORY");
	Dl_info caller;

	if (bad && dladdr(__builtin_return_address(0), &caller) &&
	    strstr(caller.dli_fname, "health.fcgi") && ++calls == atoi(bad)) {
		errno = ENOMEM;
		return NULL;
	}
	return __libc_calloc(n, size);
}

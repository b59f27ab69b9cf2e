/*
 * fuzz: one function, two programs.
 *
 * A fuzz target includes this header and defines LLVMFuzzerTestOneInput().
 * Built as every other test it replays the files and folders of its command
 * line, or without any its own corpus, FUZZ_CORPUS below the source folder.
 * Built by clang with -fsanitize=fuzzer -DFUZZ_ENGINE it looks for new ones.
 */
#ifndef HEALTH_FUZZ_H
#define HEALTH_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Like assert(), but never compiled out. */
#define FUZZ_CHECK(fact)                                                 \
	do {                                                             \
		if (!(fact)) {                                           \
			fprintf(stderr, "%s:%d: failed: %s\n", __FILE__, \
				__LINE__, #fact);                        \
			abort();                                         \
		}                                                        \
	} while (0)

#ifndef FUZZ_ENGINE

#include <dirent.h>
#include <string.h>

#define FUZZ_INPUT_BYTES (1024 * 1024)

static int fuzz_replay_file(const char *path)
{
	uint8_t *data = malloc(FUZZ_INPUT_BYTES), *exact;
	FILE *file = fopen(path, "rb");
	size_t size;

	if (data == NULL || file == NULL) {
		perror(path);
		exit(1);
	}
	size = fread(data, 1, FUZZ_INPUT_BYTES, file);
	fclose(file);
	/* Of the very size, so that a sanitizer sees a byte too far. */
	exact = malloc(size ? size : 1);
	if (exact == NULL) {
		perror(path);
		exit(1);
	}
	memcpy(exact, data, size);
	free(data);
	/* The last name printed is that of the file that crashed us. */
	printf("%s\n", path);
	fflush(stdout);
	LLVMFuzzerTestOneInput(exact, size);
	free(exact);
	return 1;
}

static int fuzz_replay(const char *path)
{
	DIR *folder = opendir(path);
	struct dirent *entry;
	char below[4096];
	int n = 0;

	if (folder == NULL)
		return fuzz_replay_file(path);
	while ((entry = readdir(folder)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		n += fuzz_replay_file(below);
	}
	closedir(folder);
	return n;
}

int main(int argc, char **argv)
{
	const char *source = getenv("HEALTH_SRCDIR");
	char corpus[4096];
	int i, n = 0;

	snprintf(corpus, sizeof(corpus), "%s/%s", source ? source : ".",
		 FUZZ_CORPUS);
	if (argc == 1)
		n = fuzz_replay(corpus);
	for (i = 1; i < argc; i++)
		n += fuzz_replay(argv[i]);
	printf("%d inputs replayed\n", n);
	return n == 0;
}

#endif
#endif

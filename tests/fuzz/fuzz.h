/*
 * fuzz: one function, two programs.
 *
 * A fuzz target includes this header and defines LLVMFuzzerTestOneInput().
 * Built like other tests, it replays the files and directories of its command
 * line; without any, its own corpus, FUZZ_CORPUS below the source directory.
 * Built by clang with -fsanitize=fuzzer -DFUZZ_ENGINE, it looks for new inputs.
 */
#ifndef HEALTH_FUZZ_H
#define HEALTH_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- what an input is made of ---- */

/* What is left of it; pieces are taken from its front. */
struct fuzz_input {
	const uint8_t *at;
	size_t left;
};

/* One byte; 0 when there is none left. */
static inline unsigned fuzz_byte(struct fuzz_input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->at++;
}

/* For free(). */
static inline char *fuzz_text(const uint8_t *at, size_t len)
{
	char *text = malloc(len + 1);

	FUZZ_CHECK(text);
	if (len)
		memcpy(text, at, len);
	text[len] = '\0';
	return text;
}

/* Up to the next newline, which is dropped; for free(). */
static inline char *fuzz_line(struct fuzz_input *input)
{
	const uint8_t *end = input->left ? memchr(input->at, '\n', input->left)
					 : NULL;
	size_t len = end ? (size_t)(end - input->at) : input->left;
	char *line = fuzz_text(input->at, len);

	input->at += len + (end != NULL);
	input->left -= len + (end != NULL);
	return line;
}

/*
 * How the bytes behind it arrive: a byte says how many bytes follow that each
 * say how long one piece is (in a scale that reaches far), then it begins
 * again.  Nothing is taken from the input but these.
 */
struct fuzz_pieces {
	const uint8_t *lengths;
	size_t n, next;
};

static inline struct fuzz_pieces fuzz_pieces(struct fuzz_input *input)
{
	struct fuzz_pieces pieces = { NULL, fuzz_byte(input) % 8, 0 };

	if (pieces.n > input->left)
		pieces.n = input->left;
	pieces.lengths = input->at;
	input->at += pieces.n;
	input->left -= pieces.n;
	return pieces;
}

/* The length of the next piece; all that is left without a plan. */
static inline size_t fuzz_piece(struct fuzz_pieces *pieces, size_t left)
{
	size_t len;

	if (pieces->n == 0)
		return left;
	len = pieces->lengths[pieces->next++ % pieces->n];
	len = len < 64 ? len + 1 : (len - 60) * 16;
	return len < left ? len : left;
}

/* ---- what is shown ---- */

/* The length of the UTF-8 character (RFC 3629, section 4); 0: not valid. */
static inline size_t fuzz_utf8(const unsigned char *at)
{
	static const struct {
		unsigned char from, to, second_from, second_to, len;
	} rows[] = {
		{ 0x00, 0x7f, 0, 0, 1 },       { 0xc2, 0xdf, 0x80, 0xbf, 2 },
		{ 0xe0, 0xe0, 0xa0, 0xbf, 3 }, { 0xe1, 0xec, 0x80, 0xbf, 3 },
		{ 0xed, 0xed, 0x80, 0x9f, 3 }, { 0xee, 0xef, 0x80, 0xbf, 3 },
		{ 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
		{ 0xf4, 0xf4, 0x80, 0x8f, 4 },
	};
	size_t i, j;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (at[0] >= rows[i].from && at[0] <= rows[i].to)
			break;
	if (i == sizeof(rows) / sizeof(rows[0]))
		return 0;
	if (rows[i].len > 1 &&
	    (at[1] < rows[i].second_from || at[1] > rows[i].second_to))
		return 0;
	for (j = 2; j < rows[i].len; j++)
		if ((at[j] & 0xc0) != 0x80)
			return 0;
	return rows[i].len;
}

/* Whether it may be shown to any caller: valid UTF-8 on one line, without
 * control characters. */
static inline bool fuzz_clean(const char *text)
{
	const unsigned char *at = (const unsigned char *)text;
	size_t len;

	for (; *at; at += len) {
		len = fuzz_utf8(at);
		if (len == 0 || *at < 0x20 || *at == 0x7f ||
		    (*at == 0xc2 && at[1] < 0xa0))
			return false;
	}
	return true;
}

#ifndef FUZZ_ENGINE

#include <dirent.h>

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
	DIR *dir = opendir(path);
	struct dirent *entry;
	char below[4096];
	int n = 0;

	if (dir == NULL)
		return fuzz_replay_file(path);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(below, sizeof(below), "%s/%s", path, entry->d_name);
		n += fuzz_replay_file(below);
	}
	closedir(dir);
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

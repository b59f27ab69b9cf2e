#include "config.h"

#include "text.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define TEXT_SECRET_MIN 4

/* ---- UTF-8 ---- */

/*
 * Decodes one character (RFC 3629) from len > 0 bytes; returns how many bytes
 * it has, or 0 when they are no valid character: overlong, a surrogate, above
 * U+10FFFF or broken off.
 */
static size_t text_decode(const unsigned char *from, size_t len,
			  uint32_t *character)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t need, i;

	if (from[0] < 0x80) {
		*character = from[0];
		return 1;
	}
	need = from[0] >= 0xf0 ? 4 : from[0] >= 0xe0 ? 3 : 2;
	if (from[0] < 0xc2 || from[0] > 0xf4 || len < need)
		return 0;
	*character = from[0] & (0x7fu >> need);
	for (i = 1; i < need; i++) {
		if ((from[i] & 0xc0) != 0x80)
			return 0;
		*character = *character << 6 | (from[i] & 0x3fu);
	}
	if (*character < least[need] || *character > 0x10ffff ||
	    (*character >= 0xd800 && *character <= 0xdfff))
		return 0;
	return need;
}

static bool text_blank(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 ||
	       c == 0x2028 || c == 0x2029;
}

/* Characters that reorder the text around them when shown (UAX 9). */
static bool text_reorders(uint32_t c)
{
	return (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

/* ---- cleaning ---- */

struct text_out {
	char *to;
	size_t size; /* with the terminator */
	size_t len;
	size_t cut; /* where "..." still fits */
};

/* false: there is no room.  Pieces are never torn. */
static bool text_put(struct text_out *out, const char *piece, size_t len)
{
	if (len >= out->size - out->len)
		return false;
	memcpy(out->to + out->len, piece, len);
	out->len += len;
	if (out->len + sizeof("...") <= out->size)
		out->cut = out->len;
	return true;
}

static bool text_put_character(struct text_out *out, const char *from,
			       size_t bytes, uint32_t c)
{
	char escaped[sizeof("\\xNN")];

	if (bytes == 0 || text_reorders(c))
		return text_put(out, TEXT_REPLACEMENT, 3);
	if (c < 0x20 || (c >= 0x7f && c < 0xa0)) {
		snprintf(escaped, sizeof(escaped), "\\x%02x", (unsigned)c);
		return text_put(out, escaped, 4);
	}
	return text_put(out, from, bytes);
}

/* Ends a text that did not fit. */
static void text_cut(struct text_out *out)
{
	size_t dots = out->size - 1 - out->cut;

	if (dots > 3)
		dots = 3;
	memset(out->to + out->cut, '.', dots);
	out->len = out->cut + dots;
}

void text_clean(char *to, size_t size, const char *from, size_t len)
{
	struct text_out out = { .to = to, .size = size };
	bool gap = false, room = true;
	size_t i, bytes;
	uint32_t c = 0;

	for (i = 0; i < len && room; i += bytes ? bytes : 1) {
		bytes = text_decode((const unsigned char *)from + i, len - i,
				    &c);
		if (bytes && text_blank(c)) {
			gap = out.len > 0;
			continue;
		}
		if (gap)
			room = text_put(&out, " ", 1);
		gap = false;
		room = room && text_put_character(&out, from + i, bytes, c);
	}
	if (!room)
		text_cut(&out);
	to[out.len] = '\0';
}

/* ---- secrets ---- */

struct text_secret_entry {
	struct text_secret_entry *next;
	size_t len;
	char secret[];
};

static struct text_secret_entry *text_secrets;

int text_secret(const char *secret)
{
	struct text_secret_entry *entry;
	size_t len = strlen(secret);

	if (len < TEXT_SECRET_MIN)
		return 0;
	for (entry = text_secrets; entry; entry = entry->next)
		if (strcmp(entry->secret, secret) == 0)
			return 0;
	entry = malloc(sizeof(*entry) + len + 1);
	if (!entry)
		return -1;
	entry->next = text_secrets;
	entry->len = len;
	memcpy(entry->secret, secret, len + 1);
	text_secrets = entry;
	return 0;
}

void text_forget_secrets(void)
{
	struct text_secret_entry *entry;

	while ((entry = text_secrets)) {
		text_secrets = entry->next;
		explicit_bzero(entry->secret, entry->len);
		free(entry);
	}
}

static int text_hex(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/* How many bytes at `at` stand for the byte c, plain or percent-encoded (RFC
 * 3986; "+" for a blank as in forms); 0: they stand for something else. */
static size_t text_stands_for(const char *at, char c)
{
	int high, low;

	if (*at == c || (*at == '+' && c == ' '))
		return 1;
	if (*at != '%' || (high = text_hex(at[1])) < 0 ||
	    (low = text_hex(at[2])) < 0)
		return 0;
	return (unsigned char)c == (unsigned)(high * 16 + low) ? 3 : 0;
}

/* How many bytes at `at` spell the secret; 0: they do not. */
static size_t text_spells(const char *at, const char *secret)
{
	const char *start = at;
	size_t step;

	for (; *secret; secret++, at += step) {
		step = text_stands_for(at, *secret);
		if (step == 0)
			return 0;
	}
	return (size_t)(at - start);
}

/*
 * Looks ahead on text that is still unchanged, so that secrets which overlap
 * or contain each other are all hidden.
 */
void text_mask(char *text)
{
	const struct text_secret_entry *entry;
	char *hide_to = text;
	size_t len;

	for (; *text; text++) {
		for (entry = text_secrets; entry; entry = entry->next) {
			len = text_spells(text, entry->secret);
			if (text + len > hide_to)
				hide_to = text + len;
		}
		if (text < hide_to)
			*text = '*';
	}
}

/* ---- the nearest word ---- */

#define TEXT_WORD_BYTES 64

static char text_fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c - 'A' + 'a');
	return (char)(c == '-' ? '_' : c);
}

static size_t text_least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * The number of letters to insert, drop, replace or swap with the neighbour
 * (optimal string alignment); case counts for nothing, "-" is "_".
 */
static size_t text_distance(const char *a, size_t a_len, const char *b,
			    size_t b_len)
{
	size_t rows[3][TEXT_WORD_BYTES + 1]; /* i - 2, i - 1, i; in turn */
	size_t *before, *above, *row, i, j, same;

	for (j = 0; j <= b_len; j++)
		rows[0][j] = j;
	for (i = 1; i <= a_len; i++) {
		before = rows[(i + 1) % 3];
		above = rows[(i + 2) % 3];
		row = rows[i % 3];
		row[0] = i;
		for (j = 1; j <= b_len; j++) {
			same = text_fold(a[i - 1]) == text_fold(b[j - 1]);
			row[j] = text_least(above[j] + 1, row[j - 1] + 1);
			row[j] = text_least(row[j], above[j - 1] + !same);
			if (i > 1 && j > 1 &&
			    text_fold(a[i - 1]) == text_fold(b[j - 2]) &&
			    text_fold(a[i - 2]) == text_fold(b[j - 1]))
				row[j] = text_least(row[j], before[j - 2] + 1);
		}
	}
	return rows[a_len % 3][b_len];
}

const char *text_nearest(const char *word, const char *const words[])
{
	const char *nearest = NULL;
	size_t len = strlen(word), other, distance, best, i;

	if (len == 0 || len > TEXT_WORD_BYTES)
		return NULL;
	best = len < 3 ? 1 : (len + 2) / 3; /* a third may be wrong */
	for (i = 0; words[i]; i++) {
		other = strlen(words[i]);
		if (other > TEXT_WORD_BYTES)
			continue;
		distance = text_distance(word, len, words[i], other);
		/* the beginning of a word: "pass", "interv" */
		if (len >= 3 && other > len &&
		    strncasecmp(word, words[i], len) == 0)
			distance = 1;
		if (distance < text_least(len, other) &&
		    (nearest ? distance < best : distance <= best)) {
			nearest = words[i];
			best = distance;
		}
	}
	return nearest;
}

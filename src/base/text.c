#include "config.h"

#include "base/text.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
/* A value under another name is taken for a secret only from this length on. */
#define TEXT_TOKEN_MIN 8

/* Characters that reorder the text around them when shown (UAX 9). */
static bool text_reorders(uint32_t c)
{
	return (c >= 0x200e && c <= 0x200f) || (c >= 0x202a && c <= 0x202e) ||
	       (c >= 0x2066 && c <= 0x2069);
}

/* ---- UTF-8 ---- */

size_t text_decode(const unsigned char *from, size_t len, uint32_t *character)
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

bool text_blank(uint32_t c)
{
	return c == ' ' || (c >= '\t' && c <= '\r') || c == 0x85 || c == 0xa0 ||
	       c == 0x2028 || c == 0x2029;
}

/* ---- cleaning ---- */

struct text_out {
	char *to;
	size_t size; /* with the terminator */
	size_t len;
	size_t cut; /* where "..." still fits */
};

/* false: it does not fit. Pieces are never split. */
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
	to[out.len] = '\0';
	if (!room)
		snprintf(to + out.cut, size - out.cut, "...");
}

/* ---- showing ---- */

bool text_looks_secret(const char *text, size_t len)
{
	bool letter = false, digit = false;
	size_t i;

	if (len < TEXT_TOKEN_MIN || text[0] == '/')
		return false;
	for (i = 0; i < len; i++) {
		letter = letter || isalpha((unsigned char)text[i]);
		digit = digit || isdigit((unsigned char)text[i]);
	}
	return letter && digit;
}

void text_show(char *to, size_t size, const char *from)
{
	char raw[TEXT_RAW_BYTES];
	size_t len;
	int i;

	/* Twice: where white space has become one blank, a secret with a blank
	 * in it may stand now. */
	for (i = 0; i < 2; i++, from = to) {
		len = strnlen(from, sizeof(raw) - 1);
		memcpy(raw, from, len);
		raw[len] = '\0';
		text_mask(raw);
		text_clean(to, size, raw, len);
	}
}

void text_show_ends(char *to, size_t size, const char *from)
{
	char whole[TEXT_RAW_BYTES];
	size_t len, head, tail;

	text_show(whole, sizeof(whole), from);
	len = strlen(whole);
	if (len < size || size < sizeof("...")) {
		snprintf(to, size, "%s", whole);
		return;
	}
	/* Do not split a character. */
	tail = len - (size - sizeof("...")) / 2;
	head = size - sizeof("...") - (len - tail);
	while ((whole[tail] & 0xc0) == 0x80)
		tail++;
	while (head > 0 && (whole[head] & 0xc0) == 0x80)
		head--;
	snprintf(to, size, "%.*s...%s", (int)head, whole, whole + tail);
}

/* ---- the nearest word ---- */

#define TEXT_WORD_BYTES 64

static int text_fold(char c)
{
	return c == '-' ? '_' : tolower((unsigned char)c);
}

static size_t text_least(size_t a, size_t b)
{
	return a < b ? a : b;
}

/*
 * The number of letters to insert, drop, replace or swap with the neighbour
 * (optimal string alignment); case does not matter, and "-" equals "_".
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
	best = len < 3 ? 1 : (len + 2) / 3; /* a third may differ */
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

size_t text_line_len(const char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	return len;
}

bool text_unescape(char *to, const char *from, size_t len)
{
	const char *end = from + len;
	char hex[3] = "";
	bool good = true;

	for (; from < end; from++, to++) {
		*to = *from;
		if (*from != '%')
			continue;
		if (end - from > 2 && isxdigit((unsigned char)from[1]) &&
		    isxdigit((unsigned char)from[2]) &&
		    strncmp(from + 1, "00", 2) != 0) {
			memcpy(hex, from + 1, 2);
			*to = (char)strtol(hex, NULL, 16);
			from += 2;
		} else {
			good = false;
		}
	}
	*to = '\0';
	return good;
}

#include "config.h"

#include "text.h"

#include <ctype.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define TEXT_REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */
#define TEXT_SECRET_MIN 4
/* So many bytes from the beginning of a longer secret are no accident. */
#define TEXT_PART_MIN 16
/* Nor are so many characters of its base64. */
#define TEXT_BASE64_MIN 8
/* What is not called a secret is none when it is shorter. */
#define TEXT_TOKEN_MIN 8
/* More than is shown of any text: what a cut would halve is still whole when
 * it is masked. */
#define TEXT_RAW_BYTES 4096

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

/* ---- remembering secrets ---- */

struct text_entry {
	struct text_entry *next;
	bool base64; /* of the secret; the characters at its ends are shared */
	char secret[];
};

/* By their first byte, since every byte of a text may begin one. */
static struct text_entry *_Atomic text_entries[UCHAR_MAX + 1];

/* Of those that add to the lists; nothing is taken out while they are read. */
static pthread_mutex_t text_adding = PTHREAD_MUTEX_INITIALIZER;

static int text_remember(const char *secret, bool base64)
{
	struct text_entry *_Atomic *list =
		&text_entries[(unsigned char)*secret];
	struct text_entry *entry;
	size_t size = strlen(secret) + 1;

	for (entry = *list; entry; entry = entry->next)
		if (strcmp(entry->secret, secret) == 0)
			return 0;
	entry = malloc(sizeof(*entry) + size);
	if (!entry)
		return -1;
	entry->base64 = base64;
	memcpy(entry->secret, secret, size);
	entry->next = *list;
	*list = entry;
	return 0;
}

static const char text_base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				  "abcdefghijklmnopqrstuvwxyz0123456789+/";

/* The bits from..from+5 of a text, counted from the highest of its first
 * byte. */
static unsigned text_six_bits(const char *text, size_t from)
{
	const unsigned char *at = (const unsigned char *)text + from / 8;
	unsigned two = (unsigned)at[0] << 8 | (from % 8 > 2 ? at[1] : 0);

	return two >> (10 - from % 8) & 63;
}

/*
 * Remembers the part of the secret's base64 (RFC 4648) that is the same
 * whatever stands around it, as in "user:secret" of basic authentication,
 * when the first character that is all its own begins at bit `from`.
 */
static int text_remember_base64(const char *secret, size_t from)
{
	size_t len = (strlen(secret) * 8 - from) / 6, i;
	char *encoded;
	int bad;

	if (len < TEXT_BASE64_MIN)
		return 0;
	encoded = malloc(len + 1);
	if (!encoded)
		return -1;
	for (i = 0; i < len; i++)
		encoded[i] = text_base64[text_six_bits(secret, from + 6 * i)];
	encoded[len] = '\0';
	bad = text_remember(encoded, true);
	explicit_bzero(encoded, len);
	free(encoded);
	return bad;
}

int text_secret(const char *secret)
{
	size_t from;
	int bad;

	if (strlen(secret) < TEXT_SECRET_MIN)
		return 0;
	pthread_mutex_lock(&text_adding);
	bad = text_remember(secret, false);
	for (from = 0; from < 6 && !bad; from += 2)
		bad = text_remember_base64(secret, from);
	pthread_mutex_unlock(&text_adding);
	return bad;
}

bool text_looks_secret(const char *text, size_t len)
{
	bool letter = false, figure = false;
	size_t i;

	if (len < TEXT_TOKEN_MIN || text[0] == '/')
		return false;
	for (i = 0; i < len; i++) {
		letter = letter || isalpha((unsigned char)text[i]);
		figure = figure || isdigit((unsigned char)text[i]);
	}
	return letter && figure;
}

void text_forget_secrets(void)
{
	struct text_entry *entry;
	size_t i;

	for (i = 0; i <= UCHAR_MAX; i++) {
		while ((entry = text_entries[i])) {
			text_entries[i] = entry->next;
			explicit_bzero(entry->secret, strlen(entry->secret));
			free(entry);
		}
	}
}

/* ---- hiding them ---- */

/* So many hexadecimal digits; -1 when they are not there. */
static long text_hex(const char *at, size_t digits)
{
	char copy[sizeof("0000")];

	if (strspn(at, "0123456789abcdefABCDEF") < digits)
		return -1;
	memcpy(copy, at, digits);
	copy[digits] = '\0';
	return strtol(copy, NULL, 16);
}

/*
 * How many bytes at `at` are another way to write one byte, which goes to *c:
 * in a URL (RFC 3986; "+" for a blank as in forms) or in a quoted string, as
 * of JSON.  0: they are not.
 */
static size_t text_escape(const char *at, char *c)
{
	long code;

	if (*at == '+') {
		*c = ' ';
		return 1;
	}
	if (*at == '%' && (code = text_hex(at + 1, 2)) > 0) {
		*c = (char)code;
		return 3;
	}
	if (*at != '\\')
		return 0;
	if (at[1] == 'u' && (code = text_hex(at + 2, 4)) > 0 && code < 0x80) {
		*c = (char)code;
		return 6;
	}
	*c = at[1];
	return at[1] ? 2 : 0;
}

/* Base64 for URLs has two other characters. */
static bool text_same(const struct text_entry *entry, char c, char wanted)
{
	return c == wanted || (entry->base64 && ((c == '-' && wanted == '+') ||
						 (c == '_' && wanted == '/')));
}

/*
 * The end of the secret that is spelled at `at`, of which `done` bytes have
 * been seen; NULL: there is none.  A large part of a secret is one, too, and
 * so is its beginning at the end of a text that was perhaps cut.
 */
static const char *text_spelled(const struct text_entry *entry, size_t done,
				const char *at)
{
	const char *secret = entry->secret, *end;
	size_t step;
	char c = '\0';

	for (; secret[done]; done++) {
		step = text_escape(at, &c);
		if (step && c != secret[done])
			step = 0;
		if (text_same(entry, *at, secret[done])) {
			/* "%" may stand for itself, or begin "%25" */
			end = step ? text_spelled(entry, done + 1, at + step)
				   : NULL;
			if (end)
				return end;
			step = 1;
		}
		if (!step)
			break;
		at += step;
	}
	if (secret[done] && done < TEXT_PART_MIN &&
	    (*at || done < TEXT_SECRET_MIN))
		return NULL;
	return at;
}

static bool text_is_base64(char c)
{
	return c && (strchr(text_base64, c) || c == '-' || c == '_');
}

/* Hides what begins at `at` from `first` on; returns up to where. */
static char *text_hide(const struct text_entry *entry, char *first, char *at,
		       char *hide_to)
{
	const char *end;

	for (; entry; entry = entry->next) {
		end = text_spelled(entry, 0, at);
		if (!end)
			continue;
		/* The characters before and behind hold a part of the secret's
		 * first and last byte. */
		if (entry->base64 && at > first && text_is_base64(at[-1]))
			at[-1] = '*';
		if (entry->base64 && text_is_base64(*end))
			end++;
		if (end > hide_to)
			hide_to = at + (end - at);
	}
	return hide_to;
}

/* Another byte that may begin here; '\0': none. */
static unsigned char text_also(const char *at)
{
	char c = '\0';

	if (!text_escape(at, &c) && (*at == '-' || *at == '_'))
		c = *at == '-' ? '+' : '/';
	return (unsigned char)c;
}

/*
 * Looks ahead on text that is still unchanged, so that secrets which overlap
 * or contain each other are all hidden.
 */
void text_mask(char *text)
{
	char *hide_to = text, *at;

	for (at = text; *at; at++) {
		hide_to = text_hide(text_entries[(unsigned char)*at], text, at,
				    hide_to);
		hide_to = text_hide(text_entries[text_also(at)], text, at,
				    hide_to);
		if (at < hide_to)
			*at = '*';
	}
}

static void text_mask_and_clean(char *to, size_t size, const char *from)
{
	char raw[TEXT_RAW_BYTES];
	size_t len = strnlen(from, sizeof(raw) - 1);

	memcpy(raw, from, len);
	raw[len] = '\0';
	text_mask(raw);
	text_clean(to, size, raw, len);
}

void text_show(char *to, size_t size, const char *from)
{
	text_mask_and_clean(to, size, from);
	/* Where white space has become one blank, a secret with a blank in it
	 * may stand now. */
	text_mask_and_clean(to, size, to);
}

static bool text_is_inside(char c)
{
	return ((unsigned char)c & 0xc0) == 0x80;
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
	/* No character is torn. */
	tail = len - (size - sizeof("...")) / 2;
	head = size - sizeof("...") - (len - tail);
	while (text_is_inside(whole[tail]))
		tail++;
	while (head > 0 && text_is_inside(whole[head]))
		head--;
	snprintf(to, size, "%.*s...%s", (int)head, whole, whole + tail);
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

size_t text_line_len(const char *text, size_t len)
{
	if (len > 0 && text[len - 1] == '\n')
		len--;
	if (len > 0 && text[len - 1] == '\r')
		len--;
	return len;
}

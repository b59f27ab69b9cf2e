#include "config.h"

#include "base/text.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/*
 * Programs that repeat what they were told escape it: in a URL, in JSON, in
 * HTML, in SQL, as Python and JavaScript show strings, and some of these one
 * after the other.  A view undoes all of it, however often it was done: each
 * character that completes an escape replaces it, and may complete another
 * one.  The same secret looks the same then, whatever was done to it, when its
 * own characters that look like an escape are undone as well.
 */
struct text_view {
	struct text_unit *units; /* one for each byte of text */
	size_t n;
};

/* One unit of UTF-16, or a byte that is not UTF-8. */
struct text_unit {
	uint16_t c;
	uint16_t from, to; /* the bytes of the text that it stands for */
};

/* Between two runs of digits; no unit of text is a noncharacter. */
#define TEXT_BREAK 0xffff
/* "&#x10ffff;" */
#define TEXT_ENTITY_UNITS 10

/* ---- undoing escapes ---- */

/* The units at the end, the last `count` of which are there. */
static struct text_unit *text_last(const struct text_view *view, size_t count)
{
	return view->units + view->n - count;
}

/* One character instead of the last `count` units, or none when it is NUL.
 * Always true. */
static bool text_replace(struct text_view *view, size_t count, uint32_t c)
{
	struct text_unit *at = text_last(view, count), unit = *at;

	unit.to = text_last(view, 1)->to;
	view->n -= count;
	if (c == 0)
		return true;
	if (c > 0xffff) {
		unit.c = (uint16_t)(0xd7c0 + (c >> 10));
		*at++ = unit;
		view->n++;
		c = 0xdc00 | (c & 0x3ff);
	}
	unit.c = (uint16_t)c;
	*at = unit;
	view->n++;
	return true;
}

/* The value of a digit; 16 or more for any other character. */
static unsigned text_digit(unsigned c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 16;
}

static bool text_number(const struct text_unit *at, size_t digits,
			unsigned base, uint32_t *number)
{
	size_t i;

	*number = 0;
	for (i = 0; i < digits; i++) {
		if (text_digit(at[i].c) >= base)
			return false;
		*number = *number * base + text_digit(at[i].c);
	}
	return digits > 0 && *number <= 0x10ffff;
}

static bool text_is(const struct text_unit *at, const char *word)
{
	for (; *word; word++, at++)
		if (at->c != (unsigned char)*word)
			return false;
	return true;
}

/* "%41", "\x41", "\u0041", "\U00000041", "\101" */
static bool text_undo_number(struct text_view *view)
{
	static const struct {
		const char *mark;
		unsigned digits, base;
	} kinds[] = { { "%", 2, 16 },
		      { "\\x", 2, 16 },
		      { "\\u", 4, 16 },
		      { "\\U", 8, 16 },
		      { "\\", 3, 8 } };
	size_t i, units;
	uint32_t c;

	if (text_digit(text_last(view, 1)->c) >= 16)
		return false;
	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		units = strlen(kinds[i].mark) + kinds[i].digits;
		if (view->n >= units &&
		    text_is(text_last(view, units), kinds[i].mark) &&
		    text_number(text_last(view, kinds[i].digits),
				kinds[i].digits, kinds[i].base, &c))
			return text_replace(view, units, c);
	}
	return false;
}

/* "&amp;", "&#38;", "&#x26;" */
static bool text_undo_entity(struct text_view *view)
{
	static const struct {
		const char *name;
		uint32_t c;
	} names[] = { { "amp;", '&' },
		      { "lt;", '<' },
		      { "gt;", '>' },
		      { "quot;", '"' },
		      { "apos;", '\'' } };
	const struct text_unit *at;
	size_t units = 2, i;
	uint32_t c;
	bool hex;

	if (text_last(view, 1)->c != ';')
		return false;
	while (units <= view->n && units < TEXT_ENTITY_UNITS &&
	       text_last(view, units)->c != '&')
		units++;
	if (units > view->n || text_last(view, units)->c != '&')
		return false;
	at = text_last(view, units) + 1;
	if (at->c == '#') {
		hex = (at[1].c | 0x20) == 'x';
		return text_number(at + 1 + hex, units - 3 - hex, hex ? 16 : 10,
				   &c) &&
		       text_replace(view, units, c);
	}
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (strlen(names[i].name) == units - 1 &&
		    text_is(at, names[i].name))
			return text_replace(view, units, names[i].c);
	return false;
}

/* "\"", "\\", "\/", "\n"; the others have numbers. */
static bool text_undo_backslash(struct text_view *view)
{
	unsigned c = text_last(view, 1)->c;

	if (view->n < 2 || text_last(view, 2)->c != '\\' ||
	    (c < 0x80 && strchr("xuU01234567", (int)c)))
		return false;
	return text_replace(view, 2,
			    c < 0x80 && strchr("nrtfv", (int)c) ? ' ' : c);
}

/* Bytes that are a character in UTF-8. */
static bool text_undo_utf8(struct text_view *view)
{
	unsigned char bytes[4];
	size_t units, i;
	uint32_t c;

	if ((text_last(view, 1)->c & 0xffc0) != 0x80)
		return false;
	for (units = 2; units <= sizeof(bytes) && units <= view->n; units++) {
		if (text_last(view, units)->c > 0xff)
			return false;
		for (i = 0; i < units; i++)
			bytes[i] = (unsigned char)text_last(view, units)[i].c;
		if (text_decode(bytes, units, &c) == units)
			return text_replace(view, units, c);
	}
	return false;
}

static void text_push(struct text_view *view, unsigned c, size_t from,
		      size_t to)
{
	if (c)
		view->units[view->n++] = (struct text_unit){
			.c = (uint16_t)c, .from = (uint16_t)from
		};
	/* NUL belongs to what stands before it. */
	if (view->n > 0)
		text_last(view, 1)->to = (uint16_t)to;
}

/* Each of them makes the view shorter, or is the last one. */
static void text_undo(struct text_view *view)
{
	while (view->n > 0 &&
	       (text_undo_number(view) || text_undo_entity(view) ||
		text_undo_backslash(view) || text_undo_utf8(view)))
		continue;
}

/* ---- views ---- */

/* Views len bytes, as they are or with all escapes undone. */
static void text_view(struct text_view *view, const char *text, size_t len,
		      bool undone)
{
	size_t i;

	view->n = 0;
	for (i = 0; i < len; i++) {
		text_push(view, (unsigned char)text[i], i, i + 1);
		if (undone)
			text_undo(view);
	}
}

/* The value of a unit as a digit; all bits set for any other unit. */
static unsigned text_digit_of(unsigned c, unsigned bits)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789+/-_";
	const char *at;

	if (bits == 4)
		return text_digit(c);
	at = c < 0x80 ? strchr(base64, (int)c) : NULL;
	/* The alphabet for URLs has "-" and "_" at its end. */
	if (!at)
		return 64;
	return (unsigned)(at - base64) - (at - base64 < 64 ? 0 : 2);
}

/*
 * Views what is left when the units of another view are taken for digits of
 * `bits` bits, 4 (hexadecimal) or 6 (base64, RFC 4648, both alphabets).  The
 * first `skip` digits of each run are left out, since a byte may begin at any.
 * Escapes in it are undone, and NUL dropped: UTF-16LE of Latin-1 is the same as
 * UTF-8.
 */
static void text_unpack(struct text_view *view, const struct text_view *digits,
			unsigned bits, size_t skip)
{
	const struct text_unit *unit;
	unsigned digit, held = 0, held_bits = 0;
	size_t i, seen = 0;

	view->n = 0;
	for (i = 0; i < digits->n; i++) {
		unit = &digits->units[i];
		digit = text_digit_of(unit->c, bits);
		if (digit >> bits) {
			if (view->n && text_last(view, 1)->c != TEXT_BREAK)
				text_push(view, TEXT_BREAK, unit->from,
					  unit->to);
			seen = 0;
			held_bits = 0;
			continue;
		}
		if (seen++ < skip)
			continue;
		held = held << bits | digit;
		held_bits += bits;
		if (held_bits < 8)
			continue;
		held_bits -= 8;
		/* It has bits of this digit and of the one before. */
		text_push(view, held >> held_bits & 0xff, unit[-1].from,
			  unit->to);
		text_undo(view);
	}
}

/*
 * Drops what differs by place: blanks and the "+" of forms become one blank,
 * repeated quotes (SQL, CSV) one.
 */
static void text_view_fold(struct text_view *view)
{
	struct text_unit *to = view->units, *unit = view->units;
	size_t i;

	for (i = 0; i < view->n; i++, unit++) {
		if (unit->c == '+' || text_blank(unit->c))
			unit->c = ' ';
		if (to > view->units && to[-1].c == unit->c && unit->c < 0x80 &&
		    strchr(" '\"", unit->c))
			to[-1].to = unit->to;
		else
			*to++ = *unit;
	}
	view->n = (size_t)(to - view->units);
}

/* ---- remembering secrets ---- */

#define TEXT_SECRET_MIN 4
/* A match of this many characters of a longer secret is not a coincidence. */
#define TEXT_PART_MIN 10
/*
 * Where a secret is looked for: at every seventh place of it, since each part
 * of TEXT_PART_MIN characters has the TEXT_SECRET_MIN that begin at such a
 * place.  From there it is compared in both directions, no further than that
 * part may reach.
 */
#define TEXT_ANCHOR_STEP (TEXT_PART_MIN - TEXT_SECRET_MIN + 1)
#define TEXT_REACH (TEXT_PART_MIN - TEXT_SECRET_MIN)
#define TEXT_LISTS 1024

struct text_needle;

struct text_anchor {
	struct text_anchor *next; /* in its list */
	const struct text_needle *needle;
	size_t at;
};

/* A secret as it is in one kind of view. */
struct text_needle {
	struct text_needle *next; /* of all */
	uint16_t *units;	  /* len; they stand behind the anchors */
	size_t len;
	struct text_anchor anchors[];
};

/* By the units at their place. */
static struct text_anchor *_Atomic text_anchors[TEXT_LISTS];
static struct text_needle *_Atomic text_needles;

/* Held while secrets are added; readers take no lock. */
static pthread_mutex_t text_adding = PTHREAD_MUTEX_INITIALIZER;

/* The list of what begins with these units. */
static struct text_anchor *_Atomic *text_list(unsigned a, unsigned b,
					      unsigned c, unsigned d)
{
	uint64_t key = (uint64_t)a << 48 | (uint64_t)b << 32 |
		       (uint64_t)c << 16 | d;

	return &text_anchors[key * 0x9e3779b97f4a7c15u >> 54];
}

/* Whether the secret goes on in both directions as far as is looked. */
static bool text_goes_on(const struct text_anchor *anchor)
{
	return anchor->at >= TEXT_REACH &&
	       anchor->needle->len - anchor->at >= TEXT_SECRET_MIN + TEXT_REACH;
}

/* Whether the list has an anchor already which finds all that this one would:
 * secrets that repeat themselves, or each other, take no more time. */
static bool text_is_anchored(const struct text_anchor *list,
			     const struct text_anchor *anchor)
{
	const size_t len = TEXT_REACH + TEXT_SECRET_MIN + TEXT_REACH;
	const uint16_t *units = anchor->needle->units + anchor->at;

	if (!text_goes_on(anchor))
		return false;
	for (; list; list = list->next)
		if (text_goes_on(list) &&
		    memcmp(list->needle->units + list->at - TEXT_REACH,
			   units - TEXT_REACH, len * sizeof(*units)) == 0)
			return true;
	return false;
}

static int text_remember(const struct text_view *view)
{
	struct text_anchor *_Atomic *list;
	const struct text_needle *known = text_needles;
	struct text_anchor *anchor;
	struct text_needle *needle;
	size_t i, anchors, bytes = view->n * sizeof(*needle->units);
	const uint16_t *at;

	if (view->n < TEXT_SECRET_MIN)
		return 0;
	anchors = (view->n - TEXT_SECRET_MIN) / TEXT_ANCHOR_STEP + 1;
	needle = malloc(sizeof(*needle) + anchors * sizeof(*anchor) + bytes);
	if (!needle)
		return -1;
	needle->units = (uint16_t *)(void *)(needle->anchors + anchors);
	needle->len = view->n;
	for (i = 0; i < view->n; i++)
		needle->units[i] = view->units[i].c;
	while (known && (known->len != needle->len ||
			 memcmp(known->units, needle->units, bytes) != 0))
		known = known->next;
	if (known) {
		explicit_bzero(needle->units, bytes);
		free(needle);
		return 0;
	}
	needle->next = text_needles;
	text_needles = needle;
	for (i = 0; i < anchors; i++) {
		anchor = &needle->anchors[i];
		anchor->needle = needle;
		anchor->at = i * TEXT_ANCHOR_STEP;
		at = needle->units + anchor->at;
		list = text_list(at[0], at[1], at[2], at[3]);
		if (text_is_anchored(*list, anchor))
			continue;
		anchor->next = *list;
		*list = anchor;
	}
	return 0;
}

int text_secret(const char *secret)
{
	struct text_view view = { .n = 0 };
	size_t len = strlen(secret);
	int bad;

	if (len < TEXT_SECRET_MIN)
		return 0;
	view.units = calloc(len, sizeof(*view.units));
	if (!view.units)
		return -1;
	pthread_mutex_lock(&text_adding);
	text_view(&view, secret, len, false);
	bad = text_remember(&view);
	text_view(&view, secret, len, true);
	text_view_fold(&view);
	if (text_remember(&view))
		bad = -1;
	pthread_mutex_unlock(&text_adding);
	explicit_bzero(view.units, len * sizeof(*view.units));
	free(view.units);
	return bad;
}

void text_forget_secrets(void)
{
	struct text_needle *needle;
	size_t i;

	for (i = 0; i < TEXT_LISTS; i++)
		text_anchors[i] = NULL;
	while ((needle = text_needles)) {
		text_needles = needle->next;
		explicit_bzero(needle->units,
			       needle->len * sizeof(*needle->units));
		free(needle);
	}
}

/* ---- hiding them ---- */

/* Marks the bytes of what is at `at` when it is a secret that has `anchor`
 * there, or enough of it. */
static void text_hide(bool *hidden, const struct text_view *view, size_t at,
		      const struct text_anchor *anchor)
{
	const struct text_needle *needle = anchor->needle;
	const uint16_t *wanted = needle->units + anchor->at;
	const struct text_unit *units = view->units + at;
	size_t before = 0, len = 0, i;

	while (len < TEXT_SECRET_MIN + TEXT_REACH && at + len < view->n &&
	       anchor->at + len < needle->len && units[len].c == wanted[len])
		len++;
	if (len < TEXT_SECRET_MIN)
		return;
	while (before < TEXT_REACH && before < at && before < anchor->at &&
	       (units - before - 1)->c == *(wanted - before - 1))
		before++;
	if (before + len < TEXT_PART_MIN && before + len < needle->len &&
	    /* its beginning, which is perhaps cut */
	    (before < anchor->at || at + len < view->n))
		return;
	for (i = (units - before)->from; i < units[len - 1].to; i++)
		hidden[i] = true;
}

static void text_look(bool *hidden, const struct text_view *view)
{
	const struct text_anchor *anchor;
	const struct text_unit *unit;
	size_t i;

	for (i = 0; i + TEXT_SECRET_MIN <= view->n; i++) {
		unit = &view->units[i];
		anchor = *text_list(unit[0].c, unit[1].c, unit[2].c, unit[3].c);
		for (; anchor; anchor = anchor->next)
			text_hide(hidden, view, i, anchor);
	}
}

/* Looks at every view of the text before it is changed, so that secrets which
 * overlap or contain each other are all hidden. */
void text_mask(char *text)
{
	struct text_unit units[TEXT_RAW_BYTES], unpacked[TEXT_RAW_BYTES];
	struct text_view view = { .units = units },
			 other = { .units = unpacked };
	bool hidden[TEXT_RAW_BYTES] = { false };
	size_t len = strlen(text), i;

	assert(len < TEXT_RAW_BYTES);
	if (!text_needles)
		return;
	text_view(&view, text, len, false);
	text_look(hidden, &view);
	text_view(&view, text, len, true);
	for (i = 0; i < 6; i++) {
		text_unpack(&other, &view, i < 4 ? 6 : 4, i % 4);
		text_view_fold(&other);
		text_look(hidden, &other);
	}
	text_view_fold(&view);
	text_look(hidden, &view);
	for (i = 0; i < len; i++)
		if (hidden[i])
			text[i] = '*';
}

#include "config.h"

#include "base/text_view.h"

#include <string.h>

/* Between two runs of digits; no unit of text is a noncharacter. */
#define TEXT_BREAK 0xffff
/* "&#x10ffff;" */
#define TEXT_ENTITY_UNITS 10

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

void text_view_bytes(struct text_view *view, const char *text, size_t len)
{
	size_t i;

	view->n = 0;
	for (i = 0; i < len; i++)
		text_push(view, (unsigned char)text[i], i, i + 1);
}

void text_view_undo(struct text_view *view, const char *text, size_t len)
{
	size_t i;

	view->n = 0;
	for (i = 0; i < len; i++) {
		text_push(view, (unsigned char)text[i], i, i + 1);
		text_undo(view);
	}
}

/* The value of a unit as a digit; all bits set for any other unit. */
static unsigned text_unpack_digit(unsigned c, unsigned bits)
{
	static const char base64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				     "abcdefghijklmnopqrstuvwxyz"
				     "0123456789+/-_";
	const char *at;

	if (bits == 4)
		return text_digit(c);
	at = c < 0x80 ? strchr(base64, (int)c) : NULL;
	/* The alphabet for URLs has "-" and "_" at its end. */
	return !at		  ? 64
	       : at - base64 < 64 ? (unsigned)(at - base64)
				  : (unsigned)(at - base64 - 2);
}

void text_view_unpack(struct text_view *view, const struct text_view *digits,
		      unsigned bits, size_t skip)
{
	const struct text_unit *unit;
	unsigned digit, held = 0, held_bits = 0;
	size_t i, seen = 0;

	view->n = 0;
	for (i = 0; i < digits->n; i++) {
		unit = &digits->units[i];
		digit = text_unpack_digit(unit->c, bits);
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

void text_view_fold(struct text_view *view)
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

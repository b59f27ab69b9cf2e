/*
 * text_view: a text as it was before it was escaped.
 *
 * Programs that repeat what they were told escape it: in a URL, in JSON, in
 * HTML, in SQL, as Python and JavaScript show strings, and some of these one
 * after the other.  A view undoes all of it, however often it was done: each
 * character that completes an escape replaces it, and may complete another
 * one.  The same secret looks the same then, whatever was done to it, when its
 * own characters that look like an escape are undone as well.
 *
 * Any thread may call; a view belongs to its caller.  Nothing can fail.
 */
#ifndef HEALTH_TEXT_VIEW_H
#define HEALTH_TEXT_VIEW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One unit of UTF-16, or a byte that is not UTF-8. */
struct text_unit {
	uint16_t c;
	uint16_t from, to; /* the bytes of the text that it stands for */
};

struct text_view {
	struct text_unit *units; /* the caller's, one for each byte of text */
	size_t n;
};

/*
 * Decodes one character (RFC 3629) from len > 0 bytes; returns how many bytes
 * it has, or 0 when they are not a valid character: overlong, a surrogate,
 * above U+10FFFF or incomplete.
 */
size_t text_decode(const unsigned char *from, size_t len, uint32_t *character);

/* Whether a character is white space. */
bool text_blank(uint32_t c);

/* Views len bytes, as they are. */
void text_view_bytes(struct text_view *view, const char *text, size_t len);

/* Views len bytes with all escapes undone. */
void text_view_undo(struct text_view *view, const char *text, size_t len);

/*
 * Views what is left when the units of another view are taken for digits of
 * `bits` bits, 4 (hexadecimal) or 6 (base64, RFC 4648, both alphabets).  The
 * first `skip` digits of each run are left out, since a byte may begin at any.
 * Escapes in it are undone, and NUL dropped: UTF-16LE of Latin-1 is the same as
 * UTF-8.
 */
void text_view_unpack(struct text_view *view, const struct text_view *digits,
		      unsigned bits, size_t skip);

/*
 * Drops what differs by place: blanks and the "+" of forms become one blank,
 * repeated quotes (SQL, CSV) one.
 */
void text_view_fold(struct text_view *view);

#endif

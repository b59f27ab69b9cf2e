/*
 * text: short strings that came from outside, made safe to show.
 *
 * Everything that a peer, a driver, a file or a web server said passes
 * through text_clean() before it reaches a log line or a body: it is cut,
 * control bytes are escaped and invalid UTF-8 (RFC 3629) is replaced.
 * Registered secrets are masked by text_mask(), and before that: what was cut
 * or changed is not recognised any more.  text_show() does both.
 *
 * Any thread may call, except text_forget_secrets(): call it at the end of the
 * program, when no thread masks texts any more.
 */
#ifndef HEALTH_TEXT_H
#define HEALTH_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * Decodes one character (RFC 3629) from len > 0 bytes; returns how many bytes
 * it has, or 0 when they are not a valid character: overlong, a surrogate,
 * above U+10FFFF or incomplete.
 */
size_t text_decode(const unsigned char *from, size_t len, uint32_t *character);

/* Whether a character is white space. */
bool text_blank(uint32_t c);

/*
 * Copies at most the part of `from` (len bytes, need not be terminated) that
 * fits into `to` (size bytes, size > 0, always terminated) as valid UTF-8 on
 * one line.  Runs of white space become one blank, the ends are trimmed, other
 * control bytes become "\xNN".  A text that had to be cut ends in "...".
 */
void text_clean(char *to, size_t size, const char *from, size_t len);

/*
 * Remembers a secret, so that text_mask() can hide it.  Texts shorter than 4
 * bytes are ignored: hiding them would garble every line.  Out of memory is an
 * error: -1.
 */
int text_secret(const char *secret);

/* Whether a value that is not declared as a secret may be one: long, of letters
 * and digits, and not a path. */
bool text_looks_secret(const char *text, size_t len);

/* Overwrites and frees all remembered secrets. */
void text_forget_secrets(void);

/* Longer than any text that is shown, so that a secret is masked before a cut
 * can split it. */
#define TEXT_RAW_BYTES 4096

/*
 * Replaces each remembered secret in `text`, shorter than TEXT_RAW_BYTES, by
 * asterisks, in place, the length unchanged.  So is every part of a secret of
 * at least 10 characters; at the end of the text, which may have been cut, its
 * first 4.  Both are found as well when they were escaped, or
 * encoded in hexadecimal digits or base64, also as a part of something longer.
 * The time is bounded by the length of the text.
 */
void text_mask(char *text);

/* Masks and cleans, in this order; of a very long text only the beginning. */
void text_show(char *to, size_t size, const char *from);

/* The length without one newline at the end, "\n" or "\r\n". */
size_t text_line_len(const char *text, size_t len);

/*
 * Decodes the percent-encoding (RFC 3986, section 2.1) of len bytes, each once;
 * `to` holds len + 1 bytes and may be `from`.  A "%" that is not followed by
 * two hexadecimal digits, or by those of NUL, stays as it is; false when there
 * was one.
 */
bool text_unescape(char *to, const char *from, size_t len);

/* As text_show(), but what does not fit is cut out of the middle: of an error
 * message the end may say most. */
void text_show_ends(char *to, size_t size, const char *from);

/*
 * The word of `words` (NULL-terminated) that a person most likely meant by
 * `word`, or NULL when none is near.  Borrowed from `words`.
 */
const char *text_nearest(const char *word, const char *const words[]);

/*
 * The length of a host name without the dot at its end.  The dot says that no
 * search domain is added to the name: only the look-up needs it, certificates
 * and servers know the name without.
 */
static inline size_t text_undotted(const char *host)
{
	size_t len = strlen(host);

	return len > 1 && host[len - 1] == '.' ? len - 1 : len;
}

#endif

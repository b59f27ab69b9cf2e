#include "config.h"

#include "kinds/http/http_number.h"

#include <stdlib.h>
#include <string.h>

#define HTTP_EXPONENT_DIGITS 6

/* ---- where it stands ---- */

/* Counts the numbers of a tree before this one, in the order of the text. */
static bool http_number_count(const cJSON *value, const cJSON *number,
			      size_t *before)
{
	for (; value; value = value->next) {
		if (value == number)
			return true;
		if (cJSON_IsNumber(value))
			++*before;
		if (http_number_count(value->child, number, before))
			return true;
	}
	return false;
}

const char *http_number_skip_string(const char *at)
{
	for (at++; *at && *at != '"'; at++)
		if (*at == '\\' && at[1])
			at++;
	return *at ? at + 1 : at;
}

const char *http_number_text(const cJSON *json, const cJSON *number,
			     const char *body, size_t *len)
{
	size_t before = 0;

	http_number_count(json, number, &before);
	for (;;) {
		body += strcspn(body, "\"-0123456789");
		*len = strspn(body, "-+.eE0123456789");
		if (*body == '"')
			body = http_number_skip_string(body);
		else if (!*body || !before--)
			return body;
		else
			body += *len;
	}
}

/* ---- what it is ---- */

/* 0.0012 and 12e-4: the digits "12", the first of which counts 10^-3. */
struct http_number {
	bool negative;
	const char *digits; /* from the first to the last that is not 0 */
	size_t len;	    /* the point may stand among them */
	long power;
};

static size_t http_number_digits(const char *at, const char *end)
{
	const char *from = at;

	while (at < end && *at >= '0' && *at <= '9')
		at++;
	return (size_t)(at - from);
}

/* [e[+-]digits] up to the end */
static bool http_number_exponent(const char *at, const char *end, long *value)
{
	bool negative;
	size_t n;

	*value = 0;
	if (at == end)
		return true;
	if (*at != 'e' && *at != 'E')
		return false;
	at++;
	negative = at < end && *at == '-';
	if (at < end && (*at == '-' || *at == '+'))
		at++;
	n = http_number_digits(at, end);
	if (!n || at + n != end)
		return false;
	for (; at < end && *at == '0'; at++)
		;
	if (end - at > HTTP_EXPONENT_DIGITS)
		return false;
	for (; at < end; at++)
		*value = *value * 10 + (*at - '0');
	if (negative)
		*value = -*value;
	return true;
}

/* RFC 8259 section 6 */
static bool http_number_parse(const char *at, size_t len,
			      struct http_number *number)
{
	const char *end = at + len, *mantissa_end;
	size_t whole, fraction = 0;

	number->negative = len && *at == '-';
	at += number->negative;
	whole = http_number_digits(at, end);
	mantissa_end = at + whole;
	if (!whole || (whole > 1 && *at == '0'))
		return false;
	if (mantissa_end < end && *mantissa_end == '.') {
		fraction = http_number_digits(mantissa_end + 1, end);
		if (!fraction)
			return false;
		mantissa_end += 1 + fraction;
	}
	if (!http_number_exponent(mantissa_end, end, &number->power))
		return false;
	number->power += (long)whole;
	for (; at < mantissa_end && (*at == '0' || *at == '.'); at++)
		number->power -= *at == '0';
	while (mantissa_end > at &&
	       (mantissa_end[-1] == '0' || mantissa_end[-1] == '.'))
		mantissa_end--;
	number->digits = at;
	number->len = (size_t)(mantissa_end - at);
	return true;
}

static bool http_number_same_digits(const struct http_number *one,
				    const struct http_number *two)
{
	size_t i = 0, j = 0;

	for (;; i++, j++) {
		i += i < one->len && one->digits[i] == '.';
		j += j < two->len && two->digits[j] == '.';
		if (i >= one->len || j >= two->len)
			return i >= one->len && j >= two->len;
		if (one->digits[i] != two->digits[j])
			return false;
	}
}

bool http_number_equal(const char *one, size_t one_len, const char *two,
		       size_t two_len)
{
	struct http_number first, second;

	if (!http_number_parse(one, one_len, &first) ||
	    !http_number_parse(two, two_len, &second))
		return false;
	if (!first.len || !second.len) /* -0 is 0, and so is 0e5 */
		return !first.len && !second.len;
	return first.negative == second.negative &&
	       first.power == second.power &&
	       http_number_same_digits(&first, &second);
}

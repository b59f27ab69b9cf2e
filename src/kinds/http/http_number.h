/*
 * http_number: numbers of a JSON text, compared digit by digit.
 *
 * cJSON keeps a number as a double, which has other digits than the text from
 * 2^53 on; so the text is compared, as a decimal number of any length.
 *
 * Pure; any thread.
 */
#ifndef HEALTH_HTTP_NUMBER_H
#define HEALTH_HTTP_NUMBER_H

#include <cjson/cJSON.h>

#include <stdbool.h>
#include <stddef.h>

/* The text of a number that is part of json, which was parsed from body;
 * borrowed from body. */
const char *http_number_text(const cJSON *json, const cJSON *number,
			     const char *body, size_t *len);

/* Behind the string of a JSON text that begins here. */
const char *http_number_skip_string(const char *at);

/* Whether both are the same number, however written: 100.0, 1e2.  false also
 * when one is not a number or its exponent has more than 6 digits. */
bool http_number_equal(const char *one, size_t one_len, const char *two,
		       size_t two_len);

#endif

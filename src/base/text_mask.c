#include "config.h"

#include "base/text.h"

#include "base/text_view.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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

/* ---- remembering secrets ---- */

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

static bool text_is_known(const struct text_view *view)
{
	const struct text_needle *needle;
	size_t i;

	for (needle = text_needles; needle; needle = needle->next) {
		for (i = 0; i < view->n && needle->len == view->n; i++)
			if (needle->units[i] != view->units[i].c)
				break;
		if (i == view->n)
			return true;
	}
	return false;
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
	struct text_anchor *anchor;
	struct text_needle *needle;
	size_t i, anchors;
	const uint16_t *at;

	if (view->n < TEXT_SECRET_MIN || text_is_known(view))
		return 0;
	anchors = (view->n - TEXT_SECRET_MIN) / TEXT_ANCHOR_STEP + 1;
	needle = malloc(sizeof(*needle) + anchors * sizeof(*anchor) +
			view->n * sizeof(*at));
	if (!needle)
		return -1;
	needle->units = (uint16_t *)(void *)(needle->anchors + anchors);
	needle->len = view->n;
	for (i = 0; i < view->n; i++)
		needle->units[i] = view->units[i].c;
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
	text_view_bytes(&view, secret, len);
	bad = text_remember(&view);
	text_view_undo(&view, secret, len);
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
	text_view_bytes(&view, text, len);
	text_look(hidden, &view);
	text_view_undo(&view, text, len);
	for (i = 0; i < 6; i++) {
		text_view_unpack(&other, &view, i < 4 ? 6 : 4, i % 4);
		text_view_fold(&other);
		text_look(hidden, &other);
	}
	text_view_fold(&view);
	text_look(hidden, &view);
	for (i = 0; i < len; i++)
		if (hidden[i])
			text[i] = '*';
}

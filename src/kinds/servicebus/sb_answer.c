#include "config.h"

#include "kinds/servicebus/sb_answer.h"

#include <proton/codec.h>

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* Sections of a message by the code that describes them. */
#define SB_SECTION_FIRST 0x70 /* header */
#define SB_SECTION_PROPERTIES 0x73
#define SB_SECTION_APPLICATION 0x74 /* the last one before the body */
#define SB_CORRELATION 5	    /* field of the properties */

/* ---- reading ---- */

void sb_copy_text(char *to, size_t size, pn_data_t *data)
{
	pn_type_t type = pn_data_type(data);
	pn_bytes_t text = { 0, "" };

	if (type == PN_STRING || type == PN_SYMBOL)
		text = pn_data_get_bytes(data);
	snprintf(to, size, "%.*s",
		 (int)(text.size < size ? text.size : size - 1), text.start);
}

static void sb_read_properties(struct sb_answer *answer, pn_data_t *data)
{
	int field;

	if (pn_data_type(data) != PN_LIST)
		return;
	pn_data_enter(data);
	for (field = 0; field <= SB_CORRELATION; field++)
		if (!pn_data_next(data))
			return;
	sb_copy_text(answer->correlation, sizeof(answer->correlation), data);
}

static int sb_number(pn_data_t *data)
{
	switch (pn_data_type(data)) {
	case PN_INT:
		return pn_data_get_int(data);
	case PN_UINT:
		return (int)pn_data_get_uint(data);
	case PN_LONG:
		return (int)pn_data_get_long(data);
	case PN_ULONG:
		return (int)pn_data_get_ulong(data);
	case PN_USHORT:
		return pn_data_get_ushort(data);
	case PN_SHORT:
		return pn_data_get_short(data);
	default:
		return 0;
	}
}

/* Services use both spellings, even side by side. */
static bool sb_is(const char *name, const char *one, const char *other)
{
	return strcmp(name, one) == 0 || strcmp(name, other) == 0;
}

static void sb_read_application(struct sb_answer *answer, pn_data_t *data)
{
	char name[32];

	if (pn_data_type(data) != PN_MAP)
		return;
	pn_data_enter(data);
	while (pn_data_next(data)) {
		sb_copy_text(name, sizeof(name), data);
		if (!pn_data_next(data))
			return;
		if (sb_is(name, "statusCode", "status-code"))
			answer->status = sb_number(data);
		else if (sb_is(name, "errorCondition", "error-condition"))
			sb_copy_text(answer->condition,
				     sizeof(answer->condition), data);
		else if (sb_is(name, "statusDescription", "status-description"))
			sb_copy_text(answer->detail, sizeof(answer->detail),
				     data);
	}
}

/* The type of the section that begins at head, without decoding it: it may be
 * an incomplete body.  -1: not a section of a message. */
static int sb_section(const char *head, size_t len)
{
	static const char small[] = { 0x00, 0x53 };
	static const char large[] = { 0x00, (char)0x80, 0, 0, 0, 0, 0, 0, 0 };

	if (len > sizeof(small) && memcmp(head, small, sizeof(small)) == 0)
		return (unsigned char)head[sizeof(small)];
	if (len > sizeof(large) && memcmp(head, large, sizeof(large)) == 0)
		return (unsigned char)head[sizeof(large)];
	return -1;
}

/* Reads one section; returns its length, or 0 when it is malformed. */
static size_t sb_read_section(struct sb_answer *answer, pn_data_t *data,
			      int section, const char *head, size_t len)
{
	ssize_t used;

	pn_data_clear(data);
	used = pn_data_decode(data, head, len);
	if (used <= 0)
		return 0;
	pn_data_rewind(data);
	if (!pn_data_next(data) || pn_data_type(data) != PN_DESCRIBED)
		return 0;
	pn_data_enter(data);
	pn_data_next(data); /* the descriptor, known already */
	if (!pn_data_next(data))
		return 0;
	if (section == SB_SECTION_PROPERTIES)
		sb_read_properties(answer, data);
	else if (section == SB_SECTION_APPLICATION)
		sb_read_application(answer, data);
	return (size_t)used;
}

bool sb_answer_read(struct sb_answer *answer, const char *head, size_t len)
{
	pn_data_t *data = pn_data(16);
	size_t used = data ? 1 : 0;
	int section;

	memset(answer, 0, sizeof(*answer));
	while (used > 0) {
		section = sb_section(head, len);
		if (section < SB_SECTION_FIRST ||
		    section > SB_SECTION_APPLICATION)
			break;
		used = sb_read_section(answer, data, section, head, len);
		head += used;
		len -= used;
	}
	pn_data_free(data);
	return answer->status > 0;
}

/* ---- judging ---- */

struct sb_verdict sb_condition_judge(const char *condition)
{
	/* AMQP 1.0 part 2 section 2.8, and Microsoft's own. */
	static const struct {
		const char *condition;
		struct sb_verdict verdict;
	} table[] = {
		{ "amqp:unauthorized-access",
		  { RESULT_AUTH, "access refused" } },
		{ "com.microsoft:auth-failed",
		  { RESULT_AUTH, "authentication failed" } },
		{ "amqp:not-found",
		  { RESULT_MISSING, "no such queue, topic or subscription" } },
		{ "com.microsoft:server-busy",
		  { RESULT_THROTTLED, "throttled" } },
		{ "amqp:resource-limit-exceeded",
		  { RESULT_BUSY, "a limit of the service is exceeded" } },
		{ "com.microsoft:entity-disabled",
		  { RESULT_BUSY, "the entity is disabled" } },
		{ "amqp:connection:forced",
		  { RESULT_CONNECT, "connection closed by the peer" } },
		{ "amqp:link:detach-forced",
		  { RESULT_CONNECT, "link closed by the peer" } },
		{ "com.microsoft:timeout",
		  { RESULT_UPSTREAM, "the service reports a timeout" } },
		{ "amqp:internal-error",
		  { RESULT_UPSTREAM, "the service reports an error" } },
		{ "amqp:connection:framing-error",
		  { RESULT_PROTOCOL, "answer is not AMQP" } },
		{ "amqp:decode-error",
		  { RESULT_PROTOCOL, "answer is not AMQP" } },
		{ "amqp:invalid-field",
		  { RESULT_PROTOCOL, "answer is not AMQP" } },
		{ "amqp:session:invalid-field",
		  { RESULT_PROTOCOL, "answer is not AMQP" } },
	};
	size_t i;

	if (!condition || !*condition)
		return (struct sb_verdict){ RESULT_CONNECT,
					    "connection closed by the peer" };
	for (i = 0; i < sizeof(table) / sizeof(*table); i++)
		if (strcmp(condition, table[i].condition) == 0)
			return table[i].verdict;
	return (struct sb_verdict){ RESULT_UPSTREAM,
				    "the service reports an error" };
}

struct sb_verdict sb_answer_judge(const struct sb_answer *answer)
{
	struct sb_verdict verdict = { RESULT_OK, "" };

	if (strcmp(answer->condition, "com.microsoft:server-busy") == 0)
		return sb_condition_judge(answer->condition);
	/* An empty queue is healthy. */
	if (strcmp(answer->condition, "com.microsoft:message-not-found") == 0 &&
	    answer->status == 404)
		return verdict;
	switch (answer->status) {
	case 200:
	case 202:
	case 204:
		return verdict;
	case 401:
	case 403:
		return sb_condition_judge("amqp:unauthorized-access");
	case 404:
	case 410:
		return sb_condition_judge("amqp:not-found");
	case 429:
		return sb_condition_judge("com.microsoft:server-busy");
	case 503:
		return (struct sb_verdict){ RESULT_BUSY,
					    "the service is busy" };
	default:
		return sb_condition_judge(*answer->condition
						  ? answer->condition
						  : "amqp:internal-error");
	}
}

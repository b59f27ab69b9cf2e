#include "config.h"

#include "kinds/servicebus/sb_link_own.h"

#include "kinds/servicebus/sb_conf.h"

#include <proton/sasl.h>
#include <proton/transport.h>

#include <stdio.h>
#include <string.h>

/* The log masks keys, but not what is signed with them: a peer that repeats a
 * token is not quoted. */
void sb_link_note(struct sb_link *link, const char *detail)
{
	if (!detail || strstr(detail, "sig="))
		detail = "";
	snprintf(link->outcome.detail, sizeof(link->outcome.detail), "%s",
		 detail);
}

void sb_link_fail(struct sb_link *link, enum result_code code,
		  const char *words)
{
	if (link->state == SB_FAILED)
		return;
	link->state = SB_FAILED;
	link->outcome.code = code;
	link->outcome.words = words;
}

void sb_link_answered(struct sb_link *link, enum result_code code,
		      const char *words)
{
	if (link->state != SB_ASKING)
		return;
	link->state = SB_ANSWERED;
	link->outcome.code = code;
	link->outcome.words = words;
}

/* A refusal means another thing at each step. */
static const char *sb_refusal(const struct sb_link *link)
{
	if (link->phase < SB_PHASE_NODE)
		return "authentication failed";
	return link->conf->right == SB_RIGHT_SEND ? "no right to send"
						  : "no right to listen";
}

void sb_link_fail_verdict(struct sb_link *link, struct sb_verdict verdict)
{
	sb_link_fail(link, verdict.code,
		     verdict.code == RESULT_AUTH ? sb_refusal(link)
						 : verdict.words);
}

void sb_link_fail_condition(struct sb_link *link, pn_condition_t *condition)
{
	if (link->state == SB_FAILED)
		return;
	sb_link_note(link, pn_condition_get_description(condition));
	sb_link_fail_verdict(
		link, sb_condition_judge(pn_condition_get_name(condition)));
}

static void sb_fail_login(struct sb_link *link)
{
	pn_sasl_t *sasl = pn_sasl(link->driver.transport);

	if (pn_sasl_outcome(sasl) == PN_SASL_AUTH)
		sb_link_fail(link, RESULT_AUTH, "authentication failed");
	else if (!pn_sasl_get_mech(sasl))
		sb_link_fail(link, RESULT_PROTOCOL, "no common way to log in");
	else
		sb_link_fail(link, RESULT_UPSTREAM,
			     "the service reports an error");
}

void sb_link_fail_transport(struct sb_link *link)
{
	pn_condition_t *condition = pn_transport_condition(
		link->driver.transport);
	const char *name = pn_condition_get_name(condition);

	if (link->state == SB_FAILED)
		return;
	sb_link_note(link, pn_condition_get_description(condition));
	if (!name)
		name = "";
	if (link->phase == SB_PHASE_LOGIN &&
	    strcmp(name, "amqp:unauthorized-access") == 0)
		sb_fail_login(link);
	else if (strcmp(name, "amqp:resource-limit-exceeded") == 0)
		sb_link_fail(link, RESULT_CONNECT, "nothing heard for long");
	else
		sb_link_fail_verdict(link, sb_condition_judge(name));
}

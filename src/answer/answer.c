#include "config.h"

#include "answer/answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "answer/render.h"

struct board_view *service_view(const struct service *service)
{
	size_t n = service->plan->n;
	struct board_view *view;

	view = calloc(1, sizeof(*view) + n * sizeof(*view->results) +
				 n * sizeof(*view->latched) +
				 n * sizeof(*view->late));
	if (!view)
		return NULL;
	view->results = (struct result *)(view + 1);
	view->latched = (bool *)(view->results + n);
	view->late = view->latched + n;
	return view;
}

static bool service_trusts(const struct plan *plan, const char *remote_addr)
{
	size_t i;

	for (i = 0; remote_addr && i < plan->n_trusted; i++)
		if (cidr_contains(&plan->trusted[i], remote_addr))
			return true;
	return false;
}

void answer_begin(const struct service *service,
		  const struct route_request *request, const char *remote_addr,
		  struct pending *pending)
{
	const struct route *route = &pending->route;

	pending->route = route_find(service->plan, request);
	pending->trusted = service_trusts(service->plan, remote_addr);
	/* Without a configuration no check is asked, and no request waits. */
	pending->question = (struct board_question){
		.probe = route->error || service->plan->broken ? PROBE_LIVE
							       : route->probe,
		.check = route->check,
		.asked_us = clock_us(),
	};
	pending->until_ms = pending->question.asked_us / 1000 +
			    service->plan->answer_within_ms;
}

bool answer_ask(const struct service *service, const struct pending *pending,
		enum answer_how how, struct board_view *view)
{
	if (how == ANSWER_IF_KNOWN)
		return board_ask(service->board, &pending->question, view);
	board_look(service->board, &pending->question, view);
	return true;
}

static void response_fill(struct response *response, const char *body,
			  const struct route *route)
{
	char head[RENDER_HEAD_BYTES];
	int len;

	if (route->options)
		body = "";
	response->head_len = render_head(
		head, sizeof(head),
		&(struct render_head){
			.http = response->http,
			.content_length = strlen(body),
			.allow = route->options || response->http == 405,
		});
	len = asprintf(&response->text, "%s%s", head, route->head ? "" : body);
	response->len = (size_t)len;
	if (len < 0)
		response->text = NULL;
}

void answer_render(const struct service *service, const struct pending *pending,
		   enum answer_how how, struct board_view *view,
		   struct response *response)
{
	struct verdict verdict = verdict_make(&(struct verdict_input){
		.route = &pending->route,
		.plan = service->plan,
		.view = view,
		.asked_us = pending->question.asked_us,
		.out_of_time = how == ANSWER_NOW,
		.busy = how == ANSWER_BUSY,
	});
	char *body = render_body(&(struct render_input){
		.verdict = &verdict,
		.plan = service->plan,
		.view = view,
		.asked_us = pending->question.asked_us,
		.trusted = pending->trusted,
	});

	response->http = verdict.http;
	response->text = NULL;
	if (body)
		response_fill(response, body, &pending->route);
	free(body);
}

const char *response_no_memory(void)
{
	return "Status: 503 Service Unavailable\r\n"
	       "Content-Type: application/json\r\n"
	       "Cache-Control: no-store\r\n"
	       "Retry-After: 5\r\n"
	       "Content-Length: 26\r\n\r\n"
	       "{\"error\":\"out of memory\"}\n";
}

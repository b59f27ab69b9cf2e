/*
 * answer: from a request to the bytes of its response, the same for FastCGI,
 * CGI and the command line.
 *
 *	answer_begin()	routes it: what is asked, and until when to answer
 *	answer_ask()	asks the board; false: it must wait, ask again when the
 *			board has news, or when the time is up
 *	answer_render()	judges and writes what the board said
 *
 * The service is read-only and shared by all threads; a view is scratch memory,
 * one for each thread.
 *
 * answer/ is for the way from a path to an answer.  It knows the board, and no
 * connection.
 */
#ifndef HEALTH_ANSWER_H
#define HEALTH_ANSWER_H

#include "board/board.h"
#include "board/plan.h"
#include "answer/route.h"

/* Borrowed.  The plan is that of the board. */
struct service {
	const struct plan *plan;
	struct board *board;
};

/* NULL when out of memory; free with free(). */
struct board_view *service_view(const struct service *service);

struct pending {
	struct route route;
	bool trusted; /* the caller may be shown details */
	struct board_question question;
	int64_t until_ms; /* answer by then, on clock_ms() */
};

/* remote_addr: the address of the caller (REMOTE_ADDR); may be NULL. */
void answer_begin(const struct service *service,
		  const struct route_request *request, const char *remote_addr,
		  struct pending *pending);

enum answer_how {
	ANSWER_IF_KNOWN, /* false when something is missing: it is then wanted
			  */
	ANSWER_NOW,	 /* the time is up: what is missing counts as failed */
	ANSWER_BUSY	 /* no room to let it wait */
};

struct response {
	int http;
	char *text;	 /* head and body; owned by the receiver (free) */
	size_t len;	 /* of both */
	size_t head_len; /* the body begins here */
};

/* Fills the view; false only with ANSWER_IF_KNOWN.  Cheap. */
bool answer_ask(const struct service *service, const struct pending *pending,
		enum answer_how how, struct board_view *view);

/* From the view that answer_ask() filled, with the same `how`.  response->text
 * is NULL when there was no memory: use response_no_memory() then. */
void answer_render(const struct service *service, const struct pending *pending,
		   enum answer_how how, struct board_view *view,
		   struct response *response);

/* What to send without memory for anything else; static. */
const char *response_no_memory(void);

#endif

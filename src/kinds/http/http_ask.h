/*
 * http_ask: one HTTP question on a conn, asked with libcurl; what the kinds
 * that speak HTTP (http, openai, azure-openai) have in common.
 *
 * A question is part of the kind's settings, complete after prepare() and
 * read-only from then on.  The state of asking it (struct http_ask) is what
 * such a kind has per connection.
 *
 * Connecting, TLS, one request and the whole answer are one transfer, so
 * open() asks, too, always on a new connection; ask() repeats the question on
 * one that libcurl has kept warm.  dial looks names up and connects; libcurl,
 * whose own resolver would block the thread, is given address and socket.
 *
 * http_question_*(): as prepare() and dispose() in check.h; the rest belongs to
 * the main thread of a worker.
 */
#ifndef HEALTH_HTTP_ASK_H
#define HEALTH_HTTP_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "check/check.h"
#include "io/curlio.h"
#include "kinds/http/http_intake.h"
#include "io/loop.h"

struct stream;

struct http_answer {
	long status;
	const char *body; /* terminated; borrowed during judge() */
	size_t len;
	bool cut;		/* the body was longer than max_body */
	const char *unreadable; /* why there is no body; NULL: it is there */
};

struct http_question {
	/* Set by the kind; strings are borrowed from its settings. */
	bool head;	       /* HEAD instead of GET */
	bool follow;	       /* follow redirects that stay on the same host */
	const char *unix_path; /* NULL: TCP */
	const char *user;      /* NULL: no basic authentication */
	const char *password;
	size_t max_body;
	/* Looks at a whole answer and ends in http_ask_answered(),
	 * http_ask_refuse() or http_ask_another(). */
	void (*judge)(struct conn *conn, const struct http_answer *answer);
	/*
	 * Whether judge() needs nothing more of the answer, whose body is new
	 * from this byte on; also called at the end of the header.  NULL: it
	 * needs the whole answer.
	 */
	bool (*enough)(const struct conn *conn,
		       const struct http_answer *answer, size_t from);

	/* Set by the functions below and owned. */
	char *url;
	char server[560]; /* that is contacted: "host port N"; a proxy's name
			     is followed by the server's */
	char host[257];	  /* to look up, of the proxy if there is one; "":
			     the address is numeric */
	uint16_t port;	  /* of the same */
	char place[272];  /* host and port for CURLOPT_RESOLVE */
	bool loopback;	  /* that host is this machine */
	char *proxy;	  /* NULL: none */
	struct curl_slist *headers;
	char *ca;
	size_t ca_len;
};

/* Takes the URL of the page, and then that of a proxy, http://HOST:PORT; NULL,
 * or what is wrong with it (static). */
const char *http_question_url(struct http_question *question, const char *url,
			      bool proxy);
/* Takes these settings and reports what is wrong with them; "": not set; url
 * NULL: out of memory. */
void http_question_prepare(struct http_question *question, struct conf *conf,
			   const struct conf_section *section,
			   const char *url_key, const char *url,
			   const char *proxy, const char *ca_file);
/* Adds the header line "Name: value", which is a prefix and a value, and
 * reports what is wrong with it.  After a prefix, "" adds nothing. */
void http_question_header(struct http_question *question, struct conf *conf,
			  const struct conf_section *section, const char *key,
			  const char *prefix, const char *value);
/* Adds `Accept-Encoding`, unless there is one. */
void http_question_accept(struct http_question *question, struct conf *conf,
			  const struct conf_section *section);
void http_question_dispose(struct http_question *question);

/* A URL, for curl_url_cleanup(); NULL: it cannot be parsed, or no memory. */
CURLU *http_url_parse(const char *url);
/* A part of a URL, for free(); NULL: it has none, or no memory. */
char *http_url_part(CURLU *url, CURLUPart part, unsigned flags);
/* Whether scheme, host and port are the same (RFC 6454); also false when one
 * is invalid, or out of memory. */
bool http_url_same_origin(const char *one, const char *two);

/* State per connection; private to http_ask.c, except `another`, which judge()
 * may read; zeroed: closed. */
struct http_ask {
	struct conn *conn;
	const struct http_question *question;
	CURL *easy;
	struct curlio_transfer transfer;
	struct stream *dialled;	      /* until libcurl takes it */
	struct curl_slist *addresses; /* for CURLOPT_RESOLVE */
	struct loop_timer rest; /* ends the wait for what does not matter */
	bool kept;		/* asked on a connection from an earlier run */
	bool another;		/* the answer is to http_ask_another() */
	int redirects;
	struct ssl_ctx_st *tls; /* of the connection; counted; NULL: no TLS */
	struct failure suspect; /* what OpenSSL says of its certificate */
	size_t max_body;	/* of the transfer under way */
	struct http_intake intake;
	char error[CURL_ERROR_SIZE]; /* what libcurl said */
};

/* Opens a connection and asks, or asks again on the one that is open: both
 * open() and ask() of a kind, whose conn_state() is a struct http_ask. */
void http_ask_start(struct conn *conn, const struct http_question *question);
/* The other functions of such a kind. */
void http_ask_close(struct conn *conn);
const char *http_ask_step(const struct conn *conn);

/*
 * In judge(), which each of these ends.
 */
/* conn_answered(); unless the code is RESULT_OK, with a detail: the server and
 * what it said ("": nothing). */
void http_ask_answered(struct conn *conn, enum result_code code,
		       const char *words, const char *said);
/* ... with the code and words of an unexpected HTTP status. */
void http_ask_refuse(struct conn *conn, const struct http_answer *answer);
/* Asks for another URL of the same host, on the same connection, before the
 * same deadline. */
void http_ask_another(struct conn *conn, const char *url, size_t max_body);

#endif

#include "config.h"

#include "io/curlio.h"

#include <assert.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/log.h"
#include "io/loop.h"

/* A connection older than this is not used again: an answer on a warm one does
 * not prove that new ones can be opened, nor that the name still has the same
 * address. */
#define CURLIO_LIFETIME_S 300L

struct curlio {
	struct loop *loop;
	long connections;
	CURLM *multi; /* NULL until the first handle is needed */
	int running;  /* transfers started and not yet reported or cancelled */
	struct loop_timer timer;
	struct loop_timer ended; /* reports what ended while it was started */
};

/* A socket that libcurl wants to have watched. */
struct curlio_socket {
	struct curlio *curlio;
	curl_socket_t fd;
	short events;
	struct loop_watch watch;
};

/* Reports what has ended; no function of libcurl is on the stack here. */
static void curlio_report(void *arg)
{
	struct curlio *curlio = arg;
	CURLMsg *message;
	int left;

	while ((message = curl_multi_info_read(curlio->multi, &left))) {
		struct curlio_transfer *transfer = NULL;
		CURLcode code = message->data.result;

		if (message->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
				  &transfer);
		/* Removing the handle frees the message. */
		curlio_cancel(curlio, transfer);
		loop_own(curlio->loop, transfer->owner);
		transfer->on_done(transfer->arg, code);
	}
}

static void curlio_act(struct curlio *curlio, curl_socket_t fd, int what)
{
	int running;

	curl_multi_socket_action(curlio->multi, fd, what, &running);
	curlio_report(curlio);
}

static void curlio_on_io(void *arg, short revents)
{
	/* libcurl may free this socket's record; it is not used afterwards. */
	struct curlio_socket *sock = arg;
	int what = 0;

	/* CURL_CSELECT_ERR makes libcurl give up with "select/poll returned
	 * error"; reading or writing tells it which error it is. */
	if (revents & (POLLERR | POLLHUP))
		revents |= sock->events;
	if (revents & POLLIN)
		what |= CURL_CSELECT_IN;
	if (revents & POLLOUT)
		what |= CURL_CSELECT_OUT;
	if (revents & POLLNVAL)
		what |= CURL_CSELECT_ERR;
	curlio_act(sock->curlio, sock->fd, what);
}

static void curlio_on_time(void *arg)
{
	curlio_act(arg, CURL_SOCKET_TIMEOUT, 0);
}

/* CURLMOPT_TIMERFUNCTION: must not call libcurl, so even 0 ms is a timer. */
static int curlio_set_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct curlio *curlio = arg;

	(void)multi;
	if (timeout_ms < 0)
		loop_timer_clear(curlio->loop, &curlio->timer);
	else
		loop_timer_in(curlio->loop, &curlio->timer, timeout_ms);
	return 0;
}

static struct curlio_socket *curlio_socket_create(struct curlio *curlio,
						  curl_socket_t fd)
{
	struct curlio_socket *sock = calloc(1, sizeof(*sock));

	if (!sock)
		return NULL;
	sock->curlio = curlio;
	sock->fd = fd;
	sock->watch.on_io = curlio_on_io;
	sock->watch.arg = sock;
	curl_multi_assign(curlio->multi, fd, sock);
	return sock;
}

/*
 * CURLMOPT_SOCKETFUNCTION.  Always 0: after an error libcurl refuses all
 * further transfers.  If there is no memory to watch a socket, its check ends
 * at its deadline.
 */
static int curlio_set_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
			     void *of_socket)
{
	struct curlio *curlio = arg;
	struct curlio_socket *sock = of_socket;
	struct curlio_transfer *transfer = NULL;

	if (what == CURL_POLL_REMOVE) {
		if (sock) {
			loop_watch_clear(curlio->loop, &sock->watch);
			curl_multi_assign(curlio->multi, fd, NULL);
			free(sock);
		}
		return 0;
	}
	if (!sock)
		sock = curlio_socket_create(curlio, fd);
	if (sock)
		sock->events = (short)((what & CURL_POLL_IN ? POLLIN : 0) |
				       (what & CURL_POLL_OUT ? POLLOUT : 0));
	if (!sock ||
	    loop_watch_set(curlio->loop, &sock->watch, fd, sock->events))
		log_err("out of memory for an HTTP connection");
	/* One call of libcurl may serve several transfers. */
	curl_easy_getinfo(easy, CURLINFO_PRIVATE, &transfer);
	if (sock && transfer)
		loop_watch_own(&sock->watch, transfer->owner);
	return 0;
}

struct curlio *curlio_create(struct loop *loop, long connections)
{
	struct curlio *curlio = calloc(1, sizeof(*curlio));

	if (!curlio)
		return NULL;
	curlio->loop = loop;
	curlio->connections = connections;
	curlio->timer.on_time = curlio_on_time;
	curlio->timer.arg = curlio;
	curlio->ended.on_time = curlio_report;
	curlio->ended.arg = curlio;
	return curlio;
}

void curlio_destroy(struct curlio *curlio)
{
	if (!curlio)
		return;
	if (curlio->multi) {
		curl_multi_cleanup(curlio->multi);
		curl_global_cleanup();
	}
	loop_timer_clear(curlio->loop, &curlio->timer);
	loop_timer_clear(curlio->loop, &curlio->ended);
	free(curlio);
}

static int curlio_begin(struct curlio *curlio)
{
	CURLM *multi;

	if (curlio->multi)
		return 0;
	if (curl_global_init(CURL_GLOBAL_DEFAULT))
		return -1;
	curlio->multi = multi = curl_multi_init();
	if (!multi) {
		curl_global_cleanup();
		return -1;
	}
	/* If fewer than the checks, every round would open new connections. */
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, curlio->connections);
	curl_multi_setopt(multi, CURLMOPT_PIPELINING, CURLPIPE_NOTHING);
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, curlio_set_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, curlio);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, curlio_set_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, curlio);
	return 0;
}

/* Settings without which libcurl would block, leave the configured path or
 * prove less than it seems. */
static int curlio_configure(CURL *easy)
{
	int bad = 0;

#define SET(option, value) bad |= curl_easy_setopt(easy, option, value)
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	/* NULL would mean the environment's proxy. */
	SET(CURLOPT_PROXY, "");
	SET(CURLOPT_NOPROXY, "");
	/* With a CAPATH, libcurl loads the CA bundle at every handshake
	 * (18 ms) instead of sharing one copy. */
	SET(CURLOPT_CAPATH, NULL);
	/* A resumed TLS session shows no certificate: one that has expired
	 * since then would go unnoticed. */
	SET(CURLOPT_SSL_SESSIONID_CACHE, 0L);
	SET(CURLOPT_MAXLIFETIME_CONN, CURLIO_LIFETIME_S);
	SET(CURLOPT_USERAGENT, "health.fcgi");
#undef SET
	return bad ? -1 : 0;
}

CURL *curlio_handle(struct curlio *curlio)
{
	CURL *easy;

	if (curlio_begin(curlio))
		return NULL;
	easy = curl_easy_init();
	if (easy && curlio_configure(easy)) {
		curl_easy_cleanup(easy);
		return NULL;
	}
	return easy;
}

int curlio_start(struct curlio *curlio, struct curlio_transfer *transfer,
		 CURL *easy)
{
	int running;

	assert(!transfer->running);
	if (curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer) ||
	    curl_multi_add_handle(curlio->multi, easy))
		return -1;
	transfer->easy = easy;
	transfer->running = 1;
	transfer->owner = loop_owner(curlio->loop);
	curlio->running++;
	/* At once, so that the request is sent together with those of other
	 * checks; the timer that libcurl sets would fire a turn later. */
	curl_multi_socket_action(curlio->multi, CURL_SOCKET_TIMEOUT, 0,
				 &running);
	if (running < curlio->running)
		loop_timer_in(curlio->loop, &curlio->ended, 0);
	return 0;
}

void curlio_cancel(struct curlio *curlio, struct curlio_transfer *transfer)
{
	if (!transfer->running)
		return;
	transfer->running = 0;
	curlio->running--;
	curl_multi_remove_handle(curlio->multi, transfer->easy);
}

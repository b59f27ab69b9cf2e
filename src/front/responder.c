#include "config.h"

#include "front/responder.h"

#include <errno.h>
#include <fcgiapp.h>
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "answer/answer.h"
#include "base/clock.h"
#include "front/gate.h"
#include "base/log.h"
#include "base/ratelimit.h"
#include "answer/route.h"
#include "io/wire.h"

/* A thread looks after new requests again after so many parked ones, so that
 * liveness is never behind a thousand answers. */
#define RESPONDER_BATCH 8
/* After so many were parked, memory goes back to the system, but not more often
 * than this. */
#define RESPONDER_CROWD 256
#define RESPONDER_TRIM_MS 1000
/* What libfcgi allocates to take a request in: its buffers, its bytes, and for
 * each parameter the smallest block of malloc(3) and a place in a list that
 * doubles by being copied. */
#define RESPONDER_BUFFERS_BYTES (32 * 1024)
#define RESPONDER_PARAM_BYTES 64
/* Memory that waiting requests may take together; beyond this, as beyond
 * max_waiting. */
#define RESPONDER_WAITING_BYTES (32 * 1024 * 1024)
/* Every socket has room for an answer of this size, while the peer reads. */
#define RESPONDER_DIRECT_BYTES 8000
/* Descriptors that connections must leave to checks, and to all else. */
#define RESPONDER_FILES_PER_CHECK 4
#define RESPONDER_FILES 32
/* While stopping, how often a thread looks whether it may end. */
#define RESPONDER_STOP_LOOK_MS 10

/* One request from its reading to its answer.  libfcgi's streams point into
 * the FCGX_Request, so it never moves. */
struct visit {
	FCGX_Request request;
	struct gate_conn *conn;
	size_t bytes; /* see responder_bytes() */
	struct answer answer;
	struct visit *prev, *next;
};

/* Parked requests, those that must be answered first at the front. */
struct lot {
	struct visit *first, *last;
	size_t n, bytes;
};

struct responder {
	struct responder_options options;
	const struct service *service;
	struct gate *gate;

	pthread_mutex_t lock; /* of the lots; taken before the board's */
	struct lot parked;    /* wait for the board */
	struct lot heard;     /* the board has news, ask again */
	struct lot bodies;    /* their bodies are still to come; counted only */
	size_t crowd;	      /* most in the lots since the last trim */
	int64_t trimmed_ms;

	struct ratelimit busy, no_memory;
	atomic_bool stopping;
	_Atomic int64_t stop_ms; /* not before */
	size_t n_threads;
	pthread_t threads[];
};

/* What one thread has of its own. */
struct responder_seat {
	struct responder *responder;
	struct gate_buffer *buffer;
	struct board_view *view;
	struct visit *spare;
};

/* ---- lots ---- */

static void lot_insert(struct lot *lot, struct visit *visit)
{
	struct visit *before = lot->last;

	/* Nearly always at the end; one that is parked again is older. */
	while (before && before->answer.until_ms > visit->answer.until_ms)
		before = before->prev;
	visit->prev = before;
	visit->next = before ? before->next : lot->first;
	if (visit->next)
		visit->next->prev = visit;
	else
		lot->last = visit;
	if (before)
		before->next = visit;
	else
		lot->first = visit;
	lot->n++;
	lot->bytes += visit->bytes;
}

static struct visit *lot_take_first(struct lot *lot)
{
	struct visit *visit = lot->first;

	if (!visit)
		return NULL;
	lot->first = visit->next;
	if (lot->first)
		lot->first->prev = NULL;
	else
		lot->last = NULL;
	lot->n--;
	lot->bytes -= visit->bytes;
	return visit;
}

/* ---- one request ---- */

static struct visit *seat_visit(struct responder_seat *seat)
{
	struct visit *visit = seat->spare;

	if (visit) {
		seat->spare = NULL;
		return visit;
	}
	visit = malloc(sizeof(*visit));
	/* -1: libfcgi must never accept by itself. */
	if (visit)
		FCGX_InitRequest(&visit->request, -1, 0);
	return visit;
}

static void seat_keep(struct responder_seat *seat, struct visit *visit)
{
	if (seat->spare)
		free(visit);
	else
		seat->spare = visit;
}

/* The connection is no longer the visit's. */
static void visit_free(struct responder_seat *seat, struct visit *visit)
{
	visit->request.ipcFd = -1;
	FCGX_Finish_r(&visit->request);
	seat_keep(seat, visit);
}

/* Gives the connection back, unless it was to be closed. */
static void visit_end(struct responder_seat *seat, struct visit *visit)
{
	struct responder *responder = seat->responder;
	FCGX_Request *request = &visit->request;
	bool failed;

	/* Writes the end of the answer. */
	failed = FCGX_FClose(request->err) < 0;
	failed |= FCGX_FClose(request->out) < 0;
	if (FCGX_GetError(request->out) == EAGAIN)
		gate_note_cut(responder->gate);
	if (failed)
		gate_close(responder->gate, visit->conn);
	else if (gate_conn_spent(visit->conn))
		gate_linger(responder->gate, visit->conn);
	else if (request->keepConnection && !atomic_load(&responder->stopping))
		gate_return(responder->gate, visit->conn);
	else
		gate_close(responder->gate, visit->conn);
	visit_free(seat, visit);
}

/*
 * An answer for which the socket's buffer may have no room: libfcgi, which
 * gives up when it is full, writes into a file in memory, and the gate from
 * there as the peer reads.  False: there is no memory for that.
 */
static bool visit_store(struct responder_seat *seat, struct visit *visit,
			const char *text, size_t len)
{
	struct responder *responder = seat->responder;
	FCGX_Request *request = &visit->request;
	bool last = gate_conn_spent(visit->conn) || !request->keepConnection ||
		    atomic_load(&responder->stopping);
	int fd = memfd_create("answer", MFD_CLOEXEC);

	if (fd < 0)
		return false;
	request->ipcFd = fd;
	FCGX_PutStr(text, (int)len, request->out);
	if (FCGX_FClose(request->err) < 0 || FCGX_FClose(request->out) < 0) {
		close(fd);
		gate_note_cut(responder->gate);
		gate_close(responder->gate, visit->conn);
	} else {
		lseek(fd, 0, SEEK_SET);
		gate_write(responder->gate, visit->conn, fd, last);
	}
	visit_free(seat, visit);
	return true;
}

static void visit_send(struct responder_seat *seat, struct visit *visit,
		       struct response *response)
{
	const char *text = response->text;
	size_t len = response->len;

	if (!text) {
		text = response_no_memory();
		len = strlen(text);
	}
	/* The descriptor does not block: a peer that does not read its answers
	 * loses the connection. */
	if (len <= RESPONDER_DIRECT_BYTES ||
	    !visit_store(seat, visit, text, len)) {
		FCGX_PutStr(text, (int)len, visit->request.out);
		visit_end(seat, visit);
	}
	free(response->text);
}

static size_t responder_waiting(const struct responder *responder)
{
	return responder->parked.n + responder->heard.n;
}

/* Whether there is no room to let another visit wait, or no time: requests
 * that come after the grace of a stop must not put off the end. */
static bool responder_is_busy(struct responder *responder)
{
	return responder_waiting(responder) >= responder->options.max_waiting ||
	       responder->parked.bytes + responder->heard.bytes +
			       responder->bodies.bytes >=
		       RESPONDER_WAITING_BYTES ||
	       (atomic_load(&responder->stopping) &&
		clock_ms() >= atomic_load(&responder->stop_ms));
}

static void responder_count(struct responder *responder)
{
	size_t n = responder_waiting(responder) + responder->bodies.n;

	if (n > responder->crowd)
		responder->crowd = n;
}

/*
 * A thousand requests that wait take some 25 MB, since what libfcgi allocates
 * for each of them lies between the smaller things that stay, and malloc(3)
 * by itself would keep that for ever.  True when it is time to give it back.
 */
static bool responder_may_trim(struct responder *responder)
{
	int64_t now;

	if (responder->crowd < RESPONDER_CROWD ||
	    responder_waiting(responder) || responder->bodies.n)
		return false;
	now = clock_ms();
	if (now - responder->trimmed_ms < RESPONDER_TRIM_MS)
		return false;
	responder->trimmed_ms = now;
	responder->crowd = 0;
	return true;
}

static void responder_say_busy(struct responder *responder)
{
	if (!atomic_load(&responder->stopping) &&
	    ratelimit_note(&responder->busy))
		log_warn("too many requests wait for a check, others are "
			 "answered from what is known: see max_waiting (%zu)",
			 responder->options.max_waiting);
}

/*
 * Answers the visit or parks it.  The lot is locked while the board is asked:
 * what is published after the board said "wait" finds the visit in the lot.
 */
static void visit_answer_or_park(struct responder_seat *seat,
				 struct visit *visit, bool arrived)
{
	struct responder *responder = seat->responder;
	enum answer_how how = ANSWER_IF_KNOWN;
	struct response response;
	bool answered;

	if (clock_ms() >= visit->answer.until_ms)
		how = ANSWER_NOW;
	pthread_mutex_lock(&responder->lock);
	answered = answer_ask(responder->service, &visit->answer, how,
			      seat->view);
	if (!answered && arrived && responder_is_busy(responder)) {
		how = ANSWER_BUSY;
		answered = answer_ask(responder->service, &visit->answer, how,
				      seat->view);
	}
	if (!answered) {
		lot_insert(&responder->parked, visit);
		responder_count(responder);
	}
	pthread_mutex_unlock(&responder->lock);
	if (!answered)
		return;
	if (how == ANSWER_BUSY)
		responder_say_busy(responder);
	answer_render(responder->service, &visit->answer, how, seat->view,
		      &response);
	visit_send(seat, visit, &response);
}

/* What a request takes beside its buffers. */
static size_t responder_bytes(const struct gate_conn *conn)
{
	return gate_conn_length(conn) +
	       gate_conn_params(conn) * RESPONDER_PARAM_BYTES;
}

/* libfcgi ends the process by an assertion when it gets no memory.  There must
 * be twice as much: others may take some at the same time.  (volatile:
 * compilers leave out what is allocated only to be freed.) */
static bool responder_has_memory(const struct gate_conn *conn)
{
	size_t need = RESPONDER_BUFFERS_BYTES + responder_bytes(conn);
	void *volatile room = malloc(2 * need);

	free(room);
	return room != NULL;
}

static void seat_turn_away(struct responder_seat *seat, struct gate_conn *conn)
{
	size_t n = ratelimit_note(&seat->responder->no_memory);

	gate_close(seat->responder->gate, conn);
	if (n)
		log_err("requests turned away for want of memory: %zu", n);
}

/* Has libfcgi read the request, of which the beginning of the body may be all
 * that is there; false: it could not. */
static bool visit_read(struct responder_seat *seat, struct visit *visit)
{
	FCGX_Request *request = &visit->request;
	char trash[1024];
	bool read;

	request->ipcFd = WIRE_FED;
	request->keepConnection = 1; /* or Accept_r would close it first */
	wire_feed(seat->buffer->bytes, gate_conn_length(visit->conn));
	read = FCGX_Accept_r(request) == 0;
	while (read && !gate_conn_spent(visit->conn) &&
	       FCGX_GetStr(trash, sizeof(trash), request->in) > 0)
		continue;
	request->ipcFd = gate_conn_fd(visit->conn);
	/* Accept_r succeeds on a broken request, too. */
	return read && !FCGX_GetError(request->in);
}

static void visit_answer(struct responder_seat *seat, struct visit *visit)
{
	FCGX_Request *request = &visit->request;

	answer_begin(seat->responder->service,
		     &(struct route_request){
			     FCGX_GetParam("REQUEST_METHOD", request->envp),
			     FCGX_GetParam("SCRIPT_NAME", request->envp),
			     FCGX_GetParam("PATH_INFO", request->envp),
			     FCGX_GetParam("REQUEST_URI", request->envp),
			     FCGX_GetParam("REMOTE_ADDR", request->envp),
		     },
		     &visit->answer);
	visit_answer_or_park(seat, visit, true);
}

/* Leaves the visit to the gate until the rest of the body was read; false:
 * there is no room to let it wait. */
static bool visit_wait_for_body(struct responder *responder,
				struct visit *visit)
{
	bool room;

	pthread_mutex_lock(&responder->lock);
	/* Slow bodies leave room for requests that wait for a check. */
	room = !atomic_load(&responder->stopping) &&
	       responder->bodies.n < responder->options.max_waiting / 2 &&
	       responder->bodies.bytes < RESPONDER_WAITING_BYTES / 2;
	if (room) {
		responder->bodies.n++;
		responder->bodies.bytes += visit->bytes;
		responder_count(responder);
	}
	pthread_mutex_unlock(&responder->lock);
	if (room)
		gate_read_body(responder->gate, visit->conn, visit);
	return room;
}

/* The body was read, or given up. */
static void seat_resume(struct responder_seat *seat, struct visit *visit)
{
	struct responder *responder = seat->responder;

	pthread_mutex_lock(&responder->lock);
	responder->bodies.n--;
	responder->bodies.bytes -= visit->bytes;
	pthread_mutex_unlock(&responder->lock);
	visit_answer(seat, visit);
}

/* Reads the request, and answers or parks it. */
static void seat_serve_request(struct responder_seat *seat,
			       struct gate_conn *conn)
{
	struct responder *responder = seat->responder;
	struct visit *visit = gate_conn_take_kept(conn);

	if (visit) {
		seat_resume(seat, visit);
		return;
	}
	if (responder_has_memory(conn))
		visit = seat_visit(seat);
	if (!visit) {
		seat_turn_away(seat, conn);
		return;
	}
	visit->conn = conn;
	visit->bytes = responder_bytes(conn);
	if (!visit_read(seat, visit)) {
		gate_close(responder->gate, conn);
		visit_free(seat, visit);
	} else if (!gate_conn_has_body(conn) ||
		   !visit_wait_for_body(responder, visit)) {
		visit_answer(seat, visit);
	}
}

/* ---- parked requests ---- */

/* The board has news: all parked requests are to ask again. */
static void responder_hear(struct responder *responder)
{
	struct visit *visit;

	pthread_mutex_lock(&responder->lock);
	if (!responder->heard.n) {
		responder->heard = responder->parked;
		responder->parked = (struct lot){ .n = 0 };
	}
	while ((visit = lot_take_first(&responder->parked)))
		lot_insert(&responder->heard, visit);
	pthread_mutex_unlock(&responder->lock);
}

static struct visit *responder_take_due(struct responder *responder)
{
	struct visit *visit;

	pthread_mutex_lock(&responder->lock);
	visit = lot_take_first(&responder->heard);
	if (!visit && responder->parked.first &&
	    responder->parked.first->answer.until_ms <= clock_ms())
		visit = lot_take_first(&responder->parked);
	pthread_mutex_unlock(&responder->lock);
	return visit;
}

/* Serves some of the parked requests; returns for how long gate_wait() may
 * wait then. */
static int seat_serve_parked(struct responder_seat *seat)
{
	struct responder *responder = seat->responder;
	struct visit *visit;
	int64_t left;
	bool trim;
	int i;

	for (i = 0; i < RESPONDER_BATCH; i++) {
		visit = responder_take_due(responder);
		if (!visit)
			break;
		visit_answer_or_park(seat, visit, false);
	}
	pthread_mutex_lock(&responder->lock);
	if (responder->heard.first)
		left = 0;
	else if (responder->parked.first)
		left = responder->parked.first->answer.until_ms - clock_ms();
	else
		left = INT32_MAX;
	trim = responder_may_trim(responder);
	pthread_mutex_unlock(&responder->lock);
	if (trim)
		malloc_trim(0);
	if (left < 0)
		return 0;
	if (atomic_load(&responder->stopping) && left > RESPONDER_STOP_LOOK_MS)
		return RESPONDER_STOP_LOOK_MS;
	return left < INT32_MAX ? (int)left : -1;
}

/* ---- threads ---- */

static bool responder_may_end(struct responder *responder)
{
	bool empty;

	if (!atomic_load(&responder->stopping))
		return false;
	if (!gate_connections(responder->gate))
		return true;
	if (clock_ms() < atomic_load(&responder->stop_ms))
		return false;
	pthread_mutex_lock(&responder->lock);
	empty = !responder_waiting(responder) && !responder->bodies.n;
	pthread_mutex_unlock(&responder->lock);
	return empty;
}

static void *responder_main(void *arg)
{
	struct responder_seat *seat = arg;
	struct responder *responder = seat->responder;
	struct gate_conn *conn;

	while (!responder_may_end(responder)) {
		int wait_ms = seat_serve_parked(seat);

		switch (gate_wait(responder->gate, seat->buffer, wait_ms,
				  &conn)) {
		case GATE_REQUEST:
			seat_serve_request(seat, conn);
			break;
		case GATE_WOKEN:
			responder_hear(responder);
			break;
		case GATE_TIMEOUT:
			break;
		}
	}
	/* One wake is heard by one thread, maybe by this one twice.  Who has
	 * ended hears no more: this one reaches a thread that still sleeps. */
	gate_wake(responder->gate);
	free(seat->spare);
	free(seat->view);
	free(seat->buffer);
	free(seat);
	return NULL;
}

static struct responder_seat *seat_create(struct responder *responder)
{
	struct responder_seat *seat = calloc(1, sizeof(*seat));

	if (!seat)
		return NULL;
	seat->responder = responder;
	seat->buffer = malloc(sizeof(*seat->buffer));
	seat->view = service_view(responder->service);
	if (!seat->buffer || !seat->view) {
		free(seat->buffer);
		free(seat->view);
		free(seat);
		return NULL;
	}
	return seat;
}

static void responder_on_published(void *arg)
{
	struct responder *responder = arg;

	gate_wake(responder->gate);
}

static void responder_join(struct responder *responder)
{
	size_t i;

	for (i = 0; i < responder->n_threads; i++)
		pthread_join(responder->threads[i], NULL);
}

void responder_destroy(struct responder *responder)
{
	if (!responder)
		return;
	gate_destroy(responder->gate);
	pthread_mutex_destroy(&responder->lock);
	free(responder);
}

static int responder_start_threads(struct responder *responder)
{
	size_t i;

	for (i = 0; i < responder->options.threads; i++) {
		struct responder_seat *seat = seat_create(responder);

		if (!seat)
			return -1;
		if (pthread_create(&responder->threads[i], NULL, responder_main,
				   seat)) {
			free(seat->buffer);
			free(seat->view);
			free(seat);
			return -1;
		}
		pthread_setname_np(responder->threads[i], "responder");
		responder->n_threads++;
	}
	return 0;
}

/* How many connections there may be: checks must not fail for want of a
 * descriptor because idle peers hold all of them. */
static size_t responder_room(const struct responder_options *options)
{
	size_t keep = RESPONDER_FILES +
		      RESPONDER_FILES_PER_CHECK * options->checks;
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return options->max_connections;
	if (keep > limit.rlim_cur / 2)
		keep = limit.rlim_cur / 2;
	if (limit.rlim_cur - keep < options->max_connections)
		return limit.rlim_cur - keep;
	return options->max_connections;
}

struct responder *responder_start(const struct responder_options *options,
				  const struct service *service,
				  struct board *board)
{
	struct responder *responder;

	responder = calloc(1, sizeof(*responder) +
				      options->threads *
					      sizeof(*responder->threads));
	if (!responder) {
		log_err("cannot start the responder: out of memory");
		return NULL;
	}
	responder->options = *options;
	responder->service = service;
	pthread_mutex_init(&responder->lock, NULL);
	responder->gate = gate_create(
		options->listen_fd, responder_room(options), options->allowed);
	if (responder->gate && FCGX_Init() == 0 &&
	    responder_start_threads(responder) == 0) {
		board_on_published(board, responder_on_published, responder);
		/* What was published before this was not heard. */
		gate_wake(responder->gate);
		return responder;
	}
	log_err("cannot start the responder: "
		"out of memory, descriptors or threads");
	responder_stop(responder);
	responder_destroy(responder);
	return NULL;
}

void responder_stop(struct responder *responder)
{
	atomic_store(&responder->stop_ms, clock_ms() + RESPONDER_GRACE_MS);
	/* The backlog first: threads that are to stop end when no connection
	 * is left. */
	if (responder->gate)
		gate_stop_accepting(responder->gate);
	atomic_store(&responder->stopping, true);
	if (responder->gate)
		gate_wake(responder->gate);
	responder_join(responder);
}

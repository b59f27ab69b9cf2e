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
#include "answer/route.h"
#include "io/wire.h"

/* A thread looks for new requests after this many parked ones, so that liveness
 * never waits for 1,000 answers. */
#define RESPONDER_BATCH 8
/* After this many were parked, memory goes back to the system, but not more
 * often than this. */
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
struct request {
	FCGX_Request fcgi;
	struct gate_conn *conn;
	size_t bytes; /* see responder_bytes() */
	struct pending pending;
	struct request *prev, *next;
};

/* Parked requests, those that must be answered first at the front. */
struct queue {
	struct request *first, *last;
	size_t n, bytes;
};

struct responder {
	struct responder_options options;
	const struct service *service;
	struct gate *gate;

	pthread_mutex_t lock; /* of the queues; taken before the board's */
	struct queue parked;  /* wait for the board */
	struct queue heard;   /* the board has news, ask again */
	struct queue bodies;  /* their bodies are still to come; counted only */
	size_t crowd;	      /* most in the queues since the last trim */
	int64_t trimmed_ms;

	struct log_limit busy, no_memory;
	atomic_bool stopping;
	_Atomic int64_t stop_ms; /* not before */
	size_t n_threads;
	pthread_t threads[];
};

/* What one thread has of its own. */
struct worker {
	struct responder *responder;
	struct gate_buffer *buffer;
	struct board_view *view;
	struct request *spare;
};

/* ---- queues ---- */

static void queue_insert(struct queue *queue, struct request *request)
{
	struct request *before = queue->last;

	/* Nearly always at the end; one that is parked again is older. */
	while (before && before->pending.until_ms > request->pending.until_ms)
		before = before->prev;
	request->prev = before;
	request->next = before ? before->next : queue->first;
	if (request->next)
		request->next->prev = request;
	else
		queue->last = request;
	if (before)
		before->next = request;
	else
		queue->first = request;
	queue->n++;
	queue->bytes += request->bytes;
}

static struct request *queue_take_first(struct queue *queue)
{
	struct request *request = queue->first;

	if (!request)
		return NULL;
	queue->first = request->next;
	if (queue->first)
		queue->first->prev = NULL;
	else
		queue->last = NULL;
	queue->n--;
	queue->bytes -= request->bytes;
	return request;
}

/* ---- one request ---- */

static struct request *worker_request(struct worker *worker)
{
	struct request *request = worker->spare;

	if (request) {
		worker->spare = NULL;
		return request;
	}
	request = malloc(sizeof(*request));
	/* -1: libfcgi must never accept by itself. */
	if (request)
		FCGX_InitRequest(&request->fcgi, -1, 0);
	return request;
}

static void worker_keep(struct worker *worker, struct request *request)
{
	if (worker->spare)
		free(request);
	else
		worker->spare = request;
}

/* The request no longer owns the connection. */
static void request_free(struct worker *worker, struct request *request)
{
	request->fcgi.ipcFd = -1;
	FCGX_Finish_r(&request->fcgi);
	worker_keep(worker, request);
}

/* Gives the connection back, unless it was to be closed. */
static void request_end(struct worker *worker, struct request *request)
{
	struct responder *responder = worker->responder;
	FCGX_Request *fcgi = &request->fcgi;
	bool failed;

	/* Writes the end of the answer. */
	failed = FCGX_FClose(fcgi->err) < 0;
	failed |= FCGX_FClose(fcgi->out) < 0;
	if (FCGX_GetError(fcgi->out) == EAGAIN)
		gate_note_cut(responder->gate);
	if (failed)
		gate_close(responder->gate, request->conn);
	else if (gate_conn_spent(request->conn))
		gate_linger(responder->gate, request->conn);
	else if (fcgi->keepConnection && !atomic_load(&responder->stopping))
		gate_return(responder->gate, request->conn);
	else
		gate_close(responder->gate, request->conn);
	request_free(worker, request);
}

/*
 * An answer that may not fit into the socket buffer: libfcgi, which gives up
 * when the buffer is full, writes into a file in memory, and the gate sends
 * that as the peer reads. False: out of memory.
 */
static bool request_store(struct worker *worker, struct request *request,
			  const char *text, size_t len)
{
	struct responder *responder = worker->responder;
	FCGX_Request *fcgi = &request->fcgi;
	bool last = gate_conn_spent(request->conn) || !fcgi->keepConnection ||
		    atomic_load(&responder->stopping);
	int fd = memfd_create("answer", MFD_CLOEXEC);

	if (fd < 0)
		return false;
	fcgi->ipcFd = fd;
	FCGX_PutStr(text, (int)len, fcgi->out);
	if (FCGX_FClose(fcgi->err) < 0 || FCGX_FClose(fcgi->out) < 0) {
		close(fd);
		gate_note_cut(responder->gate);
		gate_close(responder->gate, request->conn);
	} else {
		lseek(fd, 0, SEEK_SET);
		gate_write(responder->gate, request->conn, fd, last);
	}
	request_free(worker, request);
	return true;
}

static void request_send(struct worker *worker, struct request *request,
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
	    !request_store(worker, request, text, len)) {
		FCGX_PutStr(text, (int)len, request->fcgi.out);
		request_end(worker, request);
	}
	free(response->text);
}

static size_t responder_waiting(const struct responder *responder)
{
	return responder->parked.n + responder->heard.n;
}

/* Whether no room is left to let another request wait, or no time: requests
 * that come after the grace period of a stop must not delay the end. */
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
 * 1,000 waiting requests take some 25 MB. What libfcgi allocates for each lies
 * between smaller blocks that stay, so malloc(3) would keep the memory for
 * ever. True when it is to be given back now: once for each crowd.
 */
static bool responder_claim_trim(struct responder *responder)
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
	    log_limit_count(&responder->busy))
		log_warn("max_waiting (%zu) reached: answering from the last "
			 "results",
			 responder->options.max_waiting);
}

/*
 * Answers the request or parks it.  The queue is locked while the board is
 * asked: what is published after the board said "wait" finds the request in the
 * queue.
 */
static void request_answer_or_park(struct worker *worker,
				   struct request *request, bool arrived)
{
	struct responder *responder = worker->responder;
	enum answer_how how = ANSWER_IF_KNOWN;
	struct response response;
	bool answered;

	if (clock_ms() >= request->pending.until_ms)
		how = ANSWER_NOW;
	pthread_mutex_lock(&responder->lock);
	answered = answer_ask(responder->service, &request->pending, how,
			      worker->view);
	if (!answered && arrived && responder_is_busy(responder)) {
		how = ANSWER_BUSY;
		answered = answer_ask(responder->service, &request->pending,
				      how, worker->view);
	}
	if (!answered) {
		queue_insert(&responder->parked, request);
		responder_count(responder);
	}
	pthread_mutex_unlock(&responder->lock);
	if (!answered)
		return;
	if (how == ANSWER_BUSY)
		responder_say_busy(responder);
	answer_render(responder->service, &request->pending, how, worker->view,
		      &response);
	request_send(worker, request, &response);
}

/* What a request takes beside its buffers. */
static size_t responder_bytes(const struct gate_conn *conn)
{
	return gate_conn_length(conn) +
	       gate_conn_params(conn) * RESPONDER_PARAM_BYTES;
}

/* libfcgi aborts the process when malloc fails. Require twice as much: other
 * threads may allocate at the same time. (volatile: compilers remove an
 * allocation that is only freed.) */
static bool responder_has_memory(const struct gate_conn *conn)
{
	size_t need = RESPONDER_BUFFERS_BYTES + responder_bytes(conn);
	void *volatile room = malloc(2 * need);

	free(room);
	return room != NULL;
}

static void worker_refuse(struct worker *worker, struct gate_conn *conn)
{
	size_t n = log_limit_count(&worker->responder->no_memory);

	gate_close(worker->responder->gate, conn);
	if (n)
		log_err("out of memory: refused %zu requests", n);
}

/* Lets libfcgi read the request, of which only the beginning of the body may
 * have come; false: it could not. */
static bool request_read(struct worker *worker, struct request *request)
{
	FCGX_Request *fcgi = &request->fcgi;
	char trash[1024];
	bool read;

	fcgi->ipcFd = WIRE_FED;
	fcgi->keepConnection = 1; /* or Accept_r would close it first */
	wire_feed(worker->buffer->bytes, gate_conn_length(request->conn));
	read = FCGX_Accept_r(fcgi) == 0;
	while (read && !gate_conn_spent(request->conn) &&
	       FCGX_GetStr(trash, sizeof(trash), fcgi->in) > 0)
		continue;
	fcgi->ipcFd = gate_conn_fd(request->conn);
	/* Accept_r succeeds on a broken request, too. */
	return read && !FCGX_GetError(fcgi->in);
}

static void request_answer(struct worker *worker, struct request *request)
{
	FCGX_Request *fcgi = &request->fcgi;

	answer_begin(worker->responder->service,
		     &(struct route_request){
			     FCGX_GetParam("REQUEST_METHOD", fcgi->envp),
			     FCGX_GetParam("SCRIPT_NAME", fcgi->envp),
			     FCGX_GetParam("PATH_INFO", fcgi->envp),
			     FCGX_GetParam("REQUEST_URI", fcgi->envp),
		     },
		     FCGX_GetParam("REMOTE_ADDR", fcgi->envp),
		     &request->pending);
	request_answer_or_park(worker, request, true);
}

/* Leaves the request to the gate until the rest of the body was read; false: no
 * room to let it wait. */
static bool request_wait_for_body(struct responder *responder,
				  struct request *request)
{
	bool room;

	pthread_mutex_lock(&responder->lock);
	/* Slow bodies leave room for requests that wait for a check. */
	room = !atomic_load(&responder->stopping) &&
	       responder->bodies.n < responder->options.max_waiting / 2 &&
	       responder->bodies.bytes < RESPONDER_WAITING_BYTES / 2;
	if (room) {
		responder->bodies.n++;
		responder->bodies.bytes += request->bytes;
		responder_count(responder);
	}
	pthread_mutex_unlock(&responder->lock);
	if (room)
		gate_read_body(responder->gate, request->conn, request);
	return room;
}

/* The body was read, or given up. */
static void worker_resume(struct worker *worker, struct request *request)
{
	struct responder *responder = worker->responder;

	pthread_mutex_lock(&responder->lock);
	responder->bodies.n--;
	responder->bodies.bytes -= request->bytes;
	pthread_mutex_unlock(&responder->lock);
	request_answer(worker, request);
}

/* Reads the request, and answers or parks it. */
static void worker_serve_request(struct worker *worker, struct gate_conn *conn)
{
	struct responder *responder = worker->responder;
	struct request *request = gate_conn_take_kept(conn);

	if (request) {
		worker_resume(worker, request);
		return;
	}
	if (responder_has_memory(conn))
		request = worker_request(worker);
	if (!request) {
		worker_refuse(worker, conn);
		return;
	}
	request->conn = conn;
	request->bytes = responder_bytes(conn);
	if (!request_read(worker, request)) {
		gate_close(responder->gate, conn);
		request_free(worker, request);
	} else if (!gate_conn_has_body(conn) ||
		   !request_wait_for_body(responder, request)) {
		request_answer(worker, request);
	}
}

/* ---- parked requests ---- */

/* The board has news: all parked requests are to ask again. */
static void responder_hear(struct responder *responder)
{
	struct request *request;

	pthread_mutex_lock(&responder->lock);
	if (!responder->heard.n) {
		responder->heard = responder->parked;
		responder->parked = (struct queue){ .n = 0 };
	}
	while ((request = queue_take_first(&responder->parked)))
		queue_insert(&responder->heard, request);
	pthread_mutex_unlock(&responder->lock);
}

static struct request *responder_take_due(struct responder *responder)
{
	struct request *request;

	pthread_mutex_lock(&responder->lock);
	request = queue_take_first(&responder->heard);
	if (!request && responder->parked.first &&
	    responder->parked.first->pending.until_ms <= clock_ms())
		request = queue_take_first(&responder->parked);
	pthread_mutex_unlock(&responder->lock);
	return request;
}

/* Serves some of the parked requests; returns for how long gate_wait() may
 * wait then. */
static int worker_serve_parked(struct worker *worker)
{
	struct responder *responder = worker->responder;
	struct request *request;
	int64_t left;
	bool trim;
	int i;

	for (i = 0; i < RESPONDER_BATCH; i++) {
		request = responder_take_due(responder);
		if (!request)
			break;
		request_answer_or_park(worker, request, false);
	}
	pthread_mutex_lock(&responder->lock);
	if (responder->heard.first)
		left = 0;
	else if (responder->parked.first)
		left = responder->parked.first->pending.until_ms - clock_ms();
	else
		left = INT32_MAX;
	trim = responder_claim_trim(responder);
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
	struct worker *worker = arg;
	struct responder *responder = worker->responder;
	struct gate_conn *conn;

	while (!responder_may_end(responder)) {
		int wait_ms = worker_serve_parked(worker);

		switch (gate_wait(responder->gate, worker->buffer, wait_ms,
				  &conn)) {
		case GATE_REQUEST:
			worker_serve_request(worker, conn);
			break;
		case GATE_WOKEN:
			responder_hear(responder);
			break;
		case GATE_TIMEOUT:
			break;
		}
	}
	/* Wakes are not broadcast. Pass ours on, so that the next sleeping
	 * worker exits too. */
	gate_wake(responder->gate);
	free(worker->spare);
	free(worker->view);
	free(worker->buffer);
	free(worker);
	return NULL;
}

static struct worker *worker_create(struct responder *responder)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->responder = responder;
	worker->buffer = malloc(sizeof(*worker->buffer));
	worker->view = service_view(responder->service);
	if (!worker->buffer || !worker->view) {
		free(worker->buffer);
		free(worker->view);
		free(worker);
		return NULL;
	}
	return worker;
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
		struct worker *worker = worker_create(responder);

		if (!worker)
			return -1;
		if (pthread_create(&responder->threads[i], NULL, responder_main,
				   worker)) {
			free(worker->buffer);
			free(worker->view);
			free(worker);
			return -1;
		}
		pthread_setname_np(responder->threads[i], "responder");
		responder->n_threads++;
	}
	return 0;
}

/* How many connections are allowed: checks must not run out of descriptors
 * because idle peers hold all of them. */
static size_t responder_room(const struct responder_options *options,
			     size_t checks)
{
	size_t keep = RESPONDER_FILES + RESPONDER_FILES_PER_CHECK * checks;
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
				  const struct service *service)
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
	responder->gate = gate_create(options->listen_fd,
				      responder_room(options, service->plan->n),
				      options->allowed);
	if (responder->gate && FCGX_Init() == 0 &&
	    responder_start_threads(responder) == 0) {
		board_on_published(service->board, responder_on_published,
				   responder);
		/* What was published before this has woken no worker. */
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
	/* The backlog first: workers that are to stop end when no connection is
	 * left. */
	if (responder->gate)
		gate_stop_accepting(responder->gate);
	atomic_store(&responder->stopping, true);
	if (responder->gate)
		gate_wake(responder->gate);
	responder_join(responder);
}

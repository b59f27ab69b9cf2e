#include "config.h"

#include "front/responder.h"

#include <errno.h>
#include <fcgiapp.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <unistd.h>

#include "answer/answer.h"
#include "base/clock.h"
#include "board/board.h"
#include "front/gate.h"
#include "front/listen.h"
#include "base/log.h"
#include "io/wire.h"

/* A thread looks for new requests after this many parked ones, so that liveness
 * never waits for 1,000 answers. */
#define RESPONDER_BATCH 8
/* After this many were parked, memory goes back to the system, but not more
 * often than this. */
#define RESPONDER_CROWD 256
#define RESPONDER_TRIM_MS 1000
/* What libfcgi allocates to read a request: its buffers, the request itself,
 * and for each parameter the smallest block of malloc(3) and an entry in a list
 * that grows by doubling. */
#define RESPONDER_BUFFERS_BYTES (32 * 1024)
#define RESPONDER_PARAM_BYTES 64
/* Memory that waiting requests may take together; beyond this, as beyond
 * max_waiting. */
#define RESPONDER_WAITING_BYTES (32 * 1024 * 1024)
/* Every socket has room for an answer of this size, while the peer reads. */
#define RESPONDER_DIRECT_BYTES 8000
/* Descriptors that connections leave for checks, and for everything else. */
#define RESPONDER_FILES_PER_CHECK 4
#define RESPONDER_FILES 32
/* While stopping, how often a thread looks whether it may end. */
#define RESPONDER_STOP_LOOK_MS 10

/* One request from its reading to its answer.  libfcgi's streams point into
 * the FCGX_Request, so it never moves. */
struct request {
	FCGX_Request fcgi;
	struct gate_request gate;
	size_t bytes; /* see responder_bytes() */
	struct pending pending;
	TAILQ_ENTRY(request) link;
};

/* Parked requests, those that must be answered first at the front. */
struct queue {
	TAILQ_HEAD(queue_head, request) head;
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
	atomic_bool published; /* the board says that questions ask again */
	atomic_bool stopping;
	_Atomic int64_t stop_ms; /* not before */
	int ended_fd;		 /* eventfd(2): all threads have ended */
	atomic_size_t n_ended;
	size_t n_threads;
	pthread_t threads[];
};

/* State of one thread. */
struct worker {
	struct responder *responder;
	struct board_view *view;
	struct gate_buffer buffer;
};

/* ---- queues ---- */

static void queue_insert(struct queue *queue, struct request *request)
{
	struct request *before;

	/* Requests mostly come in order; one that is parked again is older. */
	TAILQ_FOREACH_REVERSE (before, &queue->head, queue_head, link)
		if (before->pending.until_ms <= request->pending.until_ms)
			break;
	if (before)
		TAILQ_INSERT_AFTER(&queue->head, before, request, link);
	else
		TAILQ_INSERT_HEAD(&queue->head, request, link);
	queue->n++;
	queue->bytes += request->bytes;
}

static struct request *queue_take_first(struct queue *queue)
{
	struct request *request = TAILQ_FIRST(&queue->head);

	if (!request)
		return NULL;
	TAILQ_REMOVE(&queue->head, request, link);
	queue->n--;
	queue->bytes -= request->bytes;
	return request;
}

/* ---- one request ---- */

/* The request no longer owns the connection. */
static void request_free(struct request *request)
{
	request->fcgi.ipcFd = -1;
	FCGX_Finish_r(&request->fcgi);
	free(request);
}

/*
 * Sends the answer and gives the connection back, unless it was to be closed.
 *
 * The descriptor does not block, and libfcgi gives up when the socket buffer is
 * full.  An answer that may not fit is written into a file in memory, which the
 * gate sends as the peer reads.  Without memory for the file, a peer that does
 * not read its answer loses the connection.
 */
static void request_send(struct responder *responder, struct request *request,
			 const struct response *response)
{
	const char *text = response->text ? response->text
					  : response_no_memory();
	size_t len = response->text ? response->len : strlen(text);
	struct gate_conn *conn = request->gate.conn;
	FCGX_Request *fcgi = &request->fcgi;
	bool last = request->gate.spent || !fcgi->keepConnection ||
		    atomic_load(&responder->stopping);
	int file = -1;
	bool failed;

	if (len > RESPONDER_DIRECT_BYTES)
		file = memfd_create("answer", MFD_CLOEXEC);
	if (file >= 0)
		fcgi->ipcFd = file;
	FCGX_PutStr(text, (int)len, fcgi->out);
	/* Writes the end of the answer. */
	failed = FCGX_FClose(fcgi->err) < 0;
	failed |= FCGX_FClose(fcgi->out) < 0;
	if (failed && (file >= 0 || FCGX_GetError(fcgi->out) == EAGAIN))
		gate_note_cut(responder->gate);
	if (failed && file >= 0)
		close(file);
	if (!failed && file >= 0) {
		lseek(file, 0, SEEK_SET);
		gate_write(responder->gate, conn, file, last);
	} else if (!failed && request->gate.spent) {
		gate_linger(responder->gate, conn);
	} else if (!failed && !last) {
		gate_return(responder->gate, conn);
	} else {
		gate_close(responder->gate, conn);
	}
	request_free(request);
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
 * ever. Gives it back once for each crowd.
 */
static void responder_trim(struct responder *responder)
{
	int64_t now = clock_ms();
	bool due;

	pthread_mutex_lock(&responder->lock);
	due = responder->crowd >= RESPONDER_CROWD &&
	      !responder_waiting(responder) && !responder->bodies.n &&
	      now - responder->trimmed_ms >= RESPONDER_TRIM_MS;
	if (due) {
		responder->trimmed_ms = now;
		responder->crowd = 0;
	}
	pthread_mutex_unlock(&responder->lock);
	if (due)
		malloc_trim(0);
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
	if (how == ANSWER_BUSY && !atomic_load(&responder->stopping) &&
	    log_limit_count(&responder->busy))
		log_warn("max_waiting (%zu) reached: answering from the last "
			 "results",
			 responder->options.max_waiting);
	answer_render(responder->service, &request->pending, how, worker->view,
		      &response);
	request_send(responder, request, &response);
}

/* Memory of a request in addition to its buffers, in bytes. */
static size_t responder_bytes(const struct gate_request *asked)
{
	return asked->length + asked->params * RESPONDER_PARAM_BYTES;
}

/* libfcgi aborts the process when malloc fails. Require twice as much: other
 * threads may allocate at the same time. (volatile: compilers remove an
 * allocation that is only freed.) */
static bool responder_has_memory(size_t bytes)
{
	void *volatile room = malloc(2 * (RESPONDER_BUFFERS_BYTES + bytes));

	free(room);
	return room != NULL;
}

/* NULL: out of memory. */
static struct request *request_create(const struct gate_request *asked)
{
	size_t bytes = responder_bytes(asked);
	struct request *request = NULL;

	if (responder_has_memory(bytes))
		request = malloc(sizeof(*request));
	if (!request)
		return NULL;
	/* -1: libfcgi must never accept by itself. */
	FCGX_InitRequest(&request->fcgi, -1, 0);
	request->gate = *asked;
	request->bytes = bytes;
	return request;
}

/* Lets libfcgi read the request, of which only the beginning of the body may
 * have come; false: it could not. */
static bool request_read(struct request *request,
			 const struct gate_buffer *buffer)
{
	FCGX_Request *fcgi = &request->fcgi;
	char trash[1024];
	bool read;

	fcgi->ipcFd = WIRE_FED;
	fcgi->keepConnection = 1; /* or Accept_r would close it first */
	wire_feed(buffer->bytes, request->gate.length);
	read = FCGX_Accept_r(fcgi) == 0;
	while (read && !request->gate.spent &&
	       FCGX_GetStr(trash, sizeof(trash), fcgi->in) > 0)
		continue;
	fcgi->ipcFd = request->gate.fd;
	/* Accept_r succeeds on a broken request, too. */
	return read && !FCGX_GetError(fcgi->in);
}

static void request_answer(struct worker *worker, struct request *request)
{
	char **envp = request->fcgi.envp;

	answer_begin(worker->responder->service,
		     &(struct route_request){
			     FCGX_GetParam("REQUEST_METHOD", envp),
			     FCGX_GetParam("SCRIPT_NAME", envp),
			     FCGX_GetParam("PATH_INFO", envp),
			     FCGX_GetParam("REQUEST_URI", envp),
		     },
		     FCGX_GetParam("REMOTE_ADDR", envp), &request->pending);
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
		gate_read_body(responder->gate, request->gate.conn, request);
	return room;
}

/* Reads the request, and answers or parks it. */
static void worker_serve_request(struct worker *worker,
				 const struct gate_request *asked)
{
	struct responder *responder = worker->responder;
	struct request *request = asked->kept;
	size_t n;

	if (request) { /* its body was read, or given up */
		request->gate.spent = asked->spent;
		pthread_mutex_lock(&responder->lock);
		responder->bodies.n--;
		responder->bodies.bytes -= request->bytes;
		pthread_mutex_unlock(&responder->lock);
		request_answer(worker, request);
		return;
	}
	request = request_create(asked);
	if (!request) {
		gate_close(responder->gate, asked->conn);
		n = log_limit_count(&responder->no_memory);
		if (n)
			log_err("out of memory: refused %zu requests", n);
	} else if (!request_read(request, &worker->buffer)) {
		gate_close(responder->gate, asked->conn);
		request_free(request);
	} else if (!asked->has_body ||
		   !request_wait_for_body(responder, request)) {
		request_answer(worker, request);
	}
}

/* ---- parked requests ---- */

/* If the board has news, all parked requests are to ask again. */
static void responder_hear(struct responder *responder)
{
	struct queue *parked = &responder->parked, *heard = &responder->heard;
	bool published = atomic_exchange(&responder->published, false);
	struct request *request;

	if (!board_catch_up(responder->service->board) && !published)
		return;
	pthread_mutex_lock(&responder->lock);
	/* Mostly all of 1,000 at once. */
	if (!heard->n) {
		TAILQ_CONCAT(&heard->head, &parked->head, link);
		heard->n = parked->n;
		heard->bytes = parked->bytes;
		parked->n = parked->bytes = 0;
	}
	while ((request = queue_take_first(parked)))
		queue_insert(heard, request);
	pthread_mutex_unlock(&responder->lock);
}

/* A request that is to be answered or to ask again; NULL: none is, and the next
 * one will be due in *left_ms. */
static struct request *responder_take_due(struct responder *responder,
					  int64_t *left_ms)
{
	struct request *request, *first;

	pthread_mutex_lock(&responder->lock);
	request = queue_take_first(&responder->heard);
	first = TAILQ_FIRST(&responder->parked.head);
	*left_ms = first ? first->pending.until_ms - clock_ms() : INT32_MAX;
	if (!request && *left_ms <= 0)
		request = queue_take_first(&responder->parked);
	pthread_mutex_unlock(&responder->lock);
	return request;
}

/* Serves some of the parked requests; returns for how long gate_wait() may
 * wait then. */
static int worker_serve_parked(struct worker *worker)
{
	struct responder *responder = worker->responder;
	struct request *request = NULL;
	int64_t left = 0;
	int i;

	for (i = 0; i < RESPONDER_BATCH; i++) {
		request = responder_take_due(responder, &left);
		if (!request)
			break;
		request_answer_or_park(worker, request, false);
	}
	responder_trim(responder);
	if (request)
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

static void worker_free(struct worker *worker)
{
	if (worker)
		free(worker->view);
	free(worker);
}

static struct worker *worker_create(struct responder *responder)
{
	struct worker *worker = calloc(1, sizeof(*worker));

	if (!worker)
		return NULL;
	worker->responder = responder;
	worker->view = service_view(responder->service);
	if (!worker->view) {
		free(worker);
		return NULL;
	}
	return worker;
}

static void *responder_main(void *arg)
{
	struct worker *worker = arg;
	struct responder *responder = worker->responder;
	struct gate_request asked;
	enum gate_event event;

	while (!responder_may_end(responder)) {
		event = gate_wait(responder->gate, &worker->buffer,
				  worker_serve_parked(worker), &asked);
		if (event == GATE_REQUEST)
			worker_serve_request(worker, &asked);
		else if (event == GATE_WOKEN)
			responder_hear(responder);
	}
	/* Wakes are not broadcast. Pass ours on, so that the next sleeping
	 * thread exits too. */
	gate_wake(responder->gate);
	worker_free(worker);
	if (atomic_fetch_add(&responder->n_ended, 1) + 1 ==
	    responder->n_threads)
		eventfd_write(responder->ended_fd, 1);
	return NULL;
}

static void responder_on_published(void *arg)
{
	struct responder *responder = arg;

	atomic_store(&responder->published, true);
	gate_wake(responder->gate);
}

void responder_destroy(struct responder *responder)
{
	if (!responder)
		return;
	gate_destroy(responder->gate);
	if (responder->ended_fd >= 0)
		close(responder->ended_fd);
	pthread_mutex_destroy(&responder->lock);
	free(responder);
}

static bool responder_start_threads(struct responder *responder)
{
	pthread_t *thread = responder->threads;

	for (; responder->n_threads < responder->options.threads; thread++) {
		struct worker *worker = worker_create(responder);

		if (!worker ||
		    pthread_create(thread, NULL, responder_main, worker)) {
			worker_free(worker);
			return false;
		}
		pthread_setname_np(*thread, "responder");
		responder->n_threads++;
	}
	return true;
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
	return limit.rlim_cur - keep < options->max_connections
		       ? limit.rlim_cur - keep
		       : options->max_connections;
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
	TAILQ_INIT(&responder->parked.head);
	TAILQ_INIT(&responder->heard.head);
	pthread_mutex_init(&responder->lock, NULL);
	responder->gate = gate_create(options->listen_fd,
				      responder_room(options, service->plan->n),
				      options->allowed);
	responder->ended_fd = eventfd(0, EFD_CLOEXEC);
	if (responder->gate && responder->ended_fd >= 0 &&
	    gate_watch_wake(responder->gate, options->heard_fd) == 0 &&
	    FCGX_Init() == 0 && responder_start_threads(responder)) {
		board_on_published(service->board, responder_on_published,
				   responder);
		/* A result that was published before this call did not wake a
		 * thread. */
		responder_on_published(responder);
		return responder;
	}
	log_err("cannot start the responder: "
		"out of memory, descriptors or threads");
	if (responder->gate)
		responder_stop(responder, NULL);
	responder_destroy(responder);
	return NULL;
}

void responder_stop(struct responder *responder,
		    const struct listen_chore *chore)
{
	struct pollfd fds[] = {
		{ .fd = responder->ended_fd, .events = POLLIN },
		{ .fd = chore ? chore->fd : -1, .events = POLLIN },
	};
	size_t i;

	atomic_store(&responder->stop_ms, clock_ms() + RESPONDER_GRACE_MS);
	/* The backlog first: threads that are to stop end when no connection is
	 * left. */
	gate_stop_accepting(responder->gate);
	atomic_store(&responder->stopping, true);
	gate_wake(responder->gate);
	/* What the requests wait for may need the chore. */
	while (chore && !fds[0].revents)
		poll(fds, sizeof(fds) / sizeof(*fds), chore->turn(chore->arg));
	for (i = 0; i < responder->n_threads; i++)
		pthread_join(responder->threads[i], NULL);
	board_on_published(responder->service->board, NULL, NULL);
}

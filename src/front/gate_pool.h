/*
 * gate_pool: the records of the connections of a gate, and lists of those that
 * wait for their peers.
 *
 * No lock of its own: the caller holds the gate's lock in every function but
 * gate_pool_key() and gate_pool_close().  Nothing here blocks.
 *
 * A record belongs to the gate and is used again, never freed before the end:
 * an event that was fetched before its connection went finds a record of
 * another generation, not freed memory.
 */
#ifndef HEALTH_GATE_POOL_H
#define HEALTH_GATE_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "front/fcgi_scan.h"

struct gate_conn;

/* Connections that wait for their peers, the oldest first. */
struct gate_list {
	struct gate_conn *first, *last;
};

struct gate_conn {
	/* stay as they are while the slot is taken */
	int fd;		     /* -1: the slot is free */
	uint32_t slot;	     /* in conns */
	uint32_t generation; /* of the slot: tells old events from new */
	/* for the thread that has the connection, without the lock */
	uint32_t watched; /* events that epoll reports, 0: unknown to it */
	unsigned turns;	  /* looks at a body */
	bool rearm;	  /* epoll is to report it once more */
	bool spent;	  /* see struct gate_request */
	bool more;	  /* bytes of the next request are there */
	size_t length;	  /* see struct gate_request */
	size_t params;	  /* see struct gate_request */
	size_t replied;	  /* see struct fcgi_scan */
	bool lingering;	  /* answered; what comes is thrown away */
	int rest_fd;	  /* what is still to be written of an answer; -1 */
	bool rest_last;	  /* nothing follows it: then linger */
	void *kept;	  /* see gate_read_body(); NULL: none */
	struct fcgi_body body; /* of `kept`, or of the request that came out */
	unsigned pieces;       /* of the request that is not whole yet */
	/* under the lock */
	bool busy;  /* some thread has it */
	bool again; /* an event came meanwhile */
	bool ended; /* no more will come: the peer or we ended it */
	bool late;  /* the body is not waited for any longer */
	int64_t since_ms;
	struct gate_list *list; /* NULL: none */
	struct gate_conn *prev, *next;
	struct gate_conn *next_ready;
};

/* Embedded in its owner, under its lock; zeroed means empty. */
struct gate_pool {
	struct gate_conn **conns;
	size_t room, open;
	struct gate_conn *unused; /* linked by next */
	struct gate_list partial, idle, bodies;
};

/* A busy connection in the list of partial ones; the descriptor stays the
 * caller's when there is no memory: NULL. */
struct gate_conn *gate_pool_take(struct gate_pool *pool, int fd)
	__attribute__((warn_unused_result));
/* The descriptor is the caller's, to be closed only now: before, another
 * thread could still find it in a list and shut down the connection
 * that got the same number meanwhile. */
void gate_pool_free(struct gate_pool *pool, struct gate_conn *conn);

/* What an event says of its connection.  For the thread that has it. */
uint64_t gate_pool_key(const struct gate_conn *conn);
/* NULL: the connection is gone, or there never was one. */
struct gate_conn *gate_pool_find(const struct gate_pool *pool, uint64_t key);

/* From now on; the connection is in no list. */
void gate_list_add(struct gate_list *list, struct gate_conn *conn);
/* Also when it is in none. */
void gate_list_remove(struct gate_conn *conn);
/* Removes and returns the oldest connection; NULL when the list is empty or the
 * oldest one began to wait after that time. */
struct gate_conn *gate_list_take(struct gate_list *list,
				 int64_t waiting_since_ms);
/* Shuts down the oldest connection, unless it began to wait after that time or
 * the list is empty: false.  The close is left to the thread that gets the
 * event: the connection may be in its hands. */
bool gate_list_send_away(struct gate_list *list, int64_t waiting_since_ms);

/* When the one that has waited longest has waited for limit_ms; at most at_ms.
 */
int64_t gate_list_due(const struct gate_list *list, int64_t limit_ms,
		      int64_t at_ms);

/* Closes all connections and frees the records.  No other thread may be in the
 * gate. */
void gate_pool_close(struct gate_pool *pool);

#endif

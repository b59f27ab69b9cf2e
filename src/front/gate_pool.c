#include "config.h"

#include "front/gate_pool.h"

#include "base/clock.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- lists ---- */

void gate_list_remove(struct gate_conn *conn)
{
	struct gate_list *list = conn->list;

	if (!list)
		return;
	if (conn->prev)
		conn->prev->next = conn->next;
	else
		list->first = conn->next;
	if (conn->next)
		conn->next->prev = conn->prev;
	else
		list->last = conn->prev;
	conn->list = NULL;
}

void gate_list_add(struct gate_list *list, struct gate_conn *conn)
{
	conn->since_ms = clock_ms();
	conn->list = list;
	conn->prev = list->last;
	conn->next = NULL;
	if (list->last)
		list->last->next = conn;
	else
		list->first = conn;
	list->last = conn;
}

struct gate_conn *gate_list_take(struct gate_list *list,
				 int64_t waiting_since_ms)
{
	struct gate_conn *conn = list->first;

	if (!conn || conn->since_ms > waiting_since_ms)
		return NULL;
	gate_list_remove(conn);
	return conn;
}

bool gate_list_send_away(struct gate_list *list, int64_t waiting_since_ms)
{
	struct gate_conn *conn = gate_list_take(list, waiting_since_ms);

	if (!conn)
		return false;
	shutdown(conn->fd, SHUT_RDWR);
	return true;
}

int64_t gate_list_due(const struct gate_list *list, int64_t limit_ms,
		      int64_t at_ms)
{
	if (list->first && list->first->since_ms + limit_ms < at_ms)
		return list->first->since_ms + limit_ms;
	return at_ms;
}

/* ---- the pool ---- */

static int gate_pool_add(struct gate_pool *pool)
{
	size_t room = pool->room ? pool->room * 2 : 16, i;
	struct gate_conn **conns, *block;

	conns = realloc(pool->conns, room * sizeof(*conns));
	if (!conns)
		return -1;
	pool->conns = conns;
	for (i = pool->room; i < room; i++) {
		block = calloc(1, sizeof(*block));
		if (!block)
			break;
		block->fd = block->rest_fd = -1;
		block->slot = (uint32_t)i;
		block->next = pool->unused;
		pool->unused = block;
		conns[i] = block;
	}
	pool->room = i;
	return pool->unused ? 0 : -1;
}

struct gate_conn *gate_pool_take(struct gate_pool *pool, int fd)
{
	struct gate_conn *conn;

	if (!pool->unused && gate_pool_add(pool))
		return NULL;
	conn = pool->unused;
	pool->unused = conn->next;
	*conn = (struct gate_conn){
		.fd = fd,
		.slot = conn->slot,
		.generation = conn->generation + 1,
		.rest_fd = -1,
		.busy = true,
	};
	pool->open++;
	gate_list_add(&pool->partial, conn);
	return conn;
}

void gate_pool_free(struct gate_pool *pool, struct gate_conn *conn)
{
	gate_list_remove(conn);
	conn->fd = -1;
	conn->generation++;
	conn->next = pool->unused;
	pool->unused = conn;
	pool->open--;
}

uint64_t gate_pool_key(const struct gate_conn *conn)
{
	return (uint64_t)conn->generation << 32 | conn->slot;
}

struct gate_conn *gate_pool_find(const struct gate_pool *pool, uint64_t key)
{
	uint32_t slot = (uint32_t)key, generation = (uint32_t)(key >> 32);

	if (slot >= pool->room || pool->conns[slot]->generation != generation)
		return NULL;
	return pool->conns[slot];
}

void gate_pool_close(struct gate_pool *pool)
{
	size_t i;

	for (i = 0; i < pool->room; i++) {
		if (pool->conns[i]->fd >= 0)
			close(pool->conns[i]->fd);
		if (pool->conns[i]->rest_fd >= 0)
			close(pool->conns[i]->rest_fd);
		free(pool->conns[i]);
	}
	free(pool->conns);
}

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

/* ---- places ---- */

static int gate_places_add(struct gate_places *places)
{
	size_t room = places->room ? places->room * 2 : 16, i;
	struct gate_conn **conns, *block;

	conns = realloc(places->conns, room * sizeof(*conns));
	if (!conns)
		return -1;
	places->conns = conns;
	for (i = places->room; i < room; i++) {
		block = calloc(1, sizeof(*block));
		if (!block)
			break;
		block->fd = block->rest_fd = -1;
		block->place = (uint32_t)i;
		block->next = places->unused;
		places->unused = block;
		conns[i] = block;
	}
	places->room = i;
	return places->unused ? 0 : -1;
}

struct gate_conn *gate_places_take(struct gate_places *places, int fd)
{
	struct gate_conn *conn;

	if (!places->unused && gate_places_add(places))
		return NULL;
	conn = places->unused;
	places->unused = conn->next;
	*conn = (struct gate_conn){
		.fd = fd,
		.place = conn->place,
		.generation = conn->generation + 1,
		.rest_fd = -1,
		.busy = true,
	};
	places->open++;
	gate_list_add(&places->partial, conn);
	return conn;
}

void gate_places_free(struct gate_places *places, struct gate_conn *conn)
{
	gate_list_remove(conn);
	conn->fd = -1;
	conn->generation++;
	conn->next = places->unused;
	places->unused = conn;
	places->open--;
}

uint64_t gate_places_key(const struct gate_conn *conn)
{
	return (uint64_t)conn->generation << 32 | conn->place;
}

struct gate_conn *gate_places_find(const struct gate_places *places,
				   uint64_t key)
{
	uint32_t place = (uint32_t)key, generation = (uint32_t)(key >> 32);

	if (place >= places->room ||
	    places->conns[place]->generation != generation)
		return NULL;
	return places->conns[place];
}

void gate_places_close(struct gate_places *places)
{
	size_t i;

	for (i = 0; i < places->room; i++) {
		if (places->conns[i]->fd >= 0)
			close(places->conns[i]->fd);
		if (places->conns[i]->rest_fd >= 0)
			close(places->conns[i]->rest_fd);
		free(places->conns[i]);
	}
	free(places->conns);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Two lanes, each first in, first out: delayed frames, and those that overtake them.
 */
#include "impair_queue.h"

#include <stdlib.h>

/* What the set delay and rate keep on the way must fit; past it somebody does not read. */
#define BYTES_MAX (64ul * 1024 * 1024)
#define USUAL_ROOM 2048ul
#define SPARES_MAX 256

struct impair_frame *impair_queue_frame(struct impair_queue *queue, unsigned long bytes)
{
	unsigned long room = bytes > USUAL_ROOM ? bytes : USUAL_ROOM;
	struct impair_frame *frame = queue->spare;

	if (queue->bytes + bytes > BYTES_MAX)
		return NULL;
	if (frame && bytes <= USUAL_ROOM) {
		queue->spare = frame->next;
		queue->spares--;
	} else {
		frame = malloc(sizeof(*frame) + room);
		if (!frame)
			return NULL;
		frame->room = room;
	}
	frame->next = NULL;
	frame->bytes = bytes;
	return frame;
}

static void held_set(struct impair_queue *queue, unsigned held)
{
	__atomic_store_n(&queue->held, held, __ATOMIC_RELAXED);
}

void impair_queue_add(struct impair_queue *queue, struct impair_frame *frame, bool overtakes)
{
	struct impair_lane *lane = overtakes ? &queue->overtaking : &queue->delayed;

	/* After a change of settings: stays in order. */
	if (lane->first && frame->due_ns < lane->last->due_ns)
		frame->due_ns = lane->last->due_ns;
	if (lane->first)
		lane->last->next = frame;
	else
		lane->first = frame;
	lane->last = frame;
	queue->bytes += frame->bytes;
	held_set(queue, queue->held + 1);
}

static struct impair_lane *first_lane(struct impair_queue *queue)
{
	struct impair_frame *delayed = queue->delayed.first;
	struct impair_frame *overtaking = queue->overtaking.first;

	if (overtaking && (!delayed || overtaking->due_ns <= delayed->due_ns))
		return &queue->overtaking;
	return &queue->delayed;
}

struct impair_frame *impair_queue_first(struct impair_queue *queue)
{
	return first_lane(queue)->first;
}

void impair_queue_drop_first(struct impair_queue *queue)
{
	struct impair_lane *lane = first_lane(queue);
	struct impair_frame *frame = lane->first;

	lane->first = frame->next;
	queue->bytes -= frame->bytes;
	held_set(queue, queue->held - 1);
	if (frame->room == USUAL_ROOM && queue->spares < SPARES_MAX) {
		frame->next = queue->spare;
		queue->spare = frame;
		queue->spares++;
	} else {
		free(frame);
	}
}

void impair_queue_free(struct impair_queue *queue)
{
	while (impair_queue_first(queue))
		impair_queue_drop_first(queue);
	while (queue->spare) {
		struct impair_frame *frame = queue->spare;

		queue->spare = frame->next;
		free(frame);
	}
}

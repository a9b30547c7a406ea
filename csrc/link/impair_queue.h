/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Frames that wait for their time.
 */
#ifndef LINK_IMPAIR_QUEUE_H
#define LINK_IMPAIR_QUEUE_H

#include "link.h"

struct impair_frame {
	struct impair_frame *next;
	uint64_t due_ns;
	unsigned era; /* a cut since then: it is gone */
	unsigned long bytes, room;
	char data[];
};

struct impair_lane {
	struct impair_frame *first, *last; /* in order of due_ns */
};

/* Owned by one direction; CPU held, but for held. */
struct impair_queue {
	struct impair_lane delayed, overtaking;
	struct impair_frame *spare; /* of the usual size, for the next ones */
	unsigned spares;
	unsigned long bytes;
	unsigned held; /* frames; atomic, to be read by anybody */
};

/* Return: a frame to fill and add, or NULL: no memory, or too much is queued. */
struct impair_frame *impair_queue_frame(struct impair_queue *queue, unsigned long bytes);
void impair_queue_add(struct impair_queue *queue, struct impair_frame *frame, bool overtakes);
/* Return: the next to go, or NULL. */
struct impair_frame *impair_queue_first(struct impair_queue *queue);
void impair_queue_drop_first(struct impair_queue *queue);
void impair_queue_free(struct impair_queue *queue);

#endif

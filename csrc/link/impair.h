/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Impairment of a link: what impair.c (the wrapper, cuts, carrier) and impair_frames.c (frames on
 * their way) share.
 *
 * All frame work is done in tx and rx, with the CPU held, so queues have one owner at a time and no
 * lock: what is due when nobody sends is announced by the timer as LKL_NET_RX, and the rx that
 * follows sends it on. Frames that come in are taken from inner at once, so that their delay starts
 * then.
 *
 * Other threads change settings (tx and rx take them over when the lock is free), the cut, and
 * carrier:
 *
 *	shown = inner has carrier, and not (cut with carrier)
 *
 * told from events only: inner's, and our own source's, rung by link_impair_cut(). Each cut starts
 * an era; frames of an earlier one are gone.
 */
#ifndef LINK_IMPAIR_H
#define LINK_IMPAIR_H

#include <pthread.h>

#include "host/host.h"
#include "impair_queue.h"
#include "impair_shape.h"

struct impair_direction {
	struct impair_shape shape;
	struct impair_queue queue;
	uint64_t *dropped; /* counter */
};

struct impair {
	struct link link;
	struct link_upper below; /* what inner tells */
	struct host_io_source timer;

	/* CPU held. */
	struct impair_direction tx, rx;
	uint64_t timer_ns; /* when it goes off, or went off and was told */
	bool inner_full;   /* it refused the first of tx.queue */
	char *scratch;     /* one frame */

	unsigned era; /* atomic; odd: cut */

	pthread_mutex_t lock; /* for what follows; tx and rx only try it */
	bool changed;         /* settings are new; atomic */
	struct link_impair_direction settings_tx, settings_rx;
	bool inner_carrier, hidden, shown;
};

static inline struct impair *impair_of(struct link *link)
{
	return (struct impair *)link;
}

/* Odd: cut. */
static inline unsigned impair_era(struct impair *impair)
{
	return __atomic_load_n(&impair->era, __ATOMIC_ACQUIRE);
}

/* As the ops of a link. CPU held. */
long impair_tx(struct link *link, const struct lkl_iovec *iov, int count);
long impair_rx(struct link *link, const struct lkl_iovec *iov, int count);
void impair_poll(struct link *link, unsigned events);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The in-memory double: two ends, and a queue of frames from each to the other.
 *
 * One lock for both ends; an end tells its events from its own source, which whoever changes
 * something for it rings.
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "host/host.h"

#include "frame.h"

struct memory_frame {
	unsigned long bytes;
	char data[];
};

struct memory_pair;

struct memory_end {
	struct link link;
	struct host_io_source source;
	struct memory_pair *pair;
	struct memory_end *other;
	/* Under the pair's lock. */
	struct memory_frame **queue; /* came in, a ring of pair->depth */
	unsigned first, queued;
	unsigned want; /* LKL_NET_*, asked and not yet told */
	unsigned tell; /* LKL_NET_DOWN, to be told */
	bool closed;
};

struct memory_pair {
	pthread_mutex_t lock;
	unsigned depth;
	struct memory_end ends[2];
};

static struct memory_end *end_of(struct link *link)
{
	return (struct memory_end *)link;
}

/* Lock held. What poll() asks for and is there. */
static unsigned end_ready(struct memory_end *end)
{
	unsigned ready = 0;

	if (end->queued || end->other->closed)
		ready |= LKL_NET_RX;
	if (end->other->queued < end->pair->depth || end->other->closed)
		ready |= LKL_NET_TX;
	return ready & end->want;
}

/* Lock held. */
static void end_ring_if_ready(struct memory_end *end)
{
	if (!end->closed && (end_ready(end) || end->tell))
		host_io_ring(&end->source);
}

/* Lock held. Return: bytes, -EAGAIN, -ENOMEM. */
static long end_push(struct memory_end *end, const struct lkl_iovec *iov, int count)
{
	unsigned long bytes = link_frame_room(iov, count);
	struct memory_frame *frame;

	if (end->queued == end->pair->depth)
		return -EAGAIN;
	frame = malloc(sizeof(*frame) + bytes);
	if (!frame)
		return -ENOMEM;
	frame->bytes = bytes;
	link_frame_gather(frame->data, iov, count);
	end->queue[(end->first + end->queued++) % end->pair->depth] = frame;
	end_ring_if_ready(end);
	return (long)bytes;
}

/* Lock held; something is queued. */
static struct memory_frame *end_pop(struct memory_end *end)
{
	struct memory_frame *frame = end->queue[end->first];

	end->first = (end->first + 1) % end->pair->depth;
	end->queued--;
	end_ring_if_ready(end->other);
	return frame;
}

static long memory_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct memory_end *end = end_of(link);
	long bytes;

	pthread_mutex_lock(&end->pair->lock);
	bytes = end->other->closed ? -EPIPE : end_push(end->other, iov, count);
	pthread_mutex_unlock(&end->pair->lock);
	if (bytes >= 0)
		link_count_tx(link, (unsigned long)bytes);
	else if (bytes != -EAGAIN)
		link_count(&link->counters.tx_dropped, 1);
	return bytes;
}

static long memory_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct memory_end *end = end_of(link);
	unsigned long room = link_frame_room(iov, count);
	struct memory_frame *frame = NULL;
	long ret = -EAGAIN;

	pthread_mutex_lock(&end->pair->lock);
	if (end->queued)
		frame = end_pop(end);
	else if (end->other->closed)
		ret = -EPIPE;
	pthread_mutex_unlock(&end->pair->lock);
	if (!frame)
		return ret;
	link_frame_scatter(iov, count, frame->data, frame->bytes);
	ret = link_frame_received(link, iov, count, (long)frame->bytes, frame->bytes > room);
	free(frame);
	return ret;
}

static void memory_poll(struct link *link, unsigned events)
{
	struct memory_end *end = end_of(link);

	pthread_mutex_lock(&end->pair->lock);
	end->want |= events;
	end_ring_if_ready(end);
	pthread_mutex_unlock(&end->pair->lock);
}

static unsigned memory_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct memory_end *end =
		(struct memory_end *)((char *)source - offsetof(struct memory_end, source));
	unsigned events;

	(void)epoll_events;
	pthread_mutex_lock(&end->pair->lock);
	events = end_ready(end) | end->tell;
	end->want &= ~events;
	end->tell = 0;
	pthread_mutex_unlock(&end->pair->lock);
	return events ? end->link.upper->event(end->link.upper, events) : 0;
}

static bool memory_idle(struct link *link)
{
	(void)link;
	return true;
}

static void pair_free(struct memory_pair *pair)
{
	for (int i = 0; i < 2; i++) {
		while (pair->ends[i].queued)
			free(end_pop(&pair->ends[i]));
		free(pair->ends[i].queue);
	}
	pthread_mutex_destroy(&pair->lock);
	free(pair);
}

static void memory_close(struct link *link)
{
	struct memory_end *end = end_of(link), *other = end->other;
	bool last;

	host_io_del(&end->source);
	pthread_mutex_lock(&end->pair->lock);
	end->closed = true;
	last = other->closed;
	if (!last && other->link.upper) {
		other->tell = LKL_NET_DOWN;
		end_ring_if_ready(other);
	}
	pthread_mutex_unlock(&end->pair->lock);
	if (last)
		pair_free(end->pair);
}

static const struct link_ops memory_ops = {
	.kind = "memory",
	.tx = memory_tx,
	.rx = memory_rx,
	.poll = memory_poll,
	.idle = memory_idle,
	.close = memory_close,
};

static int end_init(struct memory_pair *pair, int i)
{
	struct memory_end *end = &pair->ends[i];

	end->pair = pair;
	end->other = &pair->ends[!i];
	end->link.ops = &memory_ops;
	end->link.features = LKL_NET_CSUM | LKL_NET_TSO;
	end->link.carrier = true;
	end->source = (struct host_io_source){ .fd = -1, .event = memory_event };
	end->queue = calloc(pair->depth, sizeof(struct memory_frame *));
	if (!end->queue)
		return -ENOMEM;
	return host_io_add(&end->source);
}

int link_memory_pair(unsigned depth, struct link *out[2])
{
	struct memory_pair *pair;
	int err;

	if (!depth)
		return -EINVAL;
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return -ENOMEM;
	pthread_mutex_init(&pair->lock, NULL);
	pair->depth = depth;
	err = end_init(pair, 0);
	if (err)
		goto fail;
	err = end_init(pair, 1);
	if (err) {
		host_io_del(&pair->ends[0].source);
		goto fail;
	}
	out[0] = &pair->ends[0].link;
	out[1] = &pair->ends[1].link;
	return 0;
fail:
	pair_free(pair);
	return err;
}

int link_memory_inject(struct link *link, const void *bytes, unsigned long len)
{
	struct memory_end *end = end_of(link);
	struct lkl_iovec iov = { (void *)bytes, len };
	long ret;

	pthread_mutex_lock(&end->pair->lock);
	ret = end_push(end, &iov, 1);
	pthread_mutex_unlock(&end->pair->lock);
	return ret < 0 ? (int)ret : 0;
}

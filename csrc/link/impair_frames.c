// SPDX-License-Identifier: GPL-2.0-only
/*
 * Frames on their way through an impaired link.
 */
#include "impair.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "frame.h"

/* Frames taken from inner, or found lost, in one rx: the CPU is held meanwhile. */
#define BURST 64

static bool is_cut(unsigned era)
{
	return era & 1;
}

/* CPU held. */
static void settings_take(struct impair *impair)
{
	if (!__atomic_load_n(&impair->changed, __ATOMIC_ACQUIRE) ||
	    pthread_mutex_trylock(&impair->lock))
		return;
	impair->tx.shape.settings = impair->settings_tx;
	impair->rx.shape.settings = impair->settings_rx;
	__atomic_store_n(&impair->changed, false, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&impair->lock);
}

/* CPU held. Return: the first frame that no cut has hit, or NULL. */
static struct impair_frame *queue_first(struct impair *impair, struct impair_direction *direction)
{
	unsigned era = impair_era(impair);
	struct impair_frame *frame;

	while ((frame = impair_queue_first(&direction->queue)) && frame->era != era) {
		link_count(direction->dropped, 1);
		impair_queue_drop_first(&direction->queue);
	}
	return frame;
}

/* CPU held. Return: false when there is no room. */
static bool queue_add(struct impair *impair, struct impair_direction *direction,
		      const struct lkl_iovec *iov, int count, struct impair_verdict verdict)
{
	unsigned long bytes = link_frame_room(iov, count);
	struct impair_frame *frame = impair_queue_frame(&direction->queue, bytes);

	if (!frame)
		return false;
	frame->due_ns = verdict.due_ns;
	frame->era = impair_era(impair);
	link_frame_gather(frame->data, iov, count);
	impair_queue_add(&direction->queue, frame, verdict.overtakes);
	return true;
}

/* CPU held. Sends on what is due. */
static void tx_flush(struct impair *impair, uint64_t now_ns)
{
	struct link *inner = impair->link.inner;
	struct impair_frame *frame;

	impair->inner_full = false;
	while ((frame = queue_first(impair, &impair->tx)) && frame->due_ns <= now_ns) {
		struct lkl_iovec iov[] = {
			{ frame->data, LKL_VNET_HDR },
			{ frame->data + LKL_VNET_HDR, frame->bytes - LKL_VNET_HDR },
		};
		long bytes = inner->ops->tx(inner, iov, 2);

		if (bytes == -EAGAIN) {
			impair->inner_full = true;
			inner->ops->poll(inner, LKL_NET_TX);
			return;
		}
		impair_queue_drop_first(&impair->tx.queue);
	}
}

/* CPU held. Takes back that it went off. */
static void timer_set(struct impair *impair, uint64_t at_ns)
{
	const struct itimerspec when = {
		.it_value.tv_sec = (time_t)(at_ns / 1000000000u),
		.it_value.tv_nsec = (long)(at_ns % 1000000000u),
	};

	impair->timer_ns = at_ns;
	syscall(SYS_timerfd_settime, impair->timer.fd, TFD_TIMER_ABSTIME, &when, NULL);
}

/* CPU held. */
static void timer_update(struct impair *impair)
{
	struct impair_frame *tx = impair->inner_full ? NULL : queue_first(impair, &impair->tx);
	struct impair_frame *rx = queue_first(impair, &impair->rx);
	uint64_t due = HOST_NEVER;

	if (tx)
		due = tx->due_ns;
	if (rx && rx->due_ns < due)
		due = rx->due_ns;
	if (due == HOST_NEVER)
		return;
	if (due != impair->timer_ns)
		timer_set(impair, due);
	/* Each time: a poller that took the timer's last event late has disarmed this one, too. */
	host_io_arm(&impair->timer, EPOLLIN);
}

/* CPU held. Before frame work. */
static uint64_t frames_begin(struct impair *impair)
{
	uint64_t now = host_clock_monotonic();

	settings_take(impair);
	tx_flush(impair, now);
	return now;
}

/* CPU held. Return: bytes or -errno: it went to inner or is lost; 0: it is to be queued. */
static long tx_at_once(struct impair *impair, const struct lkl_iovec *iov, int count)
{
	struct link *inner = impair->link.inner;
	long bytes = inner->ops->tx(inner, iov, count);

	if (bytes != -EAGAIN)
		return bytes;
	/* Its fate is decided: drawn again, it would not be the same. */
	impair->inner_full = true;
	inner->ops->poll(inner, LKL_NET_TX);
	return 0;
}

/* CPU held. Return: bytes or -errno: it is lost. */
static long tx_once(struct impair *impair, const struct lkl_iovec *iov, int count, uint64_t now,
		    struct impair_verdict verdict)
{
	unsigned long bytes = link_frame_room(iov, count);
	long ret = 0;

	if (verdict.due_ns <= now && !impair_queue_first(&impair->tx.queue))
		ret = tx_at_once(impair, iov, count);
	if (ret < 0)
		return ret;
	if (!ret && !queue_add(impair, &impair->tx, iov, count, verdict)) {
		link_count(impair->tx.dropped, 1);
		return -ENOBUFS;
	}
	link_count_tx(&impair->link, bytes);
	return (long)bytes;
}

/* CPU held. */
static long tx_frame(struct impair *impair, const struct lkl_iovec *iov, int count, uint64_t now)
{
	unsigned long bytes = link_frame_room(iov, count);
	struct impair_verdict verdict;
	long ret;

	if (impair->inner_full)
		return -EAGAIN;
	if (bytes < LINK_FRAME_MIN)
		return -EINVAL;
	verdict = impair_shape_frame(&impair->tx.shape, now, bytes - LKL_VNET_HDR);
	if (verdict.lost || is_cut(impair_era(impair))) {
		link_count(impair->tx.dropped, 1);
		return (long)bytes;
	}
	ret = tx_once(impair, iov, count, now, verdict);
	if (ret > 0 && verdict.comes_twice)
		tx_once(impair, iov, count, now, verdict);
	return ret;
}

long impair_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct impair *impair = impair_of(link);
	long ret = tx_frame(impair, iov, count, frames_begin(impair));

	timer_update(impair);
	return ret;
}

/* CPU held. Nothing waits: straight to the reader. */
static long rx_at_once(struct impair *impair, const struct lkl_iovec *iov, int count, uint64_t now)
{
	struct link *inner = impair->link.inner;

	for (int i = 0; i < BURST; i++) {
		long bytes = inner->ops->rx(inner, iov, count);

		if (bytes < LINK_FRAME_MIN)
			return bytes;
		if (!impair_shape_frame(&impair->rx.shape, now, (unsigned long)bytes - LKL_VNET_HDR)
			     .lost &&
		    !is_cut(impair_era(impair))) {
			link_count_rx(&impair->link, (unsigned long)bytes);
			return bytes;
		}
		link_count(impair->rx.dropped, 1);
	}
	return -ENOBUFS;
}

/* CPU held. Takes what inner has. Return: why it stopped, or 0: there may be more. */
static long rx_take(struct impair *impair, uint64_t now)
{
	struct link *inner = impair->link.inner;

	for (int i = 0; i < BURST; i++) {
		struct lkl_iovec iov = { impair->scratch, LKL_FRAME_MAX };
		long bytes = inner->ops->rx(inner, &iov, 1);
		struct impair_verdict verdict;

		if (bytes == -EAGAIN || bytes == -EPIPE)
			return bytes;
		if (bytes < LINK_FRAME_MIN)
			continue;
		iov.len = (unsigned long)bytes;
		verdict = impair_shape_frame(&impair->rx.shape, now, iov.len - LKL_VNET_HDR);
		if (verdict.lost || is_cut(impair_era(impair)) ||
		    !queue_add(impair, &impair->rx, &iov, 1, verdict))
			link_count(impair->rx.dropped, 1);
		else if (verdict.comes_twice && !queue_add(impair, &impair->rx, &iov, 1, verdict))
			link_count(impair->rx.dropped, 1);
	}
	return 0;
}

/* CPU held. */
static long rx_queued(struct impair *impair, const struct lkl_iovec *iov, int count, uint64_t now,
		      long none)
{
	struct impair_frame *frame = queue_first(impair, &impair->rx);
	long bytes;

	if (!frame)
		return none ? none : -EAGAIN;
	if (frame->due_ns > now)
		return -EAGAIN;
	bytes = (long)frame->bytes;
	if (link_frame_room(iov, count) < frame->bytes) {
		link_count(impair->rx.dropped, 1);
		bytes = -ENOBUFS;
	} else {
		link_frame_scatter(iov, count, frame->data, frame->bytes);
		link_count_rx(&impair->link, frame->bytes);
	}
	impair_queue_drop_first(&impair->rx.queue);
	return bytes;
}

long impair_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct impair *impair = impair_of(link);
	uint64_t now = frames_begin(impair);
	long ret;

	if (impair_shape_is_immediate(&impair->rx.shape) && !impair_queue_first(&impair->rx.queue))
		ret = rx_at_once(impair, iov, count, now);
	else
		ret = rx_queued(impair, iov, count, now, rx_take(impair, now));
	/* A reader who got a frame comes again. */
	if (ret < 0)
		timer_update(impair);
	return ret;
}

void impair_poll(struct link *link, unsigned events)
{
	struct impair *impair = impair_of(link);

	link->inner->ops->poll(link->inner, events);
	/* The reader may have stopped at a frame; what is due was told already, perhaps to a device that was closed. */
	if (events & LKL_NET_RX)
		timer_update(impair);
}

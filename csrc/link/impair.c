// SPDX-License-Identifier: GPL-2.0-only
/*
 * A wrapper that makes a path worse: loss, delay, rate, reordering, cuts.
 */
#include "impair.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* On a polling thread. */
static unsigned tell(struct impair *impair, unsigned events)
{
	bool shown;
	unsigned irq;

	/* Held while it is told, so that UP and DOWN keep their order. */
	pthread_mutex_lock(&impair->lock);
	if (events & (LKL_NET_UP | LKL_NET_DOWN))
		impair->inner_carrier = !(events & LKL_NET_DOWN);
	events &= ~(LKL_NET_UP | LKL_NET_DOWN);
	shown = impair->inner_carrier && !impair->hidden;
	if (shown != impair->shown)
		events |= shown ? LKL_NET_UP : LKL_NET_DOWN;
	impair->shown = shown;
	irq = impair->link.upper->event(impair->link.upper, events);
	pthread_mutex_unlock(&impair->lock);
	return irq;
}

static unsigned impair_event(struct link_upper *below, unsigned events)
{
	struct impair *impair = (struct impair *)((char *)below - offsetof(struct impair, below));

	/* Room below: the rx that follows sends what waits. */
	if (events & LKL_NET_TX)
		events |= LKL_NET_RX;
	return tell(impair, events);
}

static unsigned timer_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct impair *impair = (struct impair *)((char *)source - offsetof(struct impair, timer));

	(void)epoll_events;
	return tell(impair, LKL_NET_RX);
}

static void impair_offload(struct link *link, unsigned features)
{
	if (link->inner->ops->offload)
		link->inner->ops->offload(link->inner, features & ~LKL_NET_TSO);
}

static bool impair_idle(struct link *link)
{
	struct impair *impair = impair_of(link);

	return !__atomic_load_n(&impair->tx.queue.held, __ATOMIC_RELAXED) &&
	       !__atomic_load_n(&impair->rx.queue.held, __ATOMIC_RELAXED) &&
	       link->inner->ops->idle(link->inner);
}

static void impair_free(struct impair *impair)
{
	impair_queue_free(&impair->tx.queue);
	impair_queue_free(&impair->rx.queue);
	if (impair->timer.fd >= 0)
		close(impair->timer.fd);
	pthread_mutex_destroy(&impair->lock);
	free(impair->scratch);
	free(impair);
}

static void impair_close(struct link *link)
{
	struct impair *impair = impair_of(link);

	link->inner->ops->close(link->inner);
	host_io_del(&impair->timer);
	impair_free(impair);
}

static const struct link_ops impair_ops = {
	.kind = "impair",
	.tx = impair_tx,
	.rx = impair_rx,
	.poll = impair_poll,
	.offload = impair_offload,
	.idle = impair_idle,
	.close = impair_close,
};

/* Return: 0 or -errno. */
static int resources_take(struct impair *impair)
{
	impair->scratch = malloc(LKL_FRAME_MAX);
	if (!impair->scratch)
		return -ENOMEM;
	impair->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (impair->timer.fd < 0)
		return -errno;
	return host_io_add(&impair->timer);
}

int link_impair_wrap(struct link *inner, uint64_t seed, const struct link_impair_direction *tx,
		     const struct link_impair_direction *rx, struct link **out)
{
	struct impair *impair;
	int err;

	if (!impair_settings_valid(tx) || !impair_settings_valid(rx))
		return -EINVAL;
	impair = calloc(1, sizeof(*impair));
	if (!impair)
		return -ENOMEM;
	pthread_mutex_init(&impair->lock, NULL);
	impair->timer = (struct host_io_source){ .fd = -1, .event = timer_event };
	impair->timer_ns = HOST_NEVER;
	err = resources_take(impair);
	if (err) {
		impair_free(impair);
		return err;
	}
	impair_shape_init(&impair->tx.shape, seed, tx);
	impair_shape_init(&impair->rx.shape, ~seed, rx);
	impair->tx.dropped = &impair->link.counters.tx_dropped;
	impair->rx.dropped = &impair->link.counters.rx_dropped;
	impair->inner_carrier = inner->carrier;
	impair->shown = inner->carrier;
	impair->below.event = impair_event;
	impair->link.ops = &impair_ops;
	impair->link.inner = inner;
	impair->link.features = inner->features & ~LKL_NET_TSO;
	impair->link.carrier = inner->carrier;
	inner->upper = &impair->below;
	impair_offload(&impair->link, inner->features);
	*out = &impair->link;
	return 0;
}

/* Return: the impairment in a stack of wrappers, or NULL. */
static struct impair *impair_find(struct link *link)
{
	while (link && link->ops != &impair_ops)
		link = link->inner;
	return link ? impair_of(link) : NULL;
}

int link_impair_set(struct link *link, const struct link_impair_direction *tx,
		    const struct link_impair_direction *rx)
{
	struct impair *impair = impair_find(link);

	if (!impair || !impair_settings_valid(tx) || !impair_settings_valid(rx))
		return -EINVAL;
	pthread_mutex_lock(&impair->lock);
	impair->settings_tx = *tx;
	impair->settings_rx = *rx;
	__atomic_store_n(&impair->changed, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&impair->lock);
	return 0;
}

int link_impair_cut(struct link *link, bool cut, bool carrier)
{
	struct impair *impair = impair_find(link);

	if (!impair)
		return -EINVAL;
	pthread_mutex_lock(&impair->lock);
	if (cut != (impair_era(impair) & 1))
		__atomic_add_fetch(&impair->era, 1, __ATOMIC_RELEASE);
	impair->hidden = cut && (carrier || impair->hidden);
	pthread_mutex_unlock(&impair->lock);
	/* Tells carrier, and has the queues emptied. */
	host_io_ring(&impair->timer);
	return 0;
}

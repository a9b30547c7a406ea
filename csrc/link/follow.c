// SPDX-License-Identifier: GPL-2.0-only
/*
 * A wrapper that takes a link's carrier away while what it stands on in the host is not up.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"
#include "uplink.h"

struct follow {
	struct link link;
	struct link_upper below; /* what inner tells */
	struct uplink uplink;

	pthread_mutex_t lock; /* for what follows */
	bool inner_carrier, uplink_up, shown;
};

static struct follow *follow_of(struct link *link)
{
	return (struct follow *)link;
}

/* Lock held while it is told, so that UP and DOWN keep their order. */
static unsigned tell(struct follow *follow, unsigned events)
{
	bool shown = follow->inner_carrier && follow->uplink_up;

	events &= ~(LKL_NET_UP | LKL_NET_DOWN);
	if (shown != follow->shown)
		events |= shown ? LKL_NET_UP : LKL_NET_DOWN;
	follow->shown = shown;
	return events ? follow->link.upper->event(follow->link.upper, events) : 0;
}

static unsigned follow_event(struct link_upper *below, unsigned events)
{
	struct follow *follow = (struct follow *)((char *)below - offsetof(struct follow, below));
	unsigned irq;

	pthread_mutex_lock(&follow->lock);
	if (events & (LKL_NET_UP | LKL_NET_DOWN))
		follow->inner_carrier = events & LKL_NET_UP;
	irq = tell(follow, events);
	pthread_mutex_unlock(&follow->lock);
	return irq;
}

static unsigned uplink_changed(struct uplink *uplink, bool up)
{
	struct follow *follow = (struct follow *)((char *)uplink - offsetof(struct follow, uplink));
	unsigned irq;

	pthread_mutex_lock(&follow->lock);
	follow->uplink_up = up;
	irq = tell(follow, 0);
	pthread_mutex_unlock(&follow->lock);
	return irq;
}

static long follow_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	return link->inner->ops->tx(link->inner, iov, count);
}

static long follow_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	return link->inner->ops->rx(link->inner, iov, count);
}

static void follow_poll(struct link *link, unsigned events)
{
	link->inner->ops->poll(link->inner, events);
	uplink_poll(&follow_of(link)->uplink);
}

static void follow_offload(struct link *link, unsigned features)
{
	if (link->inner->ops->offload)
		link->inner->ops->offload(link->inner, features);
}

static bool follow_idle(struct link *link)
{
	return link->inner->ops->idle(link->inner);
}

static void follow_close(struct link *link)
{
	struct follow *follow = follow_of(link);

	uplink_close(&follow->uplink);
	link->inner->ops->close(link->inner);
	pthread_mutex_destroy(&follow->lock);
	free(follow);
}

static const struct link_ops follow_ops = {
	.kind = "follow",
	.counts_inside = true,
	.tx = follow_tx,
	.rx = follow_rx,
	.poll = follow_poll,
	.offload = follow_offload,
	.idle = follow_idle,
	.close = follow_close,
};

/* Return: 0, or -ENODEV: there is no such interface; an address may come later. */
static int uplink_parse(struct uplink *uplink, const char *text)
{
	struct sockaddr_in *ipv4 = (struct sockaddr_in *)&uplink->address;
	struct sockaddr_in6 *ipv6 = (struct sockaddr_in6 *)&uplink->address;

	if (inet_pton(AF_INET, text, &ipv4->sin_addr) == 1) {
		ipv4->sin_family = AF_INET;
		return 0;
	}
	if (inet_pton(AF_INET6, text, &ipv6->sin6_addr) == 1) {
		ipv6->sin6_family = AF_INET6;
		return 0;
	}
	if (strlen(text) >= sizeof(uplink->device) || !if_nametoindex(text))
		return -ENODEV;
	memcpy(uplink->device, text, strlen(text));
	return 0;
}

int link_follow_wrap(struct link *inner, const char *uplink, struct link **out)
{
	struct follow *follow = calloc(1, sizeof(*follow));
	int err;

	if (!follow)
		return -ENOMEM;
	follow->uplink.changed = uplink_changed;
	err = uplink_parse(&follow->uplink, uplink);
	if (!err)
		err = uplink_open(&follow->uplink);
	if (err) {
		free(follow);
		return err;
	}
	pthread_mutex_init(&follow->lock, NULL);
	follow->inner_carrier = inner->carrier;
	follow->uplink_up = follow->uplink.up;
	follow->shown = follow->inner_carrier && follow->uplink_up;
	follow->below.event = follow_event;
	follow->link.ops = &follow_ops;
	follow->link.inner = inner;
	follow->link.features = inner->features;
	follow->link.carrier = follow->shown;
	inner->upper = &follow->below;
	*out = &follow->link;
	return 0;
}

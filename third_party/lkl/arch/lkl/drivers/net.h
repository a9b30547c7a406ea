/* SPDX-License-Identifier: GPL-2.0-only */
/* The net device over a host link: what its two files share. */
#ifndef _LKL_NET_H
#define _LKL_NET_H

#include <linux/list.h>
#include <linux/netdevice.h>
#include <linux/workqueue.h>

/* Receive buffers come in blocks of this order; a frame lies in up to three. */
#define RX_BLOCK_ORDER	PAGE_ALLOC_COSTLY_ORDER
#define RX_BLOCKS	3

struct lkl_netdev {
	struct net_device *dev;
	struct list_head list;
	struct work_struct mtu_work;
	unsigned int link_mtu;		/* what the link takes, set by any thread, atomic */
	void *link;
	unsigned int events;		/* LKL_NET_*, set by any thread, atomic */
	bool link_carrier;		/* what the link has */
	bool held_down;			/* IFLA_CARRIER 0 was asked for */

	/* Receive; in softirq. Blocks are filled in order, the first from rx_offset on. */
	struct napi_struct napi;
	struct sk_buff *rx_skb;
	struct page *rx_block[RX_BLOCKS];
	unsigned int rx_size[RX_BLOCKS];
	unsigned int rx_offset;
};

int lkl_net_rx_poll(struct napi_struct *napi, int budget);
void lkl_net_rx_free(struct lkl_netdev *nd);

#endif

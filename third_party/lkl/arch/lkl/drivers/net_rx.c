// SPDX-License-Identifier: GPL-2.0-only
/*
 * Receive: a frame is read straight into a small skb head and, what is longer, into
 * blocks of pages that frames fill one after the other. So a 64 kB frame needs three buffers and not seventeen,
 * and a 1500-byte one accounts for no more memory than it fills.
 */
#include <linux/etherdevice.h>
#include <linux/mm.h>
#include <linux/skbuff.h>
#include <linux/virtio_net.h>
#include <net/gro.h>

#include "../kernel/cpu.h"
#include "net.h"

/* Headers, and a whole ACK. */
#define RX_HEAD		256
/* Where the next frame starts in a block. */
#define RX_ALIGN	64
/* A long frame. To copy it takes longer than most calls: who waits for the CPU is let in then. */
#define TURN_BYTES	61440

/* Fragmented memory has single pages at least: then the longest frames are lost, and TCP learns to send shorter ones. */
static bool block_alloc(struct lkl_netdev *nd, int i)
{
	static const unsigned int orders[] = { RX_BLOCK_ORDER, 0 };
	int k;

	for (k = 0; k < ARRAY_SIZE(orders) && !nd->rx_block[i]; k++) {
		nd->rx_block[i] = alloc_pages(GFP_ATOMIC | __GFP_NOWARN | __GFP_COMP, orders[k]);
		nd->rx_size[i] = PAGE_SIZE << orders[k];
	}
	return nd->rx_block[i];
}

/* Return: false when there is not the memory for a frame of any size. */
static bool buffers_fill(struct lkl_netdev *nd)
{
	int i;

	if (!nd->rx_skb)
		nd->rx_skb = napi_alloc_skb(&nd->napi, RX_HEAD);
	if (!nd->rx_skb)
		return false;
	for (i = 0; i < RX_BLOCKS; i++)
		if (!block_alloc(nd, i))
			return false;
	return true;
}

void lkl_net_rx_free(struct lkl_netdev *nd)
{
	int i;

	kfree_skb(nd->rx_skb);
	for (i = 0; i < RX_BLOCKS; i++)
		if (nd->rx_block[i])
			put_page(nd->rx_block[i]);
}

/* The first block is full: the others move up. */
static void block_shift(struct lkl_netdev *nd)
{
	int i;

	put_page(nd->rx_block[0]);
	for (i = 1; i < RX_BLOCKS; i++) {
		nd->rx_block[i - 1] = nd->rx_block[i];
		nd->rx_size[i - 1] = nd->rx_size[i];
	}
	nd->rx_block[RX_BLOCKS - 1] = NULL;
	nd->rx_offset = 0;
}

/* Hands len bytes from the blocks' front to the skb. */
static void blocks_take(struct lkl_netdev *nd, struct sk_buff *skb, unsigned int len)
{
	unsigned int part, used;
	int frag = 0;

	while (len) {
		part = min(len, nd->rx_size[0] - nd->rx_offset);
		used = min(ALIGN(part, RX_ALIGN), nd->rx_size[0] - nd->rx_offset);
		get_page(nd->rx_block[0]);
		skb_add_rx_frag(skb, frag++, nd->rx_block[0], nd->rx_offset, part, used);
		nd->rx_offset += used;
		if (nd->rx_offset == nd->rx_size[0])
			block_shift(nd);
		len -= part;
	}
}

/* No memory: the frame is read, so that the link does not stall, and dropped. */
static long frame_drop(struct lkl_netdev *nd)
{
	struct virtio_net_hdr_v1 header;
	u8 scratch[ETH_HLEN];
	struct lkl_iovec iov[] = {
		{ &header, sizeof(header) },
		{ scratch, sizeof(scratch) },
	};
	long ret = lkl_ops->net_rx(nd->link, iov, ARRAY_SIZE(iov));

	return ret < 0 ? ret : -ENOMEM;
}

static long frame_read(struct lkl_netdev *nd, struct virtio_net_hdr_v1 *header)
{
	struct lkl_iovec iov[2 + RX_BLOCKS];
	unsigned int offset = nd->rx_offset;
	int i, count = 0;

	iov[count++] = (struct lkl_iovec){ header, sizeof(*header) };
	iov[count++] = (struct lkl_iovec){ nd->rx_skb->data, RX_HEAD };
	for (i = 0; i < RX_BLOCKS; i++, offset = 0)
		iov[count++] = (struct lkl_iovec){ page_address(nd->rx_block[i]) + offset,
						   nd->rx_size[i] - offset };
	return lkl_ops->net_rx(nd->link, iov, count);
}

static void frame_receive(struct lkl_netdev *nd, struct virtio_net_hdr_v1 *header, unsigned int len)
{
	struct sk_buff *skb = nd->rx_skb;
	unsigned int head = min_t(unsigned int, len, RX_HEAD);

	nd->rx_skb = NULL;
	skb_put(skb, head);
	blocks_take(nd, skb, len - head);
	dev_sw_netstats_rx_add(nd->dev, len);
	if (header->flags & VIRTIO_NET_HDR_F_DATA_VALID)
		skb->ip_summed = CHECKSUM_UNNECESSARY;
	/* Its offsets count from the Ethernet header, so it goes first. */
	skb_reset_mac_header(skb);
	if (virtio_net_hdr_to_skb(skb, (struct virtio_net_hdr *)header, true)) {
		DEV_STATS_INC(nd->dev, rx_frame_errors);
		kfree_skb(skb);
		return;
	}
	skb->protocol = eth_type_trans(skb, nd->dev);
	skb_reset_network_header(skb);
	napi_gro_receive(&nd->napi, skb);
}

/* Return: bytes taken off the link, or 0: a frame that is lost; -EAGAIN, -EPIPE: there is none. */
static long rx_one(struct lkl_netdev *nd)
{
	struct virtio_net_hdr_v1 header;
	long ret;

	if (likely(buffers_fill(nd)))
		ret = frame_read(nd, &header);
	else
		ret = frame_drop(nd);
	if (ret == -EAGAIN || ret == -EPIPE)
		return ret;
	if (unlikely(ret < (long)sizeof(header) + ETH_HLEN)) {
		DEV_STATS_INC(nd->dev, rx_dropped);
		return 0;
	}
	frame_receive(nd, &header, ret - sizeof(header));
	return ret;
}

int lkl_net_rx_poll(struct napi_struct *napi, int budget)
{
	struct lkl_netdev *nd = container_of(napi, struct lkl_netdev, napi);
	long ret = 0, bytes = 0;
	int done = 0;

	while (done < budget && (ret = rx_one(nd)) >= 0) {
		done++;
		bytes += ret;
		/* Of what is left there the link tells at once, but not when its other end is gone. */
		if (bytes >= TURN_BYTES && lkl_cpu_is_wanted() && netif_carrier_ok(nd->dev))
			break;
	}
	if (done < budget && napi_complete_done(napi, done) && ret != -EPIPE)
		lkl_ops->net_poll(nd->link, LKL_NET_RX);
	return done;
}

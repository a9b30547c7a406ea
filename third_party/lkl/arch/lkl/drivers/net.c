// SPDX-License-Identifier: GPL-2.0-only
/*
 * A net device over a link of the host half: scatter-gather, checksum and segmentation offload, NAPI,
 * carrier. Packet metadata is struct virtio_net_hdr_v1, so that a TAP needs no translation.
 */
#include <linux/etherdevice.h>
#include <linux/ethtool.h>
#include <linux/interrupt.h>
#include <linux/netdevice.h>
#include <linux/rtnetlink.h>
#include <linux/skbuff.h>
#include <linux/virtio_net.h>

#include "../kernel/lkl.h"
#include "net.h"

static LIST_HEAD(devices);

/* Adds the pieces of one skb, without its list. Return: how many there are now; LKL_PIECES_MAX + 1: too many. */
static unsigned int pieces_add(const struct sk_buff *skb, struct lkl_iovec *iov, unsigned int count)
{
	unsigned int i;

	if (count + 1 + skb_shinfo(skb)->nr_frags > LKL_PIECES_MAX)
		return LKL_PIECES_MAX + 1;
	if (skb_headlen(skb))
		iov[count++] = (struct lkl_iovec){ skb->data, skb_headlen(skb) };
	for (i = 0; i < skb_shinfo(skb)->nr_frags; i++) {
		skb_frag_t *frag = &skb_shinfo(skb)->frags[i];

		iov[count++] = (struct lkl_iovec){ skb_frag_address(frag), skb_frag_size(frag) };
	}
	return count;
}

/*
 * Behind iov[0]. What is forwarded, and was put together by GRO, has a list of skbs: cut up again, as for a device
 * that takes none, it would leave in single packets. Return: how many there are then, or 0: no memory.
 */
static unsigned int frame_pieces(struct sk_buff *skb, struct lkl_iovec *iov)
{
	unsigned int count = pieces_add(skb, iov, 1);
	struct sk_buff *part;

	skb_walk_frags(skb, part)
		count = pieces_add(part, iov, count);
	if (likely(count <= LKL_PIECES_MAX))
		return count;
	return skb_linearize(skb) ? 0 : pieces_add(skb, iov, 1);
}

static netdev_tx_t net_xmit(struct sk_buff *skb, struct net_device *dev)
{
	struct lkl_netdev *nd = netdev_priv(dev);
	struct lkl_iovec iov[LKL_PIECES_MAX];
	struct virtio_net_hdr_v1 header = { };
	unsigned int count;
	long ret;

	BUILD_BUG_ON(sizeof(header) != LKL_VNET_HDR);
	BUILD_BUG_ON(MAX_SKB_FRAGS + 2 > LKL_PIECES_MAX);
	if (virtio_net_hdr_from_skb(skb, (struct virtio_net_hdr *)&header, true, false, 0))
		goto drop;
	iov[0] = (struct lkl_iovec){ &header, sizeof(header) };
	count = frame_pieces(skb, iov);
	if (unlikely(!count))
		goto drop;
	skb_tx_timestamp(skb);
	ret = lkl_ops->net_tx(nd->link, iov, count);
	if (ret == -EAGAIN) {
		netif_stop_queue(dev);
		lkl_ops->net_poll(nd->link, LKL_NET_TX);
		return NETDEV_TX_BUSY;
	}
	if (ret < 0)
		goto drop;
	dev_sw_netstats_tx_add(dev, 1, skb->len);
	dev_consume_skb_any(skb);
	return NETDEV_TX_OK;
drop:
	DEV_STATS_INC(dev, tx_dropped);
	dev_kfree_skb_any(skb);
	return NETDEV_TX_OK;
}

static int net_open(struct net_device *dev)
{
	struct lkl_netdev *nd = netdev_priv(dev);

	napi_enable(&nd->napi);
	netif_start_queue(dev);
	lkl_ops->net_poll(nd->link, LKL_NET_RX);
	return 0;
}

static int net_stop(struct net_device *dev)
{
	struct lkl_netdev *nd = netdev_priv(dev);

	netif_stop_queue(dev);
	napi_disable(&nd->napi);
	return 0;
}

/* Interrupts off. */
static void net_set_carrier(struct lkl_netdev *nd)
{
	if (nd->link_carrier && !nd->held_down)
		netif_carrier_on(nd->dev);
	else
		netif_carrier_off(nd->dev);
}

/* An uplink behind the link is known to somebody else only. */
static int net_change_carrier(struct net_device *dev, bool carrier)
{
	struct lkl_netdev *nd = netdev_priv(dev);
	unsigned long flags;

	local_irq_save(flags);
	nd->held_down = !carrier;
	net_set_carrier(nd);
	local_irq_restore(flags);
	return 0;
}

/*
 * The other end is outside of this kernel, as that of a veth is in another namespace: a change of carrier
 * is then told at once, and not up to a second after the last one.
 */
static int net_get_iflink(const struct net_device *dev)
{
	return 0;
}

static const struct net_device_ops net_ops = {
	.ndo_open		= net_open,
	.ndo_stop		= net_stop,
	.ndo_start_xmit		= net_xmit,
	.ndo_set_mac_address	= eth_mac_addr,
	.ndo_validate_addr	= eth_validate_addr,
	.ndo_change_carrier	= net_change_carrier,
	.ndo_get_iflink		= net_get_iflink,
};

static const struct ethtool_ops net_ethtool_ops = {
	.get_link	= ethtool_op_get_link,
};

/* Of two changes of carrier that come before the interrupt, the later one counts. */
void lkl_net_event(void *device, unsigned int events)
{
	struct lkl_netdev *nd = device;
	unsigned int old = __atomic_load_n(&nd->events, __ATOMIC_RELAXED), kept;

	do {
		kept = old;
		if (events & (LKL_NET_UP | LKL_NET_DOWN))
			kept &= ~(LKL_NET_UP | LKL_NET_DOWN);
	} while (!__atomic_compare_exchange_n(&nd->events, &old, kept | events, false,
					      __ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

void lkl_net_mtu(void *device, unsigned int mtu)
{
	struct lkl_netdev *nd = device;

	__atomic_store_n(&nd->link_mtu, mtu, __ATOMIC_RELAXED);
}

static void net_mtu_lower(struct work_struct *work)
{
	struct lkl_netdev *nd = container_of(work, struct lkl_netdev, mtu_work);
	unsigned int mtu = __atomic_load_n(&nd->link_mtu, __ATOMIC_RELAXED);

	rtnl_lock();
	if (mtu < nd->dev->mtu && nd->dev->reg_state == NETREG_REGISTERED)
		dev_set_mtu(nd->dev, mtu);
	rtnl_unlock();
}

static void net_handle(struct lkl_netdev *nd, unsigned int events)
{
	if (events & (LKL_NET_UP | LKL_NET_DOWN)) {
		nd->link_carrier = events & LKL_NET_UP;
		net_set_carrier(nd);
	}
	if (events & LKL_NET_UP)
		lkl_ops->net_poll(nd->link, LKL_NET_RX);
	if (events & (LKL_NET_TX | LKL_NET_DOWN))
		netif_wake_queue(nd->dev);
	if (events & LKL_NET_RX)
		napi_schedule(&nd->napi);
	if (events & LKL_NET_MTU)
		schedule_work(&nd->mtu_work);
}

/* CPU held, interrupts off. */
void lkl_net_interrupt(void)
{
	struct lkl_netdev *nd;
	unsigned int events;

	list_for_each_entry(nd, &devices, list) {
		events = __atomic_exchange_n(&nd->events, 0, __ATOMIC_ACQUIRE);
		if (events)
			net_handle(nd, events);
	}
}

static void net_setup(struct net_device *dev, unsigned int features, unsigned int mtu)
{
	dev->netdev_ops = &net_ops;
	dev->ethtool_ops = &net_ethtool_ops;
	dev->pcpu_stat_type = NETDEV_PCPU_STAT_TSTATS;
	dev->priv_flags |= IFF_LIVE_ADDR_CHANGE;
	dev->min_mtu = ETH_MIN_MTU;
	dev->max_mtu = ETH_MAX_MTU;
	dev->mtu = mtu;
	if (features & LKL_NET_CSUM)
		dev->hw_features |= NETIF_F_SG | NETIF_F_FRAGLIST | NETIF_F_HW_CSUM | NETIF_F_RXCSUM;
	if (features & LKL_NET_TSO)
		dev->hw_features |= NETIF_F_TSO | NETIF_F_TSO6 | NETIF_F_TSO_ECN;
	dev->features = dev->hw_features | NETIF_F_HIGHDMA;
	dev->vlan_features = dev->features;
}

struct net_add_args {
	void *link;
	const char *name;
	const unsigned char *mac;
	unsigned int features, mtu;
	void **device;
};

static long net_add(long *args)
{
	const struct net_add_args *add = (const struct net_add_args *)args[0];
	struct lkl_netdev *nd;
	struct net_device *dev;
	int ret;

	if (!is_valid_ether_addr(add->mac))
		return -EADDRNOTAVAIL;
	if (add->mtu < ETH_MIN_MTU || add->mtu > ETH_MAX_MTU || !dev_valid_name(add->name))
		return -EINVAL;
	dev = alloc_netdev(sizeof(*nd), add->name, NET_NAME_ENUM, ether_setup);
	if (!dev)
		return -ENOMEM;
	nd = netdev_priv(dev);
	nd->dev = dev;
	nd->link = add->link;
	nd->link_carrier = true;
	eth_hw_addr_set(dev, add->mac);
	net_setup(dev, add->features, add->mtu);
	netif_napi_add(dev, &nd->napi, lkl_net_rx_poll);
	INIT_WORK(&nd->mtu_work, net_mtu_lower);
	/* An interrupt may look for it as soon as it can be opened. */
	list_add_tail(&nd->list, &devices);
	*add->device = nd;
	ret = register_netdev(dev);
	if (ret) {
		list_del(&nd->list);
		free_netdev(dev);
		return ret;
	}
	return dev->ifindex;
}

long lkl_net_add(void *link, const char *name, const unsigned char *mac, unsigned int features,
		 unsigned int mtu, void **device)
{
	struct net_add_args add = { link, name, mac, features, mtu, device };
	struct lkl_request request = { .nr = -1, .fn = net_add, .args = { (long)&add } };

	return lkl_submit(&request);
}

static long net_del(long *args)
{
	struct lkl_netdev *nd = (struct lkl_netdev *)args[0];

	unregister_netdev(nd->dev);
	list_del(&nd->list);
	cancel_work_sync(&nd->mtu_work);
	lkl_net_rx_free(nd);
	free_netdev(nd->dev);
	return 0;
}

long lkl_net_del(void *device)
{
	struct lkl_request request = { .nr = -1, .fn = net_del, .args = { (long)device } };

	return lkl_submit(&request);
}

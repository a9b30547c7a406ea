// SPDX-License-Identifier: GPL-2.0-only
/*
 * A link over VXLAN: Ethernet in UDP, to a gateway. Source: RFC 7348.
 *
 * Carrier is that of what the datagrams leave by: the device, or the source address. Errors that
 * come back (ICMP) are counted, and the frame is sent again; a path that has become narrower lowers
 * the MTU. Long frames are cut up here, and their datagrams leave together.
 */
#include "vxlan.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "host/host.h"

#include "checksum.h"
#include "datagrams.h"
#include "frame.h"
#include "segments.h"
#include "socket.h"
#include "uplink.h"
#include "volley.h"

struct vxlan {
	struct link link;
	struct host_io_source in, out;
	struct uplink uplink;
	struct datagrams *datagrams; /* CPU held */
	struct volley *volley;       /* CPU held */
	struct sockaddr_storage remote;
	uint32_t vni;
	bool narrower; /* to be told; atomic */
};

static struct vxlan *vxlan_of(struct link *link)
{
	return (struct vxlan *)link;
}

/* CPU held. */
static void mtu_lower(struct vxlan *vxlan)
{
	unsigned mtu = vxlan_socket_mtu(vxlan->out.fd);

	link_count(&vxlan->link.counters.tx_too_long, 1);
	if (!mtu || mtu >= vxlan->link.mtu)
		return;
	__atomic_store_n(&vxlan->link.mtu, mtu, __ATOMIC_RELAXED);
	__atomic_store_n(&vxlan->narrower, true, __ATOMIC_RELEASE);
	host_io_ring(&vxlan->out);
}

/* CPU held. A frame was lost, or what an earlier one had left to be sent. */
static void lost(struct vxlan *vxlan, int err)
{
	link_count(&vxlan->link.counters.tx_dropped, 1);
	if (err == -EMSGSIZE)
		mtu_lower(vxlan);
}

/* CPU held. Return: 0 or -errno; what there is no room for is held, and not an error. */
static int volley_leave(struct vxlan *vxlan)
{
	int err = volley_send(vxlan->volley);

	if (err != -EAGAIN)
		return err;
	host_io_arm(&vxlan->out, EPOLLOUT);
	return 0;
}

/* CPU held. Sends what was held. */
static void flush(struct vxlan *vxlan)
{
	int err = volley_leave(vxlan);

	if (err)
		lost(vxlan, err);
}

/* CPU held. Return: 0 or -errno. */
static int segments_put(struct vxlan *vxlan, struct segments *segments)
{
	static const struct udp_way connected;
	unsigned long bytes;
	uint8_t *room;

	volley_begin(vxlan->volley, &connected);
	while (segments->rest) {
		room = volley_room(vxlan->volley, VXLAN_HDR + segments_bytes_max(segments));
		if (!room)
			return -ENOBUFS;
		vxlan_header_put(room, vxlan->vni);
		bytes = segments_next(segments, room + VXLAN_HDR);
		volley_add(vxlan->volley, VXLAN_HDR + bytes);
	}
	return 0;
}

/* CPU held. */
static long vxlan_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct vxlan *vxlan = vxlan_of(link);
	const unsigned long bytes = link_frame_room(iov, count);
	struct segments segments;
	int err, left;

	flush(vxlan);
	if (volley_held(vxlan->volley))
		return -EAGAIN;
	err = segments_begin(&segments, SEGMENTS_FINISHED, iov, count);
	if (!err) {
		err = segments_put(vxlan, &segments);
		left = volley_leave(vxlan);
		err = err ? err : left;
	}
	if (err) {
		lost(vxlan, err);
		return err;
	}
	link_count_tx(link, bytes);
	return (long)bytes;
}

/* CPU held. */
static long vxlan_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct vxlan *vxlan = vxlan_of(link);
	struct virtio_net_hdr_v1 header = { 0 };
	struct datagram datagram;
	const char *frame;

	flush(vxlan);
	if (datagrams_next(vxlan->datagrams, &datagram))
		return -EAGAIN;
	if (!vxlan_header_valid(datagram.data, datagram.bytes, vxlan->vni) ||
	    !link_socket_is_host((const struct sockaddr *)datagram.from,
				 (const struct sockaddr *)&vxlan->remote)) {
		link_count(&link->counters.rx_malformed, 1);
		return -EBADMSG;
	}
	frame = datagram.data + VXLAN_HDR;
	link_checksum_detect(&header, frame, datagram.bytes - VXLAN_HDR);
	return link_frame_deliver(link, iov, count, &header, frame, datagram.bytes - VXLAN_HDR);
}

static void vxlan_poll(struct link *link, unsigned events)
{
	struct vxlan *vxlan = vxlan_of(link);

	uplink_poll(&vxlan->uplink);
	if (events & LKL_NET_TX)
		host_io_arm(&vxlan->out, EPOLLOUT);
	if (!(events & LKL_NET_RX))
		return;
	host_io_arm(&vxlan->in, EPOLLIN);
	if (datagrams_held(vxlan->datagrams))
		host_io_ring(&vxlan->in);
}

static unsigned tell(struct vxlan *vxlan, unsigned events)
{
	return events ? vxlan->link.upper->event(vxlan->link.upper, events) : 0;
}

static unsigned in_event(struct host_io_source *source, uint32_t epoll_events)
{
	(void)epoll_events;
	return tell((struct vxlan *)((char *)source - offsetof(struct vxlan, in)), LKL_NET_RX);
}

static unsigned out_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct vxlan *vxlan = (struct vxlan *)((char *)source - offsetof(struct vxlan, out));
	unsigned events = 0;

	if (__atomic_exchange_n(&vxlan->narrower, false, __ATOMIC_ACQUIRE))
		events |= LKL_NET_MTU;
	/* An error is told to the next that is sent. What is held leaves with the rx that follows. */
	if (epoll_events & (EPOLLOUT | EPOLLERR))
		events |= LKL_NET_TX | LKL_NET_RX;
	return tell(vxlan, events);
}

static unsigned uplink_changed(struct uplink *uplink, bool up)
{
	return tell((struct vxlan *)((char *)uplink - offsetof(struct vxlan, uplink)),
		    up ? LKL_NET_UP : LKL_NET_DOWN);
}

static bool vxlan_idle(struct link *link)
{
	return !volley_held(vxlan_of(link)->volley);
}

static void source_close(struct host_io_source *source)
{
	if (source->event)
		host_io_del(source);
	if (source->fd >= 0)
		close(source->fd);
}

static void vxlan_close(struct link *link)
{
	struct vxlan *vxlan = vxlan_of(link);

	if (vxlan->uplink.changed)
		uplink_close(&vxlan->uplink);
	source_close(&vxlan->in);
	source_close(&vxlan->out);
	datagrams_free(vxlan->datagrams);
	volley_free(vxlan->volley);
	free(vxlan);
}

static const struct link_ops vxlan_ops = {
	.kind = "vxlan",
	.tx = vxlan_tx,
	.rx = vxlan_rx,
	.poll = vxlan_poll,
	.idle = vxlan_idle,
	.close = vxlan_close,
};

/* Return: 0 or -errno. fd is closed with the source. */
static int source_open(struct host_io_source *source, int fd,
		       unsigned (*event)(struct host_io_source *, uint32_t))
{
	int err;

	if (fd < 0)
		return fd;
	source->fd = fd;
	source->event = event;
	err = host_io_add(source);
	if (err)
		source->event = NULL;
	return err;
}

/* Return: 0 or -errno. */
static int uplink_start(struct vxlan *vxlan, const char *device)
{
	socklen_t bytes = sizeof(vxlan->uplink.address);
	int err;

	vxlan->uplink.ifindex = *device ? if_nametoindex(device) : 0;
	if (getsockname(vxlan->out.fd, (struct sockaddr *)&vxlan->uplink.address, &bytes))
		return -errno;
	vxlan->uplink.changed = uplink_changed;
	err = uplink_open(&vxlan->uplink);
	if (err)
		vxlan->uplink.changed = NULL;
	vxlan->link.carrier = vxlan->uplink.up;
	return err;
}

int link_vxlan_open(const struct link_vxlan *settings, struct link **out)
{
	struct vxlan *vxlan = calloc(1, sizeof(*vxlan));
	int err;

	if (!vxlan)
		return -ENOMEM;
	vxlan->link.ops = &vxlan_ops;
	vxlan->link.features = LKL_NET_CSUM | LKL_NET_TSO;
	vxlan->in.fd = vxlan->out.fd = -1;
	vxlan->remote = settings->remote;
	vxlan->vni = settings->vni;
	err = source_open(&vxlan->in, vxlan_socket_in(settings), in_event);
	if (!err)
		err = source_open(&vxlan->out, vxlan_socket_out(settings), out_event);
	if (!err)
		err = uplink_start(vxlan, settings->device);
	if (!err) {
		vxlan->link.mtu = vxlan_socket_mtu(vxlan->out.fd);
		vxlan->datagrams = datagrams_new(vxlan->in.fd);
		vxlan->volley = volley_new(vxlan->out.fd, &vxlan->link.counters.path_errors);
		err = vxlan->datagrams && vxlan->volley ? 0 : -ENOMEM;
	}
	if (err) {
		vxlan_close(&vxlan->link);
		return err;
	}
	*out = &vxlan->link;
	return 0;
}

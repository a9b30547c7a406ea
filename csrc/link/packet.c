// SPDX-License-Identifier: GPL-2.0-only
/*
 * A link over a packet socket: a station of its own on a network interface of the host.
 *
 * Carrier is that of the interface, told by uplink; when the interface goes, the socket stays
 * without one.
 */
#include "packet.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host.h"

#include "frame.h"
#include "uplink.h"

/* The socket's header; ours has two more bytes, always zero. */
#define SHORT_HDR (sizeof(struct virtio_net_hdr))

struct packet {
	struct link link;
	struct host_io_source device;
	struct uplink uplink;
};

static struct packet *packet_of(struct link *link)
{
	return (struct packet *)link;
}

/* A frame's pieces without the end of the header. Return: how many. */
static int header_shorten(const struct lkl_iovec *iov, int count, struct iovec *out)
{
	int used = 0;

	out[used++] = (struct iovec){ iov[0].base, SHORT_HDR };
	if (iov[0].len > LKL_VNET_HDR)
		out[used++] = (struct iovec){ (char *)iov[0].base + LKL_VNET_HDR,
					      iov[0].len - LKL_VNET_HDR };
	for (int i = 1; i < count; i++)
		out[used++] = (struct iovec){ iov[i].base, iov[i].len };
	return used;
}

/* CPU held. */
static long packet_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct iovec pieces[LKL_PIECES_MAX + 1];
	struct msghdr message = { .msg_iov = pieces };
	long bytes;

	if (count > LKL_PIECES_MAX)
		return -EINVAL;
	message.msg_iovlen = (size_t)header_shorten(iov, count, pieces);
	bytes = syscall(SYS_sendmsg, packet_of(link)->device.fd, &message, MSG_DONTWAIT);
	if (bytes >= 0) {
		bytes += LKL_VNET_HDR - (long)SHORT_HDR;
		link_count_tx(link, (unsigned long)bytes);
		return bytes;
	}
	if (errno == EAGAIN)
		return -EAGAIN;
	link_count(&link->counters.tx_dropped, 1);
	return -errno;
}

/* CPU held. */
static long packet_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct iovec pieces[LKL_PIECES_MAX + 1];
	struct msghdr message = { .msg_iov = pieces };
	long bytes;

	if (count > LKL_PIECES_MAX)
		return -EINVAL;
	message.msg_iovlen = (size_t)header_shorten(iov, count, pieces);
	bytes = syscall(SYS_recvmsg, packet_of(link)->device.fd, &message, MSG_DONTWAIT);
	/* The device went down: told once. What it could not describe is lost: told with it. */
	if (bytes < 0 && errno == EINVAL) {
		link_count(&link->counters.rx_malformed, 1);
		return -EBADMSG;
	}
	if (bytes < 0)
		return -EAGAIN;
	memset((char *)iov[0].base + SHORT_HDR, 0, LKL_VNET_HDR - SHORT_HDR);
	return link_frame_received(link, iov, count, bytes + LKL_VNET_HDR - (long)SHORT_HDR,
				   message.msg_flags & MSG_TRUNC);
}

static void packet_poll(struct link *link, unsigned events)
{
	struct packet *packet = packet_of(link);
	uint32_t epoll_events = 0;

	if (events & LKL_NET_RX)
		epoll_events |= EPOLLIN;
	if (events & LKL_NET_TX)
		epoll_events |= EPOLLOUT;
	host_io_arm(&packet->device, epoll_events);
	uplink_poll(&packet->uplink);
}

static unsigned device_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct packet *packet = (struct packet *)((char *)source - offsetof(struct packet, device));
	socklen_t bytes = sizeof(int);
	unsigned events = 0;
	int error;

	if (epoll_events & EPOLLERR)
		getsockopt(source->fd, SOL_SOCKET, SO_ERROR, &error, &bytes);
	/* An error has ended all interest: who waits asks again. */
	if (epoll_events & (EPOLLIN | EPOLLERR))
		events |= LKL_NET_RX;
	if (epoll_events & (EPOLLOUT | EPOLLERR))
		events |= LKL_NET_TX;
	return packet->link.upper->event(packet->link.upper, events);
}

static unsigned uplink_changed(struct uplink *uplink, bool up)
{
	struct packet *packet = (struct packet *)((char *)uplink - offsetof(struct packet, uplink));

	return packet->link.upper->event(packet->link.upper, up ? LKL_NET_UP : LKL_NET_DOWN);
}

static bool packet_idle(struct link *link)
{
	(void)link;
	return true;
}

static void packet_close(struct link *link)
{
	struct packet *packet = packet_of(link);

	uplink_close(&packet->uplink);
	host_io_del(&packet->device);
	close(packet->device.fd);
	free(packet);
}

static const struct link_ops packet_ops = {
	.kind = "packet",
	.tx = packet_tx,
	.rx = packet_rx,
	.poll = packet_poll,
	.idle = packet_idle,
	.close = packet_close,
};

int link_packet_adopt(int fd, const uint8_t mac[6], struct link **out)
{
	int ifindex = packet_socket_set_up(fd, mac);
	struct packet *packet;
	int err;

	if (ifindex < 0)
		return ifindex;
	packet = calloc(1, sizeof(*packet));
	if (!packet)
		return -ENOMEM;
	packet->link.ops = &packet_ops;
	packet->link.features = LKL_NET_CSUM | LKL_NET_TSO;
	packet->link.mtu = packet_socket_mtu(fd, (unsigned)ifindex);
	packet->device = (struct host_io_source){ .fd = fd, .event = device_event };
	packet->uplink.ifindex = (unsigned)ifindex;
	packet->uplink.changed = uplink_changed;
	err = uplink_open(&packet->uplink);
	if (err)
		goto fail;
	err = host_io_add(&packet->device);
	if (err) {
		uplink_close(&packet->uplink);
		goto fail;
	}
	packet->link.carrier = packet->uplink.up;
	*out = &packet->link;
	return 0;
fail:
	free(packet);
	return err;
}

int link_packet_open(const char *device, const uint8_t mac[6], struct link **out)
{
	int fd = packet_socket_open(device);
	int err;

	if (fd < 0)
		return fd;
	err = link_packet_adopt(fd, mac, out);
	if (err)
		close(fd);
	return err;
}

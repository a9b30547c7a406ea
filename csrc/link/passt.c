// SPDX-License-Identifier: GPL-2.0-only
/*
 * A link over a stream socket, to passt or whoever speaks its protocol.
 *
 *	UP --peer gone: EPOLLHUP, EPIPE, end of file; out of step--> DOWN
 *
 * Only peer_event() changes the state. tx and rx that meet the end arm the peer, and the event
 * follows.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/host.h"

#include "checksum.h"
#include "frame.h"
#include "passt_reset.h"
#include "passt_stream.h"
#include "socket.h"

/* As passt has it: 64 kB with the header, in whole words of 4 bytes. */
#define MTU 65520

struct passt {
	struct link link;
	struct host_io_source peer;
	struct passt_stream *stream; /* CPU held */
	bool up;                     /* atomic */
};

static struct passt *passt_of(struct link *link)
{
	return (struct passt *)link;
}

static bool is_up(struct passt *passt)
{
	return __atomic_load_n(&passt->up, __ATOMIC_SEQ_CST);
}

/* The end was met: half closed counts as closed. Once it is known it makes no more events. */
static long peer_lost(struct passt *passt)
{
	if (is_up(passt)) {
		shutdown(passt->peer.fd, SHUT_RDWR);
		host_io_arm(&passt->peer, EPOLLIN);
	}
	return -EPIPE;
}

/* CPU held. What was sent in part is finished as soon as there is room. */
static void kept_finish(struct passt *passt)
{
	if (passt_stream_flush(passt->stream) == -EAGAIN)
		host_io_arm(&passt->peer, EPOLLOUT);
}

/* CPU held. Return: 0 or -errno. */
static int frame_send(struct passt *passt, const struct lkl_iovec *iov, int count)
{
	struct iovec pieces[1 + LINK_CHECKSUM_PIECES + LKL_PIECES_MAX];
	struct link_checksum checksum;
	int err;

	if (count > LKL_PIECES_MAX)
		return -EINVAL;
	if (link_frame_room(iov, count) > LKL_VNET_HDR + PASST_FRAME_MAX) {
		link_count(&passt->link.counters.tx_too_long, 1);
		return -EMSGSIZE;
	}
	count = link_checksum_finish(&checksum, iov, count, pieces + 1);
	err = passt_stream_send(passt->stream, pieces, 1 + count);
	if (passt_stream_keeps(passt->stream))
		host_io_arm(&passt->peer, EPOLLOUT);
	return err;
}

/* CPU held. */
static long passt_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct passt *passt = passt_of(link);
	const unsigned long bytes = link_frame_room(iov, count);
	int err = frame_send(passt, iov, count);

	if (!err) {
		link_count_tx(link, bytes);
		return (long)bytes;
	}
	if (err == -EAGAIN)
		return err;
	link_count(&link->counters.tx_dropped, 1);
	return link_socket_peer_error(-err) ? peer_lost(passt) : err;
}

/* CPU held. */
static long passt_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct passt *passt = passt_of(link);
	/* It came through memory of this machine, as from a TAP. */
	const struct virtio_net_hdr_v1 header = { .flags = VIRTIO_NET_HDR_F_DATA_VALID };
	char *frame;
	long bytes;

	kept_finish(passt);
	bytes = passt_stream_next(passt->stream, &frame);
	/* Told once, before what the peer sent until then. */
	if (bytes == -ECONNRESET)
		bytes = passt_stream_next(passt->stream, &frame);
	if (bytes >= 0) {
		passt_reset_complete(frame, (unsigned long)bytes);
		return link_frame_deliver(link, iov, count, &header, frame, (unsigned long)bytes);
	}
	if (bytes == -EPROTO || bytes == -EBADMSG)
		link_count(&link->counters.rx_malformed, 1);
	if (bytes == -EPROTO || bytes == -EBADMSG || link_socket_peer_error((int)-bytes))
		return peer_lost(passt);
	return bytes;
}

static void passt_poll(struct link *link, unsigned events)
{
	struct passt *passt = passt_of(link);
	uint32_t epoll_events = 0;

	if (events & LKL_NET_RX && passt_stream_held(passt->stream))
		host_io_ring(&passt->peer);
	if (!is_up(passt))
		return;
	if (events & LKL_NET_RX)
		epoll_events |= EPOLLIN;
	if (events & LKL_NET_TX)
		epoll_events |= EPOLLOUT;
	host_io_arm(&passt->peer, epoll_events);
}

static unsigned peer_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct passt *passt = (struct passt *)((char *)source - offsetof(struct passt, peer));
	unsigned events = 0;

	if (epoll_events & (EPOLLIN | HOST_IO_RUNG))
		events |= LKL_NET_RX;
	/* The rx that follows finishes what was sent in part. */
	if (epoll_events & EPOLLOUT)
		events |= LKL_NET_TX | LKL_NET_RX;
	if (epoll_events & (EPOLLHUP | EPOLLERR) &&
	    __atomic_exchange_n(&passt->up, false, __ATOMIC_SEQ_CST))
		/* What it had sent is still there to be read. */
		events |= LKL_NET_DOWN | LKL_NET_RX;
	return events ? passt->link.upper->event(passt->link.upper, events) : 0;
}

static bool passt_idle(struct link *link)
{
	struct passt *passt = passt_of(link);

	return !is_up(passt) || !passt_stream_keeps(passt->stream);
}

static void passt_close(struct link *link)
{
	struct passt *passt = passt_of(link);

	host_io_del(&passt->peer);
	close(passt->peer.fd);
	passt_stream_free(passt->stream);
	free(passt);
}

static const struct link_ops passt_ops = {
	.kind = "passt",
	.tx = passt_tx,
	.rx = passt_rx,
	.poll = passt_poll,
	.idle = passt_idle,
	.close = passt_close,
};

/* Return: 0 or -errno: it is no connected stream. */
static int socket_check(int fd)
{
	int family, type;
	int err = link_socket_kind(fd, &family, &type);

	if (err)
		return err;
	if (family != AF_UNIX || type != SOCK_STREAM)
		return -EPROTOTYPE;
	return link_socket_connected(fd);
}

int link_passt_open(int fd, struct link **out)
{
	struct passt *passt;
	int err = socket_check(fd);

	if (err)
		return err;
	passt = calloc(1, sizeof(*passt));
	if (!passt)
		return -ENOMEM;
	link_socket_buffers(fd);
	passt->link.ops = &passt_ops;
	passt->link.features = LKL_NET_CSUM;
	passt->link.mtu = MTU;
	passt->link.carrier = true;
	passt->up = true;
	passt->peer = (struct host_io_source){ .fd = fd, .event = peer_event };
	passt->stream = passt_stream_new(fd);
	err = passt->stream ? host_io_add(&passt->peer) : -ENOMEM;
	if (err) {
		passt_stream_free(passt->stream);
		free(passt);
		return err;
	}
	*out = &passt->link;
	return 0;
}

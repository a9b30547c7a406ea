// SPDX-License-Identifier: GPL-2.0-only
/*
 * A link over a unix socket of messages: one frame a message, to another stack. SOCK_SEQPACKET,
 * or a SOCK_DGRAM socket that was handed in, which learns that its peer is gone when it sends.
 *
 *	UP   --peer gone: EPOLLHUP, EPIPE, end of file--> DOWN
 *	DOWN --somebody connects (listening wires)-->     UP
 *
 * Only events change the state: peer_event() UP to DOWN, listener_event(), armed while it is
 * DOWN, back. tx and rx that meet the end arm the peer, and the event follows. A new peer's
 * socket takes the number of the old one, so tx and rx on other threads never use a number that
 * is not theirs.
 *
 * Who knocks when the process has no descriptor left waits in the queue; the listener looks again
 * after a while.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "host/host.h"

#include "frame.h"
#include "socket.h"
#include "wire.h"

#define AGAIN_NS 100000000

struct wire {
	struct link link;
	struct host_io_source peer;
	struct host_io_source listener; /* fd -1: none */
	struct host_io_source again;    /* a timer of the listener; fd -1: none */
	struct wire_name name;
	bool up; /* atomic */
};

static struct wire *wire_of(struct link *link)
{
	return (struct wire *)link;
}

static bool is_up(struct wire *wire)
{
	return __atomic_load_n(&wire->up, __ATOMIC_SEQ_CST);
}

/* The end was met: half closed counts as closed. */
static long peer_lost(struct wire *wire)
{
	shutdown(wire->peer.fd, SHUT_RDWR);
	host_io_arm(&wire->peer, EPOLLIN);
	return -EPIPE;
}

/* CPU held. */
static long wire_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct wire *wire = wire_of(link);
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
	long bytes = syscall(SYS_sendmsg, wire->peer.fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL);
	int error = errno;

	if (bytes >= 0) {
		link_count_tx(link, (unsigned long)bytes);
		return bytes;
	}
	if (error == EAGAIN)
		return -EAGAIN;
	link_count(&link->counters.tx_dropped, 1);
	if (link_socket_peer_error(error))
		return peer_lost(wire);
	return -error;
}

/* CPU held. */
static long wire_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct wire *wire = wire_of(link);
	struct msghdr message = { .msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)count };
	long bytes = syscall(SYS_recvmsg, wire->peer.fd, &message, MSG_DONTWAIT);

	/* Told once, before what the peer sent until then. */
	if (bytes < 0 && errno == ECONNRESET)
		bytes = syscall(SYS_recvmsg, wire->peer.fd, &message, MSG_DONTWAIT);
	if (bytes < 0)
		return link_socket_peer_error(errno) ? peer_lost(wire) : -errno;
	if (!bytes && link_socket_peer_is_gone(wire->peer.fd))
		return peer_lost(wire);
	return link_frame_received(link, iov, count, bytes, message.msg_flags & MSG_TRUNC);
}

static void wire_poll(struct link *link, unsigned events)
{
	struct wire *wire = wire_of(link);
	uint32_t epoll_events = 0;

	if (!is_up(wire)) {
		if (wire->listener.fd >= 0)
			host_io_arm(&wire->listener, EPOLLIN);
		return;
	}
	if (events & LKL_NET_RX)
		epoll_events |= EPOLLIN;
	if (events & LKL_NET_TX)
		epoll_events |= EPOLLOUT;
	host_io_arm(&wire->peer, epoll_events);
}

static unsigned tell(struct wire *wire, unsigned events)
{
	return events ? wire->link.upper->event(wire->link.upper, events) : 0;
}

static unsigned peer_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct wire *wire = (struct wire *)((char *)source - offsetof(struct wire, peer));
	unsigned events = 0, irq;

	if (!is_up(wire))
		return 0;
	/* The event may be late, and of the peer before. */
	if (epoll_events & (EPOLLHUP | EPOLLERR) && link_socket_peer_is_gone(wire->peer.fd)) {
		__atomic_store_n(&wire->up, false, __ATOMIC_SEQ_CST);
		/* What it had sent is still there to be read. */
		events = LKL_NET_DOWN | LKL_NET_RX;
	}
	if (epoll_events & EPOLLIN)
		events |= LKL_NET_RX;
	if (epoll_events & EPOLLOUT)
		events |= LKL_NET_TX;
	irq = tell(wire, events);
	/* After DOWN is told, so that UP comes after it. */
	if (events & LKL_NET_DOWN && wire->listener.fd >= 0)
		host_io_arm(&wire->listener, EPOLLIN);
	return irq;
}

static void listen_again_later(struct wire *wire)
{
	const struct itimerspec when = { .it_value.tv_nsec = AGAIN_NS };

	syscall(SYS_timerfd_settime, wire->again.fd, 0, &when, NULL);
	host_io_arm(&wire->again, EPOLLIN);
}

static unsigned again_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct wire *wire = (struct wire *)((char *)source - offsetof(struct wire, again));

	(void)epoll_events;
	host_io_arm(&wire->listener, EPOLLIN);
	return 0;
}

static unsigned listener_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct wire *wire = (struct wire *)((char *)source - offsetof(struct wire, listener));
	unsigned irq;
	int fd;

	(void)epoll_events;
	if (is_up(wire))
		return 0;
	fd = wire_socket_accept(source->fd);
	if (fd < 0 || host_io_replace(&wire->peer, fd)) {
		listen_again_later(wire);
		return 0;
	}
	irq = tell(wire, LKL_NET_UP | LKL_NET_RX | LKL_NET_TX);
	/* After UP is told, so that DOWN comes after it; what asked meanwhile was sent here. */
	__atomic_store_n(&wire->up, true, __ATOMIC_SEQ_CST);
	host_io_arm(&wire->peer, EPOLLIN);
	return irq;
}

static bool wire_idle(struct link *link)
{
	(void)link;
	return true;
}

static void wire_close(struct link *link)
{
	struct wire *wire = wire_of(link);

	if (wire->listener.fd >= 0) {
		/* First: they touch each other, and the peer. */
		host_io_del(&wire->again);
		host_io_del(&wire->listener);
		close(wire->again.fd);
		close(wire->listener.fd);
		wire_name_remove(&wire->name);
	}
	host_io_del(&wire->peer);
	close(wire->peer.fd);
	free(wire->name.path);
	free(wire);
}

static const struct link_ops wire_ops = {
	.kind = "wire",
	.tx = wire_tx,
	.rx = wire_rx,
	.poll = wire_poll,
	.idle = wire_idle,
	.close = wire_close,
};

/* Return: 0 or -errno; fd is not closed then. */
static int wire_new(int fd, bool up, struct wire **out)
{
	struct wire *wire = calloc(1, sizeof(*wire));
	int err;

	if (!wire)
		return -ENOMEM;
	wire->link.ops = &wire_ops;
	wire->link.features = LKL_NET_CSUM | LKL_NET_TSO;
	wire->link.carrier = up;
	wire->up = up;
	wire->peer = (struct host_io_source){ .fd = fd, .event = peer_event };
	wire->listener = (struct host_io_source){ .fd = -1, .event = listener_event };
	wire->again = (struct host_io_source){ .fd = -1, .event = again_event };
	err = host_io_add(&wire->peer);
	if (err) {
		free(wire);
		return err;
	}
	*out = wire;
	return 0;
}

int link_wire_open(int fd, struct link **out)
{
	struct wire *wire;
	int err = wire_socket_check(fd);

	if (err)
		return err;
	link_socket_buffers(fd);
	err = wire_new(fd, true, &wire);
	if (!err)
		*out = &wire->link;
	return err;
}

int link_wire_connect(const char *path, struct link **out)
{
	int fd = link_socket_unix_connect(path, SOCK_SEQPACKET);
	int err;

	if (fd < 0)
		return fd;
	err = link_wire_open(fd, out);
	if (err)
		close(fd);
	return err;
}

/* Return: 0 or -errno; then there is nothing of it. */
static int source_open(struct host_io_source *source, int fd)
{
	int err;

	if (fd < 0)
		return fd;
	source->fd = fd;
	err = host_io_add(source);
	if (err) {
		close(fd);
		source->fd = -1;
	}
	return err;
}

static int timer_open(void)
{
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

	return fd < 0 ? -errno : fd;
}

/* Gives the wire a listener. Return: 0 or -errno. */
static int wire_listen(struct wire *wire, const char *path)
{
	int err = source_open(&wire->again, timer_open());

	if (err)
		return err;
	err = source_open(&wire->listener, wire_socket_listen(path, &wire->name));
	if (!err)
		return 0;
	wire_name_remove(&wire->name);
	host_io_del(&wire->again);
	close(wire->again.fd);
	return err;
}

int link_wire_listen(const char *path, struct link **out)
{
	struct wire *wire;
	int fd = wire_socket_dead();
	int err;

	if (fd < 0)
		return fd;
	err = wire_new(fd, false, &wire);
	if (err) {
		close(fd);
		return err;
	}
	err = wire_listen(wire, path);
	if (err) {
		wire_close(&wire->link);
		return err;
	}
	*out = &wire->link;
	return 0;
}

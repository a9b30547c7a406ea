// SPDX-License-Identifier: GPL-2.0-only
/*
 * A link over a TAP device: the other end is a network interface of the host.
 *
 * Carrier follows the device's IFF_UP, which shows as EPOLLOUT; that it was cleared shows only
 * when a frame is sent (EIO). The device deleted shows as EPOLLERR.
 *
 *	UP      --tx: EIO-->                   FALLING (the source is rung)
 *	FALLING --event: tells LKL_NET_DOWN--> DOWN
 *	DOWN    --EPOLLOUT: tells LKL_NET_UP-> UP
 *	any --EPOLLERR, EBADFD--> GONE
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/host.h"

#include "frame.h"

enum tap_state { TAP_DOWN, TAP_UP, TAP_FALLING, TAP_GONE };

struct tap {
	struct link link;
	struct host_io_source device;
	enum tap_state state; /* atomic */
};

static struct tap *tap_of(struct link *link)
{
	return (struct tap *)link;
}

static enum tap_state state_of(struct tap *tap)
{
	return __atomic_load_n(&tap->state, __ATOMIC_SEQ_CST);
}

/* Return: true if the caller made the change. */
static bool state_change(struct tap *tap, enum tap_state from, enum tap_state to)
{
	return __atomic_compare_exchange_n(&tap->state, &from, to, false, __ATOMIC_SEQ_CST,
					   __ATOMIC_SEQ_CST);
}

/* An error of the device. Return: what tx and rx return for it. */
static long tap_failed(struct tap *tap, int error)
{
	switch (error) {
	case EAGAIN:
		return -EAGAIN;
	case EIO:
		if (state_change(tap, TAP_UP, TAP_FALLING))
			host_io_ring(&tap->device);
		return -EIO;
	case EBADFD:
		/* An event with EPOLLERR follows. */
		host_io_arm(&tap->device, EPOLLIN);
		return -EPIPE;
	default:
		return -error;
	}
}

/* CPU held. */
static long tap_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct tap *tap = tap_of(link);
	long bytes = syscall(SYS_writev, tap->device.fd, iov, count);
	int error = errno;

	if (bytes >= 0) {
		link_count_tx(link, (unsigned long)bytes);
		return bytes;
	}
	if (error != EAGAIN)
		link_count(&link->counters.tx_dropped, 1);
	return tap_failed(tap, error);
}

/* CPU held. */
static long tap_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct tap *tap = tap_of(link);
	long bytes = syscall(SYS_readv, tap->device.fd, iov, count);

	if (bytes < 0)
		return tap_failed(tap, errno);
	/* The device does not say that it cut a frame. */
	return link_frame_received(link, iov, count, bytes,
				   (unsigned long)bytes == link_frame_room(iov, count));
}

static void tap_poll(struct link *link, unsigned events)
{
	struct tap *tap = tap_of(link);
	uint32_t epoll_events = 0;

	if (events & LKL_NET_RX)
		epoll_events |= EPOLLIN;
	if (events & LKL_NET_TX || state_of(tap) == TAP_DOWN)
		epoll_events |= EPOLLOUT;
	host_io_arm(&tap->device, epoll_events);
}

/* What the state makes of an event. Return: LKL_NET_*. */
static unsigned carrier_event(struct tap *tap, uint32_t epoll_events)
{
	if (epoll_events & EPOLLERR && state_of(tap) != TAP_GONE) {
		__atomic_store_n(&tap->state, TAP_GONE, __ATOMIC_SEQ_CST);
		/* A reader who waits meets -EPIPE. */
		return LKL_NET_DOWN | LKL_NET_RX;
	}
	if (epoll_events & HOST_IO_RUNG && state_change(tap, TAP_FALLING, TAP_DOWN))
		return LKL_NET_DOWN;
	if (epoll_events & EPOLLOUT && state_change(tap, TAP_DOWN, TAP_UP))
		return LKL_NET_UP;
	return 0;
}

static unsigned device_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct tap *tap = (struct tap *)((char *)source - offsetof(struct tap, device));
	unsigned events = carrier_event(tap, epoll_events);
	unsigned irq = 0;

	if (epoll_events & EPOLLIN)
		events |= LKL_NET_RX;
	if (epoll_events & EPOLLOUT)
		events |= LKL_NET_TX;
	if (events)
		irq = tap->link.upper->event(tap->link.upper, events);
	/* After DOWN is told, so that UP comes after it. */
	if (state_of(tap) == TAP_DOWN)
		host_io_arm(source, EPOLLOUT);
	return irq;
}

/* An old host may know less; then it gives us what everybody understands. */
static void tap_offload(struct link *link, unsigned features)
{
	unsigned long offload = 0;

	if (features & LKL_NET_CSUM)
		offload |= TUN_F_CSUM;
	if (features & LKL_NET_CSUM && features & LKL_NET_TSO)
		offload |= TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN;
	if (ioctl(tap_of(link)->device.fd, TUNSETOFFLOAD, offload))
		ioctl(tap_of(link)->device.fd, TUNSETOFFLOAD, 0);
}

static bool tap_idle(struct link *link)
{
	(void)link;
	return true;
}

static void tap_close(struct link *link)
{
	struct tap *tap = tap_of(link);

	host_io_del(&tap->device);
	close(tap->device.fd);
	free(tap);
}

static const struct link_ops tap_ops = {
	.kind = "tap",
	.tx = tap_tx,
	.rx = tap_rx,
	.poll = tap_poll,
	.offload = tap_offload,
	.idle = tap_idle,
	.close = tap_close,
};

/* Return: 0 or -errno. */
static int device_attach(int fd, const char *name)
{
	struct ifreq request = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };

	if (!name || !*name || strlen(name) >= IFNAMSIZ)
		return -EINVAL;
	strcpy(request.ifr_name, name);
	if (!ioctl(fd, TUNSETIFF, &request))
		return 0;
	/* Making one was refused, or opening one that is there. */
	if (errno == EPERM && !if_nametoindex(name))
		return -ENODEV;
	return -errno;
}

/*
 * TUNGETIFF shows IFF_NOFILTER in the bit of IFF_NO_PI: that is only itself while
 * there is a filter. Return: IFF_*, 0: not a TAP, or -errno.
 */
static int device_flags(int fd)
{
	struct sock_filter accept_all = { .code = BPF_RET | BPF_K, .k = UINT32_MAX };
	struct sock_fprog mine = { .len = 1, .filter = &accept_all }, theirs = { 0 };
	struct ifreq request = { 0 };
	bool filtered;

	if (ioctl(fd, TUNGETIFF, &request))
		return -EINVAL;
	if (!(request.ifr_flags & IFF_TAP))
		return 0;
	filtered = !ioctl(fd, TUNGETFILTER, &theirs) && theirs.len;
	if (!filtered && ioctl(fd, TUNATTACHFILTER, &mine))
		return -errno;
	if (ioctl(fd, TUNGETIFF, &request))
		request.ifr_flags = 0;
	if (!filtered)
		ioctl(fd, TUNDETACHFILTER, 0);
	return (unsigned short)request.ifr_flags;
}

/* Return: 0 or -errno. */
static int device_check(int fd)
{
	const int wanted = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
	int status = fcntl(fd, F_GETFL), flags;

	if (status < 0)
		return -errno;
	flags = device_flags(fd);
	if (flags < 0)
		return flags;
	if ((flags & wanted) != wanted)
		return -EINVAL;
	return fcntl(fd, F_SETFL, status | O_NONBLOCK) ? -errno : 0;
}

/* Return: 0 or -errno. */
static int device_set_up(int fd)
{
	const int header_bytes = LKL_VNET_HDR, little_endian = 1;

	if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes))
		return -errno;
	/* Hosts without it are little endian here anyway. */
	ioctl(fd, TUNSETVNETLE, &little_endian);
	return 0;
}

/* Return: descriptor or -errno. */
static int device_open(const char *name)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	int err;

	if (fd < 0)
		return -errno;
	err = device_attach(fd, name);
	if (!err)
		return fd;
	close(fd);
	return err;
}

static bool device_is_up(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLOUT };

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & POLLOUT;
}

/* Return: 0 or -errno; fd is not closed then. */
static int tap_new(int fd, struct link **out)
{
	struct tap *tap = calloc(1, sizeof(*tap));
	int err;

	if (!tap)
		return -ENOMEM;
	tap->device = (struct host_io_source){ .fd = fd, .event = device_event };
	err = host_io_add(&tap->device);
	if (err) {
		free(tap);
		return err;
	}
	tap->link.ops = &tap_ops;
	tap->link.features = LKL_NET_CSUM | LKL_NET_TSO;
	tap->link.carrier = device_is_up(fd);
	tap->state = tap->link.carrier ? TAP_UP : TAP_DOWN;
	tap_offload(&tap->link, tap->link.features);
	*out = &tap->link;
	return 0;
}

int link_tap_open(const char *name, int fd, struct link **out)
{
	int opened = -1, err = 0;

	if (fd < 0) {
		opened = device_open(name);
		if (opened < 0)
			return opened;
		fd = opened;
	} else {
		err = device_check(fd);
	}
	if (!err)
		err = device_set_up(fd);
	if (!err)
		err = tap_new(fd, out);
	if (err && opened >= 0)
		close(opened);
	return err;
}

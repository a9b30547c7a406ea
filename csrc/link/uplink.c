// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interfaces and addresses of the host, followed.
 */
#include "uplink.h"

#include <errno.h>
#include <ifaddrs.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "socket.h"

/* net/if.h has not heard of it, and linux/if.h does not go with that. */
#define FLAG_LOWER_UP 0x10000u

/* Of those that a device has by itself no use is made. */
static bool is_routable(const struct sockaddr *address)
{
	const struct sockaddr_in6 *ipv6 = (const void *)address;

	return address->sa_family == AF_INET ||
	       (address->sa_family == AF_INET6 && !IN6_IS_ADDR_LINKLOCAL(&ipv6->sin6_addr));
}

static bool is_it(const struct uplink *uplink, const struct ifaddrs *entry)
{
	const struct sockaddr_ll *device = (const void *)entry->ifa_addr;

	if (!entry->ifa_addr)
		return false;
	if (*uplink->device)
		return device->sll_family == AF_PACKET && !strcmp(entry->ifa_name, uplink->device);
	if (uplink->ifindex)
		return device->sll_family == AF_PACKET &&
		       (unsigned)device->sll_ifindex == uplink->ifindex;
	return link_socket_is_host(entry->ifa_addr, (const struct sockaddr *)&uplink->address);
}

/* If the host does not tell, it is as it was. */
static bool is_up(struct uplink *uplink)
{
	/* Carrier, and that the host has begun to send. */
	const unsigned wanted = IFF_UP | IFF_RUNNING | FLAG_LOWER_UP;
	bool up = false, has_address = false;
	struct ifaddrs *entries;

	if (getifaddrs(&entries))
		return uplink->up;
	for (struct ifaddrs *entry = entries; entry; entry = entry->ifa_next) {
		if (is_it(uplink, entry))
			up |= (entry->ifa_flags & wanted) == wanted;
		else if (entry->ifa_addr && !strcmp(entry->ifa_name, uplink->device))
			has_address |= is_routable(entry->ifa_addr);
	}
	freeifaddrs(entries);
	uplink->had_address |= has_address;
	return up && (has_address || !uplink->had_address);
}

static void news_drop(int fd)
{
	char news[4096];

	/* ENOBUFS: there were more than it kept. */
	while (recv(fd, news, sizeof(news), MSG_DONTWAIT | MSG_TRUNC) >= 0 || errno == ENOBUFS)
		;
}

static unsigned news_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct uplink *uplink = (struct uplink *)((char *)source - offsetof(struct uplink, news));
	unsigned irq = 0;
	bool up;

	(void)epoll_events;
	/* First: what changes later is new again. */
	news_drop(source->fd);
	up = is_up(uplink);
	if (up != uplink->up) {
		uplink->up = up;
		irq = uplink->changed(uplink, up);
	}
	host_io_arm(source, EPOLLIN);
	return irq;
}

int uplink_open(struct uplink *uplink)
{
	const struct sockaddr_nl groups = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int err = 0;

	if (fd < 0)
		return -errno;
	if (bind(fd, (const struct sockaddr *)&groups, sizeof(groups)))
		err = -errno;
	uplink->news = (struct host_io_source){ .fd = fd, .event = news_event };
	if (!err)
		err = host_io_add(&uplink->news);
	if (err) {
		close(fd);
		return err;
	}
	uplink->up = is_up(uplink);
	return 0;
}

void uplink_poll(struct uplink *uplink)
{
	host_io_arm(&uplink->news, EPOLLIN);
}

void uplink_close(struct uplink *uplink)
{
	host_io_del(&uplink->news);
	close(uplink->news.fd);
}

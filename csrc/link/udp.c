// SPDX-License-Identifier: GPL-2.0-only
/*
 * UDP sockets of the host.
 */
#include "udp.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"

#define UDP_HDR 8
#define IP4_HDR 20
#define IP6_HDR 40

socklen_t udp_address_bytes(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) :
					       sizeof(struct sockaddr_in6);
}

static void address_set_port(struct sockaddr_storage *address, uint16_t port)
{
	/* Both families have it in the same place. */
	((struct sockaddr_in *)address)->sin_port = htons(port);
}

int udp_open(int family, const struct sockaddr_storage *source, uint16_t port, const char *device)
{
	struct sockaddr_storage address = *source;
	const int only = 1;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	address.ss_family = (sa_family_t)family;
	address_set_port(&address, port);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (*device &&
	    setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)))
		err = -errno;
	if (!err && bind(fd, (const struct sockaddr *)&address, udp_address_bytes(&address)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	link_socket_buffers(fd);
	return fd;
}

static int family_of(int fd)
{
	socklen_t bytes = sizeof(int);
	int family;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &bytes) ? AF_UNSPEC : family;
}

int udp_never_fragment(int fd)
{
	const int v6 = family_of(fd) == AF_INET6;
	const int never = v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO;

	return setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
			  v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER, &never, sizeof(never)) ?
		       -errno :
		       0;
}

unsigned udp_path_room(int connected)
{
	const int v6 = family_of(connected) == AF_INET6;
	const int around = UDP_HDR + (v6 ? IP6_HDR : IP4_HDR);
	socklen_t bytes = sizeof(int);
	int mtu;

	if (getsockopt(connected, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU : IP_MTU, &mtu,
		       &bytes) ||
	    mtu <= around)
		return 0;
	/* Of an IPv4 datagram, which must hold it all. */
	return (unsigned)((mtu > 65535 ? 65535 : mtu) - around);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The header and the sockets of a VXLAN link. Source: RFC 7348.
 */
#include "vxlan.h"

#include <errno.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "socket.h"

#define FLAG_VNI 0x08
#define UDP_HDR 8
#define IP4_HDR 20
#define IP6_HDR 40

void vxlan_header_put(uint8_t header[VXLAN_HDR], uint32_t vni)
{
	const uint8_t bytes[VXLAN_HDR] = { FLAG_VNI, 0, 0, 0, (uint8_t)(vni >> 16),
					   (uint8_t)(vni >> 8), (uint8_t)vni, 0 };

	memcpy(header, bytes, VXLAN_HDR);
}

bool vxlan_header_valid(const void *datagram, unsigned long bytes, uint32_t vni)
{
	const uint8_t *header = datagram;

	/* What is reserved is not looked at. */
	return bytes >= VXLAN_HDR + ETH_HLEN && header[0] & FLAG_VNI &&
	       ((uint32_t)header[4] << 16 | (uint32_t)header[5] << 8 | header[6]) == vni;
}

static socklen_t address_bytes(const struct sockaddr_storage *address)
{
	return address->ss_family == AF_INET ? sizeof(struct sockaddr_in) :
					       sizeof(struct sockaddr_in6);
}

static void address_set_port(struct sockaddr_storage *address, uint16_t port)
{
	/* Both families have it in the same place. */
	((struct sockaddr_in *)address)->sin_port = htons(port);
}

/* A socket of the source address and device. Return: descriptor or -errno. */
static int socket_open(const struct link_vxlan *settings, uint16_t port)
{
	struct sockaddr_storage address = settings->source;
	const int only = 1, family = settings->remote.ss_family;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	int err = 0;

	if (fd < 0)
		return -errno;
	address.ss_family = (sa_family_t)family;
	address_set_port(&address, port);
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only));
	if (*settings->device && setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, settings->device,
					    (socklen_t)strlen(settings->device)))
		err = -errno;
	if (!err && bind(fd, (const struct sockaddr *)&address, address_bytes(&address)))
		err = -errno;
	if (err) {
		close(fd);
		return err;
	}
	link_socket_buffers(fd);
	return fd;
}

int vxlan_socket_in(const struct link_vxlan *settings)
{
	return socket_open(settings, settings->local_port);
}

int vxlan_socket_out(const struct link_vxlan *settings)
{
	const struct sockaddr_storage *remote = &settings->remote;
	const int v6 = remote->ss_family == AF_INET6;
	const int never_fragment = v6 ? IPV6_PMTUDISC_DO : IP_PMTUDISC_DO;
	int fd = socket_open(settings, settings->source_port);
	int err = 0;

	if (fd < 0)
		return fd;
	if (setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP, v6 ? IPV6_MTU_DISCOVER : IP_MTU_DISCOVER,
		       &never_fragment, sizeof(never_fragment)) ||
	    connect(fd, (const struct sockaddr *)remote, address_bytes(remote)))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

unsigned vxlan_socket_mtu(int out)
{
	socklen_t mtu_bytes = sizeof(int), family_bytes = sizeof(int);
	int family, mtu, around;

	if (getsockopt(out, SOL_SOCKET, SO_DOMAIN, &family, &family_bytes))
		return 0;
	around = UDP_HDR + VXLAN_HDR + ETH_HLEN + (family == AF_INET6 ? IP6_HDR : IP4_HDR);
	if (getsockopt(out, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
		       family == AF_INET6 ? IPV6_MTU : IP_MTU, &mtu, &mtu_bytes) || mtu <= around)
		return 0;
	/* Of an IPv4 datagram, which must hold it all. */
	return (unsigned)((mtu > 65535 ? 65535 : mtu) - around);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The header and the sockets of a VXLAN link. Source: RFC 7348.
 */
#include "vxlan.h"

#include <errno.h>
#include <net/ethernet.h>
#include <string.h>
#include <unistd.h>

#include "udp.h"

#define FLAG_VNI 0x08

void vxlan_header_put(uint8_t header[VXLAN_HDR], uint32_t vni)
{
	const uint8_t bytes[VXLAN_HDR] = {
		FLAG_VNI, 0, 0, 0, (uint8_t)(vni >> 16), (uint8_t)(vni >> 8), (uint8_t)vni, 0
	};

	memcpy(header, bytes, VXLAN_HDR);
}

bool vxlan_header_valid(const void *datagram, unsigned long bytes, uint32_t vni)
{
	const uint8_t *header = datagram;

	/* What is reserved is not looked at. */
	return bytes >= VXLAN_HDR + ETH_HLEN && header[0] & FLAG_VNI &&
	       ((uint32_t)header[4] << 16 | (uint32_t)header[5] << 8 | header[6]) == vni;
}

int vxlan_socket_in(const struct link_vxlan *settings)
{
	return udp_open(settings->remote.ss_family, &settings->source, settings->local_port,
			settings->device);
}

int vxlan_socket_out(const struct link_vxlan *settings)
{
	const struct sockaddr_storage *remote = &settings->remote;
	int fd = udp_open(remote->ss_family, &settings->source, settings->source_port,
			  settings->device);
	int err;

	if (fd < 0)
		return fd;
	err = udp_never_fragment(fd);
	if (!err && connect(fd, (const struct sockaddr *)remote, udp_address_bytes(remote)))
		err = -errno;
	if (!err)
		return fd;
	close(fd);
	return err;
}

unsigned vxlan_socket_mtu(int out)
{
	const unsigned around = VXLAN_HDR + ETH_HLEN;
	unsigned room = udp_path_room(out);

	return room > around ? room - around : 0;
}

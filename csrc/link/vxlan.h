/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The header and the sockets of a VXLAN link.
 */
#ifndef LINK_VXLAN_H
#define LINK_VXLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "link.h"

#define VXLAN_HDR 8

void vxlan_header_put(uint8_t header[VXLAN_HDR], uint32_t vni);
/* A whole datagram: header, and an Ethernet header at least. */
bool vxlan_header_valid(const void *datagram, unsigned long bytes, uint32_t vni);

/*
 * Two sockets: frames go out on a connected one, which learns of errors and of the path's MTU. The
 * other end answers to its fixed port and from any of its own, so they come in on another.
 * Return: descriptor or -errno.
 */
int vxlan_socket_out(const struct link_vxlan *settings);
int vxlan_socket_in(const struct link_vxlan *settings);

/* What the path takes, less what goes around a frame's body. Return: bytes, or 0: unknown. */
unsigned vxlan_socket_mtu(int out);

#endif

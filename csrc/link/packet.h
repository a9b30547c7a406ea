/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The sockets of a packet link: making, checking, filtering.
 */
#ifndef LINK_PACKET_H
#define LINK_PACKET_H

#include <stdint.h>

/*
 * A non-blocking, close-on-exec packet socket on a device, that gets nothing yet. Return:
 * descriptor or -errno (ENODEV; EPERM: it takes CAP_NET_RAW).
 */
int packet_socket_open(const char *device);

/*
 * From now on it gets the frames for mac and for groups, untagged ones, from others only, each
 * with a struct virtio_net_hdr; and the device takes them. What it had is dropped. Return: the
 * device's index, or -errno (ENODEV: bound to no device that is there; EINVAL: to one that is no
 * Ethernet; EPROTOTYPE: not SOCK_RAW).
 */
int packet_socket_set_up(int fd, const uint8_t mac[6]);

/* Return: bytes, or 0: unknown. */
unsigned packet_socket_mtu(int fd, unsigned ifindex);

#endif

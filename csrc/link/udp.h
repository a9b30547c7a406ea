/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * UDP sockets of the host, for every link that carries frames in datagrams.
 */
#ifndef LINK_UDP_H
#define LINK_UDP_H

#include <stdint.h>
#include <sys/socket.h>

/*
 * A non-blocking socket of this family, bound to source's address (its family 0: any), this port
 * (0: any) and device (""; any). Return: descriptor or -errno.
 */
int udp_open(int family, const struct sockaddr_storage *source, uint16_t port, const char *device);

/* What leaves is never cut up on the way. Return: 0 or -errno. */
int udp_never_fragment(int fd);

/* What the path of a connected socket takes, less the headers of IP and UDP. 0: unknown. */
unsigned udp_path_room(int connected);

socklen_t udp_address_bytes(const struct sockaddr_storage *address);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What links do with sockets of the host, whatever their family.
 */
#ifndef LINK_SOCKET_H
#define LINK_SOCKET_H

#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

/* Room for many frames, both ways: as much as the host lets us have. */
void link_socket_buffers(int fd);

/* Return: 0 or -errno: no path for a socket. */
int link_socket_unix_address(struct sockaddr_un *address, const char *path);

/*
 * A unix socket of this type connected to the one at path: non-blocking, close-on-exec. Return:
 * descriptor or -errno.
 */
int link_socket_unix_connect(const char *path, int type);

/* Return: 0 and the socket's family and type, or -errno: ENOTSOCK, EBADF. */
int link_socket_kind(int fd, int *family, int *type);

/* Return: 0 or -errno: ENOTCONN. */
int link_socket_connected(int fd);

/* A connected socket: its peer has gone, or half of it. */
bool link_socket_peer_is_gone(int fd);
/* What a call on a connected socket gives when its peer has gone. */
bool link_socket_peer_error(int error);

/* IPv4 or IPv6, whatever the port. A scope counts if wanted has one. */
bool link_socket_is_host(const struct sockaddr *address, const struct sockaddr *wanted);

#endif

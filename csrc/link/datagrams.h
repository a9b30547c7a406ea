/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Datagrams as they come in on a UDP socket: many a system call, and taken apart where the host
 * has put several into one. For every link that carries frames in UDP.
 */
#ifndef LINK_DATAGRAMS_H
#define LINK_DATAGRAMS_H

#include <stdbool.h>
#include <sys/socket.h>

struct datagrams;

struct datagram {
	char *data; /* until the next one is taken; may be written to */
	unsigned long bytes;
	const struct sockaddr_storage *from;
	const struct msghdr *message;
};

/* fd: a non-blocking UDP socket, not owned. Return: NULL: no memory. */
struct datagrams *datagrams_new(int fd);
void datagrams_free(struct datagrams *datagrams);

/* One thread at a time. Return: 0, or -errno: -EAGAIN: none is there. */
int datagrams_next(struct datagrams *datagrams, struct datagram *out);
/*
 * Which address of ours it came to; family 0: not told. The socket has IP_PKTINFO or
 * IPV6_RECVPKTINFO for that.
 */
void datagrams_local(const struct datagram *datagram, struct sockaddr_storage *out);
/* Some were read from the socket, and not yet taken. */
bool datagrams_held(const struct datagrams *datagrams);

#endif

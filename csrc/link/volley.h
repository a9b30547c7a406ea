/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Datagrams that leave together: one system call for many of a size (UDP_SEGMENT), where the host
 * can. What finds no room in the socket is held, and the owner sends no more before it has left.
 */
#ifndef LINK_VOLLEY_H
#define LINK_VOLLEY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* Where a datagram goes, family 0: the socket is connected; and from which address of ours, 0: any. */
struct udp_way {
	struct sockaddr_storage remote, local;
};

bool udp_way_equal(const struct udp_way *a, const struct udp_way *b);

/*
 * One system call. each: of how many bytes the datagrams are that bytes has, but for the last; 0: it
 * is one. Return: bytes, or -errno. Context: any.
 */
long udp_way_send(int fd, const struct udp_way *way, const void *data, unsigned long bytes,
		  unsigned each);

struct volley;

/*
 * fd: a non-blocking UDP socket, not owned. path_errors: of a connected one; what the host tells of
 * an earlier datagram (ICMP) is counted there, and the later one sent again. Return: NULL: no memory.
 */
struct volley *volley_new(int fd, uint64_t *path_errors);
void volley_free(struct volley *volley);

/* Something is held. Context: any. */
bool volley_held(const struct volley *volley);
/* Nothing is held: a new one, along this way. */
void volley_begin(struct volley *volley, const struct udp_way *way);
/* Return: room for a datagram of so many bytes, or NULL. */
uint8_t *volley_room(struct volley *volley, unsigned long bytes);
/* What was written there is one of them. */
void volley_add(struct volley *volley, unsigned long bytes);
/* Return: 0; -EAGAIN: the rest is held; another -errno: the rest is lost. */
int volley_send(struct volley *volley);

#endif

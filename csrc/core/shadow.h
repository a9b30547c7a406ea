/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The shadow of a socket: a real host_fd that is readable, writable and hung
 * up when the socket is, for every poller of the host.
 *
 * Urgent data of TCP, as POLLPRI, makes it readable too, until a call comes up short; on a host whose
 * AF_UNIX has no MSG_OOB (Linux < 5.15) it is not shown. An error that leaves the socket usable (a datagram
 * socket's) shows as readable and writable. Edge-triggered polling is right for who goes on until
 * a call comes up short.
 */
#ifndef CORE_SHADOW_H
#define CORE_SHADOW_H

#include <stdbool.h>

struct host_pair;
struct lklsock_socket;
struct shadow;

/* Makes it at the first call. Return: the program's host_fd, or -errno. */
long socket_shadow(struct lklsock_socket *sock);
/* See lklsock.h. */
long socket_shadow_move(struct lklsock_socket *sock, int host_fd);

/*
 * After a call on the socket, by the thread that made it: shows gains, takes back losses.
 * came_short: EPOLLIN or EPOLLOUT if the call found less of it than it wanted, so that the poller
 * now waits for an edge.
 */
void shadow_after_call(struct lklsock_socket *sock, unsigned came_short);
/* Shows gains. Context: any, CPU not held. */
void shadow_gain(struct lklsock_socket *sock);
/* The kernel is gone. Context: any. */
void shadow_hang_up(struct lklsock_socket *sock);
/* The socket is closed: hangs up, and lets go of it. */
void shadow_close(struct lklsock_socket *sock);
/* Whether it has one, and that is it. Context: any. */
bool shadow_is(const struct lklsock_socket *sock, const struct host_pair *id);
/* In a forked child, where our end is closed already. */
void shadow_forget(struct lklsock_socket *sock);
/* Nobody refers to the socket any more. */
void shadow_free(struct shadow *shadow);

#endif

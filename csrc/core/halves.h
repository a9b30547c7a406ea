/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The two halves of a socket: the kernel's, and a descriptor of the host whose
 * readiness counts too.
 *
 *	kernel half --socket_join_host()--> both --socket_leave_host()--> kernel half
 *	    | socket_leave_kernel()           | socket_leave_kernel()
 *	    v                                 v
 *	  none -----socket_join_host()---> host half
 *
 * Sleepers and the shadow see one mask of both. What is readable, hung up or failed in one half is so in the socket;
 * it is writable when every half is, for what is sent may go to either.
 *
 * A half that was left keeps its number in the kernel, where an inert file stands for it: a call that is on its way
 * to it gets -EBADF, and never a stranger.
 */
#ifndef CORE_HALVES_H
#define CORE_HALVES_H

#include <stdbool.h>

struct lklsock_socket;
struct host_half;

/* host_fd stays the caller's, who leaves before closing it. Return: 0, -EBUSY, or -errno. */
long socket_join_host(struct lklsock_socket *sock, int host_fd);
long socket_leave_host(struct lklsock_socket *sock);
/* Closes the kernel half. */
long socket_leave_kernel(struct lklsock_socket *sock);
/* Puts the kernel half of another socket in the place of its own, which is closed. The other one has it, too. */
long socket_replace_kernel(struct lklsock_socket *sock, struct lklsock_socket *other);
/* After a call on the host half, by the thread that made it. came_short: as shadow_after_call(). */
long socket_refresh(struct lklsock_socket *sock, unsigned came_short);

/* Whether there is a host half now. */
bool halves_joined(const struct lklsock_socket *sock);
/* Polls the host half afresh, if there is one, and watches for what is not up. Context: CPU not held. */
void halves_look(struct lklsock_socket *sock);
/* What the kernel half's mask gives together with the host half's. Context: any. */
unsigned halves_mask(const struct lklsock_socket *sock, unsigned kernel_mask);
/* The socket is closed: ends the watch of the host half. */
void halves_close(struct lklsock_socket *sock);
/* Nobody refers to the socket any more. */
void halves_free(struct host_half *half);

#endif

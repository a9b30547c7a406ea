/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bridges: a host_fd that carries the data of a connection, for code that
 * insists on read(2) and write(2).
 *
 * The polling threads carry it, up (from the kernel to the program) and down, each with a buffer of
 * its own: who does not read stops who writes. The end of each direction is passed on by itself. A
 * connection that fails, or is closed, closes our end; a program that closes its end closes the
 * connection, once what it wrote is in it.
 */
#ifndef CORE_BRIDGE_H
#define CORE_BRIDGE_H

struct lklsock_socket;
struct bridge;

/* From then on the socket is the bridge's; see lklsock.h. */
long socket_bridge(struct lklsock_socket *sock, int host_fd);

/* Readiness changed. Context: any, CPU not held. */
void bridge_gain(struct lklsock_socket *sock);
/* The kernel is gone. Context: any. */
void bridge_hang_up(struct lklsock_socket *sock);
/* The socket is closed. */
void bridge_close(struct lklsock_socket *sock);
/* In a forked child, where our end is closed already. */
void bridge_forget(struct lklsock_socket *sock);
/* Nobody refers to the socket any more. */
void bridge_free(struct bridge *bridge);

#endif

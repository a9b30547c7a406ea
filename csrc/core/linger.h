/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * SO_LINGER with a time: the kernel's close would sleep inside, whatever
 * O_NONBLOCK says. So the option stays in the kernel, where getsockopt() and
 * accept() find it; socket_linger() waits out here, and close turns it off at the last moment.
 * Without a time (reset at close) it is all the kernel's.
 */
#ifndef CORE_LINGER_H
#define CORE_LINGER_H

#include <sys/socket.h>

struct lklsock_socket;

/* SO_LINGER was set: notes whether close has to see to it. */
void linger_note(struct lklsock_socket *sock, const void *value, socklen_t len);
/*
 * Sends the end, and sleeps until the peer has acknowledged all, for the time set at most.
 * Return: 0, -EINTR, -EAGAIN; see lklsock.h.
 */
long socket_linger(struct lklsock_socket *sock);
/* Turns a time off. */
void linger_disarm(struct lklsock_socket *sock);

#endif

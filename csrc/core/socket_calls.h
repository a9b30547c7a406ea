/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The socket calls of the API. They never block inside the kernel.
 */
#ifndef CORE_SOCKET_CALLS_H
#define CORE_SOCKET_CALLS_H

#include <lklsock.h>

long socket_bind(struct lklsock_socket *sock, const void *addr, socklen_t len);
long socket_listen(struct lklsock_socket *sock, int backlog);
long socket_accept(struct lklsock_socket *sock, void *addr, socklen_t *len,
		   struct lklsock_socket **out);
long socket_connect(struct lklsock_socket *sock, const void *addr, socklen_t len);
long socket_send(struct lklsock_socket *sock, const void *buf, size_t len, int flags);
long socket_recv(struct lklsock_socket *sock, void *buf, size_t len, int flags);
long socket_sendto(struct lklsock_socket *sock, const void *buf, size_t len, int flags,
		   const void *addr, socklen_t addrlen);
long socket_recvfrom(struct lklsock_socket *sock, void *buf, size_t len, int flags, void *addr,
		     socklen_t *addrlen);
long socket_sendmsg(struct lklsock_socket *sock, const struct msghdr *msg, int flags);
long socket_recvmsg(struct lklsock_socket *sock, struct msghdr *msg, int flags);
long socket_shutdown(struct lklsock_socket *sock, int how);
long socket_getsockname(struct lklsock_socket *sock, void *addr, socklen_t *len);
long socket_getpeername(struct lklsock_socket *sock, void *addr, socklen_t *len);
/* SO_ZEROCOPY is refused: the kernel has no user memory to pin. */
long socket_getsockopt(struct lklsock_socket *sock, int level, int name, void *value,
		       socklen_t *len);
long socket_setsockopt(struct lklsock_socket *sock, int level, int name, const void *value,
		       socklen_t len);
/* FIONBIO is refused: all sockets are non-blocking inside. */
long socket_ioctl(struct lklsock_socket *sock, unsigned long request, void *arg);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The socket calls. Whatever may change the socket's readiness hands its watch
 * to the kernel, and brings its shadow up to date before it returns.
 */
#include "socket_calls.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "linger.h"
#include "shadow.h"
#include "socket.h"
#include "syscall.h"

#define SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#define RECV_FLAGS MSG_DONTWAIT

/* A call that does not move bytes comes short only by EAGAIN. */
#define NO_BYTES 0

struct call {
	long nr;
	long args[5];       /* after the descriptor */
	unsigned direction; /* EPOLLIN, EPOLLOUT: what it comes short of */
	size_t bytes;       /* it asks for */
	bool engages;       /* the socket, if it succeeds or goes on */
};

static unsigned came_short(const struct lklsock_socket *sock, const struct call *call, long ret)
{
	/* A datagram is not short: there may be another. */
	if (ret == -EAGAIN || (sock->connects && ret >= 0 && (size_t)ret < call->bytes))
		return call->direction;
	return 0;
}

static inline long call_entered(struct lklsock_socket *sock, const struct call *call)
{
	const long *args = call->args;
	long ret = syscall_watched(__atomic_load_n(&sock->watch, __ATOMIC_ACQUIRE), call->nr,
				   sock->lkl_fd, args[0], args[1], args[2], args[3], args[4]);

	if (call->engages && (ret >= 0 || ret == -EINPROGRESS))
		__atomic_store_n(&sock->engaged, true, __ATOMIC_SEQ_CST);
	if (__builtin_expect(!!__atomic_load_n(&sock->shadow, __ATOMIC_ACQUIRE), 0))
		shadow_after_call(sock, came_short(sock, call, ret));
	return ret;
}

static inline long call(struct lklsock_socket *sock, const struct call *call)
{
	long ret;

	if (!socket_enter(sock))
		return socket_refusal();
	ret = call_entered(sock, call);
	socket_leave(sock);
	return ret;
}

/* For what leaves readiness alone. */
static long ask(struct lklsock_socket *sock, long nr, long a, long b)
{
	long ret;

	if (!socket_enter(sock))
		return socket_refusal();
	ret = syscall_do(nr, sock->lkl_fd, a, b);
	socket_leave(sock);
	return ret;
}

long socket_bind(struct lklsock_socket *sock, const void *addr, socklen_t len)
{
	return ask(sock, LKL_NR_bind, (long)addr, len);
}

/* Each call is a small table from here on, which stays one: */
/* clang-format off */

long socket_listen(struct lklsock_socket *sock, int backlog)
{
	return call(sock, &(struct call){
		.nr = LKL_NR_listen,
		.args = { backlog },
		.engages = true,
	});
}

long socket_accept(struct lklsock_socket *sock, void *addr, socklen_t *len,
		   struct lklsock_socket **out)
{
	long fd, ret;

	if (!socket_enter(sock))
		return socket_refusal();
	fd = call_entered(sock, &(struct call){
		.nr = LKL_NR_accept4,
		.args = { (long)addr, (long)len, SOCK_NONBLOCK | SOCK_CLOEXEC },
		.direction = EPOLLIN,
		.bytes = NO_BYTES,
	});
	ret = fd < 0 ? fd : socket_adopt((int)fd, SOCK_STREAM, out);
	if (!ret) {
		(*out)->engaged = true;
		/* The kernel's child has the listener's option. */
		(*out)->lingers = __atomic_load_n(&sock->lingers, __ATOMIC_RELAXED);
	}
	socket_leave(sock);
	return ret;
}

long socket_connect(struct lklsock_socket *sock, const void *addr, socklen_t len)
{
	return call(sock, &(struct call){
		.nr = LKL_NR_connect,
		.args = { (long)addr, len },
		.direction = EPOLLOUT,
		.bytes = NO_BYTES,
		.engages = true,
	});
}

long socket_send(struct lklsock_socket *sock, const void *buf, size_t len, int flags)
{
	return socket_sendto(sock, buf, len, flags, NULL, 0);
}

long socket_recv(struct lklsock_socket *sock, void *buf, size_t len, int flags)
{
	return socket_recvfrom(sock, buf, len, flags, NULL, NULL);
}

long socket_sendto(struct lklsock_socket *sock, const void *buf, size_t len, int flags,
		   const void *addr, socklen_t addrlen)
{
	return call(sock, &(struct call){
		.nr = LKL_NR_sendto,
		.args = { (long)buf, (long)len, flags | SEND_FLAGS, (long)addr, addrlen },
		.direction = EPOLLOUT,
		.bytes = len,
		.engages = flags & MSG_FASTOPEN,
	});
}

long socket_recvfrom(struct lklsock_socket *sock, void *buf, size_t len, int flags, void *addr,
		     socklen_t *addrlen)
{
	return call(sock, &(struct call){
		.nr = LKL_NR_recvfrom,
		.args = { (long)buf, (long)len, flags | RECV_FLAGS, (long)addr, (long)addrlen },
		.direction = EPOLLIN,
		.bytes = len,
	});
}

static size_t bytes_of(const struct msghdr *msg)
{
	size_t bytes = 0;

	for (size_t i = 0; i < msg->msg_iovlen; i++)
		bytes += msg->msg_iov[i].iov_len;
	return bytes;
}

long socket_sendmsg(struct lklsock_socket *sock, const struct msghdr *msg, int flags)
{
	return call(sock, &(struct call){
		.nr = LKL_NR_sendmsg,
		.args = { (long)msg, flags | SEND_FLAGS },
		.direction = EPOLLOUT,
		.bytes = bytes_of(msg),
		.engages = flags & MSG_FASTOPEN,
	});
}

long socket_recvmsg(struct lklsock_socket *sock, struct msghdr *msg, int flags)
{
	return call(sock, &(struct call){
		.nr = LKL_NR_recvmsg,
		.args = { (long)msg, flags | RECV_FLAGS },
		.direction = EPOLLIN,
		.bytes = bytes_of(msg),
	});
}

long socket_shutdown(struct lklsock_socket *sock, int how)
{
	return call(sock, &(struct call){ .nr = LKL_NR_shutdown, .args = { how } });
}

long socket_getsockname(struct lklsock_socket *sock, void *addr, socklen_t *len)
{
	return ask(sock, LKL_NR_getsockname, (long)addr, (long)len);
}

long socket_getpeername(struct lklsock_socket *sock, void *addr, socklen_t *len)
{
	return ask(sock, LKL_NR_getpeername, (long)addr, (long)len);
}

long socket_getsockopt(struct lklsock_socket *sock, int level, int name, void *value,
		       socklen_t *len)
{
	/* SO_ERROR takes the error away. */
	return call(sock, &(struct call){
		.nr = LKL_NR_getsockopt,
		.args = { level, name, (long)value, (long)len },
	});
}

long socket_setsockopt(struct lklsock_socket *sock, int level, int name, const void *value,
		       socklen_t len)
{
	long ret;

	if (level == SOL_SOCKET && name == SO_ZEROCOPY)
		return -EOPNOTSUPP;
	if (!socket_enter(sock))
		return socket_refusal();
	/* SO_RCVLOWAT, SO_SNDBUF and others move the limits of readiness. */
	ret = call_entered(sock, &(struct call){
		.nr = LKL_NR_setsockopt,
		.args = { level, name, (long)value, len },
	});
	if (!ret && level == SOL_SOCKET && name == SO_LINGER)
		linger_note(sock, value, len);
	socket_leave(sock);
	return ret;
}

long socket_ioctl(struct lklsock_socket *sock, unsigned long request, void *arg)
{
	if (request == FIONBIO)
		return -EOPNOTSUPP;
	return ask(sock, LKL_NR_ioctl, (long)request, (long)arg);
}

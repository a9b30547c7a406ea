// SPDX-License-Identifier: GPL-2.0-only
/*
 * The fake's sockets: non-blocking ones of the host.
 */
#include "fake.h"

#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

struct lklsock_socket {
	atomic_int refs;
	atomic_int fd;		/* -1 when closed */
	int closed_event;
	atomic_int shadow;	/* -1 before the first */
	atomic_int host_fd;	/* -1: no host half */
};

static struct lklsock_socket *wrap_fd(int fd)
{
	struct lklsock_socket *sock = calloc(1, sizeof(*sock));

	atomic_init(&sock->refs, 1);
	atomic_init(&sock->fd, fd);
	atomic_init(&sock->shadow, -1);
	atomic_init(&sock->host_fd, -1);
	sock->closed_event = eventfd(0, EFD_CLOEXEC);
	atomic_fetch_add(&fake_sockets, 1);
	return sock;
}

static long do_socket_open(struct lklsock_task *task, int family, int type, int protocol,
			     struct lklsock_socket **out)
{
	long rc = entered();
	int fd;

	(void)task;
	if (rc)
		return rc;
	fd = socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
	if (fd < 0)
		return -errno;
	*out = wrap_fd(fd);
	return 0;
}

static void do_socket_get(struct lklsock_socket *sock)
{
	atomic_fetch_add(&sock->refs, 1);
}

static long do_socket_linger(struct lklsock_socket *sock)
{
	(void)sock;
	return 0;
}

static long do_socket_close(struct lklsock_socket *sock)
{
	int fd = atomic_exchange(&sock->fd, -1);
	uint64_t one = 1;

	if (fd < 0)
		return -EBADF;
	close(fd);
	return write(sock->closed_event, &one, sizeof(one)) < 0 ? -errno : 0;
}

static void do_socket_put(struct lklsock_socket *sock)
{
	if (atomic_fetch_sub(&sock->refs, 1) != 1)
		return;
	do_socket_close(sock);
	close(sock->closed_event);
	free(sock);
	atomic_fetch_sub(&fake_sockets, 1);
}

static int do_socket_lkl_fd(struct lklsock_socket *sock)
{
	int fd = atomic_load(&sock->fd);

	return fd < 0 ? -EBADF : fd;
}

#define ENTER                                  \
	do {                                   \
		long refused = entered();      \
		if (refused)                   \
			return refused;        \
		if (atomic_load(&sock->fd) < 0) \
			return -EBADF;         \
	} while (0)

static void remember(const void *addr, socklen_t len)
{
	memcpy(fake_last_address, addr, len);
	fake_last_address_len = len;
}

static long do_bind(struct lklsock_socket *sock, const void *addr, socklen_t len)
{
	remember(addr, len);
	ENTER;
	return result(bind(sock->fd, addr, len));
}

static long do_listen(struct lklsock_socket *sock, int backlog)
{
	ENTER;
	return result(listen(sock->fd, backlog));
}

static long do_accept(struct lklsock_socket *sock, void *addr, socklen_t *len,
			struct lklsock_socket **out)
{
	int fd;

	ENTER;
	fd = accept4(sock->fd, addr, len, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd < 0)
		return -errno;
	*out = wrap_fd(fd);
	return 0;
}

static long do_connect(struct lklsock_socket *sock, const void *addr, socklen_t len)
{
	remember(addr, len);
	ENTER;
	return result(connect(sock->fd, addr, len));
}

static long do_send(struct lklsock_socket *sock, const void *buf, size_t len, int flags)
{
	ENTER;
	return result(send(sock->fd, buf, len, flags | MSG_NOSIGNAL));
}

static long do_recv(struct lklsock_socket *sock, void *buf, size_t len, int flags)
{
	ENTER;
	return result(recv(sock->fd, buf, len, flags));
}

static long do_sendto(struct lklsock_socket *sock, const void *buf, size_t len, int flags,
			const void *addr, socklen_t addrlen)
{
	remember(addr, addrlen);
	ENTER;
	return result(sendto(sock->fd, buf, len, flags | MSG_NOSIGNAL, addr, addrlen));
}

static long do_recvfrom(struct lklsock_socket *sock, void *buf, size_t len, int flags, void *addr,
			  socklen_t *addrlen)
{
	ENTER;
	return result(recvfrom(sock->fd, buf, len, flags, addr, addrlen));
}

static long do_sendmsg(struct lklsock_socket *sock, const struct msghdr *msg, int flags)
{
	ENTER;
	return result(sendmsg(sock->fd, msg, flags | MSG_NOSIGNAL));
}

static long do_recvmsg(struct lklsock_socket *sock, struct msghdr *msg, int flags)
{
	ENTER;
	return result(recvmsg(sock->fd, msg, flags));
}

static long do_shutdown(struct lklsock_socket *sock, int how)
{
	ENTER;
	return result(shutdown(sock->fd, how));
}

static long do_getsockname(struct lklsock_socket *sock, void *addr, socklen_t *len)
{
	ENTER;
	if (fake_next_name_len) {
		memcpy(addr, fake_next_name, fake_next_name_len);
		*len = fake_next_name_len;
		fake_next_name_len = 0;
		return 0;
	}
	return result(getsockname(sock->fd, addr, len));
}

static long do_getpeername(struct lklsock_socket *sock, void *addr, socklen_t *len)
{
	ENTER;
	return result(getpeername(sock->fd, addr, len));
}

static long do_getsockopt(struct lklsock_socket *sock, int level, int name, void *value,
			    socklen_t *len)
{
	ENTER;
	return result(getsockopt(sock->fd, level, name, value, len));
}

static long do_setsockopt(struct lklsock_socket *sock, int level, int name, const void *value,
			    socklen_t len)
{
	ENTER;
	return result(setsockopt(sock->fd, level, name, value, len));
}

/* Not subject to KNOB_FAIL, which is for the call that an ioctl prepares. */
static long do_ioctl(struct lklsock_socket *sock, unsigned long request, void *arg)
{
	if (atomic_load(&fake_state) != LKLSOCK_RUNNING)
		return LKLSOCK_ENOTRUNNING;
	return result(ioctl(sock->fd, request, arg));
}

static long do_socket_wait(struct lklsock_socket *sock, unsigned events, uint64_t deadline_ns)
{
	struct pollfd fds[3] = {
		{.fd = atomic_load(&sock->fd), .events = (short)events},
		{.fd = sock->closed_event, .events = POLLIN},
		{.fd = fake_halt_event, .events = POLLIN},
	};
	struct timespec now, left;
	uint64_t now_ns, ns;
	int rc;

	ENTER;
	clock_gettime(CLOCK_MONOTONIC, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000ULL + (uint64_t)now.tv_nsec;
	ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
	left.tv_sec = (time_t)(ns / 1000000000ULL);
	left.tv_nsec = (long)(ns % 1000000000ULL);
	rc = ppoll(fds, 3, deadline_ns == LKLSOCK_NEVER ? NULL : &left, NULL);
	if (rc < 0)
		return -errno;
	if (fds[2].revents)
		return LKLSOCK_ENOTRUNNING;
	if (fds[1].revents)
		return -EBADF;
	return fds[0].revents;
}

static long do_socket_poll(struct lklsock_socket *sock)
{
	int host_fd = atomic_load(&sock->host_fd);
	struct pollfd pfd = {
		.fd = host_fd < 0 ? atomic_load(&sock->fd) : host_fd,
		.events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP,
	};

	ENTER;
	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents;
}

static long do_socket_shadow(struct lklsock_socket *sock)
{
	ENTER;
	if (atomic_load(&sock->shadow) < 0)
		atomic_store(&sock->shadow, fcntl(sock->fd, F_DUPFD_CLOEXEC, 0));
	return atomic_load(&sock->shadow);
}

/* The host half is remembered, and the poll's alone. */
static long do_socket_join_host(struct lklsock_socket *sock, int host_fd)
{
	int none = -1;

	ENTER;
	return atomic_compare_exchange_strong(&sock->host_fd, &none, host_fd) ? 0 : -EBUSY;
}

static long do_socket_leave_host(struct lklsock_socket *sock)
{
	ENTER;
	atomic_store(&sock->host_fd, -1);
	return 0;
}

static long do_socket_leave_kernel(struct lklsock_socket *sock)
{
	ENTER;
	return result(dup3(sock->closed_event, sock->fd, O_CLOEXEC)) < 0 ? -errno : 0;
}

static long do_socket_replace_kernel(struct lklsock_socket *sock, struct lklsock_socket *other)
{
	ENTER;
	return result(dup3(other->fd, sock->fd, O_CLOEXEC)) < 0 ? -errno : 0;
}

static long do_socket_refresh(struct lklsock_socket *sock, unsigned came_short)
{
	ENTER;
	return came_short & ~(unsigned)(POLLIN | POLLOUT) ? -EINVAL : 0;
}

/* A host socket carries its data itself. */
static long do_socket_bridge(struct lklsock_socket *sock, int host_fd)
{
	ENTER;
	if (host_fd >= 0)
		return close(host_fd);
	return result(fcntl(sock->fd, F_DUPFD_CLOEXEC, 0));
}

static struct lklsock_socket *do_socket_by_shadow(int host_fd)
{
	(void)host_fd;
	return NULL;
}

void fake_sockets_fill(struct lklsock_api *api)
{
	api->socket_open = do_socket_open;
	api->socket_get = do_socket_get;
	api->socket_put = do_socket_put;
	api->socket_linger = do_socket_linger;
	api->socket_close = do_socket_close;
	api->socket_lkl_fd = do_socket_lkl_fd;
	api->bind = do_bind;
	api->listen = do_listen;
	api->accept = do_accept;
	api->connect = do_connect;
	api->send = do_send;
	api->recv = do_recv;
	api->sendto = do_sendto;
	api->recvfrom = do_recvfrom;
	api->sendmsg = do_sendmsg;
	api->recvmsg = do_recvmsg;
	api->shutdown = do_shutdown;
	api->getsockname = do_getsockname;
	api->getpeername = do_getpeername;
	api->getsockopt = do_getsockopt;
	api->setsockopt = do_setsockopt;
	api->ioctl = do_ioctl;
	api->socket_wait = do_socket_wait;
	api->socket_poll = do_socket_poll;
	api->socket_shadow = do_socket_shadow;
	api->socket_join_host = do_socket_join_host;
	api->socket_leave_host = do_socket_leave_host;
	api->socket_leave_kernel = do_socket_leave_kernel;
	api->socket_replace_kernel = do_socket_replace_kernel;
	api->socket_refresh = do_socket_refresh;
	api->socket_bridge = do_socket_bridge;
	api->socket_by_shadow = do_socket_by_shadow;
}

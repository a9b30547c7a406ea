// SPDX-License-Identifier: GPL-2.0-only
/*
 * The measured calls over the host's kernel.
 */
#include "net.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "report.h"

static long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

static long host_open(int family, int type, int protocol, struct net_socket *out)
{
	*out = (struct net_socket){ .host_fd = socket(family, type | SOCK_CLOEXEC, protocol) };
	return result(out->host_fd);
}

static long host_bind(struct net_socket *sock, const void *addr, socklen_t len)
{
	return result(bind(sock->host_fd, addr, len));
}

static long host_listen(struct net_socket *sock, int backlog)
{
	return result(listen(sock->host_fd, backlog));
}

static long host_accept(struct net_socket *sock, struct net_socket *out)
{
	*out = (struct net_socket){ .host_fd = accept4(sock->host_fd, NULL, NULL, SOCK_CLOEXEC) };
	return result(out->host_fd);
}

static long host_connect(struct net_socket *sock, const void *addr, socklen_t len)
{
	return result(connect(sock->host_fd, addr, len));
}

static long host_send(struct net_socket *sock, const void *buf, size_t len, int flags)
{
	return result(send(sock->host_fd, buf, len, flags | MSG_NOSIGNAL));
}

static long host_recv(struct net_socket *sock, void *buf, size_t len, int flags)
{
	long ret;

	/* Being stopped and continued interrupts a call that has a timeout. */
	do
		ret = result(recv(sock->host_fd, buf, len, flags));
	while (ret == -EINTR);
	return ret;
}

static long host_receive_timeout(struct net_socket *sock, uint64_t timeout_ns)
{
	const struct timeval timeout = {
		.tv_sec = (time_t)(timeout_ns / 1000000000u),
		.tv_usec = (suseconds_t)(timeout_ns % 1000000000u / 1000),
	};

	return result(setsockopt(sock->host_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
				 sizeof(timeout)));
}

static long host_getsockname(struct net_socket *sock, void *addr, socklen_t *len)
{
	return result(getsockname(sock->host_fd, addr, len));
}

static long host_setsockopt(struct net_socket *sock, int level, int name, const void *value,
			    socklen_t len)
{
	return result(setsockopt(sock->host_fd, level, name, value, len));
}

static long host_getsockopt(struct net_socket *sock, int level, int name, void *value,
			    socklen_t *len)
{
	return result(getsockopt(sock->host_fd, level, name, value, len));
}

static void host_close(struct net_socket *sock)
{
	close(sock->host_fd);
}

static long host_getppid(void)
{
	return syscall(SYS_getppid);
}

static long host_sysctl(const char *path, const char *value)
{
	char file[128];
	long ret;
	int fd;

	snprintf(file, sizeof(file), "/proc/sys/%s", path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = result(write(fd, value, strlen(value)));
	close(fd);
	return ret;
}

const struct net net_host = {
	.name = "host",
	.open = host_open,
	.bind = host_bind,
	.listen = host_listen,
	.accept = host_accept,
	.connect = host_connect,
	.send = host_send,
	.recv = host_recv,
	.receive_timeout = host_receive_timeout,
	.getsockname = host_getsockname,
	.setsockopt = host_setsockopt,
	.getsockopt = host_getsockopt,
	.close = host_close,
	.getppid = host_getppid,
	.sysctl = host_sysctl,
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The measured calls over the embedded stack. Its sockets do not block: a call that would, waits and is repeated, as in
 * an application.
 */
#include "net.h"

#include <dlfcn.h>
#include <lklsock.h>
#include <stdio.h>
#include <sys/epoll.h>

#include "report.h"

/* Numbers of the kernel's generic table, which is fixed. */
#define LKL_GETPPID 173

static const struct lklsock_api *api;

const struct lklsock_api *net_stack_load(const char *library)
{
	void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
	const struct lklsock_api *(*get)(unsigned abi);

	if (!handle) {
		fprintf(stderr, "%s\n", dlerror());
		exit(1);
	}
	*(void **)&get = dlsym(handle, "lkl_api");
	api = get ? get(LKLSOCK_ABI) : NULL;
	if (!api) {
		fprintf(stderr, "%s: not a liblkl.so of this version: build it again\n", library);
		exit(1);
	}
	return api;
}

void net_stack_boot(uint64_t memory_bytes)
{
	const struct lklsock_boot boot = {
		.memory_bytes = memory_bytes,
		.command_line = "",
		.console_level = 4,
	};

	must("boot", api->boot(&boot));
}

const struct lklsock_api *net_stack_api(void)
{
	return api;
}

static long stack_open(int family, int type, int protocol, struct net_socket *out)
{
	*out = (struct net_socket){ .host_fd = -1, .receive_timeout_ns = LKLSOCK_NEVER };
	return api->socket_open(NULL, family, type, protocol, &out->lkl);
}

static long stack_bind(struct net_socket *sock, const void *addr, socklen_t len)
{
	return api->bind(sock->lkl, addr, len);
}

static long stack_listen(struct net_socket *sock, int backlog)
{
	return api->listen(sock->lkl, backlog);
}

/* Return: 0 when one of events is up, -EAGAIN at the deadline, -errno. */
static long stack_wait(struct net_socket *sock, unsigned events, uint64_t deadline_ns)
{
	long mask;

	do
		mask = api->socket_wait(sock->lkl, events, deadline_ns);
	while (mask == -EINTR);
	return mask > 0 ? 0 : mask ? mask : -EAGAIN;
}

static long stack_accept(struct net_socket *sock, struct net_socket *out)
{
	long ret;

	*out = (struct net_socket){ .host_fd = -1, .receive_timeout_ns = LKLSOCK_NEVER };
	while ((ret = api->accept(sock->lkl, NULL, NULL, &out->lkl)) == -EAGAIN) {
		ret = stack_wait(sock, EPOLLIN, LKLSOCK_NEVER);
		if (ret)
			return ret;
	}
	return ret;
}

static long stack_connect(struct net_socket *sock, const void *addr, socklen_t len)
{
	socklen_t error_len = sizeof(int);
	int error = 0;
	long ret = api->connect(sock->lkl, addr, len);

	if (ret != -EINPROGRESS)
		return ret;
	ret = stack_wait(sock, EPOLLOUT, LKLSOCK_NEVER);
	if (!ret)
		ret = api->getsockopt(sock->lkl, SOL_SOCKET, SO_ERROR, &error, &error_len);
	return ret ? ret : -error;
}

static long stack_send(struct net_socket *sock, const void *buf, size_t len, int flags)
{
	size_t sent = 0;

	for (;;) {
		long ret = api->send(sock->lkl, (const char *)buf + sent, len - sent, flags);

		if (flags & MSG_DONTWAIT)
			return ret;
		if (ret > 0)
			sent += (size_t)ret;
		else if (ret != -EAGAIN)
			return sent ? (long)sent : ret;
		if (sent == len)
			return (long)sent;
		ret = stack_wait(sock, EPOLLOUT, LKLSOCK_NEVER);
		if (ret)
			return sent ? (long)sent : ret;
	}
}

static uint64_t receive_deadline_ns(const struct net_socket *sock)
{
	return sock->receive_timeout_ns == LKLSOCK_NEVER ? LKLSOCK_NEVER :
							   now_ns() + sock->receive_timeout_ns;
}

static long stack_recv(struct net_socket *sock, void *buf, size_t len, int flags)
{
	for (;;) {
		long ret = api->recv(sock->lkl, buf, len, flags);

		if (ret != -EAGAIN || flags & MSG_DONTWAIT)
			return ret;
		ret = stack_wait(sock, EPOLLIN, receive_deadline_ns(sock));
		if (ret)
			return ret;
	}
}

static long stack_receive_timeout(struct net_socket *sock, uint64_t timeout_ns)
{
	sock->receive_timeout_ns = timeout_ns;
	return 0;
}

static long stack_getsockname(struct net_socket *sock, void *addr, socklen_t *len)
{
	return api->getsockname(sock->lkl, addr, len);
}

static long stack_setsockopt(struct net_socket *sock, int level, int name, const void *value,
			     socklen_t len)
{
	return api->setsockopt(sock->lkl, level, name, value, len);
}

static long stack_getsockopt(struct net_socket *sock, int level, int name, void *value,
			     socklen_t *len)
{
	return api->getsockopt(sock->lkl, level, name, value, len);
}

static void stack_close(struct net_socket *sock)
{
	api->socket_close(sock->lkl);
	api->socket_put(sock->lkl);
}

static long stack_getppid(void)
{
	return api->system_call(NULL, LKL_GETPPID, (const long[6]){ 0 });
}

static long stack_sysctl(const char *path, const char *value)
{
	char file[128];

	snprintf(file, sizeof(file), "/proc/sys/%s", path);
	return api->file_write(file, value, strlen(value));
}

const struct net net_stack = {
	.name = "lklsock",
	.open = stack_open,
	.bind = stack_bind,
	.listen = stack_listen,
	.accept = stack_accept,
	.connect = stack_connect,
	.send = stack_send,
	.recv = stack_recv,
	.receive_timeout = stack_receive_timeout,
	.getsockname = stack_getsockname,
	.setsockopt = stack_setsockopt,
	.getsockopt = stack_getsockopt,
	.close = stack_close,
	.getppid = stack_getppid,
	.sysctl = stack_sysctl,
};

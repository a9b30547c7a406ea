// SPDX-License-Identifier: GPL-2.0-only
/*
 * Socket helpers of the tests.
 */
#include "net.h"

struct lklsock_socket *open_socket(int type, int protocol)
{
	struct lklsock_socket *sock;

	OK(lkl->socket_open(NULL, AF_INET, type, protocol, &sock));
	return sock;
}

void wire_pair(int fds[2])
{
	CHECK(!socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds));
}

struct sockaddr_in address(const char *ip, int port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port) };

	CHECK(inet_pton(AF_INET, ip, &addr.sin_addr) == 1);
	return addr;
}

struct lklsock_socket *listener(int protocol, int port)
{
	struct lklsock_socket *sock = open_socket(SOCK_STREAM, protocol);
	const struct sockaddr_in addr = address("127.0.0.1", port);
	const int one = 1;

	OK(lkl->setsockopt(sock, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	OK(lkl->bind(sock, &addr, sizeof(addr)));
	OK(lkl->listen(sock, 128));
	return sock;
}

long connect_to(struct lklsock_socket *sock, const char *ip, int port)
{
	const struct sockaddr_in addr = address(ip, port);
	long ret = lkl->connect(sock, &addr, sizeof(addr));
	int error = 0;
	socklen_t len = sizeof(error);

	if (ret != -EINPROGRESS)
		return ret;
	CHECK(OK(lkl->socket_wait(sock, EPOLLOUT, soon())));
	OK(lkl->getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &len));
	return -error;
}

struct lklsock_socket *accept_from(struct lklsock_socket *listening)
{
	struct lklsock_socket *sock;
	long ret;

	while ((ret = lkl->accept(listening, NULL, NULL, &sock)) == -EAGAIN)
		CHECK(OK(lkl->socket_wait(listening, EPOLLIN, soon())));
	OK(ret);
	return sock;
}

struct pair connected(int protocol, int port)
{
	struct lklsock_socket *listening = listener(protocol, port);
	struct pair pair = { .client = open_socket(SOCK_STREAM, protocol) };
	const int one = 1;

	OK(connect_to(pair.client, "127.0.0.1", port));
	pair.server = accept_from(listening);
	OK(lkl->setsockopt(pair.client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	OK(lkl->setsockopt(pair.server, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	OK(lkl->socket_close(listening));
	lkl->socket_put(listening);
	return pair;
}

long receive(struct lklsock_socket *sock, void *buf, size_t len)
{
	long ret;

	while ((ret = lkl->recv(sock, buf, len, 0)) == -EAGAIN) {
		long mask = lkl->socket_wait(sock, EPOLLIN, soon());

		CHECK(mask != 0);
		if (mask < 0 && mask != -EINTR)
			return mask;
	}
	return ret;
}

void send_all(struct lklsock_socket *sock, const void *buf, size_t len)
{
	const char *at = buf;

	while (len) {
		long ret = lkl->send(sock, at, len, 0);

		if (ret == -EAGAIN) {
			CHECK(lkl->socket_wait(sock, EPOLLOUT, soon()) != 0);
			continue;
		}
		OK(ret);
		at += ret;
		len -= (size_t)ret;
	}
}

long fill_up(struct lklsock_socket *sock)
{
	static const char zeros[65536];
	long total = 0, ret;

	while ((ret = lkl->send(sock, zeros, sizeof(zeros), 0)) > 0)
		total += ret;
	EQ(ret, -EAGAIN);
	return total;
}

long drain_all(struct lklsock_socket *sock)
{
	static __thread char buf[65536];
	long total = 0, ret;

	while ((ret = lkl->recv(sock, buf, sizeof(buf), 0)) > 0)
		total += ret;
	CHECK(ret == 0 || ret == -EAGAIN);
	return total;
}

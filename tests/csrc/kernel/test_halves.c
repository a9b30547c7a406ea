// SPDX-License-Identifier: GPL-2.0-only
/* Halves: a socket of the kernel, one of the host, or both, behind one mask and one shadow. */
#include <fcntl.h>
#include <sys/socket.h>

#include "net.h"

#define ALL (POLLIN | POLLOUT | POLLPRI | POLLRDHUP)

static int shadow_of(struct lklsock_socket *sock)
{
	return (int)OK(lkl->socket_shadow(sock));
}

static int shown(struct lklsock_socket *sock)
{
	return poll_fd(shadow_of(sock), ALL, 0);
}

/* ends[0] is to be joined. */
static void host_pair(int type, int ends[2])
{
	OK(socketpair(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends));
}

/* A socket whose only half is ends[0]. */
static struct lklsock_socket *host_only(int ends[2])
{
	struct lklsock_socket *sock = open_socket(SOCK_STREAM, IPPROTO_MPTCP);

	host_pair(SOCK_STREAM, ends);
	shadow_of(sock);
	OK(lkl->socket_leave_kernel(sock));
	OK(lkl->socket_join_host(sock, ends[0]));
	return sock;
}

/* As the program's side calls it. Return: bytes, or -1. */
static long host_recv(struct lklsock_socket *sock, int fd, void *buf, size_t len)
{
	long ret = recv(fd, buf, len, 0);

	OK(lkl->socket_refresh(sock, ret < (long)len ? EPOLLIN : 0));
	return ret;
}

TEST(a_host_half_shows_data_space_and_the_end)
{
	struct lklsock_socket *sock;
	int ends[2];
	char bytes[65536] = { 0 };

	boot();
	sock = host_only(ends);
	EQ(shown(sock), POLLOUT);
	EQ(lkl->socket_poll(sock), EPOLLOUT);
	EQ(write(ends[1], bytes, 2), 2);
	poll_until(shadow_of(sock), ALL, POLLIN | POLLOUT);
	EQ(host_recv(sock, ends[0], bytes, 1), 1);
	EQ(shown(sock), POLLIN | POLLOUT);
	EQ(host_recv(sock, ends[0], bytes, 100), 1);
	EQ(shown(sock), POLLOUT);
	while (write(ends[0], bytes, sizeof(bytes)) > 0)
		;
	OK(lkl->socket_refresh(sock, EPOLLOUT));
	EQ(shown(sock), 0);
	while (read(ends[1], bytes, sizeof(bytes)) > 0)
		;
	poll_until(shadow_of(sock), ALL, POLLOUT);
	OK(shutdown(ends[1], SHUT_WR));
	poll_until(shadow_of(sock), ALL, POLLIN | POLLOUT | POLLRDHUP);
	OK(close(ends[1]));
	CHECK(poll_fd(shadow_of(sock), 0, 20000) & POLLHUP);
}

TEST(calls_on_a_kernel_half_that_was_left_fail_and_meet_no_stranger)
{
	struct lklsock_socket *sock, *other;
	int ends[2], number;
	char byte = 0;

	boot();
	sock = host_only(ends);
	number = lkl->socket_lkl_fd(sock);
	CHECK(number >= 0);
	other = open_socket(SOCK_DGRAM, 0);
	CHECK(lkl->socket_lkl_fd(other) != number);
	EQ(lkl->send(sock, &byte, 1, 0), -EBADF);
	EQ(lkl->listen(sock, 1), -EBADF);
	EQ(connect_to(sock, "127.0.0.1", 5000), -EBADF);
	OK(lkl->socket_close(sock));
	EQ(lkl->socket_poll(sock), -EBADF);
}

TEST(leaving_frees_the_port)
{
	const struct sockaddr_in addr = address("127.0.0.1", 5000);
	struct lklsock_socket *sock, *next;

	boot();
	for (int protocol = 0; protocol < 2; protocol++) {
		sock = open_socket(SOCK_STREAM, protocol ? IPPROTO_MPTCP : IPPROTO_TCP);
		OK(lkl->bind(sock, &addr, sizeof(addr)));
		shadow_of(sock);
		OK(lkl->socket_leave_kernel(sock));
		next = open_socket(SOCK_STREAM, IPPROTO_TCP);
		OK(lkl->bind(next, &addr, sizeof(addr)));
		OK(lkl->socket_close(next));
		OK(lkl->socket_close(sock));
	}
}

TEST(one_half_at_a_time)
{
	struct lklsock_socket *sock;
	int ends[2];

	boot();
	sock = host_only(ends);
	EQ(lkl->socket_join_host(sock, ends[1]), -EBUSY);
	OK(lkl->socket_leave_host(sock));
	EQ(lkl->socket_poll(sock), 0);
	EQ(shown(sock), 0);
	OK(lkl->socket_join_host(sock, ends[1]));
	EQ(shown(sock), POLLOUT);
	OK(lkl->socket_leave_host(sock));
	EQ(lkl->socket_join_host(sock, -1), -EBADF);
	OK(lkl->socket_close(sock));
	EQ(lkl->socket_join_host(sock, ends[0]), -EBADF);
	EQ(lkl->socket_refresh(sock, 0), -EBADF);
}

static struct lklsock_socket *datagram_socket(int port)
{
	const struct sockaddr_in addr = address("127.0.0.1", port);
	struct lklsock_socket *sock = open_socket(SOCK_DGRAM, 0);

	OK(lkl->bind(sock, &addr, sizeof(addr)));
	return sock;
}

TEST(both_halves_show_as_one)
{
	const struct sockaddr_in addr = address("127.0.0.1", 5000);
	struct lklsock_socket *sock, *sender;
	int ends[2];
	char byte = 0;

	boot();
	sock = datagram_socket(5000);
	sender = open_socket(SOCK_DGRAM, 0);
	host_pair(SOCK_DGRAM, ends);
	OK(lkl->socket_join_host(sock, ends[0]));
	EQ(shown(sock), POLLOUT);
	EQ(lkl->sendto(sender, &byte, 1, 0, &addr, sizeof(addr)), 1);
	EQ(write(ends[1], &byte, 1), 1);
	poll_until(shadow_of(sock), ALL, POLLIN | POLLOUT);
	EQ(lkl->recv(sock, &byte, 1, 0), 1);
	/* What the poller saw may have been the kernel's half alone. */
	poll_until(shadow_of(sock), ALL, POLLIN | POLLOUT);
	EQ(host_recv(sock, ends[0], &byte, 1), 1);
	EQ(shown(sock), POLLOUT);
	/* Full in one half is full: who waits to send must not be told that it can. */
	while (write(ends[0], &byte, 1) > 0)
		;
	OK(lkl->socket_refresh(sock, EPOLLOUT));
	EQ(shown(sock), 0);
	EQ(lkl->socket_poll(sock), 0);
	while (read(ends[1], &byte, 1) > 0)
		;
	poll_until(shadow_of(sock), ALL, POLLOUT);
	OK(lkl->socket_leave_host(sock));
	EQ(shown(sock), POLLOUT);
}

static void *wait_for_data(void *sock)
{
	return (void *)lkl->socket_wait(sock, EPOLLIN, soon());
}

TEST(a_sleeper_wakes_for_either_half)
{
	const struct sockaddr_in addr = address("127.0.0.1", 5000);
	struct lklsock_socket *sock, *sender;
	pthread_t waiting;
	int ends[2];
	char byte = 0;

	boot();
	sock = datagram_socket(5000);
	sender = open_socket(SOCK_DGRAM, 0);
	host_pair(SOCK_DGRAM, ends);
	OK(lkl->socket_join_host(sock, ends[0]));
	for (int round = 0; round < 200; round++) {
		waiting = thread_start(wait_for_data, sock);
		if (round & 1) {
			EQ(write(ends[1], &byte, 1), 1);
			CHECK((long)thread_join(waiting) & EPOLLIN);
			EQ(recv(ends[0], &byte, 1, 0), 1);
		} else {
			EQ(lkl->sendto(sender, &byte, 1, 0, &addr, sizeof(addr)), 1);
			CHECK((long)thread_join(waiting) & EPOLLIN);
			EQ(lkl->recv(sock, &byte, 1, 0), 1);
		}
	}
	EQ(lkl->socket_wait(sock, EPOLLIN, shortly()), 0);
}

TEST(a_sleeper_follows_the_socket_to_its_new_half)
{
	struct lklsock_socket *sock;
	pthread_t waiting;
	int ends[2];
	char byte = 0;

	boot();
	sock = datagram_socket(5000);
	host_pair(SOCK_DGRAM, ends);
	waiting = thread_start(wait_for_data, sock);
	OK(lkl->socket_leave_kernel(sock));
	OK(lkl->socket_join_host(sock, ends[0]));
	EQ(write(ends[1], &byte, 1), 1);
	CHECK((long)thread_join(waiting) & EPOLLIN);
	waiting = thread_start(wait_for_data, sock);
	EQ(recv(ends[0], &byte, 1, 0), 1);
	OK(lkl->socket_close(sock));
	thread_join(waiting);
}

struct echo {
	struct lklsock_socket *sock;
	int host_fd;
	unsigned trigger;
};

#define ROUNDS 5000

/* Sleeps in epoll on the shadow whenever a call came short. */
static void *echo_polled(void *arg)
{
	const struct echo *it = arg;
	struct epoll_event event = { .events = EPOLLIN | it->trigger };
	int epoll = epoll_create1(0);
	char byte;

	OK(epoll_ctl(epoll, EPOLL_CTL_ADD, shadow_of(it->sock), &event));
	for (int round = 0; round < ROUNDS; round++) {
		while (host_recv(it->sock, it->host_fd, &byte, 1) != 1)
			EQ(epoll_wait(epoll, &event, 1, 20000), 1);
		EQ(byte, (char)round);
		EQ(send(it->host_fd, &byte, 1, 0), 1);
	}
	return NULL;
}

static void ping_pong(unsigned trigger)
{
	int ends[2];
	struct echo echo = { .sock = host_only(ends), .host_fd = ends[0], .trigger = trigger };
	pthread_t thread = thread_start(echo_polled, &echo);
	char byte;

	for (int round = 0; round < ROUNDS; round++) {
		byte = (char)round;
		EQ(write(ends[1], &byte, 1), 1);
		CHECK(poll_fd(ends[1], POLLIN, 20000));
		EQ(read(ends[1], &byte, 1), 1);
	}
	thread_join(thread);
}

TEST(level_triggered_pollers_of_a_host_half_miss_nothing)
{
	boot();
	ping_pong(0);
}

TEST(edge_triggered_pollers_of_a_host_half_miss_nothing)
{
	boot();
	ping_pong(EPOLLET);
}

TEST(a_replaced_kernel_half_keeps_the_shadow)
{
	const struct sockaddr_in addr = address("127.0.0.1", 5000);
	struct lklsock_socket *sock, *fresh, *client;
	int shadow;

	boot();
	sock = open_socket(SOCK_STREAM, IPPROTO_MPTCP);
	OK(lkl->bind(sock, &addr, sizeof(addr)));
	shadow = shadow_of(sock);
	fresh = open_socket(SOCK_STREAM, IPPROTO_TCP);
	OK(lkl->socket_replace_kernel(sock, fresh));
	OK(lkl->socket_close(fresh));
	/* The old half is gone, and its port free. */
	OK(lkl->bind(sock, &addr, sizeof(addr)));
	OK(lkl->listen(sock, 5));
	EQ(shadow_of(sock), shadow);
	client = open_socket(SOCK_STREAM, IPPROTO_TCP);
	OK(connect_to(client, "127.0.0.1", 5000));
	poll_until(shadow, ALL, POLLIN);
	accept_from(sock);
	EQ(shown(sock), 0);
	EQ(lkl->socket_replace_kernel(sock, fresh), -EBADF);
	lkl->socket_put(fresh);
}

TEST(halt_and_close_end_the_watch)
{
	struct lklsock_socket *socks[3];
	int ends[3][2];
	char byte = 0;

	boot();
	for (int i = 0; i < 3; i++)
		socks[i] = host_only(ends[i]);
	OK(lkl->socket_close(socks[0]));
	lkl->socket_put(socks[0]);
	EQ(write(ends[0][1], &byte, 1), 1);
	/* The descriptor stays the caller's. */
	EQ(read(ends[0][0], &byte, 1), 1);
	OK(close(shadow_of(socks[1])));
	OK(lkl->halt(soon()));
	EQ(fcntl(ends[2][0], F_GETFD), FD_CLOEXEC);
	EQ(lkl->socket_refresh(socks[2], 0), LKLSOCK_ENOTRUNNING);
	EQ(lkl->socket_join_host(socks[2], ends[2][0]), LKLSOCK_ENOTRUNNING);
	lkl->socket_put(socks[2]);
}

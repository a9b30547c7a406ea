// SPDX-License-Identifier: GPL-2.0-only
/* Shadows: what pollers of the host see of a socket, level and edge, and who owns what. */
#include <fcntl.h>
#include <sys/resource.h>

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

TEST(a_shadow_is_one_descriptor_and_close_on_exec)
{
	struct lklsock_socket *sock;
	int fd;

	boot();
	sock = open_socket(SOCK_STREAM, 0);
	fd = shadow_of(sock);
	EQ(shadow_of(sock), fd);
	EQ(fcntl(fd, F_GETFD), FD_CLOEXEC);
}

static void data_and_space(int protocol)
{
	struct pair pair = connected(protocol, 5000);
	char byte = 1;

	EQ(shown(pair.client), POLLOUT);
	EQ(shown(pair.server), POLLOUT);
	send_all(pair.client, &byte, 1);
	poll_until(shadow_of(pair.server), ALL, POLLIN | POLLOUT);
	EQ(lkl->recv(pair.server, &byte, 1, MSG_PEEK), 1);
	EQ(shown(pair.server), POLLIN | POLLOUT);
	EQ(receive(pair.server, &byte, 1), 1);
	EQ(shown(pair.server), POLLOUT);
	for (int round = 0; round < 3; round++) {
		CHECK(fill_up(pair.client) > 0);
		EQ(shown(pair.client), 0);
		drain_all(pair.server);
		poll_until(shadow_of(pair.client), ALL, POLLOUT);
		drain_all(pair.server);
	}
}

TEST(a_tcp_shadow_shows_data_and_space)
{
	boot();
	data_and_space(IPPROTO_TCP);
}

TEST(an_mptcp_shadow_shows_data_and_space)
{
	boot();
	data_and_space(IPPROTO_MPTCP);
}

static void end_of_file(int protocol)
{
	struct pair pair = connected(protocol, 5000);
	int server = shadow_of(pair.server), client = shadow_of(pair.client);
	char byte;

	OK(lkl->shutdown(pair.client, SHUT_WR));
	poll_until(server, ALL, POLLIN | POLLOUT | POLLRDHUP);
	EQ(receive(pair.server, &byte, 1), 0);
	EQ(shown(pair.server), POLLIN | POLLOUT | POLLRDHUP);
	EQ(shown(pair.client), POLLOUT);
	OK(lkl->socket_close(pair.server));
	poll_until(client, ALL, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
	EQ(receive(pair.client, &byte, 1), 0);
	/* That of the closed socket. */
	poll_until(server, ALL, POLLIN | POLLOUT | POLLRDHUP | POLLHUP);
}

TEST(a_tcp_shadow_shows_the_peers_end_and_hang_up)
{
	boot();
	end_of_file(IPPROTO_TCP);
}

TEST(an_mptcp_shadow_shows_the_peers_end_and_hang_up)
{
	boot();
	end_of_file(IPPROTO_MPTCP);
}

TEST(a_reset_hangs_up)
{
	const struct linger reset = { .l_onoff = 1 };
	struct pair pair;
	int server, error = 0;
	socklen_t len = sizeof(error);

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	server = shadow_of(pair.server);
	OK(lkl->setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
	OK(lkl->socket_close(pair.client));
	CHECK(poll_fd(server, 0, 20000) & POLLHUP);
	OK(lkl->getsockopt(pair.server, SOL_SOCKET, SO_ERROR, &error, &len));
	EQ(error, ECONNRESET);
}

TEST(an_unconnected_socket_is_not_hung_up)
{
	struct lklsock_socket *sock, *listening;

	boot();
	sock = open_socket(SOCK_STREAM, IPPROTO_MPTCP);
	EQ(shown(sock), POLLOUT);
	listening = listener(IPPROTO_MPTCP, 5000);
	EQ(connect_to(sock, "127.0.0.1", 5000), 0);
	EQ(shown(sock), POLLOUT);
	lkl->socket_put(accept_from(listening));
	poll_until(shadow_of(sock), ALL, POLLIN | POLLOUT | POLLRDHUP);
}

/* A device that leads nowhere: nobody answers. */
static void no_mans_land(void)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	const struct in_addr addr = { htonl(0x0a000001) };
	struct lklsock_link *link;
	int fds[2], ifindex;

	wire_pair(fds);
	OK(lkl->link_wire(fds[0], &link));
	ifindex = (int)OK(lkl->link_attach(link, "eth0", mac, 1500));
	OK(lkl->address_add(ifindex, AF_INET, &addr, 24));
	OK(lkl->interface_up(ifindex, true));
}

TEST(a_connecting_socket_is_neither_readable_nor_writable_until_it_fails)
{
	const struct sockaddr_in addr = address("10.0.0.2", 80);
	struct lklsock_socket *sock;
	int fd, error = 0;
	socklen_t len = sizeof(error);

	boot();
	no_mans_land();
	sock = open_socket(SOCK_STREAM, IPPROTO_TCP);
	fd = shadow_of(sock);
	EQ(lkl->connect(sock, &addr, sizeof(addr)), -EINPROGRESS);
	EQ(poll_fd(fd, ALL, 0), 0);
	/* Neighbour discovery gives up after three seconds. */
	EQ(poll_fd(fd, POLLOUT, 20000) & POLLHUP, POLLHUP);
	poll_until(fd, ALL, POLLIN | POLLOUT | POLLRDHUP | POLLHUP | POLLERR);
	OK(lkl->getsockopt(sock, SOL_SOCKET, SO_ERROR, &error, &len));
	EQ(error, EHOSTUNREACH);
}

TEST(a_listener_is_readable_while_its_queue_is_not_empty)
{
	struct lklsock_socket *listening, *clients[2];

	boot();
	listening = listener(IPPROTO_MPTCP, 5000);
	EQ(shown(listening), 0);
	for (int i = 0; i < 2; i++) {
		clients[i] = open_socket(SOCK_STREAM, IPPROTO_MPTCP);
		OK(connect_to(clients[i], "127.0.0.1", 5000));
	}
	poll_until(shadow_of(listening), ALL, POLLIN);
	accept_from(listening);
	EQ(shown(listening), POLLIN);
	accept_from(listening);
	EQ(shown(listening), 0);
}

TEST(a_datagram_error_shows_and_passes)
{
	const struct sockaddr_in nobody = address("127.0.0.1", 9);
	struct lklsock_socket *sock;
	char byte = 0;

	boot();
	sock = open_socket(SOCK_DGRAM, 0);
	EQ(shown(sock), POLLOUT);
	OK(lkl->connect(sock, &nobody, sizeof(nobody)));
	OK(lkl->send(sock, &byte, 1, 0));
	poll_until(shadow_of(sock), ALL, POLLIN | POLLOUT);
	EQ(lkl->recv(sock, &byte, 1, 0), -ECONNREFUSED);
	EQ(shown(sock), POLLOUT);
}

TEST(low_water_marks_move_readiness)
{
	struct pair pair;
	int two = 2, one = 1;
	char bytes[2] = { 0 };

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	shadow_of(pair.server);
	OK(lkl->setsockopt(pair.server, SOL_SOCKET, SO_RCVLOWAT, &two, sizeof(two)));
	send_all(pair.client, bytes, 1);
	EQ(shown(pair.server), POLLOUT);
	OK(lkl->setsockopt(pair.server, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof(one)));
	EQ(shown(pair.server), POLLIN | POLLOUT);
}

TEST(a_socket_whose_shadow_alone_is_left_ends_with_it)
{
	struct pair pair;
	int shadow;
	char byte = 1;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	shadow = shadow_of(pair.server);
	/* As detach() does. */
	lkl->socket_put(pair.server);
	send_all(pair.client, &byte, 1);
	EQ(poll_fd(shadow, POLLIN, 20000), POLLIN);
	EQ(lkl->socket_poll(pair.client), EPOLLOUT);
	close(shadow);
	CHECK(OK(lkl->socket_wait(pair.client, EPOLLRDHUP, soon())) & (EPOLLRDHUP | EPOLLHUP));
}

TEST(a_socket_outlives_its_shadow_while_somebody_refers_to_it)
{
	struct pair pair;
	char byte = 1;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	close(shadow_of(pair.server));
	send_all(pair.client, &byte, 1);
	EQ(receive(pair.server, &byte, 1), 1);
	fill_up(pair.server);
	OK(lkl->socket_close(pair.server));
}

TEST(a_shadow_is_reached_by_a_copy_when_its_number_is_closed)
{
	struct pair pair;
	int shadow, copy, stranger;
	char byte = 1;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	shadow = shadow_of(pair.server);
	copy = dup(shadow);
	stranger = socket(AF_UNIX, SOCK_STREAM, 0);
	EQ(lkl->socket_shadow_move(pair.server, stranger), -EBADF);
	EQ(lkl->socket_shadow_move(pair.server, -1), -EBADF);
	EQ(lkl->socket_shadow_move(pair.client, copy), -EBADF);
	OK(lkl->socket_shadow_move(pair.server, copy));
	EQ(shadow_of(pair.server), copy);
	close(shadow);
	send_all(pair.client, &byte, 1);
	EQ(poll_fd(copy, POLLIN, 20000), POLLIN);
	EQ(receive(pair.server, &byte, 1), 1);
	EQ(poll_fd(copy, POLLIN, 0), 0);
}

TEST(a_stranger_with_the_shadows_number_is_left_alone)
{
	struct pair pair;
	int shadow, fds[2];
	char bytes[4] = "abc";

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	shadow = shadow_of(pair.server);
	send_all(pair.client, bytes, 1);
	EQ(poll_fd(shadow, POLLIN, 20000), POLLIN);
	close(shadow);
	EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	EQ(dup2(fds[0], shadow), shadow);
	EQ(write(fds[1], bytes, 3), 3);
	EQ(receive(pair.server, bytes, 1), 1);
	fill_up(pair.server);
	EQ(read(shadow, bytes, 4), 3);
	EQ(recv(fds[1], bytes, 4, MSG_DONTWAIT), -1);
}

#define ROUNDS 20000

static int epoll_of(int fd, unsigned events)
{
	struct epoll_event event = { .events = events };
	int epoll = epoll_create1(0);

	CHECK(epoll >= 0 && !epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
	return epoll;
}

struct polled {
	struct lklsock_socket *sock;
	unsigned trigger;
	int pinger;
};

/* Edge-triggered as everybody should: sleeps only after a call came short. */
static long receive_polled(struct lklsock_socket *sock, int epoll, char *byte)
{
	struct epoll_event event;
	long ret;

	while ((ret = lkl->recv(sock, byte, 1, 0)) == -EAGAIN)
		EQ(epoll_wait(epoll, &event, 1, 20000), 1);
	return ret;
}

static void *ping_polled(void *arg)
{
	const struct polled *it = arg;
	int epoll = epoll_of(shadow_of(it->sock), EPOLLIN | it->trigger);
	char byte;

	for (int round = 0; round < ROUNDS; round++) {
		byte = (char)round;
		if (it->pinger)
			send_all(it->sock, &byte, 1);
		EQ(receive_polled(it->sock, epoll, &byte), 1);
		EQ(byte, (char)round);
		if (!it->pinger)
			send_all(it->sock, &byte, 1);
	}
	return NULL;
}

static void ping_pong(int protocol, unsigned trigger)
{
	struct pair pair = connected(protocol, 5000);
	struct polled ends[2] = { { pair.client, trigger, 1 }, { pair.server, trigger, 0 } };
	pthread_t threads[2];

	for (int i = 0; i < 2; i++)
		threads[i] = thread_start(ping_polled, &ends[i]);
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
}

TEST(level_triggered_pollers_miss_nothing)
{
	boot();
	ping_pong(IPPROTO_TCP, 0);
}

TEST(edge_triggered_pollers_miss_nothing)
{
	boot();
	ping_pong(IPPROTO_TCP, EPOLLET);
}

TEST(edge_triggered_pollers_of_mptcp_miss_nothing)
{
	boot();
	ping_pong(IPPROTO_MPTCP, EPOLLET);
}

#define BYTES (32l << 20)

/* Blocks of a changing size, until EAGAIN, then an edge. */
static void *send_polled(void *arg)
{
	static const char zeros[50000];
	const struct polled *it = arg;
	int epoll = epoll_of(shadow_of(it->sock), EPOLLOUT | it->trigger);
	struct epoll_event event;

	for (long left = BYTES; left > 0;) {
		size_t len = (size_t)((left - 1) % 49999) + 1;
		long ret = lkl->send(it->sock, zeros, len, 0);

		if (ret > 0)
			left -= ret;
		/* A short count says it as well. */
		if (ret == -EAGAIN || (ret > 0 && (size_t)ret < len))
			EQ(epoll_wait(epoll, &event, 1, 20000), 1);
		else
			OK(ret);
	}
	OK(lkl->shutdown(it->sock, SHUT_WR));
	return NULL;
}

static void *recv_polled(void *arg)
{
	static char buf[30000];
	const struct polled *it = arg;
	int epoll = epoll_of(shadow_of(it->sock), EPOLLIN | EPOLLRDHUP | it->trigger);
	struct epoll_event event = { 0 };
	long total = 0, ret;

	while ((ret = lkl->recv(it->sock, buf, sizeof(buf), 0)) != 0) {
		if (ret > 0)
			total += ret;
		else
			EQ(ret, -EAGAIN);
		/* Once the end was told no other edge comes: it reads on. */
		if (ret < (long)sizeof(buf) && !(event.events & EPOLLRDHUP))
			EQ(epoll_wait(epoll, &event, 1, 20000), 1);
	}
	return (void *)total;
}

TEST(an_edge_triggered_stream_arrives_whole)
{
	struct pair pair;
	struct polled ends[2];
	pthread_t threads[2];

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	ends[0] = (struct polled){ pair.client, EPOLLET, 1 };
	ends[1] = (struct polled){ pair.server, EPOLLET, 0 };
	threads[0] = thread_start(send_polled, &ends[0]);
	threads[1] = thread_start(recv_polled, &ends[1]);
	thread_join(threads[0]);
	EQ(thread_join(threads[1]), BYTES);
}

TEST(no_descriptors_left_gives_emfile)
{
	struct lklsock_socket *sock;
	struct rlimit limit;

	boot();
	sock = open_socket(SOCK_STREAM, 0);
	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = 3;
	setrlimit(RLIMIT_NOFILE, &limit);
	EQ(lkl->socket_shadow(sock), -EMFILE);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	EQ(shown(sock), POLLOUT);
}

TEST(a_thousand_shadows_are_polled_at_once)
{
	enum { COUNT = 500 };
	static struct pair pairs[COUNT];
	int epoll = epoll_create1(0), seen = 0;
	struct rlimit limit;
	char byte = 1;

	getrlimit(RLIMIT_NOFILE, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
	boot();
	for (int i = 0; i < COUNT; i++) {
		struct epoll_event event = { .events = EPOLLIN, .data.u32 = (unsigned)i };

		pairs[i] = connected(IPPROTO_TCP, 5000);
		shadow_of(pairs[i].client);
		OK(epoll_ctl(epoll, EPOLL_CTL_ADD, shadow_of(pairs[i].server), &event));
	}
	for (int i = 0; i < COUNT; i++)
		send_all(pairs[i].client, &byte, 1);
	while (seen < COUNT) {
		struct epoll_event event;

		EQ(epoll_wait(epoll, &event, 1, 20000), 1);
		EQ(receive(pairs[event.data.u32].server, &byte, 1), 1);
		seen++;
	}
	for (int i = 0; i < COUNT; i++) {
		int shadow = shadow_of(pairs[i].client);

		OK(lkl->socket_close(pairs[i].client));
		lkl->socket_put(pairs[i].client);
		close(shadow);
	}
	OK(lkl->halt(soon()));
}

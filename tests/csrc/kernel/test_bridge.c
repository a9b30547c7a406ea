// SPDX-License-Identifier: GPL-2.0-only
/* Bridges: the data of a connection on a descriptor of the host, both ways, to both ends. */
#include <sys/socket.h>

#include "net.h"

#define BYTES (8l << 20)

static int bridge_of(struct lklsock_socket *sock)
{
	int fd = (int)OK(lkl->socket_bridge(sock, -1));

	/* As bridge() of the class does. */
	lkl->socket_put(sock);
	return fd;
}

static char pattern(long at)
{
	return (char)(at * 7 + at / 251);
}

/* All of it, or until the end. Return: bytes. */
static long read_all(int fd, long from, long bytes)
{
	static __thread char buf[70000];
	long got = 0;

	while (got < bytes) {
		long ret;

		CHECK(poll_fd(fd, POLLIN, 20000));
		ret = read(fd, buf, sizeof(buf));
		if (ret <= 0)
			break;
		for (long i = 0; i < ret; i++)
			EQ(buf[i], pattern(from + got + i));
		got += ret;
	}
	return got;
}

static void write_all(int fd, long bytes)
{
	char buf[50000];

	for (long done = 0; done < bytes;) {
		size_t len = (size_t)(bytes - done) < sizeof(buf) ? (size_t)(bytes - done) :
								    sizeof(buf);

		for (size_t i = 0; i < len; i++)
			buf[i] = pattern(done + (long)i);
		CHECK(poll_fd(fd, POLLOUT, 20000));
		done += OK(send(fd, buf, len, MSG_NOSIGNAL));
	}
}

static void *writes(void *fd)
{
	write_all((int)(long)fd, BYTES);
	OK(shutdown((int)(long)fd, SHUT_WR));
	return NULL;
}

static void both_ways(int protocol)
{
	struct pair pair = connected(protocol, 5000);
	int client = bridge_of(pair.client), server = bridge_of(pair.server);
	pthread_t threads[2];

	threads[0] = thread_start(writes, (void *)(long)client);
	EQ(read_all(server, 0, BYTES), BYTES);
	EQ(read_all(server, 0, 1), 0);
	/* The other direction goes on. */
	threads[1] = thread_start(writes, (void *)(long)server);
	EQ(read_all(client, 0, BYTES), BYTES);
	EQ(read_all(client, 0, 1), 0);
	for (int i = 0; i < 2; i++)
		thread_join(threads[i]);
	CHECK(poll_fd(client, 0, 20000) & POLLHUP);
	CHECK(poll_fd(server, 0, 20000) & POLLHUP);
	close(client);
	close(server);
	OK(lkl->halt(soon()));
}

TEST(tcp_goes_both_ways_and_ends_each_by_itself)
{
	boot();
	both_ways(IPPROTO_TCP);
}

TEST(mptcp_goes_both_ways_and_ends_each_by_itself)
{
	boot();
	both_ways(IPPROTO_MPTCP);
}

TEST(who_does_not_read_stops_who_writes)
{
	struct pair pair;
	char zeros[65536] = { 0 };
	int client;
	long sent = 0, got = 0;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	client = bridge_of(pair.client);
	while (poll_fd(client, POLLOUT, 300))
		sent += OK(send(client, zeros, sizeof(zeros), MSG_DONTWAIT));
	CHECK(sent < 64l << 20);
	while (got < sent)
		got += receive(pair.server, zeros, sizeof(zeros));
	EQ(got, sent);
	/* And up. */
	sent = 0;
	while (lkl->socket_wait(pair.server, EPOLLOUT, now_ns() + 300000000))
		sent += OK(lkl->send(pair.server, zeros, sizeof(zeros), 0));
	for (got = 0; got < sent; got += OK(read(client, zeros, sizeof(zeros))))
		CHECK(poll_fd(client, POLLIN, 20000));
	EQ(got, sent);
}

TEST(what_was_written_arrives_though_the_program_closes_at_once)
{
	struct pair pair;
	int client;
	char buf[4096];
	long got = 0, ret;

	boot();
	pair = connected(IPPROTO_MPTCP, 5000);
	client = bridge_of(pair.client);
	write_all(client, 100000);
	close(client);
	while ((ret = receive(pair.server, buf, sizeof(buf))) > 0)
		got += ret;
	EQ(ret, 0);
	EQ(got, 100000);
}

TEST(a_reset_closes_the_bridge)
{
	const struct linger reset = { .l_onoff = 1 };
	struct pair pair;
	int client;
	char byte = 0;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	client = bridge_of(pair.client);
	OK(lkl->setsockopt(pair.server, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
	OK(lkl->socket_close(pair.server));
	CHECK(poll_fd(client, 0, 20000) & POLLHUP);
	EQ(send(client, &byte, 1, MSG_NOSIGNAL), -1);
	EQ(errno, EPIPE);
}

TEST(only_a_connection_is_bridged_and_once)
{
	struct lklsock_socket *sock;
	struct pair pair;

	boot();
	sock = open_socket(SOCK_STREAM, IPPROTO_TCP);
	EQ(lkl->socket_bridge(sock, -1), -ENOTCONN);
	EQ(lkl->socket_bridge(open_socket(SOCK_DGRAM, 0), -1), -EOPNOTSUPP);
	pair = connected(IPPROTO_TCP, 5000);
	OK(lkl->socket_bridge(pair.client, -1));
	EQ(lkl->socket_bridge(pair.client, -1), -EBUSY);
	OK(lkl->socket_close(pair.client));
	EQ(lkl->socket_bridge(pair.client, -1), -EBADF);
}

TEST(a_given_socket_becomes_the_bridges_end)
{
	struct lklsock_socket *sock;
	struct pair pair;
	int ends[2];
	char buf[8];

	boot();
	sock = open_socket(SOCK_STREAM, IPPROTO_TCP);
	OK(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
	EQ(lkl->socket_bridge(sock, ends[1]), -ENOTCONN);
	/* Then it is still the caller's. What waits in it is sent. */
	OK(send(ends[0], "early", 5, 0));
	pair = connected(IPPROTO_TCP, 5000);
	EQ(lkl->socket_bridge(pair.client, ends[1]), 0);
	lkl->socket_put(pair.client);
	EQ(receive(pair.server, buf, sizeof(buf)), 5);
	OK(lkl->socket_close(pair.server));
	CHECK(poll_fd(ends[0], POLLIN, 20000));
	EQ(read(ends[0], buf, sizeof(buf)), 0);
	close(ends[0]);
}

TEST(halt_hangs_up_the_bridges)
{
	struct pair pair;
	int client;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	client = bridge_of(pair.client);
	OK(lkl->halt(soon()));
	CHECK(poll_fd(client, 0, 20000) & POLLHUP);
}

enum { MANY = 50 };

TEST(many_bridges_are_carried_by_one_thread)
{
	static int clients[MANY], servers[MANY];
	char byte;

	boot();
	for (int i = 0; i < MANY; i++) {
		struct pair pair = connected(IPPROTO_TCP, 5000);

		clients[i] = bridge_of(pair.client);
		servers[i] = bridge_of(pair.server);
	}
	for (int round = 0; round < 20; round++) {
		for (int i = 0; i < MANY; i++)
			EQ(write(clients[i], "x", 1), 1);
		for (int i = 0; i < MANY; i++) {
			CHECK(poll_fd(servers[i], POLLIN, 20000));
			EQ(read(servers[i], &byte, 1), 1);
		}
	}
	for (int i = 0; i < MANY; i++)
		close(clients[i]);
	for (int i = 0; i < MANY; i++) {
		CHECK(poll_fd(servers[i], POLLIN, 20000));
		EQ(read(servers[i], &byte, 1), 0);
		close(servers[i]);
	}
	OK(lkl->halt(soon()));
}

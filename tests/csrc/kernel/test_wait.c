// SPDX-License-Identifier: GPL-2.0-only
/* socket_wait(): it sleeps, wakes for what it should, and loses no wake-up. */
#include <signal.h>

#include "net.h"

TEST(wait_returns_nothing_at_the_deadline)
{
	struct pair pair;
	uint64_t deadline;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	deadline = shortly();
	EQ(lkl->socket_wait(pair.client, EPOLLIN, deadline), 0);
	CHECK(now_ns() >= deadline);
	EQ(lkl->socket_wait(pair.client, EPOLLIN, 0), 0);
	EQ(lkl->socket_wait(pair.client, EPOLLOUT, 0), EPOLLOUT);
	EQ(lkl->socket_poll(pair.client), EPOLLOUT);
}

static void *wait_for_data(void *sock)
{
	return (void *)lkl->socket_wait(sock, EPOLLIN, soon());
}

TEST(wait_wakes_for_data_from_another_thread)
{
	struct pair pair;
	pthread_t waiting;
	char byte = 1;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	waiting = thread_start(wait_for_data, pair.server);
	send_all(pair.client, &byte, 1);
	CHECK((long)thread_join(waiting) & EPOLLIN);
}

TEST(wait_tells_the_end_and_a_reset_unasked)
{
	const struct linger reset = { .l_onoff = 1 };
	struct pair pair;
	long mask;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	OK(lkl->shutdown(pair.client, SHUT_WR));
	EQ(lkl->socket_wait(pair.server, EPOLLRDHUP, soon()), EPOLLIN | EPOLLOUT | EPOLLRDHUP);
	OK(lkl->setsockopt(pair.client, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)));
	OK(lkl->socket_close(pair.client));
	mask = lkl->socket_wait(pair.server, EPOLLPRI, soon());
	EQ(mask & (EPOLLHUP | EPOLLERR), EPOLLHUP | EPOLLERR);
}

struct interrupted {
	struct lklsock_socket *sock;
	long result;
	int done;
};

static void *wait_interrupted(void *arg)
{
	struct interrupted *it = arg;

	/* It may say so without a signal, now and then. */
	it->result = lkl->socket_wait(it->sock, EPOLLIN, soon());
	__atomic_store_n(&it->done, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static int signals;

static void on_signal(int number)
{
	(void)number;
	__atomic_fetch_add(&signals, 1, __ATOMIC_SEQ_CST);
}

TEST(a_signal_interrupts_wait)
{
	const struct sigaction action = { .sa_handler = on_signal };
	struct interrupted it = { 0 };
	pthread_t waiting;

	boot();
	it.sock = connected(IPPROTO_TCP, 5000).client;
	sigaction(SIGUSR1, &action, NULL);
	waiting = thread_start(wait_interrupted, &it);
	while (!__atomic_load_n(&it.done, __ATOMIC_SEQ_CST))
		pthread_kill(waiting, SIGUSR1);
	thread_join(waiting);
	EQ(it.result, -EINTR);
	CHECK(signals > 0);
}

TEST(close_ends_all_sleepers)
{
	struct pair pair;
	pthread_t waiting[4];

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	for (int i = 0; i < 4; i++)
		waiting[i] = thread_start(wait_for_data, pair.client);
	OK(lkl->socket_close(pair.client));
	for (int i = 0; i < 4; i++)
		EQ(thread_join(waiting[i]), -EBADF);
	EQ(lkl->socket_close(pair.client), -EBADF);
	EQ(lkl->socket_lkl_fd(pair.client), -EBADF);
	EQ(lkl->socket_wait(pair.client, EPOLLIN, 0), -EBADF);
	lkl->socket_put(pair.client);
}

TEST(a_port_is_free_as_soon_as_close_returns_though_somebody_slept_in_accept)
{
	boot();
	for (int round = 0; round < 200; round++) {
		struct lklsock_socket *listening = listener(IPPROTO_TCP, 5000);
		pthread_t waiting = thread_start(wait_for_data, listening);

		OK(lkl->socket_close(listening));
		EQ(thread_join(waiting), -EBADF);
		lkl->socket_put(listening);
	}
}

#define PAIRS 4
#define ROUNDS 20000

static void *echo(void *sock)
{
	char byte;

	while (receive(sock, &byte, 1) == 1)
		send_all(sock, &byte, 1);
	return NULL;
}

static void *ping(void *sock)
{
	char byte = 0;

	for (int round = 0; round < ROUNDS; round++) {
		byte = (char)round;
		send_all(sock, &byte, 1);
		EQ(receive(sock, &byte, 1), 1);
		EQ(byte, (char)round);
	}
	OK(lkl->shutdown(sock, SHUT_WR));
	return NULL;
}

static void ping_pong(int protocol)
{
	pthread_t threads[2 * PAIRS];

	for (int i = 0; i < PAIRS; i++) {
		struct pair pair = connected(protocol, 5000 + i);

		threads[2 * i] = thread_start(echo, pair.server);
		threads[2 * i + 1] = thread_start(ping, pair.client);
	}
	for (int i = 0; i < 2 * PAIRS; i++)
		thread_join(threads[i]);
	OK(lkl->halt(soon()));
}

TEST(threads_that_wait_for_each_other_never_sleep_for_ever_tcp)
{
	boot();
	ping_pong(IPPROTO_TCP);
}

TEST(threads_that_wait_for_each_other_never_sleep_for_ever_mptcp)
{
	boot();
	ping_pong(IPPROTO_MPTCP);
}

#define BYTES (64l << 20)

static void *send_much(void *sock)
{
	static unsigned char block[100000];

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (unsigned char)(i % 251);
	for (long left = BYTES; left > 0;) {
		size_t len = left < (long)sizeof(block) ? (size_t)left : sizeof(block);

		send_all(sock, block, len);
		left -= (long)len;
	}
	OK(lkl->shutdown(sock, SHUT_WR));
	return NULL;
}

TEST(a_stream_between_two_threads_arrives_whole)
{
	static unsigned char block[65536];
	struct pair pair;
	pthread_t sending;
	long at = 0, ret;

	boot();
	pair = connected(IPPROTO_MPTCP, 5000);
	sending = thread_start(send_much, pair.client);
	while ((ret = receive(pair.server, block, sizeof(block))) > 0) {
		for (long i = 0; i < ret; i++, at++)
			if (block[i] != (unsigned char)(at % 100000 % 251))
				test_fail(__FILE__, __LINE__, "byte %ld is wrong", at);
	}
	EQ(ret, 0);
	EQ(at, BYTES);
	thread_join(sending);
}

TEST(many_threads_may_wait_on_one_socket)
{
	struct lklsock_socket *sock;
	const struct sockaddr_in addr = address("127.0.0.1", 5000);
	pthread_t waiting[8];

	boot();
	sock = open_socket(SOCK_DGRAM, 0);
	OK(lkl->bind(sock, &addr, sizeof(addr)));
	for (int i = 0; i < 8; i++)
		waiting[i] = thread_start(wait_for_data, sock);
	OK(lkl->sendto(sock, "x", 1, 0, &addr, sizeof(addr)));
	for (int i = 0; i < 8; i++)
		CHECK((long)thread_join(waiting[i]) & EPOLLIN);
}

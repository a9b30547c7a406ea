// SPDX-License-Identifier: GPL-2.0-only
/* Closing: lingering, resets, halting with data in flight, and descriptors that are never mixed up. */
#include "net.h"

#include <fcntl.h>
#include <signal.h>

TEST(linger_stays_visible_and_is_inherited)
{
	const struct linger wanted = { .l_onoff = 1, .l_linger = 7 };
	struct linger seen = { 0 };
	socklen_t len = sizeof(seen);
	struct lklsock_socket *listening, *client, *server;

	boot();
	listening = listener(IPPROTO_TCP, 5000);
	OK(lkl->setsockopt(listening, SOL_SOCKET, SO_LINGER, &wanted, sizeof(wanted)));
	client = open_socket(SOCK_STREAM, IPPROTO_TCP);
	OK(connect_to(client, "127.0.0.1", 5000));
	server = accept_from(listening);
	OK(lkl->getsockopt(server, SOL_SOCKET, SO_LINGER, &seen, &len));
	EQ(seen.l_onoff, 1);
	EQ(seen.l_linger, 7);
}

static void set_linger(struct lklsock_socket *sock, int seconds)
{
	const struct linger linger = { .l_onoff = 1, .l_linger = seconds };

	OK(lkl->setsockopt(sock, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)));
}

static void close_lingering(struct lklsock_socket *sock)
{
	long ret;

	while ((ret = lkl->socket_linger(sock)) == -EAGAIN)
		;
	EQ(ret, 0);
	OK(lkl->socket_close(sock));
}

TEST(a_lingering_close_returns_when_all_is_acknowledged)
{
	int protocols[] = { IPPROTO_TCP, IPPROTO_MPTCP };

	boot();
	for (int i = 0; i < 2; i++) {
		struct pair pair = connected(protocols[i], 5000);
		uint64_t start = now_ns();

		set_linger(pair.client, 30);
		send_all(pair.client, "x", 1);
		close_lingering(pair.client);
		CHECK(now_ns() - start < 5000000000u);
	}
}

static void *close_it(void *sock)
{
	close_lingering(sock);
	return NULL;
}

/* What the peer's window does not take is acknowledged when it reads. */
TEST(a_lingering_close_waits_for_the_peer_to_read)
{
	int protocols[] = { IPPROTO_TCP, IPPROTO_MPTCP };

	boot();
	for (int i = 0; i < 2; i++) {
		struct pair pair = connected(protocols[i], 5000);
		pthread_t closing;
		long sent;
		char byte;

		set_linger(pair.client, 30);
		sent = fill_up(pair.client);
		closing = thread_start(close_it, pair.client);
		EQ(pthread_tryjoin_np(closing, NULL), EBUSY);
		while (sent > 0)
			sent -= OK(receive(pair.server, (char[65536]){ 0 }, 65536));
		EQ(sent, 0);
		EQ(receive(pair.server, &byte, 1), 0);
		thread_join(closing);
	}
}

TEST(a_lingering_close_gives_up_after_its_time_and_holds_nobody_else)
{
	struct pair pair;
	uint64_t start;
	pthread_t closing;
	char byte = 1;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	set_linger(pair.client, 1);
	fill_up(pair.client);
	start = now_ns();
	closing = thread_start(close_it, pair.client);
	EQ(lkl->recv(pair.server, &byte, 1, MSG_PEEK), 1);
	thread_join(closing);
	CHECK(now_ns() - start >= 1000000000u);
	CHECK(now_ns() - start < 10000000000u);
}

static void do_nothing(int number)
{
	(void)number;
}

static void *linger_it(void *sock)
{
	long ret;

	while ((ret = lkl->socket_linger(sock)) == -EAGAIN)
		;
	return (void *)ret;
}

TEST(a_signal_ends_lingering)
{
	const struct sigaction action = { .sa_handler = do_nothing };
	struct pair pair;
	pthread_t lingering;
	uint64_t start;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	set_linger(pair.client, 300);
	fill_up(pair.client);
	sigaction(SIGUSR1, &action, NULL);
	start = now_ns();
	lingering = thread_start(linger_it, pair.client);
	/* The first ones may come before it sleeps. */
	while (pthread_tryjoin_np(lingering, NULL)) {
		pthread_kill(lingering, SIGUSR1);
		sched_yield();
	}
	OK(lkl->socket_close(pair.client));
	CHECK(now_ns() - start < 60000000000u);
}

TEST(linger_zero_resets)
{
	struct pair pair;
	char byte;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	set_linger(pair.client, 0);
	OK(lkl->socket_close(pair.client));
	EQ(receive(pair.server, &byte, 1), -ECONNRESET);
}

TEST(sockets_never_block_inside_whatever_is_asked)
{
	struct pair pair;
	const int off = 0;
	char byte;

	boot();
	pair = connected(IPPROTO_TCP, 5000);
	EQ(lkl->ioctl(pair.client, 0x5421 /* FIONBIO */, (void *)&off), -EOPNOTSUPP);
	EQ(lkl->recv(pair.client, &byte, 1, MSG_WAITALL), -EAGAIN);
	EQ(lkl->setsockopt(pair.client, SOL_SOCKET, SO_ZEROCOPY, &off, sizeof(off)), -EOPNOTSUPP);
}

#define OPENERS 4
#define OPENED 3000

static struct lklsock_socket *volatile shared[64];

/*
 * Each datagram socket is bound to a port of its own that is also its mark. A call that met a
 * descriptor of another socket would see another port.
 */
static void *open_and_close(void *arg)
{
	long number = (long)arg;

	for (int round = 0; round < OPENED; round++) {
		struct sockaddr_in addr = address("127.0.0.1", 10000 + (int)number), seen;
		struct lklsock_socket *sock = open_socket(SOCK_DGRAM, 0);
		socklen_t len = sizeof(seen);

		OK(lkl->bind(sock, &addr, sizeof(addr)));
		lkl->socket_get(sock);
		__atomic_store_n(&shared[number], sock, __ATOMIC_SEQ_CST);
		OK(lkl->getsockname(sock, &seen, &len));
		EQ(ntohs(seen.sin_port), 10000 + number);
		OK(lkl->socket_close(sock));
		lkl->socket_put(sock);
		/* The user takes its reference away, or we do. */
		sock = __atomic_exchange_n(&shared[number], NULL, __ATOMIC_SEQ_CST);
		if (sock)
			lkl->socket_put(sock);
	}
	return NULL;
}

static int users_stop;

static void *use(void *unused)
{
	(void)unused;
	for (unsigned turn = 0; !__atomic_load_n(&users_stop, __ATOMIC_RELAXED); turn++) {
		long number = turn % OPENERS;
		struct lklsock_socket *sock = __atomic_exchange_n(&shared[number], NULL,
								  __ATOMIC_SEQ_CST);
		struct sockaddr_in seen;
		socklen_t len = sizeof(seen);
		long ret;

		if (!sock)
			continue;
		ret = lkl->getsockname(sock, &seen, &len);
		CHECK(ret == 0 || ret == -EBADF);
		if (!ret)
			EQ(ntohs(seen.sin_port), 10000 + number);
		ret = lkl->socket_wait(sock, EPOLLIN, 0);
		CHECK(ret == 0 || ret == -EBADF || ret == -EINTR);
		lkl->socket_put(sock);
	}
	return NULL;
}

TEST(a_call_never_meets_another_sockets_descriptor)
{
	pthread_t openers[OPENERS], users[2];

	boot();
	for (long i = 0; i < OPENERS; i++)
		openers[i] = thread_start(open_and_close, (void *)i);
	for (int i = 0; i < 2; i++)
		users[i] = thread_start(use, NULL);
	for (int i = 0; i < OPENERS; i++)
		thread_join(openers[i]);
	__atomic_store_n(&users_stop, 1, __ATOMIC_SEQ_CST);
	for (int i = 0; i < 2; i++)
		thread_join(users[i]);
	OK(lkl->halt(soon()));
}

static void *halt_it(void *unused)
{
	(void)unused;
	OK(lkl->halt(soon()));
	return NULL;
}

static void *talk(void *unused)
{
	char buf[1000] = { 0 };

	(void)unused;
	for (;;) {
		struct lklsock_socket *sock;
		const struct sockaddr_in addr = address("127.0.0.1", 5000);
		long ret = lkl->socket_open(NULL, AF_INET, SOCK_STREAM, 0, &sock);

		if (ret == LKLSOCK_ENOTRUNNING)
			return NULL;
		OK(ret);
		ret = lkl->connect(sock, &addr, sizeof(addr));
		if (ret == -EINPROGRESS)
			lkl->socket_wait(sock, EPOLLOUT, soon());
		lkl->send(sock, buf, sizeof(buf), 0);
		lkl->socket_shadow(sock);
		lkl->recv(sock, buf, sizeof(buf), 0);
		lkl->socket_wait(sock, EPOLLIN, now_ns() + 1000000);
		lkl->socket_put(sock);
	}
}

TEST(halt_is_safe_while_others_call)
{
	pthread_t talking[4], halting;

	boot();
	listener(0, 5000);
	for (int i = 0; i < 4; i++)
		talking[i] = thread_start(talk, NULL);
	for (int round = 0; round < 200; round++)
		connected(IPPROTO_MPTCP, 5001);
	halting = thread_start(halt_it, NULL);
	for (int i = 0; i < 4; i++)
		thread_join(talking[i]);
	thread_join(halting);
}

// SPDX-License-Identifier: GPL-2.0-only
/* Many sockets, little memory: what runs out gives an error, comes back, and leaks nothing. */
#include <malloc.h>

#include "net.h"

#define NO_MORE(error) ((error) == -EMFILE || (error) == -ENOBUFS || (error) == -ENOMEM)

static unsigned long long free_pages(void)
{
	struct lklsock_statistics statistics;

	OK(lkl->statistics(&statistics));
	return statistics.free_pages;
}

TEST(a_thousand_connections_work_and_their_memory_comes_back)
{
	enum { COUNT = 1000 };
	static struct pair pairs[COUNT];
	unsigned long long before, after;
	char byte;

	boot_kernel(lkl, 128 * MIB);
	/* What is allocated once. */
	pairs[0] = connected(IPPROTO_MPTCP, 5000);
	lkl->socket_put(pairs[0].client);
	lkl->socket_put(pairs[0].server);
	before = free_pages();
	for (int i = 0; i < COUNT; i++)
		pairs[i] = connected(i % 2 ? IPPROTO_MPTCP : IPPROTO_TCP, 5000);
	for (int i = 0; i < COUNT; i++) {
		byte = (char)i;
		send_all(pairs[i].client, &byte, 1);
	}
	for (int i = 0; i < COUNT; i++) {
		EQ(receive(pairs[i].server, &byte, 1), 1);
		EQ(byte, (char)i);
		lkl->socket_put(pairs[i].server);
		lkl->socket_put(pairs[i].client);
	}
	after = free_pages();
	/* Slab keeps some; TIME_WAIT keeps 1000 small ones. */
	if (before > after + 1000)
		test_fail(__FILE__, __LINE__, "%llu pages are gone", before - after);
}

/* Return: how many were opened; *error says why no more. */
static int open_until_refused(struct lklsock_socket **socks, int room, int protocol, long *error)
{
	int count = 0;

	do {
		*error = lkl->socket_open(NULL, AF_INET, SOCK_STREAM, protocol, &socks[count]);
	} while (!*error && ++count < room);
	return count;
}

TEST(too_many_sockets_are_refused_and_room_comes_back)
{
	enum { ROOM = 100000 };
	static struct lklsock_socket *socks[ROOM];
	uint64_t sizes[] = { 8 * MIB, 16 * MIB };
	const struct lklsock_api *kernels[] = { lkl, load_another() };
	long error;

	for (int i = 0; i < 2; i++) {
		lkl = kernels[i];
		boot_kernel(lkl, sizes[i]);
		for (int round = 0; round < 3; round++) {
			int count = open_until_refused(socks, ROOM, IPPROTO_MPTCP, &error);

			CHECK(NO_MORE(error));
			CHECK(count > 100);
			while (count)
				lkl->socket_put(socks[--count]);
			connected(IPPROTO_MPTCP, 5000 + round);
		}
		OK(lkl->halt(soon()));
	}
}

TEST(unread_data_is_bounded_and_goes_away)
{
	enum { ROOM = 400 };
	static struct pair pairs[ROOM];

	boot_kernel(lkl, 16 * MIB);
	for (int round = 0; round < 2; round++) {
		int count = 0;

		for (; count < ROOM; count++) {
			struct lklsock_socket *probe;
			long error = lkl->socket_open(NULL, AF_INET, SOCK_STREAM, 0, &probe);

			if (error) {
				CHECK(NO_MORE(error));
				break;
			}
			lkl->socket_put(probe);
			/* What accept() could be refused goes by the same watermark. */
			if (free_pages() < 1000)
				break;
			pairs[count] = connected(IPPROTO_TCP, 5000);
			fill_up(pairs[count].client);
		}
		CHECK(count > 5);
		while (count--) {
			drain_all(pairs[count].server);
			lkl->socket_put(pairs[count].client);
			lkl->socket_put(pairs[count].server);
		}
	}
	connected(IPPROTO_MPTCP, 5000);
	OK(lkl->halt(soon()));
}

static void everything_once(void)
{
	const struct lklsock_impair none = { 0 };
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };
	struct pair pair = connected(IPPROTO_TCP, 5000);
	struct lklsock_link *inner, *outer;
	char byte = 1;
	int fds[2];

	close((int)OK(lkl->socket_shadow(pair.server)));
	send_all(pair.client, &byte, 1);
	EQ(receive(pair.server, &byte, 1), 1);
	lkl->socket_put(pair.client);
	lkl->socket_put(pair.server);
	wire_pair(fds);
	OK(lkl->link_wire(fds[0], &inner));
	OK(lkl->link_impair(inner, 1, &none, &none, &outer));
	OK(lkl->link_attach(outer, "eth0", mac, 1500));
	OK(lkl->link_close(outer));
	OK(lkl->link_close(inner));
	close(fds[1]);
}

TEST(what_is_given_back_is_freed)
{
	uint64_t deadline;
	size_t before;

	boot();
	for (int round = 0; round < 50; round++)
		everything_once();
	before = mallinfo2().uordblks;
	for (int round = 0; round < 500; round++)
		everything_once();
	/* A poller gives back what a closed shadow held. */
	deadline = soon();
	while (mallinfo2().uordblks > before + 8192)
		if (now_ns() > deadline)
			test_fail(__FILE__, __LINE__, "%zu bytes leaked",
				  mallinfo2().uordblks - before);
}

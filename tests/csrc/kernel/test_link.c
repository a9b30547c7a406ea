// SPDX-License-Identifier: GPL-2.0-only
/* Links and network configuration: two kernels in one process, wires between them. */
#include "net.h"

#include <net/if.h>
#include <sys/ioctl.h>

#define SIZE (64 * MIB)

static const struct lklsock_api *here, *there;

static void two_kernels(void)
{
	here = lkl;
	there = load_another();
	CHECK(here != there);
	boot_kernel(here, SIZE);
	boot_kernel(there, SIZE);
}

/* Attaches a wire end as 10.0.<net>.<host>/24. */
static struct lklsock_link *attach(const struct lklsock_api *kernel, int host_fd, int net, int host)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, (uint8_t)net, (uint8_t)host };
	const struct in_addr addr = { htonl(0x0a000000u | (unsigned)net << 8 | (unsigned)host) };
	struct lklsock_link *link;
	int ifindex;

	OK(kernel->link_wire(host_fd, &link));
	ifindex = (int)OK(kernel->link_attach(link, "eth%d", mac, 1500));
	OK(kernel->address_add(ifindex, AF_INET, &addr, 24));
	OK(kernel->interface_up(ifindex, true));
	return link;
}

struct wire {
	struct lklsock_link *here, *there;
};

static struct wire wire(int net)
{
	struct wire ends;
	int fds[2];

	wire_pair(fds);
	ends.here = attach(here, fds[0], net, 1);
	ends.there = attach(there, fds[1], net, 2);
	return ends;
}

/* From here to a listener there, over net 0. */
static struct pair connected_across(int protocol)
{
	struct pair pair;
	struct lklsock_socket *listening;
	const struct sockaddr_in addr = address("10.0.0.2", 5000);

	lkl = there;
	listening = open_socket(SOCK_STREAM, protocol);
	OK(lkl->bind(listening, &addr, sizeof(addr)));
	OK(lkl->listen(listening, 8));
	lkl = here;
	pair.client = open_socket(SOCK_STREAM, protocol);
	OK(connect_to(pair.client, "10.0.0.2", 5000));
	lkl = there;
	pair.server = accept_from(listening);
	lkl->socket_put(listening);
	lkl = here;
	return pair;
}

static void *receive_there(void *sock)
{
	static char buf[65536];
	long total = 0, ret;

	for (;;) {
		ret = there->recv(sock, buf, sizeof(buf), 0);
		if (ret == -EAGAIN)
			CHECK(there->socket_wait(sock, EPOLLIN, soon()) != 0);
		else if (OK(ret) == 0)
			return (void *)total;
		else
			total += ret;
	}
}

#define BYTES (32l << 20)

static void send_across(int protocol)
{
	static const char block[65536];
	struct pair pair = connected_across(protocol);
	pthread_t receiving = thread_start(receive_there, pair.server);

	for (long at = 0; at < BYTES; at += (long)sizeof(block))
		send_all(pair.client, block, sizeof(block));
	OK(here->socket_close(pair.client));
	EQ(thread_join(receiving), BYTES);
}

TEST(tcp_goes_over_a_wire)
{
	two_kernels();
	wire(0);
	send_across(IPPROTO_TCP);
	OK(here->halt(soon()));
	OK(there->halt(soon()));
}

TEST(mptcp_goes_over_a_wire)
{
	struct wire ends;
	struct lklsock_link_counters counters;

	two_kernels();
	ends = wire(0);
	send_across(IPPROTO_MPTCP);
	here->link_counters(ends.here, &counters);
	CHECK(counters.tx_bytes > BYTES);
	EQ(counters.rx_malformed, 0);
	OK(here->halt(soon()));
	here->link_counters(ends.here, &counters);
	CHECK(counters.tx_bytes > BYTES);
	OK(here->link_close(ends.here));
	OK(there->halt(soon()));
	OK(there->link_close(ends.there));
}

/* Until nothing moves any more. Return: bytes. */
static long fill_path(struct lklsock_socket *sock)
{
	long sent = fill_up(sock);

	while (here->socket_wait(sock, EPOLLOUT, now_ns() + 300000000u))
		sent += fill_up(sock);
	return sent;
}

static void halt_in_flight(int protocol, int close_first)
{
	struct pair pair;
	pthread_t receiving;
	long sent;

	two_kernels();
	wire(0);
	pair = connected_across(protocol);
	sent = fill_path(pair.client);
	CHECK(sent > 100000);
	if (close_first)
		OK(here->socket_close(pair.client));
	receiving = thread_start(receive_there, pair.server);
	OK(here->halt(soon()));
	/* All of it, and the end. */
	EQ(thread_join(receiving), sent);
	OK(there->halt(soon()));
}

TEST(halt_delivers_what_was_sent_on_open_tcp_sockets)
{
	halt_in_flight(IPPROTO_TCP, 0);
}

TEST(halt_delivers_what_was_sent_on_closed_tcp_sockets)
{
	halt_in_flight(IPPROTO_TCP, 1);
}

TEST(halt_delivers_what_was_sent_on_open_mptcp_sockets)
{
	halt_in_flight(IPPROTO_MPTCP, 0);
}

TEST(halt_delivers_what_was_sent_on_closed_mptcp_sockets)
{
	halt_in_flight(IPPROTO_MPTCP, 1);
}

TEST(halt_does_not_wait_longer_than_told)
{
	struct pair pair;
	uint64_t start;

	two_kernels();
	wire(0);
	pair = connected_across(IPPROTO_TCP);
	fill_path(pair.client);
	/* Nobody reads there. */
	start = now_ns();
	OK(here->halt(start + 200000000u));
	CHECK(now_ns() - start >= 200000000u);
	CHECK(now_ns() - start < 2000000000u);
}

TEST(halt_does_not_wait_for_peers_that_stay)
{
	struct pair pair;
	uint64_t start;

	two_kernels();
	wire(0);
	pair = connected_across(IPPROTO_MPTCP);
	send_all(pair.client, "x", 1);
	start = now_ns();
	OK(here->halt(soon()));
	CHECK(now_ns() - start < 5000000000u);
}

TEST(a_wrapped_link_closes_as_a_whole_whatever_the_order)
{
	const struct lklsock_impair none = { 0 };
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

	boot();
	for (int order = 0; order < 2; order++) {
		struct lklsock_link *inner, *outer, *extra;
		struct lklsock_link_counters counters;
		int fds[2];

		wire_pair(fds);
		OK(lkl->link_wire(fds[0], &inner));
		OK(lkl->link_impair(inner, 1, &none, &none, &outer));
		EQ(lkl->link_impair(inner, 1, &none, &none, &extra), -EBUSY);
		EQ(lkl->link_attach(inner, "eth0", mac, 1500), -EBUSY);
		OK(lkl->link_attach(outer, "eth0", mac, 1500));
		EQ(lkl->link_attach(outer, "eth1", mac, 1500), -EBUSY);
		OK(lkl->link_cut(outer, true, true));
		OK(lkl->link_cut(outer, false, true));
		OK(lkl->link_close(order ? inner : outer));
		if (!order)
			EQ(lkl->link_impair_set(inner, &none, &none), LKLSOCK_ENOTRUNNING);
		lkl->link_counters(order ? outer : inner, &counters);
		OK(lkl->link_close(order ? outer : inner));
		close(fds[1]);
	}
	OK(lkl->halt(soon()));
}

static bool is_running(const char *name)
{
	struct lklsock_socket *sock = open_socket(SOCK_DGRAM, 0);
	struct ifreq request = { 0 };

	strcpy(request.ifr_name, name);
	OK(lkl->ioctl(sock, SIOCGIFFLAGS, &request));
	lkl->socket_put(sock);
	return request.ifr_flags & IFF_RUNNING;
}

static void await_running(const char *name, bool running)
{
	uint64_t deadline = soon();

	while (is_running(name) != running)
		CHECK(now_ns() < deadline);
}

TEST(a_dead_wire_loses_carrier)
{
	int fds[2];

	boot();
	wire_pair(fds);
	attach(lkl, fds[0], 0, 1);
	CHECK(is_running("eth0"));
	close(fds[1]);
	await_running("eth0", false);
}

static long file_has(const char *path, const char *text)
{
	static char buf[65536];
	long len = OK(lkl->file_read(path, buf, sizeof(buf) - 1));

	buf[len] = '\0';
	return strstr(buf, text) != NULL;
}

TEST(addresses_routes_and_rules_take_effect)
{
	const struct in_addr gateway = { htonl(0x0a0000fe) }, net = { htonl(0xc0a80000) };
	const struct in_addr source = { htonl(0x0a000001) };
	struct in6_addr address6;
	int fds[2];

	boot();
	wire_pair(fds);
	attach(lkl, fds[0], 0, 1);
	EQ(lkl->address_add(2, AF_INET, &source, 24), -EEXIST);
	OK(lkl->route_add(2, AF_INET, NULL, 0, &gateway, 0, 254));
	OK(lkl->route_add(2, AF_INET, &net, 16, &gateway, 77, 254));
	OK(lkl->route_add(2, AF_INET, NULL, 0, &gateway, 0, 1000));
	OK(lkl->rule_add(AF_INET, &source, 32, 1000, 0));
	CHECK(file_has("/proc/net/route", "eth0\t00000000\tFE00000A"));
	CHECK(file_has("/proc/net/route", "eth0\t0000A8C0\tFE00000A\t0003\t0\t0\t77"));
	OK(lkl->interface_mtu(2, 1400));
	CHECK(inet_pton(AF_INET6, "fd00::1", &address6) == 1);
	OK(lkl->address_add(2, AF_INET6, &address6, 64));
	CHECK(file_has("/proc/net/if_inet6", "fd000000000000000000000000000001"));
	CHECK(inet_pton(AF_INET6, "fd00::fe", &address6) == 1);
	OK(lkl->route_add(2, AF_INET6, NULL, 0, &address6, 0, 254));
	CHECK(inet_pton(AF_INET6, "fd00::1", &address6) == 1);
	OK(lkl->rule_add(AF_INET6, &address6, 128, 1000, 100));
}

TEST(addresses_routes_and_rules_are_taken_back)
{
	const struct in_addr gateway = { htonl(0x0a0000fe) }, source = { htonl(0x0a000001) };
	struct in6_addr address6;
	int fds[2];

	boot();
	wire_pair(fds);
	attach(lkl, fds[0], 0, 1);
	OK(lkl->route_add(2, AF_INET, NULL, 0, &gateway, 7, 254));
	OK(lkl->route_del(2, AF_INET, NULL, 0, &gateway, 7, 254));
	EQ(lkl->route_del(2, AF_INET, NULL, 0, &gateway, 7, 254), -ESRCH);
	CHECK(!file_has("/proc/net/route", "FE00000A"));
	OK(lkl->rule_add(AF_INET, &source, 32, 1000, 5));
	OK(lkl->rule_del(AF_INET, &source, 32, 1000, 5));
	EQ(lkl->rule_del(AF_INET, &source, 32, 1000, 5), -ENOENT);
	OK(lkl->address_del(2, AF_INET, &source, 24));
	EQ(lkl->address_del(2, AF_INET, &source, 24), -EADDRNOTAVAIL);
	CHECK(inet_pton(AF_INET6, "fd00::1", &address6) == 1);
	OK(lkl->address_add(2, AF_INET6, &address6, 64));
	OK(lkl->address_del(2, AF_INET6, &address6, 64));
	CHECK(!file_has("/proc/net/if_inet6", "fd000000000000000000000000000001"));
}

TEST(carrier_can_be_held_down)
{
	int fds[2];

	boot();
	wire_pair(fds);
	attach(lkl, fds[0], 0, 1);
	CHECK(is_running("eth0"));
	for (int i = 0; i < 3; i++) {
		OK(lkl->interface_carrier(2, false));
		await_running("eth0", false);
		OK(lkl->interface_carrier(2, true));
		await_running("eth0", true);
	}
	EQ(lkl->interface_carrier(1, false), -EOPNOTSUPP);
}

TEST(wrong_network_configuration_is_refused)
{
	const struct in_addr addr = { htonl(0x0a000001) };

	boot();
	EQ(lkl->interface_up(99, true), -ENODEV);
	EQ(lkl->address_add(99, AF_INET, &addr, 24), -ENODEV);
	EQ(lkl->address_add(1, AF_INET, &addr, 33), -EINVAL);
	EQ(lkl->address_add(1, AF_UNIX, &addr, 24), -EINVAL);
	EQ(lkl->route_add(1, AF_INET, NULL, 8, NULL, 0, 254), -EINVAL);
	CHECK(lkl->route_add(1, AF_INET, &addr, 24, NULL, 0, 254) < 0);
	EQ(lkl->rule_add(AF_INET, NULL, 8, 1000, 0), -EINVAL);
}

TEST(an_ipv6_address_is_usable_at_once)
{
	struct sockaddr_in6 addr = { .sin6_family = AF_INET6, .sin6_port = htons(5000) };
	struct lklsock_socket *sock;
	int fds[2];

	boot();
	wire_pair(fds);
	attach(lkl, fds[0], 0, 1);
	CHECK(inet_pton(AF_INET6, "fd00::1", &addr.sin6_addr) == 1);
	OK(lkl->address_add(2, AF_INET6, &addr.sin6_addr, 64));
	OK(lkl->socket_open(NULL, AF_INET6, SOCK_STREAM, IPPROTO_MPTCP, &sock));
	OK(lkl->bind(sock, &addr, sizeof(addr)));
}

TEST(a_task_has_a_network_of_its_own)
{
	const long args[6] = { 0x40000000 /* CLONE_NEWNET */ };
	struct lklsock_task *task;
	struct lklsock_socket *inside;
	const struct sockaddr_in addr = address("127.0.0.1", 5000);

	boot();
	task = lkl->task_new();
	CHECK(task);
	OK(lkl->system_call(task, 97 /* unshare */, args));
	OK(lkl->socket_open(task, AF_INET, SOCK_STREAM, 0, &inside));
	/* lo is down there. */
	EQ(lkl->connect(inside, &addr, sizeof(addr)), -ENETUNREACH);
	lkl->task_free(task);
	EQ(connect_to(open_socket(SOCK_STREAM, 0), "127.0.0.1", 5000), -ECONNREFUSED);
	OK(lkl->halt(soon()));
}

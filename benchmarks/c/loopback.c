// SPDX-License-Identifier: GPL-2.0-only
/*
 * One thread talks to itself over loopback: over the stack, then over the host's kernel, in turn.
 *
 *	loopback LIBRARY round-trip|bulk tcp|mptcp 4|6 CONGESTION|default ROUNDS
 *
 * A line has the two figures of one round: ns a round trip of one byte, or bytes/s.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "net.h"
#include "report.h"

#define MEMORY_BYTES (128u << 20)
#define WARM_UP 2000
#define ROUND_TRIPS 100000
#define BULK_BYTES (2ul << 30)
#define CHUNK_BYTES 65536

struct pair {
	const struct net *net;
	struct net_socket client, server;
};

static void pair_open(struct pair *pair, const struct net *net, int family, int protocol,
		      const char *congestion)
{
	struct sockaddr_storage addr = { .ss_family = (sa_family_t)family };
	socklen_t len = family == AF_INET ? sizeof(struct sockaddr_in) :
					    sizeof(struct sockaddr_in6);
	struct net_socket listener;

	if (family == AF_INET)
		((struct sockaddr_in *)&addr)->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	else
		((struct sockaddr_in6 *)&addr)->sin6_addr = in6addr_loopback;
	pair->net = net;
	net_stream(net, family, protocol, congestion, &listener);
	must("bind", net->bind(&listener, &addr, len));
	must("listen", net->listen(&listener, 1));
	must("getsockname", net->getsockname(&listener, &addr, &len));
	net_stream(net, family, protocol, congestion, &pair->client);
	must("connect", net->connect(&pair->client, &addr, len));
	must("accept", net->accept(&listener, &pair->server));
	net->close(&listener);
}

static void pair_close(struct pair *pair)
{
	pair->net->close(&pair->client);
	pair->net->close(&pair->server);
}

static void round_trips(struct pair *pair, long count)
{
	const struct net *net = pair->net;
	char byte = 'x';

	while (count-- > 0) {
		must("send", net->send(&pair->client, &byte, 1, 0));
		must("recv", net->recv(&pair->server, &byte, 1, 0));
		must("send", net->send(&pair->server, &byte, 1, 0));
		must("recv", net->recv(&pair->client, &byte, 1, 0));
	}
}

static double round_trip_ns(struct pair *pair)
{
	uint64_t start;

	round_trips(pair, WARM_UP);
	start = now_ns();
	round_trips(pair, ROUND_TRIPS);
	return (double)(now_ns() - start) / ROUND_TRIPS;
}

static long would_not_block(const char *what, long ret)
{
	return ret == -EAGAIN ? 0 : must(what, ret);
}

static double bulk_bytes_per_s(struct pair *pair)
{
	static char buf[CHUNK_BYTES];
	const struct net *net = pair->net;
	uint64_t start = now_ns();
	size_t received = 0;
	long got;

	while (received < BULK_BYTES) {
		would_not_block("send", net->send(&pair->client, buf, sizeof(buf), MSG_DONTWAIT));
		while ((got = would_not_block("recv", net->recv(&pair->server, buf, sizeof(buf),
								MSG_DONTWAIT))))
			received += (size_t)got;
	}
	return (double)received * 1e9 / (double)(now_ns() - start);
}

static double measure(const struct net *net, char **words)
{
	const char *congestion = strcmp(words[3], "default") ? words[3] : NULL;
	int family = words[2][0] == '6' ? AF_INET6 : AF_INET;
	struct pair pair;
	double figure;

	pair_open(&pair, net, family, net_protocol(words[1]), congestion);
	figure = strcmp(words[0], "bulk") ? round_trip_ns(&pair) : bulk_bytes_per_s(&pair);
	pair_close(&pair);
	return figure;
}

int main(int argc, char **argv)
{
	if (argc != 7) {
		fprintf(stderr, "usage: loopback LIBRARY round-trip|bulk tcp|mptcp 4|6 "
				"CONGESTION|default ROUNDS\n");
		return 2;
	}
	net_stack_load(argv[1]);
	net_stack_boot(MEMORY_BYTES);
	for (int i = atoi(argv[6]); i > 0; i--) {
		double stack = measure(&net_stack, argv + 2);

		printf("%.1f %.1f\n", stack, measure(&net_host, argv + 2));
		fflush(stdout);
	}
	return 0;
}

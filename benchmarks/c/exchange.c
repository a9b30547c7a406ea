// SPDX-License-Identifier: GPL-2.0-only
/*
 * What two connected programs do.
 */
#include "exchange.h"

#include "report.h"

#define SEND_BYTES (128u << 10)
#define RECEIVE_BYTES (256u << 10)
#define WARM_UP 2000
#define ROUND_TRIPS_MAX (4u << 20)
#define NS_PER_S 1e9

static void *buffer(size_t bytes)
{
	void *buf = calloc(1, bytes);

	return buf ? buf : (must("memory", -ENOMEM), NULL);
}

static bool peer_left(long ret)
{
	return ret == 0 || ret == -EPIPE || ret == -ECONNRESET;
}

void exchange_send(const struct net *net, struct net_socket *sock)
{
	char *buf = buffer(SEND_BYTES);
	long ret;

	do
		ret = net->send(sock, buf, SEND_BYTES, 0);
	while (ret > 0);
	if (!peer_left(ret))
		must("send", ret);
	free(buf);
}

/* Return: bytes, 0 when the time is over. */
static long receive_until(const struct net *net, struct net_socket *sock, void *buf,
			  uint64_t end_ns)
{
	long ret = net->recv(sock, buf, RECEIVE_BYTES, 0);

	if (ret > 0)
		return ret;
	if (ret == -EAGAIN && now_ns() >= end_ns)
		return 0;
	must("recv", ret == 0 ? -EPIPE : ret);
	return 0;
}

/* A timeout as long as the whole exchange: a silence to the end is measured, yet ends. */
void exchange_receive(const struct net *net, struct net_socket *sock, double seconds,
		      double settle_s, struct received *out)
{
	char *buf = buffer(RECEIVE_BYTES);
	uint64_t first, last, settled, end, gap = 0, gap_at = 0, now;
	long got;

	*out = (struct received){ 0 };
	must("recv", net->recv(sock, buf, 1, 0));
	first = last = now_ns();
	settled = first + (uint64_t)(settle_s * NS_PER_S);
	end = first + (uint64_t)(seconds * NS_PER_S);
	must("timeout", net->receive_timeout(sock, end - first));
	puts("started");
	fflush(stdout);
	do {
		got = receive_until(net, sock, buf, end);
		now = now_ns();
		if (now >= settled) {
			if (now - last > gap) {
				gap = now - last;
				gap_at = last - first;
			}
			if (now <= end)
				out->bytes += (uint64_t)got;
		}
		last = now;
	} while (now < end);
	out->seconds = (double)(end - settled) / NS_PER_S;
	out->gap_s = (double)gap / NS_PER_S;
	out->gap_at_s = (double)gap_at / NS_PER_S;
	free(buf);
}

void exchange_echo(const struct net *net, struct net_socket *sock)
{
	char *buf = buffer(RECEIVE_BYTES);
	long got;

	while ((got = net->recv(sock, buf, RECEIVE_BYTES, 0)) > 0)
		must("send", net->send(sock, buf, (size_t)got, 0));
	if (!peer_left(got))
		must("recv", got);
	free(buf);
}

static void round_trip(const struct net *net, struct net_socket *sock)
{
	char byte = 'x';

	must("send", net->send(sock, &byte, 1, 0));
	if (must("recv", net->recv(sock, &byte, 1, 0)) != 1)
		must("recv", -EPIPE);
}

void exchange_round_trips(const struct net *net, struct net_socket *sock, double seconds,
			  struct echoed *out)
{
	uint64_t *took = buffer(ROUND_TRIPS_MAX * sizeof(*took));
	uint64_t start, end, before, now;
	size_t count = 0;

	for (int i = 0; i < WARM_UP; i++)
		round_trip(net, sock);
	start = before = now_ns();
	end = start + (uint64_t)(seconds * NS_PER_S);
	do {
		round_trip(net, sock);
		now = now_ns();
		took[count++] = now - before;
		before = now;
	} while (now < end && count < ROUND_TRIPS_MAX);
	out->round_trips = count;
	out->mean_us = (double)(now - start) / 1e3 / (double)count;
	out->median_us = (double)quantile(took, count, 0.5) / 1e3;
	out->p99_us = (double)quantile(took, count, 0.99) / 1e3;
	free(took);
}

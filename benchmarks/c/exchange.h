/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What two connected programs do: one sends and the other receives, or one echoes what the other sends.
 */
#ifndef EXCHANGE_H
#define EXCHANGE_H

#include <stdint.h>

#include "net.h"

struct received {
	uint64_t bytes;  /* after the settling time */
	double seconds;  /* in which they came */
	double gap_s;    /* the longest time without a byte, after the settling time */
	double gap_at_s; /* when that began, after the first byte */
};

struct echoed {
	uint64_t round_trips;
	double mean_us, median_us, p99_us;
};

/* Sends until the peer closes or resets. */
void exchange_send(const struct net *net, struct net_socket *sock);
/* Receives for that long after the first byte, which is told by a line "started" on stdout. */
void exchange_receive(const struct net *net, struct net_socket *sock, double seconds,
		      double settle_s, struct received *out);
/* Returns what comes until the peer closes. */
void exchange_echo(const struct net *net, struct net_socket *sock);
/* Round trips of one byte to exchange_echo(). */
void exchange_round_trips(const struct net *net, struct net_socket *sock, double seconds,
			  struct echoed *out);

#endif

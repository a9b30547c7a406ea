/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The client's end of a tunnel: what its two halves share, data (tunnel_client.c) and control
 * (tunnel_client_control.c); see tunnel.h.
 */
#ifndef LINK_TUNNEL_CLIENT_H
#define LINK_TUNNEL_CLIENT_H

#include <net/if.h>
#include <pthread.h>

#include "tunnel.h"
#include "uplink.h"

struct client {
	struct tunnel tunnel;
	struct udp_way way;
	struct tunnel_key key;
	uint64_t keepalive_ns;
	char device[IFNAMSIZ];
	struct sockaddr_storage source;

	/* Data. previous: what was sent under it may still come. */
	struct tunnel_session *current, *previous;
	bool heard, sent; /* since the last tick */
	uint64_t heard_ns, sent_ns, asked_ns;

	/* Data to control; atomic. */
	bool alive;
	bool wanted;   /* a new session */
	bool narrower; /* the MTU is to be told */

	/* Control to data; atomic. */
	bool asks; /* the gateway, at once */

	/* Control. */
	struct tunnel_handshake handshake;
	struct tunnel_offer offer;
	uint8_t cookie[TUNNEL_COOKIE];
	bool cookie_used; /* since a HELLO left in its time */
	uint64_t hello_ns, hello_wait_ns, tick_ns;

	/* What is told of carrier keeps its order. */
	pthread_mutex_t carrier_lock;
	struct uplink uplink;  /* changed NULL: not bound to anything */
	bool uplink_up, shown; /* by that lock */
};

static inline bool client_flag(const bool *from)
{
	return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static inline void client_flag_set(bool *to, bool value)
{
	__atomic_store_n(to, value, __ATOMIC_RELEASE);
}

/* Control, and what is called when the uplink comes or goes. */
unsigned client_control(struct host_io_source *source, uint32_t epoll_events);
unsigned client_uplink_changed(struct uplink *uplink, bool up);

#endif

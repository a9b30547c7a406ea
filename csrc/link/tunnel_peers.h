/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The peers of a gateway: their sessions, where they are, and their MAC addresses. CPU held.
 *
 *	(arrival) --> WAITING --a datagram under the session--> JOINED --bye, silent--> gone
 *
 * A peer is one client's link, from its opening to its closing: it has a number of its own
 * (instance), and a session replaces another. Two ends may have one key.
 *
 * A MAC address is one peer's, of all gateways of the kernel. So that nobody keeps the others out,
 * there is a place for the first peer of each key.
 */
#ifndef LINK_TUNNEL_PEERS_H
#define LINK_TUNNEL_PEERS_H

#include "tunnel.h"

#define PEERS_MAX 256

struct tunnel_peer {
	uint64_t instance;
	unsigned key;
	bool used, joined, heard;     /* heard: since the last tick */
	uint64_t heard_ns, silent_ns; /* when that was; how long it may be silent */
	struct udp_way way;
	uint8_t mac[6]; /* all zero: not known */
	uint16_t mtu;
	/* next: agreed on, not yet used by it. previous: what was sent under it may still come. */
	struct tunnel_session *current, *previous, *next;
};

struct tunnel_peers {
	const struct tunnel_key *keys;
	unsigned key_count;
	struct tunnel_peers *next, **prev; /* the kernel's other gateways */
	struct tunnel_peer peer[PEERS_MAX];
	unsigned end;                   /* none is used from here on */
	unsigned last_heard, last_sent; /* found last by number, by MAC address */
};

/* peers: all zero. keys stay the caller's. Context: any. */
void tunnel_peers_open(struct tunnel_peers *peers, const struct tunnel_key *keys,
		       unsigned key_count);
/* Forgets all; once more does nothing. Context: any, nobody else uses it. */
void tunnel_peers_close(struct tunnel_peers *peers);
/* The same in a forked child. */
void tunnel_peers_forked(struct tunnel_peers *peers);

/*
 * Takes the session over. Return: 0, -EEXIST: its number is in use, or -ENOSPC: there is no place
 * for another peer of its key.
 */
int tunnel_peers_add(struct tunnel_peers *peers, const struct tunnel_arrival *arrival,
		     uint64_t now);
/* Return: the peer, and the session of this number, or NULL. */
struct tunnel_peer *tunnel_peers_find(struct tunnel_peers *peers, uint32_t number,
				      struct tunnel_session **session);
/* Return: who has this MAC address, or NULL. */
struct tunnel_peer *tunnel_peers_by_mac(struct tunnel_peers *peers, const uint8_t mac[6]);
/* Whether a peer of any gateway of the kernel has it. */
bool tunnel_peers_know(const uint8_t mac[6]);
/*
 * A peer sends from this MAC address. It is its own from then on, unless somebody with another key
 * has it. Return: whether it may.
 */
bool tunnel_peers_learn(struct tunnel_peers *peers, struct tunnel_peer *peer, const uint8_t mac[6]);
/* A datagram came under this session of the peer's. Return: it has joined by it. */
bool tunnel_peer_confirm(struct tunnel_peers *peers, struct tunnel_peer *peer,
			 struct tunnel_session *session);
void tunnel_peer_remove(struct tunnel_peers *peers, struct tunnel_peer *peer);

#endif

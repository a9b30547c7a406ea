// SPDX-License-Identifier: GPL-2.0-only
/*
 * The peers of a gateway.
 */
#include "tunnel_peers.h"

/* What a client may ask for. Units: ns. */
#define SILENT_MIN_NS 2000000000ull
#define SILENT_MAX_NS 3600000000000ull
/* One keep-alive more than the client waits for. */
#define SILENT_FACTOR 4

static bool mac_is_usable(const uint8_t mac[6])
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, 6) != 0;
}

static uint64_t silent_of(uint32_t keepalive_ms)
{
	uint64_t silent = (uint64_t)keepalive_ms * SILENT_FACTOR * 1000000ull;

	if (silent < SILENT_MIN_NS)
		return SILENT_MIN_NS;
	return silent > SILENT_MAX_NS ? SILENT_MAX_NS : silent;
}

/* Return: the peer that has it, or a new one, or NULL. */
static struct tunnel_peer *peer_of(struct tunnel_peers *peers, const struct tunnel_arrival *arrival,
				   uint64_t now)
{
	struct tunnel_peer *vacant = NULL;

	for (unsigned i = 0; i < peers->end; i++) {
		struct tunnel_peer *peer = &peers->peer[i];

		if (!peer->used)
			vacant = peer;
		else if (peer->instance == arrival->offer.instance && peer->key == arrival->key)
			return peer;
	}
	if (!vacant && peers->end < PEERS_MAX)
		vacant = &peers->peer[peers->end++];
	if (!vacant)
		return NULL;
	*vacant = (struct tunnel_peer){
		.used = true,
		.instance = arrival->offer.instance,
		.key = arrival->key,
		.heard_ns = now,
		.way = arrival->way,
	};
	return vacant;
}

bool tunnel_peers_add(struct tunnel_peers *peers, const struct tunnel_arrival *arrival,
		      uint64_t now)
{
	struct tunnel_session *same;
	struct tunnel_peer *peer;

	if (tunnel_peers_find(peers, tunnel_session_number(arrival->session), &same))
		return false;
	peer = peer_of(peers, arrival, now);
	if (!peer)
		return false;
	tunnel_session_free(peer->next);
	peer->next = arrival->session;
	peer->mtu = arrival->offer.mtu;
	if (!peer->joined) {
		memcpy(peer->mac, arrival->offer.mac, 6);
		peer->silent_ns = silent_of(arrival->offer.keepalive_ms);
	}
	return true;
}

static bool is_session(struct tunnel_session *session, uint32_t number)
{
	return session && tunnel_session_number(session) == number;
}

/* Return: the session of that number, or NULL. */
static struct tunnel_session *session_of(const struct tunnel_peer *peer, uint32_t number)
{
	if (is_session(peer->current, number))
		return peer->current;
	if (is_session(peer->previous, number))
		return peer->previous;
	return is_session(peer->next, number) ? peer->next : NULL;
}

struct tunnel_peer *tunnel_peers_find(struct tunnel_peers *peers, uint32_t number,
				      struct tunnel_session **session)
{
	*session = session_of(&peers->peer[peers->last_heard], number);
	if (*session)
		return &peers->peer[peers->last_heard];
	for (unsigned i = 0; i < peers->end; i++) {
		*session = session_of(&peers->peer[i], number);
		if (!*session)
			continue;
		peers->last_heard = i;
		return &peers->peer[i];
	}
	return NULL;
}

static bool has_mac(const struct tunnel_peer *peer, const uint8_t mac[6])
{
	return peer->joined && !memcmp(peer->mac, mac, 6);
}

struct tunnel_peer *tunnel_peers_by_mac(struct tunnel_peers *peers, const uint8_t mac[6])
{
	if (has_mac(&peers->peer[peers->last_sent], mac))
		return &peers->peer[peers->last_sent];
	for (unsigned i = 0; i < peers->end; i++) {
		if (!has_mac(&peers->peer[i], mac))
			continue;
		peers->last_sent = i;
		return &peers->peer[i];
	}
	return NULL;
}

bool tunnel_peers_learn(struct tunnel_peers *peers, struct tunnel_peer *peer, const uint8_t mac[6])
{
	struct tunnel_peer *owner;

	if (!mac_is_usable(mac))
		return false;
	if (has_mac(peer, mac))
		return true;
	owner = tunnel_peers_by_mac(peers, mac);
	if (owner && owner->key != peer->key)
		return false;
	if (owner)
		memset(owner->mac, 0, 6);
	memcpy(peer->mac, mac, 6);
	return true;
}

bool tunnel_peer_confirm(struct tunnel_peers *peers, struct tunnel_peer *peer,
			 struct tunnel_session *session)
{
	uint8_t mac[6];

	peer->heard = true;
	if (session != peer->next)
		return false;
	tunnel_session_free(peer->previous);
	peer->previous = peer->current;
	peer->current = peer->next;
	peer->next = NULL;
	if (peer->joined)
		return false;
	peer->joined = true;
	/* That of a link opened anew moves to it; one that is another's is not taken. */
	memcpy(mac, peer->mac, 6);
	memset(peer->mac, 0, 6);
	tunnel_peers_learn(peers, peer, mac);
	return true;
}

void tunnel_peer_remove(struct tunnel_peers *peers, struct tunnel_peer *peer)
{
	tunnel_session_free(peer->current);
	tunnel_session_free(peer->previous);
	tunnel_session_free(peer->next);
	*peer = (struct tunnel_peer){ 0 };
	while (peers->end && !peers->peer[peers->end - 1].used)
		peers->end--;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The peers of a gateway.
 */
#include "tunnel_peers.h"

#include <errno.h>
#include <pthread.h>

/* What a client may ask for. Units: ns. */
#define SILENT_MIN_NS 2000000000ull
#define SILENT_MAX_NS 3600000000000ull
/* One keep-alive more than the client waits for. */
#define SILENT_FACTOR 4

static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tunnel_peers *all; /* all_lock */

void tunnel_peers_open(struct tunnel_peers *peers, const struct tunnel_key *keys,
		       unsigned key_count)
{
	peers->keys = keys;
	peers->key_count = key_count;
	pthread_mutex_lock(&all_lock);
	peers->next = all;
	if (all)
		all->prev = &peers->next;
	peers->prev = &all;
	all = peers;
	pthread_mutex_unlock(&all_lock);
}

void tunnel_peers_close(struct tunnel_peers *peers)
{
	pthread_mutex_lock(&all_lock);
	if (peers->prev) {
		*peers->prev = peers->next;
		if (peers->next)
			peers->next->prev = peers->prev;
		peers->prev = NULL;
	}
	pthread_mutex_unlock(&all_lock);
	for (unsigned i = 0; i < PEERS_MAX; i++)
		tunnel_peer_remove(peers, &peers->peer[i]);
}

void tunnel_peers_forked(struct tunnel_peers *peers)
{
	/* A thread of the parent may have held it, and have been in the midst of the list. */
	pthread_mutex_init(&all_lock, NULL);
	all = NULL;
	peers->prev = NULL;
	tunnel_peers_close(peers);
}

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

static unsigned peers_of(const struct tunnel_peers *peers, unsigned key)
{
	unsigned count = 0;

	for (unsigned i = 0; i < peers->end; i++)
		count += peers->peer[i].used && peers->peer[i].key == key;
	return count;
}

/* Whether another peer of this key leaves places for the first ones of the others. */
static bool has_place(const struct tunnel_peers *peers, unsigned key)
{
	unsigned places = PEERS_MAX;

	if (!peers_of(peers, key))
		return true;
	for (unsigned i = 0; i < peers->key_count && places; i++) {
		unsigned count = peers_of(peers, i);

		places -= count ? count : 1;
	}
	return places > 0;
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
	if (!has_place(peers, arrival->key))
		return NULL;
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

int tunnel_peers_add(struct tunnel_peers *peers, const struct tunnel_arrival *arrival, uint64_t now)
{
	struct tunnel_session *same;
	struct tunnel_peer *peer;

	if (tunnel_peers_find(peers, tunnel_session_number(arrival->session), &same))
		return -EEXIST;
	peer = peer_of(peers, arrival, now);
	if (!peer)
		return -ENOSPC;
	tunnel_session_free(peer->next);
	peer->next = arrival->session;
	peer->mtu = arrival->offer.mtu;
	if (!peer->joined) {
		memcpy(peer->mac, arrival->offer.mac, 6);
		peer->silent_ns = silent_of(arrival->offer.keepalive_ms);
	}
	return 0;
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

bool tunnel_peers_know(const uint8_t mac[6])
{
	bool known = false;

	pthread_mutex_lock(&all_lock);
	for (struct tunnel_peers *one = all; one && !known; one = one->next)
		known = tunnel_peers_by_mac(one, mac);
	pthread_mutex_unlock(&all_lock);
	return known;
}

/* Takes the MAC address from who has it of these, if that has the same key. Return: nobody has it. */
static bool mac_take(struct tunnel_peers *peers, const uint8_t mac[6], const struct tunnel_key *key)
{
	struct tunnel_peer *owner = tunnel_peers_by_mac(peers, mac);

	if (!owner)
		return true;
	if (memcmp(peers->keys[owner->key].id, key->id, TUNNEL_KEY_ID) != 0)
		return false;
	memset(owner->mac, 0, 6);
	return true;
}

bool tunnel_peers_learn(struct tunnel_peers *peers, struct tunnel_peer *peer, const uint8_t mac[6])
{
	bool vacant = true;

	if (!mac_is_usable(mac))
		return false;
	if (has_mac(peer, mac))
		return true;
	pthread_mutex_lock(&all_lock);
	for (struct tunnel_peers *one = all; one && vacant; one = one->next)
		vacant = mac_take(one, mac, &peers->keys[peer->key]);
	pthread_mutex_unlock(&all_lock);
	if (vacant)
		memcpy(peer->mac, mac, 6);
	return vacant;
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

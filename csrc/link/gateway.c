// SPDX-License-Identifier: GPL-2.0-only
/*
 * The other end of tunnels: one link with many peers.
 *
 * What the peers' MAC addresses are is learned from their frames. A peer is answered where its
 * newest datagram came from.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "frame.h"
#include "gateway_door.h"
#include "tunnel.h"
#include "tunnel_peers.h"
#include "udp.h"

#define TICK_NS 1000000000ull
/* A handshake that nobody goes on with. */
#define WAITING_NS 10000000000ull
/* So often is it told that somebody was refused. */
#define REFUSED_NS 5000000000ull

struct gateway {
	struct tunnel tunnel;
	int report_fd;
	struct tunnel_peers peers; /* data */
	uint64_t full_ns;          /* data */
	/* Control. */
	struct gateway_door door;
	uint64_t tick_ns, refused_ns;
	unsigned key_count;
	struct tunnel_key keys[];
};

static struct gateway *gateway_of(struct link *link)
{
	return (struct gateway *)link;
}

/* A whole line, or, if nobody reads them, none. Context: any. */
static void report(const struct gateway *gateway, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
static void report(const struct gateway *gateway, const char *format, ...)
{
	char line[160];
	va_list arguments;
	int bytes;

	if (gateway->report_fd < 0)
		return;
	va_start(arguments, format);
	bytes = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	if (bytes > 0 && bytes < (int)sizeof(line))
		syscall(SYS_write, gateway->report_fd, line, bytes);
}

struct place {
	char text[INET6_ADDRSTRLEN];
	unsigned port;
};

static struct place place_of(const struct udp_way *way)
{
	const struct sockaddr_in *in = (const void *)&way->remote;
	const struct sockaddr_in6 *in6 = (const void *)&way->remote;
	struct place place = { .port = ntohs(in->sin_port) };

	if (in->sin_family == AF_INET)
		inet_ntop(AF_INET, &in->sin_addr, place.text, sizeof(place.text));
	else
		inet_ntop(AF_INET6, &in6->sin6_addr, place.text, sizeof(place.text));
	return place;
}

/* ---- control */

static struct tunnel_key *key_find(struct gateway *gateway, const uint8_t *hello)
{
	for (unsigned i = 0; i < gateway->key_count; i++)
		if (!memcmp(gateway->keys[i].id, hello + TUNNEL_AT_KEY_ID, TUNNEL_KEY_ID))
			return &gateway->keys[i];
	return NULL;
}

/* told_ns: when such a thing was told last. */
static void refusal_report(const struct gateway *gateway, uint64_t *told_ns, const char *what,
			   const struct udp_way *way, uint64_t now)
{
	struct place place = place_of(way);

	if (*told_ns && now - *told_ns < REFUSED_NS)
		return;
	*told_ns = now;
	report(gateway, "%s %s %u\n", what, place.text, place.port);
}

static void refuse(struct gateway *gateway, const struct udp_way *way, uint64_t now)
{
	refusal_report(gateway, &gateway->refused_ns, "refused", way, now);
}

/* Return: LKL_NET_*. */
static unsigned client_accept(struct gateway *gateway, const struct tunnel_key *key,
			      const struct tunnel_letter *letter, uint64_t now)
{
	struct tunnel_arrival arrival = {
		.way = letter->way,
		.key = (unsigned)(key - gateway->keys),
	};
	struct tunnel_handshake handshake;
	struct tunnel_secrets secrets;
	uint8_t answer[TUNNEL_ANSWER_BYTES];

	if (tunnel_hello_take(&handshake, key, letter->text, &arrival.offer)) {
		refuse(gateway, &letter->way, now);
		return 0;
	}
	/* The dear part of it is still to come. */
	if (!gateway_door_enter(&gateway->door, letter->text, now)) {
		explicit_bzero(&handshake, sizeof(handshake));
		return 0;
	}
	if (tunnel_answer_make(&handshake, tunnel_number_make(), answer, &secrets))
		return 0;
	arrival.session = tunnel_session_new(&secrets, now);
	if (!arrival.session)
		return 0;
	if (!tunnel_arrive(&gateway->tunnel, &arrival)) {
		tunnel_session_free(arrival.session);
		return 0;
	}
	/* After that, so that what it sends under it finds the session. */
	udp_way_send(gateway->tunnel.in.fd, &letter->way, answer, sizeof(answer), 0);
	return LKL_NET_RX;
}

/* Return: LKL_NET_*. */
static unsigned letter_read(struct gateway *gateway, const struct tunnel_letter *letter,
			    uint64_t now)
{
	uint8_t cookie[TUNNEL_COOKIE], asking[TUNNEL_COOKIE_BYTES];
	struct tunnel_key *key;
	uint32_t number;

	if (tunnel_kind_of(letter->text, letter->bytes, &number) != TUNNEL_KIND_HELLO)
		return 0;
	key = key_find(gateway, letter->text);
	if (!key) {
		refuse(gateway, &letter->way, now);
		return 0;
	}
	switch (gateway_door_knock(&gateway->door, &letter->way, letter->text, now, cookie)) {
	case DOOR_OPENS:
		return client_accept(gateway, key, letter, now);
	case DOOR_ASKS:
		if (!tunnel_cookie_make(key, letter->text, cookie, asking))
			udp_way_send(gateway->tunnel.in.fd, &letter->way, asking, sizeof(asking),
				     0);
		return 0;
	default:
		return 0;
	}
}

static unsigned control_event(struct host_io_source *source, uint32_t epoll_events)
{
	struct gateway *gateway = (struct gateway *)tunnel_of_control(source);
	uint64_t now = host_clock_monotonic();
	struct tunnel_letter letter;
	unsigned events = 0;

	(void)epoll_events;
	while (tunnel_letter_take(&gateway->tunnel, &letter))
		events |= letter_read(gateway, &letter, now);
	if (now >= gateway->tick_ns) {
		gateway->tick_ns = now + TICK_NS;
		__atomic_store_n(&gateway->tunnel.tick, true, __ATOMIC_RELEASE);
		events |= LKL_NET_RX;
	}
	tunnel_timer_set(&gateway->tunnel, gateway->tick_ns);
	host_io_arm(source, EPOLLIN);
	return tunnel_tell(&gateway->tunnel, events);
}

/* ---- data */

static void peer_leave(struct gateway *gateway, struct tunnel_peer *peer, const char *reason)
{
	if (peer->joined)
		report(gateway, "left %u %" PRIx64 " %s\n", peer->key, peer->instance, reason);
	tunnel_peer_remove(&gateway->peers, peer);
}

static void peer_tick(struct gateway *gateway, struct tunnel_peer *peer, uint64_t now)
{
	if (peer->heard)
		peer->heard_ns = now;
	peer->heard = false;
	if (peer->previous && tunnel_session_is_over(peer->previous, now)) {
		tunnel_session_free(peer->previous);
		peer->previous = NULL;
	}
	if (now - peer->heard_ns > (peer->joined ? peer->silent_ns : WAITING_NS) ||
	    (peer->current && tunnel_session_is_over(peer->current, now)))
		peer_leave(gateway, peer, "silent");
}

static void news_take(struct gateway *gateway)
{
	struct tunnel_peers *peers = &gateway->peers;
	struct tunnel_arrival arrival;
	uint64_t now = 0;
	int err;

	while (tunnel_arrival_take(&gateway->tunnel, &arrival)) {
		now = host_clock_monotonic();
		err = tunnel_peers_add(peers, &arrival, now);
		if (!err)
			continue;
		tunnel_session_free(arrival.session);
		link_count(&gateway->tunnel.link.counters.rx_dropped, 1);
		if (err == -ENOSPC)
			refusal_report(gateway, &gateway->full_ns, "full", &arrival.way, now);
	}
	if (!__atomic_load_n(&gateway->tunnel.tick, __ATOMIC_ACQUIRE))
		return;
	__atomic_store_n(&gateway->tunnel.tick, false, __ATOMIC_RELEASE);
	now = host_clock_monotonic();
	for (unsigned i = 0; i < peers->end; i++)
		if (peers->peer[i].used)
			peer_tick(gateway, &peers->peer[i], now);
}

/* Of the newest datagram. */
static void peer_follow(struct gateway *gateway, struct tunnel_peer *peer,
			const struct datagram *datagram)
{
	struct udp_way way = { .remote = *datagram->from, .local = peer->way.local };
	struct place place;

	if (udp_way_equal(&way, &peer->way))
		return;
	datagrams_local(datagram, &way.local);
	peer->way = way;
	place = place_of(&way);
	report(gateway, "roamed %u %" PRIx64 " %s %u\n", peer->key, peer->instance, place.text,
	       place.port);
}

static void peer_heard(struct gateway *gateway, struct tunnel_peer *peer,
		       struct tunnel_session *session, const struct datagram *datagram, bool newest)
{
	if (tunnel_peer_confirm(&gateway->peers, peer, session)) {
		struct place place;

		peer->way.remote = *datagram->from;
		datagrams_local(datagram, &peer->way.local);
		place = place_of(&peer->way);
		report(gateway, "joined %u %" PRIx64 " %s %u %u\n", peer->key, peer->instance,
		       place.text, place.port, peer->mtu);
	} else if (newest && session != peer->previous) {
		peer_follow(gateway, peer, datagram);
	}
}

static long data_open(struct tunnel *tunnel, const struct datagram *datagram, uint32_t number)
{
	struct gateway *gateway = (struct gateway *)tunnel;
	struct tunnel_session *session;
	struct tunnel_peer *peer = tunnel_peers_find(&gateway->peers, number, &session);
	bool newest = false;
	long bytes = tunnel_unseal(tunnel, session, datagram, &newest);

	if (bytes < 0)
		return bytes;
	peer_heard(gateway, peer, session, datagram, newest);
	if (tunnel_is_bye(datagram, bytes)) {
		peer_leave(gateway, peer, "bye");
		return 0;
	}
	if (tunnel_is_keepalive(bytes)) {
		tunnel_sign_send(tunnel, peer->current, &peer->way, TUNNEL_KEEPALIVE);
		return 0;
	}
	if (bytes >= 12 &&
	    !tunnel_peers_learn(&gateway->peers, peer,
				(const uint8_t *)datagram->data + TUNNEL_BEFORE + 6)) {
		link_count(&tunnel->link.counters.rx_dropped, 1);
		return -EBADMSG;
	}
	return bytes;
}

static long gateway_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct gateway *gateway = gateway_of(link);

	news_take(gateway);
	return tunnel_rx(&gateway->tunnel, iov, count, data_open);
}

/* Return: where a frame goes, or NULL: it is none. */
static const uint8_t *destination_of(const struct lkl_iovec *iov, int count)
{
	if (iov[0].len >= LINK_FRAME_MIN)
		return (const uint8_t *)iov[0].base + LKL_VNET_HDR;
	return count > 1 && iov[0].len == LKL_VNET_HDR && iov[1].len >= 6 ? iov[1].base : NULL;
}

static long peer_send(struct gateway *gateway, struct tunnel_peer *peer,
		      const struct lkl_iovec *iov, int count)
{
	if (!tunnel_flush(&gateway->tunnel))
		return tunnel_send(&gateway->tunnel, peer->current, &peer->way, iov, count);
	/* To one of several: the others are not held up. */
	link_count(&gateway->tunnel.link.counters.tx_dropped, 1);
	return -ENOBUFS;
}

static long gateway_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct gateway *gateway = gateway_of(link);
	const uint8_t *to = destination_of(iov, count);
	struct tunnel_peer *peer;
	long sent = -ENOTCONN, one;

	if (tunnel_flush(&gateway->tunnel))
		return -EAGAIN;
	if (!to)
		return -EINVAL;
	if (!(to[0] & 1)) {
		peer = tunnel_peers_by_mac(&gateway->peers, to);
		if (peer)
			return peer_send(gateway, peer, iov, count);
		/* The bridge asks all its ports; another one's peer takes it. */
		if (tunnel_peers_know(to))
			return -ENOTCONN;
	} else {
		for (unsigned i = 0; i < gateway->peers.end; i++) {
			peer = &gateway->peers.peer[i];
			if (!peer->joined)
				continue;
			one = peer_send(gateway, peer, iov, count);
			if (sent < 0)
				sent = one;
		}
	}
	/* To nobody; those of a peer are counted. */
	if (sent == -ENOTCONN)
		link_count(&link->counters.tx_dropped, 1);
	return sent;
}

static void keys_forget(struct gateway *gateway)
{
	explicit_bzero(gateway->keys, gateway->key_count * sizeof(*gateway->keys));
}

static void gateway_free(struct gateway *gateway)
{
	tunnel_stop(&gateway->tunnel);
	tunnel_peers_close(&gateway->peers);
	keys_forget(gateway);
	free(gateway);
}

static void gateway_close(struct link *link)
{
	struct gateway *gateway = gateway_of(link);

	for (unsigned i = 0; i < gateway->peers.end; i++) {
		struct tunnel_peer *peer = &gateway->peers.peer[i];

		if (peer->joined)
			tunnel_sign_send(&gateway->tunnel, peer->current, &peer->way, TUNNEL_BYE);
	}
	gateway_free(gateway);
}

static void gateway_forked(struct link *link)
{
	struct gateway *gateway = gateway_of(link);

	tunnel_peers_forked(&gateway->peers);
	keys_forget(gateway);
}

static const struct link_ops gateway_ops = {
	.kind = "gateway",
	.tx = gateway_tx,
	.rx = gateway_rx,
	.poll = tunnel_poll,
	.idle = tunnel_idle,
	.close = gateway_close,
	.forked = gateway_forked,
};

/* Answers leave from the address that was asked. Return: 0 or -errno. */
static int local_addresses_want(int fd, int family)
{
	const int on = 1;

	return setsockopt(fd, family == AF_INET6 ? IPPROTO_IPV6 : IPPROTO_IP,
			  family == AF_INET6 ? IPV6_RECVPKTINFO : IP_PKTINFO, &on, sizeof(on)) ?
		       -errno :
		       0;
}

/* Return: 0 or -errno. */
static int gateway_start(struct gateway *gateway, const struct link_gateway *settings)
{
	const struct sockaddr_in *in = (const void *)&settings->listen;
	int fd = udp_open(settings->listen.ss_family, &settings->listen, ntohs(in->sin_port), "");
	int err = tunnel_start(&gateway->tunnel, fd, control_event);

	if (!err)
		err = local_addresses_want(fd, settings->listen.ss_family);
	if (!err)
		err = gateway_door_open(&gateway->door, host_clock_monotonic());
	for (unsigned i = 0; i < settings->key_count && !err; i++)
		err = tunnel_key_set(&gateway->keys[i], settings->keys + i * CRYPTO_KEY);
	return err;
}

int link_gateway_open(const struct link_gateway *settings, struct link **out)
{
	struct gateway *gateway;
	int err = crypto_open();

	if (err)
		return err;
	gateway = calloc(1, sizeof(*gateway) + settings->key_count * sizeof(*gateway->keys));
	if (!gateway)
		return -ENOMEM;
	gateway->report_fd = settings->report_fd;
	gateway->key_count = settings->key_count;
	gateway->tunnel.link.ops = &gateway_ops;
	gateway->tunnel.link.features = LKL_NET_CSUM | LKL_NET_TSO;
	gateway->tunnel.link.carrier = true;
	tunnel_peers_open(&gateway->peers, gateway->keys, gateway->key_count);
	err = gateway_start(gateway, settings);
	if (err) {
		gateway_free(gateway);
		return err;
	}
	*out = &gateway->tunnel.link;
	return 0;
}

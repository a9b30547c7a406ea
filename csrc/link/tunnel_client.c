// SPDX-License-Identifier: GPL-2.0-only
/*
 * A link through a tunnel, to a gateway of ours.
 *
 * It has carrier while the gateway answers, and the device or source address that it is bound to, if
 * any, is there. Unbound, each datagram leaves as the host routes it at that time, so it roams; the
 * gateway answers to where the last one came from.
 *
 * A session is replaced by a new one before its time, and when the gateway is silent for more than a
 * keep-alive: it may have been started anew.
 */
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <unistd.h>

#include "frame.h"
#include "socket.h"
#include "tunnel_client.h"
#include "udp.h"

/* Keep-alives without an answer until the gateway counts as gone. */
#define SILENT_MAX 3

/* Of a path that takes 1,500 bytes, over IPv6. */
#define MTU_USUAL 1406

static struct client *client_of(struct link *link)
{
	return (struct client *)link;
}

static void alive_set(struct client *client, bool alive)
{
	if (client->alive == alive)
		return;
	client_flag_set(&client->alive, alive);
	host_io_ring(&client->tunnel.control);
}

static void session_want(struct client *client)
{
	if (client_flag(&client->wanted))
		return;
	client_flag_set(&client->wanted, true);
	host_io_ring(&client->tunnel.control);
}

static void session_drop(struct tunnel_session **session)
{
	tunnel_session_free(*session);
	*session = NULL;
}

static void sign_send(struct client *client, enum tunnel_sign sign)
{
	client->sent = true;
	if (client->current)
		tunnel_sign_send(&client->tunnel, client->current, &client->way, sign);
}

static void tick(struct client *client, uint64_t now)
{
	bool asks = __atomic_exchange_n(&client->asks, false, __ATOMIC_ACQUIRE);

	if (client->heard)
		client->heard_ns = now;
	if (client->sent)
		client->sent_ns = now;
	client->heard = client->sent = false;
	if (client->current && tunnel_session_is_over(client->current, now))
		session_drop(&client->current);
	if (client->previous && tunnel_session_is_over(client->previous, now))
		session_drop(&client->previous);
	if (now - client->heard_ns >= SILENT_MAX * client->keepalive_ns)
		alive_set(client, false);
	if (!client->current || tunnel_session_is_due(client->current, now) ||
	    now - client->heard_ns > client->keepalive_ns * 3 / 2)
		session_want(client);
	if (asks || now - client->sent_ns >= client->keepalive_ns ||
	    (now - client->heard_ns >= client->keepalive_ns &&
	     now - client->asked_ns >= client->keepalive_ns)) {
		client->asked_ns = now;
		sign_send(client, TUNNEL_KEEPALIVE);
	}
}

static void arrivals_settle(struct client *client, uint64_t now)
{
	struct tunnel_arrival arrival;

	while (tunnel_arrival_take(&client->tunnel, &arrival)) {
		tunnel_session_free(client->previous);
		client->previous = client->current;
		client->current = arrival.session;
		/* Then it counts at the gateway, too; and not before that has answered: it may be full. */
		client->asked_ns = now;
		sign_send(client, TUNNEL_KEEPALIVE);
	}
}

/* What control has for data. */
static void news_take(struct client *client)
{
	bool ticks = client_flag(&client->tunnel.tick);
	uint64_t now;

	if (!ticks && __atomic_load_n(&client->tunnel.arrivals_in, __ATOMIC_RELAXED) ==
			      client->tunnel.arrivals_out)
		return;
	now = host_clock_monotonic();
	arrivals_settle(client, now);
	if (ticks) {
		client_flag_set(&client->tunnel.tick, false);
		tick(client, now);
	}
}

static struct tunnel_session *session_find(struct client *client, uint32_t number)
{
	if (client->current && tunnel_session_number(client->current) == number)
		return client->current;
	if (client->previous && tunnel_session_number(client->previous) == number)
		return client->previous;
	return NULL;
}

static long data_open(struct tunnel *tunnel, const struct datagram *datagram, uint32_t number)
{
	struct client *client = (struct client *)tunnel;
	bool newest;
	long bytes = tunnel_unseal(tunnel, session_find(client, number), datagram, &newest);

	if (bytes < 0)
		return bytes;
	client->heard = true;
	if (tunnel_is_bye(datagram, bytes)) {
		/* It does not come back to a session that it has ended. */
		session_drop(&client->current);
		session_drop(&client->previous);
		alive_set(client, false);
		session_want(client);
		return 0;
	}
	alive_set(client, true);
	return bytes;
}

static long client_rx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct client *client = client_of(link);

	news_take(client);
	return tunnel_rx(&client->tunnel, iov, count, data_open);
}

static void client_poll(struct link *link, unsigned events)
{
	struct client *client = client_of(link);

	if (client->uplink.changed)
		uplink_poll(&client->uplink);
	tunnel_poll(link, events);
}

/* What a path to the gateway takes now, less what goes around a frame's body. 0: unknown. */
static unsigned path_mtu(const struct client *client)
{
	const unsigned around = TUNNEL_AROUND + ETH_HLEN;
	int fd = udp_open(client->way.remote.ss_family, &client->source, 0, client->device);
	unsigned room = 0;

	if (fd < 0)
		return 0;
	if (!connect(fd, (const struct sockaddr *)&client->way.remote,
		     udp_address_bytes(&client->way.remote)))
		room = udp_path_room(fd);
	close(fd);
	return room > around ? room - around : 0;
}

static void mtu_lower(struct client *client)
{
	unsigned mtu = path_mtu(client);

	if (!mtu || mtu >= client->tunnel.link.mtu)
		return;
	__atomic_store_n(&client->tunnel.link.mtu, mtu, __ATOMIC_RELAXED);
	client_flag_set(&client->narrower, true);
	host_io_ring(&client->tunnel.control);
}

static long client_tx(struct link *link, const struct lkl_iovec *iov, int count)
{
	struct client *client = client_of(link);
	long bytes;

	if (tunnel_flush(&client->tunnel))
		return -EAGAIN;
	if (!client->current) {
		link_count(&link->counters.tx_dropped, 1);
		return -ENOTCONN;
	}
	client->sent = true;
	bytes = tunnel_send(&client->tunnel, client->current, &client->way, iov, count);
	if (bytes == -EMSGSIZE)
		mtu_lower(client);
	return bytes;
}

static void secrets_forget(struct client *client)
{
	session_drop(&client->current);
	session_drop(&client->previous);
	explicit_bzero(&client->key, sizeof(client->key));
	explicit_bzero(&client->handshake, sizeof(client->handshake));
}

static void client_free(struct client *client)
{
	tunnel_stop(&client->tunnel);
	secrets_forget(client);
	pthread_mutex_destroy(&client->carrier_lock);
	free(client);
}

static void client_close(struct link *link)
{
	struct client *client = client_of(link);

	if (client->uplink.changed)
		uplink_close(&client->uplink);
	sign_send(client, TUNNEL_BYE);
	client_free(client);
}

static void client_forked(struct link *link)
{
	secrets_forget(client_of(link));
}

static const struct link_ops client_ops = {
	.kind = "tunnel",
	.tx = client_tx,
	.rx = client_rx,
	.poll = client_poll,
	.idle = tunnel_idle,
	.close = client_close,
	.forked = client_forked,
};

/* Return: 0 or -errno. Nothing is followed unless the link is bound to something. */
static int uplink_start(struct client *client)
{
	int err;

	client->uplink.ifindex = *client->device ? if_nametoindex(client->device) : 0;
	client->uplink.address = client->source;
	client->uplink_up = true;
	if (!client->uplink.ifindex && !client->source.ss_family)
		return 0;
	client->uplink.changed = client_uplink_changed;
	err = uplink_open(&client->uplink);
	if (!err)
		client->uplink_up = client->uplink.up;
	else
		client->uplink.changed = NULL;
	return err;
}

/* Return: 0 or -errno. */
static int client_start(struct client *client, const struct link_tunnel *settings)
{
	int fd = udp_open(settings->remote.ss_family, &settings->source, 0, settings->device);
	int err = tunnel_start(&client->tunnel, fd, client_control);

	if (!err)
		err = udp_never_fragment(fd);
	if (!err)
		err = tunnel_key_set(&client->key, settings->key);
	if (!err && host_random_fill(&client->offer.instance, sizeof(client->offer.instance)) < 0)
		err = -EIO;
	return err ? err : uplink_start(client);
}

int link_tunnel_open(const struct link_tunnel *settings, struct link **out)
{
	struct client *client;
	int err = crypto_open();

	if (err)
		return err;
	client = calloc(1, sizeof(*client));
	if (!client)
		return -ENOMEM;
	pthread_mutex_init(&client->carrier_lock, NULL);
	client->way.remote = settings->remote;
	client->source = settings->source;
	strncpy(client->device, settings->device, sizeof(client->device) - 1);
	client->keepalive_ns = settings->keepalive_ms * 1000000ull;
	client->offer.keepalive_ms = settings->keepalive_ms;
	memcpy(client->offer.mac, settings->mac, sizeof(client->offer.mac));
	client->wanted = true;
	client->tunnel.link.ops = &client_ops;
	client->tunnel.link.features = LKL_NET_CSUM | LKL_NET_TSO;
	client->tunnel.link.mtu = path_mtu(client);
	/* There is no way yet: it will be like most. */
	if (!client->tunnel.link.mtu)
		client->tunnel.link.mtu = MTU_USUAL;
	err = client_start(client, settings);
	if (err) {
		client_free(client);
		return err;
	}
	*out = &client->tunnel.link;
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The client's end of a tunnel, on polling threads: handshakes, the timer, what is told of carrier.
 */
#include "tunnel_client.h"

#include <sys/epoll.h>

#define HELLO_FIRST_NS 250000000ull
#define HELLO_LAST_NS 4000000000ull
/* However long it may be silent: between a session's time and its end there are several. */
#define TICK_MAX_NS ((TUNNEL_REJECT_NS - TUNNEL_REKEY_NS) / 4)

static void hello_send(struct client *client, uint64_t now)
{
	uint8_t hello[TUNNEL_HELLO_BYTES];

	client->offer.mtu = (uint16_t)__atomic_load_n(&client->tunnel.link.mtu, __ATOMIC_RELAXED);
	/* What the host says to it (no route, say) may be different the next time. */
	if (!tunnel_hello_make(&client->handshake, &client->key, tunnel_number_make(),
			       client->cookie, &client->offer, hello))
		udp_way_send(client->tunnel.in.fd, &client->way, hello, sizeof(hello), 0);
	if (!client->hello_wait_ns)
		client->hello_wait_ns = HELLO_FIRST_NS;
	client->hello_ns = now + client->hello_wait_ns;
	client->hello_wait_ns *= 2;
	if (client->hello_wait_ns > HELLO_LAST_NS)
		client->hello_wait_ns = HELLO_LAST_NS;
}

/* Return: LKL_NET_*. */
static unsigned answer_take(struct client *client, const uint8_t *text, uint64_t now)
{
	struct tunnel_arrival arrival = { 0 };
	struct tunnel_secrets secrets;

	if (tunnel_answer_take(&client->handshake, text, &secrets))
		return 0;
	arrival.session = tunnel_session_new(&secrets, now);
	if (!arrival.session)
		return 0;
	if (!tunnel_arrive(&client->tunnel, &arrival)) {
		tunnel_session_free(arrival.session);
		return 0;
	}
	client_flag_set(&client->wanted, false);
	client->hello_wait_ns = client->hello_ns = 0;
	return LKL_NET_RX;
}

/* An answer to anything but the last HELLO is none. Return: LKL_NET_*. */
static unsigned letter_read(struct client *client, const struct tunnel_letter *letter, uint64_t now)
{
	uint32_t number;
	enum tunnel_kind kind = tunnel_kind_of(letter->text, letter->bytes, &number);

	if (!client->handshake.number || number != client->handshake.number)
		return 0;
	if (kind == TUNNEL_KIND_ANSWER)
		return answer_take(client, letter->text, now);
	if (kind != TUNNEL_KIND_COOKIE ||
	    tunnel_cookie_take(&client->handshake, &client->key, letter->text, client->cookie))
		return 0;
	/* A gateway that is content with none must not be asked as fast as it answers. */
	if (!client->cookie_used) {
		client->cookie_used = true;
		hello_send(client, now);
	}
	return 0;
}

/* Lock held. Return: LKL_NET_UP, LKL_NET_DOWN or 0. */
static unsigned carrier_change(struct client *client)
{
	bool shown = client_flag(&client->alive) && client->uplink_up;

	if (shown == client->shown)
		return 0;
	client->shown = shown;
	return shown ? LKL_NET_UP : LKL_NET_DOWN;
}

static unsigned carrier_tell(struct client *client, unsigned events)
{
	unsigned irq;

	pthread_mutex_lock(&client->carrier_lock);
	irq = tunnel_tell(&client->tunnel, events | carrier_change(client));
	pthread_mutex_unlock(&client->carrier_lock);
	return irq;
}

static uint64_t tick_period(const struct client *client)
{
	const uint64_t period = client->keepalive_ns / 2;

	return period < TICK_MAX_NS ? period : TICK_MAX_NS;
}

unsigned client_control(struct host_io_source *source, uint32_t epoll_events)
{
	struct client *client = (struct client *)tunnel_of_control(source);
	uint64_t now = host_clock_monotonic(), next;
	struct tunnel_letter letter;
	unsigned events = 0;

	(void)epoll_events;
	while (tunnel_letter_take(&client->tunnel, &letter))
		events |= letter_read(client, &letter, now);
	if (client_flag(&client->wanted) && now >= client->hello_ns) {
		client->cookie_used = false;
		hello_send(client, now);
	}
	if (now >= client->tick_ns) {
		client->tick_ns = now + tick_period(client);
		client_flag_set(&client->tunnel.tick, true);
		events |= LKL_NET_RX;
	}
	next = client->tick_ns;
	if (client_flag(&client->wanted) && client->hello_ns < next)
		next = client->hello_ns;
	tunnel_timer_set(&client->tunnel, next);
	if (__atomic_exchange_n(&client->narrower, false, __ATOMIC_ACQUIRE))
		events |= LKL_NET_MTU;
	host_io_arm(source, EPOLLIN);
	return carrier_tell(client, events);
}

unsigned client_uplink_changed(struct uplink *uplink, bool up)
{
	struct client *client = (struct client *)((char *)uplink - offsetof(struct client, uplink));

	pthread_mutex_lock(&client->carrier_lock);
	client->uplink_up = up;
	pthread_mutex_unlock(&client->carrier_lock);
	/* The gateway learns at once where we are. */
	if (up)
		client_flag_set(&client->asks, true);
	client_flag_set(&client->tunnel.tick, true);
	return carrier_tell(client, LKL_NET_RX);
}

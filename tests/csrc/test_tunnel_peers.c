// SPDX-License-Identifier: GPL-2.0-only
/*
 * A gateway's peers: whose a MAC address is.
 */
#include "link/tunnel_peers.h"
#include "tunnel_place.h"

static void client_opened_anew_takes_its_place(void)
{
	pair_open();
	cut = true;
	end_close(&client);
	relay();
	cut = false;
	client.carrier = false;
	reported("");
	client_open(keys[0]);
	UNTIL(client.carrier);
	UNTIL(reported("joined 0 "));
	/* The MAC address is the same: what goes to it goes to the new one. */
	frames_pass(4);
	/* With a good-bye it is gone at once. */
	end_close(&client);
	UNTIL(reported("bye"));
	place_close();
}

static void mac_address_of_another_key_is_not_taken(void)
{
	static char sent[LKL_FRAME_MAX];
	uint64_t dropped;

	pair_open();
	frames_pass(1);
	client_end = &second;
	client_open(keys[1]);
	UNTIL(client.carrier);
	UNTIL(reported("joined 1 "));
	dropped = gateway.link->counters.rx_dropped;
	frame_send(client.link, sent, frame_between(sent, true, 100, 1));
	UNTIL(gateway.link->counters.rx_dropped > dropped);
	EXPECT(!gateway.bytes);
	place_close();
}

/* The kernel's other gateways count, whatever the order of their keys. */
static void mac_address_is_one_peers_of_all_gateways(void)
{
	static struct tunnel_peers here, there;
	struct tunnel_peer *near = &here.peer[0], *far = &there.peer[0];
	struct tunnel_key keys_here[2], keys_there[2];
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

	for (unsigned i = 0; i < 2; i++) {
		EXPECT_EQ(tunnel_key_set(&keys_here[i], keys[i]), 0);
		EXPECT_EQ(tunnel_key_set(&keys_there[1 - i], keys[i]), 0);
	}
	tunnel_peers_open(&here, keys_here, 2);
	tunnel_peers_open(&there, keys_there, 2);
	here.end = there.end = 1;
	*near = (struct tunnel_peer){ .used = true, .joined = true, .key = 0 };
	*far = (struct tunnel_peer){ .used = true, .joined = true, .key = 0 };
	EXPECT(tunnel_peers_learn(&here, near, mac));
	EXPECT(!tunnel_peers_learn(&there, far, mac));
	EXPECT(tunnel_peers_by_mac(&here, mac) == near);
	/* A client that comes by another address is the same. */
	far->key = 1;
	EXPECT(tunnel_peers_learn(&there, far, mac));
	EXPECT(tunnel_peers_by_mac(&there, mac) == far);
	EXPECT(!tunnel_peers_by_mac(&here, mac));
	EXPECT(tunnel_peers_know(mac));
	tunnel_peers_close(&there);
	near->key = 1;
	EXPECT(!tunnel_peers_know(mac));
	EXPECT(tunnel_peers_learn(&here, near, mac));
	tunnel_peers_close(&here);
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(client_opened_anew_takes_its_place, 30);
	CASE(mac_address_of_another_key_is_not_taken, 20);
	CASE(mac_address_is_one_peers_of_all_gateways, 20);
	host_io_stop();
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * A tunnel and its gateway: what passes, what does not, and who is told.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "link/tunnel_peers.h"
#include "tunnel_place.h"

#define FORGED 10000u

static void frames_pass_both_ways_intact(void)
{
	pair_open();
	EXPECT(reported("joined 0 "));
	EXPECT_EQ(client.link->mtu, 65535 - 28 - 32 - 14);
	frames_pass(100);
	EXPECT_EQ(client.link->counters.rx_malformed, 0);
	EXPECT_EQ(gateway.link->counters.rx_malformed, 0);
	place_close();
}

/* Nothing that a frame has in it can be read on the way. */
static void what_passes_is_sealed(void)
{
	static char sent[LKL_FRAME_MAX];
	unsigned long bytes;
	struct kept *last;

	pair_open();
	bytes = frame_between(sent, true, 1000, 1);
	memset(sent + LKL_VNET_HDR + 14, 'x', 900);
	frame_send(client.link, sent, bytes);
	frame_expect(&gateway, sent, bytes);
	last = &kept[(kept_count - 1) % KEPT];
	EXPECT_EQ(last->bytes, 1000 + TUNNEL_AROUND);
	EXPECT(!memmem(last->data, (size_t)last->bytes, "xxxx", 4));
	EXPECT_EQ(last->data[0], 8);
	place_close();
}

static void wrong_key_gets_no_answer(void)
{
	place_open();
	client_open(keys[2]);
	steps(600);
	EXPECT(!client.carrier);
	EXPECT_EQ(client.link->counters.rx_frames + client.link->counters.rx_malformed, 0);
	EXPECT(reported("refused 127.0.0.1 "));
	place_close();
}

static void group_frames_go_to_all_and_unknown_ones_to_none(void)
{
	static char sent[LKL_FRAME_MAX];
	unsigned long bytes;

	pair_open();
	bytes = frame_between(sent, false, 60, 1);
	memset(sent + LKL_VNET_HDR, 0xff, 6);
	EXPECT_EQ(frame_send(gateway.link, sent, bytes), bytes);
	frame_expect(&client, sent, bytes);
	sent[LKL_VNET_HDR] = 2;
	EXPECT_EQ(frame_send(gateway.link, sent, bytes), -ENOTCONN);
	EXPECT_EQ(gateway.link->counters.tx_dropped, 1);
	place_close();
}

static void replayed_and_reordered_datagrams_count_once(void)
{
	static char sent[LKL_FRAME_MAX];
	unsigned begin, frames;

	pair_open();
	cut = true;
	step();
	begin = kept_count;
	for (unsigned i = 0; i < 20; i++)
		frame_send(client.link, sent, frame_between(sent, true, 100, i));
	steps(3);
	EXPECT(kept_count >= begin + 20);
	frames = gateway.frames;
	/* The last one first; then each again. */
	for (unsigned round = 0; round < 2; round++) {
		for (unsigned i = 0; i < 20; i++) {
			struct kept *one = &kept[(begin + 19 - i) % KEPT];

			to_gateway(one->data, one->bytes);
			steps(2);
			gateway.bytes = 0;
		}
	}
	EXPECT_EQ(gateway.frames - frames, 20);
	EXPECT(gateway.link->counters.rx_dropped >= 20);
	place_close();
}

static unsigned random_next(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* A true datagram with something wrong, or noise. Return: bytes. */
static long forged_make(uint8_t *out, unsigned *seed)
{
	const struct kept *one = &kept[random_next(seed) % (kept_count < KEPT ? kept_count : KEPT)];
	long bytes = one->bytes;

	memcpy(out, one->data, (size_t)bytes);
	switch (random_next(seed) % 4) {
	case 0: /* cut short */
		bytes = random_next(seed) % bytes;
		break;
	case 1: /* longer */
		out[bytes++] = (uint8_t)random_next(seed);
		break;
	case 2: /* another bit */
		out[random_next(seed) % bytes] ^= (uint8_t)(1u << random_next(seed) % 8);
		break;
	default:
		bytes = random_next(seed) % 200;
		for (long i = 0; i < bytes; i++)
			out[i] = (uint8_t)random_next(seed);
		if (bytes > TUNNEL_HDR && random_next(seed) % 2)
			tunnel_header_put(out, 1 + random_next(seed) % 5, random_next(seed));
	}
	return bytes;
}

static void forged_datagrams_are_dropped_and_change_nothing(void)
{
	static char sent[LKL_FRAME_MAX];
	unsigned seed = 1, frames;
	uint8_t forged[4096];

	pair_open();
	for (unsigned i = 0; i < 20; i++) {
		frame_send(client.link, sent, frame_between(sent, true, 100, i));
		UNTIL(gateway.bytes);
		gateway.bytes = 0;
	}
	reported("");
	frames = gateway.frames + client.frames;
	for (unsigned i = 0; i < rounds(FORGED); i++) {
		long bytes = forged_make(forged, &seed);

		if (i % 2)
			to_gateway(forged, bytes);
		else
			to_client(forged, bytes);
		if (i % 16 == 15)
			steps(1);
		end_read(&client);
		end_read(&gateway);
	}
	steps(20);
	EXPECT_EQ(gateway.frames + client.frames, frames);
	EXPECT(gateway.link->counters.rx_malformed > FORGED / 8);
	EXPECT(client.link->counters.rx_malformed > FORGED / 8);
	EXPECT(client.carrier);
	EXPECT(!reported("left"));
	frames_pass(10);
	place_close();
}

/* A HELLO, too, and what answers it. */
static void recorded_handshake_does_not_disturb(void)
{
	static struct kept hellos[KEPT];
	unsigned count, answered;

	pair_open();
	count = kept_count;
	answered = answers;
	memcpy(hellos, kept, sizeof(hellos));
	reported("");
	for (unsigned round = 0; round < 20; round++)
		for (unsigned i = 0; i < count; i++) {
			to_gateway(hellos[i].data, hellos[i].bytes);
			steps(1);
		}
	EXPECT(!reported("joined"));
	EXPECT_EQ(answers, answered);
	frames_pass(10);
	place_close();
}

static void gateway_follows_the_client_to_another_port(void)
{
	struct sockaddr_in name;

	pair_open();
	reported("");
	for (unsigned i = 0; i < 5; i++) {
		close(far_fd);
		far_fd = udp_socket(&name);
		frames_pass(4);
		EXPECT(reported("roamed 0 "));
	}
	place_close();
}

static void silence_takes_the_carrier_and_an_answer_gives_it_back(void)
{
	pair_open();
	for (unsigned i = 0; i < 2; i++) {
		double began = now_ms();

		cut = true;
		UNTIL(!client.carrier);
		EXPECT(now_ms() - began >= 2 * KEEPALIVE_MS);
		cut = false;
		UNTIL(client.carrier);
	}
	frames_pass(4);
	place_close();
}

static void quiet_tunnel_keeps_its_carrier(void)
{
	double began;

	pair_open();
	began = now_ms();
	UNTIL(now_ms() - began > 8 * KEEPALIVE_MS || !client.carrier);
	EXPECT(client.carrier);
	/* It was asked, and has answered. */
	EXPECT(kept_count > 4);
	place_close();
}

/* The host took none of it, and then will not have it. */
static void what_was_held_and_is_refused_counts_as_lost(void)
{
	const struct udp_way connected = { 0 };
	struct tunnel *tunnel;
	char full[100] = { 0 };
	int fds[2];

	pair_open();
	tunnel = (struct tunnel *)client.link;
	EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds), 0);
	while (send(fds[0], full, sizeof(full), 0) == sizeof(full))
		;
	EXPECT_EQ(dup2(fds[0], tunnel->in.fd), tunnel->in.fd);
	volley_begin(tunnel->volley, &connected);
	memset(volley_room(tunnel->volley, 100), 0, 100);
	volley_add(tunnel->volley, 100);
	EXPECT_EQ(volley_send(tunnel->volley), -EAGAIN);
	EXPECT_EQ(tunnel_flush(tunnel), -EAGAIN);
	EXPECT(!client.link->ops->idle(client.link));
	EXPECT_EQ(client.link->counters.tx_dropped, 0);
	close(fds[1]);
	EXPECT_EQ(tunnel_flush(tunnel), 0);
	EXPECT(client.link->ops->idle(client.link));
	EXPECT_EQ(client.link->counters.tx_dropped, 1);
	close(fds[0]);
	place_close();
}

/* The session's time comes after two minutes, whatever the user's patience. */
static void patient_tunnel_looks_at_its_session_in_time(void)
{
	struct itimerspec next;

	keepalive_ms = 900000;
	pair_open();
	UNTIL(reported("joined 0 "));
	EXPECT_EQ(timerfd_gettime(((struct tunnel *)client.link)->control.fd, &next), 0);
	EXPECT(next.it_value.tv_sec <= 30);
	keepalive_ms = KEEPALIVE_MS;
	place_close();
}

/* As one does whose secrets are not those of the gateway that the next HELLO comes to. */
static void gateway_that_takes_no_cookie_is_asked_ever_more_slowly(void)
{
	const uint8_t cookie[TUNNEL_COOKIE] = { 1 };
	uint8_t answer[TUNNEL_COOKIE_BYTES];
	double began = now_ms(), now = began;
	unsigned hellos = 0;
	struct tunnel_key key;

	place_open();
	cut = true;
	EXPECT_EQ(tunnel_key_set(&key, keys[0]), 0);
	client_open(keys[0]);
	while (hellos < 5) {
		EXPECT(now - began < 10000);
		step();
		now = now_ms();
		for (; hellos < kept_count; hellos++) {
			const uint8_t *hello = (const uint8_t *)kept[hellos].data;

			EXPECT_EQ(hello[1], TUNNEL_KIND_HELLO);
			/* The second follows the first at once, with the cookie. */
			EXPECT_EQ(!memcmp(hello + TUNNEL_AT_COOKIE, cookie, TUNNEL_COOKIE),
				  hellos > 0);
			EXPECT(hellos < 2 || now - began >= 400);
			EXPECT(hellos < 4 || now - began >= 2000);
			EXPECT_EQ(tunnel_cookie_make(&key, hello, cookie, answer), 0);
			to_client(answer, sizeof(answer));
		}
	}
	place_close();
}

/* From somebody who has seen the key's identifier pass. Return: a socket, to which the cookie is bound. */
static int hello_without_key(uint8_t hello[TUNNEL_HELLO_BYTES])
{
	struct tunnel_key key;
	struct sockaddr_in name;
	uint8_t asked[2048];
	int fd = udp_socket(&name);

	EXPECT_EQ(connect(fd, (struct sockaddr *)&gateway_address, sizeof(gateway_address)), 0);
	EXPECT_EQ(tunnel_key_set(&key, keys[0]), 0);
	memset(hello, 0, TUNNEL_HELLO_BYTES);
	tunnel_header_put(hello, TUNNEL_KIND_HELLO, 1);
	memcpy(hello + TUNNEL_AT_KEY_ID, key.id, TUNNEL_KEY_ID);
	EXPECT_EQ(send(fd, hello, TUNNEL_HELLO_BYTES, 0), TUNNEL_HELLO_BYTES);
	UNTIL(recv(fd, asked, sizeof(asked), MSG_DONTWAIT) == TUNNEL_COOKIE_BYTES);
	memcpy(hello + TUNNEL_AT_COOKIE, asked + TUNNEL_HDR, TUNNEL_COOKIE);
	return fd;
}

static void junk_with_a_cookie_does_not_keep_a_client_out(void)
{
	uint8_t junk[TUNNEL_HELLO_BYTES];
	unsigned seed = 1;
	double began;
	int fd;

	place_open();
	fd = hello_without_key(junk);
	for (began = now_ms(); !client.link || !client.carrier; step()) {
		EXPECT(now_ms() - began < 8000);
		for (int i = 0; i < 8; i++) {
			uint32_t part = random_next(&seed);

			memcpy(junk + TUNNEL_AT_E, &part, sizeof(part));
			EXPECT_EQ(send(fd, junk, sizeof(junk), 0), sizeof(junk));
		}
		/* What may be used up is by then. */
		if (!client.link && now_ms() - began > 500)
			client_open(keys[0]);
	}
	close(fd);
	place_close();
}

/* Its handshakes are answered, and that is all. */
static void client_for_whom_there_is_no_place_has_no_carrier(void)
{
	struct tunnel_offer offer = { .keepalive_ms = 60000, .mtu = 1400, .mac = { 2 } };
	uint8_t hello[TUNNEL_HELLO_BYTES], cookie[TUNNEL_COOKIE], answer[2048];
	struct tunnel_handshake handshake;
	struct tunnel_key key;
	int fd;

	place_open();
	EXPECT_EQ(tunnel_key_set(&key, keys[0]), 0);
	fd = hello_without_key(hello);
	memcpy(cookie, hello + TUNNEL_AT_COOKIE, sizeof(cookie));
	while (offer.instance < PEERS_MAX) {
		EXPECT_EQ(tunnel_hello_make(&handshake, &key, 1, cookie, &offer, hello), 0);
		EXPECT_EQ(send(fd, hello, sizeof(hello), 0), sizeof(hello));
		/* It has only so many turns a second. */
		for (unsigned i = 0; i < 10; i++) {
			step();
			if (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) == TUNNEL_ANSWER_BYTES) {
				offer.instance++;
				break;
			}
		}
	}
	answers = 0;
	client_open(keys[0]);
	UNTIL(answers >= 3);
	steps(20);
	EXPECT(!client.carrier);
	EXPECT(reported("full 127.0.0.1 "));
	/* One place is that of the other key. */
	end_close(&client);
	client_open(keys[1]);
	UNTIL(client.carrier);
	UNTIL(reported("joined 1 "));
	close(fd);
	place_close();
}

static void gateway_started_anew_is_found_again(void)
{
	uint16_t port;

	pair_open();
	port = gateway_address.sin_port;
	/* Without a good-bye, and with one. */
	for (unsigned i = 0; i < 2; i++) {
		cut = i == 0;
		end_close(&gateway);
		if (!cut)
			UNTIL(!client.carrier);
		relay();
		cut = false;
		gateway_open_at(port);
		reported("");
		UNTIL(reported("joined 0 "));
		UNTIL(client.carrier);
		frames_pass(4);
	}
	place_close();
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(frames_pass_both_ways_intact, 20);
	CASE(what_passes_is_sealed, 20);
	CASE(wrong_key_gets_no_answer, 20);
	CASE(group_frames_go_to_all_and_unknown_ones_to_none, 20);
	CASE(replayed_and_reordered_datagrams_count_once, 20);
	CASE(forged_datagrams_are_dropped_and_change_nothing, 60);
	CASE(recorded_handshake_does_not_disturb, 20);
	CASE(gateway_follows_the_client_to_another_port, 20);
	CASE(silence_takes_the_carrier_and_an_answer_gives_it_back, 30);
	CASE(quiet_tunnel_keeps_its_carrier, 20);
	CASE(what_was_held_and_is_refused_counts_as_lost, 20);
	CASE(patient_tunnel_looks_at_its_session_in_time, 20);
	CASE(gateway_that_takes_no_cookie_is_asked_ever_more_slowly, 20);
	CASE(junk_with_a_cookie_does_not_keep_a_client_out, 20);
	CASE(client_for_whom_there_is_no_place_has_no_carrier, 20);
	CASE(gateway_started_anew_is_found_again, 30);
	host_io_stop();
	return 0;
}

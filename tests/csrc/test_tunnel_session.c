// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sessions of a tunnel: handshakes that fail, and what comes late, twice, or too late.
 */
#include <errno.h>
#include <string.h>

#include "expect.h"
#include "link/tunnel_session.h"

#define COUNT 40000u
#define WINDOW 8128u

static struct tunnel_session *near, *far;
static struct tunnel_key key;
static struct tunnel_handshake client, gateway;
static struct tunnel_offer offer = { .instance = 7, .keepalive_ms = 5000, .mtu = 1426 };
static uint8_t hello[TUNNEL_HELLO_BYTES], answer[TUNNEL_ANSWER_BYTES];
static uint8_t cookie[TUNNEL_COOKIE], asking[TUNNEL_COOKIE_BYTES];
static uint8_t sealed[COUNT][TUNNEL_AROUND + 4];

static void keys_set(void)
{
	uint8_t psk[CRYPTO_KEY];

	memset(psk, 3, sizeof(psk));
	EXPECT_EQ(crypto_open(), 0);
	EXPECT_EQ(tunnel_key_set(&key, psk), 0);
	EXPECT_EQ(tunnel_hello_make(&client, &key, 77, cookie, &offer, hello), 0);
}

static void sessions_make(void)
{
	struct tunnel_secrets ours, theirs;
	struct tunnel_offer taken;

	keys_set();
	EXPECT_EQ(tunnel_hello_take(&gateway, &key, hello, &taken), 0);
	EXPECT_EQ(taken.instance, offer.instance);
	EXPECT_EQ(taken.keepalive_ms, offer.keepalive_ms);
	EXPECT_EQ(taken.mtu, offer.mtu);
	EXPECT_EQ(tunnel_answer_make(&gateway, 99, answer, &theirs), 0);
	EXPECT_EQ(tunnel_answer_take(&client, answer, &ours), 0);
	EXPECT_EQ(ours.theirs, 99);
	EXPECT_EQ(theirs.theirs, 77);
	EXPECT(!memcmp(ours.sealing, theirs.unsealing, CRYPTO_KEY));
	EXPECT(!memcmp(ours.unsealing, theirs.sealing, CRYPTO_KEY));
	EXPECT(memcmp(ours.sealing, ours.unsealing, CRYPTO_KEY) != 0);
	near = tunnel_session_new(&ours, 0);
	far = tunnel_session_new(&theirs, 0);
	EXPECT_EQ(tunnel_session_number(near), 77);
	EXPECT_EQ(tunnel_session_number(far), 99);
}

static void sessions_free(void)
{
	tunnel_session_free(near);
	tunnel_session_free(far);
}

static void every_byte_of_a_handshake_counts(void)
{
	struct tunnel_secrets ours, theirs;
	struct tunnel_offer taken;

	keys_set();
	/* But for the kind and its like, which are looked at before. */
	for (unsigned i = 0; i < sizeof(hello); i++) {
		hello[i] ^= 1;
		EXPECT(tunnel_hello_take(&gateway, &key, hello, &taken) != 0);
		hello[i] ^= 1;
	}
	EXPECT_EQ(tunnel_cookie_make(&key, hello, cookie, asking), 0);
	for (unsigned i = 0; i < sizeof(asking); i++) {
		asking[i] ^= 1;
		EXPECT_EQ(tunnel_cookie_take(&client, &key, asking, cookie), -EBADMSG);
		asking[i] ^= 1;
	}
	EXPECT_EQ(tunnel_cookie_take(&client, &key, asking, cookie), 0);
	EXPECT_EQ(tunnel_hello_take(&gateway, &key, hello, &taken), 0);
	EXPECT_EQ(tunnel_answer_make(&gateway, 99, answer, &theirs), 0);
	for (unsigned i = TUNNEL_HDR; i < sizeof(answer); i++) {
		answer[i] ^= 1;
		EXPECT_EQ(tunnel_answer_take(&client, answer, &ours), -EBADMSG);
		answer[i] ^= 1;
	}
	EXPECT_EQ(tunnel_answer_take(&client, answer, &ours), 0);
}

/* All zero, as e or as what comes of it. */
static void public_key_that_gives_nothing_is_refused(void)
{
	struct tunnel_secrets secrets;

	keys_set();
	memset(answer, 0, sizeof(answer));
	tunnel_header_put(answer, TUNNEL_KIND_ANSWER, 77);
	EXPECT_EQ(tunnel_answer_take(&client, answer, &secrets), -EBADMSG);
}

static unsigned random_next(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Against what a set of all that came would say. */
static void each_counts_once_in_any_order(void)
{
	static bool came[COUNT];
	unsigned seed = 5, highest = 0;
	bool any = false, newest;

	sessions_make();
	for (unsigned i = 0; i < COUNT; i++)
		EXPECT_EQ(tunnel_session_seal(near, sealed[i], 4), 0);
	for (unsigned i = 0; i < 3 * COUNT; i++) {
		/* About where the time has got to, with leaps; sometimes far behind. */
		unsigned now = i / 3, spread = i % 64 ? 200 : 2 * WINDOW;
		unsigned low = now > spread ? now - spread : 0;
		unsigned n = (low + random_next(&seed) % (2 * spread)) % COUNT;
		uint8_t copy[TUNNEL_AROUND + 4];
		long wanted = !any || n > highest              ? 4 :
			      highest - n >= WINDOW || came[n] ? -EALREADY :
								 4;

		memcpy(copy, sealed[n], sizeof(copy));
		EXPECT_EQ(tunnel_session_unseal(far, copy, sizeof(copy), &newest), wanted);
		if (wanted != 4)
			continue;
		EXPECT_EQ(newest, !any || n > highest);
		came[n] = any = true;
		if (n > highest)
			highest = n;
	}
	EXPECT(highest > COUNT - WINDOW);
	sessions_free();
}

static void forged_one_does_not_move_the_window(void)
{
	uint8_t datagram[TUNNEL_AROUND + 4] = { 0 };
	bool newest;

	sessions_make();
	EXPECT_EQ(tunnel_session_seal(near, sealed[0], 4), 0);
	for (uint64_t counter = 1; counter < TUNNEL_REJECT_COUNT; counter *= 2) {
		memcpy(datagram, sealed[0], sizeof(datagram));
		tunnel_put(datagram + TUNNEL_HDR, counter, 8);
		EXPECT_EQ(tunnel_session_unseal(far, datagram, sizeof(datagram), &newest),
			  -EBADMSG);
	}
	tunnel_put(datagram + TUNNEL_HDR, TUNNEL_REJECT_COUNT, 8);
	EXPECT_EQ(tunnel_session_unseal(far, datagram, sizeof(datagram), &newest), -EBADMSG);
	EXPECT_EQ(tunnel_session_unseal(far, sealed[0], sizeof(sealed[0]), &newest), 4);
	sessions_free();
}

static void session_is_due_and_over_by_time(void)
{
	sessions_make();
	EXPECT(!tunnel_session_is_due(near, TUNNEL_REKEY_NS - 1));
	EXPECT(tunnel_session_is_due(near, TUNNEL_REKEY_NS));
	EXPECT(!tunnel_session_is_over(near, TUNNEL_REJECT_NS - 1));
	EXPECT(tunnel_session_is_over(near, TUNNEL_REJECT_NS));
	sessions_free();
}

int main(void)
{
	CASE(every_byte_of_a_handshake_counts, 20);
	CASE(public_key_that_gives_nothing_is_refused, 20);
	CASE(each_counts_once_in_any_order, 60);
	CASE(forged_one_does_not_move_the_window, 20);
	CASE(session_is_due_and_over_by_time, 20);
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The door of a gateway.
 */
#include "gateway_door.h"

#include <errno.h>
#include <netinet/in.h>

#include "host/host.h"

#define SECRET_NS 60000000000ull
/* Handshakes: each costs some 100 us. */
#define TOKENS_MAX 200u
#define TOKEN_NS 5000000ull

static int secret_make(struct gateway_door *door, uint64_t now_ns)
{
	memcpy(door->secret[1], door->secret[0], CRYPTO_KEY);
	door->changed_ns = now_ns;
	return host_random_fill(door->secret[0], CRYPTO_KEY) == CRYPTO_KEY ? 0 : -EIO;
}

/* After a time without knocks both are old. Return: 0 or -EIO. */
static int secrets_renew(struct gateway_door *door, uint64_t now_ns)
{
	const uint64_t age = now_ns - door->changed_ns;
	int err = 0;

	if (age >= SECRET_NS)
		err = secret_make(door, now_ns);
	if (!err && age >= 2 * SECRET_NS)
		err = secret_make(door, now_ns);
	return err;
}

int gateway_door_open(struct gateway_door *door, uint64_t now_ns)
{
	int err = secret_make(door, now_ns);

	door->filled_ns = now_ns;
	door->tokens = TOKENS_MAX;
	return err ? err : secret_make(door, now_ns);
}

static int cookie_make(const uint8_t secret[CRYPTO_KEY], const struct udp_way *way,
		       const uint8_t *hello, uint8_t out[CRYPTO_HASH])
{
	const struct sockaddr_in *in = (const void *)&way->remote;
	const struct sockaddr_in6 *in6 = (const void *)&way->remote;
	uint8_t text[16 + 2 + TUNNEL_KEY_ID] = { 0 };

	if (in->sin_family == AF_INET)
		memcpy(text, &in->sin_addr, sizeof(in->sin_addr));
	else
		memcpy(text, &in6->sin6_addr, sizeof(in6->sin6_addr));
	/* Both families have it in the same place. */
	memcpy(text + 16, &in->sin_port, 2);
	memcpy(text + 18, hello + TUNNEL_AT_KEY_ID, TUNNEL_KEY_ID);
	return crypto_hmac(secret, CRYPTO_KEY, text, sizeof(text), out);
}

static bool has_cookie(const struct gateway_door *door, const struct udp_way *way,
		       const uint8_t *hello)
{
	uint8_t cookie[CRYPTO_HASH];

	for (int i = 0; i < 2; i++)
		if (!cookie_make(door->secret[i], way, hello, cookie) &&
		    crypto_equal(cookie, hello + TUNNEL_AT_COOKIE, TUNNEL_COOKIE))
			return true;
	return false;
}

/* Return: whether this HELLO came before. */
static bool was_seen(struct gateway_door *door, const uint8_t *hello)
{
	uint64_t e;

	memcpy(&e, hello + TUNNEL_AT_E, sizeof(e));
	for (unsigned i = 0; i < DOOR_SEEN; i++)
		if (door->seen[i] == e)
			return true;
	door->seen[door->seen_next++ % DOOR_SEEN] = e;
	return false;
}

static bool token_take(struct gateway_door *door, uint64_t now_ns)
{
	uint64_t fresh = (now_ns - door->filled_ns) / TOKEN_NS;

	door->filled_ns += fresh * TOKEN_NS;
	door->tokens = fresh > TOKENS_MAX - door->tokens ? TOKENS_MAX :
							   door->tokens + (unsigned)fresh;
	if (!door->tokens)
		return false;
	door->tokens--;
	return true;
}

enum door_verdict gateway_door_knock(struct gateway_door *door, const struct udp_way *way,
				     const uint8_t hello[TUNNEL_HELLO_BYTES], uint64_t now_ns,
				     uint8_t cookie[TUNNEL_COOKIE])
{
	uint8_t whole[CRYPTO_HASH];

	if (secrets_renew(door, now_ns))
		return DOOR_SHUT;
	if (has_cookie(door, way, hello))
		return DOOR_OPENS;
	if (cookie_make(door->secret[0], way, hello, whole))
		return DOOR_SHUT;
	memcpy(cookie, whole, TUNNEL_COOKIE);
	return DOOR_ASKS;
}

bool gateway_door_enter(struct gateway_door *door, const uint8_t hello[TUNNEL_HELLO_BYTES],
			uint64_t now_ns)
{
	return !was_seen(door, hello) && token_take(door, now_ns);
}

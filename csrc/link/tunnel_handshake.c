// SPDX-License-Identifier: GPL-2.0-only
/*
 * The handshake of a tunnel. The names are those of the Noise specification, section 5.
 */
#include "tunnel_handshake.h"

#include <errno.h>

#include "host/host.h"

/* As long as the hash, so it is the first hash itself. */
static const char protocol[] = "Noise_NNpsk0_25519_AESGCM_SHA256";
static const char application[] = "lklsock tunnel 1";

_Static_assert(sizeof(protocol) - 1 == CRYPTO_HASH, "the protocol's name is its hash");

/* Section 4.3. outs: two or three. Return: 0 or -EIO. */
static int hkdf(const uint8_t ck[CRYPTO_HASH], const void *input, unsigned long bytes,
		uint8_t (*outs)[CRYPTO_HASH], int count)
{
	uint8_t temporary[CRYPTO_HASH], text[CRYPTO_HASH + 1];
	unsigned long text_bytes = 0;
	int err = crypto_hmac(ck, CRYPTO_HASH, input, bytes, temporary);

	for (int i = 0; i < count && !err; i++) {
		text[text_bytes++] = (uint8_t)(i + 1);
		err = crypto_hmac(temporary, CRYPTO_HASH, text, text_bytes, outs[i]);
		memcpy(text, outs[i], CRYPTO_HASH);
		text_bytes = CRYPTO_HASH;
	}
	explicit_bzero(temporary, sizeof(temporary));
	explicit_bzero(text, sizeof(text));
	return err;
}

static int mix_hash(struct noise *noise, const void *data, unsigned long bytes)
{
	uint8_t text[CRYPTO_HASH + 64];

	if (bytes > 64)
		return -EIO;
	memcpy(text, noise->h, CRYPTO_HASH);
	memcpy(text + CRYPTO_HASH, data, bytes);
	return crypto_hash(text, CRYPTO_HASH + bytes, noise->h);
}

static int mix_key(struct noise *noise, const uint8_t input[CRYPTO_KEY])
{
	uint8_t outs[2][CRYPTO_HASH];
	int err = hkdf(noise->ck, input, CRYPTO_KEY, outs, 2);

	memcpy(noise->ck, outs[0], CRYPTO_HASH);
	memcpy(noise->k, outs[1], CRYPTO_KEY);
	explicit_bzero(outs, sizeof(outs));
	return err;
}

static int mix_key_and_hash(struct noise *noise, const uint8_t psk[CRYPTO_KEY])
{
	uint8_t outs[3][CRYPTO_HASH];
	int err = hkdf(noise->ck, psk, CRYPTO_KEY, outs, 3);

	memcpy(noise->ck, outs[0], CRYPTO_HASH);
	memcpy(noise->k, outs[2], CRYPTO_KEY);
	if (!err)
		err = mix_hash(noise, outs[1], CRYPTO_HASH);
	explicit_bzero(outs, sizeof(outs));
	return err;
}

/* A public key, in a handshake with a pre-shared one: section 9.2. */
static int mix_public_key(struct noise *noise, const uint8_t key[CRYPTO_KEY])
{
	int err = mix_hash(noise, key, CRYPTO_KEY);

	return err ? err : mix_key(noise, key);
}

/* Each key seals once, so the counter is 0. text has room for the tag after it. */
static int seal_and_hash(struct noise *noise, uint8_t *text, unsigned long bytes)
{
	struct crypto_aead *aead = crypto_aead_new(noise->k, true);
	int err = aead ? crypto_seal(aead, 0, noise->h, CRYPTO_HASH, text, bytes, text + bytes) :
			 -EIO;

	crypto_aead_free(aead);
	return err ? err : mix_hash(noise, text, bytes + CRYPTO_TAG);
}

static int unseal_and_hash(struct noise *noise, const uint8_t *sealed, unsigned long bytes,
			   uint8_t *text)
{
	struct crypto_aead *aead = crypto_aead_new(noise->k, false);
	int err = -EIO;

	memcpy(text, sealed, bytes);
	if (aead)
		err = crypto_unseal(aead, 0, noise->h, CRYPTO_HASH, text, bytes, sealed + bytes);
	crypto_aead_free(aead);
	return err ? err : mix_hash(noise, sealed, bytes + CRYPTO_TAG);
}

/* What both know before the first key: the prologue, in which is all before e. */
static int noise_begin(struct noise *noise, const struct tunnel_key *key,
		       const uint8_t hello[TUNNEL_HELLO_BYTES])
{
	uint8_t prologue[sizeof(application) - 1 + TUNNEL_AT_E];
	int err;

	memcpy(noise->h, protocol, CRYPTO_HASH);
	memcpy(noise->ck, noise->h, CRYPTO_HASH);
	memcpy(prologue, application, sizeof(application) - 1);
	memcpy(prologue + sizeof(application) - 1, hello, TUNNEL_AT_E);
	err = mix_hash(noise, prologue, sizeof(prologue));
	if (!err)
		err = mix_key_and_hash(noise, key->psk);
	return err ? err : mix_public_key(noise, hello + TUNNEL_AT_E);
}

/* Section 5.2, Split(). The initiator seals with the first. */
static int noise_split(struct noise *noise, bool initiator, struct tunnel_secrets *out)
{
	uint8_t outs[2][CRYPTO_HASH];
	int err = hkdf(noise->ck, "", 0, outs, 2);

	memcpy(out->sealing, outs[!initiator], CRYPTO_KEY);
	memcpy(out->unsealing, outs[initiator], CRYPTO_KEY);
	explicit_bzero(outs, sizeof(outs));
	return err;
}

static int key_pair_make(uint8_t private_key[CRYPTO_KEY], uint8_t public_key[CRYPTO_KEY])
{
	if (host_random_fill(private_key, CRYPTO_KEY) != CRYPTO_KEY)
		return -EIO;
	return crypto_x25519_public(private_key, public_key);
}

static int mix_shared(struct noise *noise, const uint8_t ours[CRYPTO_KEY],
		      const uint8_t theirs[CRYPTO_KEY])
{
	uint8_t shared[CRYPTO_KEY];
	int err = crypto_x25519_shared(ours, theirs, shared);

	if (!err)
		err = mix_key(noise, shared);
	explicit_bzero(shared, sizeof(shared));
	return err;
}

int tunnel_key_set(struct tunnel_key *key, const uint8_t psk[CRYPTO_KEY])
{
	static const char id[] = "lklsock tunnel key id", cookie[] = "lklsock tunnel cookie";
	uint8_t hash[CRYPTO_HASH];
	int err = crypto_hmac(psk, CRYPTO_KEY, id, sizeof(id) - 1, hash);

	memcpy(key->psk, psk, CRYPTO_KEY);
	memcpy(key->id, hash, TUNNEL_KEY_ID);
	return err ? err : crypto_hmac(psk, CRYPTO_KEY, cookie, sizeof(cookie) - 1, key->cookie);
}

int tunnel_hello_make(struct tunnel_handshake *handshake, const struct tunnel_key *key,
		      uint32_t number, const uint8_t cookie[TUNNEL_COOKIE],
		      const struct tunnel_offer *offer, uint8_t out[TUNNEL_HELLO_BYTES])
{
	uint8_t *text = out + TUNNEL_AT_E + CRYPTO_KEY;
	/* A new one each time: the key that seals the offer follows from it. */
	int err = key_pair_make(handshake->private_key, handshake->public_key);

	handshake->number = number;
	tunnel_header_put(out, TUNNEL_KIND_HELLO, number);
	memcpy(out + TUNNEL_AT_KEY_ID, key->id, TUNNEL_KEY_ID);
	memcpy(out + TUNNEL_AT_COOKIE, cookie, TUNNEL_COOKIE);
	memcpy(out + TUNNEL_AT_E, handshake->public_key, CRYPTO_KEY);
	tunnel_put(text, offer->instance, 8);
	tunnel_put(text + 8, offer->keepalive_ms, 4);
	tunnel_put(text + 12, offer->mtu, 2);
	memcpy(text + 14, offer->mac, 6);
	if (!err)
		err = noise_begin(&handshake->noise, key, out);
	return err ? err : seal_and_hash(&handshake->noise, text, TUNNEL_OFFER);
}

/* Which HELLO a cookie answers is known by its e. */
static int cookie_mac(const struct tunnel_key *key, const uint8_t e[CRYPTO_KEY],
		      const uint8_t datagram[TUNNEL_COOKIE_BYTES], uint8_t out[CRYPTO_HASH])
{
	uint8_t text[CRYPTO_KEY + TUNNEL_HDR + TUNNEL_COOKIE];

	memcpy(text, e, CRYPTO_KEY);
	memcpy(text + CRYPTO_KEY, datagram, TUNNEL_HDR + TUNNEL_COOKIE);
	return crypto_hmac(key->cookie, CRYPTO_HASH, text, sizeof(text), out);
}

int tunnel_cookie_make(const struct tunnel_key *key, const uint8_t hello[TUNNEL_HELLO_BYTES],
		       const uint8_t cookie[TUNNEL_COOKIE], uint8_t out[TUNNEL_COOKIE_BYTES])
{
	uint8_t mac[CRYPTO_HASH];
	int err;

	tunnel_header_put(out, TUNNEL_KIND_COOKIE, (uint32_t)tunnel_get(hello + 4, 3));
	memcpy(out + TUNNEL_HDR, cookie, TUNNEL_COOKIE);
	err = cookie_mac(key, hello + TUNNEL_AT_E, out, mac);
	memcpy(out + TUNNEL_HDR + TUNNEL_COOKIE, mac, CRYPTO_TAG);
	return err;
}

int tunnel_cookie_take(const struct tunnel_handshake *handshake, const struct tunnel_key *key,
		       const uint8_t datagram[TUNNEL_COOKIE_BYTES], uint8_t out[TUNNEL_COOKIE])
{
	uint8_t mac[CRYPTO_HASH];
	int err = cookie_mac(key, handshake->public_key, datagram, mac);

	if (err)
		return err;
	if (!crypto_equal(mac, datagram + TUNNEL_HDR + TUNNEL_COOKIE, CRYPTO_TAG))
		return -EBADMSG;
	memcpy(out, datagram + TUNNEL_HDR, TUNNEL_COOKIE);
	return 0;
}

int tunnel_hello_take(struct tunnel_handshake *handshake, const struct tunnel_key *key,
		      const uint8_t hello[TUNNEL_HELLO_BYTES], struct tunnel_offer *out)
{
	uint8_t text[TUNNEL_OFFER];
	int err = noise_begin(&handshake->noise, key, hello);

	if (!err)
		err = unseal_and_hash(&handshake->noise, hello + TUNNEL_AT_E + CRYPTO_KEY,
				      TUNNEL_OFFER, text);
	if (err)
		return err;
	memcpy(handshake->public_key, hello + TUNNEL_AT_E, CRYPTO_KEY);
	handshake->number = (uint32_t)tunnel_get(hello + 4, 3);
	out->instance = tunnel_get(text, 8);
	out->keepalive_ms = (uint32_t)tunnel_get(text + 8, 4);
	out->mtu = (uint16_t)tunnel_get(text + 12, 2);
	memcpy(out->mac, text + 14, 6);
	return 0;
}

int tunnel_answer_make(struct tunnel_handshake *handshake, uint32_t ours,
		       uint8_t out[TUNNEL_ANSWER_BYTES], struct tunnel_secrets *secrets)
{
	uint8_t private_key[CRYPTO_KEY], *e = out + TUNNEL_HDR, *text = e + CRYPTO_KEY;
	struct noise *noise = &handshake->noise;
	int err = key_pair_make(private_key, e);

	tunnel_header_put(out, TUNNEL_KIND_ANSWER, handshake->number);
	memset(text, 0, TUNNEL_REPLY);
	tunnel_put(text, ours, 4);
	if (!err)
		err = mix_public_key(noise, e);
	if (!err)
		err = mix_shared(noise, private_key, handshake->public_key);
	if (!err)
		err = seal_and_hash(noise, text, TUNNEL_REPLY);
	if (!err)
		err = noise_split(noise, false, secrets);
	secrets->ours = ours;
	secrets->theirs = handshake->number;
	explicit_bzero(private_key, sizeof(private_key));
	explicit_bzero(handshake, sizeof(*handshake));
	return err;
}

int tunnel_answer_take(struct tunnel_handshake *handshake,
		       const uint8_t datagram[TUNNEL_ANSWER_BYTES], struct tunnel_secrets *out)
{
	const uint8_t *e = datagram + TUNNEL_HDR;
	/* A forged one must not spoil it. */
	struct noise noise = handshake->noise;
	uint8_t text[TUNNEL_REPLY];
	int err = mix_public_key(&noise, e);

	if (!err)
		err = mix_shared(&noise, handshake->private_key, e);
	if (!err)
		err = unseal_and_hash(&noise, e + CRYPTO_KEY, TUNNEL_REPLY, text);
	if (!err)
		err = noise_split(&noise, true, out);
	if (!err) {
		out->ours = handshake->number;
		out->theirs = (uint32_t)tunnel_get(text, 4) % TUNNEL_NUMBERS;
		explicit_bzero(handshake, sizeof(*handshake));
	}
	explicit_bzero(&noise, sizeof(noise));
	return err;
}

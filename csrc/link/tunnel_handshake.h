/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How two ends of a tunnel agree on the keys of a session: Noise_NNpsk0_25519_AESGCM_SHA256.
 * Source: The Noise Protocol Framework, revision 34.
 *
 *	client                          gateway
 *	  HELLO, no cookie  ------------->  (keeps nothing)
 *	  <------------------------ COOKIE
 *	  HELLO, with it    ------------->  psk, e
 *	  <------------------------ ANSWER  e, ee
 *	  DATA              ------------->  the session counts from here on
 *
 * Not for a kernel's stack; see crypto.h.
 */
#ifndef LINK_TUNNEL_HANDSHAKE_H
#define LINK_TUNNEL_HANDSHAKE_H

#include "tunnel_format.h"

/* A pre-shared key, and what follows from it. */
struct tunnel_key {
	uint8_t psk[CRYPTO_KEY];
	uint8_t id[TUNNEL_KEY_ID];   /* tells keys apart, and nothing about them */
	uint8_t cookie[CRYPTO_HASH]; /* under which cookies are authentic */
};

/* What a client says of itself, sealed. */
struct tunnel_offer {
	uint64_t instance; /* the same over its sessions, random */
	uint32_t keepalive_ms;
	uint16_t mtu;
	uint8_t mac[6];
};

struct noise {
	uint8_t ck[CRYPTO_HASH], h[CRYPTO_HASH], k[CRYPTO_KEY];
};

/* A client's side of a handshake, or the gateway's between HELLO and ANSWER. */
struct tunnel_handshake {
	struct noise noise;
	uint8_t private_key[CRYPTO_KEY]; /* the client's e */
	uint8_t public_key[CRYPTO_KEY];
	uint32_t number; /* the client's */
};

/* What comes of it. */
struct tunnel_secrets {
	uint8_t sealing[CRYPTO_KEY], unsealing[CRYPTO_KEY];
	uint32_t ours, theirs; /* numbers */
};

/* Return: 0 or -EIO. */
int tunnel_key_set(struct tunnel_key *key, const uint8_t psk[CRYPTO_KEY]);

/* The client. Return: 0, -EBADMSG: not authentic, or -EIO. */
int tunnel_hello_make(struct tunnel_handshake *handshake, const struct tunnel_key *key,
		      uint32_t number, const uint8_t cookie[TUNNEL_COOKIE],
		      const struct tunnel_offer *offer, uint8_t out[TUNNEL_HELLO_BYTES]);
int tunnel_cookie_take(const struct tunnel_handshake *handshake, const struct tunnel_key *key,
		       const uint8_t datagram[TUNNEL_COOKIE_BYTES], uint8_t out[TUNNEL_COOKIE]);
/* The handshake is spent, unless it returns -EBADMSG. */
int tunnel_answer_take(struct tunnel_handshake *handshake,
		       const uint8_t datagram[TUNNEL_ANSWER_BYTES], struct tunnel_secrets *out);

/* The gateway. Return: as above. */
int tunnel_cookie_make(const struct tunnel_key *key, const uint8_t hello[TUNNEL_HELLO_BYTES],
		       const uint8_t cookie[TUNNEL_COOKIE], uint8_t out[TUNNEL_COOKIE_BYTES]);
int tunnel_hello_take(struct tunnel_handshake *handshake, const struct tunnel_key *key,
		      const uint8_t hello[TUNNEL_HELLO_BYTES], struct tunnel_offer *out);
int tunnel_answer_make(struct tunnel_handshake *handshake, uint32_t ours,
		       uint8_t out[TUNNEL_ANSWER_BYTES], struct tunnel_secrets *secrets);

#endif

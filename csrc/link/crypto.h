/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Cryptography: what OpenSSL's libcrypto does for a tunnel. The library of the system is opened
 * when the first tunnel is, for nothing else of ours needs one; 3 and 1.1 have the same interface.
 */
#ifndef LINK_CRYPTO_H
#define LINK_CRYPTO_H

#include <stdbool.h>
#include <stdint.h>

#define CRYPTO_KEY 32  /* of AES-256, of X25519 */
#define CRYPTO_HASH 32 /* of SHA-256 */
#define CRYPTO_TAG 16

struct crypto_aead;

/*
 * Before all else; opens the library. Return: 0 or -ELIBACC: there is none. Takes a while, and
 * stack: like all of this but the two functions for texts it is not for a kernel's stack.
 */
int crypto_open(void);

/* AES-256-GCM, for one direction: sealing or opening. Return: NULL: no memory. */
struct crypto_aead *crypto_aead_new(const uint8_t key[CRYPTO_KEY], bool sealing);
void crypto_aead_free(struct crypto_aead *aead);

/*
 * In place. The counter is the nonce: never the same twice with one key. Return: 0; -EBADMSG: it is
 * not authentic, and text is worthless; -EIO.
 */
int crypto_seal(struct crypto_aead *aead, uint64_t counter, const void *ad, unsigned long ad_bytes,
		uint8_t *text, unsigned long bytes, uint8_t tag[CRYPTO_TAG]);
int crypto_unseal(struct crypto_aead *aead, uint64_t counter, const void *ad,
		  unsigned long ad_bytes, uint8_t *text, unsigned long bytes,
		  const uint8_t tag[CRYPTO_TAG]);

/* SHA-256 and HMAC-SHA-256. out may be one of the inputs. Return: 0 or -EIO. */
int crypto_hash(const void *data, unsigned long bytes, uint8_t out[CRYPTO_HASH]);
int crypto_hmac(const void *key, unsigned long key_bytes, const void *data, unsigned long bytes,
		uint8_t out[CRYPTO_HASH]);

/* RFC 7748. Return: 0; -EBADMSG: theirs is no good key; -EIO. */
int crypto_x25519_public(const uint8_t ours[CRYPTO_KEY], uint8_t out[CRYPTO_KEY]);
int crypto_x25519_shared(const uint8_t ours[CRYPTO_KEY], const uint8_t theirs[CRYPTO_KEY],
			 uint8_t out[CRYPTO_KEY]);

/* In a time that does not tell where they differ. */
bool crypto_equal(const void *a, const void *b, unsigned long bytes);

#endif

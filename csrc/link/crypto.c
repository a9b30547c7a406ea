// SPDX-License-Identifier: GPL-2.0-only
/*
 * OpenSSL's libcrypto, opened at run time: no header of it is needed to build, and no package to
 * install for who has no tunnel. The functions named here are the same in 1.1 and 3.
 */
#include "crypto.h"

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <string.h>

/* Numbers of its interface (openssl/evp.h, openssl/obj_mac.h). */
#define GET_TAG 0x10
#define SET_TAG 0x11
#define NID_X25519 1034

#define NONCE 12

/* What there is of it: return type, name, arguments. */
#define FUNCTIONS(X) \
	X(void *, EVP_CIPHER_CTX_new, (void)) \
	X(void, EVP_CIPHER_CTX_free, (void *)) \
	X(int, EVP_CIPHER_CTX_ctrl, (void *, int, int, void *)) \
	X(const void *, EVP_aes_256_gcm, (void)) \
	X(int, EVP_CipherInit_ex, (void *, const void *, void *, const void *, const void *, int)) \
	X(int, EVP_CipherUpdate, (void *, void *, int *, const void *, int)) \
	X(int, EVP_CipherFinal_ex, (void *, void *, int *)) \
	X(const void *, EVP_sha256, (void)) \
	X(void *, SHA256, (const void *, size_t, void *)) \
	X(void *, HMAC, \
	  (const void *, const void *, int, const void *, size_t, void *, unsigned *)) \
	X(void *, EVP_PKEY_new_raw_private_key, (int, void *, const void *, size_t)) \
	X(void *, EVP_PKEY_new_raw_public_key, (int, void *, const void *, size_t)) \
	X(int, EVP_PKEY_get_raw_public_key, (const void *, void *, size_t *)) \
	X(void, EVP_PKEY_free, (void *)) \
	X(void *, EVP_PKEY_CTX_new, (void *, void *)) \
	X(void, EVP_PKEY_CTX_free, (void *)) \
	X(int, EVP_PKEY_derive_init, (void *)) \
	X(int, EVP_PKEY_derive_set_peer, (void *, void *)) \
	X(int, EVP_PKEY_derive, (void *, void *, size_t *)) \
	X(void, ERR_clear_error, (void)) \
	X(int, CRYPTO_memcmp, (const void *, const void *, size_t))

#define POINTER(type, name, arguments) type(*name) arguments;
static struct {
	FUNCTIONS(POINTER)
} lib;

static pthread_once_t once = PTHREAD_ONCE_INIT;
static int opened = -ELIBACC;

static bool functions_find(void *handle)
{
#define FIND(type, name, arguments) \
	*(void **)&lib.name = dlsym(handle, #name); \
	if (!lib.name) \
		return false;
	FUNCTIONS(FIND)
	return true;
}

static void library_open(void)
{
	static const char *const names[] = { "libcrypto.so.3", "libcrypto.so.1.1" };

	for (unsigned i = 0; i < sizeof(names) / sizeof(*names) && opened; i++) {
		void *handle = dlopen(names[i], RTLD_NOW | RTLD_LOCAL);

		if (handle && functions_find(handle))
			opened = 0;
	}
}

int crypto_open(void)
{
	pthread_once(&once, library_open);
	return opened;
}

/* Its queue of errors is the program's, too: ours are not to be found there. Return: err. */
static int failed(int err)
{
	lib.ERR_clear_error();
	return err;
}

struct crypto_aead *crypto_aead_new(const uint8_t key[CRYPTO_KEY], bool sealing)
{
	void *ctx = lib.EVP_CIPHER_CTX_new();

	if (!ctx)
		return NULL;
	if (lib.EVP_CipherInit_ex(ctx, lib.EVP_aes_256_gcm(), NULL, key, NULL, sealing) == 1)
		return ctx;
	lib.EVP_CIPHER_CTX_free(ctx);
	failed(0);
	return NULL;
}

void crypto_aead_free(struct crypto_aead *aead)
{
	/* Wipes the key. */
	lib.EVP_CIPHER_CTX_free(aead);
}

/* Noise's nonce for AES-GCM: 32 bits zero, then the counter. -1: the direction stays. */
static bool text_begin(struct crypto_aead *aead, uint64_t counter, const void *ad,
		       unsigned long ad_bytes)
{
	uint8_t nonce[NONCE] = { 0 };
	int done;

	for (int i = 0; i < 8; i++)
		nonce[NONCE - 1 - i] = (uint8_t)(counter >> 8 * i);
	return lib.EVP_CipherInit_ex(aead, NULL, NULL, NULL, nonce, -1) == 1 &&
	       (!ad_bytes || lib.EVP_CipherUpdate(aead, NULL, &done, ad, (int)ad_bytes) == 1);
}

int crypto_seal(struct crypto_aead *aead, uint64_t counter, const void *ad, unsigned long ad_bytes,
		uint8_t *text, unsigned long bytes, uint8_t tag[CRYPTO_TAG])
{
	uint8_t none[CRYPTO_TAG];
	int done;

	if (!text_begin(aead, counter, ad, ad_bytes) ||
	    (bytes && lib.EVP_CipherUpdate(aead, text, &done, text, (int)bytes) != 1) ||
	    lib.EVP_CipherFinal_ex(aead, none, &done) != 1 ||
	    lib.EVP_CIPHER_CTX_ctrl(aead, GET_TAG, CRYPTO_TAG, tag) != 1)
		return failed(-EIO);
	return 0;
}

int crypto_unseal(struct crypto_aead *aead, uint64_t counter, const void *ad,
		  unsigned long ad_bytes, uint8_t *text, unsigned long bytes,
		  const uint8_t tag[CRYPTO_TAG])
{
	uint8_t none[CRYPTO_TAG];
	int done;

	if (!text_begin(aead, counter, ad, ad_bytes) ||
	    lib.EVP_CIPHER_CTX_ctrl(aead, SET_TAG, CRYPTO_TAG, (void *)tag) != 1 ||
	    (bytes && lib.EVP_CipherUpdate(aead, text, &done, text, (int)bytes) != 1) ||
	    lib.EVP_CipherFinal_ex(aead, none, &done) != 1)
		return failed(-EBADMSG);
	return 0;
}

int crypto_hash(const void *data, unsigned long bytes, uint8_t out[CRYPTO_HASH])
{
	uint8_t hash[CRYPTO_HASH];

	if (!lib.SHA256(data, bytes, hash))
		return failed(-EIO);
	memcpy(out, hash, sizeof(hash));
	return 0;
}

int crypto_hmac(const void *key, unsigned long key_bytes, const void *data, unsigned long bytes,
		uint8_t out[CRYPTO_HASH])
{
	uint8_t hash[CRYPTO_HASH];
	unsigned done = sizeof(hash);

	if (!lib.HMAC(lib.EVP_sha256(), key, (int)key_bytes, data, bytes, hash, &done))
		return failed(-EIO);
	memcpy(out, hash, sizeof(hash));
	explicit_bzero(hash, sizeof(hash));
	return 0;
}

int crypto_x25519_public(const uint8_t ours[CRYPTO_KEY], uint8_t out[CRYPTO_KEY])
{
	void *key = lib.EVP_PKEY_new_raw_private_key(NID_X25519, NULL, ours, CRYPTO_KEY);
	size_t bytes = CRYPTO_KEY;
	bool done = key && lib.EVP_PKEY_get_raw_public_key(key, out, &bytes) == 1;

	lib.EVP_PKEY_free(key);
	return done ? 0 : failed(-EIO);
}

int crypto_x25519_shared(const uint8_t ours[CRYPTO_KEY], const uint8_t theirs[CRYPTO_KEY],
			 uint8_t out[CRYPTO_KEY])
{
	void *key = lib.EVP_PKEY_new_raw_private_key(NID_X25519, NULL, ours, CRYPTO_KEY);
	void *peer = lib.EVP_PKEY_new_raw_public_key(NID_X25519, NULL, theirs, CRYPTO_KEY);
	void *ctx = key ? lib.EVP_PKEY_CTX_new(key, NULL) : NULL;
	size_t bytes = CRYPTO_KEY;
	/* It refuses a result of all zeros itself. */
	bool done = ctx && peer && lib.EVP_PKEY_derive_init(ctx) == 1 &&
		    lib.EVP_PKEY_derive_set_peer(ctx, peer) == 1 &&
		    lib.EVP_PKEY_derive(ctx, out, &bytes) == 1;

	lib.EVP_PKEY_CTX_free(ctx);
	lib.EVP_PKEY_free(peer);
	lib.EVP_PKEY_free(key);
	return done ? 0 : failed(-EBADMSG);
}

bool crypto_equal(const void *a, const void *b, unsigned long bytes)
{
	return !lib.CRYPTO_memcmp(a, b, bytes);
}

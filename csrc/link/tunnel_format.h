/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The datagrams of a tunnel; docs/tunnel-protocol.md has the why. All begin with a header of VXLAN's
 * form, numbers have their highest byte first:
 *
 *	 0        1       2          3      4 .. 6                7
 *	+--------+-------+----------+------+---------------------+------+
 *	| 0x08   | kind  | version  | 0    | number              | 0    |
 *	+--------+-------+----------+------+---------------------+------+
 *
 *	HELLO   client: its number | id of the key 8 | cookie 16 | e 32 | sealed offer 20 | tag 16
 *	COOKIE  gateway: client's number | cookie 16 | mac 16
 *	ANSWER  gateway: client's number | e 32 | sealed: gateway's number 4, 0 4 | tag 16
 *	DATA    both: receiver's number | counter 8 | sealed frame | tag 16
 *
 * A frame of 0 bytes is a keep-alive, one of 1 byte (0) a good-bye.
 */
#ifndef LINK_TUNNEL_FORMAT_H
#define LINK_TUNNEL_FORMAT_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "crypto.h"

#define TUNNEL_VERSION 1
#define TUNNEL_NUMBERS (1u << 24)

#define TUNNEL_HDR 8
#define TUNNEL_KEY_ID 8
#define TUNNEL_COOKIE 16
#define TUNNEL_OFFER 20
#define TUNNEL_REPLY 8

#define TUNNEL_HELLO_BYTES \
	(TUNNEL_HDR + TUNNEL_KEY_ID + TUNNEL_COOKIE + CRYPTO_KEY + TUNNEL_OFFER + CRYPTO_TAG)
#define TUNNEL_COOKIE_BYTES (TUNNEL_HDR + TUNNEL_COOKIE + CRYPTO_TAG)
#define TUNNEL_ANSWER_BYTES (TUNNEL_HDR + CRYPTO_KEY + TUNNEL_REPLY + CRYPTO_TAG)
/* Before and after a frame. */
#define TUNNEL_BEFORE (TUNNEL_HDR + 8)
#define TUNNEL_AROUND (TUNNEL_BEFORE + CRYPTO_TAG)

/* Offsets in a HELLO. */
#define TUNNEL_AT_KEY_ID TUNNEL_HDR
#define TUNNEL_AT_COOKIE (TUNNEL_AT_KEY_ID + TUNNEL_KEY_ID)
#define TUNNEL_AT_E (TUNNEL_AT_COOKIE + TUNNEL_COOKIE)

enum tunnel_kind {
	TUNNEL_NONE,
	TUNNEL_KIND_HELLO,
	TUNNEL_KIND_COOKIE,
	TUNNEL_KIND_ANSWER,
	TUNNEL_KIND_DATA
};

static inline void tunnel_put(uint8_t *to, uint64_t value, int bytes)
{
	for (int i = bytes - 1; i >= 0; i--, value >>= 8)
		to[i] = (uint8_t)value;
}

static inline uint64_t tunnel_get(const uint8_t *from, int bytes)
{
	uint64_t value = 0;

	for (int i = 0; i < bytes; i++)
		value = value << 8 | from[i];
	return value;
}

static inline void tunnel_header_put(uint8_t *to, enum tunnel_kind kind, uint32_t number)
{
	const uint8_t header[TUNNEL_HDR] = { 0x08, (uint8_t)kind, TUNNEL_VERSION };

	memcpy(to, header, TUNNEL_HDR);
	tunnel_put(to + 4, number, 3);
}

/* Return: its kind and its number, or TUNNEL_NONE: it is no datagram of a tunnel. */
static inline enum tunnel_kind tunnel_kind_of(const void *datagram, unsigned long bytes,
					      uint32_t *number)
{
	const uint8_t *header = datagram;
	bool fits;

	if (bytes < TUNNEL_HDR || header[0] != 0x08 || header[2] != TUNNEL_VERSION || header[3] ||
	    header[7])
		return TUNNEL_NONE;
	*number = (uint32_t)tunnel_get(header + 4, 3);
	switch (header[1]) {
	case TUNNEL_KIND_HELLO:
		fits = bytes == TUNNEL_HELLO_BYTES;
		break;
	case TUNNEL_KIND_COOKIE:
		fits = bytes == TUNNEL_COOKIE_BYTES;
		break;
	case TUNNEL_KIND_ANSWER:
		fits = bytes == TUNNEL_ANSWER_BYTES;
		break;
	case TUNNEL_KIND_DATA:
		fits = bytes >= TUNNEL_AROUND;
		break;
	default:
		fits = false;
	}
	return fits ? (enum tunnel_kind)header[1] : TUNNEL_NONE;
}

#endif

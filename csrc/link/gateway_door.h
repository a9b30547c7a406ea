/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Who may begin a handshake with a gateway, and how often. On its control thread only.
 *
 * Nothing is kept for who does not show, by a cookie, that it receives where it says it is. Cookies
 * are good for one to two minutes; a HELLO that comes twice in that time is heard once.
 *
 * A cookie takes no key: anybody gets one who has seen the key's identifier pass. So what is scarce,
 * turns and the memory of who came, is given only to HELLOs that are authentic.
 */
#ifndef LINK_GATEWAY_DOOR_H
#define LINK_GATEWAY_DOOR_H

#include "tunnel_handshake.h"
#include "volley.h"

#define DOOR_SEEN 1024u

struct gateway_door {
	uint8_t secret[2][CRYPTO_KEY]; /* the present one, the one before */
	uint64_t changed_ns;
	uint64_t seen[DOOR_SEEN]; /* of the keys that came, newest last */
	uint32_t seen_next;
	uint64_t filled_ns; /* when the tokens were counted */
	unsigned tokens;
};

enum door_verdict {
	DOOR_OPENS, /* to who has the key */
	DOOR_ASKS,  /* for the cookie that is out */
	DOOR_SHUT,  /* no random numbers */
};

/* Return: 0 or -EIO. */
int gateway_door_open(struct gateway_door *door, uint64_t now_ns);
enum door_verdict gateway_door_knock(struct gateway_door *door, const struct udp_way *way,
				     const uint8_t hello[TUNNEL_HELLO_BYTES], uint64_t now_ns,
				     uint8_t cookie[TUNNEL_COOKIE]);
/* hello: an authentic one. Return: false: it came before, or there were too many. */
bool gateway_door_enter(struct gateway_door *door, const uint8_t hello[TUNNEL_HELLO_BYTES],
			uint64_t now_ns);

#endif

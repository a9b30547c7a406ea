/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A session of a tunnel: its keys, one for each direction, and what was sent and has come under
 * them. One thread at a time.
 */
#ifndef LINK_TUNNEL_SESSION_H
#define LINK_TUNNEL_SESSION_H

#include "tunnel_handshake.h"

/* It is replaced by then, and good for nothing later. */
#define TUNNEL_REKEY_NS 120000000000ull
#define TUNNEL_REJECT_NS 180000000000ull
/*
 * The same in datagrams: with 1,500 bytes each, 2^28 of them keep what an attacker may gain against
 * AES-GCM under 2^-57 (RFC 8446, section 5.5).
 */
#define TUNNEL_REKEY_COUNT (1ull << 26)
#define TUNNEL_REJECT_COUNT (1ull << 28)

struct tunnel_session;

/* secrets are wiped. Return: NULL: no memory. */
struct tunnel_session *tunnel_session_new(struct tunnel_secrets *secrets, uint64_t now_ns);
void tunnel_session_free(struct tunnel_session *session);
/* The number that it goes by here. */
uint32_t tunnel_session_number(const struct tunnel_session *session);

/* Another should be agreed on; it may not be used any more. */
bool tunnel_session_is_due(const struct tunnel_session *session, uint64_t now_ns);
bool tunnel_session_is_over(const struct tunnel_session *session, uint64_t now_ns);

/*
 * datagram: TUNNEL_BEFORE bytes of room, the frame, CRYPTO_TAG bytes of room. Return: 0 or -errno:
 * -EKEYEXPIRED: too much was sent.
 */
int tunnel_session_seal(struct tunnel_session *session, uint8_t *datagram,
			unsigned long frame_bytes);

/*
 * datagram: a whole one of the kind DATA; the frame is after TUNNEL_BEFORE bytes then. newest: it is
 * the last that was sent, of those that came. Return: bytes of the frame; -EBADMSG: not authentic;
 * -EALREADY: it came before, or so late that this cannot be told.
 */
long tunnel_session_unseal(struct tunnel_session *session, uint8_t *datagram, unsigned long bytes,
			   bool *newest);

#endif

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sessions: datagrams sealed and unsealed, each once.
 */
#include "tunnel_session.h"

#include <errno.h>
#include <stdlib.h>

/* Datagrams that may overtake one, and a word that is being refilled. Source: RFC 6479. */
#define WORDS 128u
#define WORD_BITS 64u
#define WINDOW ((WORDS - 1) * WORD_BITS)

struct tunnel_session {
	struct crypto_aead *sealing, *unsealing;
	uint32_t ours, theirs;
	uint64_t made_ns;
	uint64_t sent;        /* the next counter */
	uint64_t seen;        /* the highest that came, plus one */
	uint64_t bits[WORDS]; /* of those that came */
};

struct tunnel_session *tunnel_session_new(struct tunnel_secrets *secrets, uint64_t now_ns)
{
	struct tunnel_session *session = calloc(1, sizeof(*session));

	if (session) {
		session->sealing = crypto_aead_new(secrets->sealing, true);
		session->unsealing = crypto_aead_new(secrets->unsealing, false);
		session->ours = secrets->ours;
		session->theirs = secrets->theirs;
		session->made_ns = now_ns;
	}
	explicit_bzero(secrets, sizeof(*secrets));
	if (session && session->sealing && session->unsealing)
		return session;
	tunnel_session_free(session);
	return NULL;
}

void tunnel_session_free(struct tunnel_session *session)
{
	if (!session)
		return;
	crypto_aead_free(session->sealing);
	crypto_aead_free(session->unsealing);
	free(session);
}

uint32_t tunnel_session_number(const struct tunnel_session *session)
{
	return session->ours;
}

bool tunnel_session_is_due(const struct tunnel_session *session, uint64_t now_ns)
{
	return now_ns - session->made_ns >= TUNNEL_REKEY_NS ||
	       session->sent >= TUNNEL_REKEY_COUNT || session->seen >= TUNNEL_REKEY_COUNT;
}

bool tunnel_session_is_over(const struct tunnel_session *session, uint64_t now_ns)
{
	return now_ns - session->made_ns >= TUNNEL_REJECT_NS;
}

int tunnel_session_seal(struct tunnel_session *session, uint8_t *datagram,
			unsigned long frame_bytes)
{
	uint8_t *frame = datagram + TUNNEL_BEFORE;
	uint64_t counter = session->sent;

	if (counter >= TUNNEL_REJECT_COUNT)
		return -EKEYEXPIRED;
	session->sent++;
	tunnel_header_put(datagram, TUNNEL_KIND_DATA, session->theirs);
	tunnel_put(datagram + TUNNEL_HDR, counter, 8);
	return crypto_seal(session->sealing, counter, datagram, TUNNEL_BEFORE, frame, frame_bytes,
			   frame + frame_bytes);
}

static bool came_before(const struct tunnel_session *session, uint64_t counter)
{
	if (counter >= session->seen)
		return false;
	return session->seen - counter > WINDOW ||
	       session->bits[counter / WORD_BITS % WORDS] >> counter % WORD_BITS & 1;
}

static void note(struct tunnel_session *session, uint64_t counter)
{
	uint64_t word = counter / WORD_BITS;

	if (counter >= session->seen) {
		uint64_t last = session->seen ? (session->seen - 1) / WORD_BITS : 0;
		uint64_t fresh = word - last < WORDS ? word - last : WORDS;

		for (uint64_t i = 0; i < fresh; i++)
			session->bits[(word - i) % WORDS] = 0;
		session->seen = counter + 1;
	}
	session->bits[word % WORDS] |= 1ull << counter % WORD_BITS;
}

long tunnel_session_unseal(struct tunnel_session *session, uint8_t *datagram, unsigned long bytes,
			   bool *newest)
{
	unsigned long frame_bytes = bytes - TUNNEL_AROUND;
	uint8_t *frame = datagram + TUNNEL_BEFORE;
	uint64_t counter = tunnel_get(datagram + TUNNEL_HDR, 8);

	if (counter >= TUNNEL_REJECT_COUNT)
		return -EBADMSG;
	if (came_before(session, counter))
		return -EALREADY;
	if (crypto_unseal(session->unsealing, counter, datagram, TUNNEL_BEFORE, frame, frame_bytes,
			  frame + frame_bytes))
		return -EBADMSG;
	*newest = counter >= session->seen;
	note(session, counter);
	return (long)frame_bytes;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a tunnel's two ends share: the socket and its datagrams, the timer, and the way between the
 * two contexts that work on them.
 *
 *	data	  CPU held: frames, sessions in use, who is alive	tx, rx
 *	control	  a polling thread: handshakes, timer, carrier		control.event
 *
 *	data    --letters-->  control	handshake datagrams, as they came
 *	control --arrivals->  data	new sessions
 *
 * Each direction is a ring with one writer and one reader.
 */
#ifndef LINK_TUNNEL_H
#define LINK_TUNNEL_H

#include <stddef.h>
#include <stdint.h>

#include "host/host.h"

#include "datagrams.h"
#include "link.h"
#include "tunnel_handshake.h"
#include "tunnel_session.h"
#include "volley.h"

#define TUNNEL_RING 32u
/* Datagrams without a frame that are looked at in one go. */
#define TUNNEL_SIGNS_MAX 64
#define TUNNEL_LETTER_MAX TUNNEL_HELLO_BYTES

/* A handshake datagram. */
struct tunnel_letter {
	struct udp_way way;
	unsigned bytes;
	uint8_t text[TUNNEL_LETTER_MAX];
};

/* A session, and with whom; a gateway looks at what is after the session. */
struct tunnel_arrival {
	struct tunnel_session *session;
	struct udp_way way;
	unsigned key;			/* which of its keys */
	struct tunnel_offer offer;
};

struct tunnel {
	struct link link;
	struct host_io_source in, out;	/* one socket: what comes, and room for what leaves */
	struct host_io_source control;	/* a timer; rung by data */
	struct datagrams *datagrams;	/* data */
	struct volley *volley;		/* data */
	bool started;			/* data */
	bool tick;			/* control to data: time has passed; atomic */
	uint32_t letters_in, letters_out, arrivals_in, arrivals_out;	/* atomic */
	struct tunnel_letter letters[TUNNEL_RING];
	struct tunnel_arrival arrivals[TUNNEL_RING];
};

/* fd: owned, and closed if it fails. Return: 0 or -errno. */
int tunnel_start(struct tunnel *tunnel, int fd,
		 unsigned (*control)(struct host_io_source *, uint32_t));
/* Frees what tunnel_start() made. */
void tunnel_stop(struct tunnel *tunnel);
static inline struct tunnel *tunnel_of_control(struct host_io_source *source)
{
	return (struct tunnel *)((char *)source - offsetof(struct tunnel, control));
}

/* link_ops.poll, idle. */
void tunnel_poll(struct link *link, unsigned events);
bool tunnel_idle(struct link *link);

/* ---- data: CPU held */

/*
 * Handshake datagrams are passed on, malformed ones counted. Return: bytes of a datagram of the kind
 * DATA, with its number; -EAGAIN; or -EBADMSG.
 */
long tunnel_receive(struct tunnel *tunnel, struct datagram *out, uint32_t *number);
/* There may be more: RX is told once again. Return: -EAGAIN. */
long tunnel_again(struct tunnel *tunnel);
/* Return: false: none. */
bool tunnel_arrival_take(struct tunnel *tunnel, struct tunnel_arrival *out);

/*
 * Sends what was held back. Return: 0, or -EAGAIN: some still is, and room for it is told as RX.
 */
int tunnel_flush(struct tunnel *tunnel);
/*
 * Seals a frame and sends it; tunnel_flush() has returned 0. Counts. Return: as link_ops.tx, but
 * never -EAGAIN: what finds no room is held. -EMSGSIZE: longer than the path takes.
 */
long tunnel_send(struct tunnel *tunnel, struct tunnel_session *session, const struct udp_way *way,
		 const struct lkl_iovec *iov, int count);
/* No frame: a keep-alive, or a good-bye. Lost if there is no room. */
enum tunnel_sign { TUNNEL_KEEPALIVE, TUNNEL_BYE };
void tunnel_sign_send(struct tunnel *tunnel, struct tunnel_session *session,
		      const struct udp_way *way, enum tunnel_sign sign);
/* What an unsealed datagram is. */
static inline bool tunnel_is_keepalive(long frame_bytes)
{
	return !frame_bytes;
}
static inline bool tunnel_is_bye(const struct datagram *datagram, long frame_bytes)
{
	return frame_bytes == 1 && !datagram->data[TUNNEL_BEFORE];
}
/* The frame of an unsealed datagram, to who reads. Return: as link_ops.rx. */
long tunnel_deliver(struct tunnel *tunnel, const struct lkl_iovec *iov, int count,
		    const struct datagram *datagram, long frame_bytes);

/* ---- control: a polling thread */

/* Return: false: none. */
bool tunnel_letter_take(struct tunnel *tunnel, struct tunnel_letter *out);
/* Hands a session over. Return: false: there are too many, it stays the caller's. */
bool tunnel_arrive(struct tunnel *tunnel, const struct tunnel_arrival *arrival);
/* control.event at this time. Units: ns, CLOCK_MONOTONIC. */
void tunnel_timer_set(struct tunnel *tunnel, uint64_t at_ns);
unsigned tunnel_tell(struct tunnel *tunnel, unsigned events);
/* A number for a session, never 0. */
uint32_t tunnel_number_make(void);

#endif

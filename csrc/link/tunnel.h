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
	unsigned key; /* which of its keys */
	struct tunnel_offer offer;
};

struct tunnel {
	struct link link;
	struct host_io_source in, out; /* one socket: what comes, and room for what leaves */
	struct host_io_source control; /* a timer; rung by data */
	struct datagrams *datagrams;   /* data */
	struct volley *volley;         /* data */
	bool started;                  /* data */
	bool tick;                     /* control to data: time has passed; atomic */
	uint32_t letters_in, letters_out, arrivals_in, arrivals_out; /* atomic */
	struct tunnel_letter letters[TUNNEL_RING];
	struct tunnel_arrival arrivals[TUNNEL_RING];
};

/*
 * fd: a UDP socket, owned from now on, or -errno, which is returned. Return: 0 or -errno;
 * tunnel_stop() is to follow in any case.
 */
int tunnel_start(struct tunnel *tunnel, int fd,
		 unsigned (*control)(struct host_io_source *, uint32_t));
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
 * What an end makes of a datagram of the kind DATA, with its number. Return: bytes of the frame in
 * it, unsealed; 0: it was a sign; or -EBADMSG, counted.
 */
typedef long tunnel_data_open(struct tunnel *tunnel, const struct datagram *datagram,
			      uint32_t number);
/* link_ops.rx. Handshake datagrams are passed on to control. */
long tunnel_rx(struct tunnel *tunnel, const struct lkl_iovec *iov, int count,
	       tunnel_data_open *data_open);
/*
 * session: NULL: there is none of its number. Return: bytes, or -EBADMSG, counted; see
 * tunnel_session_unseal().
 */
long tunnel_unseal(struct tunnel *tunnel, struct tunnel_session *session,
		   const struct datagram *datagram, bool *newest);
/* Return: false: none. */
bool tunnel_arrival_take(struct tunnel *tunnel, struct tunnel_arrival *out);

/*
 * Sends what was held back; counts what is lost of it. Return: 0, or -EAGAIN: some still is, and room
 * for it is told as RX.
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

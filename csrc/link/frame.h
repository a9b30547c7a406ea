/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What every link does with a frame: check it and count it.
 */
#ifndef LINK_FRAME_H
#define LINK_FRAME_H

#include <sys/uio.h>

#include "link.h"

/* The same thing by two names, so that a frame goes to the operating system as it is. */
_Static_assert(sizeof(struct lkl_iovec) == sizeof(struct iovec), "iovec layout");

/* Ethernet header at least, and the longest that a stack takes. */
#define LINK_FRAME_MIN (LKL_VNET_HDR + 14)

/* vnet_hdr: LKL_VNET_HDR bytes. bytes: of the whole frame, vnet header included. */
bool link_frame_valid(const void *vnet_hdr, unsigned long bytes);

unsigned long link_frame_room(const struct lkl_iovec *iov, int count);

/* Between iov and one piece of memory; bytes fit both. */
void link_frame_gather(void *to, const struct lkl_iovec *iov, int count);
void link_frame_scatter(const struct lkl_iovec *iov, int count, const void *from,
			unsigned long bytes);

/*
 * A frame came from outside: bytes that the operating system put into iov; truncated: there was
 * more. Counts it. Return: bytes; -EBADMSG: it was malformed; -ENOBUFS: iov was too small.
 */
long link_frame_received(struct link *link, const struct lkl_iovec *iov, int count, long bytes,
			 bool truncated);

/*
 * A frame that came from outside, header apart, is handed to who reads. Counts it. Return: as
 * link_frame_received().
 */
long link_frame_deliver(struct link *link, const struct lkl_iovec *iov, int count,
			const void *vnet_hdr, const void *frame, unsigned long bytes);

/* What the link inside all wrappers can carry, or 0. */
static inline unsigned link_mtu(const struct link *link)
{
	while (link->inner)
		link = link->inner;
	return __atomic_load_n(&link->mtu, __ATOMIC_RELAXED);
}

static inline const struct link_counters *link_counters(const struct link *link)
{
	while (link->ops->counts_inside)
		link = link->inner;
	return &link->counters;
}

/* One writer at a time. */
static inline void link_count(uint64_t *counter, uint64_t add)
{
	uint64_t old = __atomic_load_n(counter, __ATOMIC_RELAXED);

	__atomic_store_n(counter, old + add, __ATOMIC_RELAXED);
}

static inline void link_count_tx(struct link *link, unsigned long bytes)
{
	link_count(&link->counters.tx_frames, 1);
	link_count(&link->counters.tx_bytes, bytes - LKL_VNET_HDR);
}

static inline void link_count_rx(struct link *link, unsigned long bytes)
{
	link_count(&link->counters.rx_frames, 1);
	link_count(&link->counters.rx_bytes, bytes - LKL_VNET_HDR);
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A long TCP frame (TSO) as the frames that go over a path, one after the other; a short one as
 * itself.
 */
#ifndef LINK_SEGMENTS_H
#define LINK_SEGMENTS_H

#include <linux/virtio_net.h>
#include <stdint.h>

#include "link.h"

/* The longest header: Ethernet with a tag, IPv6, TCP with options. */
#define SEGMENTS_HEADER_MAX (18 + 40 + 60)

/*
 * UNFINISHED: checksums of TCP and UDP are left, for who reads with link_checksum_detect(); those
 * that it would not find are finished. FINISHED: the other end is not ours.
 */
enum segments_checksums { SEGMENTS_UNFINISHED, SEGMENTS_FINISHED };

struct segments {
	enum segments_checksums checksums;
	struct virtio_net_hdr_v1 vnet;
	const struct lkl_iovec *iov; /* the next byte of the frame is at offset in iov[0] */
	unsigned long offset;
	unsigned long rest;                  /* bytes of the frame that are still to come */
	unsigned long payload;               /* of each segment; 0: the frame is one */
	unsigned long header_bytes, ip, tcp; /* offsets of IP's header and of TCP's */
	uint32_t done;                       /* payload so far */
	uint16_t number;                     /* of the next segment */
	uint8_t header[SEGMENTS_HEADER_MAX];
};

/* iov: vnet header first, all of it in iov[0]. Return: 0, or -EINVAL: it cannot be cut up. */
int segments_begin(struct segments *segments, enum segments_checksums checksums,
		   const struct lkl_iovec *iov, int count);

/* The most that a segment has. */
static inline unsigned long segments_bytes_max(const struct segments *segments)
{
	return segments->payload ? segments->header_bytes + segments->payload : segments->rest;
}

/* to: room for segments_bytes_max(). Return: bytes, or 0: that was the last. */
unsigned long segments_next(struct segments *segments, uint8_t *to);

#endif

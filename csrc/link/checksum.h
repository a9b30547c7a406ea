/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksums that a sender has left to be finished: by us, or by who reads the frame.
 */
#ifndef LINK_CHECKSUM_H
#define LINK_CHECKSUM_H

#include <linux/virtio_net.h>
#include <stdint.h>
#include <sys/uio.h>

#include <lkl_host.h>

/*
 * If the frame's TCP or UDP checksum is that of the pseudo header alone, says in hdr (all zero)
 * that it is to be finished. One complete checksum in 65536 looks like that by chance, and is then
 * taken for right.
 */
void link_checksum_detect(struct virtio_net_hdr_v1 *hdr, const void *frame, unsigned long bytes);

/* The Internet checksum's sum, folded, in memory's order, as a header has it. */
uint16_t link_checksum_sum(const void *data, unsigned long bytes);

/* Pieces that finishing adds at most. */
#define LINK_CHECKSUM_PIECES 2

struct link_checksum {
	uint8_t bytes[2];
};

/*
 * The Ethernet frame of iov, vnet header left out, in pieces, which has room for count +
 * LINK_CHECKSUM_PIECES. If its checksum is still to be finished, one of them is *checksum, in the
 * place of what iov has there, which stays as it is: the frame may be sent once more. iov is a
 * frame of the stack's. Return: the number of pieces.
 */
int link_checksum_finish(struct link_checksum *checksum, const struct lkl_iovec *iov, int count,
			 struct iovec *pieces);

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Checksums that a sender on the same machine has left to be finished.
 */
#ifndef LINK_CHECKSUM_H
#define LINK_CHECKSUM_H

#include <linux/virtio_net.h>

/*
 * If the frame's TCP or UDP checksum is that of the pseudo header alone, says in hdr (all zero)
 * that it is to be finished. One complete checksum in 65536 looks like that by chance, and is then
 * taken for right.
 */
void link_checksum_detect(struct virtio_net_hdr_v1 *hdr, const void *frame, unsigned long bytes);

#endif

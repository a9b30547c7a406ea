// SPDX-License-Identifier: GPL-2.0-only
/*
 * The check that keeps malformed frames out of the kernel.
 */
#include <endian.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "frame.h"

/* Newer than the headers may be. */
#ifndef VIRTIO_NET_HDR_GSO_UDP_L4
#define VIRTIO_NET_HDR_GSO_UDP_L4 5
#endif

/* Below it a 64 kB frame would be more segments than the kernel counts. */
#define GSO_SIZE_MIN 8

_Static_assert(sizeof(struct virtio_net_hdr_v1) == LKL_VNET_HDR, "vnet header layout");

static bool checksum_valid(const struct virtio_net_hdr_v1 *hdr, unsigned long frame_bytes)
{
	unsigned long end = (unsigned long)le16toh(hdr->csum_start) + le16toh(hdr->csum_offset) + 2;

	return !(hdr->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) ||
	       (le16toh(hdr->csum_start) >= 14 && end <= frame_bytes);
}

static bool segmentation_valid(const struct virtio_net_hdr_v1 *hdr, unsigned long frame_bytes)
{
	switch (hdr->gso_type) {
	case VIRTIO_NET_HDR_GSO_NONE:
		return true;
	case VIRTIO_NET_HDR_GSO_TCPV4:
	case VIRTIO_NET_HDR_GSO_TCPV6:
	case VIRTIO_NET_HDR_GSO_TCPV4 | VIRTIO_NET_HDR_GSO_ECN:
	case VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN:
	case VIRTIO_NET_HDR_GSO_UDP_L4:
		return le16toh(hdr->gso_size) >= GSO_SIZE_MIN &&
		       le16toh(hdr->hdr_len) <= frame_bytes;
	default:
		/* Not offered. */
		return false;
	}
}

bool link_frame_valid(const void *vnet_hdr, unsigned long bytes)
{
	const unsigned char known = VIRTIO_NET_HDR_F_NEEDS_CSUM | VIRTIO_NET_HDR_F_DATA_VALID;
	struct virtio_net_hdr_v1 hdr;

	if (bytes < LINK_FRAME_MIN || bytes > LKL_FRAME_MAX)
		return false;
	memcpy(&hdr, vnet_hdr, sizeof(hdr));
	return !(hdr.flags & ~known) && checksum_valid(&hdr, bytes - LKL_VNET_HDR) &&
	       segmentation_valid(&hdr, bytes - LKL_VNET_HDR);
}

unsigned long link_frame_room(const struct lkl_iovec *iov, int count)
{
	unsigned long room = 0;

	for (int i = 0; i < count; i++)
		room += iov[i].len;
	return room;
}

void link_frame_gather(void *to, const struct lkl_iovec *iov, int count)
{
	char *at = to;

	for (int i = 0; i < count; i++) {
		memcpy(at, iov[i].base, iov[i].len);
		at += iov[i].len;
	}
}

void link_frame_scatter(const struct lkl_iovec *iov, int count, const void *from,
			unsigned long bytes)
{
	const char *at = from;

	for (int i = 0; i < count && bytes; i++) {
		unsigned long part = bytes < iov[i].len ? bytes : iov[i].len;

		memcpy(iov[i].base, at, part);
		at += part;
		bytes -= part;
	}
}

long link_frame_received(struct link *link, const struct lkl_iovec *iov, int count, long bytes,
			 bool truncated)
{
	/* Truncated with all the room there can be: too long to be a frame. */
	if (truncated && link_frame_room(iov, count) < LKL_FRAME_MAX) {
		link_count(&link->counters.rx_dropped, 1);
		return -ENOBUFS;
	}
	if (truncated || !link_frame_valid(iov[0].base, (unsigned long)bytes)) {
		link_count(&link->counters.rx_malformed, 1);
		return -EBADMSG;
	}
	link_count_rx(link, (unsigned long)bytes);
	return bytes;
}

long link_frame_deliver(struct link *link, const struct lkl_iovec *iov, int count,
			const void *vnet_hdr, const void *frame, unsigned long bytes)
{
	unsigned long room = link_frame_room(iov, count), at = iov[0].len - LKL_VNET_HDR;
	unsigned long whole = bytes + LKL_VNET_HDR;

	memcpy(iov[0].base, vnet_hdr, LKL_VNET_HDR);
	if (whole > room)
		bytes = room - LKL_VNET_HDR;
	if (at > bytes)
		at = bytes;
	memcpy((char *)iov[0].base + LKL_VNET_HDR, frame, at);
	link_frame_scatter(iov + 1, count - 1, (const char *)frame + at, bytes - at);
	return link_frame_received(link, iov, count, (long)whole, whole > room);
}

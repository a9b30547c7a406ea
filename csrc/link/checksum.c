// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksums that are to be finished, found or done.
 */
#include "checksum.h"

#include <arpa/inet.h>
#include <endian.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <string.h>

#define IP4_MIN 20
#define IP6_BYTES 40
#define FRAGMENT_MASK 0x3fff /* of IPv4: more follow, or not the first */

/* Even counts only. */
static uint32_t sum_add(uint32_t sum, const uint8_t *data, unsigned long bytes)
{
	for (unsigned long i = 0; i < bytes; i += 2)
		sum += (uint32_t)data[i] << 8 | data[i + 1];
	return sum;
}

static uint16_t sum_fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)(sum + (sum >> 16));
}

static uint16_t read_16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

/* at: offset of the TCP or UDP header. */
static void transport_detect(struct virtio_net_hdr_v1 *hdr, const uint8_t *frame,
			     unsigned long bytes, unsigned long at, uint8_t protocol,
			     uint32_t addresses, unsigned long length)
{
	const unsigned offset = protocol == IPPROTO_TCP ? 16 : 6;

	if (protocol != IPPROTO_TCP && protocol != IPPROTO_UDP)
		return;
	if (at + offset + 2 > bytes || at + length > bytes ||
	    read_16(frame + at + offset) !=
		    sum_fold(addresses + protocol + (uint32_t)(length & 0xffff)))
		return;
	hdr->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
	hdr->csum_start = htole16((uint16_t)at);
	hdr->csum_offset = htole16((uint16_t)offset);
}

void link_checksum_detect(struct virtio_net_hdr_v1 *hdr, const void *frame, unsigned long bytes)
{
	const uint8_t *data = frame, *ip = data + ETH_HLEN;
	unsigned long header, total;

	if (bytes < ETH_HLEN + IP4_MIN)
		return;
	if (read_16(data + 12) == ETHERTYPE_IP) {
		header = (ip[0] & 0xfu) * 4;
		total = read_16(ip + 2);
		if (header >= IP4_MIN && total >= header && !(read_16(ip + 6) & FRAGMENT_MASK))
			transport_detect(hdr, data, bytes, ETH_HLEN + header, ip[9],
					 sum_add(0, ip + 12, 8), total - header);
	} else if (read_16(data + 12) == ETHERTYPE_IPV6 && bytes >= ETH_HLEN + IP6_BYTES) {
		transport_detect(hdr, data, bytes, ETH_HLEN + IP6_BYTES, ip[6],
				 sum_add(0, ip + 8, 32), read_16(ip + 4));
	}
}

/* Whatever the processor's order: the sum of bytes swapped is the sum swapped. */
uint16_t link_checksum_sum(const void *memory, unsigned long bytes)
{
	const uint8_t *data = memory;
	uint64_t low = 0, high = 0, word;

	for (; bytes >= sizeof(word); bytes -= sizeof(word), data += sizeof(word)) {
		memcpy(&word, data, sizeof(word));
		low += word & UINT32_MAX;
		high += word >> 32;
	}
	word = 0;
	memcpy(&word, data, bytes);
	low += (word & UINT32_MAX) + (word >> 32);
	low += high;
	low = (low & UINT32_MAX) + (low >> 32);
	low = (low & UINT32_MAX) + (low >> 32);
	return sum_fold((uint32_t)((low & 0xffff) + (low >> 16)));
}

/* From this offset on. Return: in memory's order. */
static uint16_t pieces_sum(const struct iovec *pieces, int count, unsigned long from)
{
	unsigned long summed = 0;
	uint32_t sum = 0;

	for (int i = 0; i < count; i++) {
		const unsigned long skip = from < pieces[i].iov_len ? from : pieces[i].iov_len;
		uint16_t part = link_checksum_sum((const uint8_t *)pieces[i].iov_base + skip,
						  pieces[i].iov_len - skip);

		sum += summed % 2 ? __builtin_bswap16(part) : part;
		summed += pieces[i].iov_len - skip;
		from -= skip;
	}
	return sum_fold(sum);
}

/* Puts two bytes in the place of those at this offset. Return: the number of pieces. */
static int pieces_replace(struct iovec *pieces, int count, unsigned long at, uint8_t with[2])
{
	struct iovec old;
	int i;

	for (i = 0; i < count && at >= pieces[i].iov_len; i++)
		at -= pieces[i].iov_len;
	/* A header is in one piece. */
	if (i == count || at + 2 > pieces[i].iov_len)
		return count;
	old = pieces[i];
	memmove(pieces + i + 3, pieces + i + 1, (size_t)(count - i - 1) * sizeof(*pieces));
	pieces[i] = (struct iovec){ old.iov_base, at };
	pieces[i + 1] = (struct iovec){ with, 2 };
	pieces[i + 2] = (struct iovec){ (char *)old.iov_base + at + 2, old.iov_len - at - 2 };
	return count + LINK_CHECKSUM_PIECES;
}

int link_checksum_finish(struct link_checksum *checksum, const struct lkl_iovec *iov, int count,
			 struct iovec *pieces)
{
	struct virtio_net_hdr_v1 hdr;
	uint16_t sum;

	memcpy(&hdr, iov[0].base, sizeof(hdr));
	for (int i = 0; i < count; i++)
		pieces[i] = (struct iovec){ iov[i].base, iov[i].len };
	pieces[0].iov_base = (char *)iov[0].base + LKL_VNET_HDR;
	pieces[0].iov_len -= LKL_VNET_HDR;
	if (!(hdr.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM))
		return count;
	sum = (uint16_t)~pieces_sum(pieces, count, le16toh(hdr.csum_start));
	/* Which UDP takes for none, and is the same number. */
	if (!sum)
		sum = 0xffff;
	memcpy(checksum->bytes, &sum, sizeof(sum));
	return pieces_replace(pieces, count, le16toh(hdr.csum_start) + le16toh(hdr.csum_offset),
			      checksum->bytes);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Checksums that are to be finished.
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
#define FRAGMENT_MASK 0x3fff	/* of IPv4: more follow, or not the first */

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

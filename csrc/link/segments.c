// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP segmentation, as a network card does it.
 */
#include "segments.h"

#include <endian.h>
#include <errno.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "checksum.h"
#include "frame.h"

#define VLAN_BYTES 4
#define IP4_BYTES 20
#define IP6_BYTES 40
#define TCP_MIN 20
#define AT_CHECKSUM 16 /* in TCP's header */
#define AT_FLAGS 13
#define FIN_PSH 0x09
#define CWR 0x80
/* Below it a frame would be more segments than anybody means; Linux has 48, less options. */
#define PAYLOAD_MIN 32

static uint16_t read_16(const uint8_t *at)
{
	return (uint16_t)(at[0] << 8 | at[1]);
}

static void write_16(uint8_t *at, uint16_t value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* Copies the next bytes of the frame, which has them. */
static void take(struct segments *segments, uint8_t *to, unsigned long bytes)
{
	segments->rest -= bytes;
	while (bytes) {
		unsigned long part = segments->iov->len - segments->offset;

		if (part > bytes)
			part = bytes;
		memcpy(to, (const uint8_t *)segments->iov->base + segments->offset, part);
		to += part;
		bytes -= part;
		segments->offset += part;
		if (segments->offset == segments->iov->len) {
			segments->iov++;
			segments->offset = 0;
		}
	}
}

static bool is_ip(const struct segments *segments, uint16_t type, uint16_t wanted)
{
	const unsigned kind = segments->vnet.gso_type & ~VIRTIO_NET_HDR_GSO_ECN;

	return type == wanted && kind == (wanted == ETHERTYPE_IP ? VIRTIO_NET_HDR_GSO_TCPV4 :
								   VIRTIO_NET_HDR_GSO_TCPV6);
}

/* Finds the headers, and takes them off the frame. Return: 0 or -EINVAL. */
static int headers_take(struct segments *segments)
{
	uint8_t *header = segments->header;
	unsigned long at = ETH_HLEN;
	uint16_t type;

	if (segments->rest < at + IP4_BYTES + TCP_MIN)
		return -EINVAL;
	take(segments, header, at);
	type = read_16(header + 12);
	if (type == ETHERTYPE_VLAN) {
		take(segments, header + at, VLAN_BYTES);
		at += VLAN_BYTES;
		type = read_16(header + at - 2);
	}
	segments->ip = at;
	segments->tcp = at + (type == ETHERTYPE_IP ? IP4_BYTES : IP6_BYTES);
	if (segments->rest < segments->tcp - at + TCP_MIN)
		return -EINVAL;
	take(segments, header + at, segments->tcp - at + TCP_MIN);
	/* The stack sends neither options of IPv4 nor extensions of IPv6 with TCP. */
	if (!(is_ip(segments, type, ETHERTYPE_IP) && header[at] == 0x45 &&
	      header[at + 9] == IPPROTO_TCP) &&
	    !(is_ip(segments, type, ETHERTYPE_IPV6) && header[at + 6] == IPPROTO_TCP))
		return -EINVAL;
	at = segments->tcp + TCP_MIN;
	segments->header_bytes = segments->tcp + (header[segments->tcp + 12] >> 4) * 4ul;
	if (segments->header_bytes < at || segments->rest <= segments->header_bytes - at)
		return -EINVAL;
	take(segments, header + at, segments->header_bytes - at);
	return 0;
}

int segments_begin(struct segments *segments, enum segments_checksums checksums,
		   const struct lkl_iovec *iov, int count)
{
	unsigned long bytes = link_frame_room(iov, count);

	if (bytes < LINK_FRAME_MIN || bytes > LKL_FRAME_MAX)
		return -EINVAL;
	memset(segments, 0, offsetof(struct segments, header));
	memcpy(&segments->vnet, iov[0].base, LKL_VNET_HDR);
	segments->checksums = checksums;
	segments->iov = iov;
	segments->offset = LKL_VNET_HDR;
	if (iov[0].len == LKL_VNET_HDR) {
		segments->iov++;
		segments->offset = 0;
	}
	segments->rest = bytes - LKL_VNET_HDR;
	if (segments->vnet.gso_type == VIRTIO_NET_HDR_GSO_NONE)
		return 0;
	segments->payload = le16toh(segments->vnet.gso_size);
	return segments->payload < PAYLOAD_MIN ? -EINVAL : headers_take(segments);
}

/* Length, identification, and checksum of IPv4's header, or length of IPv6's. */
static void ip_set(const struct segments *segments, uint8_t *to, unsigned long bytes)
{
	uint8_t *ip = to + segments->ip;
	uint16_t sum;

	if (ip[0] >> 4 == 6) {
		write_16(ip + 4, (uint16_t)(bytes - segments->tcp));
		return;
	}
	write_16(ip + 2, (uint16_t)(bytes - segments->ip));
	write_16(ip + 4, (uint16_t)(read_16(ip + 4) + segments->number));
	write_16(ip + 10, 0);
	sum = (uint16_t)~link_checksum_sum(ip, IP4_BYTES);
	memcpy(ip + 10, &sum, sizeof(sum));
}

/* Sequence number, flags, and the sum of the pseudo-header: an unfinished checksum. */
static void tcp_set(const struct segments *segments, uint8_t *to, unsigned long bytes)
{
	const uint8_t *ip = to + segments->ip;
	const bool v6 = ip[0] >> 4 == 6;
	uint8_t *tcp = to + segments->tcp;
	uint16_t sum, pseudo[3];
	uint32_t sequence;

	memcpy(&sequence, tcp + 4, sizeof(sequence));
	sequence = htobe32(be32toh(sequence) + segments->done);
	memcpy(tcp + 4, &sequence, sizeof(sequence));
	if (segments->rest)
		tcp[AT_FLAGS] &= (uint8_t)~FIN_PSH;
	if (segments->number)
		tcp[AT_FLAGS] &= (uint8_t)~CWR;
	pseudo[0] = link_checksum_sum(ip + (v6 ? 8 : 12), v6 ? 32 : 8);
	pseudo[1] = htobe16(IPPROTO_TCP);
	pseudo[2] = htobe16((uint16_t)(bytes - segments->tcp));
	sum = link_checksum_sum(pseudo, sizeof(pseudo));
	memcpy(tcp + AT_CHECKSUM, &sum, sizeof(sum));
}

/* An unfinished checksum that nobody would see is finished. */
static void checksum_finish(const struct segments *segments, uint8_t *frame, unsigned long bytes,
			    unsigned long start, unsigned long offset)
{
	struct virtio_net_hdr_v1 seen = { 0 };
	uint16_t sum;

	if (segments->checksums == SEGMENTS_UNFINISHED)
		link_checksum_detect(&seen, frame, bytes);
	if (seen.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM || start + offset + 2 > bytes)
		return;
	sum = (uint16_t)~link_checksum_sum(frame + start, bytes - start);
	/* Zero would be none, with UDP; for TCP it is the same. */
	if (!sum)
		sum = 0xffff;
	memcpy(frame + start + offset, &sum, sizeof(sum));
}

unsigned long segments_next(struct segments *segments, uint8_t *to)
{
	unsigned long part = segments->rest, bytes;

	if (!part)
		return 0;
	if (!segments->payload) {
		take(segments, to, part);
		if (segments->vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
			checksum_finish(segments, to, part, le16toh(segments->vnet.csum_start),
					le16toh(segments->vnet.csum_offset));
		return part;
	}
	if (part > segments->payload)
		part = segments->payload;
	bytes = segments->header_bytes + part;
	memcpy(to, segments->header, segments->header_bytes);
	take(segments, to + segments->header_bytes, part);
	ip_set(segments, to, bytes);
	tcp_set(segments, to, bytes);
	if (segments->checksums == SEGMENTS_FINISHED || segments->ip != ETH_HLEN)
		checksum_finish(segments, to, bytes, segments->tcp, AT_CHECKSUM);
	segments->done += (uint32_t)part;
	segments->number++;
	return bytes;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Long TCP frames through a tunnel, and checksums.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>

#include "tunnel_place.h"

/* A TSO frame over TCP. Return: bytes, vnet header included. */
static unsigned long tso_make(char *frame, bool v6, unsigned long payload, unsigned mss)
{
	const unsigned ip_bytes = v6 ? 40 : 20, header = 14 + ip_bytes + 20;
	struct virtio_net_hdr_v1 vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 : VIRTIO_NET_HDR_GSO_TCPV4,
		.gso_size = (uint16_t)mss,
		.hdr_len = (uint16_t)header,
		.csum_start = (uint16_t)(14 + ip_bytes),
		.csum_offset = 16,
	};
	unsigned long bytes = frame_between(frame, true, header + payload, (unsigned)payload);
	unsigned char *ip = (unsigned char *)frame + LKL_VNET_HDR + 14, *tcp = ip + ip_bytes;

	memcpy(frame, &vnet, sizeof(vnet));
	ip[-2] = v6 ? 0x86 : 0x08;
	ip[-1] = v6 ? 0xdd : 0x00;
	if (v6) {
		memset(ip, 0, 8);
		ip[0] = 0x60;
		ip[6] = IPPROTO_TCP;
	} else {
		memset(ip, 0, 12);
		ip[0] = 0x45;
		ip[5] = 250;
		ip[6] = 0x40;
		ip[9] = IPPROTO_TCP;
	}
	memset(tcp + 4, 0xff, 4); /* it wraps */
	tcp[12] = 0x50;
	tcp[13] = 0x99; /* CWR ACK PSH FIN */
	return bytes;
}

static unsigned sum_16(const unsigned char *data, unsigned long bytes, unsigned sum)
{
	for (unsigned long i = 0; i < bytes; i++)
		sum += (unsigned)data[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void segment_check(const unsigned char *frame, bool v6, unsigned index, bool last,
			  unsigned long part)
{
	const struct virtio_net_hdr_v1 *vnet = (const void *)frame;
	const unsigned char *ip = frame + LKL_VNET_HDR + 14, *tcp = ip + (v6 ? 40 : 20);
	const unsigned long length = part + (v6 ? 20 : 40);
	uint32_t sequence;

	EXPECT_EQ(vnet->flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	EXPECT_EQ(vnet->csum_start, tcp - frame - LKL_VNET_HDR);
	if (v6) {
		EXPECT_EQ(ip[4] << 8 | ip[5], length);
	} else {
		EXPECT_EQ(ip[2] << 8 | ip[3], length);
		EXPECT_EQ(ip[4] << 8 | ip[5], 250 + index);
		EXPECT_EQ(sum_16(ip, 20, 0), 0xffff);
	}
	memcpy(&sequence, tcp + 4, 4);
	EXPECT_EQ(ntohl(sequence), 0xffffffffu + index * 1000u);
	EXPECT_EQ(tcp[13], 0x10 | (index ? 0 : 0x80) | (last ? 0x09 : 0));
	EXPECT_EQ(tcp[16] << 8 | tcp[17],
		  sum_16(ip + (v6 ? 8 : 12), v6 ? 32 : 8, (unsigned)(part + 20) + IPPROTO_TCP));
}

static void long_tcp_frames_arrive_in_segments(void)
{
	static char sent[LKL_FRAME_MAX];
	const unsigned long sizes[] = { 2500, 1001, 64000, 65000 };

	pair_open();
	for (unsigned i = 0; i < 8; i++) {
		const bool v6 = i % 2;
		const unsigned long header = LKL_VNET_HDR + 34 + (v6 ? 40 : 20);
		unsigned long payload = sizes[i / 2], done = 0, bytes;

		bytes = tso_make(sent, v6, payload, 1000);
		EXPECT_EQ(frame_send(client.link, sent, bytes), bytes);
		for (unsigned k = 0; done < payload; k++) {
			unsigned long part = payload - done < 1000 ? payload - done : 1000;

			UNTIL(gateway.bytes);
			EXPECT_EQ(gateway.bytes, header + part);
			segment_check((unsigned char *)gateway.frame, v6, k, done + part == payload,
				      part);
			EXPECT(!memcmp(gateway.frame + header, sent + header + done, part));
			gateway.bytes = 0;
			done += part;
		}
	}
	place_close();
}

static void frame_that_cannot_be_cut_up_is_lost_and_counted(void)
{
	static char sent[LKL_FRAME_MAX];
	unsigned long bytes;

	pair_open();
	bytes = tso_make(sent, false, 3000, 1000);
	sent[LKL_VNET_HDR + 14] = 0x46;
	EXPECT_EQ(frame_send(client.link, sent, bytes), -EINVAL);
	bytes = tso_make(sent, false, 3000, 1);
	EXPECT_EQ(frame_send(client.link, sent, bytes), -EINVAL);
	for (unsigned long cut_to = LKL_VNET_HDR + 14; cut_to < LKL_VNET_HDR + 54; cut_to++) {
		tso_make(sent, false, 3000, 1000);
		EXPECT_EQ(frame_send(client.link, sent, cut_to), -EINVAL);
	}
	EXPECT_EQ(client.link->counters.tx_dropped, 42);
	place_close();
}

/* Of a protocol that the other end does not look for. */
static void unfinished_checksum_that_nobody_sees_is_finished(void)
{
	static char sent[LKL_FRAME_MAX];
	struct virtio_net_hdr_v1 vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.csum_start = 34,
		.csum_offset = 6,
	};
	unsigned char *body = (unsigned char *)sent + LKL_VNET_HDR;
	unsigned long bytes;

	pair_open();
	bytes = frame_between(sent, true, 101, 1);
	memcpy(sent, &vnet, sizeof(vnet));
	body[12] = 0x88;
	EXPECT_EQ(frame_send(client.link, sent, bytes), bytes);
	UNTIL(gateway.bytes);
	EXPECT_EQ(sum_16((unsigned char *)gateway.frame + LKL_VNET_HDR + 34, 101 - 34,
			 (unsigned)(body[40] << 8 | body[41])),
		  0xffff);
	place_close();
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(long_tcp_frames_arrive_in_segments, 30);
	CASE(frame_that_cannot_be_cut_up_is_lost_and_counted, 20);
	CASE(unfinished_checksum_that_nobody_sees_is_finished, 20);
	host_io_stop();
	return 0;
}

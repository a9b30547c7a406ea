// SPDX-License-Identifier: GPL-2.0-only
/* Malformed frames: dropped and counted, never handed up. */
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/socket.h>

#include "double.h"
#include "expect.h"
#include "link/frame.h"

#define FRAMES 10000u

static char frame[LKL_FRAME_MAX + 64], got[LKL_FRAME_MAX];
static struct virtio_net_hdr_v1 header;

static unsigned random_next(unsigned *seed)
{
	*seed = *seed * 1664525u + 1013904223u;
	return *seed >> 8;
}

/* Return: bytes; never a valid frame. */
static unsigned long malformed_make(unsigned *seed)
{
	unsigned long bytes;

	do {
		unsigned size = random_next(seed) % 4;

		bytes = size == 0 ? random_next(seed) % LINK_FRAME_MIN :
			size == 1 ? LKL_FRAME_MAX + 1 + random_next(seed) % 32 :
				    random_next(seed) % 2000;
		frame_make(frame, bytes > LKL_VNET_HDR ? bytes - LKL_VNET_HDR : 0,
			   random_next(seed));
		for (int i = 0; i < LKL_VNET_HDR; i++)
			frame[i] = (char)random_next(seed);
	} while (bytes && link_frame_valid(frame, bytes));
	return bytes;
}

static void valid(bool expected, unsigned long bytes)
{
	EXPECT_EQ(link_frame_valid(&header, bytes), expected);
}

static void check_knows_each_field(void)
{
	header = (struct virtio_net_hdr_v1){ 0 };
	valid(true, 26);
	valid(false, 25);
	valid(false, 0);
	valid(true, LKL_FRAME_MAX);
	valid(false, LKL_FRAME_MAX + 1);

	header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
	valid(true, 26);
	header.flags = 0x80;
	valid(false, 26);

	header = (struct virtio_net_hdr_v1){ .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM };
	header.csum_start = 34;
	header.csum_offset = 16;
	valid(true, 12 + 52);
	valid(false, 12 + 51);
	header.csum_start = 13;
	valid(false, 12 + 100);
	header.csum_start = 0xffff;
	header.csum_offset = 0xffff;
	valid(false, LKL_FRAME_MAX);

	header = (struct virtio_net_hdr_v1){ .gso_type = VIRTIO_NET_HDR_GSO_TCPV4 };
	valid(false, 2000);
	header.gso_size = 1448;
	header.hdr_len = 66;
	valid(true, 2000);
	header.gso_type |= VIRTIO_NET_HDR_GSO_ECN;
	valid(true, 2000);
	header.hdr_len = 60000;
	valid(false, 2000);
	header.hdr_len = 66;
	header.gso_size = 1;
	valid(false, 2000);
	header.gso_size = 1448;
	header.gso_type = VIRTIO_NET_HDR_GSO_TCPV6;
	valid(true, 2000);
	header.gso_type = VIRTIO_NET_HDR_GSO_UDP;
	valid(false, 2000);
	header.gso_type = VIRTIO_NET_HDR_GSO_ECN;
	valid(false, 2000);
}

static void memory_link_drops_and_counts_them(void)
{
	struct upper_double upper;
	struct link *ends[2];
	unsigned seed = 1;

	EXPECT_EQ(link_memory_pair(4, ends), 0);
	upper_double_set(&upper, ends[0]);
	for (unsigned i = 0; i < FRAMES; i++) {
		EXPECT_EQ(link_memory_inject(ends[0], frame, malformed_make(&seed)), 0);
		EXPECT_EQ(frame_await(ends[0], &upper, got), -EBADMSG);
	}
	EXPECT_EQ(ends[0]->counters.rx_malformed, FRAMES);
	EXPECT_EQ(ends[0]->counters.rx_frames, 0);
	ends[0]->ops->close(ends[0]);
	ends[1]->ops->close(ends[1]);
}

static void wire_drops_and_counts_them(void)
{
	unsigned long bytes;
	struct upper_double upper;
	struct link *link;
	unsigned seed = 2;
	int fds[2];

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, fds), 0);
	EXPECT_EQ(link_wire_open(fds[0], &link), 0);
	upper_double_set(&upper, link);
	for (unsigned i = 0; i < FRAMES; i++) {
		bytes = malformed_make(&seed);
		EXPECT_EQ(send(fds[1], frame, bytes, 0), bytes);
		EXPECT_EQ(frame_await(link, &upper, got), -EBADMSG);
	}
	EXPECT_EQ(link->counters.rx_malformed, FRAMES);
	EXPECT_EQ(link->counters.rx_frames, 0);
	/* And it still works. */
	bytes = frame_make(frame, 60, 1);
	EXPECT_EQ(send(fds[1], frame, bytes, 0), bytes);
	EXPECT_EQ(frame_await(link, &upper, got), bytes);
	EXPECT(!(upper_double_events(&upper) & LKL_NET_DOWN));
	link->ops->close(link);
	close(fds[1]);
}

int main(void)
{
	EXPECT_EQ(host_io_start(), 0);
	CASE(check_knows_each_field, 20);
	CASE(memory_link_drops_and_counts_them, 120);
	CASE(wire_drops_and_counts_them, 120);
	host_io_stop();
	return 0;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Long TCP frames cut up for an end that is not ours, checksums and all: each segment, and as the
 * other end of a VXLAN link gets them over loopback.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <netinet/in.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "double.h"
#include "expect.h"
#include "link/segments.h"
#include "link/volley.h"

#define VXLAN_HDR 8
#define TCP_BYTES 32u /* with a timestamp */
#define FIN_PSH_ACK 0x19u
#define CWR 0x80u

static char frame[LKL_FRAME_MAX], got[65536];

static unsigned seed_;

static unsigned any(unsigned below)
{
	seed_ = seed_ * 1664525u + 1013904223u;
	return (seed_ >> 8) % below;
}

static uint32_t sum_of(const void *data, unsigned long bytes, uint32_t sum)
{
	const uint8_t *at = data;

	for (unsigned long i = 0; i < bytes; i++)
		sum += (uint32_t)at[i] << (i % 2 ? 0 : 8);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static unsigned get(const char *at, unsigned bytes)
{
	unsigned value = 0;

	for (unsigned i = 0; i < bytes; i++)
		value = value << 8 | (uint8_t)at[i];
	return value;
}

static unsigned long tcp_at(bool v6)
{
	return 14 + (v6 ? 40 : 20);
}

/* Return: bytes, vnet header included. */
static unsigned long long_frame_make(bool v6, unsigned long carried, unsigned size)
{
	const unsigned long tcp = tcp_at(v6), bytes = tcp + TCP_BYTES + carried;
	const struct virtio_net_hdr_v1 header = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = v6 ? VIRTIO_NET_HDR_GSO_TCPV6 | VIRTIO_NET_HDR_GSO_ECN :
				 VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = htole16(tcp + TCP_BYTES),
		.gso_size = htole16(size),
		.csum_start = htole16(tcp),
		.csum_offset = htole16(16),
	};
	char *body = frame + LKL_VNET_HDR;

	frame_make(frame, bytes, any(1 << 20));
	memcpy(frame, &header, sizeof(header));
	body[12] = v6 ? (char)0x86 : 8;
	body[13] = v6 ? (char)0xdd : 0;
	body[14] = v6 ? 0x60 : 0x45;
	body[v6 ? 20 : 23] = IPPROTO_TCP;
	body[tcp + 12] = TCP_BYTES / 4 << 4;
	body[tcp + 13] = (char)(FIN_PSH_ACK | CWR);
	return LKL_VNET_HDR + bytes;
}

/* One segment, which carries what the frame does at this offset. */
static void expect_segment(const char *segment, unsigned long bytes, bool v6, unsigned number,
			   unsigned long at, bool last)
{
	const unsigned long tcp = tcp_at(v6), carried = bytes - tcp - TCP_BYTES;
	const char *whole = frame + LKL_VNET_HDR;
	uint32_t pseudo;

	EXPECT(!memcmp(segment + tcp + TCP_BYTES, whole + tcp + TCP_BYTES + at, carried));
	EXPECT(!memcmp(segment, whole, 16));
	if (v6) {
		EXPECT_EQ(get(segment + 18, 2), bytes - 14 - 40);
		EXPECT(!memcmp(segment + 20, whole + 20, 34));
	} else {
		EXPECT_EQ(get(segment + 16, 2), bytes - 14);
		EXPECT_EQ(get(segment + 18, 2), (get(whole + 18, 2) + number) & 0xffff);
		EXPECT_EQ(sum_of(segment + 14, 20, 0), 0xffff);
		EXPECT(!memcmp(segment + 26, whole + 26, 8));
	}
	EXPECT_EQ(get(segment + tcp + 4, 4), get(whole + tcp + 4, 4) + (unsigned)at);
	EXPECT_EQ((uint8_t)segment[tcp + 13], (last ? FIN_PSH_ACK : 0x10u) | (at ? 0 : CWR));
	/* Ports, acknowledgement, window, urgent pointer and options. */
	EXPECT(!memcmp(segment + tcp, whole + tcp, 4));
	EXPECT(!memcmp(segment + tcp + 8, whole + tcp + 8, 5));
	EXPECT(!memcmp(segment + tcp + 14, whole + tcp + 14, 2));
	EXPECT(!memcmp(segment + tcp + 18, whole + tcp + 18, TCP_BYTES - 18));
	pseudo = sum_of(segment + (v6 ? 22 : 26), v6 ? 32 : 8, IPPROTO_TCP);
	EXPECT_EQ(sum_of(segment + tcp, bytes - tcp, pseudo + (uint32_t)(bytes - tcp)), 0xffff);
}

/* In pieces as the kernel has them, and others. Return: their number. */
static int pieces_make(struct lkl_iovec *iov, char *of, unsigned long bytes)
{
	unsigned long at = LKL_VNET_HDR + any(60);
	int count = 1;

	if (at > bytes)
		at = bytes;
	iov[0] = (struct lkl_iovec){ of, at };
	while (at < bytes) {
		unsigned long part = count == 15 ? bytes - at : 1 + any(40000);

		if (part > bytes - at)
			part = bytes - at;
		iov[count++] = (struct lkl_iovec){ of + at, part };
		at += part;
	}
	return count;
}

/* Each in memory of its own, which has no byte too many. Return: false: there is none left. */
static bool segment_next(struct segments *segments, char **segment, unsigned long *bytes)
{
	*segment = malloc(segments_bytes_max(segments) + 1);
	*bytes = segments_next(segments, (uint8_t *)*segment);
	EXPECT(*bytes <= segments_bytes_max(segments) || !segments->rest);
	if (!*bytes)
		free(*segment);
	return *bytes;
}

static void frame_of_any_size_is_cut_into_whole_segments(void)
{
	for (unsigned i = 0; i < rounds(1000); i++) {
		bool v6 = any(2);
		unsigned size = any(4) ? 500 + any(1000) : 32 + any(9000), number = 0;
		unsigned long carried = 1 + any(any(4) ? 60000 : 3000), at = 0, bytes;
		struct lkl_iovec iov[20];
		struct segments segments;
		char *segment;
		int count;

		bytes = long_frame_make(v6, carried, size);
		count = pieces_make(iov, frame, bytes);
		EXPECT_EQ(segments_begin(&segments, SEGMENTS_FINISHED, iov, count), 0);
		for (; segment_next(&segments, &segment, &bytes); number++) {
			unsigned long part = carried - at < size ? carried - at : size;

			EXPECT_EQ(bytes, tcp_at(v6) + TCP_BYTES + part);
			expect_segment(segment, bytes, v6, number, at, at + part == carried);
			at += part;
			free(segment);
		}
		EXPECT_EQ(at, carried);
	}
}

/* Whatever is made of it, no byte beyond it is read, and none beyond a segment written. */
static void frame_that_is_not_what_it_says_harms_nothing(void)
{
	for (unsigned i = 0; i < rounds(5000); i++) {
		unsigned long bytes = long_frame_make(any(2), 1 + any(3000), 1 + any(2000)), out;
		struct virtio_net_hdr_v1 header;
		struct lkl_iovec iov[20];
		struct segments segments;
		char *copy, *segment;

		memcpy(&header, frame, sizeof(header));
		switch (any(5)) {
		case 0:
			header.csum_start = htole16(any(8000));
			if (any(2))
				header.gso_type = VIRTIO_NET_HDR_GSO_NONE;
			break;
		case 1:
			header.gso_type = (uint8_t)any(256);
			break;
		case 2:
			header.gso_size = htole16(any(64));
			break;
		case 3:
			header.flags = (uint8_t)any(2);
			break;
		}
		memcpy(frame, &header, sizeof(header));
		if (any(2))
			frame[LKL_VNET_HDR + any(80)] = (char)any(256);
		bytes = LKL_VNET_HDR + any((unsigned)(bytes - LKL_VNET_HDR) + 1);
		copy = malloc(bytes);
		memcpy(copy, frame, bytes);
		if (!segments_begin(&segments, SEGMENTS_FINISHED, iov,
				    pieces_make(iov, copy, bytes)))
			while (segment_next(&segments, &segment, &out))
				free(segment);
		free(copy);
	}
}

static struct link *vxlan;
static struct upper_double upper;
static int far;

static void vxlan_open(void)
{
	struct sockaddr_in name = { .sin_family = AF_INET };
	socklen_t bytes = sizeof(name);
	struct link_vxlan settings = { .device = "", .vni = 7 };
	int near;

	name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	near = socket(AF_INET, SOCK_DGRAM, 0);
	far = socket(AF_INET, SOCK_DGRAM, 0);
	for (int i = 0; i < 2; i++) {
		name.sin_port = 0;
		EXPECT_EQ(bind(i ? far : near, (struct sockaddr *)&name, bytes), 0);
		EXPECT_EQ(getsockname(i ? far : near, (struct sockaddr *)&name, &bytes), 0);
		if (!i)
			settings.local_port = ntohs(name.sin_port);
	}
	close(near);
	memcpy(&settings.remote, &name, sizeof(name));
	name.sin_port = 0;
	memcpy(&settings.source, &name, sizeof(name));
	EXPECT_EQ(link_vxlan_open(&settings, &vxlan), 0);
	upper_double_set(&upper, vxlan);
}

static void vxlan_close(void)
{
	vxlan->ops->close(vxlan);
	close(far);
}

/* Return: bytes of the frame in got + VXLAN_HDR. */
static unsigned long datagram_await(void)
{
	long bytes = recv(far, got, sizeof(got), 0);

	EXPECT(bytes > VXLAN_HDR);
	EXPECT_EQ(get(got, 4), 0x08000000);
	EXPECT_EQ(get(got + 4, 4), 7 << 8);
	return (unsigned long)bytes - VXLAN_HDR;
}

static void vxlan_link_sends_the_segments(void)
{
	vxlan_open();
	EXPECT_EQ(vxlan->features, LKL_NET_CSUM | LKL_NET_TSO);
	for (unsigned i = 0; i < rounds(200); i++) {
		bool v6 = any(2);
		unsigned size = 500 + any(8000), number = 0;
		unsigned long carried = 1 + any(60000);
		unsigned long bytes = long_frame_make(v6, carried, size);

		EXPECT_EQ(frame_send(vxlan, frame, bytes), bytes);
		for (unsigned long at = 0; at < carried; at += size)
			expect_segment(got + VXLAN_HDR, datagram_await(), v6, number++, at,
				       at + size >= carried);
	}
	EXPECT(vxlan->ops->idle(vxlan));
	EXPECT_EQ(vxlan->counters.tx_frames, rounds(200));
	EXPECT_EQ(vxlan->counters.tx_dropped, 0);
	vxlan_close();
}

/* Also where an end of ours would see that it is not finished. */
static void checksum_of_a_short_frame_is_finished(void)
{
	vxlan_open();
	for (unsigned i = 0; i < rounds(200); i++) {
		bool v6 = any(2);
		const unsigned long tcp = tcp_at(v6), carried = 1 + any(1400);
		unsigned long bytes = long_frame_make(v6, carried, 0), length = TCP_BYTES + carried;
		char *body = frame + LKL_VNET_HDR;
		uint32_t pseudo;

		frame[1] = VIRTIO_NET_HDR_GSO_NONE;
		body[v6 ? 18 : 16] = (char)((length + (v6 ? 0 : 20)) >> 8);
		body[v6 ? 19 : 17] = (char)(length + (v6 ? 0 : 20));
		pseudo = sum_of(body + (v6 ? 22 : 26), v6 ? 32 : 8, IPPROTO_TCP + (uint32_t)length);
		body[tcp + 16] = (char)(pseudo >> 8);
		body[tcp + 17] = (char)pseudo;
		EXPECT_EQ(frame_send(vxlan, frame, bytes), bytes);
		EXPECT_EQ(datagram_await(), bytes - LKL_VNET_HDR);
		EXPECT_EQ(sum_of(got + VXLAN_HDR + tcp, length, pseudo), 0xffff);
	}
	vxlan_close();
}

static void refusing_end_loses_no_segments(void)
{
	unsigned long bytes = long_frame_make(false, 60000, 1000);

	vxlan_open();
	close(far);
	for (unsigned i = 0; i < 20; i++)
		EXPECT_EQ(frame_send(vxlan, frame, bytes), bytes);
	EXPECT(vxlan->counters.path_errors > 0);
	EXPECT_EQ(vxlan->counters.tx_dropped, 0);
	far = socket(AF_INET, SOCK_DGRAM, 0);
	vxlan_close();
}

/* Return: how many datagrams were there. */
static unsigned datagrams_take(void)
{
	unsigned count = 0;

	while (recv(far, got, sizeof(got), MSG_DONTWAIT) > 0)
		count++;
	return count;
}

/* The interface is slower than we are, so the socket fills. */
static void what_finds_no_room_is_held_and_leaves_by_itself(void)
{
	unsigned long bytes = long_frame_make(false, 60000, 1000);
	const int plenty = 64 << 20;
	struct lkl_iovec room = { got, sizeof(got) };
	unsigned frames = 0, came = 0;

	vxlan_open();
	EXPECT_EQ(setsockopt(far, SOL_SOCKET, SO_RCVBUFFORCE, &plenty, sizeof(plenty)), 0);
	EXPECT_EQ(system("tc qdisc add dev lo root tbf rate 20mbit burst 128kb limit 99999999"), 0);
	while (frame_send(vxlan, frame, bytes) != -EAGAIN) {
		EXPECT(++frames < 10000);
		came += datagrams_take();
	}
	EXPECT(!vxlan->ops->idle(vxlan));
	EXPECT_EQ(system("tc qdisc change dev lo root tbf rate 1gbit burst 128kb limit 99999999"),
		  0);
	/* Nobody polls, and nobody sends. */
	while (came < frames * 60) {
		came += datagrams_take();
		if (upper_double_events(&upper) & LKL_NET_RX)
			EXPECT_EQ(vxlan->ops->rx(vxlan, &room, 1), -EAGAIN);
	}
	EXPECT(vxlan->ops->idle(vxlan));
	EXPECT_EQ(vxlan->counters.tx_frames, frames);
	EXPECT_EQ(vxlan->counters.tx_dropped, 0);
	EXPECT_EQ(system("tc qdisc del dev lo root"), 0);
	vxlan_close();
}

static void narrower_path_lowers_the_mtu_and_shorter_segments_pass(void)
{
	unsigned long bytes = long_frame_make(false, 60000, 2000);

	vxlan_open();
	EXPECT_EQ(system("ip link set lo mtu 1500"), 0);
	EXPECT_EQ(frame_send(vxlan, frame, bytes), -EMSGSIZE);
	EXPECT_EQ(vxlan->mtu, 1450);
	EXPECT_EQ(vxlan->counters.tx_too_long, 1);
	bytes = long_frame_make(false, 60000, 1450 - 20 - TCP_BYTES);
	EXPECT_EQ(frame_send(vxlan, frame, bytes), bytes);
	EXPECT_EQ(datagram_await(), 1450 + 14);
	EXPECT_EQ(system("ip link set lo mtu 65536"), 0);
	vxlan_close();
}

/* Without a checksum, which Linux asks for where it cuts. */
static void datagrams_that_the_host_refuses_together_leave_one_by_one(void)
{
	const struct udp_way connected = { 0 };
	const int off = 1;
	struct sockaddr_in name;
	socklen_t length = sizeof(name);
	struct volley *volley;
	int near;

	vxlan_open();
	near = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	EXPECT_EQ(getsockname(far, (struct sockaddr *)&name, &length), 0);
	EXPECT_EQ(connect(near, (struct sockaddr *)&name, length), 0);
	EXPECT_EQ(setsockopt(near, SOL_SOCKET, SO_NO_CHECK, &off, sizeof(off)), 0);
	volley = volley_new(near, NULL);
	volley_begin(volley, &connected);
	for (int i = 0; i < 6; i++) {
		memset(volley_room(volley, 100), i, 100);
		volley_add(volley, i < 5 ? 100 : 50);
	}
	EXPECT_EQ(volley_send(volley), 0);
	EXPECT(!volley_held(volley));
	for (int i = 0; i < 6; i++) {
		EXPECT_EQ(recv(far, got, sizeof(got), MSG_DONTWAIT), i < 5 ? 100 : 50);
		EXPECT_EQ(got[0], i);
		EXPECT_EQ(got[49], i);
	}
	volley_free(volley);
	close(near);
	vxlan_close();
}

int main(void)
{
	if (geteuid() || unshare(CLONE_NEWNET) || system("ip link set lo up")) {
		puts("needs root, network namespaces, ip and tc: apt install iproute2");
		return SKIP_CODE;
	}
	seed_ = 1;
	EXPECT_EQ(host_io_start(), 0);
	CASE(frame_of_any_size_is_cut_into_whole_segments, 120);
	CASE(frame_that_is_not_what_it_says_harms_nothing, 60);
	CASE(vxlan_link_sends_the_segments, 60);
	CASE(checksum_of_a_short_frame_is_finished, 30);
	CASE(refusing_end_loses_no_segments, 30);
	CASE(what_finds_no_room_is_held_and_leaves_by_itself, 60);
	CASE(datagrams_that_the_host_refuses_together_leave_one_by_one, 20);
	CASE(narrower_path_lowers_the_mtu_and_shorter_segments_pass, 30);
	host_io_stop();
	return 0;
}

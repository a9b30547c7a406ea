// SPDX-License-Identifier: GPL-2.0-only
/*
 * The VXLAN link over loopback: the test is the other end. Both families; no privilege, but for
 * the cases that change an interface, which have a network namespace that goes with the process.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>

#include "double.h"
#include "expect.h"
#include "link/checksum.h"

#define VNI 0x123456u
#define HDR 8

static char sent[LKL_FRAME_MAX], got[LKL_FRAME_MAX], datagram[65536];

static struct link *vxlan;
static struct upper_double upper;
static struct link_vxlan settings;
static int far, family;

static struct sockaddr_storage address(uint16_t port, const char *text4, const char *text6)
{
	struct sockaddr_storage out = { .ss_family = (sa_family_t)family };

	if (family == AF_INET)
		inet_pton(AF_INET, text4, &((struct sockaddr_in *)&out)->sin_addr);
	else
		inet_pton(AF_INET6, text6, &((struct sockaddr_in6 *)&out)->sin6_addr);
	((struct sockaddr_in *)&out)->sin_port = htons(port);
	return out;
}

static socklen_t address_bytes(void)
{
	return family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);
}

static int udp_open(const char *text4, const char *text6, uint16_t *port)
{
	struct sockaddr_storage name = address(0, text4, text6);
	socklen_t bytes = sizeof(name);
	int fd = socket(family, SOCK_DGRAM, 0);

	EXPECT_EQ(bind(fd, (struct sockaddr *)&name, address_bytes()), 0);
	EXPECT_EQ(getsockname(fd, (struct sockaddr *)&name, &bytes), 0);
	*port = ntohs(((struct sockaddr_in *)&name)->sin_port);
	return fd;
}

/* The other end, and a link to it. */
static void vxlan_open(void)
{
	uint16_t far_port, near_port;
	int fd = udp_open("127.0.0.1", "::1", &near_port);

	close(fd);
	far = udp_open("127.0.0.1", "::1", &far_port);
	settings = (struct link_vxlan){
		.remote = address(far_port, "127.0.0.1", "::1"),
		.source = address(0, "127.0.0.1", "::1"),
		.local_port = near_port,
		.device = "",
		.vni = VNI,
	};
	EXPECT_EQ(link_vxlan_open(&settings, &vxlan), 0);
	EXPECT(vxlan->carrier);
	upper_double_set(&upper, vxlan);
}

static void vxlan_close(void)
{
	vxlan->ops->close(vxlan);
	close(far);
}

/* From the other end, or from another socket. */
static void datagram_send(int fd, const void *data, unsigned long bytes)
{
	struct sockaddr_storage to = address(settings.local_port, "127.0.0.1", "::1");

	EXPECT_EQ(sendto(fd, data, bytes, 0, (struct sockaddr *)&to, address_bytes()), bytes);
}

/* Return: bytes of the datagram; its frame is that of seed. */
static unsigned long datagram_make(unsigned long body_bytes, unsigned seed)
{
	const unsigned char header[HDR] = { 8, 0, 0, 0, VNI >> 16, VNI >> 8 & 0xff, VNI & 0xff, 0 };

	frame_make(sent, body_bytes, seed);
	memcpy(datagram, header, HDR);
	memcpy(datagram + HDR, sent + LKL_VNET_HDR, body_bytes);
	return body_bytes + HDR;
}

static void frames_pass_both_ways_intact(void)
{
	const unsigned long sizes[] = { 14, 60, 1500, 9000 };

	vxlan_open();
	EXPECT_EQ(vxlan->mtu, family == AF_INET ? 65535 - 50 : 65535 - 70);
	for (unsigned i = 0; i < 200; i++) {
		unsigned long bytes = datagram_make(sizes[i % 4], i);

		EXPECT_EQ(frame_send(vxlan, sent, bytes - HDR + LKL_VNET_HDR),
			  bytes - HDR + LKL_VNET_HDR);
		EXPECT_EQ(recv(far, got, sizeof(got), 0), bytes);
		EXPECT(!memcmp(got, datagram, bytes));
		datagram_send(far, datagram, bytes);
		EXPECT_EQ(frame_await(vxlan, &upper, got), bytes - HDR + LKL_VNET_HDR);
		EXPECT(!memcmp(got, sent, bytes - HDR + LKL_VNET_HDR));
	}
	EXPECT_EQ(vxlan->counters.tx_frames, 200);
	EXPECT_EQ(vxlan->counters.rx_frames, 200);
	EXPECT_EQ(vxlan->counters.rx_malformed, 0);
	vxlan_close();
}

/* One socket may be faster than it is read; then they lie there. */
static void many_come_in_order(void)
{
	vxlan_open();
	for (unsigned i = 0; i < 3; i++) {
		for (unsigned k = 0; k < 40; k++)
			datagram_send(far, datagram, datagram_make(100 + k, k));
		for (unsigned k = 0; k < 40; k++) {
			EXPECT_EQ(frame_await(vxlan, &upper, got), 100 + k + LKL_VNET_HDR);
			frame_make(sent, 100 + k, k);
			EXPECT(!memcmp(got, sent, 100 + k + LKL_VNET_HDR));
		}
	}
	vxlan_close();
}

static void datagrams_joined_by_the_host_are_taken_apart(void)
{
	const uint16_t each = HDR + 1000;
	const int size = each;

	vxlan_open();
	for (unsigned i = 0; i < 10; i++) {
		unsigned long bytes = datagram_make(1000, i);

		memcpy(got + i * each, datagram, bytes);
	}
	datagram_make(300, 10);
	memcpy(got + 10 * each, datagram, HDR + 300);
	EXPECT_EQ(setsockopt(far, IPPROTO_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	datagram_send(far, got, 10 * each + HDR + 300);
	for (unsigned i = 0; i < 11; i++) {
		unsigned long body = i < 10 ? 1000 : 300;

		EXPECT_EQ(frame_await(vxlan, &upper, got), body + LKL_VNET_HDR);
		frame_make(sent, body, i);
		EXPECT(!memcmp(got, sent, body + LKL_VNET_HDR));
	}
	vxlan_close();
}

/* What was read and not yet taken is told to who asks again. */
static void frames_held_are_told_again(void)
{
	vxlan_open();
	datagram_send(far, datagram, datagram_make(60, 1));
	datagram_send(far, datagram, datagram_make(61, 2));
	EXPECT_EQ(frame_await(vxlan, &upper, got), 60 + LKL_VNET_HDR);
	vxlan->ops->poll(vxlan, LKL_NET_RX);
	upper_double_await(&upper, LKL_NET_RX);
	EXPECT_EQ(frame_await(vxlan, &upper, got), 61 + LKL_VNET_HDR);
	vxlan_close();
}

static void malformed_is_dropped_and_counted(void)
{
	unsigned long bytes;
	uint64_t bad = 0;
	uint16_t port;
	int stranger;

	vxlan_open();
	stranger = udp_open("127.0.0.2", "::1", &port);
	for (unsigned i = 0; i < 400; i++) {
		bytes = datagram_make(60, i);
		switch (i % 5) {
		case 0: /* truncated anywhere */
			bytes = i / 5 % (HDR + 14);
			break;
		case 1: /* of another network */
			datagram[4 + i / 5 % 3] ^= 1;
			break;
		case 2: /* of none */
			datagram[0] = (char)0xf7;
			break;
		case 3: /* longer than any frame is fine here: only the host limits it */
			bytes = 1;
			break;
		default:
			if (family == AF_INET6)
				datagram[0] = 0;
			datagram_send(family == AF_INET ? stranger : far, datagram, bytes);
			bytes = 0;
			break;
		}
		if (i % 5 != 4)
			datagram_send(far, datagram, bytes);
		EXPECT_EQ(frame_await(vxlan, &upper, got), -EBADMSG);
		EXPECT_EQ(vxlan->counters.rx_malformed, ++bad);
	}
	bytes = datagram_make(60, 1);
	datagram_send(far, datagram, bytes);
	EXPECT_EQ(frame_await(vxlan, &upper, got), 60 + LKL_VNET_HDR);
	EXPECT_EQ(vxlan->counters.rx_frames, 1);
	close(stranger);
	vxlan_close();
}

static void refusing_end_is_counted_and_sent_to_again(void)
{
	unsigned long bytes;

	vxlan_open();
	close(far);
	bytes = datagram_make(60, 1) - HDR + LKL_VNET_HDR;
	for (unsigned i = 0; i < 20; i++)
		EXPECT_EQ(frame_send(vxlan, sent, bytes), bytes);
	EXPECT(vxlan->counters.path_errors > 0);
	EXPECT_EQ(vxlan->counters.tx_frames, 20);
	EXPECT_EQ(vxlan->counters.tx_dropped, 0);
	EXPECT(!(upper_double_events(&upper) & LKL_NET_DOWN));
	far = socket(family, SOCK_DGRAM, 0);
	vxlan_close();
}

static void reader_without_room_loses_the_frame_and_counts_it(void)
{
	struct lkl_iovec small[] = { { got, LKL_VNET_HDR }, { got + LKL_VNET_HDR, 14 } };

	vxlan_open();
	datagram_send(far, datagram, datagram_make(60, 1));
	vxlan->ops->poll(vxlan, LKL_NET_RX);
	upper_double_await(&upper, LKL_NET_RX);
	EXPECT_EQ(vxlan->ops->rx(vxlan, small, 2), -ENOBUFS);
	EXPECT_EQ(vxlan->counters.rx_dropped, 1);
	vxlan_close();
}

static void bad_settings_are_refused(void)
{
	struct link_vxlan bad;
	struct link *link;

	vxlan_open();
	EXPECT_EQ(link_vxlan_open(&settings, &link), -EADDRINUSE);
	bad = settings;
	bad.source = address(0, "192.0.2.1", "2001:db8::1");
	EXPECT_EQ(link_vxlan_open(&bad, &link), -EADDRNOTAVAIL);
	bad = settings;
	bad.local_port++;
	bad.device = "lkls-none";
	EXPECT_EQ(link_vxlan_open(&bad, &link), -ENODEV);
	vxlan_close();
}

static void host(const char *command)
{
	EXPECT_EQ(system(command), 0);
}

static void narrower_path_lowers_the_mtu(void)
{
	unsigned long bytes;

	vxlan_open();
	host("ip link set lo mtu 1500");
	bytes = datagram_make(2000, 1) - HDR + LKL_VNET_HDR;
	EXPECT_EQ(frame_send(vxlan, sent, bytes), -EMSGSIZE);
	vxlan->ops->poll(vxlan, LKL_NET_TX);
	upper_double_await(&upper, LKL_NET_MTU);
	EXPECT_EQ(vxlan->mtu, family == AF_INET ? 1450 : 1430);
	EXPECT_EQ(vxlan->counters.tx_too_long, 1);
	EXPECT_EQ(vxlan->counters.tx_dropped, 1);
	bytes = datagram_make(vxlan->mtu + 14, 1) - HDR + LKL_VNET_HDR;
	EXPECT_EQ(frame_send(vxlan, sent, bytes), bytes);
	host("ip link set lo mtu 65536");
	vxlan_close();
}

static void carrier_follows_the_source_address(void)
{
	const char *take = family == AF_INET ? "ip addr del 127.0.0.1/8 dev lo" :
					       "ip addr del ::1/128 dev lo";
	const char *give = family == AF_INET ? "ip addr add 127.0.0.1/8 dev lo" :
					       "ip addr add ::1/128 dev lo";

	vxlan_open();
	vxlan->ops->poll(vxlan, LKL_NET_RX);
	for (unsigned i = 0; i < rounds(5); i++) {
		host(take);
		upper_double_await(&upper, LKL_NET_DOWN);
		host(give);
		upper_double_await(&upper, LKL_NET_UP);
	}
	vxlan_close();
}

static void unfinished_checksum_is_seen(void)
{
	/* UDP, 192.0.2.1 to 192.0.2.2, 12 bytes. */
	unsigned char ip4[60] = { [12] = 8, 0, 0x45, 0,   0, 32, 0, 0,   0, 0, 64,
				  17,       0, 0,    192, 0, 2,  1, 192, 0, 2, 2 };
	const unsigned sum = 0xc000 + 0x0201 + 0xc000 + 0x0202 + 17 + 12;
	const unsigned folded = (sum & 0xffff) + (sum >> 16);
	struct virtio_net_hdr_v1 header = { 0 };

	ip4[40] = (unsigned char)(folded >> 8);
	ip4[41] = (unsigned char)folded;
	link_checksum_detect(&header, ip4, 46);
	EXPECT_EQ(header.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	EXPECT_EQ(header.csum_start, 34);
	EXPECT_EQ(header.csum_offset, 6);
	for (unsigned long bytes = 0; bytes < 46; bytes++) {
		header = (struct virtio_net_hdr_v1){ 0 };
		link_checksum_detect(&header, ip4, bytes);
		EXPECT_EQ(header.flags, 0);
	}
	ip4[41]++;
	link_checksum_detect(&header, ip4, 46);
	EXPECT_EQ(header.flags, 0);
}

int main(void)
{
	const int families[] = { AF_INET, AF_INET6 };

	if (geteuid() || unshare(CLONE_NEWNET) || system("ip link set lo up")) {
		puts("needs root, network namespaces and ip: apt install iproute2");
		return SKIP_CODE;
	}
	EXPECT_EQ(host_io_start(), 0);
	for (int i = 0; i < 2; i++) {
		family = families[i];
		CASE(frames_pass_both_ways_intact, 20);
		CASE(many_come_in_order, 20);
		CASE(datagrams_joined_by_the_host_are_taken_apart, 20);
		CASE(frames_held_are_told_again, 20);
		CASE(malformed_is_dropped_and_counted, 60);
		CASE(refusing_end_is_counted_and_sent_to_again, 20);
		CASE(reader_without_room_loses_the_frame_and_counts_it, 20);
		CASE(bad_settings_are_refused, 20);
		CASE(narrower_path_lowers_the_mtu, 20);
		CASE(carrier_follows_the_source_address, 60);
	}
	CASE(unfinished_checksum_is_seen, 20);
	host_io_stop();
	return 0;
}

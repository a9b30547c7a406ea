// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet link, against the host kernel: on one end of a veth pair, in a network namespace that
 * goes with the process; the test has the other end. Needs root.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "double.h"
#include "expect.h"

#define NEAR "lkls-near"
#define FAR "lkls-far"
/* For local experiments: nobody else sends it. */
#define ETHERTYPE 0x88b5

static const uint8_t mac[] = { 2, 0, 0, 0, 0, 1 }, other_mac[] = { 2, 0, 0, 0, 0, 2 };
static char sent[LKL_FRAME_MAX], got[LKL_FRAME_MAX];

static struct link *packet;
static struct upper_double upper;
static int far;

static void host(const char *command)
{
	EXPECT_EQ(system(command), 0);
}

/* A raw socket of the test's own. */
static int raw_open(const char *device, int ethertype, int vnet_header)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons((uint16_t)ethertype),
		.sll_ifindex = (int)if_nametoindex(device),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	EXPECT(fd >= 0);
	EXPECT_EQ(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &vnet_header, sizeof(vnet_header)),
		  0);
	EXPECT_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

/* A pair for each case. */
static void packet_open(void)
{
	host("ip link add " NEAR " mtu 1400 type veth peer name " FAR);
	host("ip link set " NEAR " up && ip link set " FAR " up");
	EXPECT_EQ(link_packet_open(NEAR, mac, &packet), 0);
	EXPECT_EQ(packet->mtu, 1400);
	upper_double_set(&upper, packet);
	packet->ops->poll(packet, LKL_NET_RX);
	if (!packet->carrier)
		upper_double_await(&upper, LKL_NET_UP);
	/* The other end may take longer. */
	while (system("ip -o link show " FAR " | grep -q 'state UP'"))
		;
	far = raw_open(FAR, ETHERTYPE, 0);
}

static void packet_close(void)
{
	packet->ops->close(packet);
	close(far);
	if (if_nametoindex(NEAR))
		host("ip link del " NEAR);
}

static unsigned long ethernet_make(const uint8_t *to, int ethertype, unsigned long body_bytes,
				   unsigned seed)
{
	const uint16_t type = htons((uint16_t)ethertype);
	unsigned long bytes = frame_make(sent, body_bytes, seed);

	memcpy(sent + LKL_VNET_HDR, to, 6);
	memcpy(sent + LKL_VNET_HDR + 6, other_mac, 6);
	memcpy(sent + LKL_VNET_HDR + 12, &type, sizeof(type));
	return bytes;
}

static void far_send(unsigned long bytes)
{
	EXPECT_EQ(send(far, sent + LKL_VNET_HDR, bytes - LKL_VNET_HDR, 0), bytes - LKL_VNET_HDR);
}

/* The next that the host has not sent on its own. Return: bytes. */
static long ours_await(int ethertype)
{
	for (;;) {
		long bytes = frame_await(packet, &upper, got);
		uint16_t type;

		memcpy(&type, got + LKL_VNET_HDR + 12, sizeof(type));
		if (bytes < 0 || type == htons((uint16_t)ethertype))
			return bytes;
	}
}

static void frames_pass_both_ways_intact(void)
{
	const unsigned long sizes[] = { 60, 61, 500, 1414 };

	packet_open();
	for (unsigned i = 0; i < 200; i++) {
		unsigned long bytes = ethernet_make(mac, ETHERTYPE, sizes[i % 4], i);

		far_send(bytes);
		EXPECT_EQ(ours_await(ETHERTYPE), bytes);
		EXPECT(!memcmp(got + LKL_VNET_HDR, sent + LKL_VNET_HDR, bytes - LKL_VNET_HDR));
		EXPECT_EQ(frame_send(packet, sent, bytes), bytes);
		EXPECT_EQ(recv(far, got, sizeof(got), 0), bytes - LKL_VNET_HDR);
		EXPECT(!memcmp(got, sent + LKL_VNET_HDR, bytes - LKL_VNET_HDR));
	}
	EXPECT_EQ(packet->counters.tx_frames, 200);
	EXPECT_EQ(packet->counters.rx_malformed, 0);
	packet_close();
}

/* What it does not take, then one that it does: that comes next. */
static void only_frames_for_us_and_for_groups_come_in(void)
{
	const uint8_t all[] = { 255, 255, 255, 255, 255, 255 },
		      group[] = { 0x33, 0x33, 0, 0, 0, 9 };
	const uint8_t near_misses[][6] = { { 2, 0, 0, 0, 0, 9 }, { 6, 0, 0, 0, 0, 1 } };
	const uint8_t *takes[] = { mac, all, group };
	int near;

	packet_open();
	near = raw_open(NEAR, ETHERTYPE, 0);
	for (unsigned i = 0; i < 3; i++) {
		unsigned long bytes;

		for (int k = 0; k < 2; k++)
			far_send(ethernet_make(near_misses[k], ETHERTYPE, 60, 1));
		/* What the host sends, and we ourselves. */
		bytes = ethernet_make(takes[i], ETHERTYPE, 60, 2);
		EXPECT_EQ(send(near, sent + LKL_VNET_HDR, bytes - LKL_VNET_HDR, 0),
			  bytes - LKL_VNET_HDR);
		EXPECT_EQ(frame_send(packet, sent, bytes), bytes);
		bytes = ethernet_make(takes[i], ETHERTYPE, 70, 3);
		far_send(bytes);
		EXPECT_EQ(ours_await(ETHERTYPE), bytes);
		EXPECT(!memcmp(got + LKL_VNET_HDR, sent + LKL_VNET_HDR, bytes - LKL_VNET_HDR));
	}
	close(near);
	packet_close();
}

static void tagged_frames_stay_outside_but_for_priorities(void)
{
	unsigned char tag[] = { 0x81, 0, 0, 5, ETHERTYPE >> 8, ETHERTYPE & 0xff };
	unsigned long bytes;

	packet_open();
	bytes = ethernet_make(mac, ETHERTYPE, 60, 1);
	memcpy(sent + LKL_VNET_HDR + 12, tag, sizeof(tag));
	far_send(bytes);
	tag[2] = 0xe0;
	tag[3] = 0;
	bytes = ethernet_make(mac, ETHERTYPE, 80, 1);
	memcpy(sent + LKL_VNET_HDR + 12, tag, sizeof(tag));
	far_send(bytes);
	/* The host has taken the tag out. */
	EXPECT_EQ(ours_await(ETHERTYPE), bytes - 4);
	packet_close();
}

/* A TCP segment for the sender's or receiver's own cutting up. Return: bytes. */
static unsigned long segment_make(unsigned long payload, uint16_t gso_size)
{
	struct virtio_net_hdr_v1 vnet = {
		.flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
		.gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
		.hdr_len = 14 + 20 + 20,
		.gso_size = gso_size,
		.csum_start = 14 + 20,
		.csum_offset = 16,
	};
	struct iphdr ip = { .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP };
	struct tcphdr tcp = { .source = htons(1), .dest = htons(2), .doff = 5, .ack = 1 };
	unsigned long bytes = ethernet_make(mac, ETHERTYPE_IP, 14 + 20 + 20 + payload, 9);

	ip.tot_len = htons((uint16_t)(20 + 20 + payload));
	ip.saddr = inet_addr("10.0.0.1");
	ip.daddr = inet_addr("10.0.0.2");
	memcpy(sent, &vnet, sizeof(vnet));
	memcpy(sent + LKL_VNET_HDR + 14, &ip, sizeof(ip));
	memcpy(sent + LKL_VNET_HDR + 34, &tcp, sizeof(tcp));
	return bytes;
}

static void big_segment_passes_whole_both_ways(void)
{
	unsigned long bytes;
	int big;

	packet_open();
	big = raw_open(FAR, ETHERTYPE_IP, 1);
	bytes = segment_make(50000, 1300);
	EXPECT_EQ(frame_send(packet, sent, bytes), bytes);
	/* The test's header is the short one. */
	EXPECT_EQ(recv(big, got, sizeof(got), 0), bytes - 2);
	EXPECT(!memcmp(got + 10 + 54, sent + LKL_VNET_HDR + 54, 50000));

	memmove(sent + 2, sent, 10);
	EXPECT_EQ(send(big, sent + 2, bytes - 2, 0), bytes - 2);
	EXPECT_EQ(ours_await(ETHERTYPE_IP), bytes);
	EXPECT_EQ(((struct virtio_net_hdr_v1 *)got)->gso_size, 1300);
	EXPECT(((struct virtio_net_hdr_v1 *)got)->flags & VIRTIO_NET_HDR_F_NEEDS_CSUM);
	EXPECT(!memcmp(got + LKL_VNET_HDR + 54, sent + LKL_VNET_HDR + 54, 50000));
	close(big);
	packet_close();
}

static void frame_too_long_for_the_device_is_lost_and_counted(void)
{
	packet_open();
	EXPECT_EQ(frame_send(packet, sent, ethernet_make(mac, ETHERTYPE, 1514, 1)), -EMSGSIZE);
	EXPECT_EQ(packet->counters.tx_dropped, 1);
	packet_close();
}

static void reader_without_room_loses_the_frame_and_counts_it(void)
{
	struct lkl_iovec small[] = { { got, LKL_VNET_HDR }, { got + LKL_VNET_HDR, 14 } };
	uint64_t dropped;
	long ret;

	packet_open();
	/* The host's own frames first. */
	while (packet->ops->rx(packet, small, 2) != -EAGAIN)
		;
	dropped = packet->counters.rx_dropped;
	far_send(ethernet_make(mac, ETHERTYPE, 1000, 3));
	while ((ret = packet->ops->rx(packet, small, 2)) == -EAGAIN) {
		packet->ops->poll(packet, LKL_NET_RX);
		upper_double_await(&upper, LKL_NET_RX);
	}
	EXPECT_EQ(ret, -ENOBUFS);
	EXPECT_EQ(packet->counters.rx_dropped, dropped + 1);
	packet_close();
}

static void carrier_follows_the_interface_and_its_cable(void)
{
	const char *ends[] = { NEAR, FAR };
	unsigned long bytes;
	char command[64];

	packet_open();
	for (unsigned i = 0; i < rounds(6); i++) {
		snprintf(command, sizeof(command), "ip link set %s down", ends[i % 2]);
		host(command);
		upper_double_await(&upper, LKL_NET_DOWN);
		snprintf(command, sizeof(command), "ip link set %s up", ends[i % 2]);
		host(command);
		upper_double_await(&upper, LKL_NET_UP);
		close(far);
		far = raw_open(FAR, ETHERTYPE, 0);
		packet->ops->poll(packet, LKL_NET_RX);
		bytes = ethernet_make(mac, ETHERTYPE, 60, i);
		far_send(bytes);
		EXPECT_EQ(ours_await(ETHERTYPE), bytes);
	}
	host("ip link set " NEAR " down");
	upper_double_await(&upper, LKL_NET_DOWN);
	EXPECT(frame_send(packet, sent, ethernet_make(mac, ETHERTYPE, 60, 1)) < 0);
	packet_close();
}

static void interface_that_goes_is_carrier_loss(void)
{
	packet_open();
	host("ip link del " NEAR);
	upper_double_await(&upper, LKL_NET_DOWN);
	EXPECT(frame_send(packet, sent, ethernet_make(mac, ETHERTYPE, 60, 1)) < 0);
	while (packet->ops->rx(packet, &(struct lkl_iovec){ got, sizeof(got) }, 1) >= 0)
		;
	packet_close();
}

static void descriptor_is_taken_for_what_it_is(void)
{
	struct link *link;
	int fds[2], fd;

	packet_open();
	fd = raw_open(NEAR, ETHERTYPE, 0);
	EXPECT_EQ(link_fd_open(fd, mac, &link), 0);
	EXPECT(!strcmp(link->ops->kind, "packet"));
	EXPECT(fcntl(fd, F_GETFL) & O_NONBLOCK);
	link->ops->close(link);

	EXPECT_EQ(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
	EXPECT_EQ(link_fd_open(fds[0], mac, &link), 0);
	EXPECT(!strcmp(link->ops->kind, "wire"));
	link->ops->close(link);
	close(fds[1]);

	fd = socket(AF_PACKET, SOCK_RAW, 0);
	EXPECT_EQ(link_fd_open(fd, mac, &link), -ENODEV);
	EXPECT_EQ(close(fd), 0);
	fd = socket(AF_PACKET, SOCK_DGRAM, 0);
	EXPECT_EQ(link_fd_open(fd, mac, &link), -EPROTOTYPE);
	close(fd);
	fd = socket(AF_INET, SOCK_STREAM, 0);
	EXPECT_EQ(link_fd_open(fd, mac, &link), -EOPNOTSUPP);
	close(fd);
	EXPECT_EQ(pipe(fds), 0);
	EXPECT_EQ(link_fd_open(fds[0], mac, &link), -EOPNOTSUPP);
	close(fds[0]);
	close(fds[1]);
	EXPECT_EQ(link_fd_open(9999, mac, &link), -EBADF);
	packet_close();
}

static void other_devices_are_refused(void)
{
	struct link *link;

	host("ip link set lo up");
	EXPECT_EQ(link_packet_open("lo", mac, &link), -EINVAL);
	EXPECT_EQ(link_packet_open("lkls-none", mac, &link), -ENODEV);
	EXPECT_EQ(link_packet_open("", mac, &link), -ENODEV);
}

int main(void)
{
	if (geteuid() || unshare(CLONE_NEWNET) || system("ip link >/dev/null")) {
		puts("needs root, network namespaces and ip: apt install iproute2");
		return SKIP_CODE;
	}
	EXPECT_EQ(host_io_start(), 0);
	CASE(frames_pass_both_ways_intact, 20);
	CASE(only_frames_for_us_and_for_groups_come_in, 20);
	CASE(tagged_frames_stay_outside_but_for_priorities, 20);
	CASE(big_segment_passes_whole_both_ways, 20);
	CASE(frame_too_long_for_the_device_is_lost_and_counted, 20);
	CASE(reader_without_room_loses_the_frame_and_counts_it, 20);
	CASE(carrier_follows_the_interface_and_its_cable, 120);
	CASE(interface_that_goes_is_carrier_loss, 20);
	CASE(descriptor_is_taken_for_what_it_is, 20);
	CASE(other_devices_are_refused, 20);
	host_io_stop();
	return 0;
}

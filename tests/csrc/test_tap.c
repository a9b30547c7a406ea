// SPDX-License-Identifier: GPL-2.0-only
/*
 * The TAP link, against the host kernel: in a network namespace that goes with the process. Needs
 * root.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <linux/virtio_net.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "double.h"
#include "expect.h"

#define NAME "lkls-tap"
/* For local experiments: nobody else sends it. */
#define ETHERTYPE 0x88b5

static char sent[LKL_FRAME_MAX], got[LKL_FRAME_MAX];

static struct link *tap;
static struct upper_double upper;
static int control;

static void device_up(bool up)
{
	struct ifreq request = { .ifr_name = NAME };

	EXPECT_EQ(ioctl(control, SIOCGIFFLAGS, &request), 0);
	request.ifr_flags = (short)(up ? request.ifr_flags | IFF_UP : request.ifr_flags & ~IFF_UP);
	EXPECT_EQ(ioctl(control, SIOCSIFFLAGS, &request), 0);
}

static void device_delete(void)
{
	struct {
		struct nlmsghdr header;
		struct ifinfomsg body;
	} message = {
		.header = { .nlmsg_len = sizeof(message),
			    .nlmsg_type = RTM_DELLINK,
			    .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.body = { .ifi_index = (int)if_nametoindex(NAME) },
	};
	int fd = socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE);
	char reply[512];

	EXPECT_EQ(send(fd, &message, sizeof(message), 0), sizeof(message));
	EXPECT(recv(fd, reply, sizeof(reply), 0) > 0);
	close(fd);
}

/* A device of its own for each case. */
static void tap_open(bool up)
{
	EXPECT_EQ(link_tap_open(NAME, -1, &tap), 0);
	EXPECT(!tap->carrier);
	upper_double_set(&upper, tap);
	if (!up)
		return;
	tap->ops->poll(tap, LKL_NET_RX);
	device_up(true);
	upper_double_await(&upper, LKL_NET_UP);
}

static void tap_close(void)
{
	tap->ops->close(tap);
	EXPECT_EQ(if_nametoindex(NAME), 0);
}

/* The host's side of the device. */
static int packet_open(int ethertype, int vnet_header)
{
	struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons((uint16_t)ethertype),
		.sll_ifindex = (int)if_nametoindex(NAME),
	};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);

	EXPECT(fd >= 0);
	EXPECT_EQ(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &vnet_header, sizeof(vnet_header)),
		  0);
	EXPECT_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return fd;
}

static unsigned long ethernet_make(unsigned long body_bytes, unsigned seed)
{
	const unsigned char addresses[] = { 2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2 };
	const uint16_t type = htons(ETHERTYPE);
	unsigned long bytes = frame_make(sent, body_bytes, seed);

	memcpy(sent + LKL_VNET_HDR, addresses, sizeof(addresses));
	memcpy(sent + LKL_VNET_HDR + 12, &type, sizeof(type));
	return bytes;
}

/* The next of our ethertype, or IPv4. Return: bytes. */
static long ours_await(void)
{
	for (;;) {
		long bytes = frame_await(tap, &upper, got);
		uint16_t type;

		memcpy(&type, got + LKL_VNET_HDR + 12, sizeof(type));
		if (bytes < 0 || type == htons(ETHERTYPE) || type == htons(ETHERTYPE_IP))
			return bytes;
	}
}

static void frames_pass_both_ways_intact(void)
{
	const unsigned long sizes[] = { 60, 61, 500, 1514 };
	int packet;

	tap_open(true);
	packet = packet_open(ETHERTYPE, 0);
	for (unsigned i = 0; i < 200; i++) {
		unsigned long bytes = ethernet_make(sizes[i % 4], i);
		long body = (long)bytes - LKL_VNET_HDR;

		EXPECT_EQ(frame_send(tap, sent, bytes), bytes);
		EXPECT_EQ(recv(packet, got, sizeof(got), 0), body);
		EXPECT(!memcmp(got, sent + LKL_VNET_HDR, (unsigned long)body));
		EXPECT_EQ(send(packet, sent + LKL_VNET_HDR, (unsigned long)body, 0), body);
		EXPECT_EQ(ours_await(), bytes);
		EXPECT(!memcmp(got + LKL_VNET_HDR, sent + LKL_VNET_HDR, (unsigned long)body));
	}
	EXPECT_EQ(tap->counters.tx_frames, 200);
	EXPECT(tap->counters.rx_frames >= 200);
	EXPECT_EQ(tap->counters.rx_malformed, 0);
	close(packet);
	tap_close();
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
	const uint16_t type = htons(ETHERTYPE_IP);
	unsigned long bytes = ethernet_make(14 + 20 + 20 + payload, 9);

	ip.tot_len = htons((uint16_t)(20 + 20 + payload));
	ip.saddr = inet_addr("10.0.0.1");
	ip.daddr = inet_addr("10.0.0.2");
	memcpy(sent, &vnet, sizeof(vnet));
	memcpy(sent + LKL_VNET_HDR + 12, &type, sizeof(type));
	memcpy(sent + LKL_VNET_HDR + 14, &ip, sizeof(ip));
	memcpy(sent + LKL_VNET_HDR + 34, &tcp, sizeof(tcp));
	return bytes;
}

static void big_segment_passes_whole_both_ways(void)
{
	unsigned long bytes;
	int packet;

	tap_open(true);
	packet = packet_open(ETHERTYPE_IP, 1);
	bytes = segment_make(64000, 1448);
	EXPECT_EQ(frame_send(tap, sent, bytes), bytes);
	/* The packet socket's header is the short one. */
	EXPECT_EQ(recv(packet, got, sizeof(got), 0), bytes - 2);
	EXPECT(!memcmp(got + 10 + 54, sent + LKL_VNET_HDR + 54, 64000));

	memmove(sent + 2, sent, 10);
	EXPECT_EQ(send(packet, sent + 2, bytes - 2, 0), bytes - 2);
	EXPECT_EQ(ours_await(), bytes);
	EXPECT_EQ(((struct virtio_net_hdr_v1 *)got)->gso_size, 1448);
	EXPECT(!memcmp(got + LKL_VNET_HDR + 54, sent + LKL_VNET_HDR + 54, 64000));
	close(packet);
	tap_close();
}

static void without_tso_the_host_cuts_segments_up(void)
{
	unsigned long bytes;
	int packet;

	tap_open(true);
	tap->ops->offload(tap, LKL_NET_CSUM);
	packet = packet_open(ETHERTYPE_IP, 1);
	bytes = segment_make(2 * 1448, 1448);
	memmove(sent + 2, sent, 10);
	EXPECT_EQ(send(packet, sent + 2, bytes - 2, 0), bytes - 2);
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(ours_await(), LKL_VNET_HDR + 54 + 1448);
		EXPECT_EQ(((struct virtio_net_hdr_v1 *)got)->gso_type, 0);
	}
	close(packet);
	tap_close();
}

static void reader_without_room_loses_the_frame_and_counts_it(void)
{
	struct lkl_iovec small = { got, 40 };
	unsigned long bytes = ethernet_make(1000, 3);
	uint64_t dropped;
	int packet;
	long ret;

	tap_open(true);
	packet = packet_open(ETHERTYPE, 0);
	/* The host's own frames first. */
	while ((ret = tap->ops->rx(tap, &small, 1)) != -EAGAIN)
		;
	dropped = tap->counters.rx_dropped;
	EXPECT_EQ(send(packet, sent + LKL_VNET_HDR, bytes - LKL_VNET_HDR, 0), 1000);
	while ((ret = tap->ops->rx(tap, &small, 1)) == -EAGAIN) {
		tap->ops->poll(tap, LKL_NET_RX);
		upper_double_await(&upper, LKL_NET_RX);
	}
	EXPECT_EQ(ret, -ENOBUFS);
	EXPECT_EQ(tap->counters.rx_dropped, dropped + 1);
	EXPECT_EQ(tap->counters.rx_malformed, 0);
	close(packet);
	tap_close();
}

static void carrier_follows_the_device(void)
{
	unsigned long bytes = ethernet_make(60, 3);

	tap_open(true);
	for (unsigned i = 0; i < rounds(20); i++) {
		EXPECT_EQ(frame_send(tap, sent, bytes), bytes);
		device_up(false);
		EXPECT_EQ(frame_send(tap, sent, bytes), -EIO);
		EXPECT_EQ(frame_send(tap, sent, bytes), -EIO);
		upper_double_await(&upper, LKL_NET_DOWN);
		device_up(true);
		upper_double_await(&upper, LKL_NET_UP);
	}
	tap_close();
}

static void device_that_is_up_has_carrier_from_the_start(void)
{
	struct link *first;

	EXPECT_EQ(link_tap_open(NAME, -1, &first), 0);
	upper_double_set(&upper, first);
	/* Stays when nobody has it open. */
	for (int i = 0; i < 2; i++) {
		struct ifreq request = { .ifr_name = NAME,
					 .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR };
		int fd = open("/dev/net/tun", O_RDWR);

		if (!i) {
			first->ops->close(first);
			EXPECT_EQ(ioctl(fd, TUNSETIFF, &request), 0);
			EXPECT_EQ(ioctl(fd, TUNSETPERSIST, 1), 0);
			close(fd);
			device_up(true);
			EXPECT_EQ(link_tap_open(NAME, -1, &first), 0);
			EXPECT(first->carrier);
			first->ops->close(first);
		} else {
			EXPECT_EQ(ioctl(fd, TUNSETIFF, &request), 0);
			EXPECT_EQ(ioctl(fd, TUNSETPERSIST, 0), 0);
			close(fd);
		}
	}
}

static void deleted_device_is_carrier_loss(void)
{
	unsigned long bytes = ethernet_make(60, 3);

	tap_open(true);
	device_delete();
	/* The host may have sent something before. */
	while (frame_await(tap, &upper, got) > 0)
		;
	EXPECT_EQ(frame_await(tap, &upper, got), -EPIPE);
	EXPECT_EQ(frame_send(tap, sent, bytes), -EPIPE);
	upper_double_await(&upper, LKL_NET_DOWN);
	tap_close();
}

static void device_in_use_is_busy(void)
{
	struct link *second;

	tap_open(false);
	EXPECT_EQ(link_tap_open(NAME, -1, &second), -EBUSY);
	tap_close();
}

static int tun_fd(short flags)
{
	struct ifreq request = { .ifr_name = NAME, .ifr_flags = flags };
	int fd = open("/dev/net/tun", O_RDWR);

	EXPECT_EQ(ioctl(fd, TUNSETIFF, &request), 0);
	return fd;
}

static void descriptor_handed_in_must_be_a_tap_with_vnet_header(void)
{
	const short bad[] = { IFF_TAP | IFF_NO_PI, IFF_TAP | IFF_VNET_HDR,
			      IFF_TUN | IFF_NO_PI | IFF_VNET_HDR };
	int fd;

	for (int i = 0; i < 3; i++) {
		fd = tun_fd(bad[i]);
		EXPECT_EQ(link_tap_open(NULL, fd, &tap), -EINVAL);
		EXPECT_EQ(close(fd), 0);
	}
	fd = open("/dev/null", O_RDWR);
	EXPECT_EQ(link_tap_open(NULL, fd, &tap), -EINVAL);
	close(fd);
	EXPECT_EQ(link_tap_open(NULL, 9999, &tap), -EBADF);
	fd = open("/dev/net/tun", O_RDWR);
	EXPECT_EQ(link_tap_open(NULL, fd, &tap), -EINVAL);
	close(fd);

	fd = tun_fd(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	EXPECT_EQ(link_tap_open(NULL, fd, &tap), 0);
	EXPECT(fcntl(fd, F_GETFL) & O_NONBLOCK);
	upper_double_set(&upper, tap);
	EXPECT_EQ(tap->ops->rx(tap, &(struct lkl_iovec){ got, sizeof(got) }, 1), -EAGAIN);
	tap_close();
}

static void bad_names_are_refused(void)
{
	EXPECT_EQ(link_tap_open("", -1, &tap), -EINVAL);
	EXPECT_EQ(link_tap_open(NULL, -1, &tap), -EINVAL);
	EXPECT_EQ(link_tap_open("a-name-too-long-for-it", -1, &tap), -EINVAL);
	EXPECT_EQ(link_tap_open("lo", -1, &tap), -EINVAL);
	EXPECT_EQ(link_tap_open("a/b", -1, &tap), -EINVAL);
}

static void without_privilege_no_device_is_made_or_taken(void)
{
	int fd = tun_fd(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR), status;
	pid_t child;

	EXPECT_EQ(ioctl(fd, TUNSETOWNER, 0), 0);
	EXPECT_EQ(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
	host_io_fork_prepare();
	child = fork();
	if (!child) {
		host_io_fork_child();
		EXPECT_EQ(setresuid(65534, 65534, 65534), 0);
		if (link_tap_open("lkls-none", -1, &tap) != -EACCES) {
			EXPECT_EQ(link_tap_open("lkls-none", -1, &tap), -ENODEV);
			EXPECT_EQ(link_tap_open(NAME, -1, &tap), -EPERM);
		}
		_exit(0);
	}
	host_io_fork_parent();
	EXPECT_EQ(waitpid(child, &status, 0), child);
	EXPECT_EQ(status, 0);
	fd = tun_fd(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR);
	EXPECT_EQ(ioctl(fd, TUNSETPERSIST, 0), 0);
	close(fd);
}

int main(void)
{
	if (geteuid() || unshare(CLONE_NEWNET) || access("/dev/net/tun", R_OK | W_OK)) {
		puts("needs root, network namespaces and /dev/net/tun");
		return SKIP_CODE;
	}
	control = socket(AF_INET, SOCK_DGRAM, 0);
	EXPECT_EQ(host_io_start(), 0);
	CASE(frames_pass_both_ways_intact, 20);
	CASE(big_segment_passes_whole_both_ways, 20);
	CASE(without_tso_the_host_cuts_segments_up, 20);
	CASE(reader_without_room_loses_the_frame_and_counts_it, 20);
	CASE(carrier_follows_the_device, 60);
	CASE(device_that_is_up_has_carrier_from_the_start, 20);
	CASE(deleted_device_is_carrier_loss, 20);
	CASE(device_in_use_is_busy, 20);
	CASE(descriptor_handed_in_must_be_a_tap_with_vnet_header, 20);
	CASE(bad_names_are_refused, 20);
	CASE(without_privilege_no_device_is_made_or_taken, 20);
	host_io_stop();
	return 0;
}

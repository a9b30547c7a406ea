// SPDX-License-Identifier: GPL-2.0-only
/*
 * The sockets of a packet link.
 */
#include "packet.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "socket.h"

/* Linux 4.20. */
#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

/* Frames that somebody else's socket may have held; then it is closed to them. */
#define OLD_FRAMES_MAX 1000000
#define VLAN_ID_MASK 0xfff

/* Return: 0 or -errno. */
static int option_set(int fd, int name, int value)
{
	return setsockopt(fd, SOL_PACKET, name, &value, sizeof(value)) ? -errno : 0;
}

/* Return: 0 or -errno. */
static int socket_bind(int fd, int ifindex)
{
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_protocol = htons(ETH_P_ALL),
		.sll_ifindex = ifindex,
	};

	return bind(fd, (const struct sockaddr *)&address, sizeof(address)) ? -errno : 0;
}

/* Tells also of groups, whose members the stack alone knows. Return: 0 or -errno. */
static int device_takes(int fd, int ifindex, const uint8_t mac[6])
{
	struct packet_mreq groups = { .mr_ifindex = ifindex, .mr_type = PACKET_MR_ALLMULTI };
	struct packet_mreq ours = { .mr_ifindex = ifindex,
				    .mr_type = PACKET_MR_UNICAST,
				    .mr_alen = ETH_ALEN };

	memcpy(ours.mr_address, mac, ETH_ALEN);
	if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &groups, sizeof(groups)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &ours, sizeof(ours)))
		return -errno;
	return 0;
}

/*
 * The host takes VLAN tags out of frames, so that only a filter sees that they were there. Tag 0 is
 * a priority, and no VLAN.
 */
static int filter_attach(int fd, const uint8_t mac[6])
{
	const uint32_t high = (uint32_t)mac[0] << 8 | mac[1];
	const uint32_t low = (uint32_t)mac[2] << 24 | (uint32_t)mac[3] << 16 |
			     (uint32_t)mac[4] << 8 | mac[5];
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)(SKF_AD_OFF + SKF_AD_VLAN_TAG)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, VLAN_ID_MASK, 7, 0),
		BPF_STMT(BPF_LD | BPF_B | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, 1, 4, 0),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 2),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, low, 0, 3),
		BPF_STMT(BPF_LD | BPF_H | BPF_ABS, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, high, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
		BPF_STMT(BPF_RET | BPF_K, 0),
	};
	struct sock_fprog program = { .len = sizeof(code) / sizeof(*code), .filter = code };

	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, &program, sizeof(program)))
		return -errno;
	return 0;
}

static void old_frames_drop(int fd)
{
	char byte;

	for (int i = 0; i < OLD_FRAMES_MAX; i++)
		if (recv(fd, &byte, 1, MSG_DONTWAIT | MSG_TRUNC) < 0 && errno == EAGAIN)
			break;
}

/* Return: its index, or -errno. */
static int device_of(int fd)
{
	struct sockaddr_ll address;
	socklen_t bytes = sizeof(address);
	int family, type;
	int err = link_socket_kind(fd, &family, &type);

	if (err)
		return err;
	if (family != AF_PACKET || type != SOCK_RAW)
		return -EPROTOTYPE;
	if (getsockname(fd, (struct sockaddr *)&address, &bytes))
		return -errno;
	if (address.sll_ifindex <= 0)
		return -ENODEV;
	return address.sll_hatype == ARPHRD_ETHER ? address.sll_ifindex : -EINVAL;
}

int packet_socket_set_up(int fd, const uint8_t mac[6])
{
	int ifindex = device_of(fd), status = fcntl(fd, F_GETFL);
	int err;

	if (ifindex < 0)
		return ifindex;
	if (fcntl(fd, F_SETFL, status | O_NONBLOCK))
		return -errno;
	err = filter_attach(fd, mac);
	if (!err)
		err = option_set(fd, PACKET_VNET_HDR, 1);
	if (!err)
		err = option_set(fd, PACKET_IGNORE_OUTGOING, 1);
	if (!err)
		err = device_takes(fd, ifindex, mac);
	if (!err)
		err = socket_bind(fd, ifindex);
	if (err)
		return err;
	old_frames_drop(fd);
	link_socket_buffers(fd);
	return ifindex;
}

int packet_socket_open(const char *device)
{
	unsigned ifindex = if_nametoindex(device);
	const struct sockaddr_ll address = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)ifindex,
	};
	int fd, err;

	if (!ifindex)
		return -ENODEV;
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* To the device, but to no protocol: nothing comes yet. */
	if (!bind(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

unsigned packet_socket_mtu(int fd, unsigned ifindex)
{
	struct ifreq request = { 0 };

	if (!if_indextoname(ifindex, request.ifr_name) || ioctl(fd, SIOCGIFMTU, &request))
		return 0;
	return (unsigned)request.ifr_mtu;
}

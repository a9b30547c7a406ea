// SPDX-License-Identifier: GPL-2.0-only
/*
 * A descriptor that was handed in: which kind of link it is for.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "link.h"
#include "socket.h"

/* Return: 0 or -errno. */
static int tap_open(int fd, struct link **out)
{
	struct ifreq request = { 0 };

	if (ioctl(fd, TUNGETIFF, &request) && errno != EBADFD)
		return errno == EBADF ? -EBADF : -EOPNOTSUPP;
	return link_tap_open(NULL, fd, out);
}

int link_fd_open(int fd, const uint8_t mac[6], struct link **out)
{
	int family, type;
	int err = link_socket_kind(fd, &family, &type);

	if (err == -ENOTSOCK)
		return tap_open(fd, out);
	if (err)
		return err;
	switch (family) {
	case AF_PACKET:
		return link_packet_adopt(fd, mac, out);
	case AF_UNIX:
		return type == SOCK_STREAM ? link_passt_open(fd, out) : link_wire_open(fd, out);
	default:
		return -EOPNOTSUPP;
	}
}

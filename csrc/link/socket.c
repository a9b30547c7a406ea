// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sockets of the host.
 */
#include "socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BUFFER_BYTES (4 * 1024 * 1024)

static void buffer_set(int fd, int force, int plain)
{
	const int bytes = BUFFER_BYTES;

	/* Past net.core.wmem_max with CAP_NET_ADMIN only; else up to it. */
	if (setsockopt(fd, SOL_SOCKET, force, &bytes, sizeof(bytes)))
		setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

void link_socket_buffers(int fd)
{
	buffer_set(fd, SO_SNDBUFFORCE, SO_SNDBUF);
	buffer_set(fd, SO_RCVBUFFORCE, SO_RCVBUF);
}

int link_socket_unix_address(struct sockaddr_un *address, const char *path)
{
	if (!*path)
		return -EINVAL;
	if (strlen(path) >= sizeof(address->sun_path))
		return -ENAMETOOLONG;
	*address = (struct sockaddr_un){ .sun_family = AF_UNIX };
	strcpy(address->sun_path, path);
	return 0;
}

int link_socket_unix_connect(const char *path, int type)
{
	struct sockaddr_un address;
	int err = link_socket_unix_address(&address, path);
	int fd;

	if (err)
		return err;
	fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (!connect(fd, (const struct sockaddr *)&address, sizeof(address)))
		return fd;
	err = -errno;
	close(fd);
	return err;
}

int link_socket_kind(int fd, int *family, int *type)
{
	socklen_t family_bytes = sizeof(*family), type_bytes = sizeof(*type);

	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, family, &family_bytes) ||
	    getsockopt(fd, SOL_SOCKET, SO_TYPE, type, &type_bytes))
		return -errno;
	return 0;
}

int link_socket_connected(int fd)
{
	struct sockaddr_storage peer;
	socklen_t bytes = sizeof(peer);

	return getpeername(fd, (struct sockaddr *)&peer, &bytes) ? -errno : 0;
}

bool link_socket_peer_is_gone(int fd)
{
	struct pollfd poll_fd = { .fd = fd, .events = POLLIN | POLLRDHUP };

	return poll(&poll_fd, 1, 0) == 1 && poll_fd.revents & (POLLHUP | POLLERR | POLLRDHUP);
}

bool link_socket_peer_error(int error)
{
	/* ECONNREFUSED is a datagram socket's word for it. */
	return error == EPIPE || error == ECONNRESET || error == ENOTCONN || error == ECONNREFUSED;
}

bool link_socket_is_host(const struct sockaddr *address, const struct sockaddr *wanted)
{
	const struct sockaddr_in *in[] = { (const void *)address, (const void *)wanted };
	const struct sockaddr_in6 *in6[] = { (const void *)address, (const void *)wanted };

	if (address->sa_family != wanted->sa_family)
		return false;
	if (address->sa_family == AF_INET)
		return in[0]->sin_addr.s_addr == in[1]->sin_addr.s_addr;
	return !memcmp(&in6[0]->sin6_addr, &in6[1]->sin6_addr, sizeof(in6[0]->sin6_addr)) &&
	       (!in6[1]->sin6_scope_id || in6[0]->sin6_scope_id == in6[1]->sin6_scope_id);
}

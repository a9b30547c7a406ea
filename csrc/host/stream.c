// SPDX-License-Identifier: GPL-2.0-only
/*
 * The socketpair behind a bridge. Bare system calls: no cancellation points.
 */
#include "stream.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

int host_stream_open(int *program, int *ours)
{
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
		return -errno;
	*program = ends[0];
	*ours = ends[1];
	return 0;
}

long host_stream_recv(int fd, void *buf, size_t len)
{
	long ret = syscall(SYS_recvfrom, fd, buf, len, MSG_DONTWAIT, NULL, NULL);

	return ret < 0 ? -errno : ret;
}

long host_stream_send(int fd, const void *buf, size_t len)
{
	long ret = syscall(SYS_sendto, fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);

	return ret < 0 ? -errno : ret;
}

void host_stream_end(int fd)
{
	shutdown(fd, SHUT_WR);
}

void host_stream_refuse(int fd)
{
	shutdown(fd, SHUT_RD);
}

void host_stream_close(int fd)
{
	syscall(SYS_close, fd);
}

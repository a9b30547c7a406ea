// SPDX-License-Identifier: GPL-2.0-only
/*
 * A descriptor's readiness now.
 */
#include <poll.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

uint32_t host_poll(int fd)
{
	struct pollfd pollfd = { .fd = fd, .events = POLLIN | POLLPRI | POLLOUT | POLLRDHUP };
	const struct timespec now = { 0 };

	if (syscall(SYS_ppoll, &pollfd, 1, &now, NULL, 0) < 0)
		return 0;
	return pollfd.revents & POLLNVAL ? EPOLLHUP : (unsigned short)pollfd.revents;
}

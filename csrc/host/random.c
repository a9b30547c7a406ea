// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random bytes for the kernel's own generator.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host.h"

long host_random_fill(void *buf, size_t bytes)
{
	size_t done = 0;

	while (done < bytes) {
		long got = syscall(SYS_getrandom, (char *)buf + done, bytes - done, 0);

		if (got < 0 && errno != EINTR)
			return -errno;
		if (got > 0)
			done += (size_t)got;
	}
	return (long)done;
}

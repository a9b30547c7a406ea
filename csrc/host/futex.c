// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sleeping on a word and waking, private to the process. Bare system calls: no cancellation points.
 */
#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "host.h"

int host_futex_wait(int *word, int value, uint64_t deadline_ns)
{
	struct timespec deadline = {
		.tv_sec = (time_t)(deadline_ns / 1000000000u),
		.tv_nsec = (long)(deadline_ns % 1000000000u),
	};

	/* The bitset form takes an absolute time, on CLOCK_MONOTONIC. */
	if (!syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, value,
		     deadline_ns == HOST_NEVER ? NULL : &deadline, NULL, FUTEX_BITSET_MATCH_ANY))
		return 0;
	return errno == EAGAIN ? 0 : -errno;
}

void host_futex_wake(int *word, int count)
{
	syscall(SYS_futex, word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, count, NULL, NULL, 0);
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The two clocks that the kernel keeps its time by.
 */
#include <time.h>

#include "host.h"

static uint64_t clock_read(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t host_clock_monotonic(void)
{
	return clock_read(CLOCK_MONOTONIC);
}

uint64_t host_clock_realtime(void)
{
	return clock_read(CLOCK_REALTIME);
}

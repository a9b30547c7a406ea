// SPDX-License-Identifier: GPL-2.0-only
/*
 * The host's side of the table of functions that the kernel half calls.
 */
#include <lkl_host.h>

#include "host.h"
#include "stack_switch.h"

static unsigned long long clock_monotonic(void)
{
	return host_clock_monotonic();
}

static unsigned long long clock_realtime(void)
{
	return host_clock_realtime();
}

static void timer_set(unsigned long long at_ns)
{
	host_timer_set(at_ns);
}

static void futex_wait(int *word, int value, unsigned long long timeout_ns)
{
	uint64_t now = timeout_ns == LKL_NEVER ? 0 : host_clock_monotonic();
	uint64_t deadline = timeout_ns >= HOST_NEVER - now ? HOST_NEVER : now + timeout_ns;

	host_futex_wait(word, value, deadline);
}

static long random_fill(void *buf, unsigned long len)
{
	return host_random_fill(buf, len);
}

void host_ops_fill(struct lkl_host_ops *ops)
{
	ops->thread_id = host_thread_id;
	ops->clock_monotonic = clock_monotonic;
	ops->clock_realtime = clock_realtime;
	ops->timer_set = timer_set;
	ops->futex_wait = futex_wait;
	ops->futex_wake = host_futex_wake;
	ops->kick = host_io_kick;
	ops->random = random_fill;
	ops->stack_switch_begin = HOST_STACK_SWITCH_BEGIN;
	ops->stack_switch_end = HOST_STACK_SWITCH_END;
}

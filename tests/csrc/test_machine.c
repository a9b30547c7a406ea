// SPDX-License-Identifier: GPL-2.0-only
/* Memory, clocks, futex and random bytes. */
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include <lkl_host.h>

#include "expect.h"
#include "host/host.h"

static void memory_is_zeroed_and_lazy(void)
{
	const size_t bytes = 1ul << 30;
	char *mem;

	EXPECT_EQ(host_memory_map(bytes, (void **)&mem), 0);
	EXPECT_EQ(mem[0], 0);
	EXPECT_EQ(mem[bytes - 1], 0);
	mem[bytes - 1] = 1;
	host_memory_unmap(mem, bytes);
	EXPECT_EQ(host_memory_map((size_t)1 << 62, (void **)&mem), -ENOMEM);
}

static void clocks_go_forward(void)
{
	uint64_t before = host_clock_monotonic();

	EXPECT(host_clock_realtime() > 1600000000ull * 1000000000u);
	EXPECT(host_clock_monotonic() >= before);
}

static void random_bytes_differ(void)
{
	char a[300] = { 0 }, b[300] = { 0 };

	EXPECT_EQ(host_random_fill(a, sizeof(a)), sizeof(a));
	EXPECT_EQ(host_random_fill(b, sizeof(b)), sizeof(b));
	EXPECT(memcmp(a, b, sizeof(a)));
}

static void futex_times_out(void)
{
	uint64_t deadline = host_clock_monotonic() + 5000000;
	int word = 1;

	EXPECT_EQ(host_futex_wait(&word, 1, deadline), -ETIMEDOUT);
	EXPECT(host_clock_monotonic() >= deadline);
	EXPECT_EQ(host_futex_wait(&word, 2, HOST_NEVER), 0);
}

static int word;

static void *waiter_run(void *unused)
{
	while (!__atomic_load_n(&word, __ATOMIC_SEQ_CST))
		host_futex_wait(&word, 0, HOST_NEVER);
	return unused;
}

static void futex_wakes(void)
{
	pthread_t waiter;

	pthread_create(&waiter, NULL, waiter_run, NULL);
	__atomic_store_n(&word, 1, __ATOMIC_SEQ_CST);
	host_futex_wake(&word, INT32_MAX);
	pthread_join(waiter, NULL);
}

static void table_is_filled(void)
{
	struct lkl_host_ops ops = { 0 };
	uint64_t before;
	int value = 0;

	host_ops_fill(&ops);
	EXPECT(ops.clock_monotonic() > 0 && ops.clock_realtime() > 0);
	EXPECT_EQ(ops.random(&value, sizeof(value)), sizeof(value));
	EXPECT(ops.futex_wake && ops.timer_set && ops.kick);
	before = host_clock_monotonic();
	ops.futex_wait(&value, value, 2000000);
	EXPECT(host_clock_monotonic() >= before + 2000000);
	ops.futex_wait(&value, value + 1, LKL_NEVER);
}

int main(void)
{
	CASE(memory_is_zeroed_and_lazy, 10);
	CASE(clocks_go_forward, 10);
	CASE(random_bytes_differ, 10);
	CASE(futex_times_out, 10);
	CASE(futex_wakes, 10);
	CASE(table_is_filled, 10);
	return 0;
}

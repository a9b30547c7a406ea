// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one CPU: a lock that host threads take to run kernel code.
 *
 *	FREE -> HELD                 an uncontended lock; unlock goes back: no system call
 *	HELD -> CONTENDED            somebody is about to sleep on it
 *	CONTENDED -> FREE            unlock; a sleeper is woken and tries again
 *	CONTENDED -> GRANTED         unlock while a sleeper starves: only one that slept may take it
 *	GRANTED -> CONTENDED         ... which it does
 *	any -> DEAD                  halt, panic, forked child: nobody gets it any more
 *
 * Whenever it is free, current is a worker in user mode or the idle task, with interrupts enabled
 * (worker.c, irq.c).
 */
#include <linux/time64.h>
#include <asm/page.h>

#include "cpu.h"
#include "lkl.h"

/* A thread that lost to others for this long is handed the CPU. */
#define STARVED_NS	(50 * NSEC_PER_USEC)
/* Most calls are shorter than a sleep and a wake-up. */
#define SPIN_NS		(2 * NSEC_PER_USEC)

const struct lkl_host_ops *lkl_ops;
struct lkl_statistics lkl_stats;

struct lkl_cpu lkl_cpu;

static bool state_change(int from, int to)
{
	return __atomic_compare_exchange_n(&lkl_cpu.state, &from, to, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

/* Return: false if the CPU is dead. */
bool lkl_cpu_lock_contended(void)
{
	unsigned long long since = lkl_ops->clock_monotonic();
	bool slept = false, starved = false;
	int state;

	while (lkl_ops->clock_monotonic() - since < SPIN_NS)
		if (lkl_cpu_trylock())
			return true;
	for (;;) {
		state = __atomic_load_n(&lkl_cpu.state, __ATOMIC_RELAXED);
		if (state == LKL_CPU_DEAD)
			break;
		if (state == LKL_CPU_FREE && state_change(LKL_CPU_FREE, LKL_CPU_CONTENDED))
			break;
		if (state == LKL_CPU_GRANTED && slept &&
		    state_change(LKL_CPU_GRANTED, LKL_CPU_CONTENDED))
			break;
		if (state == LKL_CPU_HELD && !state_change(LKL_CPU_HELD, LKL_CPU_CONTENDED))
			continue;
		if (state == LKL_CPU_FREE || (state == LKL_CPU_GRANTED && slept))
			continue;
		if (slept && !starved && lkl_ops->clock_monotonic() - since > STARVED_NS) {
			starved = true;
			__atomic_add_fetch(&lkl_cpu.starving, 1, __ATOMIC_SEQ_CST);
		}
		if (state == LKL_CPU_HELD)
			state = LKL_CPU_CONTENDED;
		lkl_ops->futex_wait(&lkl_cpu.state, state, LKL_NEVER);
		slept = true;
	}
	if (starved)
		__atomic_sub_fetch(&lkl_cpu.starving, 1, __ATOMIC_SEQ_CST);
	if (state == LKL_CPU_DEAD)
		return false;
	WRITE_ONCE(lkl_cpu.owner, lkl_thread_self());
	return true;
}

/* Somebody sleeps on it, or starves. */
void lkl_cpu_unlock_contended(void)
{
	int was;

	if (unlikely(__atomic_load_n(&lkl_cpu.starving, __ATOMIC_RELAXED))) {
		lkl_stats.handoffs++;
		__atomic_store_n(&lkl_cpu.state, LKL_CPU_GRANTED, __ATOMIC_RELEASE);
		lkl_ops->futex_wake(&lkl_cpu.state, 1);
		return;
	}
	was = __atomic_exchange_n(&lkl_cpu.state, LKL_CPU_FREE, __ATOMIC_RELEASE);
	if (was == LKL_CPU_CONTENDED)
		lkl_ops->futex_wake(&lkl_cpu.state, 1);
}

/* Nobody gets the CPU any more. CPU held, or: the only thread of a forked child. */
void lkl_cpu_die(void)
{
	WRITE_ONCE(lkl_cpu.owner, 0);
	__atomic_store_n(&lkl_cpu.state, LKL_CPU_DEAD, __ATOMIC_SEQ_CST);
	lkl_ops->futex_wake(&lkl_cpu.state, INT_MAX);
}

void lkl_statistics_read(struct lkl_statistics *out)
{
	*out = lkl_stats;
	out->free_pages = lkl_memory_free_pages();
	out->total_pages = (lkl_memory_end - lkl_memory_start) >> PAGE_SHIFT;
}

// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one CPU: a lock that host threads take to run kernel code.
 *
 *	FREE -> holder               an uncontended lock; unlock goes back: no system call
 *	holder -> ... | CONTENDED    somebody is about to sleep on it
 *	... | CONTENDED -> FREE      unlock; a sleeper is woken and tries again
 *	... | CONTENDED -> GRANTED   unlock while a sleeper starves: only one that slept may take it
 *	GRANTED -> ... | CONTENDED   ... which it does
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

/* Return: false if the CPU is dead. */
bool lkl_cpu_lock_contended(int self)
{
	unsigned long long since = lkl_ops->clock_monotonic();
	bool slept = false, starved = false;
	int state;

	while (lkl_ops->clock_monotonic() - since < SPIN_NS)
		if (lkl_cpu_trylock(self))
			return true;
	for (;;) {
		state = lkl_cpu_state();
		if (state == LKL_CPU_DEAD)
			break;
		if (state == LKL_CPU_FREE || (state == LKL_CPU_GRANTED && slept)) {
			/* Others may sleep on it, too. */
			if (lkl_cpu_state_change(state, self | LKL_CPU_CONTENDED))
				break;
			continue;
		}
		if (state != LKL_CPU_GRANTED && !(state & LKL_CPU_CONTENDED)) {
			if (!lkl_cpu_state_change(state, state | LKL_CPU_CONTENDED))
				continue;
			state |= LKL_CPU_CONTENDED;
		}
		if (slept && !starved && lkl_ops->clock_monotonic() - since > STARVED_NS) {
			starved = true;
			__atomic_add_fetch(&lkl_cpu.starving, 1, __ATOMIC_SEQ_CST);
		}
		lkl_ops->futex_wait(&lkl_cpu.state, state, LKL_NEVER);
		slept = true;
	}
	if (starved)
		__atomic_sub_fetch(&lkl_cpu.starving, 1, __ATOMIC_SEQ_CST);
	return state != LKL_CPU_DEAD;
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
	if (was & LKL_CPU_CONTENDED)
		lkl_ops->futex_wake(&lkl_cpu.state, 1);
}

/* Nobody gets the CPU any more. CPU held, or: the only thread of a forked child. */
void lkl_cpu_die(void)
{
	__atomic_store_n(&lkl_cpu.state, LKL_CPU_DEAD, __ATOMIC_SEQ_CST);
	lkl_ops->futex_wake(&lkl_cpu.state, INT_MAX);
}

int lkl_cpu_busy(void)
{
	return lkl_cpu_state() & LKL_CPU_HOLDER;
}

void lkl_statistics_read(struct lkl_statistics *out)
{
	*out = lkl_stats;
	out->free_pages = lkl_memory_free_pages();
	out->total_pages = (lkl_memory_end - lkl_memory_start) >> PAGE_SHIFT;
}

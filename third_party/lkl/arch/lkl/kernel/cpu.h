/* SPDX-License-Identifier: GPL-2.0-only */
/* The CPU's lock, its uncontended paths inline: they are a good part of a short call's time. */
#ifndef _LKL_CPU_H
#define _LKL_CPU_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "context.h"

/* cpu.c says what each means. */
enum {
	LKL_CPU_FREE,
	LKL_CPU_HELD,
	LKL_CPU_CONTENDED,
	LKL_CPU_GRANTED,
	LKL_CPU_DEAD,
};

struct lkl_cpu {
	int state;		/* atomic */
	int starving;		/* threads; atomic */
	unsigned long owner;	/* lkl_thread_self() of the holder, or 0 */
};

extern struct lkl_cpu lkl_cpu;

bool lkl_cpu_lock_contended(void);
void lkl_cpu_unlock_contended(void);

static __always_inline bool lkl_cpu_trylock(void)
{
	int state = LKL_CPU_FREE;

	if (!__atomic_compare_exchange_n(&lkl_cpu.state, &state, LKL_CPU_HELD, false,
					 __ATOMIC_ACQUIRE, __ATOMIC_RELAXED))
		return false;
	WRITE_ONCE(lkl_cpu.owner, lkl_thread_self());
	return true;
}

/* Return: false if the CPU is dead. May sleep. */
static __always_inline bool lkl_cpu_lock(void)
{
	return likely(lkl_cpu_trylock()) || lkl_cpu_lock_contended();
}

static __always_inline void lkl_cpu_unlock(void)
{
	int state = LKL_CPU_HELD;

	WRITE_ONCE(lkl_cpu.owner, 0);
	if (unlikely(__atomic_load_n(&lkl_cpu.starving, __ATOMIC_RELAXED)) ||
	    !__atomic_compare_exchange_n(&lkl_cpu.state, &state, LKL_CPU_FREE, false,
					 __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		lkl_cpu_unlock_contended();
}

/* A signal handler or a host op that calls in while its own thread is inside would wait for itself. */
static __always_inline bool lkl_cpu_is_mine(void)
{
	return unlikely(READ_ONCE(lkl_cpu.owner) == lkl_thread_self());
}

#endif

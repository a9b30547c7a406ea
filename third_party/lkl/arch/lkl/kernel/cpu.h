/* SPDX-License-Identifier: GPL-2.0-only */
/* The CPU's lock, its uncontended paths inline: they are a good part of a short call's time. */
#ifndef _LKL_CPU_H
#define _LKL_CPU_H

#include <linux/compiler.h>
#include <linux/types.h>

#include "lkl.h"

/*
 * The state is one word, so that a signal handler finds it whole: the holder's thread id, or 0; CONTENDED beside
 * it; or one of the two that nobody holds. cpu.c says what each means.
 */
#define LKL_CPU_FREE		0
#define LKL_CPU_CONTENDED	(1 << 30)
#define LKL_CPU_GRANTED		(1 << 29)
#define LKL_CPU_DEAD		(1 << 28)
#define LKL_CPU_HOLDER		(LKL_CPU_DEAD - 1)

struct lkl_cpu {
	int state;	/* atomic */
	int starving;	/* threads; atomic */
};

extern struct lkl_cpu lkl_cpu;

bool lkl_cpu_lock_contended(int self);
void lkl_cpu_unlock_contended(void);

static __always_inline int lkl_cpu_state(void)
{
	return __atomic_load_n(&lkl_cpu.state, __ATOMIC_RELAXED);
}

static __always_inline bool lkl_cpu_state_change(int from, int to)
{
	return __atomic_compare_exchange_n(&lkl_cpu.state, &from, to, false,
					   __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

static __always_inline bool lkl_cpu_trylock(int self)
{
	return lkl_cpu_state_change(LKL_CPU_FREE, self);
}

/* Return: false if the CPU is dead. May sleep. */
static __always_inline bool lkl_cpu_lock(int self)
{
	return likely(lkl_cpu_trylock(self)) || lkl_cpu_lock_contended(self);
}

static __always_inline void lkl_cpu_unlock(void)
{
	int state = lkl_cpu_state();

	if (unlikely(__atomic_load_n(&lkl_cpu.starving, __ATOMIC_RELAXED)) ||
	    unlikely(state & LKL_CPU_CONTENDED) || !lkl_cpu_state_change(state, LKL_CPU_FREE))
		lkl_cpu_unlock_contended();
}

/* Somebody sleeps until it is free. */
static __always_inline bool lkl_cpu_is_wanted(void)
{
	return unlikely(lkl_cpu_state() & LKL_CPU_CONTENDED);
}

/* A signal handler or a host op that calls in while its own thread is inside would wait for itself. */
static __always_inline bool lkl_cpu_is_held_by(int self)
{
	return unlikely((lkl_cpu_state() & LKL_CPU_HOLDER) == self);
}

#endif

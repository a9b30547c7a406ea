/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_CMPXCHG_H
#define _ASM_LKL_CMPXCHG_H

/*
 * One thread at a time runs kernel code, and interrupts come only where the
 * kernel enables them: a plain read and write is atomic. Host threads are ordered by
 * the acquire and release of the CPU lock (kernel/cpu.c).
 */
#define arch_xchg(ptr, new)						\
({									\
	__typeof__(ptr) __ptr = (ptr);					\
	__typeof__(*__ptr) __old = *(volatile __typeof__(*__ptr) *)__ptr;	\
	*(volatile __typeof__(*__ptr) *)__ptr = (new);			\
	__old;								\
})

#define arch_cmpxchg(ptr, old, new)					\
({									\
	__typeof__(ptr) __ptr = (ptr);					\
	__typeof__(*__ptr) __want = (__typeof__(*__ptr))(old);		\
	__typeof__(*__ptr) __new = (__typeof__(*__ptr))(new);		\
	__typeof__(*__ptr) __was = *(volatile __typeof__(*__ptr) *)__ptr;	\
	if (__was == __want)						\
		*(volatile __typeof__(*__ptr) *)__ptr = __new;		\
	__was;								\
})

#define arch_cmpxchg_local	arch_cmpxchg
#define arch_cmpxchg64		arch_cmpxchg
#define arch_cmpxchg64_local	arch_cmpxchg

#endif

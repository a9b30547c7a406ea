/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_ATOMIC_H
#define _ASM_LKL_ATOMIC_H

/*
 * Plain C is atomic here, see <asm/cmpxchg.h>. asm-generic's version for one CPU
 * would wrap each operation in an interrupt save and restore.
 */
#include <linux/types.h>
#include <asm/barrier.h>
#include <asm/cmpxchg.h>

#define ATOMIC64_INIT(i)	{ (i) }

#define arch_atomic_read(v)		READ_ONCE((v)->counter)
#define arch_atomic_set(v, i)		WRITE_ONCE((v)->counter, (i))
#define arch_atomic64_read(v)		READ_ONCE((v)->counter)
#define arch_atomic64_set(v, i)		WRITE_ONCE((v)->counter, (i))

#define LKL_ATOMIC_OP(type, num, op, sign)				\
static __always_inline void arch_##type##_##op(num i, type##_t *v)	\
{									\
	WRITE_ONCE(v->counter, READ_ONCE(v->counter) sign i);		\
}

#define LKL_ATOMIC_FETCH_OP(type, num, op, sign)			\
static __always_inline num arch_##type##_fetch_##op(num i, type##_t *v)	\
{									\
	num old = READ_ONCE(v->counter);				\
									\
	WRITE_ONCE(v->counter, old sign i);				\
	return old;							\
}

#define LKL_ATOMIC_OP_RETURN(type, num, op, sign)			\
static __always_inline num arch_##type##_##op##_return(num i, type##_t *v) \
{									\
	num new = READ_ONCE(v->counter) sign i;				\
									\
	WRITE_ONCE(v->counter, new);					\
	return new;							\
}

#define LKL_ATOMIC_ARITHMETIC(type, num, op, sign)			\
	LKL_ATOMIC_OP(type, num, op, sign)				\
	LKL_ATOMIC_FETCH_OP(type, num, op, sign)			\
	LKL_ATOMIC_OP_RETURN(type, num, op, sign)

#define LKL_ATOMIC_BITWISE(type, num, op, sign)				\
	LKL_ATOMIC_OP(type, num, op, sign)				\
	LKL_ATOMIC_FETCH_OP(type, num, op, sign)

#define LKL_ATOMIC_ALL(type, num)					\
	LKL_ATOMIC_ARITHMETIC(type, num, add, +)			\
	LKL_ATOMIC_ARITHMETIC(type, num, sub, -)			\
	LKL_ATOMIC_BITWISE(type, num, and, &)				\
	LKL_ATOMIC_BITWISE(type, num, or, |)				\
	LKL_ATOMIC_BITWISE(type, num, xor, ^)

LKL_ATOMIC_ALL(atomic, int)
LKL_ATOMIC_ALL(atomic64, s64)

/* The fallback headers ask for each by name. */
#define arch_atomic_add_return		arch_atomic_add_return
#define arch_atomic_sub_return		arch_atomic_sub_return
#define arch_atomic_fetch_add		arch_atomic_fetch_add
#define arch_atomic_fetch_sub		arch_atomic_fetch_sub
#define arch_atomic_fetch_and		arch_atomic_fetch_and
#define arch_atomic_fetch_or		arch_atomic_fetch_or
#define arch_atomic_fetch_xor		arch_atomic_fetch_xor
#define arch_atomic64_add_return	arch_atomic64_add_return
#define arch_atomic64_sub_return	arch_atomic64_sub_return
#define arch_atomic64_fetch_add		arch_atomic64_fetch_add
#define arch_atomic64_fetch_sub		arch_atomic64_fetch_sub
#define arch_atomic64_fetch_and		arch_atomic64_fetch_and
#define arch_atomic64_fetch_or		arch_atomic64_fetch_or
#define arch_atomic64_fetch_xor		arch_atomic64_fetch_xor

#endif

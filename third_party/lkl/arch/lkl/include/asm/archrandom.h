/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_ARCHRANDOM_H
#define _ASM_LKL_ARCHRANDOM_H

#include <linux/types.h>

/* The host's getrandom() takes the place of an RDRAND: the pool is seeded from the start. */
size_t host_random_longs(unsigned long *values, size_t count);

static inline size_t arch_get_random_longs(unsigned long *values, size_t count)
{
	return host_random_longs(values, count);
}

static inline size_t arch_get_random_seed_longs(unsigned long *values, size_t count)
{
	return host_random_longs(values, count);
}

#endif

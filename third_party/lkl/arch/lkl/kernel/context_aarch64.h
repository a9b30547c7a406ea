/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Coroutine switch on aarch64 hosts: all of the port that depends on the CPU.
 * A switched-out stack holds, lowest first, the address to go on at and x29.
 */
#ifndef _LKL_CONTEXT_AARCH64_H
#define _LKL_CONTEXT_AARCH64_H

/* Where the frame pointer lies on a switched-out stack, in words. */
#define LKL_CONTEXT_FRAME	1

/*
 * Saves this stack's pointer in *save, goes on with stack `to`; returns what the switch back hands over.
 * Inline, and by br: a call and ret would meet on two stacks, and mispredict for each caller up to the loop.
 * The compiler saves what it needs of the registers named.
 */
static __always_inline void *lkl_context_switch(void **save, void *to, void *value)
{
	register void *x0 asm("x0") = value;
	register void **x1 asm("x1") = save;
	register void *x2 asm("x2") = to;

	asm volatile("adr	x9, 1f\n\t"
		     "stp	x9, x29, [sp, #-16]!\n\t"
		     "mov	x9, sp\n\t"
		     "str	x9, [x1]\n\t"
		     "mov	sp, x2\n\t"
		     "ldp	x9, x29, [sp], #16\n\t"
		     "br	x9\n"
		     "1:"
		     : "+r" (x0), "+r" (x1), "+r" (x2)
		     :
		     : "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13", "x14",
		       "x15", "x16", "x17", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26",
		       "x27", "x28", "x30", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v8",
		       "v9", "v10", "v11", "v12", "v13", "v14", "v15", "v16", "v17", "v18", "v19",
		       "v20", "v21", "v22", "v23", "v24", "v25", "v26", "v27", "v28", "v29", "v30",
		       "v31", "cc", "memory");
	return x0;
}

/* First frame of a coroutine: the function came in x29's place, its argument in x0. It never returns. */
asm(".pushsection .text\n"
    ".type lkl_context_start, %function\n"
    "lkl_context_start:\n\t"
    "mov	x19, x29\n\t"
    "mov	x29, #0\n\t"
    "mov	x30, #0\n\t"
    "blr	x19\n\t"
    "brk	#1\n"
    ".size lkl_context_start, . - lkl_context_start\n"
    ".popsection\n");

/* The stack pointer that switches to fn(value), on a stack that ends at top. */
static inline void *lkl_context_init(void *top, void (*fn)(void *value))
{
	unsigned long *sp = (unsigned long *)((unsigned long)top & ~15UL) - 2;

	sp[1] = (unsigned long)fn;
	asm("adrp %0, lkl_context_start\n\tadd %0, %0, :lo12:lkl_context_start" : "=r" (sp[0]));
	return sp;
}

#endif

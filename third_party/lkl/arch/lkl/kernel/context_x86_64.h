/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Coroutine switch on x86-64 hosts: all of the port that depends on the CPU.
 * A switched-out stack holds, lowest first, the address to go on at and rbp.
 */
#ifndef _LKL_CONTEXT_X86_64_H
#define _LKL_CONTEXT_X86_64_H

/* Where the frame pointer lies on a switched-out stack, in words. */
#define LKL_CONTEXT_FRAME	1

/*
 * Saves this stack's pointer in *save, goes on with stack `to`; returns what the switch back hands over.
 * Inline, and by jmp: a call and ret would meet on two stacks, and mispredict for each caller up to the loop.
 * The compiler saves what it needs of the registers named; the red zone is stepped over.
 */
static __always_inline void *lkl_context_switch(void **save, void *to, void *value)
{
	asm volatile("leaq	-128(%%rsp), %%rsp\n\t"
		     "pushq	%%rbp\n\t"
		     "leaq	1f(%%rip), %%rcx\n\t"
		     "pushq	%%rcx\n\t"
		     "movq	%%rsp, (%1)\n\t"
		     "movq	%2, %%rsp\n\t"
		     "popq	%%rcx\n\t"
		     "jmp	*%%rcx\n"
		     "1:\n\t"
		     "popq	%%rbp\n\t"
		     "leaq	128(%%rsp), %%rsp"
		     : "+a" (value), "+D" (save), "+S" (to)
		     :
		     : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15",
		       "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8",
		       "xmm9", "xmm10", "xmm11", "xmm12", "xmm13", "xmm14", "xmm15", "cc", "memory");
	return value;
}

/* First frame of a coroutine: the function lies above the address, its argument in rax. It never returns. */
asm(".pushsection .text\n"
    ".type lkl_context_start, @function\n"
    "lkl_context_start:\n\t"
    "popq	%rbx\n\t"
    "xorl	%ebp, %ebp\n\t"
    "movq	%rax, %rdi\n\t"
    "callq	*%rbx\n\t"
    "ud2\n"
    ".size lkl_context_start, . - lkl_context_start\n"
    ".popsection\n");

/* The stack pointer that switches to fn(value), on a stack that ends at top. */
static inline void *lkl_context_init(void *top, void (*fn)(void *value))
{
	unsigned long *sp = (unsigned long *)((unsigned long)top & ~15UL) - 2;

	sp[1] = (unsigned long)fn;
	asm("leaq lkl_context_start(%%rip), %0" : "=r" (sp[0]));
	return sp;
}

#endif

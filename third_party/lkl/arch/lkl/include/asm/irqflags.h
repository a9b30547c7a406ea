/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_IRQFLAGS_H
#define _ASM_LKL_IRQFLAGS_H

/*
 * The CPU's interrupt flag is a variable. Host threads set bits in
 * lkl_irq_pending at any time; the interrupt itself runs where the kernel enables
 * interrupts, in cpu_relax(), or before the CPU is given up (kernel/irq.c).
 */
extern int lkl_irqs_off;
extern unsigned int lkl_irq_pending;

/* Runs what is pending. CPU held, interrupts enabled. */
void lkl_irq_run(void);

static __always_inline unsigned long arch_local_save_flags(void)
{
	return lkl_irqs_off;
}

static __always_inline void arch_local_irq_disable(void)
{
	__asm__ __volatile__("" : : : "memory");
	lkl_irqs_off = 1;
	__asm__ __volatile__("" : : : "memory");
}

static __always_inline void arch_local_irq_enable(void)
{
	__asm__ __volatile__("" : : : "memory");
	lkl_irqs_off = 0;
	if (__builtin_expect(*(volatile unsigned int *)&lkl_irq_pending, 0))
		lkl_irq_run();
	__asm__ __volatile__("" : : : "memory");
}

static __always_inline unsigned long arch_local_irq_save(void)
{
	unsigned long flags = arch_local_save_flags();

	arch_local_irq_disable();
	return flags;
}

static __always_inline void arch_local_irq_restore(unsigned long flags)
{
	if (flags)
		arch_local_irq_disable();
	else
		arch_local_irq_enable();
}

static __always_inline int arch_irqs_disabled_flags(unsigned long flags)
{
	return flags != 0;
}

static __always_inline int arch_irqs_disabled(void)
{
	return arch_irqs_disabled_flags(arch_local_save_flags());
}

#endif

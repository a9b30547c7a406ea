/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_PROCESSOR_H
#define _ASM_LKL_PROCESSOR_H

#include <asm/irqflags.h>

struct task_struct;

struct thread_struct {
	void *sp;		/* of the coroutine, while it does not run */
	int (*fn)(void *arg);	/* where it starts */
	void *arg;
};

#define INIT_THREAD	{ }

void cpu_relax(void);

#define TASK_SIZE		(~0UL & ~4095UL)
#define TASK_UNMAPPED_BASE	0
#define STACK_TOP		TASK_SIZE
#define STACK_TOP_MAX		STACK_TOP

#define task_pt_regs(task)	((struct pt_regs *)NULL)
#define KSTK_EIP(task)		0UL
#define KSTK_ESP(task)		0UL

#define start_thread(regs, pc, sp)	do { } while (0)

static inline void flush_thread(void)
{
}

static inline unsigned long __get_wchan(struct task_struct *task)
{
	return 0;
}

#endif

/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_PTRACE_H
#define _ASM_LKL_PTRACE_H

#include <uapi/asm/ptrace.h>

#ifndef __ASSEMBLY__

/*
 * All that an interrupt needs to know of what it interrupted: a worker with no call
 * to do counts as user mode. Tick accounting and TINY_RCU's quiescent states stand on it.
 */
struct pt_regs {
	int user;
};

#define user_mode(regs)			((regs)->user)
#define kernel_mode(regs)		(!(regs)->user)
#define profile_pc(regs)		0UL
#define instruction_pointer(regs)	0UL
#define user_stack_pointer(regs)	0UL
#define frame_pointer(regs)		0UL
#define current_pt_regs()		((struct pt_regs *)NULL)

#endif
#endif

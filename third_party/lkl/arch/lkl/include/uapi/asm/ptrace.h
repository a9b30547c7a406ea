/* SPDX-License-Identifier: GPL-2.0-only */
/* Nothing is traced: there are no registers to show. */
#ifndef _UAPI_ASM_LKL_PTRACE_H
#define _UAPI_ASM_LKL_PTRACE_H
#endif

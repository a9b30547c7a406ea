/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_ELF_H
#define _ASM_LKL_ELF_H

#include <asm/ptrace.h>

/* Nothing is ever executed; generic code wants the names. */
#define ELF_ARCH		EM_NONE
#define ELF_CLASS		ELFCLASS64
#define ELF_DATA		ELFDATA2LSB
#define ELF_PLATFORM		NULL
#define ELF_HWCAP		0
#define elf_check_arch(hdr)	0

typedef unsigned long elf_greg_t;
typedef elf_greg_t elf_gregset_t[1];
typedef unsigned long elf_fpregset_t;

#endif

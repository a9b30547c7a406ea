/* SPDX-License-Identifier: GPL-2.0-only */
#ifndef _ASM_LKL_STRING_H
#define _ASM_LKL_STRING_H

/*
 * libc's versions, which are made for the very CPU. Default visibility (the rest of the
 * kernel is hidden) lets the dynamic linker bind them.
 */
#define LKL_LIBC __attribute__((visibility("default")))

#define __HAVE_ARCH_MEMCPY
LKL_LIBC void *memcpy(void *to, const void *from, __kernel_size_t len);
#define __HAVE_ARCH_MEMMOVE
LKL_LIBC void *memmove(void *to, const void *from, __kernel_size_t len);
#define __HAVE_ARCH_MEMSET
LKL_LIBC void *memset(void *to, int byte, __kernel_size_t len);
#define __HAVE_ARCH_MEMCMP
LKL_LIBC int memcmp(const void *a, const void *b, __kernel_size_t len);
#define __HAVE_ARCH_MEMCHR
LKL_LIBC void *memchr(const void *in, int byte, __kernel_size_t len);
#define __HAVE_ARCH_STRLEN
LKL_LIBC __kernel_size_t strlen(const char *text);

#endif

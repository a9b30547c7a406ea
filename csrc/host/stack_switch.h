/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a sanitizer is told when the kernel half changes the stack.
 */
#ifndef HOST_STACK_SWITCH_H
#define HOST_STACK_SWITCH_H

#include <stddef.h>

#if defined(__SANITIZE_ADDRESS__)
#define HOST_SANITIZE_ADDRESS 1
#elif defined(__SANITIZE_THREAD__)
#define HOST_SANITIZE_THREAD 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOST_SANITIZE_ADDRESS 1
#elif __has_feature(thread_sanitizer)
#define HOST_SANITIZE_THREAD 1
#endif
#endif

#if defined(HOST_SANITIZE_ADDRESS) || defined(HOST_SANITIZE_THREAD)
/* stack NULL: back to the calling thread's own. */
void host_stack_switch_begin(const void *stack, unsigned long size);
void host_stack_switch_end(void);
#define HOST_STACK_SWITCH_BEGIN host_stack_switch_begin
#define HOST_STACK_SWITCH_END host_stack_switch_end
#else
#define HOST_STACK_SWITCH_BEGIN NULL
#define HOST_STACK_SWITCH_END NULL
#endif

#endif

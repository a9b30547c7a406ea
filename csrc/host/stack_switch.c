// SPDX-License-Identifier: GPL-2.0-only
/*
 * Tells AddressSanitizer about coroutine stacks, and ThreadSanitizer that who has the CPU comes after who had it before: the
 * kernel half, which hands it over, is not instrumented. Empty in other builds.
 */
#include "stack_switch.h"

#ifdef HOST_SANITIZE_ADDRESS
#include <pthread.h>
#include <sanitizer/common_interface_defs.h>

static __thread struct {
	const void *bottom;
	size_t size;
} own;

static void own_stack_find(void)
{
	pthread_attr_t attr;
	void *bottom;

	if (own.bottom || pthread_getattr_np(pthread_self(), &attr))
		return;
	if (!pthread_attr_getstack(&attr, &bottom, &own.size))
		own.bottom = bottom;
	pthread_attr_destroy(&attr);
}

/* No fake stacks: detect_stack_use_after_return must stay off. */
void host_stack_switch_begin(const void *stack, unsigned long size)
{
	if (!stack) {
		own_stack_find();
		stack = own.bottom;
		size = own.size;
	}
	__sanitizer_start_switch_fiber(NULL, stack, size);
}

void host_stack_switch_end(void)
{
	__sanitizer_finish_switch_fiber(NULL, NULL, NULL);
}
#endif

#ifdef HOST_SANITIZE_THREAD
#include <sanitizer/tsan_interface.h>

static char cpu;

void host_stack_switch_begin(const void *stack, unsigned long size)
{
	(void)stack;
	(void)size;
	__tsan_release(&cpu);
}

void host_stack_switch_end(void)
{
	__tsan_acquire(&cpu);
}
#endif

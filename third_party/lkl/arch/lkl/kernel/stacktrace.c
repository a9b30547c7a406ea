// SPDX-License-Identifier: GPL-2.0-only
/* Kernel stacks, walked by frame pointers where the build keeps them. */
#include <linux/sched.h>
#include <linux/sched/debug.h>
#include <linux/sched/task_stack.h>
#include <linux/stacktrace.h>

#include "context.h"

/* x86-64 and aarch64 agree on it. */
struct frame {
	struct frame *up;
	unsigned long return_address;
};

#ifdef CONFIG_FRAME_POINTER

static struct frame *saved_frame(struct task_struct *task)
{
	unsigned long *sp = task->thread.sp;

	return (struct frame *)sp[LKL_CONTEXT_FRAME];
}

void arch_stack_walk(stack_trace_consume_fn consume, void *cookie, struct task_struct *task,
		     struct pt_regs *regs)
{
	unsigned long low, high;
	struct frame *frame;

	if (!task)
		task = current;
	frame = task == current ? __builtin_frame_address(0) : saved_frame(task);
	low = (unsigned long)task_stack_page(task);
	high = low + THREAD_SIZE - sizeof(*frame);
	while ((unsigned long)frame >= low && (unsigned long)frame <= high &&
	       frame->return_address && consume(cookie, frame->return_address)) {
		low = (unsigned long)(frame + 1);
		frame = frame->up;
	}
}

static bool print_entry(void *level, unsigned long address)
{
	printk("%s %pS\n", (const char *)level, (void *)address);
	return true;
}

void show_stack(struct task_struct *task, unsigned long *sp, const char *level)
{
	arch_stack_walk(print_entry, (void *)level, task, NULL);
}

#else

void show_stack(struct task_struct *task, unsigned long *sp, const char *level)
{
}

#endif

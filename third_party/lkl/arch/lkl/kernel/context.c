// SPDX-License-Identifier: GPL-2.0-only
/*
 * Coroutines: every kernel context - idle, kernel threads, the calls in
 * flight - runs on its task's kernel stack, and a host thread lends itself to them.
 *
 *	host thread --lkl_context_enter()--> current's coroutine
 *	            <--lkl_context_leave()--
 *	a task's coroutine --__switch_to()--> another task's coroutine
 *
 * No kernel code runs on a host thread's own stack.
 */
#include <linux/init_task.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/sched/task_stack.h>
#include <linux/start_kernel.h>
#include <asm/switch_to.h>

#include "context.h"
#include "lkl.h"

struct task_struct *lkl_current = &init_task;

/* The stack of the thread that lends itself now. CPU held. */
static void *host_sp;
static bool dead;

/* Switches; value comes out of the call that gave the other side up. */
static __always_inline void *stack_switch(void **save, void *to, void *value, struct task_struct *task)
{
	if (unlikely(lkl_ops->stack_switch_begin))
		lkl_ops->stack_switch_begin(task ? task_stack_page(task) : NULL, THREAD_SIZE);
	value = lkl_context_switch(save, to, value);
	if (unlikely(lkl_ops->stack_switch_end))
		lkl_ops->stack_switch_end();
	return value;
}

/*
 * Goes on with current's coroutine, until one gives the thread back. On a host stack, CPU held.
 * Return: false if the kernel died meanwhile; then the CPU is held no more.
 */
bool lkl_context_enter(void)
{
	stack_switch(&host_sp, current->thread.sp, NULL, current);
	return likely(!dead);
}

/* Gives the host thread back. On current's coroutine. */
void lkl_context_leave(void)
{
	lkl_timer_arm();
	stack_switch(&current->thread.sp, host_sp, NULL, NULL);
}

/* The kernel is dead: gives the host thread back for good. On current's coroutine. */
void lkl_context_abandon(void)
{
	dead = true;
	lkl_worker_abandon_all();
	lkl_cpu_die();
	stack_switch(&current->thread.sp, host_sp, NULL, NULL);
}

struct task_struct *__switch_to(struct task_struct *prev, struct task_struct *next)
{
	lkl_stats.switches++;
	lkl_current = next;
	return stack_switch(&prev->thread.sp, next->thread.sp, prev, next);
}

/* A switch that began elsewhere ends on the first frame of the new stack. */
static void switch_arrived(void)
{
	if (unlikely(lkl_ops->stack_switch_end))
		lkl_ops->stack_switch_end();
}

static void context_first(void *prev)
{
	switch_arrived();
	schedule_tail(prev);
	current->thread.fn(current->thread.arg);
	/* Only what would go to user mode comes back: kernel_init() and our workers. */
	lkl_worker_loop();
}

int copy_thread(struct task_struct *task, const struct kernel_clone_args *args)
{
	/* fork() and clone() would need a user stack to return to. */
	if (!args->fn)
		return -ENOSYS;
	task->thread.fn = args->fn;
	task->thread.arg = args->fn_arg;
	task->thread.sp = lkl_context_init(task_stack_page(task) + THREAD_SIZE, context_first);
	return 0;
}

static void boot_first(void *unused)
{
	switch_arrived();
	start_kernel();
}

/* The first coroutine, of the task that becomes idle. */
void lkl_context_start_boot(void)
{
	init_task.thread.sp = lkl_context_init((void *)init_stack + THREAD_SIZE, boot_first);
}

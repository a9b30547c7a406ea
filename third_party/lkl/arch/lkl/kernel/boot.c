// SPDX-License-Identifier: GPL-2.0-only
/*
 * Birth and death of the kernel: boot on the caller's thread, halt, panic, fork.
 */
#include <linux/init.h>
#include <linux/oom.h>
#include <linux/panic_notifier.h>
#include <linux/reboot.h>
#include <linux/string.h>
#include <asm/setup.h>

#include "cpu.h"
#include "lkl.h"

long lkl_boot(const struct lkl_host_ops *ops, void *mem, unsigned long size,
	      const char *command_line)
{
	struct lkl_request request = { };

	lkl_ops = ops;
	lkl_memory_start = (unsigned long)mem;
	lkl_memory_end = lkl_memory_start + size;
	strscpy(boot_command_line, command_line, COMMAND_LINE_SIZE);
	if (!lkl_cpu_lock(ops->thread_id()))
		return LKL_DEAD;
	lkl_context_start_boot();
	return lkl_worker_boot(&request);
}

/*
 * kernel_init() would execute a program now. It is linked with --wrap=kernel_execve, so that it returns
 * instead - which is to go to user mode, where context_first() has the worker loop. The command line's
 * rdinit= names a path that exists, or it would look for a root file system first.
 */
int __wrap_kernel_execve(const char *filename, const char *const *argv, const char *const *envp);
int __wrap_kernel_execve(const char *filename, const char *const *argv, const char *const *envp)
{
	return 0;
}

/*
 * Without a task that may be killed, running out of memory would be a panic. With the OOM killer off
 * the allocation fails, and the system call says so.
 */
static int __init oom_fails_allocations(void)
{
	return oom_killer_disable(1) ? 0 : -EBUSY;
}
late_initcall(oom_fails_allocations);

static int panicked(struct notifier_block *block, unsigned long event, void *text)
{
	lkl_ops->panic(text);
	lkl_context_abandon();
	return NOTIFY_DONE;
}

static struct notifier_block panic_block = {
	.notifier_call	= panicked,
	.priority	= INT_MIN,	/* the others say their part first */
};

void __init lkl_panic_init(void)
{
	atomic_notifier_chain_register(&panic_notifier_list, &panic_block);
}

void lkl_halt(void)
{
	int self = lkl_ops->thread_id();

	if (lkl_cpu_is_held_by(self) || !lkl_cpu_lock(self))
		return;
	lkl_worker_abandon_all();
	lkl_cpu_die();
}

void lkl_fork_prepare(void)
{
	lkl_cpu_lock(lkl_ops->thread_id());
}

void lkl_fork_parent(void)
{
	if (lkl_cpu_is_held_by(lkl_ops->thread_id()))
		lkl_cpu_release();
}

void lkl_fork_child(void)
{
	lkl_cpu_die();
}

/* reboot(2) from inside: nothing to do but to stop. */
void machine_halt(void)
{
	panic("halted");
}

void machine_power_off(void)
{
	panic("powered off");
}

void machine_restart(char *command)
{
	panic("restarted");
}

void (*pm_power_off)(void);

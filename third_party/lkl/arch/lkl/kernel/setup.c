// SPDX-License-Identifier: GPL-2.0-only
/* What the generic kernel asks of an architecture at start: console, random numbers, and empty answers. */
#include <linux/console.h>
#include <linux/cpu.h>
#include <linux/init.h>
#include <linux/irq.h>
#include <linux/ptrace.h>
#include <linux/sched/debug.h>
#include <linux/seq_file.h>
#include <asm/archrandom.h>
#include <asm/setup.h>

#include "lkl.h"

static void console_write(struct console *con, const char *text, unsigned int len)
{
	lkl_ops->print(text, len);
}

static struct console console = {
	.name	= "lkl",
	.write	= console_write,
	.flags	= CON_PRINTBUFFER | CON_ENABLED,
	.index	= -1,
};

void __init setup_arch(char **cmdline_p)
{
	*cmdline_p = boot_command_line;
	register_console(&console);
	lkl_panic_init();
	parse_early_param();
	lkl_memory_init();
}

size_t host_random_longs(unsigned long *values, size_t count)
{
	long size = count * sizeof(*values);

	return lkl_ops->random(values, size) == size ? count : 0;
}

void __init trap_init(void)
{
}

void __init init_IRQ(void)
{
}

void show_regs(struct pt_regs *regs)
{
}

long arch_ptrace(struct task_struct *child, long request, unsigned long addr, unsigned long data)
{
	return -EIO;
}

void ptrace_disable(struct task_struct *child)
{
}

/* /proc/cpuinfo is there, and empty. */
static void *cpuinfo_start(struct seq_file *seq, loff_t *pos)
{
	return NULL;
}

static void *cpuinfo_next(struct seq_file *seq, void *value, loff_t *pos)
{
	return NULL;
}

static void cpuinfo_stop(struct seq_file *seq, void *value)
{
}

static int cpuinfo_show(struct seq_file *seq, void *value)
{
	return 0;
}

const struct seq_operations cpuinfo_op = {
	.start	= cpuinfo_start,
	.next	= cpuinfo_next,
	.stop	= cpuinfo_stop,
	.show	= cpuinfo_show,
};

// SPDX-License-Identifier: GPL-2.0-only
/*
 * Interrupts and idle. A host thread that has news sets bits and, if nobody runs the CPU, takes it
 * to have them handled; else whoever runs it sees the bits where it enables interrupts,
 * or at the latest when it gives the CPU up.
 */
#include <linux/cpu.h>
#include <linux/hardirq.h>
#include <linux/interrupt.h>
#include <linux/irqflags.h>
#include <linux/sched.h>
#include <linux/sched/idle.h>
#include <linux/tick.h>
#include <asm/irq_regs.h>
#include <asm/processor.h>

#include "cpu.h"
#include "lkl.h"

int lkl_irqs_off = 1;
unsigned int lkl_irq_pending;

void lkl_irq_run(void)
{
	struct pt_regs regs = { .user = lkl_worker_leave_user_mode() };
	struct pt_regs *old;
	unsigned int bits;

	raw_local_irq_disable();
	trace_hardirqs_off();
	while ((bits = __atomic_exchange_n(&lkl_irq_pending, 0, __ATOMIC_ACQUIRE))) {
		lkl_stats.interrupts++;
		old = set_irq_regs(&regs);
		irq_enter();
		if (bits & LKL_IRQ_TIMER)
			lkl_timer_interrupt();
		if (bits & LKL_IRQ_NET)
			lkl_net_interrupt();
		irq_exit();
		set_irq_regs(old);
		if ((bits & LKL_IRQ_TIMER) && regs.user)
			lkl_worker_tick();
	}
	trace_hardirqs_on();
	/* Not by arch_local_irq_enable(): what came meanwhile is handled above or, by who set it, later. */
	lkl_irqs_off = 0;
}

void lkl_irq(unsigned int bits)
{
	__atomic_or_fetch(&lkl_irq_pending, bits, __ATOMIC_SEQ_CST);
	/* If this fails, the holder looks at the bits after it let go. */
	if (lkl_cpu_trylock(lkl_ops->thread_id()) && lkl_context_enter())
		lkl_cpu_release();
}

/* Gives up the CPU and handles what came too late for its holder to see. On a host stack. */
void lkl_cpu_release(void)
{
	int self = lkl_cpu_state() & LKL_CPU_HOLDER;

	do {
		lkl_cpu_unlock();
		if (likely(!READ_ONCE(lkl_irq_pending)) || !lkl_cpu_trylock(self))
			return;
	} while (lkl_context_enter());
}

/* Waiting for time to pass, or for an interrupt. */
void cpu_relax(void)
{
	lkl_timer_arm();
	if (READ_ONCE(lkl_irq_pending) && !lkl_irqs_off)
		lkl_irq_run();
}

/*
 * The idle loop calls these three in turn; the first with interrupts off, the last with interrupts on.
 *
 * The tick is stopped at once. By itself the idle loop would do so only on the pass after a tick, which guesses how long
 * idle lasts; here stopping and starting it costs no more than that guess.
 */
void arch_cpu_idle_enter(void)
{
	/* Polling a socket may take and leave locks that want them on; what comes is seen below, or by the loop. */
	local_irq_enable();
	lkl_watch_flush();
	local_irq_disable();
	if (!need_resched())
		tick_nohz_idle_stop_tick();
}

/* Interrupts stay off: the idle loop enables them, which runs what is pending. */
void arch_cpu_idle(void)
{
	if (!READ_ONCE(lkl_irq_pending) && !need_resched())
		lkl_context_leave();
}

void arch_cpu_idle_exit(void)
{
	lkl_worker_wake_next();
}

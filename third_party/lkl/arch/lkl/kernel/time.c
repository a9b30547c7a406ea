// SPDX-License-Identifier: GPL-2.0-only
/*
 * Time is the host's. CLOCK_MONOTONIC is the clocksource and, since boot sets the same
 * offset, reads the same in here; so expiries are the host's absolute times.
 */
#include <linux/clockchips.h>
#include <linux/clocksource.h>
#include <linux/delay.h>
#include <linux/init.h>
#include <linux/ktime.h>
#include <linux/sched/clock.h>
#include <linux/timekeeping.h>
#include <linux/timex.h>

#include "lkl.h"

/* When the kernel wants its interrupt, and when the host has been told to send one. */
static u64 wanted_ns = LKL_NEVER, armed_ns = LKL_NEVER;
/* Our CLOCK_MONOTONIC counts from the host's at this; a constant of some 100 ns. */
static u64 offset_ns;

/*
 * Tells the host's timer, before the CPU is given up or where somebody spins for time to pass: a packet, or a way
 * out of idle and back, moves the expiry several times. Only an earlier one is told: a fire
 * too early costs less than a system call.
 */
void lkl_timer_arm(void)
{
	if (likely(wanted_ns >= armed_ns))
		return;
	armed_ns = wanted_ns;
	lkl_stats.timer_sets++;
	lkl_ops->timer_set(armed_ns);
}

static int event_set(ktime_t expires, struct clock_event_device *dev)
{
	wanted_ns = ktime_to_ns(expires) + offset_ns;
	return 0;
}

static int event_stop(struct clock_event_device *dev)
{
	wanted_ns = LKL_NEVER;
	return 0;
}

static struct clock_event_device event_device = {
	.name			= "lkl",
	.rating			= 400,
	.features		= CLOCK_EVT_FEAT_ONESHOT | CLOCK_EVT_FEAT_KTIME,
	.set_next_ktime		= event_set,
	.set_state_shutdown	= event_stop,
	.set_state_oneshot_stopped = event_stop,
};

/* CPU held, interrupts off. */
void lkl_timer_interrupt(void)
{
	armed_ns = LKL_NEVER;
	if (lkl_ops->clock_monotonic() >= wanted_ns) {
		wanted_ns = LKL_NEVER;
		event_device.event_handler(&event_device);
	}
}

static u64 counter_read(struct clocksource *source)
{
	return lkl_ops->clock_monotonic();
}

/* A cycle is a ns. The shift leaves room for NTP's steps and for some 18 minutes without a tick. */
#define COUNTER_SHIFT	23

static struct clocksource counter = {
	.name	= "lkl",
	.rating	= 499,
	.read	= counter_read,
	.mult	= 1 << COUNTER_SHIFT,
	.shift	= COUNTER_SHIFT,
	.flags	= CLOCK_SOURCE_IS_CONTINUOUS | CLOCK_SOURCE_VALID_FOR_HRES,
	.mask	= CLOCKSOURCE_MASK(64),
};

/* From the first moment on; another clocksource before it would make time jump. */
struct clocksource * __init clocksource_default_clock(void)
{
	return &counter;
}

unsigned long long notrace sched_clock(void)
{
	return lkl_ops->clock_monotonic();
}

/* Wall clock and CLOCK_MONOTONIC start where the host's stand. */
void __init read_persistent_wall_and_boot_offset(struct timespec64 *wall,
						 struct timespec64 *boot_offset)
{
	*wall = ns_to_timespec64(lkl_ops->clock_realtime());
	*boot_offset = ns_to_timespec64(lkl_ops->clock_monotonic());
}

void __init time_init(void)
{
	__clocksource_register(&counter);
	offset_ns = lkl_ops->clock_monotonic() - ktime_get_ns();
	event_device.cpumask = cpumask_of(0);
	clockevents_config_and_register(&event_device, NSEC_PER_SEC, 1, ULONG_MAX);
}

/* One loop of __delay() is one ns. */
void calibrate_delay(void)
{
	loops_per_jiffy = NSEC_PER_SEC / HZ;
}

void __delay(unsigned long loops)
{
	u64 until = lkl_ops->clock_monotonic() + loops;

	while (lkl_ops->clock_monotonic() < until)
		cpu_relax();
}

void __ndelay(unsigned long nsecs)
{
	__delay(nsecs);
}

void __udelay(unsigned long usecs)
{
	__delay(usecs * NSEC_PER_USEC);
}

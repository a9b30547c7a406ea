// SPDX-License-Identifier: GPL-2.0-only
/*
 * One round of polling, by whatever thread.
 */
#include <errno.h>
#include <lkl_host.h>
#include <sys/epoll.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "io.h"

#define EVENTS_MAX 16

/* The headers of an old system, on which wheels are built, have no name for it. */
#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* Milliseconds, rounded up: never early. */
static int milliseconds_until(uint64_t deadline_ns, uint64_t now)
{
	uint64_t ms;

	if (deadline_ns == HOST_NEVER)
		return -1;
	if (deadline_ns <= now)
		return 0;
	ms = (deadline_ns - now + 999999) / 1000000;
	return ms > 3600000 ? 3600000 : (int)ms;
}

/* Linux 5.11 has epoll_pwait2; a sandbox may bar it on newer ones. */
static long epoll_wait_until(struct epoll_event *events, uint64_t deadline_ns)
{
	static bool no_pwait2;
	uint64_t now = deadline_ns == HOST_NEVER || !deadline_ns ? 0 : host_clock_monotonic();
	uint64_t left = deadline_ns > now ? deadline_ns - now : 0;
	struct timespec timeout = {
		.tv_sec = (time_t)(left / 1000000000u),
		.tv_nsec = (long)(left % 1000000000u),
	};
	long count;

	if (!__atomic_load_n(&no_pwait2, __ATOMIC_RELAXED)) {
		count = syscall(SYS_epoll_pwait2, io_fd(&io_fds.epoll), events, EVENTS_MAX,
				deadline_ns == HOST_NEVER ? NULL : &timeout, NULL, 0);
		if (count >= 0 || (errno != ENOSYS && errno != EPERM))
			return count;
		__atomic_store_n(&no_pwait2, true, __ATOMIC_RELAXED);
	}
	return syscall(SYS_epoll_pwait, io_fd(&io_fds.epoll), events, EVENTS_MAX,
		       milliseconds_until(deadline_ns, now), NULL, 0);
}

int io_poll(uint64_t deadline_ns, struct io_batch *batch)
{
	struct epoll_event events[EVENTS_MAX];
	long count = epoll_wait_until(events, deadline_ns);

	*batch = (struct io_batch){ 0 };
	if (count < 0)
		return -errno;
	for (long i = 0; i < count; i++) {
		switch (events[i].data.u64) {
		case IO_TIMER:
			batch->irq |= LKL_IRQ_TIMER;
			break;
		case IO_KICK:
			batch->irq |= LKL_IRQ_KICK | io_source_dispatch_rung();
			break;
		case IO_LEADER:
			batch->leader_kick = true;
			break;
		case IO_STOP:
			batch->stop = true;
			break;
		default:
			batch->irq |= io_source_dispatch(events[i].data.u64, events[i].events);
		}
	}
	return (int)count;
}

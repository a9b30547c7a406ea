// SPDX-License-Identifier: GPL-2.0-only
/*
 * The raw door.
 */
#include "raw_calls.h"

#include "readiness.h"
#include "syscall.h"

long raw_system_call(struct lklsock_task *task, long nr, const long args[6])
{
	/* -1 is the kernel half's own. */
	return syscall_args(task, NULL, nr < 0 ? (long)(~0ul >> 1) : nr, args);
}

struct lklsock_task *raw_task_new(void)
{
	struct lklsock_task *task;

	if (!syscall_door_passes())
		return NULL;
	task = lkl_task_new();
	readiness_flush();
	return task;
}

void raw_task_free(struct lklsock_task *task)
{
	if (!syscall_door_passes())
		return;
	lkl_task_del(task);
	readiness_flush();
}

long raw_statistics(struct lklsock_statistics *out)
{
	struct lkl_statistics from;

	if (!syscall_door_passes())
		return LKLSOCK_ENOTRUNNING;
	lkl_statistics_read(&from);
	*out = (struct lklsock_statistics){
		.requests = from.requests,
		.cold_requests = from.cold_requests,
		.sleeping_owners = from.sleeping_owners,
		.switches = from.switches,
		.interrupts = from.interrupts,
		.timer_sets = from.timer_sets,
		.handoffs = from.handoffs,
		.kicks = from.kicks,
		.watch_polls = from.watch_polls,
		.watch_changes = from.watch_changes,
		.parks = from.parks,
		.free_pages = from.free_pages,
		.total_pages = from.total_pages,
	};
	return 0;
}

/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one door into the kernel: every system call of the host half goes
 * through syscall_submit().
 *
 *	CLOSED --> PRIVATE --> OPEN --> PRIVATE --> CLOSED
 *	           boot                 halt
 *
 * While it is PRIVATE only the thread that boots or halts passes, and who is closing a socket.
 * Life (life.c) turns it.
 */
#ifndef CORE_SYSCALL_H
#define CORE_SYSCALL_H

#include <stdbool.h>

#include <lkl_host.h>
#include <lkl_syscall_nr.h>

enum syscall_door {
	SYSCALL_DOOR_CLOSED,
	SYSCALL_DOOR_PRIVATE,
	SYSCALL_DOOR_OPEN,
};

extern int syscall_door; /* atomic */

void syscall_door_set(enum syscall_door door);

/* Between these two the calling thread passes a PRIVATE door: what it began must be brought to its end. */
void syscall_closing_begin(void);
void syscall_closing_end(void);

bool syscall_private_door_passes(void);

/* Whether the calling thread may enter now; what enters otherwise (lkl_watch_arm(), say) asks too. */
static inline bool syscall_door_passes(void)
{
	int door = __atomic_load_n(&syscall_door, __ATOMIC_ACQUIRE);

	if (__builtin_expect(door == SYSCALL_DOOR_OPEN, 1))
		return true;
	return door == SYSCALL_DOOR_PRIVATE && syscall_private_door_passes();
}

/*
 * Runs the request, then tells what it made ready. Return: the call's result, LKLSOCK_ENOTRUNNING
 * or LKLSOCK_EREENTRY. Context: any thread, CPU not held.
 */
long syscall_submit(struct lkl_request *request);

static inline long syscall_args(void *task, void *watch, long nr, const long args[6])
{
	struct lkl_request request = {
		.nr = nr,
		.args = { args[0], args[1], args[2], args[3], args[4], args[5] },
		.task = task,
		.watch = watch,
	};

	return syscall_submit(&request);
}

/* nr and up to six arguments, pointers cast to long. */
#define syscall_do(nr, ...) syscall_args(NULL, NULL, nr, (const long[6]){ __VA_ARGS__ })
/* The same, for a call that may change the readiness of a watched file. watch may be NULL. */
#define syscall_watched(watch, nr, ...) \
	syscall_args(NULL, watch, nr, (const long[6]){ __VA_ARGS__ })
/* The same, in a task's namespaces. task may be NULL. */
#define syscall_as(task, nr, ...) syscall_args(task, NULL, nr, (const long[6]){ __VA_ARGS__ })

#endif

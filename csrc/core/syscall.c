// SPDX-License-Identifier: GPL-2.0-only
/*
 * The one door into the kernel.
 */
#include "syscall.h"

#include <errno.h>
#include <pthread.h>

#include <lklsock.h>

#include "readiness.h"

_Static_assert(LKL_DEAD == LKLSOCK_ENOTRUNNING, "the door passes it on as it is");
_Static_assert(LKL_REENTRY == LKLSOCK_EREENTRY, "the door passes it on as it is");

/* The kernel's own "restart this call" numbers, which no program may see. */
#define ERESTART_FIRST 512
#define ERESTART_LAST 516
#define ENOIOCTLCMD 515

int syscall_door = SYSCALL_DOOR_CLOSED;

static pthread_t door_owner; /* while PRIVATE */
static __thread int closing; /* looked at while PRIVATE only: thread-local memory is slow here */

void syscall_door_set(enum syscall_door door)
{
	if (door == SYSCALL_DOOR_PRIVATE)
		door_owner = pthread_self();
	__atomic_store_n(&syscall_door, door, __ATOMIC_SEQ_CST);
}

void syscall_closing_begin(void)
{
	closing++;
}

void syscall_closing_end(void)
{
	closing--;
}

bool syscall_private_door_passes(void)
{
	return closing || pthread_equal(door_owner, pthread_self());
}

static bool is_restart(long ret)
{
	return ret <= -ERESTART_FIRST && ret >= -ERESTART_LAST && ret != -ENOIOCTLCMD;
}

long syscall_submit(struct lkl_request *request)
{
	long ret;

	if (__builtin_expect(!syscall_door_passes(), 0))
		return LKLSOCK_ENOTRUNNING;
	ret = lkl_submit(request);
	readiness_flush();
	return __builtin_expect(is_restart(ret), 0) ? -EINTR : ret;
}

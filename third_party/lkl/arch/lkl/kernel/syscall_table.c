// SPDX-License-Identifier: GPL-2.0-only
/* From a system call's number to its function. */
#include <linux/syscalls.h>

#include "lkl.h"

typedef long (*syscall_fn)(long a0, long a1, long a2, long a3, long a4, long a5);

/* What has no sense without a user space of its own. */
#define sys_clone		sys_ni_syscall
#define sys_clone3		sys_ni_syscall
#define sys_rt_sigreturn	sys_ni_syscall
#define sys_mmap		sys_mmap_pgoff

#define __SYSCALL(nr, entry)	[nr] = (void *)entry,
#define __SYSCALL_WITH_COMPAT(nr, native, compat) __SYSCALL(nr, native)

static const syscall_fn syscall_table[NR_syscalls] = {
	[0 ... NR_syscalls - 1] = (void *)sys_ni_syscall,
#include <asm/syscall_table_64.h>
};

/* Sockets are what a program makes many of: with the last memory gone, the ones there could not go on. */
static bool refused(long nr)
{
	switch (nr) {
	case __NR_socket:
	case __NR_socketpair:
	case __NR_accept:
	case __NR_accept4:
		return lkl_memory_low();
	}
	return false;
}

/* On a worker's coroutine. */
long lkl_syscall_do(struct lkl_request *request)
{
	const long *args = request->args;

	if ((unsigned long)request->nr >= NR_syscalls)
		return -ENOSYS;
	if (unlikely(refused(request->nr)))
		return -ENOBUFS;
	return syscall_table[request->nr](args[0], args[1], args[2], args[3], args[4], args[5]);
}
